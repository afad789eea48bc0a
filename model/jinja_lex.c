/*
 * Works as jinja2's table of regular expressions does: outside tags the next "{{", "{%" or "{#" is
 * looked for; inside, tokens up to the closing mark, which counts only when all brackets are
 * closed. White space left of a tag goes with "-", or with lstrip_blocks when the tag is the first
 * thing on its line ("+" keeps it); right of it with "-", and after a block or comment one newline
 * goes.
 */
#include "model/jinja_lex.h"
#include "model/jinja_unicode.h"
#include "model/utf8.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BRACKETS_MAX 200 /* open at once, as in CPython's own parser */

struct lexer {
    struct arena *arena;
    const char *at, *end;
    uint32_t line;
    bool line_starting; /* the last thing read ended in a newline (or nothing was read) */
    char closers[BRACKETS_MAX];
    size_t n_closers;
    struct jinja_tokens tokens;
    int rc;
    struct err *err;
};

static bool lex_fail(struct lexer *lexer, const char *what)
{
    if (lexer->rc == 0)
        lexer->rc = err_set(lexer->err, EINVAL, "line %u: %s", lexer->line, what);
    return false;
}

static void *lex_alloc(struct lexer *lexer, size_t size)
{
    void *memory = arena_alloc(lexer->arena, size);

    if (!memory && lexer->rc == 0)
        lexer->rc = err_set(lexer->err, E2BIG, "line %u: the template is too large", lexer->line);
    return memory;
}

static struct jinja_token *lex_push(struct lexer *lexer, enum jinja_token_type type,
                                    const char *text, size_t size)
{
    struct jinja_tokens *tokens = &lexer->tokens;

    if (tokens->count == tokens->capacity) {
        size_t capacity = tokens->capacity ? tokens->capacity * 2 : 64;
        struct jinja_token *items = lex_alloc(lexer, capacity * sizeof *items);

        if (!items)
            return NULL;
        if (tokens->count > 0)
            memcpy(items, tokens->items, tokens->count * sizeof *items);
        tokens->items = items;
        tokens->capacity = capacity;
    }
    struct jinja_token *token = &tokens->items[tokens->count++];

    *token = (struct jinja_token){.type = type, .line = lexer->line, .text = text, .size = size};
    return token;
}

/* Moves on to `to`, counting lines. */
static void lex_advance(struct lexer *lexer, const char *to)
{
    for (const char *at = lexer->at; at < to; at++)
        lexer->line += *at == '\n';
    if (to > lexer->at)
        lexer->line_starting = to[-1] == '\n';
    lexer->at = to;
}

static bool lex_sees(const struct lexer *lexer, const char *at, const char *text)
{
    size_t size = strlen(text);

    return (size_t)(lexer->end - at) >= size && memcmp(at, text, size) == 0;
}

static const char *lex_skip_space(const struct lexer *lexer, const char *at)
{
    while (at < lexer->end) {
        const char *next = at;

        if (!jinja_is_space(jinja_utf8_next(&next)))
            break;
        at = next;
    }
    return at;
}

/* Where text ends once what a tag with `sign` strips on its left is gone. */
static const char *lex_strip_left(const struct lexer *lexer, const char *text, const char *tag,
                                  char sign, bool block)
{
    const char *end = tag;

    if (sign == '-') {
        while (end > text) {
            const char *before = jinja_utf8_before(end), *next = before;

            if (!jinja_is_space(jinja_utf8_next(&next)))
                break;
            end = before;
        }
        return end;
    }
    if (sign == '+' || !block)
        return end;
    while (end > text && end[-1] != '\n')
        end--;
    if (end == text && !lexer->line_starting)
        return tag;
    return lex_skip_space(lexer, end) >= tag ? end : tag;
}

/* Skips what a closing mark strips on its right; at: behind the mark. */
static const char *lex_strip_right(const struct lexer *lexer, const char *at, char sign)
{
    if (sign == '-')
        return lex_skip_space(lexer, at);
    if (sign != '+' && at < lexer->end && *at == '\n')
        at++;
    return at;
}

