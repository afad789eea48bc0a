/*
 * Statements. A filter or test that does not exist is an error where jinja2 makes it one: anywhere
 * but in a branch that may not be taken (if, inline if) of the same loop, macro or block.
 */
#include "model/jinja_parse.h"
#include "model/chat_template.h"
#include "model/jinja_frame.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void parse_body(struct jinja_parser *parser, struct jinja_node_list *body,
                       const char *const *ends);

struct jinja_node *jinja_parse_fail(struct jinja_parser *parser, uint32_t line, const char *format,
                                    ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (parser->rc == 0)
        parser->rc = err_set(parser->err, EINVAL, "line %u: %s", line, text);
    return NULL;
}

void *jinja_parse_alloc(struct jinja_parser *parser, size_t size)
{
    void *memory = parser->rc == 0 ? arena_alloc(parser->arena, size) : NULL;

    if (!memory && parser->rc == 0)
        parser->rc =
            err_set(parser->err, E2BIG, "line %u: the template is too large", parser->at->line);
    return memory;
}

struct jinja_node *jinja_node_new(struct jinja_parser *parser, enum jinja_node_kind kind,
                                  uint32_t line)
{
    struct jinja_node *node = jinja_parse_alloc(parser, sizeof *node);

    if (node) {
        node->kind = kind;
        node->line = line;
    }
    return node;
}

void jinja_append(struct jinja_node_list *list, struct jinja_node ***tail, struct jinja_node *node)
{
    if (!node)
        return;
    if (list->count == 0)
        list->first = node;
    else
        **tail = node;
    *tail = &node->next;
    list->count++;
}

bool jinja_parse_enter(struct jinja_parser *parser)
{
    if (parser->depth < CHAT_TEMPLATE_NESTING_MAX) {
        parser->depth++;
        return true;
    }
    if (parser->rc == 0)
        parser->rc = err_set(parser->err, E2BIG, "line %u: the template is nested too deeply",
                             parser->at->line);
    return false;
}

bool jinja_sees_name(const struct jinja_parser *parser, const char *name)
{
    return parser->at->type == TOKEN_NAME && parser->at->size == strlen(name) &&
           memcmp(parser->at->text, name, parser->at->size) == 0;
}

bool jinja_accept_name(struct jinja_parser *parser, const char *name)
{
    if (!jinja_sees_name(parser, name))
        return false;
    parser->at++;
    return true;
}

bool jinja_accept(struct jinja_parser *parser, enum jinja_token_type type)
{
    if (parser->at->type != type)
        return false;
    parser->at++;
    return true;
}

bool jinja_expect(struct jinja_parser *parser, enum jinja_token_type type, const char *what)
{
    if (parser->rc == 0 && jinja_accept(parser, type))
        return true;
    jinja_parse_fail(parser, parser->at->line, "expected %s", what);
    return false;
}

static size_t parse_hash(const char *text, size_t size)
{
    size_t hash = 5381;

    for (size_t i = 0; i < size; i++)
        hash = hash * 33 + (unsigned char)text[i];
    return hash;
}

static struct jinja_name **parse_slot(const struct jinja_parser *parser, const char *text,
                                      size_t size)
{
    size_t at = parse_hash(text, size) & (parser->n_slots - 1);

    while (parser->slots[at] && (parser->slots[at]->text.size != size ||
                                 memcmp(parser->slots[at]->text.bytes, text, size) != 0))
        at = (at + 1) & (parser->n_slots - 1);
    return &parser->slots[at];
}

static bool parse_grow_names(struct jinja_parser *parser)
{
    struct jinja_name **old = parser->slots;
    size_t n_old = parser->n_slots, n_slots = n_old ? n_old * 2 : 128;
    struct jinja_name **slots = jinja_parse_alloc(parser, n_slots * sizeof *slots);

    if (!slots)
        return false;
    parser->slots = slots;
    parser->n_slots = n_slots;
    for (size_t i = 0; i < n_old; i++)
        if (old[i])
            *parse_slot(parser, old[i]->text.bytes, old[i]->text.size) = old[i];
    return true;
}

