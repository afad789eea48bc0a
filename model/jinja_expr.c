/* Expressions, loosest binding first, as in jinja2's grammar. */
#include "model/jinja_builtin.h"
#include "model/jinja_frame.h"
#include "model/jinja_parse.h"

#include <string.h>

static struct jinja_node *expr_unary(struct jinja_parser *parser, bool with_filter);
static struct jinja_node *expr_primary(struct jinja_parser *parser, bool members);

static struct jinja_node *expr_binary(struct jinja_parser *parser, enum jinja_node_kind kind,
                                      uint32_t line, struct jinja_node *left,
                                      struct jinja_node *right)
{
    struct jinja_node *node = right ? jinja_node_new(parser, kind, line) : NULL;

    if (!node)
        return NULL;
    node->binary.left = left;
    node->binary.right = right;
    return node;
}

static struct jinja_node *expr_wrap(struct jinja_parser *parser, enum jinja_node_kind kind,
                                    uint32_t line, struct jinja_node *inner)
{
    struct jinja_node *node = inner ? jinja_node_new(parser, kind, line) : NULL;

    if (!node)
        return NULL;
    node->unary = inner;
    return node;
}

static struct jinja_node *expr_const(struct jinja_parser *parser, uint32_t line,
                                     struct jinja_value constant)
{
    struct jinja_node *node = jinja_node_new(parser, NODE_CONST, line);

    if (node)
        node->constant = constant;
    return node;
}

static struct jinja_node *expr_name(struct jinja_parser *parser, const struct jinja_token *token,
                                    bool members)
{
    static const struct {
        const char *text;
        unsigned use;
    } special[] = {{"caller", USES_CALLER}, {"varargs", USES_VARARGS}, {"kwargs", USES_KWARGS}};
    const struct jinja_name *name = jinja_parse_intern(parser, token->text, token->size);

    if (!name)
        return NULL;
    if (jinja_string_is(&name->text, "true") || jinja_string_is(&name->text, "True"))
        return expr_const(parser, token->line, jinja_bool(true));
    if (jinja_string_is(&name->text, "false") || jinja_string_is(&name->text, "False"))
        return expr_const(parser, token->line, jinja_bool(false));
    if (jinja_string_is(&name->text, "none") || jinja_string_is(&name->text, "None"))
        return expr_const(parser, token->line, jinja_none());
    if (members && jinja_accept(parser, TOKEN_DOT)) {
        const struct jinja_name *attribute = jinja_expect_name(parser);
        struct jinja_node *object =
            attribute ? jinja_node_new(parser, NODE_NAME, token->line) : NULL;
        struct jinja_node *node = object ? jinja_node_new(parser, NODE_MEMBER, token->line) : NULL;

        if (!node)
            return NULL;
        object->name = name;
        node->member.object = object;
        node->member.name = attribute;
        return node;
    }
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        if (jinja_string_is(&name->text, special[i].text))
            parser->uses |= special[i].use;
    struct jinja_node *node = jinja_node_new(parser, NODE_NAME, token->line);

    jinja_mention_name(parser, name, false);
    if (node)
        node->name = name;
    return node;
}

/* Adjacent string literals are one string. */
static struct jinja_node *expr_string(struct jinja_parser *parser)
{
    const struct jinja_token *first = parser->at, *token;
    size_t size = 0;

    for (token = first; token->type == TOKEN_STRING; token++)
        size += token->size;
    parser->at = token;
    char *bytes = jinja_parse_alloc(parser, size);
    struct jinja_string *string = jinja_parse_alloc(parser, sizeof *string);

    if (!bytes || !string)
        return NULL;
    size = 0;
    for (; first < token; first++) {
        memcpy(bytes + size, first->text, first->size);
        size += first->size;
    }
    jinja_string_init(string, bytes, size);
    return expr_const(parser, token[-1].line, jinja_of_string(string));
}

/* "[a, b]" or "{k: v}" behind the opening bracket. */
static struct jinja_node *expr_display(struct jinja_parser *parser, uint32_t line,
                                       enum jinja_node_kind kind, enum jinja_token_type closer)
{
    struct jinja_node *node = jinja_node_new(parser, kind, line);
    struct jinja_node **tail = NULL;