/* A closing mark such as "%}" at `at`, with its sign: where it ends, or NULL. */
static const char *lex_closing(const struct lexer *lexer, const char *at, const char *mark)
{
    char sign = at < lexer->end && (*at == '-' || *at == '+') ? *at : '\0';

    if (sign)
        at++;
    if (!lex_sees(lexer, at, mark))
        return NULL;
    return lex_strip_right(lexer, at + 2, sign);
}

/* "{% <word> %}" at `at`: behind its "{%", sign and word, or NULL. */
static const char *lex_tag_word(const struct lexer *lexer, const char *at, const char *word,
                                char *ret_sign)
{
    if (!lex_sees(lexer, at, "{%"))
        return NULL;
    at += 2;
    *ret_sign = at < lexer->end && (*at == '-' || *at == '+') ? *at : '\0';
    if (*ret_sign)
        at++;
    at = lex_skip_space(lexer, at);
    if (!lex_sees(lexer, at, word))
        return NULL;
    return lex_skip_space(lexer, at + strlen(word));
}

static bool lex_data(struct lexer *lexer, const char *text, const char *end)
{
    if (end > text)
        lex_push(lexer, TOKEN_DATA, text, (size_t)(end - text));
    return lexer->rc == 0;
}

static bool lex_comment(struct lexer *lexer, const char *at)
{
    for (; at < lexer->end; at++) {
        const char *after = lex_closing(lexer, at, "#}");

        if (after) {
            lex_advance(lexer, after);
            return true;
        }
    }
    return lex_fail(lexer, "missing end of comment tag");
}

/* at: behind "{% raw". False when this is no raw tag after all (nothing read then). */
static bool lex_raw(struct lexer *lexer, const char *at)
{
    const char *text;
    char sign;

    if (lex_sees(lexer, at, "-%}"))
        text = lex_skip_space(lexer, at + 3);
    else if (lex_sees(lexer, at, "%}"))
        text = at + 2;
    else
        return false;
    lex_advance(lexer, text);
    for (at = text; at < lexer->end; at++) {
        const char *behind = *at == '{' ? lex_tag_word(lexer, at, "endraw", &sign) : NULL;
        const char *after = behind ? lex_closing(lexer, behind, "%}") : NULL;

        if (!after)
            continue;
        lex_data(lexer, text, lex_strip_left(lexer, text, at, sign, true));
        lex_advance(lexer, after);
        return true;
    }
    lex_fail(lexer, "missing end of raw directive");
    return true;
}

