/*
 * Whether the workers write the same text from a model however they are arranged.
 *
 *   worker_texts MODEL REQUESTS
 *
 * First every request alone on one worker, then all at once in each arrangement of roles, chunk
 * budget, transport and memory; exit status 1 at the first token that differs.
 */
#include "base/err.h"
#include "model/model.h"
#include "tests/unit/worker_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *model_path;
static int n_requests;

static const struct arrangement {
    const char *roles;
    const struct kv_transport *transport;
    int token_budget, pages;
} arrangements[] = {
    {"b", &kv_transport_exchange, 16, 400},  {"b", &kv_transport_exchange, 100, 16},
    {"pd", &kv_transport_exchange, 64, 400}, {"pd", &kv_transport_copy, 16, 400},
    {"pd", &kv_transport_copy, 512, 16},     {"ppbd", &kv_transport_exchange, 64, 16},
};

static int32_t texts[64][CLUSTER_LENGTH_MAX];
static int lengths[64];

static void write_alone(const struct cluster_config *config)
{
    struct cluster c;

    cluster_open(&c, config, n_requests, 1);
    for (int i = 0; i < n_requests; i++) {
        cluster_submit(&c, i);
        cluster_finish(&c);
        cluster_check_text(&c.requests[i]);
        memcpy(texts[i], c.requests[i].expected, sizeof texts[i]);
        lengths[i] = c.requests[i].n_expected;
    }
    cluster_close(&c);
}

static void write_together(const struct cluster_config *config)
{
    struct cluster c;

    cluster_open(&c, config, n_requests, 1);
    cluster_expect(&c, texts, lengths);
    for (int i = 0; i < n_requests; i++)
        cluster_submit(&c, i);
    cluster_finish(&c);
    for (int i = 0; i < n_requests; i++)
        cluster_check_text(&c.requests[i]);
    print_message("%s %s budget %d pages %d: %d tokens, %d preemptions\n", config->roles,
                  config->transport->overlaps ? "copy" : "exchange", config->token_budget,
                  config->pages, (int)cluster_sum(&c, decode_tokens),
                  (int)cluster_sum(&c, preemptions));
    cluster_close(&c);
}

static void same_texts(void **state)
{
    struct team *team;
    struct model *model = NULL;
    struct engine *engine = NULL;
    struct err err;

    (void)state;
    if (team_create(&team, 2, &err) < 0 || model_open(&model, model_path, &err) < 0 ||
        engine_open(&engine, model, "auto", team, CLUSTER_LENGTH_MAX, &err) < 0)
        fail_msg("%s", err.text);
    struct cluster_config config = {.engine = engine,
                                    .n_vocab = model->shape.n_vocab,
                                    .roles = "b",
                                    .transport = &kv_transport_exchange,
                                    .token_budget = 512,
                                    .max_running = 64,
                                    .slots = 64,
                                    .pages = 400,
                                    .lease_ms = 30000,
                                    .outbox = 1024};

    write_alone(&config);
    for (size_t i = 0; i < sizeof arrangements / sizeof *arrangements; i++) {
        config.roles = arrangements[i].roles;
        config.transport = arrangements[i].transport;
        config.token_budget = arrangements[i].token_budget;
        config.pages = arrangements[i].pages;
        write_together(&config);
    }
    engine_close(engine);
    model_close(model);
    team_destroy(team);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_texts)};

    if (argc != 3 || atoi(argv[2]) < 1 || atoi(argv[2]) > 64) {
        (void)fprintf(stderr, "usage: worker_texts MODEL REQUESTS (1 to 64)\n");
        return 2;
    }
    model_path = argv[1];
    n_requests = atoi(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