    while (node && parser->rc == 0 && parser->at->type != closer) {
        if (node->items.count > 0 && !jinja_expect(parser, TOKEN_COMMA, "','"))
            return NULL;
        if (parser->at->type == closer)
            break;
        jinja_append(&node->items, &tail, jinja_parse_expression(parser, true));
        if (kind != NODE_DICT || parser->rc < 0)
            continue;
        if (!jinja_expect(parser, TOKEN_COLON, "':'"))
            return NULL;
        jinja_append(&node->items, &tail, jinja_parse_expression(parser, true));
    }
    return jinja_expect(parser, closer, closer == TOKEN_RBRACE ? "'}'" : "']'") ? node : NULL;
}

static struct jinja_node *expr_list_of(struct jinja_parser *parser, bool simple, bool with_choice,
                                       const char *end, bool parenthesised, bool members)
{
    struct jinja_node_list items = {0};
    struct jinja_node **tail = NULL;
    uint32_t line = parser->at->line;
    bool is_tuple = false;

    while (parser->rc == 0) {
        if (items.count > 0 && !jinja_expect(parser, TOKEN_COMMA, "','"))
            return NULL;
        if (parser->at->type == TOKEN_PRINT_END || parser->at->type == TOKEN_BLOCK_END ||
            parser->at->type == TOKEN_RPAREN || (end && jinja_sees_name(parser, end)))
            break;
        jinja_append(&items, &tail,
                     simple ? expr_primary(parser, members)
                            : jinja_parse_expression(parser, with_choice));
        if (parser->at->type != TOKEN_COMMA)
            break;
        is_tuple = true;
    }
    if (parser->rc < 0)
        return NULL;
    if (!is_tuple && items.count > 0)
        return items.first;
    if (!is_tuple && !parenthesised)
        return jinja_parse_fail(parser, parser->at->line, "expected an expression");
    struct jinja_node *node = jinja_node_new(parser, NODE_TUPLE, line);

    if (node)
        node->items = items;
    return node;
}

struct jinja_node *jinja_parse_tuple(struct jinja_parser *parser, bool with_choice, const char *end)
{
    return expr_list_of(parser, false, with_choice, end, false, false);
}

static bool expr_can_assign(struct jinja_parser *parser, const struct jinja_node *node)
{
    if (node->kind == NODE_NAME && parser->loop_names > 0 &&
        jinja_string_is(&node->name->text, "loop")) {
        jinja_parse_fail(parser, node->line, "can't assign to the loop variable inside a loop");
        return true;
    }
    if (node->kind != NODE_TUPLE)
        return node->kind == NODE_NAME || node->kind == NODE_MEMBER;
    for (const struct jinja_node *item = node->items.first; item; item = item->next)
        if (!expr_can_assign(parser, item))
            return false;
    return true;
}

struct jinja_node *jinja_parse_target(struct jinja_parser *parser, const char *end, bool members)
{
    bool mute = parser->mute;

    parser->mute = true; /* whoever assigns notes the names, when it does */
    struct jinja_node *target = expr_list_of(parser, true, true, end, false, members);

    parser->mute = mute;
    if (target && !expr_can_assign(parser, target))
        return jinja_parse_fail(parser, target->line, "can't assign to this");
    return parser->rc < 0 ? NULL : target;
}

static struct jinja_node *expr_primary(struct jinja_parser *parser, bool members)
{
    const struct jinja_token *token = parser->at;
    struct jinja_node *node;

    switch (token->type) {
    case TOKEN_NAME: parser->at++; return expr_name(parser, token, members);
    case TOKEN_STRING: return expr_string(parser);
    case TOKEN_INTEGER:
        parser->at++;
        return expr_const(parser, token->line, jinja_int(token->integer));
    case TOKEN_FLOAT:
        parser->at++;
        return expr_const(parser, token->line, jinja_float(token->real));
    case TOKEN_LPAREN:
        parser->at++;
        node = expr_list_of(parser, false, true, NULL, true, false);
        return node && jinja_expect(parser, TOKEN_RPAREN, "')'") ? node : NULL;
    case TOKEN_LBRACKET:
        parser->at++;
        return expr_display(parser, token->line, NODE_LIST, TOKEN_RBRACKET);
    case TOKEN_LBRACE:
        parser->at++;
        return expr_display(parser, token->line, NODE_DICT, TOKEN_RBRACE);
    default: return jinja_parse_fail(parser, token->line, "unexpected token in an expression");
    }
}

/* One argument: *list, **dict, name=value or value, in the order Python allows. */
static bool expr_argument(struct jinja_parser *parser, struct jinja_arg_nodes *args,
                          struct jinja_node ***items, struct jinja_node ***keywords)
{
    uint32_t line = parser->at->line;
    bool allowed = true;