const struct jinja_name *jinja_parse_intern(struct jinja_parser *parser, const char *text,
                                            size_t size)
{
    if (parser->n_names * 2 >= parser->n_slots && !parse_grow_names(parser))
        return NULL;
    struct jinja_name **slot = parse_slot(parser, text, size);

    if (*slot)
        return *slot;
    struct jinja_name *name = jinja_parse_alloc(parser, sizeof *name);

    if (!name)
        return NULL;
    jinja_string_init(&name->text, text, size);
    name->id = (unsigned)parser->n_names++;
    *slot = name;
    return name;
}

const struct jinja_name *jinja_expect_name(struct jinja_parser *parser)
{
    const struct jinja_token *token = parser->at;

    return jinja_expect(parser, TOKEN_NAME, "a name")
               ? jinja_parse_intern(parser, token->text, token->size)
               : NULL;
}

/* Over the name that ended a body. */
static void parse_skip_end(struct jinja_parser *parser)
{
    if (parser->rc == 0)
        parser->at++;
}

/* Filters and tests that do not exist, noted since `from` and not excused, are errors now. */
static void parse_check_unknown(struct jinja_parser *parser, size_t from)
{
    if (parser->n_unknown <= from)
        return;
    const struct jinja_node *node = parser->unknown[from];

    jinja_parse_fail(parser, node->line, "no %s named '%.*s'",
                     node->kind == NODE_FILTER ? "filter" : "test",
                     (int)node->apply.name->text.size, node->apply.name->text.bytes);
}

/* The body of a loop, macro or capturing block, up to one of `ends` (current token then: the end).
 */
static void parse_inner(struct jinja_parser *parser, struct jinja_node_list *body,
                        const char *const *ends)
{
    size_t unknown = parser->n_unknown;

    parse_body(parser, body, ends);
    parse_check_unknown(parser, unknown);
}

static struct jinja_node *parse_for(struct jinja_parser *parser, uint32_t line)
{
    static const char *const ends[] = {"endfor", "else", NULL}, *const end[] = {"endfor", NULL};
    struct jinja_node *node = jinja_node_new(parser, NODE_FOR, line);
    struct jinja_loop_node *loop = jinja_parse_alloc(parser, sizeof *loop);
    bool captures = parser->captures;
    unsigned loops = parser->loops;

    if (!node || !loop)
        return NULL;
    node->loop = loop;
    loop->name = jinja_parse_intern(parser, "loop", 4);
    parser->loop_names++;
    loop->target = jinja_parse_target(parser, "in", false);
    if (!loop->target || !jinja_accept_name(parser, "in"))
        return jinja_parse_fail(parser, parser->at->line, "expected 'in'");
    loop->source = jinja_parse_tuple(parser, false, "recursive");
    if (parser->rc == 0 && jinja_accept_name(parser, "if")) {
        size_t unknown = parser->n_unknown;
        bool mute = parser->mute;

        parser->mute = true; /* a frame of its own that sets nothing */
        loop->test = jinja_parse_expression(parser, true);
        parser->mute = mute;
        parse_check_unknown(parser, unknown);
    }
    if (parser->rc < 0)
        return NULL;
    loop->recursive = jinja_accept_name(parser, "recursive");
    parser->captures = loop->recursive;
    parser->loops = loops + 1;
    if (!jinja_frame_enter(parser))
        return NULL;
    jinja_mention_target(parser, loop->target, false);
    parse_inner(parser, &loop->body, ends);
    loop->unset = jinja_frame_leave(parser);
    loop->captures = parser->captures;
    parser->loops = loop->recursive ? 0 : loops;
    if (parser->rc == 0 && jinja_accept_name(parser, "else") && jinja_frame_enter(parser)) {
        parse_inner(parser, &loop->other, end);
        loop->other_unset = jinja_frame_leave(parser);
    }
    parser->loops = loops;
    parser->loop_names--;
    parser->captures = captures || parser->captures;
    parse_skip_end(parser);
    return node;
}