static bool lex_hex(struct lexer *lexer, const char **at, const char *end, int digits,
                    uint32_t *ret_code)
{
    uint32_t code = 0;

    for (int i = 0; i < digits; i++) {
        char c = *at < end ? *(*at)++ : '\0';

        if (c >= '0' && c <= '9')
            code = code * 16 + (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            code = code * 16 + (uint32_t)((c | 32) - 'a' + 10);
        else
            return lex_fail(lexer, "truncated \\x, \\u or \\U escape in a string");
    }
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return lex_fail(lexer, "a string escapes a character that does not exist");
    *ret_code = code;
    return true;
}

/* One escape, *at behind the backslash: bytes written to out, at most 12. */
static size_t lex_escape(struct lexer *lexer, const char **at, const char *end, char *out)
{
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    const char *from = *at;
    uint32_t code = jinja_utf8_next(at);
    const char *found = code < 0x80 ? strchr(plain, (int)code) : NULL;

    if (code == '\n')
        return 0;
    if (found && (found - plain) % 2 == 0) {
        *out = found[1];
        return 1;
    }
    if (code >= '0' && code <= '7') {
        code -= '0';
        for (int i = 0; i < 2 && *at < end && **at >= '0' && **at <= '7'; i++)
            code = code * 8 + (uint32_t)(*(*at)++ - '0');
        return jinja_utf8_put(out, code);
    }
    if (code == 'x' || code == 'u' || code == 'U')
        return lex_hex(lexer, at, end,
                       code == 'x'   ? 2
                       : code == 'u' ? 4
                                     : 8,
                       &code)
                   ? jinja_utf8_put(out, code)
                   : 0;
    if (code == 'N') {
        lex_fail(lexer, "\\N escapes are not supported");
        return 0;
    }
    out[0] = '\\';
    if (code < 0x80) {
        memcpy(out + 1, from, 1);
        return 2;
    }
    /* jinja2 writes non-ASCII as an escape first, so the backslash here eats that one's. */
    static const char hex[] = "0123456789abcdef";
    int digits = code < 0x100 ? 2 : code < 0x10000 ? 4 : 8;

    out[1] = digits == 2 ? 'x' : digits == 4 ? 'u' : 'U';
    for (int i = 0; i < digits; i++)
        out[2 + i] = hex[code >> (4 * (digits - 1 - i)) & 15];
    return 2 + (size_t)digits;
}

static bool lex_string(struct lexer *lexer)
{
    char quote = *lexer->at;
    const char *at = lexer->at + 1;

    while (at < lexer->end && *at != quote)
        at += *at == '\\' && at + 1 < lexer->end ? 2 : 1;
    if (at >= lexer->end)
        return lex_fail(lexer, "a string is not closed");
    /* An escape of at most 10 bytes stands for one of at most 12: see lex_escape's last case. */
    char *text = lex_alloc(lexer, (size_t)(at - lexer->at) * 4 + 12);
    size_t size = 0;

    if (!text)
        return false;
    for (const char *from = lexer->at + 1; from < at && lexer->rc == 0;) {
        if (*from != '\\') {
            text[size++] = *from++;
            continue;
        }
        from++;
        size += lex_escape(lexer, &from, at, text + size);
    }
    lex_push(lexer, TOKEN_STRING, text, size);
    lex_advance(lexer, at + 1);
    return lexer->rc == 0;
}

static bool lex_digit(char c, int base)
{
    int value = c >= '0' && c <= '9'                 ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87
                                                     : 99;

    return value < base;
}

/* digits with single underscores between them, from `at`; where they end. */
static const char *lex_digits(const struct lexer *lexer, const char *at, int base)
{
    while (at < lexer->end &&
           (lex_digit(*at, base) || (*at == '_' && at + 1 < lexer->end && lex_digit(at[1], base))))
        at += *at == '_' ? 2 : 1;
    return at;
}

/* A float at the lexer's place: where it ends, or NULL when there is none. */
static const char *lex_float_end(const struct lexer *lexer)
{
    const struct jinja_tokens *tokens = &lexer->tokens;
    const char *at = lex_digits(lexer, lexer->at, 10), *end = NULL;

    if (tokens->count > 0 && tokens->items[tokens->count - 1].type == TOKEN_DOT &&
        lexer->at[-1] == '.')
        return NULL;
    if (at + 1 < lexer->end && *at == '.' && lex_digit(at[1], 10))
        end = at = lex_digits(lexer, at + 1, 10);
    if (at < lexer->end && (*at | 32) == 'e') {
        at++;
        if (at < lexer->end && (*at == '+' || *at == '-'))
            at++;
        if (at < lexer->end && lex_digit(*at, 10))
            end = lex_digits(lexer, at, 10);
    }
    return end;
}

static bool lex_number(struct lexer *lexer)
{
    char digits[400];
    const char *end = lex_float_end(lexer), *from = lexer->at;
    bool whole = !end;
    size_t size = 0;
    int base = 10;

    if (whole) {
        char mark = from + 1 < lexer->end && *from == '0' ? (char)(from[1] | 32) : '\0';
        int other = mark == 'b' ? 2 : mark == 'o' ? 8 : mark == 'x' ? 16 : 10;
        const char *start = from + 2;

        if (other != 10 && start < lexer->end && *start == '_')
            start++;
        if (other != 10 && start < lexer->end && lex_digit(*start, other)) {
            base = other;
            from = start;
        }
        end = lex_digits(lexer, from, base);
        if (base == 10 && *from == '0') /* zero is all a number may start with 0 */
            for (end = from + 1;
                 end < lexer->end &&
                 (*end == '0' || (*end == '_' && end + 1 < lexer->end && end[1] == '0'));)
                end += *end == '_' ? 2 : 1;
    }
    for (const char *at = from; at < end; at++) {
        if (*at == '_')
            continue;
        if (size + 1 == sizeof digits)
            return lex_fail(lexer, "a number has too many digits");
        digits[size++] = *at;
    }
    digits[size] = '\0';
    struct jinja_token *token =
        lex_push(lexer, whole ? TOKEN_INTEGER : TOKEN_FLOAT, lexer->at, (size_t)(end - lexer->at));

    if (!token)
        return false;
    errno = 0;
    if (whole)
        token->integer = strtoll(digits, NULL, base);
    else
        token->real = strtod(digits, NULL);
    if (whole && errno == ERANGE)
        return lex_fail(lexer, "an integer does not fit in 64 bits");
    lex_advance(lexer, end);
    return true;
}

static bool lex_bracket(struct lexer *lexer, char c)
{
    char closer = c == '(' ? ')' : c == '[' ? ']' : c == '{' ? '}' : '\0';

    if (closer) {
        if (lexer->n_closers == BRACKETS_MAX)
            return lex_fail(lexer, "too many nested brackets");
        lexer->closers[lexer->n_closers++] = closer;
        return true;
    }
    if (c != ')' && c != ']' && c != '}')
        return true;
    if (lexer->n_closers == 0 || lexer->closers[lexer->n_closers - 1] != c)
        return lex_fail(lexer, "a bracket closes that was not opened");
    lexer->n_closers--;
    return true;
}

static bool lex_operator(struct lexer *lexer)
{
    static const struct {
        char text[3];
        enum jinja_token_type type;
    } operators[] = {
        {"//", TOKEN_FLOORDIV}, {"**", TOKEN_POW},      {"==", TOKEN_EQ},    {"!=", TOKEN_NE},
        {">=", TOKEN_GE},       {"<=", TOKEN_LE},       {"+", TOKEN_ADD},    {"-", TOKEN_SUB},
        {"/", TOKEN_DIV},       {"*", TOKEN_MUL},       {"%", TOKEN_MOD},    {"~", TOKEN_TILDE},
        {"[", TOKEN_LBRACKET},  {"]", TOKEN_RBRACKET},  {"(", TOKEN_LPAREN}, {")", TOKEN_RPAREN},
        {"{", TOKEN_LBRACE},    {"}", TOKEN_RBRACE},    {">", TOKEN_GT},     {"<", TOKEN_LT},
        {"=", TOKEN_ASSIGN},    {".", TOKEN_DOT},       {":", TOKEN_COLON},  {"|", TOKEN_PIPE},
        {",", TOKEN_COMMA},     {";", TOKEN_SEMICOLON},
    };

    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (!lex_sees(lexer, lexer->at, operators[i].text))
            continue;
        size_t size = strlen(operators[i].text);

        if (!lex_bracket(lexer, operators[i].text[0]))
            return false;
        lex_push(lexer, operators[i].type, lexer->at, size);
        lex_advance(lexer, lexer->at + size);
        return lexer->rc == 0;
    }
    return lex_fail(lexer, "unexpected character in a tag");
}

