/*
 * The YAML file, loaded by libcyaml with a schema built from the option table: a mapping per
 * section, every scalar as text (config_set gives it its type), and the list of workers.
 *
 * libcyaml knows where a value stands but says so only in its log when it refuses one. Its error
 * lines are therefore kept, and to find the line of a value that config_set refused the document is
 * loaded once more with a schema that cannot accept that very field. It reports an unknown key at
 * the value before it; the key's own line is then looked up in the text from there on.
 */
#include "server/config.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTIONS_MAX 12
#define SECTION_KEYS_MAX 24
#define OPTIONS_MAX 64
#define TEXT_MAX 4096
#define REFUSE_NONE SIZE_MAX

struct file_worker {
    char *name;
    enum config_role role;
    unsigned *count;
    double *kv_share;
};

/* What libcyaml fills: one slot per row of the option table. */
struct file_values {
    struct {
        char *text;   /* scalar options */
        char **items; /* list options */
        unsigned n_items;
    } at[OPTIONS_MAX];
    struct file_worker *workers;
    unsigned n_workers;
};

struct file_schema {
    cyaml_schema_value_t top;
    cyaml_schema_field_t sections[SECTIONS_MAX + 2]; /* and workers, and the end */
    const char *names[SECTIONS_MAX + 2];
    cyaml_schema_field_t keys[SECTIONS_MAX][SECTION_KEYS_MAX + 1];
    int n_sections;
};

/* The first error libcyaml logs, the place it gives, and the fields it names from inside out. */
struct file_fault {
    char message[256];
    char path[4][64]; /* innermost first */
    int n_path, line;
    bool in_backtrace;
};

static const cyaml_schema_value_t text_item = {
    .type = CYAML_STRING,
    .flags = CYAML_FLAG_POINTER,
    .data_size = sizeof(char),
    .string = {.min = 0, .max = TEXT_MAX},
};

static const cyaml_strval_t role_names[] = {
    {"prefill", CONFIG_PREFILL}, {"decode", CONFIG_DECODE}, {"both", CONFIG_BOTH}};

static const cyaml_schema_field_t worker_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file_worker,
                           name, 1, 64),
    CYAML_FIELD_ENUM("role", CYAML_FLAG_STRICT, struct file_worker, role, role_names, 3),
    CYAML_FIELD_UINT_PTR("count", CYAML_FLAG_OPTIONAL, struct file_worker, count),
    CYAML_FIELD_FLOAT_PTR("kv_share", CYAML_FLAG_OPTIONAL, struct file_worker, kv_share),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t worker_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_worker, worker_fields)};

__attribute__((format(printf, 3, 0))) static void keep_log(cyaml_log_t level, void *context,
                                                           const char *format, va_list args)
{
    struct file_fault *fault = context;
    char line[256], name[64];
    int at;

    if (level < CYAML_LOG_ERROR)
        return;
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\n")] = '\0';
    if (strstr(line, "Backtrace")) {
        fault->in_backtrace = true;
    } else if (!fault->in_backtrace) {
        const char *text = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;

        if (fault->message[0] == '\0')
            snprintf(fault->message, sizeof fault->message, "%s", text);
    } else {
        const char *place = strstr(line, "(line: ");

        if (place && fault->line == 0 && sscanf(place, "(line: %d", &at) == 1)
            fault->line = at;
        if (fault->n_path < 4 && sscanf(line, " in mapping field '%63[^']'", name) == 1)
            memcpy(fault->path[fault->n_path++], name, sizeof name);
    }
}

/* refused: the row (or n_option_rows + i for the i-th worker) that the schema is not to accept. */
static void build_schema(struct file_schema *schema, size_t refused)
{
    *schema = (struct file_schema){0};
    for (size_t i = 0; i < n_option_rows; i++) {
        const struct option_row *row = &option_rows[i];
        int s = 0, k = 0;

        while (s < schema->n_sections && strcmp(schema->names[s], row->section) != 0)
            s++;
        if (s == schema->n_sections)
            schema->names[schema->n_sections++] = row->section;
        while (schema->keys[s][k].key)
            k++;
        cyaml_schema_field_t *field = &schema->keys[s][k];

        field->key = row->name;
        field->value = text_item;
        field->value.flags = CYAML_FLAG_POINTER_NULL | CYAML_FLAG_OPTIONAL;
        field->data_offset = offsetof(struct file_values, at[i].text);
        if (row->type == OPTION_LIST) {
            field->value.type = CYAML_SEQUENCE;
            field->value.data_size = sizeof(char *);
            field->value.sequence.entry = &text_item;
            field->value.sequence.min = 0;
            field->value.sequence.max = i == refused ? 0 : 1024;
            field->data_offset = offsetof(struct file_values, at[i].items);
            field->count_offset = offsetof(struct file_values, at[i].n_items);
            field->count_size = sizeof(unsigned);
        } else if (i == refused) {
            field->value.string.min = field->value.string.max = TEXT_MAX + 1;
        }
    }
    for (int s = 0; s < schema->n_sections; s++) {
        cyaml_schema_field_t *section = &schema->sections[s];

        section->key = schema->names[s];
        section->value.type = CYAML_MAPPING;
        section->value.flags = CYAML_FLAG_OPTIONAL;
        section->value.data_size = sizeof(struct file_values);
        section->value.mapping.fields = schema->keys[s];
    }
    cyaml_schema_field_t *workers = &schema->sections[schema->n_sections];

    workers->key = schema->names[schema->n_sections] = "workers";
    workers->value.type = CYAML_SEQUENCE;
    workers->value.flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL;
    workers->value.data_size = sizeof(struct file_worker);
    workers->value.sequence.entry = &worker_schema;
    workers->value.sequence.max = CONFIG_WORKERS_MAX;
    if (refused != REFUSE_NONE && refused >= n_option_rows)
        workers->value.sequence.max = (uint32_t)(refused - n_option_rows);
    workers->data_offset = offsetof(struct file_values, workers);
    workers->count_offset = offsetof(struct file_values, n_workers);
    workers->count_size = sizeof(unsigned);
    schema->top.type = CYAML_MAPPING;
    schema->top.flags = CYAML_FLAG_POINTER;
    schema->top.data_size = sizeof(struct file_values);
    schema->top.mapping.fields = schema->sections;
}

