/* The config file and the command line: what they set, and what they say when they are wrong. */
#include "server/config.h"
#include "server/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse(struct config *config, const char *text, struct err *err)
{
    assert_int_equal(config_init(config), 0);
    return config_parse(config, "f.yaml", text, strlen(text), err);
}

/* Faults: a message that does not name the line, the key, what is legal, or the key that was meant.
 * libcyaml alone gives the line of the value before. */
static void wrong_files_say_where(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"server:\n  prot: 80\n", "f.yaml:2: unknown key 'server.prot'; did you mean 'port'?"},
        {"sever:\n  port: 80\n", "f.yaml:1: unknown key 'sever'; did you mean 'server'?"},
        {"server:\n  host: a\n\n  # port\n  zzz: 1\n", "f.yaml:5: unknown key 'server.zzz'"},
        {"server:\n  host: a\n  port: 70000\n",
         "f.yaml:3: server.port: '70000' is not a whole number from 0 to 65535"},
        {"server: {host: a,\n  port: x}\n",
         "f.yaml:2: server.port: 'x' is not a whole number from 0 to 65535"},
        {"engine:\n  roles: cook\n", "f.yaml:2: engine.roles: 'cook' is not one of: split, both"},
        {"engine:\n  threads: 2\n  cpu_isa: sse9\n",
         "f.yaml:3: engine.cpu_isa: 'sse9' is not one of: auto, plain, avx2, avx512vnni"},
        {"engine:\n  threads: 257\n",
         "f.yaml:2: engine.threads: '257' is not a whole number from 0 to 256"},
        {"engine:\n  kv_memory: 2 GiBs\n",
         "f.yaml:2: engine.kv_memory: '2 GiBs' is not a whole number of bytes (such as 512MiB or "
         "2GiB) from 0 to 70368744177664"},
        {"model:\n  served_names: [a, '']\n", "f.yaml:2: model.served_names: the value is empty"},
        {"server:\n  host: [a]\n",
         "f.yaml:2: server.host: Expecting STRING, got event: SEQUENCE_START"},
        {"server:\n  port: 1\n  port: 2\n",
         "f.yaml:2: server.port: Mapping field already seen: port"},
        {"workers:\n  - name: a\n    role: cook\n",
         "f.yaml:3: workers.role: Invalid ENUM value: cook; legal are: prefill, decode, both"},
        {"workers:\n  - name: a\n    role: both\n    count: 99\n",
         "f.yaml:2: workers[0].count: legal are 1 to 32"},
        {"workers:\n  - {name: a, role: both}\n  - {name: 'b\"', role: both}\n",
         "f.yaml:3: workers[1].name: legal are letters, digits, '-', '_' and '.'"},
        {"workers:\n  - {name: a, role: both}\n  - {name: a, role: both}\n",
         "f.yaml:3: workers[1].name: 'a' is given twice"},
        {"workers:\n  - name: a\n    role: both\n    roll: 1\n",
         "f.yaml:4: unknown key 'workers.roll'; did you mean 'role'?"},
        {"a: &x 1\nb: *x\n", "f.yaml:1: unknown key 'a'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config config;
        struct err err = {""};

        assert_true(parse(&config, cases[i].text, &err) < 0);
        assert_string_equal(err.text, cases[i].expected);
        config_free(&config);
    }
}

/* Faults: a value that lands in another option's place, a unit that is ignored, a list cut short.
 */
static void values_arrive(void **state)
{
    struct config config;
    struct err err = {""};

    (void)state;
    assert_int_equal(parse(&config,
                           "model:\n  path: /m.gguf\n  served_names: [a, b]\n"
                           "engine:\n  kv_memory: 2GiB\n  roles: both\n  cpu_isa: avx2\n"
                           "transfer:\n  transport: copy\n"
                           "workers:\n  - {name: p, role: prefill, count: 2, kv_share: 0.5}\n"
                           "  - {name: d, role: decode}\n",
                           &err),
                     0);
    assert_int_equal(config_finish(&config, &err), 0);
    assert_string_equal(config.model_path, "/m.gguf");
    assert_int_equal(config.served_names.count, 2);
    assert_string_equal(config.served_names.items[1], "b");
    assert_int_equal(config.kv_memory, 2147483648);
    assert_int_equal(config.roles, CONFIG_ROLES_BOTH);
    assert_string_equal(config_isa_names[config.cpu_isa], "avx2");
    assert_int_equal(config.transport, CONFIG_COPY);
    assert_int_equal(config.port, 8000);
    assert_int_equal(config.n_workers, 2);
    assert_int_equal(config.workers[0].count, 2);
    assert_true(config.workers[0].kv_share == 0.5 && config.workers[1].kv_share == 1);
    assert_int_equal(config.workers[1].role, CONFIG_DECODE);
    assert_int_equal(config_max_live(&config), 64 + 1024); /* only decode keeps requests running */
    config_free(&config);
}

