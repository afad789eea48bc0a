/*
 * Opens everything from the bottom up and closes it in the reverse order. Who may still use what:
 * the workers use model, engine, team, arena and the inbox until workers_stop; the server thread
 * (this one) reads the workers' counters until http_close, and the inbox until the last has ended.
 */
#include "server/serve.h"

#include "base/clock.h"
#include "base/log.h"
#include "kvcache/layout.h"
#include "kvcache/pool.h"
#include "kvcache/transport.h"
#include "model/model.h"
#include "proto/message.h"
#include "server/dispatch.h"
#include "server/http.h"
#include "server/kv_budget.h"
#include "server/service.h"
#include "server/text_side.h"
#include "worker/engine.h"
#include "worker/team.h"
#include "worker/worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define PORT_NAME_MAX 80
#define INBOX_PER_REQUEST 8 /* messages of a request that may wait while the server is busy */
#define INBOX_MIN 16384
#define CPUS_MAX (1 << 16)
#define DESCRIPTORS_BESIDES 64 /* files, pipes and libraries, beside the clients' sockets */
#define STOP_S 30              /* for the workers to finish the iterations they are in */

_Static_assert(CONFIG_THREADS_MAX == TEAM_THREADS_MAX, "the option's range is the team's");

struct running {
    const struct config *config;
    struct model *model;
    struct text_side text;
    struct team *team;
    struct engine *engine;
    struct kv_arena arena;
    struct mailbox *inbox;
    struct worker *workers[CONFIG_WORKERS_MAX];
    struct worker_port ports[CONFIG_WORKERS_MAX];
    char names[CONFIG_WORKERS_MAX][PORT_NAME_MAX];
    int n_workers, n_started;
    int signals, epoll_fd; /* -1: not open */
    struct service service;
    bool service_open;
    struct http *http;
};

static void sample_worker(const void *context, struct worker_sample *ret)
{
    const struct worker_counters *from = worker_counters(context);

    *ret = (struct worker_sample){
        .iterations = atomic_load(&from->iterations),
        .prefill_tokens = atomic_load(&from->prefill_tokens),
        .decode_tokens = atomic_load(&from->decode_tokens),
        .preemptions = atomic_load(&from->preemptions),
        .transfers = atomic_load(&from->transfers),
        .transfers_failed = atomic_load(&from->transfers_failed),
        .transferred_pages = atomic_load(&from->transferred_pages),
        .late_messages = atomic_load(&from->late_messages),
        .waiting = atomic_load(&from->waiting),
        .running = atomic_load(&from->running),
        .importing = atomic_load(&from->importing),
        .offered = atomic_load(&from->offered),
        .pages_used = atomic_load(&from->pages_used),
        .pages_total = atomic_load(&from->pages_total),
        .progress_ns = atomic_load(&from->progress_ns),
    };
}

/* Cores this process may use. The kernel refuses (EINVAL) a set smaller than its own. */
static int count_cores(void)
{
    for (int cpus = CPU_SETSIZE; cpus <= CPUS_MAX; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        size_t size = CPU_ALLOC_SIZE((size_t)cpus);
        bool known = set && sched_getaffinity(0, size, set) == 0;
        int count = known ? CPU_COUNT_S(size, set) : 1;

        CPU_FREE(set);
        if (known)
            return count;
    }
    return 1;
}

static int count_threads(const struct config *config)
{
    int cores = config->threads ? (int)config->threads : count_cores();

    return cores < CONFIG_THREADS_MAX ? cores : CONFIG_THREADS_MAX;
}

/* A descriptor per client: raises the process's limit as far as it may. */
static void raise_descriptor_limit(const struct config *config)
{
    struct rlimit limit;
    rlim_t need = (rlim_t)config->max_connections + DESCRIPTORS_BESIDES;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= need)
        return;
    limit.rlim_cur = limit.rlim_max < need ? limit.rlim_max : need;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* what is missing is reported next */
    if (limit.rlim_cur < need)
        log_warn("the limit of %llu open files allows fewer clients than server.max_connections "
                 "(%lld)",
                 (unsigned long long)limit.rlim_cur, (long long)config->max_connections);
}