static struct jinja_node *parse_if(struct jinja_parser *parser, uint32_t line)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const end[] = {"endif",
                                                                                       NULL};
    size_t unknown = parser->n_unknown;
    struct jinja_node *first = jinja_node_new(parser, NODE_IF, line), *node = first;
    struct jinja_node **tail = NULL;

    while (node && parser->rc == 0) {
        node->choice.test = jinja_parse_tuple(parser, false, NULL);
        parser->branches++;
        parse_body(parser, &node->choice.body, ends);
        parser->branches--;
        if (parser->rc < 0)
            return NULL;
        if (jinja_accept_name(parser, "elif")) {
            struct jinja_node *other = jinja_node_new(parser, NODE_IF, parser->at->line);

            tail = NULL;
            jinja_append(&node->choice.other, &tail, other);
            node = other;
            continue;
        }
        if (jinja_accept_name(parser, "else")) {
            parser->branches++;
            parse_body(parser, &node->choice.other, end);
            parser->branches--;
        }
        break;
    }
    parse_skip_end(parser);
    parser->n_unknown = unknown; /* reached only when its branch is taken */
    return first;
}

static struct jinja_node *parse_set(struct jinja_parser *parser, uint32_t line)
{
    static const char *const end[] = {"endset", NULL};
    struct jinja_node *target = jinja_parse_target(parser, NULL, true), *node;

    if (!target)
        return NULL;
    if (jinja_accept(parser, TOKEN_ASSIGN)) {
        node = jinja_node_new(parser, NODE_SET, line);
        if (!node)
            return NULL;
        node->binary.left = target;
        node->binary.right = jinja_parse_tuple(parser, true, NULL);
        jinja_mention_target(parser, target, true);
        return node;
    }
    node = jinja_node_new(parser, NODE_SET_BLOCK, line);
    if (!node)
        return NULL;
    size_t unknown = parser->n_unknown;

    node->capture.target = target;
    jinja_mention_target(parser, target, true);
    if (!jinja_frame_enter(parser))
        return NULL;
    node->capture.filter = jinja_parse_filters(parser, NULL, false);
    parse_body(parser, &node->capture.body, end);
    node->capture.unset = jinja_frame_leave(parser);
    parse_check_unknown(parser, unknown);
    parse_skip_end(parser);
    return node;
}

static struct jinja_node *parse_filter_block(struct jinja_parser *parser, uint32_t line)
{
    static const char *const end[] = {"endfilter", NULL};
    struct jinja_node *node = jinja_node_new(parser, NODE_FILTER_BLOCK, line);
    size_t unknown = parser->n_unknown;

    if (!node || !jinja_frame_enter(parser))
        return NULL;
    node->capture.filter = jinja_parse_filters(parser, NULL, true);
    parse_body(parser, &node->capture.body, end);
    node->capture.unset = jinja_frame_leave(parser);
    parse_check_unknown(parser, unknown);
    parse_skip_end(parser);
    return node;
}

/* "(a, b=1)" behind the name of a macro or "call". */
static void parse_signature(struct jinja_parser *parser, struct jinja_macro_node *macro)
{
    size_t capacity = 0;

    if (!jinja_expect(parser, TOKEN_LPAREN, "'('"))
        return;
    while (parser->rc == 0 && parser->at->type != TOKEN_RPAREN) {
        if (macro->n_params > 0 && !jinja_expect(parser, TOKEN_COMMA, "','"))
            return;
        if (macro->n_params == capacity) {
            capacity = capacity ? capacity * 2 : 4;
            struct jinja_param *params = jinja_parse_alloc(parser, capacity * sizeof *params);

            if (!params)
                return;
            if (macro->n_params > 0)
                memcpy(params, macro->params, macro->n_params * sizeof *params);
            macro->params = params;
        }
        struct jinja_param *param = &macro->params[macro->n_params];

        if (macro->n_params == JINJA_ARGUMENTS_MAX)
            jinja_parse_fail(parser, parser->at->line, "more than %d arguments",
                             JINJA_ARGUMENTS_MAX);
        *param = (struct jinja_param){.name = jinja_expect_name(parser)};
        for (size_t i = 0; i < macro->n_params; i++)
            if (macro->params[i].name == param->name)
                jinja_parse_fail(parser, parser->at->line, "duplicate argument of a macro");
        if (jinja_accept(parser, TOKEN_ASSIGN))
            param->value = jinja_parse_expression(parser, true);
        else if (macro->n_params > 0 && macro->params[macro->n_params - 1].value)
            jinja_parse_fail(parser, parser->at->line,
                             "non-default argument follows default argument");
        macro->n_params++;
    }
    jinja_expect(parser, TOKEN_RPAREN, "')'");
}

