/* A flag of a list option replaces what the file said and may then be repeated. */
#include "server/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAG_MAX 64

static const char *flag_name(const void *context, size_t i)
{
    size_t row = i / OPTION_FLAGS_MAX;

    (void)context;
    if (row >= n_option_rows)
        return NULL;
    /* A missing alias repeats the first flag: the walk must not end at it. */
    const char *flag = option_rows[row].flags[i % OPTION_FLAGS_MAX];

    return flag ? flag : option_rows[row].flags[0];
}

static const struct option_row *row_of_flag(const char *flag)
{
    for (size_t i = 0; i < n_option_rows; i++)
        for (int k = 0; k < OPTION_FLAGS_MAX; k++)
            if (option_rows[i].flags[k] && strcmp(option_rows[i].flags[k], flag) == 0)
                return &option_rows[i];
    return NULL;
}

static bool is_config_flag(const char *flag)
{
    return strcmp(flag, "-c") == 0 || strcmp(flag, "--config") == 0;
}

struct argument {
    char flag[FLAG_MAX];
    const char *value; /* NULL at the end of the line */
    int next;          /* index of the argument after it */
};

static int split(int argc, const char *const *argv, int i, struct argument *ret, struct err *err)
{
    const char *equals = strchr(argv[i], '=');
    size_t length = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);

    if (argv[i][0] != '-')
        return err_set(err, EINVAL, "unexpected argument '%.64s'; flags begin with --", argv[i]);
    if (length >= sizeof ret->flag)
        return err_set(err, EINVAL, "unknown flag '%.64s...'", argv[i]);
    memcpy(ret->flag, argv[i], length);
    ret->flag[length] = '\0';
    ret->value = equals ? equals + 1 : i + 1 < argc ? argv[i + 1] : NULL;
    ret->next = equals ? i + 1 : i + 2;
    return 0;
}

static int apply(struct config *config, const struct argument *argument, bool *cleared,
                 struct err *err)
{
    const struct option_row *row = row_of_flag(argument->flag);
    struct err why;

    if (!row) {
        const char *closest = config_closest(argument->flag, flag_name, NULL);

        return err_set(err, EINVAL, "unknown flag '%s'%s%s%s; see `tandem serve --help`",
                       argument->flag, closest ? "; did you mean '" : "", closest ? closest : "",
                       closest ? "'?" : "");
    }
    if (!argument->value)
        return err_set(err, EINVAL, "%s needs a value (%s)", argument->flag, row->value);
    if (row->type == OPTION_LIST && !cleared[row - option_rows]) {
        config_clear_list(config, row);
        cleared[row - option_rows] = true;
    }
    int rc = config_set(config, row, argument->value, &why);

    return rc < 0 ? err_set(err, -rc, "%s: %s", argument->flag, why.text) : 0;
}

int options_parse(struct config *config, int argc, const char *const *argv, bool *ret_help,
                  struct err *err)
{
    bool *cleared = calloc(n_option_rows, sizeof *cleared);
    const char *file = NULL;
    struct argument argument;
    int rc = 0;

    if (!cleared)
        return err_set(err, ENOMEM, "out of memory");
    *ret_help = false;
    /* The file comes first whatever its place on the line, so that flags go over it. */
    for (int i = 0; i < argc && rc == 0; i = argument.next) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            *ret_help = true;
            goto free_cleared;
        }
        rc = split(argc, argv, i, &argument, err);
        if (rc == 0 && is_config_flag(argument.flag)) {
            if (!argument.value)
                rc = err_set(err, EINVAL, "%s needs a file name", argument.flag);
            else if (file)
                rc = err_set(err, EINVAL, "only one config file can be given");
            file = argument.value;
        }
    }
    if (rc == 0 && file)
        rc = config_load(config, file, err);
    for (int i = 0; i < argc && rc == 0; i = argument.next) {
        rc = split(argc, argv, i, &argument, err);
        if (rc == 0 && !is_config_flag(argument.flag))
            rc = apply(config, &argument, cleared, err);
    }
free_cleared:
    free(cleared);
    return rc;
}

/* Words of `text` from column 8 on, in lines of at most 100 columns. */
static void write_wrapped(struct buf *out, const char *text)
{
    size_t column = 100;

    while (*text) {
        size_t length = strcspn(text, " ");

        if (column + 1 + length > 100) {
            buf_puts(out, column == 100 ? "       " : "\n       ");
            column = 7;
        }
        buf_printf(out, " %.*s", (int)length, text);
        column += 1 + length;
        text += length + strspn(text + length, " ");
    }
    buf_puts(out, "\n");
}

void options_help(struct buf *out)
{
    const char *section = "";

    buf_puts(out,
             "Usage: tandem serve [-c FILE] --model FILE [flags]\n\n"
             "Serves a model over an OpenAI-style HTTP API. Flags go over the config file; the\n"
             "key each flag has in the file stands after it, then its default.\n\n"
             "  -c, --config FILE\n        Config file (YAML).\n");
    for (size_t i = 0; i < n_option_rows; i++) {
        const struct option_row *row = &option_rows[i];

        if (strcmp(section, row->section) != 0)
            buf_printf(out, "\n%s\n", row->section);
        section = row->section;
        buf_puts(out, " ");
        for (int k = 0; k < OPTION_FLAGS_MAX && row->flags[k]; k++)
            buf_printf(out, "%s %s", k ? "," : "", row->flags[k]);
        buf_printf(out, " %s  [%s.%s%s%s]\n", row->value, row->section, row->name,
                   row->fallback ? ": " : "", row->fallback ? row->fallback : "");
        write_wrapped(out, row->help);
        if (row->type == OPTION_CHOICE) {
            buf_puts(out, "        One of:");
            for (int k = 0; row->choices[k]; k++)
                buf_printf(out, "%s %s", k ? "," : "", row->choices[k]);
            buf_puts(out, ".\n");
        }
    }
}
