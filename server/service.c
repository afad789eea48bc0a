/* Facts about the vocabulary are gathered once, so that requests are checked without a search. */
#include "server/service.h"

#include "base/clock.h"
#include "server/answer.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static int read_vocabulary(struct service *service, struct err *err)
{
    const struct tokenizer *tokenizer = service->parts.tokenizer;

    service->n_vocab = tokenizer_vocab_size(tokenizer);
    service->max_piece_bytes = 1;
    for (int32_t id = 0; id < service->n_vocab; id++) {
        size_t size = tokenizer_piece(tokenizer, id, true).size;

        if (size > service->max_piece_bytes)
            service->max_piece_bytes = size;
        if (!tokenizer_is_end(tokenizer, id))
            continue;
        if (service->n_end_ids == REQUEST_STOP_IDS_MAX / 2)
            return err_set(err, E2BIG, "the vocabulary has more than %d tokens that end an answer",
                           REQUEST_STOP_IDS_MAX / 2);
        service->end_ids[service->n_end_ids++] = id;
    }
    return 0;
}

int service_open(struct service *service, const struct service_parts *parts, int epoll_fd,
                 struct err *err)
{
    const struct config *config = parts->config;
    uint64_t now = clock_now_ns();

    *service = (struct service){.parts = *parts, .epoll_fd = epoll_fd};
    service->created = time(NULL);
    service->connections.limit_ns = (uint64_t)config->connection_timeout_s * 1000000000u;
    int rc = read_vocabulary(service, err);

    if (rc < 0)
        return rc;
    rc = auth_create(&service->auth, config->api_keys.items, config->api_keys.count,
                     config->api_key_file, err);
    if (rc < 0)
        return rc;
    rc = dispatch_create(&service->dispatch, parts->ports, parts->n_ports, config_max_live(config),
                         answer_listener);
    if (rc < 0) {
        auth_destroy(service->auth);
        return err_set(err, ENOMEM, "out of memory for the table of requests");
    }
    for (int i = 0; i < parts->n_ports; i++)
        service->progress[i].changed_ns = now;
    metrics_init(&service->metrics, parts->max_model_len);
    return 0;
}

void service_close(struct service *service)
{
    dispatch_destroy(service->dispatch);
    auth_destroy(service->auth);
}

bool service_serves(const struct service *service, const char *model)
{
    if (!model)
        return true;
    for (size_t i = 0; i < service->parts.n_names; i++)
        if (strcmp(model, service->parts.names[i]) == 0)
            return true;
    return false;
}

bool service_watch(struct service *service, uint64_t now_ns)
{
    uint64_t limit = (uint64_t)service->parts.config->unhealthy_after_s * 1000000000u;
    struct worker_sample samples[CONFIG_WORKERS_MAX];
    bool healthy = true, any_moved = false;

    for (int i = 0; i < service->parts.n_ports; i++) {
        service->parts.ports[i].sample(service->parts.ports[i].context, &samples[i]);
        any_moved |= samples[i].iterations != service->progress[i].iterations;
    }
    for (int i = 0; i < service->parts.n_ports; i++) {
        const struct worker_sample *sample = &samples[i];
        bool moved = sample->iterations != service->progress[i].iterations;

        /* A prefill worker whose pages are all offered waits for the decode workers. */
        if (moved || sample->waiting + sample->running + sample->importing == 0 ||
            (sample->offered > 0 && any_moved))
            service->progress[i].changed_ns = now_ns;
        service->progress[i].iterations = sample->iterations;
        healthy &= now_ns - service->progress[i].changed_ns <= limit;
    }
    return healthy;
}