static void parse_macro_body(struct jinja_parser *parser, struct jinja_macro_node *macro,
                             const char *const *end)
{
    unsigned uses = parser->uses, loops = parser->loops;

    parser->uses = 0;
    parser->loops = 0;
    for (size_t i = 0; i < macro->n_params && parser->rc == 0; i++)
        jinja_mention_name(parser, macro->params[i].name, false);
    parse_inner(parser, &macro->body, end);
    macro->uses = parser->uses;
    macro->caller = jinja_parse_intern(parser, "caller", 6);
    macro->varargs = jinja_parse_intern(parser, "varargs", 7);
    macro->kwargs = jinja_parse_intern(parser, "kwargs", 6);
    for (size_t i = 0; i < macro->n_params; i++) { /* an argument of that name takes its place */
        macro->uses &= macro->params[i].name == macro->varargs ? ~(unsigned)USES_VARARGS : ~0u;
        macro->uses &= macro->params[i].name == macro->kwargs ? ~(unsigned)USES_KWARGS : ~0u;
    }
    parser->uses |= uses;
    parser->loops = loops;
    parser->captures = true;
    for (size_t i = 0; i < macro->n_params && parser->rc == 0; i++)
        if (jinja_string_is(&macro->params[i].name->text, "caller") && !macro->params[i].value &&
            (macro->uses & USES_CALLER))
            jinja_parse_fail(parser, parser->at->line,
                             "the argument caller must be omitted or have a default");
    parse_skip_end(parser);
}

static struct jinja_node *parse_macro(struct jinja_parser *parser, uint32_t line)
{
    static const char *const end[] = {"endmacro", NULL};
    struct jinja_node *node = jinja_node_new(parser, NODE_MACRO, line);
    struct jinja_macro_node *macro = jinja_parse_alloc(parser, sizeof *macro);

    if (!node || !macro)
        return NULL;
    node->macro = macro;
    macro->name = jinja_expect_name(parser);
    if (!macro->name)
        return NULL;
    size_t unknown = parser->n_unknown;

    jinja_mention_name(parser, macro->name, true);
    if (!jinja_frame_enter(parser))
        return NULL;
    parse_signature(parser, macro);
    parse_check_unknown(parser, unknown);
    parse_macro_body(parser, macro, end);
    macro->unset = jinja_frame_leave(parser);
    return node;
}

static struct jinja_node *parse_call_block(struct jinja_parser *parser, uint32_t line)
{
    static const char *const end[] = {"endcall", NULL};
    struct jinja_node *node = jinja_node_new(parser, NODE_CALL_BLOCK, line);
    struct jinja_macro_node *macro = jinja_parse_alloc(parser, sizeof *macro);

    if (!node || !macro)
        return NULL;
    node->macro = macro;
    bool mute = parser->mute;

    parser->mute = true; /* defaults are read in the body's frame, which is not yet */
    if (parser->at->type == TOKEN_LPAREN)
        parse_signature(parser, macro);
    parser->mute = mute;
    macro->call = jinja_parse_expression(parser, true);
    if (macro->call && macro->call->kind != NODE_CALL)
        return jinja_parse_fail(parser, line, "expected a call");
    if (!jinja_frame_enter(parser))
        return NULL;
    parse_macro_body(parser, macro, end);
    macro->unset = jinja_frame_leave(parser);
    return node;
}