static cyaml_config_t loader(struct file_fault *fault)
{
    return (cyaml_config_t){
        .log_fn = keep_log,
        .log_ctx = fault,
        .log_level = CYAML_LOG_ERROR,
        .mem_fn = cyaml_mem,
        .flags = CYAML_CFG_NO_ALIAS, /* a few aliases could stand for gigabytes */
    };
}

/* The line of a value: see the head of the file. */
static int line_of(const char *text, size_t size, size_t refused)
{
    struct file_fault fault = {0};
    struct file_schema *schema = malloc(sizeof *schema);
    struct file_values *values = NULL;
    cyaml_config_t config = loader(&fault);

    if (!schema)
        return 0;
    build_schema(schema, refused);
    if (cyaml_load_data((const uint8_t *)text, size, &config, &schema->top, (void **)&values,
                        NULL) == CYAML_OK)
        cyaml_free(&config, &schema->top, values, 0);
    free(schema);
    return fault.line;
}

/* The line of the first `key:` in or after `from` (counted from 1); `from` when there is none. */
static int line_of_key(const char *text, size_t size, int from, const char *key)
{
    size_t length = strlen(key);
    const char *end = text + size, *at = text;
    int line = 1;

    for (; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *word;

        if (!stop)
            stop = end;
        word = line >= from ? memmem(at, (size_t)(stop - at), key, length) : NULL;
        if (word && word + length < end &&
            (word[length] == ':' || word[length] == '\'' || word[length] == '"' ||
             word[length] == ' ') &&
            (word == at || strchr(" -{,'\"", word[-1])))
            return line;
        at = stop + 1;
    }
    return from;
}

struct key_names {
    const struct file_schema *schema;
    int section; /* -1: the sections themselves; n_sections: a worker's keys */
};

static const char *key_name(const void *context, size_t i)
{
    const struct key_names *names = context;

    if (names->section < 0)
        return names->schema->sections[i].key;
    if (names->section == names->schema->n_sections)
        return worker_fields[i].key;
    return names->schema->keys[names->section][i].key;
}

static int refuse_key(const struct file_schema *schema, const struct file_fault *fault,
                      const char *name, const char *text, size_t size, struct err *err)
{
    const char *key = fault->message + strlen("Unexpected key: ");
    struct key_names names = {schema, -1};
    const char *section = fault->n_path > 0 ? fault->path[fault->n_path - 1] : NULL;

    for (int s = 0; section && s <= schema->n_sections; s++)
        if (strcmp(section, schema->names[s]) == 0)
            names.section = s;
    const char *closest = config_closest(key, key_name, &names);
    int line = line_of_key(text, size, fault->line ? fault->line : 1, key);

    return err_set(err, EINVAL, "%s:%d: unknown key '%s%s%s'%s%s%s", name, line,
                   section ? section : "", section ? "." : "", key,
                   closest ? "; did you mean '" : "", closest ? closest : "", closest ? "'?" : "");
}

static int refuse_document(const struct file_schema *schema, const struct file_fault *fault,
                           const char *name, const char *text, size_t size, struct err *err)
{
    char path[160] = "";

    if (strncmp(fault->message, "Unexpected key: ", 16) == 0)
        return refuse_key(schema, fault, name, text, size, err);
    for (int i = fault->n_path - 1; i >= 0; i--) {
        size_t used = strlen(path);

        snprintf(path + used, sizeof path - used, "%s%s", used ? "." : "", fault->path[i]);
    }
    bool is_role = fault->n_path > 0 && strcmp(fault->path[0], "role") == 0;

    return err_set(err, EINVAL, "%s:%d: %s%s%s%s", name, fault->line ? fault->line : 1, path,
                   path[0] ? ": " : "", fault->message[0] ? fault->message : "not readable as YAML",
                   is_role ? "; legal are: prefill, decode, both" : "");
}

