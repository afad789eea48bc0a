/*
 * Statements. Output goes to jinja->out; capturing swaps in another builder for a while. break and
 * continue set jinja->flow, which every list of statements looks at.
 */
#include "model/jinja_builtin.h"
#include "model/jinja_compare.h"
#include "model/jinja_eval.h"

static void exec_node(struct jinja *jinja, const struct jinja_node *node);

struct jinja_scope *jinja_push_scope(struct jinja *jinja, struct jinja_scope *parent)
{
    struct jinja_scope *scope = jinja_alloc(jinja, sizeof *scope);

    if (scope)
        scope->parent = parent;
    return scope;
}

void jinja_set(struct jinja *jinja, const struct jinja_name *name, struct jinja_value value)
{
    struct jinja_scope *scope = jinja->scope;
    struct jinja_var *var;

    if (jinja->rc < 0)
        return;
    if (!scope) {
        jinja->globals[name->id] = value;
        return;
    }
    size_t walked = 0;

    for (var = scope->vars; var; var = var->next, walked++)
        if (var->name == name) {
            var->value = value;
            return;
        }
    jinja_charge(jinja, walked / 16);
    var = scope->spare;
    if (var)
        scope->spare = var->next;
    else
        var = jinja_alloc(jinja, sizeof *var);
    if (!var)
        return;
    *var = (struct jinja_var){name, value, scope->vars};
    scope->vars = var;
}

static void exec_set_member(struct jinja *jinja, const struct jinja_node *target,
                            struct jinja_value value)
{
    struct jinja_value object = jinja_eval(jinja, target->member.object);

    if (jinja->rc == 0 && object.type != JINJA_NAMESPACE)
        jinja_raise(jinja, "cannot assign attribute on non-namespace object");
    if (jinja->rc == 0)
        jinja_dict_set(jinja, object.dict, jinja_of_string(&target->member.name->text), value);
}

static void exec_assign(struct jinja *jinja, const struct jinja_node *target,
                        struct jinja_value value)
{
    if (jinja->rc < 0)
        return;
    if (target->kind == NODE_NAME) {
        jinja_set(jinja, target->name, value);
        return;
    }
    if (target->kind == NODE_MEMBER) {
        exec_set_member(jinja, target, value);
        return;
    }
    struct jinja_list *items = jinja_to_list(jinja, value);

    if (!items)
        return;
    if (items->count != target->items.count) {
        jinja_raise(jinja, "cannot unpack %zu values into %zu", items->count, target->items.count);
        return;
    }
    const struct jinja_node *item = target->items.first;

    for (size_t i = 0; i < items->count && jinja->rc == 0; i++, item = item->next)
        exec_assign(jinja, item, items->items[i]);
}

struct jinja_value jinja_capture(struct jinja *jinja, const struct jinja_node_list *body)
{
    struct jinja_builder *out = jinja->out, text;

    jinja_builder_init(&text, jinja);
    jinja->out = &text;
    jinja_exec(jinja, body);
    jinja->out = out;
    if (jinja->rc < 0 || jinja->flow != JINJA_NEXT)
        return jinja_missing();
    return jinja_builder_string(&text);
}

void jinja_unset_names(struct jinja *jinja, const struct jinja_unset *unset)
{
    for (size_t i = 0; i < unset->count && jinja_charge(jinja, 1); i++)
        jinja_set(jinja, unset->names[i], jinja_missing());
}

static void exec_in_scope(struct jinja *jinja, const struct jinja_node_list *body,
                          const struct jinja_unset *unset)
{
    struct jinja_scope *outer = jinja->scope, *scope = jinja_push_scope(jinja, outer);

    if (!scope)
        return;
    jinja->scope = scope;
    jinja_unset_names(jinja, unset);
    jinja_exec(jinja, body);
    jinja->scope = outer;
}

/* The value as jinja2 hands it through a filtering loop: unpacked into the target's tuples. */
static struct jinja_value exec_repack(struct jinja *jinja, const struct jinja_node *target,
                                      struct jinja_value value)
{
    if (target->kind != NODE_TUPLE)
        return value;
    struct jinja_list *items = jinja_to_list(jinja, value);
    const struct jinja_node *part = target->items.first;

    for (size_t i = 0; items && i < items->count && part; i++, part = part->next)
        items->items[i] = exec_repack(jinja, part, items->items[i]);
    return jinja_of_list(JINJA_TUPLE, items);
}