static int serve_open_model(struct running *r, struct err *err)
{
    uint64_t began = clock_now_ns();
    int threads = count_threads(r->config);

    log_info("loading %s", r->config->model_path);
    int rc = model_open(&r->model, r->config->model_path, err);

    if (rc == 0)
        rc = text_side_open(&r->text, r->model, r->config, err);
    if (rc == 0)
        rc = team_create(&r->team, threads, err);
    if (rc == 0)
        rc = engine_open(&r->engine, r->model, config_isa_names[r->config->cpu_isa], r->team,
                         r->text.max_model_len, err);
    if (rc == 0)
        log_info("%s (%s): %.0f MiB of weights repacked for %s with %d threads in %.2f s",
                 r->text.names[0], r->model->architecture,
                 (double)engine_weight_bytes(r->engine) / (1 << 20), engine_isa(r->engine), threads,
                 (double)(clock_now_ns() - began) * 1e-9);
    return rc;
}

static enum batcher_role batcher_role_of(enum config_role role)
{
    switch (role) {
    case CONFIG_PREFILL: return BATCHER_PREFILL;
    case CONFIG_DECODE: return BATCHER_DECODE;
    default: return BATCHER_BOTH;
    }
}

static int serve_worker(struct running *r, const struct config_worker *from, int number, int first,
                        int pages, int slots, struct err *err)
{
    const struct config *config = r->config;
    const int index = r->n_workers;
    const struct worker_config made = {
        .index = (uint16_t)index,
        .role = batcher_role_of(from->role),
        .slots = slots,
        .max_running = (int)config->max_num_seqs,
        .token_budget = (int)config->token_budget,
        .max_tokens = r->text.max_model_len,
        .n_vocab = r->model->shape.n_vocab,
        .lease_ms = (uint32_t)config->lease_ms,
    };
    const struct kv_transport *transport =
        config->transport == CONFIG_COPY ? &kv_transport_copy : &kv_transport_exchange;
    struct page_pool *pool;

    snprintf(r->names[index], sizeof r->names[index], "%s", from->name);
    if (from->count > 1)
        snprintf(r->names[index], sizeof r->names[index], "%.64s-%d", from->name, number);
    if (page_pool_create(&pool, &r->arena, first, pages) < 0)
        return err_set(err, ENOMEM, "out of memory for the pages of worker %s", r->names[index]);
    int rc = worker_create(&r->workers[index], &made, r->engine, r->team, pool, transport, r->inbox,
                           err);

    if (rc < 0)
        return rc; /* the pool is the worker's from the call on */
    r->ports[index] = (struct worker_port){
        .name = r->names[index],
        .role = from->role,
        .mailbox = worker_mailbox(r->workers[index]),
        .sample = sample_worker,
        .context = r->workers[index],
    };
    r->n_workers++;
    log_info("worker %s: role %s, %d KV pages (%lld tokens, %.0f MiB)", r->names[index],
             config_role_name(from->role), pages, (long long)pages * PAGE_TOKENS,
             (double)pages * (double)r->arena.page_bytes / (1 << 20));
    return 0;
}

static int serve_open_workers(struct running *r, struct err *err)
{
    const struct config *config = r->config;
    const struct kv_layout layout = engine_kv_layout(r->engine);
    const size_t page_bytes = kv_page_bytes(&layout);
    int pages[CONFIG_WORKERS_MAX], slots = config_max_live(config), first = 0;
    size_t inbox = (size_t)slots * INBOX_PER_REQUEST;
    int total = 0;
    int rc = kv_budget_share(config, page_bytes, PAGE_TOKENS, r->text.max_model_len, pages, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < config->n_workers; i++)
        total += pages[i] * config->workers[i].count;
    rc = kv_arena_open(&r->arena, page_bytes, total, err);
    if (rc < 0)
        return rc;
    rc = mailbox_create(&r->inbox, inbox < INBOX_MIN ? INBOX_MIN : inbox, sizeof(struct message));
    if (rc < 0)
        return err_set(err, -rc, "the server's mailbox: %s", strerror(-rc));
    for (size_t i = 0; i < config->n_workers; i++)
        for (int k = 0; k < config->workers[i].count && rc == 0; k++) {
            rc = serve_worker(r, &config->workers[i], k, first, pages[i], slots, err);
            first += pages[i];
        }
    return rc;
}