    if (parser->at->type == TOKEN_MUL) {
        allowed = !args->star && !args->star_star;
        parser->at++;
        args->star = jinja_parse_expression(parser, true);
    } else if (parser->at->type == TOKEN_POW) {
        allowed = !args->star_star;
        parser->at++;
        args->star_star = jinja_parse_expression(parser, true);
    } else if (parser->at->type == TOKEN_NAME && parser->at[1].type == TOKEN_ASSIGN) {
        struct jinja_node *keyword = jinja_node_new(parser, NODE_KEYWORD, line);

        allowed = !args->star_star;
        if (!keyword)
            return false;
        if (args->keywords.count == JINJA_ARGUMENTS_MAX)
            jinja_parse_fail(parser, line, "more than %d arguments", JINJA_ARGUMENTS_MAX);
        keyword->member.name = jinja_expect_name(parser);
        parser->at++;
        for (const struct jinja_node *other = args->keywords.first; other; other = other->next)
            if (other->member.name == keyword->member.name)
                jinja_parse_fail(parser, line, "keyword argument repeated");
        keyword->member.object = jinja_parse_expression(parser, true);
        jinja_append(&args->keywords, keywords, keyword);
    } else {
        allowed = !args->star && !args->star_star && args->keywords.count == 0;
        jinja_append(&args->items, items, jinja_parse_expression(parser, true));
    }
    if (!allowed)
        jinja_parse_fail(parser, line, "arguments in an order that is not allowed");
    return parser->rc == 0;
}

/* "(...)", the current token being the bracket, or nothing: no arguments. */
static struct jinja_arg_nodes *expr_arguments(struct jinja_parser *parser)
{
    struct jinja_arg_nodes *args = jinja_parse_alloc(parser, sizeof *args);
    struct jinja_node **items = NULL, **keywords = NULL;
    bool first = true;

    if (!args || !jinja_accept(parser, TOKEN_LPAREN))
        return args;
    while (parser->rc == 0 && parser->at->type != TOKEN_RPAREN) {
        if (!first && !jinja_expect(parser, TOKEN_COMMA, "','"))
            return NULL;
        if (!first && parser->at->type == TOKEN_RPAREN)
            break;
        if (!expr_argument(parser, args, &items, &keywords))
            return NULL;
        first = false;
    }
    return jinja_expect(parser, TOKEN_RPAREN, "')'") ? args : NULL;
}

static struct jinja_node *expr_call(struct jinja_parser *parser, struct jinja_node *object)
{
    struct jinja_node *node = jinja_node_new(parser, NODE_CALL, parser->at->line);
    struct jinja_arg_nodes *args = expr_arguments(parser);

    if (!node || !args)
        return NULL;
    node->apply.object = object;
    node->apply.args = args;
    return node;
}

/* One of "start:stop:step" or an index, inside the brackets behind object. */
static struct jinja_node *expr_subscribed(struct jinja_parser *parser, struct jinja_node *object)
{
    uint32_t line = parser->at->line;
    struct jinja_node *bounds[3] = {0}, *node;
    int n = 0;

    if (parser->at->type != TOKEN_COLON) {
        bounds[0] = jinja_parse_expression(parser, true);
        if (parser->at->type != TOKEN_COLON)
            return expr_binary(parser, NODE_ITEM, line, object, bounds[0]);
    }
    while (parser->rc == 0 && n < 2 && jinja_accept(parser, TOKEN_COLON)) {
        n++;
        if (parser->at->type != TOKEN_COLON && parser->at->type != TOKEN_RBRACKET &&
            parser->at->type != TOKEN_COMMA)
            bounds[n] = jinja_parse_expression(parser, true);
    }
    node = jinja_node_new(parser, NODE_SLICE, line);
    if (!node)
        return NULL;
    node->slice.object = object;
    node->slice.start = bounds[0];
    node->slice.stop = bounds[1];
    node->slice.step = bounds[2];
    return node;
}

/* "[a, b]" behind an object: indexed by a tuple. The first index was read into node. */
static struct jinja_node *expr_tuple_index(struct jinja_parser *parser, struct jinja_node *node)
{
    struct jinja_node *tuple = jinja_node_new(parser, NODE_TUPLE, node->line);
    struct jinja_node **tail = NULL;

