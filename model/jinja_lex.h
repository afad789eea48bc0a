/*
 * Template source to tokens, with jinja2's white space rules (trim_blocks and lstrip_blocks on,
 * one newline at the end dropped).
 *
 * The whole template is cut up at once. Token text lies in the arena given, which must outlive the
 * tokens. Any thread, each with its own arena.
 */
#ifndef TANDEM_MODEL_JINJA_LEX_H
#define TANDEM_MODEL_JINJA_LEX_H

#include "base/arena.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum jinja_token_type {
    TOKEN_END,
    TOKEN_DATA,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_PRINT_BEGIN,
    TOKEN_PRINT_END,
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_INTEGER,
    TOKEN_FLOAT,
    TOKEN_ADD,
    TOKEN_SUB,
    TOKEN_MUL,
    TOKEN_DIV,
    TOKEN_FLOORDIV,
    TOKEN_MOD,
    TOKEN_POW,
    TOKEN_TILDE,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_ASSIGN,
    TOKEN_DOT,
    TOKEN_COLON,
    TOKEN_PIPE,
    TOKEN_COMMA,
    TOKEN_SEMICOLON,
    TOKEN_LPAREN,
    TOKEN_RPAREN,
    TOKEN_LBRACKET,
    TOKEN_RBRACKET,
    TOKEN_LBRACE,
    TOKEN_RBRACE
};

struct jinja_token {
    enum jinja_token_type type;
    uint32_t line;
    const char *text; /* DATA and STRING: the text meant, escapes resolved */
    size_t size;
    int64_t integer;
    double real;
};

struct jinja_tokens {
    struct jinja_token *items; /* the last is TOKEN_END */
    size_t count, capacity;
};

/* 0; -EINVAL with "line N: ..."; -E2BIG or -ENOMEM when the arena is full. */
int jinja_tokenize(struct jinja_tokens *ret_tokens, struct arena *arena, const char *source,
                   size_t size, struct err *err);

#endif