static struct jinja_node *parse_with(struct jinja_parser *parser, uint32_t line)
{
    static const char *const end[] = {"endwith", NULL};
    struct jinja_node *node = jinja_node_new(parser, NODE_WITH, line);
    struct jinja_node **targets = NULL, **values = NULL;

    while (node && parser->rc == 0 && parser->at->type != TOKEN_BLOCK_END) {
        if (node->with.targets.count > 0 && !jinja_expect(parser, TOKEN_COMMA, "','"))
            return NULL;
        jinja_append(&node->with.targets, &targets, jinja_parse_target(parser, NULL, false));
        if (!jinja_expect(parser, TOKEN_ASSIGN, "'='"))
            return NULL;
        jinja_append(&node->with.values, &values, jinja_parse_expression(parser, true));
    }
    if (!node || !jinja_frame_enter(parser))
        return NULL;
    for (const struct jinja_node *target = node->with.targets.first; target; target = target->next)
        jinja_mention_target(parser, target, false);
    parse_inner(parser, &node->with.body, end);
    node->with.unset = jinja_frame_leave(parser);
    parse_skip_end(parser);
    return node;
}

/* Transformers' tag around what the model said: its body is a scope (and a macro to break). */
static struct jinja_node *parse_generation(struct jinja_parser *parser, uint32_t line)
{
    static const char *const end[] = {"endgeneration", NULL};
    struct jinja_node *node = jinja_node_new(parser, NODE_SCOPE, line);
    unsigned loops = parser->loops;

    if (!node || !jinja_frame_enter(parser))
        return NULL;
    parser->loops = 0;
    parse_inner(parser, &node->with.body, end);
    node->with.unset = jinja_frame_leave(parser);
    parser->loops = loops;
    parse_skip_end(parser);
    return node;
}

static struct jinja_node *parse_jump(struct jinja_parser *parser, uint32_t line,
                                     enum jinja_node_kind kind)
{
    if (parser->loops == 0)
        return jinja_parse_fail(parser, line, "break or continue outside of a loop");
    return jinja_node_new(parser, kind, line);
}

static struct jinja_node *parse_unknown_tag(struct jinja_parser *parser,
                                            const struct jinja_token *tag)
{
    static const char *const unsupported[] = {"include", "import", "from",
                                              "extends", "block",  "autoescape"};

    for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++)
        if (tag->size == strlen(unsupported[i]) &&
            memcmp(tag->text, unsupported[i], tag->size) == 0)
            return jinja_parse_fail(parser, tag->line,
                                    "the tag '%s' is not supported in chat templates",
                                    unsupported[i]);
    return jinja_parse_fail(parser, tag->line, "unknown tag '%.*s'",
                            (int)(tag->size < 80 ? tag->size : 80), tag->text);
}

/* "print a, b": one node per expression, appended to body. */
static void parse_print(struct jinja_parser *parser, struct jinja_node_list *body,
                        struct jinja_node ***tail)
{
    bool first = true;

    while (parser->rc == 0 && parser->at->type != TOKEN_BLOCK_END) {
        if (!first && !jinja_expect(parser, TOKEN_COMMA, "','"))
            return;
        struct jinja_node *node = jinja_node_new(parser, NODE_PRINT, parser->at->line);

        if (node)
            node->unary = jinja_parse_expression(parser, true);
        jinja_append(body, tail, node);
        first = false;
    }
}

/* One tag, the current token being its name. */
static void parse_tag(struct jinja_parser *parser, struct jinja_node_list *body,
                      struct jinja_node ***tail)
{
    const struct jinja_token *tag = parser->at;
    uint32_t line = tag->line;
    struct jinja_node *node;

