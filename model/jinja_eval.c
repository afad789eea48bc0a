/* Expressions. jinja->line follows the node being evaluated, so that errors name it. */
#include "model/jinja_eval.h"
#include "model/jinja_builtin.h"
#include "model/jinja_compare.h"

#include <string.h>

static struct jinja_value eval_name(struct jinja *jinja, const struct jinja_name *name)
{
    struct jinja_value value = jinja->globals[name->id];
    size_t walked = 0;

    for (const struct jinja_scope *scope = jinja->scope; scope; scope = scope->parent)
        for (const struct jinja_var *var = scope->vars; var; var = var->next, walked++)
            if (var->name == name) {
                value = var->value;
                goto found;
            }
found:
    jinja_charge(jinja, walked / 16);
    if (value.type != JINJA_MISSING)
        return value;
    return jinja_undefined(jinja, "'%.*s' is undefined",
                           (int)(name->text.size < 100 ? name->text.size : 100), name->text.bytes);
}

static struct jinja_value eval_items(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_list *list = jinja_list_new(jinja, node->items.count);

    for (const struct jinja_node *item = node->items.first; item && jinja->rc == 0;
         item = item->next)
        jinja_list_add(jinja, list, jinja_eval(jinja, item));
    return jinja_of_list(node->kind == NODE_TUPLE ? JINJA_TUPLE : JINJA_LIST, list);
}

static struct jinja_value eval_dict(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_dict *dict = jinja_dict_new(jinja, node->items.count / 2);

    for (const struct jinja_node *key = node->items.first; key && jinja->rc == 0;
         key = key->next->next) {
        struct jinja_value name = jinja_eval(jinja, key);

        jinja_dict_set(jinja, dict, name, jinja_eval(jinja, key->next));
    }
    return jinja_of_dict(dict);
}

static struct jinja_value eval_concat(struct jinja *jinja, const struct jinja_node *node)
{
    static const struct jinja_string nothing = {.bytes = "", .trusted = true};
    const struct jinja_string *sum = &nothing;

    for (const struct jinja_node *item = node->items.first; item && jinja->rc == 0;
         item = item->next) {
        const struct jinja_string *text = jinja_str(jinja, jinja_eval(jinja, item));
        struct jinja_value plain = jinja_markup(jinja, text, false);

        if (jinja->rc == 0)
            sum = sum == &nothing ? plain.string : jinja_concat(jinja, sum, plain.string).string;
    }
    return jinja->rc < 0 ? jinja_missing() : jinja_of_string(sum);
}

static bool eval_holds(struct jinja *jinja, enum jinja_op op, struct jinja_value left,
                       struct jinja_value right)
{
    switch (op) {
    case OP_EQ: return jinja_equal(jinja, left, right);
    case OP_NE: return !jinja_equal(jinja, left, right);
    case OP_LT: return jinja_less(jinja, left, right, "<");
    case OP_LE: return jinja_less_equal(jinja, left, right, "<=");
    case OP_GT: return jinja_less(jinja, right, left, ">");
    case OP_GE: return jinja_less_equal(jinja, right, left, ">=");
    case OP_IN: return jinja_contains(jinja, right, left);
    default: return !jinja_contains(jinja, right, left);
    }
}

static struct jinja_value eval_compare(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_value left = jinja_eval(jinja, node->items.first);

    for (const struct jinja_node *operand = node->items.first->next; operand && jinja->rc == 0;
         operand = operand->next) {
        struct jinja_value right = jinja_eval(jinja, operand->unary);

        if (jinja->rc < 0 || !eval_holds(jinja, operand->op, left, right))
            return jinja_bool(false);
        left = right;
    }
    return jinja_bool(true);
}

static struct jinja_value eval_slice(struct jinja *jinja, const struct jinja_node *node)
{
    const struct jinja_node *parts[3] = {node->slice.start, node->slice.stop, node->slice.step};
    struct jinja_value object = jinja_eval(jinja, node->slice.object), bounds[3];

    for (int i = 0; i < 3; i++)
        bounds[i] = parts[i] ? jinja_eval(jinja, parts[i]) : jinja_none();
    return jinja->rc < 0 ? jinja_missing() : jinja_slice(jinja, object, bounds);
}