static int serve_open_http(struct running *r, const char *notify_socket, int *ret_port,
                           struct err *err)
{
    const struct service_parts parts = {
        .config = r->config,
        .tokenizer = r->text.tokenizer,
        .chat_template = r->text.chat_template,
        .names = r->text.names,
        .n_names = r->text.n_names,
        .max_model_len = r->text.max_model_len,
        .ports = r->ports,
        .n_ports = r->n_workers,
        .notify_socket = notify_socket,
    };
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    r->signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (r->signals < 0)
        return err_set(err, errno, "signalfd: %s", strerror(errno));
    int rc = http_epoll_create(&r->epoll_fd, err);

    if (rc == 0)
        rc = service_open(&r->service, &parts, r->epoll_fd, err);
    if (rc < 0)
        return rc;
    r->service_open = true;
    return http_open(&r->http, &r->service, r->inbox, r->signals, ret_port, err);
}

static int serve_start_workers(struct running *r, struct err *err)
{
    for (int i = 0; i < r->n_workers; i++) {
        int rc = worker_start(r->workers[i], r->workers, r->n_workers, err);

        if (rc < 0)
            return rc;
        r->n_started++;
    }
    return 0;
}

static void read_last_mail(void *context)
{
    struct running *r = context;
    struct message message;

    while (mailbox_take(r->inbox, &message))
        dispatch_receive(r->service.dispatch, &message);
    (void)dispatch_flush(r->service.dispatch); /* cancels that found a mailbox full */
}

static int stop_workers(struct running *r, struct err *err)
{
    const uint64_t deadline_ns = clock_now_ns() + STOP_S * (uint64_t)1000000000;

    const int running = workers_stop(r->workers, r->n_started, deadline_ns, read_last_mail, r);

    if (running == 0)
        return 0;
    for (int i = 0; i < r->n_started; i++)
        if (!worker_ended(r->workers[i]))
            log_error("worker %s has not ended within %d s", r->names[i], STOP_S);
    return err_set(err, ETIMEDOUT, "ending although %d workers have not ended", running);
}

/* An iteration cannot be interrupted, nor can memory be freed under it: when a worker does not come
 * to the end of one in time, all it may use is left as it is, and the process has to end. */
static int close_running(struct running *r, struct err *err)
{
    http_close(r->http);
    const int rc = r->n_started > 0 ? stop_workers(r, err) : 0;

    if (rc < 0)
        return rc;
    if (r->service_open)
        service_close(&r->service);
    for (int i = 0; i < r->n_workers; i++)
        worker_destroy(r->workers[i]);
    mailbox_destroy(r->inbox);
    if (r->arena.base)
        kv_arena_close(&r->arena);
    if (r->engine)
        engine_close(r->engine);
    if (r->team)
        team_destroy(r->team);
    text_side_close(&r->text);
    if (r->model)
        model_close(r->model);
    if (r->epoll_fd >= 0)
        close(r->epoll_fd);
    if (r->signals >= 0)
        close(r->signals);
    free(r);
    return 0;
}

int serve_run(const struct config *config, const char *notify_socket, struct err *err)
{
    struct running *r = calloc(1, sizeof *r);
    int port;

    if (!r)
        return err_set(err, ENOMEM, "out of memory");
    r->config = config;
    r->signals = r->epoll_fd = -1;
    raise_descriptor_limit(config);
    int rc = serve_open_model(r, err);

    if (rc == 0)
        rc = serve_open_workers(r, err);
    if (rc == 0)
        rc = serve_open_http(r, notify_socket, &port, err);
    if (rc == 0)
        rc = serve_start_workers(r, err);
    if (rc == 0) {
        log_info("listening on http://%s:%d (at most %d tokens per sequence, %d requests at once)",
                 config->host, port, r->text.max_model_len, config_max_live(config));
        (void)http_run(r->http); /* what was cut short has been logged */
    }
    const int closed = close_running(r, err);

    if (closed < 0)
        return closed;
    if (rc == 0)
        log_info("stopped");
    return rc;
}