/* Faults: a name that must be given, or two workers of one name. */
static void workers_are_named_by_role(void **state)
{
    static const char *const names[] = {"prefill", "decode2", "decode", "decode3"};
    struct config config;
    struct err err = {""};

    (void)state;
    assert_int_equal(parse(&config,
                           "workers:\n  - role: prefill\n  - {name: decode2, role: decode}\n"
                           "  - role: decode\n  - role: decode\n",
                           &err),
                     0);
    assert_int_equal(config.n_workers, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(config.workers[i].name, names[i]);
    config_free(&config);
}

/* Faults: roles that cannot work together are accepted and hang at the first request. */
static void workers_must_fit_together(void **state)
{
    static const struct {
        const char *text, *expected; /* expected NULL: right */
    } cases[] = {
        {"", NULL},
        {"engine:\n  roles: both\n", NULL},
        {"workers: [{name: a, role: both}, {name: b, role: both}]\n", NULL},
        {"workers: [{name: a, role: prefill}]\n", "to hand over to"},
        {"workers: [{name: a, role: decode}]\n", "to be fed by"},
        {"workers: [{name: a, role: both, count: 20}, {name: b, role: both, count: 20}]\n",
         "more than 32"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config config;
        struct err err = {""};

        assert_int_equal(parse(&config, cases[i].text, &err), 0);
        int rc = config_finish(&config, &err);

        assert_int_equal(rc < 0, cases[i].expected != NULL);
        if (cases[i].expected)
            assert_non_null(strstr(err.text, cases[i].expected));
        config_free(&config);
    }
}

static void parse_flags_of(const char *const *argv, int argc, struct config *config, int expected,
                           const char *words)
{
    struct err err = {""};
    bool help;

    assert_int_equal(config_init(config), 0);
    int rc = options_parse(config, argc, argv, &help, &err);

    assert_int_equal(rc < 0, expected < 0);
    if (words)
        assert_string_equal(err.text, words);
}

/* Faults: a flag that loses to the file, a list flag that adds to the file's, a wrong one that is
 * not named. */
static void flags_go_over_the_file(void **state)
{
    char path[] = "/tmp/server_config_XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    const char *const good[] = {"--port", "81", "--alias=x", "-c", path, "--served-model-name",
                                "y"};
    const char *const unknown[] = {"--prot", "81"};
    const char *const missing[] = {"--port"};
    const char *const wrong[] = {"--port", "eighty"};
    const char *const bare[] = {"81"};
    struct config config;

    (void)state;
    assert_non_null(file);
    fputs("server:\n  port: 80\n  host: h\nmodel:\n  served_names: [a, b, c]\n", file);
    fclose(file);
    parse_flags_of(good, 7, &config, 0, NULL);
    assert_int_equal(config.port, 81);
    assert_string_equal(config.host, "h");
    assert_int_equal(config.served_names.count, 2);
    assert_string_equal(config.served_names.items[0], "x");
    config_free(&config);
    remove(path);
    parse_flags_of(unknown, 2, &config, -1,
                   "unknown flag '--prot'; did you mean '--port'?; see `tandem serve --help`");
    config_free(&config);
    parse_flags_of(missing, 1, &config, -1, "--port needs a value (N)");
    config_free(&config);
    parse_flags_of(wrong, 2, &config, -1, "--port: 'eighty' is not a whole number from 0 to 65535");
    config_free(&config);
    parse_flags_of(bare, 1, &config, -1, "unexpected argument '81'; flags begin with --");
    config_free(&config);
}

/* Fault: an option without a sentence of help, or one that its own parser would refuse. */
static void table_is_sound(void **state)
{
    struct buf help;

    (void)state;
    buf_init(&help, 1 << 20);
    options_help(&help);
    assert_false(help.failed);
    for (size_t i = 0; i < n_option_rows; i++) {
        const struct option_row *row = &option_rows[i];

        assert_non_null(strstr(help.bytes, row->flags[0]));
        assert_true(strlen(row->help) > 10);
        for (size_t k = 0; k < i; k++)
            assert_false(strcmp(row->section, option_rows[k].section) == 0 &&
                         strcmp(row->name, option_rows[k].name) == 0);
    }
    buf_free(&help);
}

/* Fault: a sample that the program itself refuses. */
static void sample_is_accepted(void **state)
{
    const char *root = getenv("srcdir");
    char path[512];
    struct config config, plain;
    struct err err = {""};

    (void)state;
    snprintf(path, sizeof path, "%s/conf/tandem.yaml", root ? root : ".");
    assert_int_equal(config_init(&config), 0);
    if (config_load(&config, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(config_finish(&config, &err), 0);
    assert_int_equal(config_init(&plain), 0);
    assert_int_equal(config.max_body_bytes, plain.max_body_bytes); /* it shows the defaults */
    assert_int_equal(config.token_budget, plain.token_budget);
    config_free(&plain);
    config_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_files_say_where),     cmocka_unit_test(values_arrive),
        cmocka_unit_test(workers_are_named_by_role), cmocka_unit_test(workers_must_fit_together),
        cmocka_unit_test(flags_go_over_the_file),    cmocka_unit_test(table_is_sound),
        cmocka_unit_test(sample_is_accepted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