    if (!tuple || node->kind != NODE_ITEM)
        return jinja_parse_fail(parser, node->line, "a slice cannot be part of an index");
    jinja_append(&tuple->items, &tail, node->binary.right);
    while (parser->rc == 0 && parser->at->type != TOKEN_RBRACKET) {
        if (!jinja_expect(parser, TOKEN_COMMA, "','"))
            return NULL;
        jinja_append(&tuple->items, &tail, jinja_parse_expression(parser, true));
    }
    node->binary.right = tuple;
    return parser->rc < 0 ? NULL : node;
}

static struct jinja_node *expr_subscript(struct jinja_parser *parser, struct jinja_node *object)
{
    const struct jinja_token *token = parser->at++;
    struct jinja_node *node;

    if (token->type == TOKEN_LBRACKET) {
        if (parser->at->type == TOKEN_RBRACKET)
            return jinja_parse_fail(parser, token->line, "an index is missing");
        node = expr_subscribed(parser, object);
        if (node && parser->at->type == TOKEN_COMMA)
            node = expr_tuple_index(parser, node);
        return node && jinja_expect(parser, TOKEN_RBRACKET, "']'") ? node : NULL;
    }
    if (parser->at->type == TOKEN_INTEGER) {
        struct jinja_node *index =
            expr_const(parser, parser->at->line, jinja_int(parser->at->integer));

        parser->at++;
        return expr_binary(parser, NODE_ITEM, token->line, object, index);
    }
    const struct jinja_name *name = jinja_expect_name(parser);

    node = name ? jinja_node_new(parser, NODE_ATTR, token->line) : NULL;
    if (!node)
        return NULL;
    node->member.object = object;
    node->member.name = name;
    return node;
}

static struct jinja_node *expr_postfix(struct jinja_parser *parser, struct jinja_node *node)
{
    while (node && parser->rc == 0) {
        if (parser->at->type == TOKEN_DOT || parser->at->type == TOKEN_LBRACKET)
            node = expr_subscript(parser, node);
        else if (parser->at->type == TOKEN_LPAREN)
            node = expr_call(parser, node);
        else
            break;
    }
    return node;
}

/* "name.name" of a filter or test. */
static const struct jinja_name *expr_dotted(struct jinja_parser *parser)
{
    const struct jinja_token *first = parser->at;
    const struct jinja_name *name = jinja_expect_name(parser);

    while (name && jinja_accept(parser, TOKEN_DOT)) {
        name = jinja_expect_name(parser);
        if (!name)
            return NULL;
        const struct jinja_token *last = parser->at - 1;

        name = jinja_parse_intern(parser, first->text,
                                  (size_t)(last->text + last->size - first->text));
    }
    return name;
}

/* Notes a filter or test nobody knows: see jinja_parse.c on when that is an error. */
static void expr_note_unknown(struct jinja_parser *parser, struct jinja_node *node)
{
    if (node->apply.builtin)
        return;
    if (parser->n_unknown == parser->unknown_capacity) {
        size_t capacity = parser->unknown_capacity ? parser->unknown_capacity * 2 : 16;
        struct jinja_node **nodes = jinja_parse_alloc(parser, capacity * sizeof *nodes);

        if (!nodes)
            return;
        if (parser->n_unknown > 0)
            memcpy(nodes, parser->unknown, parser->n_unknown * sizeof *nodes);
        parser->unknown = nodes;
        parser->unknown_capacity = capacity;
    }
    parser->unknown[parser->n_unknown++] = node;
}

static struct jinja_node *expr_apply(struct jinja_parser *parser, enum jinja_node_kind kind,
                                     uint32_t line, const struct jinja_name *name,
                                     struct jinja_node *object, struct jinja_arg_nodes *args)
{
    struct jinja_node *node = name && args ? jinja_node_new(parser, kind, line) : NULL;

    if (!node)
        return NULL;
    node->apply.object = object;
    node->apply.args = args;
    node->apply.name = name;
    node->apply.builtin =
        kind == NODE_FILTER ? jinja_find_filter(&name->text) : jinja_find_test(&name->text);
    expr_note_unknown(parser, node);
    return node;
}

struct jinja_node *jinja_parse_filters(struct jinja_parser *parser, struct jinja_node *node,
                                       bool inline_first)
{
    while (parser->rc == 0 && (inline_first || jinja_accept(parser, TOKEN_PIPE))) {
        uint32_t line = parser->at->line;
        const struct jinja_name *name = expr_dotted(parser);
        struct jinja_arg_nodes *args = name ? expr_arguments(parser) : NULL;

        node = expr_apply(parser, NODE_FILTER, line, name, node, args);
        inline_first = false;
    }
    return parser->rc < 0 ? NULL : node;
}