/* The items of source for which the loop's "if" holds. */
static struct jinja_value exec_filter_items(struct jinja *jinja, const struct jinja_loop_node *node,
                                            struct jinja_value source)
{
    struct jinja_scope *outer = jinja->scope;
    struct jinja_list *kept = jinja_list_new(jinja, 0);
    struct jinja_iterator items;
    struct jinja_value item;

    if (!kept || !jinja_iterate(jinja, source, &items))
        return jinja_missing();
    while (jinja_step(jinja, &items, &item)) {
        jinja->scope = jinja_push_scope(jinja, outer);
        if (!jinja->scope)
            break;
        exec_assign(jinja, node->target, item);
        if (jinja->rc == 0 && jinja_truth(jinja_eval(jinja, node->test)))
            jinja_list_add(jinja, kept, exec_repack(jinja, node->target, item));
    }
    jinja->scope = outer;
    return jinja->rc < 0 ? jinja_missing() : jinja_of_list(JINJA_LIST, kept);
}

static bool exec_next_item(struct jinja *jinja, struct jinja_loop *loop, bool first)
{
    if (first && !jinja_step(jinja, &loop->items, &loop->next))
        return false;
    if (jinja->rc < 0 || loop->next.type == JINJA_MISSING)
        return false;
    loop->previous = loop->current;
    loop->current = loop->next;
    loop->index0 += first ? 0 : 1;
    if (!jinja_step(jinja, &loop->items, &loop->next))
        loop->next = jinja_missing();
    return jinja->rc == 0;
}

/* A scope for the next iteration: the last one's again unless a macro may have kept it. */
static bool exec_enter_iteration(struct jinja *jinja, struct jinja_scope **scope,
                                 struct jinja_scope *outer, bool captures)
{
    if (*scope && !captures) {
        struct jinja_var **tail = &(*scope)->vars;

        while (*tail)
            tail = &(*tail)->next;
        *tail = (*scope)->spare;
        (*scope)->spare = (*scope)->vars;
        (*scope)->vars = NULL;
    } else {
        *scope = jinja_push_scope(jinja, outer);
    }
    jinja->scope = *scope;
    return *scope != NULL;
}

static void exec_loop(struct jinja *jinja, const struct jinja_node *node, struct jinja_value source,
                      size_t depth0)
{
    const struct jinja_loop_node *parts = node->loop;
    struct jinja_scope *outer = jinja->scope, *scope = NULL;
    struct jinja_loop *loop = jinja_alloc(jinja, sizeof *loop);
    bool ended = false; /* an iteration came to its end: only then is "else" left out */

    if (jinja->rc == 0 && parts->test)
        source = exec_filter_items(jinja, parts, source);
    if (!loop || !jinja_iterate(jinja, source, &loop->items))
        return;
    loop->depth0 = depth0;
    loop->node = node;
    loop->scope = outer;
    for (bool first = true; exec_next_item(jinja, loop, first); first = false) {
        if (!exec_enter_iteration(jinja, &scope, outer, parts->captures))
            break;
        jinja->line = node->line;
        jinja_unset_names(jinja, parts->unset);
        exec_assign(jinja, parts->target, loop->current);
        jinja_set(jinja, parts->name, (struct jinja_value){.type = JINJA_LOOP, .loop = loop});
        jinja_exec(jinja, &parts->body);
        enum jinja_flow flow = jinja->flow;

        jinja->flow = JINJA_NEXT;
        if (flow == JINJA_BREAK)
            break;
        ended = ended || flow == JINJA_NEXT;
    }
    jinja->scope = outer;
    if (!ended && parts->other.count > 0 && jinja->rc == 0)
        exec_in_scope(jinja, &parts->other, parts->other_unset);
}

struct jinja_value jinja_call_loop(struct jinja *jinja, const struct jinja_loop *loop,
                                   struct jinja_value items)
{
    struct jinja_builder *out = jinja->out, text;
    struct jinja_scope *scope = jinja->scope;

    if (!loop->node->loop->recursive)
        return jinja_raise(jinja, "the loop must have the 'recursive' marker to be called");
    if (!jinja_enter(jinja))
        return jinja_missing();
    jinja_builder_init(&text, jinja);
    jinja->out = &text;
    jinja->scope = loop->scope;
    exec_loop(jinja, loop->node, items, loop->depth0 + 1);
    jinja->scope = scope;
    jinja->out = out;
    jinja_leave(jinja);
    return jinja->rc < 0 ? jinja_missing() : jinja_builder_string(&text);
}