static bool lex_name(struct lexer *lexer)
{
    const char *at = lexer->at;

    while (at < lexer->end) {
        const char *next = at;

        if (!jinja_is_word(jinja_utf8_next(&next)))
            break;
        at = next;
    }
    lex_push(lexer, TOKEN_NAME, lexer->at, (size_t)(at - lexer->at));
    lex_advance(lexer, at);
    return lexer->rc == 0;
}

static bool lex_token(struct lexer *lexer)
{
    const char *next = lexer->at;
    uint32_t code = jinja_utf8_next(&next);

    if (jinja_is_space(code)) {
        lex_advance(lexer, lex_skip_space(lexer, lexer->at));
        return true;
    }
    if (code >= '0' && code <= '9')
        return lex_number(lexer);
    if (jinja_is_word(code))
        return lex_name(lexer);
    if (code == '\'' || code == '"')
        return lex_string(lexer);
    return lex_operator(lexer);
}

/* The inside of "{{ }}" or "{% %}", lexer->at behind the opening mark. */
static bool lex_tag(struct lexer *lexer, bool block)
{
    const char *mark = block ? "%}" : "}}";

    while (lexer->at < lexer->end) {
        const char *after = lexer->n_closers == 0 && (block || *lexer->at != '+')
                                ? lex_closing(lexer, lexer->at, mark)
                                : NULL;

        if (after && !block && *lexer->at != '-')
            after = lexer->at + 2; /* no newline is dropped behind "}}" */
        if (after) {
            lex_push(lexer, block ? TOKEN_BLOCK_END : TOKEN_PRINT_END, lexer->at, 2);
            lex_advance(lexer, after);
            return lexer->rc == 0;
        }
        if (!lex_token(lexer))
            return false;
    }
    return true; /* the parser misses the end */
}

