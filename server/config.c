/*
 * Values of options: defaults, parsing of one value, and what spans several options.
 *
 * Every option's text goes through config_set, whether it comes from the file or from a flag.
 */
#include "server/config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void *option_at(struct config *config, const struct option_row *row)
{
    return (char *)config + row->offset;
}

static int parse_number(const char *text, bool units, int64_t *ret)
{
    static const struct {
        const char *name;
        int64_t factor;
    } suffixes[] = {
        {"", 1},
        {"k", 1 << 10},
        {"kib", 1 << 10},
        {"m", 1 << 20},
        {"mib", 1 << 20},
        {"g", 1 << 30},
        {"gib", 1 << 30},
        {"kb", 1000},
        {"mb", 1000000},
        {"gb", 1000000000},
        {"t", INT64_C(1) << 40},
        {"tib", INT64_C(1) << 40},
        {"tb", INT64_C(1000000000000)},
    };
    char *end;

    if (text[0] < '0' || text[0] > '9') /* strtoll would take blanks and signs */
        return -EINVAL;
    errno = 0;
    long long number = strtoll(text, &end, 10);

    if (errno == ERANGE)
        return -ERANGE;
    for (size_t i = 0; i < (units ? sizeof suffixes / sizeof *suffixes : 1); i++) {
        if (strcasecmp(end, suffixes[i].name) != 0)
            continue;
        if (__builtin_mul_overflow(number, suffixes[i].factor, ret))
            return -ERANGE;
        return 0;
    }
    return -EINVAL;
}

static int set_number(int64_t *at, const struct option_row *row, const char *text, struct err *err)
{
    int64_t number;
    int rc = parse_number(text, row->type == OPTION_BYTES, &number);

    if (rc < 0 || number < row->min || number > row->max)
        return err_set(err, EINVAL, "'%.64s' is not a whole number%s from %lld to %lld", text,
                       row->type == OPTION_BYTES ? " of bytes (such as 512MiB or 2GiB)" : "",
                       (long long)row->min, (long long)row->max);
    *at = number;
    return 0;
}

static int set_choice(int64_t *at, const struct option_row *row, const char *text, struct err *err)
{
    char legal[ERR_TEXT_MAX / 2] = "";

    for (int64_t i = 0; row->choices[i]; i++) {
        if (strcmp(text, row->choices[i]) == 0) {
            *at = i;
            return 0;
        }
        size_t used = strlen(legal);

        snprintf(legal + used, sizeof legal - used, "%s%s", i ? ", " : "", row->choices[i]);
    }
    return err_set(err, EINVAL, "'%.64s' is not one of: %s", text, legal);
}

static int append_item(struct config_list *list, const char *text, struct err *err)
{
    char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    char *copy = strdup(text);

    if (items)
        list->items = items;
    if (!items || !copy) {
        free(copy);
        return err_set(err, ENOMEM, "out of memory");
    }
    items[list->count++] = copy;
    return 0;
}

int config_set(struct config *config, const struct option_row *row, const char *text,
               struct err *err)
{
    void *at = option_at(config, row);
    char **place = at;

    switch (row->type) {
    case OPTION_NUMBER:
    case OPTION_BYTES: return set_number(at, row, text, err);
    case OPTION_CHOICE: return set_choice(at, row, text, err);
    case OPTION_LIST:
    case OPTION_TEXT: break;
    }
    if (text[0] == '\0')
        return err_set(err, EINVAL, "the value is empty");
    if (row->type == OPTION_LIST)
        return append_item(at, text, err);
    char *copy = strdup(text);

    if (!copy)
        return err_set(err, ENOMEM, "out of memory");
    free(*place);
    *place = copy;
    return 0;
}

void config_clear_list(struct config *config, const struct option_row *row)
{
    struct config_list *list = option_at(config, row);

    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct config_list){0};
}

int config_init(struct config *config)
{
    *config = (struct config){0};
    for (size_t i = 0; i < n_option_rows; i++) {
        if (!option_rows[i].fallback)
            continue;
        int rc = config_set(config, &option_rows[i], option_rows[i].fallback, NULL);

        if (rc < 0)
            return rc;
    }
    return 0;
}

void config_free(struct config *config)
{
    for (size_t i = 0; i < n_option_rows; i++) {
        const struct option_row *row = &option_rows[i];

        if (row->type == OPTION_LIST)
            config_clear_list(config, row);
        else if (row->type == OPTION_TEXT)
            free(*(char **)option_at(config, row));
    }
    for (size_t i = 0; i < config->n_workers; i++)
        free(config->workers[i].name);
    free(config->workers);
    *config = (struct config){0};
}

const char *config_role_name(enum config_role role)
{
    static const char *const names[] = {"prefill", "decode", "both"};

    return names[role];
}

static int add_worker(struct config *config, enum config_role role)
{
    struct config_worker *workers =
        realloc(config->workers, (config->n_workers + 1) * sizeof *workers);
    char *name = strdup(config_role_name(role));

    if (workers)
        config->workers = workers;
    if (!workers || !name) {
        free(name);
        return -ENOMEM;
    }
    workers[config->n_workers++] = (struct config_worker){name, role, 1, 1.0};
    return 0;
}

static int check_workers(const struct config *config, struct err *err)
{
    int total[3] = {0};

    for (size_t i = 0; i < config->n_workers; i++)
        total[config->workers[i].role] += config->workers[i].count;
    if (total[CONFIG_PREFILL] + total[CONFIG_DECODE] + total[CONFIG_BOTH] > CONFIG_WORKERS_MAX)
        return err_set(err, EINVAL, "workers: more than %d workers in all", CONFIG_WORKERS_MAX);
    if (total[CONFIG_PREFILL] > 0 && total[CONFIG_DECODE] == 0)
        return err_set(err, EINVAL,
                       "workers: prefill workers need a worker of role decode to hand over to");
    if (total[CONFIG_DECODE] > 0 && total[CONFIG_PREFILL] == 0)
        return err_set(err, EINVAL,
                       "workers: decode workers need a worker of role prefill to be fed by");
    return 0;
}

int config_finish(struct config *config, struct err *err)
{
    if (config->n_workers == 0) {
        int rc = config->roles == CONFIG_ROLES_BOTH ? add_worker(config, CONFIG_BOTH)
                                                    : add_worker(config, CONFIG_PREFILL);

        if (rc == 0 && config->roles == CONFIG_ROLES_SPLIT)
            rc = add_worker(config, CONFIG_DECODE);
        if (rc < 0)
            return err_set(err, ENOMEM, "out of memory");
    }
    return check_workers(config, err);
}

/* Levenshtein distance with one row; both texts are cut at 64 bytes. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t n = strnlen(b, 64), m = strnlen(a, 64), row[65];

    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

int config_max_live(const struct config *config)
{
    int64_t writers = 0;

    for (size_t i = 0; i < config->n_workers; i++)
        if (config->workers[i].role != CONFIG_PREFILL)
            writers += config->workers[i].count;
    return (int)(writers * config->max_num_seqs + config->max_queue);
}

const char *config_closest(const char *text, const char *(*next)(const void *context, size_t i),
                           const void *context)
{
    size_t limit = 1 + strnlen(text, 64) / 3; /* further away is no typing error */
    const char *best = NULL, *candidate;

    for (size_t i = 0; (candidate = next(context, i)); i++) {
        size_t distance = edit_distance(text, candidate);

        if (distance <= limit) {
            limit = distance > 0 ? distance - 1 : 0;
            best = candidate;
        }
    }
    return best;
}