static int take_option(struct config *config, const struct file_values *values, size_t i,
                       const char *name, const char *text, size_t size, struct err *err)
{
    const struct option_row *row = &option_rows[i];
    struct err why;
    int rc = 0;

    for (unsigned k = 0; rc == 0 && k < values->at[i].n_items; k++)
        rc = config_set(config, row, values->at[i].items[k], &why);
    if (rc == 0 && values->at[i].text)
        rc = config_set(config, row, values->at[i].text, &why);
    if (rc < 0)
        return err_set(err, -rc, "%s:%d: %s.%s: %s", name, line_of(text, size, i), row->section,
                       row->name, why.text);
    return 0;
}

static bool is_name_taken(const struct config *config, size_t n_workers, const char *name)
{
    for (size_t i = 0; i < n_workers; i++)
        if (strcmp(config->workers[i].name, name) == 0)
            return true;
    return false;
}

/* The name of an entry that gives none: its role, and a number from the second of a kind on. */
static void name_by_role(const struct config *config, size_t n_workers, enum config_role role,
                         char name[static 32])
{
    snprintf(name, 32, "%s", config_role_name(role));
    for (unsigned number = 2; is_name_taken(config, n_workers, name); number++)
        snprintf(name, 32, "%s%u", config_role_name(role), number);
}

static int take_worker(struct config *config, const struct file_worker *from, unsigned i,
                       const char *name, const char *text, size_t size, struct err *err)
{
    struct config_worker *to = &config->workers[i];
    unsigned count = from->count ? *from->count : 1;
    double share = from->kv_share ? *from->kv_share : 1.0;
    char by_role[32];
    const char *label = from->name;

    if (count < 1 || count > CONFIG_WORKERS_MAX)
        return err_set(err, EINVAL, "%s:%d: workers[%u].count: legal are 1 to %d", name,
                       line_of(text, size, n_option_rows + i), i, CONFIG_WORKERS_MAX);
    if (!(share > 0 && share <= 1000))
        return err_set(err, EINVAL,
                       "%s:%d: workers[%u].kv_share: legal are numbers above 0, up to "
                       "1000",
                       name, line_of(text, size, n_option_rows + i), i);
    if (!label) {
        name_by_role(config, i, from->role, by_role);
        label = by_role;
    } else if (is_name_taken(config, i, label)) {
        return err_set(err, EINVAL, "%s:%d: workers[%u].name: '%.64s' is given twice", name,
                       line_of(text, size, n_option_rows + i), i, label);
    }
    for (const char *c = label; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *c))
            return err_set(err, EINVAL,
                           "%s:%d: workers[%u].name: legal are letters, digits, '-', "
                           "'_' and '.'",
                           name, line_of(text, size, n_option_rows + i), i);
    *to = (struct config_worker){strdup(label), from->role, (int)count, share};
    return to->name ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int take_values(struct config *config, const struct file_values *values, const char *name,
                       const char *text, size_t size, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n_option_rows; i++)
        rc = take_option(config, values, i, name, text, size, err);
    if (rc < 0 || values->n_workers == 0)
        return rc;
    config->workers = calloc(values->n_workers, sizeof *config->workers);
    if (!config->workers)
        return err_set(err, ENOMEM, "out of memory");
    for (unsigned i = 0; rc == 0 && i < values->n_workers; i++) {
        rc = take_worker(config, &values->workers[i], i, name, text, size, err);
        config->n_workers = i + 1;
    }
    return rc;
}

int config_parse(struct config *config, const char *name, const char *text, size_t size,
                 struct err *err)
{
    struct file_fault fault = {0};
    struct file_values *values = NULL;
    struct file_schema *schema = malloc(sizeof *schema);
    cyaml_config_t cyaml = loader(&fault);
    int rc = 0;

    if (!schema)
        return err_set(err, ENOMEM, "out of memory");
    build_schema(schema, REFUSE_NONE);
    if (cyaml_load_data((const uint8_t *)text, size, &cyaml, &schema->top, (void **)&values,
                        NULL) != CYAML_OK) {
        rc = refuse_document(schema, &fault, name, text, size, err);
    } else if (values) { /* an empty document gives none */
        rc = take_values(config, values, name, text, size, err);
        cyaml_free(&cyaml, &schema->top, values, 0);
    }
    free(schema);
    return rc;
}

int config_load(struct config *config, const char *path, struct err *err)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    int rc;

    if (!file)
        return err_set(err, errno, "%s: %s", path, strerror(errno));
    text = malloc(CONFIG_FILE_MAX + 1);
    if (!text) {
        rc = err_set(err, ENOMEM, "out of memory");
        goto close_file;
    }
    size_t size = fread(text, 1, CONFIG_FILE_MAX + 1, file);

    if (ferror(file))
        rc = err_set(err, EIO, "%s: cannot be read", path);
    else if (size > CONFIG_FILE_MAX)
        rc = err_set(err, E2BIG, "%s: larger than %u bytes", path, CONFIG_FILE_MAX);
    else
        rc = config_parse(config, path, text, size, err);
    free(text);
close_file:
    fclose(file);
    return rc;
}