static void exec_if(struct jinja *jinja, const struct jinja_node *node)
{
    while (node && jinja->rc == 0) {
        struct jinja_value test = jinja_eval(jinja, node->choice.test);
        const struct jinja_node_list *other = &node->choice.other;

        if (jinja->rc < 0)
            return;
        if (jinja_truth(test)) {
            jinja_exec(jinja, &node->choice.body);
            return;
        }
        if (other->count != 1 || other->first->kind != NODE_IF) {
            jinja_exec(jinja, other);
            return;
        }
        node = other->first; /* elif, without growing the stack */
    }
}

static void exec_capture(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_scope *outer = jinja->scope, *scope = jinja_push_scope(jinja, outer);
    struct jinja_value saved = jinja->captured, text;

    if (!scope)
        return;
    jinja->scope = scope;
    jinja_unset_names(jinja, node->capture.unset);
    text = jinja_capture(jinja, &node->capture.body);
    if (text.type != JINJA_MISSING && node->capture.filter) {
        jinja->captured = text;
        text = jinja_eval(jinja, node->capture.filter);
        jinja->captured = saved;
    }
    jinja->scope = outer;
    if (text.type == JINJA_MISSING) /* failed, or left by break or continue */
        return;
    if (node->kind == NODE_SET_BLOCK)
        exec_assign(jinja, node->capture.target, text);
    else
        jinja_write_str(jinja->out, text);
}

static struct jinja_value exec_macro_value(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_macro *macro = jinja_alloc(jinja, sizeof *macro);

    if (!macro)
        return jinja_missing();
    macro->node = node;
    macro->scope = jinja->scope;
    return (struct jinja_value){.type = JINJA_MACRO, .macro = macro};
}

static void exec_call_block(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_value caller = exec_macro_value(jinja, node);
    struct jinja_value text = jinja_eval_call(jinja, node->macro->call, caller);

    if (jinja->rc == 0)
        jinja_write_str(jinja->out, text);
}

static void exec_with(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_scope *outer = jinja->scope, *scope = jinja_push_scope(jinja, outer);
    const struct jinja_node *value = node->with.values.first;

    for (const struct jinja_node *target = node->with.targets.first; target && scope;
         target = target->next, value = value->next) {
        jinja->scope = outer;
        struct jinja_value result = jinja_eval(jinja, value);

        jinja->scope = scope;
        exec_assign(jinja, target, result);
    }
    jinja->scope = scope;
    if (scope) {
        jinja_unset_names(jinja, node->with.unset);
        jinja_exec(jinja, &node->with.body);
    }
    jinja->scope = outer;
}

static void exec_print(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_value value = jinja_eval(jinja, node->unary);

    if (jinja->rc == 0)
        jinja_write_str(jinja->out, value);
}

static void exec_node(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_value value;

    switch (node->kind) {
    case NODE_DATA: jinja_builder_add_string(jinja->out, node->constant.string); break;
    case NODE_PRINT: exec_print(jinja, node); break;
    case NODE_FOR:
        value = jinja_eval(jinja, node->loop->source);
        if (jinja->rc == 0)
            exec_loop(jinja, node, value, 0);
        break;
    case NODE_IF: exec_if(jinja, node); break;
    case NODE_SET:
        value = jinja_eval(jinja, node->binary.right);
        exec_assign(jinja, node->binary.left, value);
        break;
    case NODE_SET_BLOCK:
    case NODE_FILTER_BLOCK: exec_capture(jinja, node); break;
    case NODE_MACRO: jinja_set(jinja, node->macro->name, exec_macro_value(jinja, node)); break;
    case NODE_CALL_BLOCK: exec_call_block(jinja, node); break;
    case NODE_WITH: exec_with(jinja, node); break;
    case NODE_SCOPE: exec_in_scope(jinja, &node->with.body, node->with.unset); break;
    case NODE_BREAK: jinja->flow = JINJA_BREAK; break;
    default: jinja->flow = JINJA_CONTINUE; break;
    }
}

