/*
 * What the operator can set: one table of options, from which the config file's keys, the command
 * line's flags, --help and the check of the documentation all follow.
 *
 * Values come as text from either side and go through one parser, so a key and its flag can never
 * disagree. Read once at start; immutable afterwards.
 */
#ifndef TANDEM_SERVER_CONFIG_H
#define TANDEM_SERVER_CONFIG_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define CONFIG_WORKERS_MAX 32 /* also the limit of `count` and of their sum */
#define CONFIG_THREADS_MAX 256
#define CONFIG_FILE_MAX (1u << 20)

enum config_role { CONFIG_PREFILL, CONFIG_DECODE, CONFIG_BOTH };
enum config_roles { CONFIG_ROLES_SPLIT, CONFIG_ROLES_BOTH };
enum config_transport { CONFIG_EXCHANGE, CONFIG_COPY };

struct config_worker {
    char *name; /* label in logs and metrics; a number is added when count > 1 */
    enum config_role role;
    int count;
    double kv_share; /* of kv_memory, relative to the other workers; each of `count` has it */
};

struct config_list {
    char **items;
    size_t count;
};

/* Numbers are int64_t whatever their range, so that the option table needs one kind of them. */
struct config {
    char *model_path, *chat_template;
    struct config_list served_names;
    int64_t max_model_len; /* 0: the model's own */

    char *host, *api_key_file;
    struct config_list api_keys;
    int64_t port, max_body_bytes, max_header_bytes, max_connections;
    int64_t connection_timeout_s, stall_timeout_s, output_buffer_bytes;
    int64_t request_timeout_s; /* 0: none */
    int64_t sse_keepalive_s;   /* 0: none */
    int64_t drain_timeout_s, unhealthy_after_s;

    int64_t cpu_isa;   /* index into config_isa_names */
    int64_t threads;   /* 0: one per core, CONFIG_THREADS_MAX at most */
    int64_t kv_memory; /* bytes; 0: a share of what is free */
    int64_t roles;     /* enum config_roles; only without `workers` */

    int64_t policy, token_budget, max_num_seqs, max_queue;
    int64_t transport; /* enum config_transport */
    int64_t lease_ms;
    int64_t log_level; /* enum log_level */

    struct config_worker *workers; /* after config_finish never empty */
    size_t n_workers;
};

enum option_type {
    OPTION_TEXT,
    OPTION_LIST,   /* of texts; the flag may be repeated */
    OPTION_NUMBER, /* whole, min .. max */
    OPTION_BYTES,  /* whole, with an optional unit: KiB to TiB; min .. max */
    OPTION_CHOICE, /* stored as the index into choices */
};

#define OPTION_FLAGS_MAX 2

struct option_row {
    const char *section, *name;          /* section.name in the config file */
    const char *flags[OPTION_FLAGS_MAX]; /* the first is shown first; none: file only */
    const char *value;                   /* what --help calls the value */
    enum option_type type;
    size_t offset; /* in struct config */
    int64_t min, max;
    const char *const *choices; /* NULL-terminated */
    const char *fallback;       /* default as text; NULL: empty */
    const char *help;           /* one sentence */
};

extern const struct option_row option_rows[];
extern const size_t n_option_rows;

/* Everything at its default; config_free is needed even after a failure of what follows. */
int config_init(struct config *config);
void config_free(struct config *config);

/* Reads a YAML file over the defaults. Returns 0 or a negative errno with "FILE:LINE: ..." in err.
 * Unknown keys are refused with the closest known one. */
int config_load(struct config *config, const char *path, struct err *err);

/* The same over bytes (tests, fuzzing); name stands for the file in messages. */
int config_parse(struct config *config, const char *name, const char *text, size_t size,
                 struct err *err);

/* Sets one option from text; lists grow. -EINVAL with what is legal in err, without the option's
 * name. */
int config_set(struct config *config, const struct option_row *row, const char *text,
               struct err *err);
/* Empties a list option. */
void config_clear_list(struct config *config, const struct option_row *row);

/* Fills in what follows from other options and checks what spans several of them. Once, at the end.
 */
int config_finish(struct config *config, struct err *err);

const char *config_role_name(enum config_role role);

/* As the engine knows them; ends with NULL. */
extern const char *const config_isa_names[];

/* Requests that may be live at once: those running and those waiting. After config_finish. */
int config_max_live(const struct config *config);

/* The candidate closest to `text` by edit distance, or NULL when none is near. next returns the
 * i-th candidate or NULL at the end. */
const char *config_closest(const char *text, const char *(*next)(const void *context, size_t i),
                           const void *context);

#endif