    if (tag->type != TOKEN_NAME) {
        jinja_parse_fail(parser, line, "expected the name of a tag");
        return;
    }
    if (jinja_accept_name(parser, "print")) {
        parse_print(parser, body, tail);
        return;
    }
    if (jinja_accept_name(parser, "for"))
        node = parse_for(parser, line);
    else if (jinja_accept_name(parser, "if"))
        node = parse_if(parser, line);
    else if (jinja_accept_name(parser, "set"))
        node = parse_set(parser, line);
    else if (jinja_accept_name(parser, "macro"))
        node = parse_macro(parser, line);
    else if (jinja_accept_name(parser, "call"))
        node = parse_call_block(parser, line);
    else if (jinja_accept_name(parser, "filter"))
        node = parse_filter_block(parser, line);
    else if (jinja_accept_name(parser, "with"))
        node = parse_with(parser, line);
    else if (jinja_accept_name(parser, "generation"))
        node = parse_generation(parser, line);
    else if (jinja_accept_name(parser, "break"))
        node = parse_jump(parser, line, NODE_BREAK);
    else if (jinja_accept_name(parser, "continue"))
        node = parse_jump(parser, line, NODE_CONTINUE);
    else
        node = parse_unknown_tag(parser, tag);
    jinja_append(body, tail, node);
}

static bool parse_at_end(const struct jinja_parser *parser, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (jinja_sees_name(parser, *ends))
            return true;
    return false;
}

/* Text, prints and tags up to one of `ends` (the current token then), or the template's end. */
static void parse_pieces(struct jinja_parser *parser, struct jinja_node_list *body,
                         const char *const *ends)
{
    struct jinja_node **tail = NULL;

    while (parser->rc == 0 && parser->at->type != TOKEN_END) {
        const struct jinja_token *token = parser->at++;
        struct jinja_node *node;

        if (token->type == TOKEN_DATA) {
            struct jinja_string *text = jinja_parse_alloc(parser, sizeof *text);

            node = text ? jinja_node_new(parser, NODE_DATA, token->line) : NULL;
            if (!node)
                return;
            jinja_string_init(text, token->text, token->size);
            node->constant = jinja_of_string(text);
            jinja_append(body, &tail, node);
        } else if (token->type == TOKEN_PRINT_BEGIN) {
            node = jinja_node_new(parser, NODE_PRINT, token->line);
            if (node)
                node->unary = jinja_parse_tuple(parser, true, NULL);
            jinja_append(body, &tail, node);
            jinja_expect(parser, TOKEN_PRINT_END, "'}}'");
        } else { /* the lexer puts nothing else outside of tags */
            if (parse_at_end(parser, ends))
                return;
            parse_tag(parser, body, &tail);
            jinja_expect(parser, TOKEN_BLOCK_END, "'%}'");
        }
    }
    if (ends)
        jinja_parse_fail(parser, parser->at->line, "unexpected end of template, '%s' is missing",
                         ends[0]);
}

static void parse_body(struct jinja_parser *parser, struct jinja_node_list *body,
                       const char *const *ends)
{
    if (parser->rc < 0)
        return;
    jinja_accept(parser, TOKEN_COLON); /* as in Python */
    if (!jinja_expect(parser, TOKEN_BLOCK_END, "'%}'") || !jinja_parse_enter(parser))
        return;
    parse_pieces(parser, body, ends);
    parser->depth--;
}

int jinja_parse(struct chat_template *tmpl, const char *source, size_t size, struct err *err)
{
    struct jinja_tokens tokens;
    int rc = jinja_tokenize(&tokens, &tmpl->arena, source, size, err);

    if (rc < 0)
        return rc;
    struct jinja_parser parser = {.arena = &tmpl->arena, .at = tokens.items, .err = err};

    if (!jinja_frame_enter(&parser))
        return parser.rc;
    parse_pieces(&parser, &tmpl->body, NULL);
    tmpl->unset = jinja_frame_leave(&parser);
    jinja_frame_resolve(&parser);
    parse_check_unknown(&parser, 0);
    tmpl->names = jinja_parse_alloc(&parser, parser.n_names * sizeof(struct jinja_name *));
    if (parser.rc < 0)
        return parser.rc;
    for (size_t i = 0; i < parser.n_slots; i++)
        if (parser.slots[i])
            tmpl->names[parser.slots[i]->id] = parser.slots[i];
    tmpl->n_names = parser.n_names;
    return 0;
}