void jinja_exec(struct jinja *jinja, const struct jinja_node_list *body)
{
    if (!jinja_enter(jinja))
        return;
    for (const struct jinja_node *node = body->first; node && jinja->flow == JINJA_NEXT;
         node = node->next) {
        if (!jinja_charge(jinja, 1))
            break;
        jinja->line = node->line;
        exec_node(jinja, node);
    }
    jinja_leave(jinja);
}

static void exec_bind_rest(struct jinja *jinja, const struct jinja_macro_node *node,
                           const struct jinja_args *args, bool *taken)
{
    struct jinja_dict *rest = jinja_dict_new(jinja, 0);

    for (size_t k = 0; k < args->n_keywords && jinja->rc == 0; k++) {
        if (taken[k])
            continue;
        if (!(node->uses & USES_KWARGS))
            jinja_raise(
                jinja, "macro takes no keyword argument '%.*s'",
                (int)(args->keywords[k].name->size < 100 ? args->keywords[k].name->size : 100),
                args->keywords[k].name->bytes);
        else
            jinja_dict_set(jinja, rest, jinja_of_string(args->keywords[k].name),
                           args->keywords[k].value);
    }
    if (node->uses & USES_KWARGS)
        jinja_set(jinja, node->kwargs, jinja_of_dict(rest));
    if (!(node->uses & USES_VARARGS)) {
        if (args->count > node->n_params)
            jinja_raise(jinja, "macro takes not more than %zu argument(s)", node->n_params);
        return;
    }
    struct jinja_list *more = jinja_list_new(jinja, 0);

    for (size_t i = node->n_params; i < args->count && jinja->rc == 0; i++)
        jinja_list_add(jinja, more, args->items[i]);
    jinja_set(jinja, node->varargs, jinja_of_list(JINJA_TUPLE, more));
}

/* Puts the arguments into the macro's scope, which is jinja->scope. */
static void exec_bind(struct jinja *jinja, const struct jinja_macro_node *node,
                      const struct jinja_args *args)
{
    bool *taken = jinja_alloc(jinja, args->n_keywords), found_caller = false;

    for (size_t i = 0; i < node->n_params && taken; i++) {
        jinja_charge(jinja, (node->n_params + args->n_keywords) / 16);
        const struct jinja_name *name = node->params[i].name;
        struct jinja_value value = jinja_missing();

        if (i < args->count)
            value = args->items[i];
        for (size_t k = 0; i >= args->count && k < args->n_keywords; k++)
            if (jinja_string_equal(args->keywords[k].name, &name->text)) {
                value = args->keywords[k].value;
                taken[k] = true;
            }
        found_caller = found_caller || name == node->caller;
        jinja_set(jinja, name, value);
    }
    if (taken && (node->uses & USES_CALLER) && !found_caller) {
        struct jinja_value caller = jinja_undefined(jinja, "No caller defined");

        for (size_t k = 0; k < args->n_keywords; k++)
            if (jinja_string_equal(args->keywords[k].name, &node->caller->text)) {
                caller = args->keywords[k].value;
                taken[k] = true;
            }
        jinja_set(jinja, node->caller, caller);
    }
    if (taken)
        exec_bind_rest(jinja, node, args, taken);
    for (size_t i = args->count; i < node->n_params && jinja->rc == 0; i++) {
        const struct jinja_param *param = &node->params[i];
        struct jinja_var *var = jinja->scope->vars;

        while (var->name != param->name)
            var = var->next;
        if (var->value.type == JINJA_MISSING)
            jinja_set(jinja, param->name,
                      param->value ? jinja_eval(jinja, param->value)
                                   : jinja_undefined(jinja, "parameter '%s' was not provided",
                                                     "of a macro"));
    }
}

struct jinja_value jinja_call_macro(struct jinja *jinja, const struct jinja_macro *macro,
                                    const struct jinja_args *args)
{
    struct jinja_scope *outer = jinja->scope, *scope = jinja_push_scope(jinja, macro->scope);
    struct jinja_value text = jinja_missing();

    if (!scope || !jinja_enter(jinja))
        return jinja_missing();
    jinja->scope = scope;
    jinja_unset_names(jinja, macro->node->macro->unset);
    exec_bind(jinja, macro->node->macro, args);
    if (jinja->rc == 0)
        text = jinja_capture(jinja, &macro->node->macro->body);
    jinja->scope = outer;
    jinja_leave(jinja);
    return text;
}
