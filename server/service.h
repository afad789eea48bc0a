/*
 * What every request is served with: the model's text side, the dispatch, the metrics, and the list
 * of exchanges in work. One per process; server thread only.
 */
#ifndef TANDEM_SERVER_SERVICE_H
#define TANDEM_SERVER_SERVICE_H

#include "model/chat_template.h"
#include "model/tokenizer.h"
#include "server/auth.h"
#include "server/config.h"
#include "server/connection.h"
#include "server/dispatch.h"
#include "server/metrics.h"
#include "server/worker_port.h"

#include <stdbool.h>
#include <stdint.h>

struct exchange;
struct text_thread;

/* What the main program has opened; all of it outlives the service. */
struct service_parts {
    const struct config *config;
    const struct tokenizer *tokenizer;
    const struct chat_template *chat_template; /* NULL: the model has none */
    char *const *names;                        /* served names, the first is shown */
    size_t n_names;
    int max_model_len;
    const struct worker_port *ports;
    int n_ports;
    const char *notify_socket; /* where systemd waits for our state, or NULL */
};

struct service {
    struct service_parts parts;
    struct auth *auth;
    struct dispatch *dispatch;
    struct metrics metrics;
    int64_t created; /* Unix time of the start */
    int n_vocab;
    size_t max_piece_bytes; /* of the longest token: a prompt of n bytes has at least n / this */
    int32_t end_ids[REQUEST_STOP_IDS_MAX / 2]; /* tokens that end an answer */
    int n_end_ids;

    struct exchange *exchanges; /* in work, in no order */
    int n_exchanges;
    struct connection_queue connections; /* those whose next request is awaited */
    struct text_thread *text_thread;
    size_t body_bytes; /* of bodies that are here and not yet worked on */
    int epoll_fd;      /* sockets of clients who wait are watched here */
    bool draining;
    struct {
        uint64_t iterations, changed_ns; /* last seen, and when it changed or nothing was pending */
    } progress[CONFIG_WORKERS_MAX];
};

int service_open(struct service *service, const struct service_parts *parts, int epoll_fd,
                 struct err *err);
/* No exchange is in work and no worker holds a request. */
void service_close(struct service *service);

/* NULL admits any name (the field may be left out). */
bool service_serves(const struct service *service, const char *model);

/* True while every worker with work has finished an iteration within server.unhealthy_after_s. Also
 * called now and then to keep watch. */
bool service_watch(struct service *service, uint64_t now_ns);

#endif