static struct jinja_value eval_sign(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_value value = jinja_eval(jinja, node->unary);

    if (jinja->rc < 0)
        return value;
    if (value.type == JINJA_UNDEFINED)
        return jinja_refuse_undefined(jinja, value);
    if (!jinja_is_number(value))
        return jinja_raise(jinja, "bad operand type for unary %c: '%s'",
                           node->kind == NODE_NEGATE ? '-' : '+', jinja_type_name(value));
    if (value.type == JINJA_FLOAT)
        return jinja_float(node->kind == NODE_NEGATE ? -value.real : value.real);
    if (node->kind == NODE_NEGATE)
        return jinja_binary(jinja, OP_SUB, jinja_int(0), value);
    return jinja_int(jinja_as_int(value));
}

static void eval_star(struct jinja *jinja, const struct jinja_node *node, struct jinja_list *items)
{
    struct jinja_iterator walk;
    struct jinja_value item;

    if (!jinja_iterate(jinja, jinja_eval(jinja, node), &walk))
        return;
    while (jinja_step(jinja, &walk, &item))
        jinja_list_add(jinja, items, item);
}

static const struct jinja_keyword *
eval_keywords(struct jinja *jinja, const struct jinja_arg_nodes *nodes, struct jinja_value caller,
              const struct jinja_string *caller_name, size_t *ret_count)
{
    struct jinja_value extra = jinja_none();
    struct jinja_keyword *keywords;
    size_t n = 0;

    if (nodes->star_star) {
        extra = jinja_eval(jinja, nodes->star_star);
        if (jinja->rc == 0 && extra.type != JINJA_DICT)
            jinja_raise(jinja, "argument after ** must be a mapping, not %s",
                        jinja_type_name(extra));
    }
    if (jinja->rc < 0)
        return NULL;
    keywords = jinja_alloc_array(
        jinja, nodes->keywords.count + 1 + (nodes->star_star ? extra.dict->count : 0),
        sizeof *keywords);
    if (!keywords)
        return NULL;
    for (const struct jinja_node *node = nodes->keywords.first; node && jinja->rc == 0;
         node = node->next)
        keywords[n++] = (struct jinja_keyword){&node->member.name->text,
                                               jinja_eval(jinja, node->member.object)};
    for (size_t i = 0; nodes->star_star && i < extra.dict->count && jinja->rc == 0; i++) {
        const struct jinja_entry *entry = &extra.dict->entries[i];

        if (entry->key.type != JINJA_STRING)
            jinja_raise(jinja, "keywords must be strings");
        for (size_t k = 0; k < n && jinja_charge(jinja, 1); k++)
            if (jinja_string_equal(keywords[k].name, entry->key.string))
                jinja_raise(jinja, "got multiple values for a keyword argument");
        keywords[n++] = (struct jinja_keyword){entry->key.string, entry->value};
    }
    if (caller.type != JINJA_MISSING)
        keywords[n++] = (struct jinja_keyword){caller_name, caller};
    *ret_count = n;
    return keywords;
}

/* False when an argument raised. */
static bool eval_args(struct jinja *jinja, const struct jinja_arg_nodes *nodes,
                      struct jinja_value caller, struct jinja_args *ret_args)
{
    static const struct jinja_string caller_name = {
        .bytes = "caller", .size = 6, .chars = 6, .trusted = true};

    *ret_args = (struct jinja_args){0};
    if (nodes->items.count > 0 || nodes->star) {
        struct jinja_list *items = jinja_list_new(jinja, nodes->items.count);

        for (const struct jinja_node *node = nodes->items.first; node && jinja->rc == 0;
             node = node->next)
            jinja_list_add(jinja, items, jinja_eval(jinja, node));
        if (nodes->star && jinja->rc == 0)
            eval_star(jinja, nodes->star, items);
        if (jinja->rc < 0)
            return false;
        ret_args->items = items->items;
        ret_args->count = items->count;
    }
    if (nodes->keywords.count > 0 || nodes->star_star || caller.type != JINJA_MISSING)
        ret_args->keywords =
            eval_keywords(jinja, nodes, caller, &caller_name, &ret_args->n_keywords);
    return jinja->rc == 0;
}