/* Text up to the next tag, and that tag. */
static bool lex_piece(struct lexer *lexer)
{
    const char *text = lexer->at, *tag = text;
    char sign;

    while (tag < lexer->end && !(*tag == '{' && tag + 1 < lexer->end &&
                                 (tag[1] == '{' || tag[1] == '%' || tag[1] == '#')))
        tag++;
    if (tag == lexer->end) {
        lex_data(lexer, text, tag);
        lex_advance(lexer, tag);
        return lexer->rc == 0;
    }
    const char *inside = tag + 2, *raw = lex_tag_word(lexer, tag, "raw", &sign);

    if (raw && !lex_sees(lexer, raw, "%}") && !lex_sees(lexer, raw, "-%}"))
        raw = NULL;
    sign = inside < lexer->end && (*inside == '-' || *inside == '+') ? *inside : '\0';
    if (!lex_data(lexer, text, lex_strip_left(lexer, text, tag, sign, tag[1] != '{')))
        return false;
    if (sign)
        inside++;
    if (raw) {
        lex_advance(lexer, tag);
        return lex_raw(lexer, raw) && lexer->rc == 0;
    }
    if (tag[1] == '#') {
        lex_advance(lexer, tag);
        return lex_comment(lexer, inside);
    }
    lex_advance(lexer, inside);
    lex_push(lexer, tag[1] == '%' ? TOKEN_BLOCK_BEGIN : TOKEN_PRINT_BEGIN, tag, 2);
    return lexer->rc == 0 && lex_tag(lexer, tag[1] == '%');
}

/* A copy with every line ending made "\n" and the last one dropped. */
static bool lex_normalise(struct lexer *lexer, const char *source, size_t size)
{
    char *copy = lex_alloc(lexer, size + 1);
    size_t n = 0;

    if (!copy)
        return false;
    if (utf8_valid_prefix(source, size) != size)
        return lex_fail(lexer, "the template is not valid UTF-8");
    for (size_t i = 0; i < size; i++) {
        if (source[i] == '\r' && i + 1 < size && source[i + 1] == '\n')
            continue;
        copy[n++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (n > 0 && copy[n - 1] == '\n')
        n--;
    lexer->at = copy;
    lexer->end = copy + n;
    return true;
}

int jinja_tokenize(struct jinja_tokens *ret_tokens, struct arena *arena, const char *source,
                   size_t size, struct err *err)
{
    struct lexer lexer = {.arena = arena, .line = 1, .line_starting = true, .err = err};

    if (!lex_normalise(&lexer, source, size))
        return lexer.rc;
    while (lexer.at < lexer.end && lex_piece(&lexer))
        continue;
    if (lexer.rc == 0)
        lex_push(&lexer, TOKEN_END, lexer.end, 0);
    if (lexer.rc < 0)
        return lexer.rc;
    *ret_tokens = lexer.tokens;
    return 0;
}