/* "is [not] name [argument]", behind "is". */
static struct jinja_node *expr_test(struct jinja_parser *parser, uint32_t line,
                                    struct jinja_node *object)
{
    bool negated = jinja_accept_name(parser, "not");
    const struct jinja_name *name = expr_dotted(parser);
    struct jinja_arg_nodes *args = NULL;
    struct jinja_node **tail = NULL, *arg;

    if (!name)
        return NULL;
    switch (parser->at->type) {
    case TOKEN_NAME:
        if (jinja_sees_name(parser, "is"))
            return jinja_parse_fail(parser, parser->at->line, "tests with is cannot be chained");
        if (jinja_sees_name(parser, "else") || jinja_sees_name(parser, "or") ||
            jinja_sees_name(parser, "and"))
            break;
        /* fall through */
    case TOKEN_STRING:
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
    case TOKEN_LBRACKET:
    case TOKEN_LBRACE:
        args = jinja_parse_alloc(parser, sizeof *args);
        arg = expr_postfix(parser, expr_primary(parser, false));
        if (args)
            jinja_append(&args->items, &tail, arg);
        break;
    default: break;
    }
    if (!args)
        args = expr_arguments(parser);
    if (parser->rc < 0)
        return NULL;
    struct jinja_node *node = expr_apply(parser, NODE_TEST, line, name, object, args);

    return negated ? expr_wrap(parser, NODE_NOT, line, node) : node;
}

static struct jinja_node *expr_filters(struct jinja_parser *parser, struct jinja_node *node)
{
    while (node && parser->rc == 0) {
        uint32_t line = parser->at->line;

        if (parser->at->type == TOKEN_PIPE)
            node = jinja_parse_filters(parser, node, false);
        else if (jinja_accept_name(parser, "is"))
            node = expr_test(parser, line, node);
        else if (parser->at->type == TOKEN_LPAREN)
            node = expr_call(parser, node);
        else
            break;
    }
    return node;
}

static struct jinja_node *expr_unary(struct jinja_parser *parser, bool with_filter)
{
    const struct jinja_token *token = parser->at;
    struct jinja_node *node;

    if (!jinja_parse_enter(parser))
        return NULL;
    if (token->type == TOKEN_SUB || token->type == TOKEN_ADD) {
        parser->at++;
        node = expr_wrap(parser, token->type == TOKEN_SUB ? NODE_NEGATE : NODE_PLUS, token->line,
                         expr_unary(parser, false));
    } else {
        node = expr_primary(parser, false);
    }
    node = expr_postfix(parser, node);
    parser->depth--;
    return with_filter ? expr_filters(parser, node) : node;
}

/* The arithmetic levels, loosest first; the string operator ~ stands between them. */
enum expr_level { LEVEL_SUM, LEVEL_CONCAT, LEVEL_PRODUCT, LEVEL_POWER, LEVEL_UNARY };

static bool expr_operator(enum expr_level level, enum jinja_token_type type, enum jinja_op *ret_op)
{
    static const struct {
        enum jinja_token_type type;
        enum expr_level level;
        enum jinja_op op;
    } operators[] = {
        {TOKEN_ADD, LEVEL_SUM, OP_ADD},     {TOKEN_SUB, LEVEL_SUM, OP_SUB},
        {TOKEN_MUL, LEVEL_PRODUCT, OP_MUL}, {TOKEN_DIV, LEVEL_PRODUCT, OP_DIV},
        {TOKEN_MOD, LEVEL_PRODUCT, OP_MOD}, {TOKEN_FLOORDIV, LEVEL_PRODUCT, OP_FLOORDIV},
        {TOKEN_POW, LEVEL_POWER, OP_POW},
    };

    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (operators[i].type == type && operators[i].level == level) {
            *ret_op = operators[i].op;
            return true;
        }
    return false;
}

static struct jinja_node *expr_level(struct jinja_parser *parser, enum expr_level level)
{
    uint32_t line = parser->at->line;
    enum jinja_op op;

    if (level == LEVEL_UNARY)
        return expr_unary(parser, true);
    struct jinja_node *left = expr_level(parser, level + 1);

    if (level == LEVEL_CONCAT && parser->rc == 0 && parser->at->type == TOKEN_TILDE) {
        struct jinja_node *node = jinja_node_new(parser, NODE_CONCAT, line), **tail = NULL;

        if (node)
            jinja_append(&node->items, &tail, left);
        while (node && parser->rc == 0 && jinja_accept(parser, TOKEN_TILDE))
            jinja_append(&node->items, &tail, expr_level(parser, level + 1));
        return node;
    }
    while (left && parser->rc == 0 && expr_operator(level, parser->at->type, &op)) {
        parser->at++;
        left = expr_binary(parser, NODE_BINARY, line, left, expr_level(parser, level + 1));
        if (left)
            left->op = op;
        line = parser->at->line;
    }
    return left;
}