struct jinja_value jinja_eval_call(struct jinja *jinja, const struct jinja_node *node,
                                   struct jinja_value caller)
{
    struct jinja_value callee = jinja_eval(jinja, node->apply.object);
    struct jinja_args args;

    if (!eval_args(jinja, node->apply.args, caller, &args))
        return jinja_missing();
    return jinja_call(jinja, callee, &args);
}

static struct jinja_value eval_apply(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_value self =
        node->apply.object ? jinja_eval(jinja, node->apply.object) : jinja->captured;
    struct jinja_args args;

    if (!node->apply.builtin)
        return jinja_raise(
            jinja, "no %s named '%.*s'", node->kind == NODE_FILTER ? "filter" : "test",
            (int)(node->apply.name->text.size < 100 ? node->apply.name->text.size : 100),
            node->apply.name->text.bytes);
    if (!eval_args(jinja, node->apply.args, jinja_missing(), &args))
        return jinja_missing();
    return jinja_apply(jinja, node->apply.builtin, self, &args);
}

static struct jinja_value eval_choose(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_value test = jinja_eval(jinja, node->choice.test);

    if (jinja->rc < 0)
        return test;
    if (jinja_truth(test))
        return jinja_eval(jinja, node->choice.body.first);
    if (node->choice.other.first)
        return jinja_eval(jinja, node->choice.other.first);
    return jinja_undefined(jinja, "the inline if-expression evaluated to false and no else section "
                                  "was defined.");
}

static struct jinja_value eval_logic(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_value left = jinja_eval(jinja, node->binary.left);

    if (jinja->rc < 0 || jinja_truth(left) == (node->kind == NODE_OR))
        return left;
    return jinja_eval(jinja, node->binary.right);
}

static struct jinja_value eval_pair(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_value left = jinja_eval(jinja, node->binary.left);
    struct jinja_value right = jinja_eval(jinja, node->binary.right);

    if (jinja->rc < 0)
        return jinja_missing();
    if (node->kind == NODE_ITEM)
        return jinja_subscript(jinja, left, right);
    return jinja_binary(jinja, node->op, left, right);
}

static struct jinja_value eval_attribute(struct jinja *jinja, const struct jinja_node *node)
{
    struct jinja_value object = jinja_eval(jinja, node->member.object);

    return jinja->rc < 0 ? object : jinja_attribute(jinja, object, &node->member.name->text);
}

static struct jinja_value eval_node(struct jinja *jinja, const struct jinja_node *node)
{
    switch (node->kind) {
    case NODE_CONST: return node->constant;
    case NODE_NAME: return eval_name(jinja, node->name);
    case NODE_ATTR: return eval_attribute(jinja, node);
    case NODE_SLICE: return eval_slice(jinja, node);
    case NODE_TUPLE:
    case NODE_LIST: return eval_items(jinja, node);
    case NODE_DICT: return eval_dict(jinja, node);
    case NODE_CONCAT: return eval_concat(jinja, node);
    case NODE_COMPARE: return eval_compare(jinja, node);
    case NODE_ITEM:
    case NODE_BINARY: return eval_pair(jinja, node);
    case NODE_AND:
    case NODE_OR: return eval_logic(jinja, node);
    case NODE_NOT: return jinja_bool(!jinja_truth(jinja_eval(jinja, node->unary)));
    case NODE_NEGATE:
    case NODE_PLUS: return eval_sign(jinja, node);
    case NODE_CHOOSE: return eval_choose(jinja, node);
    case NODE_CALL: return jinja_eval_call(jinja, node, jinja_missing());
    default: return eval_apply(jinja, node); /* NODE_FILTER, NODE_TEST */
    }
}

struct jinja_value jinja_eval(struct jinja *jinja, const struct jinja_node *node)
{
    uint32_t line = jinja->line;

    if (!jinja_charge(jinja, 1) || !jinja_enter(jinja))
        return jinja_missing();
    jinja->line = node->line;
    struct jinja_value value = eval_node(jinja, node);

    jinja->line = line;
    jinja_leave(jinja);
    return jinja->rc < 0 ? jinja_missing() : value;
}