static bool expr_comparison(struct jinja_parser *parser, enum jinja_op *ret_op)
{
    static const struct {
        enum jinja_token_type type;
        enum jinja_op op;
    } operators[] = {{TOKEN_EQ, OP_EQ}, {TOKEN_NE, OP_NE}, {TOKEN_LT, OP_LT},
                     {TOKEN_LE, OP_LE}, {TOKEN_GT, OP_GT}, {TOKEN_GE, OP_GE}};

    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (jinja_accept(parser, operators[i].type)) {
            *ret_op = operators[i].op;
            return true;
        }
    *ret_op = OP_IN;
    if (jinja_accept_name(parser, "in"))
        return true;
    const struct jinja_token *next = parser->at + 1;

    if (!jinja_sees_name(parser, "not") || next->type != TOKEN_NAME || next->size != 2 ||
        memcmp(next->text, "in", 2) != 0)
        return false;
    parser->at += 2;
    *ret_op = OP_NOT_IN;
    return true;
}

static struct jinja_node *expr_compare(struct jinja_parser *parser)
{
    uint32_t line = parser->at->line;
    struct jinja_node *first = expr_level(parser, LEVEL_SUM), *node = NULL, **tail = NULL;
    enum jinja_op op;

    while (first && parser->rc == 0 && expr_comparison(parser, &op)) {
        struct jinja_node *right =
            expr_wrap(parser, NODE_OPERAND, line, expr_level(parser, LEVEL_SUM));

        if (!node) {
            node = jinja_node_new(parser, NODE_COMPARE, line);
            if (node)
                jinja_append(&node->items, &tail, first);
        }
        if (!right || !node)
            return NULL;
        right->op = op;
        jinja_append(&node->items, &tail, right);
    }
    return node ? node : first;
}

static struct jinja_node *expr_not(struct jinja_parser *parser)
{
    uint32_t line = parser->at->line;
    struct jinja_node *node;

    if (!jinja_accept_name(parser, "not"))
        return expr_compare(parser);
    if (!jinja_parse_enter(parser))
        return NULL;
    node = expr_wrap(parser, NODE_NOT, line, expr_not(parser));
    parser->depth--;
    return node;
}

static struct jinja_node *expr_and(struct jinja_parser *parser)
{
    uint32_t line = parser->at->line;
    struct jinja_node *left = expr_not(parser);

    while (left && parser->rc == 0 && jinja_accept_name(parser, "and"))
        left = expr_binary(parser, NODE_AND, line, left, expr_not(parser));
    return left;
}

static struct jinja_node *expr_or(struct jinja_parser *parser)
{
    uint32_t line = parser->at->line;
    struct jinja_node *left = expr_and(parser);

    while (left && parser->rc == 0 && jinja_accept_name(parser, "or"))
        left = expr_binary(parser, NODE_OR, line, left, expr_and(parser));
    return left;
}

/* Unknown filters and tests noted since `from` may stay: they raise only when reached. */
static void expr_excuse_unknown(struct jinja_parser *parser, size_t from)
{
    parser->n_unknown = from < parser->n_unknown ? from : parser->n_unknown;
}

struct jinja_node *jinja_parse_expression(struct jinja_parser *parser, bool with_choice)
{
    size_t unknown = parser->n_unknown;
    uint32_t line = parser->at->line;

    if (parser->rc < 0 || !jinja_parse_enter(parser))
        return NULL;
    struct jinja_node *node = expr_or(parser);

    while (with_choice && node && parser->rc == 0 && jinja_accept_name(parser, "if")) {
        struct jinja_node *choice = jinja_node_new(parser, NODE_CHOOSE, line), **tail = NULL;

        if (!choice)
            return NULL;
        jinja_append(&choice->choice.body, &tail, node);
        choice->choice.test = expr_or(parser);
        tail = NULL;
        if (parser->rc == 0 && jinja_accept_name(parser, "else"))
            jinja_append(&choice->choice.other, &tail, jinja_parse_expression(parser, true));
        expr_excuse_unknown(parser, unknown);
        node = choice;
    }
    parser->depth--;
    return parser->rc < 0 ? NULL : node;
}
