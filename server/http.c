/*
 * A turn of the loop: sleep, note who is gone, take the workers' messages, look after what is due,
 * then let libmicrohttpd do all its work at once. The order matters: only libmicrohttpd frees
 * exchanges, so no event of this turn's batch can meet a freed one.
 *
 * With no room for another connection libmicrohttpd stops to look at its listening socket, and asks
 * itself whether to begin again before it removes what was closed, not after. So a turn that ended
 * connections is followed by another one at once.
 */
#include "server/http.h"

#include "base/clock.h"
#include "base/log.h"
#include "proto/message.h"
#include "server/answer.h"
#include "server/connection.h"
#include "server/exchange.h"
#include "server/listener.h"
#include "server/notify.h"
#include "server/text_thread.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define MESSAGES_PER_TURN 8192 /* then the clients get their turn */
#define TICK_NS 250000000u     /* how often answers in work are looked after */
#define RETRY_NS 5000000u      /* when a worker's mailbox was full */
#define FLUSH_NS 1000000000u   /* for last words to reach the clients */

struct http {
    struct service *service;
    struct mailbox *inbox;
    struct MHD_Daemon *daemon;
    int listen_fd, signals;
    uint64_t tick_ns;  /* next look at the answers */
    uint64_t retry_ns; /* next try to post; 0: nothing to post */
    uint64_t drain_ns; /* when draining must be over; 0: not draining */
    bool forced;
    bool ended_some; /* connections, in the last turn */
};

/* Addresses that tell our own descriptors from exchanges in epoll's data. */
static const char mhd_tag, inbox_tag, signal_tag, text_tag;

int http_epoll_create(int *ret_fd, struct err *err)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd < 0)
        return err_set(err, errno, "epoll: %s", strerror(errno));
    *ret_fd = fd;
    return 0;
}

static int add_descriptor(const struct http *http, int fd, const char *tag, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = (void *)(uintptr_t)tag};

    if (epoll_ctl(http->service->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return err_set(err, errno, "epoll: %s", strerror(errno));
    return 0;
}

__attribute__((format(printf, 2, 0))) static void daemon_log(void *cls, const char *format,
                                                             va_list args)
{
    char line[512];

    (void)cls;
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\n")] = '\0';
    log_debug("http: %s", line); /* what clients did wrong, not what we did */
}

static void connection_changed(void *cls, struct MHD_Connection *connection, void **socket_context,
                               enum MHD_ConnectionNotificationCode code)
{
    struct http *http = cls;
    struct service *service = http->service;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;

        service->metrics.connections++;
        *socket_context = connection_begin(&service->connections, fd, clock_now_ns());
        if (!*socket_context)
            (void)shutdown(fd, SHUT_RDWR);
        return;
    }
    service->metrics.connections--;
    http->ended_some = true;
    if (*socket_context)
        connection_end(&service->connections, *socket_context);
}

static int start_daemon(struct http *http, struct err *err)
{
    const struct config *config = http->service->parts.config;

    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        exchange_access, http->service, MHD_OPTION_EXTERNAL_LOGGER, daemon_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, http->listen_fd, MHD_OPTION_NOTIFY_COMPLETED, exchange_completed,
        http->service, MHD_OPTION_NOTIFY_CONNECTION, connection_changed, http,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)config->max_connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)config->connection_timeout_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)config->max_header_bytes, MHD_OPTION_END);
    if (!http->daemon)
        return err_set(err, EIO, "libmicrohttpd could not start");
    return 0;
}

int http_open(struct http **ret_http, struct service *service, struct mailbox *inbox, int signals,
              int *ret_port, struct err *err)
{
    const struct config *config = service->parts.config;
    struct http *http = calloc(1, sizeof *http);

    if (!http)
        return err_set(err, ENOMEM, "out of memory");
    http->service = service;
    http->inbox = inbox;
    http->signals = signals;
    int rc = listener_open(&http->listen_fd, config->host, (int)config->port, ret_port, err);

    if (rc < 0)
        goto free_http;
    rc = text_thread_start(&service->text_thread, err);
    if (rc < 0)
        goto close_listener;
    rc = start_daemon(http, err);
    if (rc < 0)
        goto stop_text_thread;
    rc = add_descriptor(http, MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
                        &mhd_tag, err);
    if (rc == 0)
        rc = add_descriptor(http, mailbox_fd(inbox), &inbox_tag, err);
    if (rc == 0)
        rc = add_descriptor(http, signals, &signal_tag, err);
    if (rc == 0)
        rc = add_descriptor(http, text_thread_fd(service->text_thread), &text_tag, err);
    if (rc < 0)
        goto stop_daemon;
    *ret_http = http;
    return 0;
stop_daemon:
    MHD_stop_daemon(http->daemon); /* closes the listening socket */
    text_thread_stop(service->text_thread);
    goto free_http;
stop_text_thread:
    text_thread_stop(service->text_thread);
close_listener:
    close(http->listen_fd);
free_http:
    free(http);
    return rc;
}

static void begin_drain(struct http *http)
{
    const struct config *config = http->service->parts.config;
    struct dispatch_counts counts;

    dispatch_count(http->service->dispatch, &counts);
    log_info("stopping: %d requests in work may take up to %lld s; a second signal ends them",
             counts.live, (long long)config->drain_timeout_s);
    notify_send(http->service->parts.notify_socket, "STOPPING=1");
    http->service->draining = true;
    http->drain_ns = clock_now_ns() + (uint64_t)config->drain_timeout_s * 1000000000u;
}

static void take_signals(struct http *http)
{
    struct signalfd_siginfo info;

    while (read(http->signals, &info, sizeof info) == sizeof info) {
        if (http->service->draining)
            http->forced = true;
        else
            begin_drain(http);
    }
}

static void take_messages(struct http *http)
{
    struct message message;

    for (int i = 0; i < MESSAGES_PER_TURN && mailbox_take(http->inbox, &message); i++)
        dispatch_receive(http->service->dispatch, &message);
}

static void take_texts(struct http *http)
{
    struct text_work *work;

    while ((work = text_thread_take(http->service->text_thread)))
        exchange_text_done(work);
}

static void tick(struct http *http, uint64_t now)
{
    for (struct exchange *e = http->service->exchanges; e; e = e->next)
        exchange_tick(e, now);
    (void)service_watch(http->service, now); /* keeps the watch; asked for by /health */
    http->tick_ns = now + TICK_NS;
}

/* Milliseconds until something is due, -1: nothing is. */
static int time_to_sleep(struct http *http, uint64_t now)
{
    uint64_t due = connection_due(&http->service->connections);
    unsigned long long daemon_ms;

    if ((http->service->n_exchanges > 0 || http->service->draining) && http->tick_ns < due)
        due = http->tick_ns;
    if (http->retry_ns && http->retry_ns < due)
        due = http->retry_ns;
    if (due <= now || http->ended_some)
        return 0;
    due = due == UINT64_MAX ? due : (due - now + 999999) / 1000000;
    if (MHD_get_timeout(http->daemon, &daemon_ms) == MHD_YES && daemon_ms < due)
        due = daemon_ms;
    return due == UINT64_MAX ? -1 : due > INT_MAX ? INT_MAX : (int)due;
}

static void http_turn(struct http *http)
{
    struct epoll_event events[EVENTS_MAX];
    int sleep_ms = time_to_sleep(http, clock_now_ns());

    if (!mailbox_arm(http->inbox) || !text_thread_arm(http->service->text_thread))
        sleep_ms = 0;
    int n = epoll_wait(http->service->epoll_fd, events, EVENTS_MAX, sleep_ms);

    for (int i = 0; i < n; i++) {
        const void *tag = events[i].data.ptr;

        if (tag == &signal_tag)
            take_signals(http);
        else if (tag != &mhd_tag && tag != &inbox_tag && tag != &text_tag)
            exchange_hang_up(events[i].data.ptr);
    }
    take_messages(http);
    take_texts(http);
    uint64_t now = clock_now_ns();

    if (http->retry_ns == 0 || now >= http->retry_ns)
        http->retry_ns = dispatch_flush(http->service->dispatch) ? now + RETRY_NS : 0;
    if (now >= http->tick_ns)
        tick(http, now);
    connection_cut_late(&http->service->connections, now);
    http->ended_some = false;
    MHD_run(http->daemon);
}

static bool all_answered(const struct http *http)
{
    struct dispatch_counts counts;

    dispatch_count(http->service->dispatch, &counts);
    return counts.live == 0 && http->service->n_exchanges == 0;
}

/* Requests are ended and the clients told; what the workers still have to say about them is read
 * while these are stopped. */
static void end_forcibly(struct http *http)
{
    struct api_error error;

    api_error_set(&error, 503, "server_draining", NULL, "The server is shutting down.");
    error.close = true;
    error.retry_after_s = 1;
    for (struct exchange *e = http->service->exchanges; e; e = e->next)
        if (e->answer)
            answer_fail(e->answer, &error);
        else if (e->work)
            exchange_refuse(e, &error);
    http->drain_ns = clock_now_ns() + FLUSH_NS;
    while (http->service->n_exchanges > 0 && clock_now_ns() < http->drain_ns)
        http_turn(http);
}

bool http_run(struct http *http)
{
    struct dispatch_counts counts;

    notify_send(http->service->parts.notify_socket, "READY=1");
    while (!http->service->draining)
        http_turn(http);
    while (!all_answered(http) && !http->forced && clock_now_ns() < http->drain_ns)
        http_turn(http);
    bool answered = all_answered(http);

    dispatch_count(http->service->dispatch, &counts);
    if (!answered) {
        log_warn("ending %d requests and %d open exchanges", counts.live,
                 http->service->n_exchanges);
        end_forcibly(http);
    }
    return answered;
}

void http_close(struct http *http)
{
    if (!http)
        return;
    /* Stopping with suspended connections is an error to libmicrohttpd. */
    exchange_resume_all(http->service);
    MHD_run(http->daemon);
    MHD_stop_daemon(http->daemon); /* completes the other exchanges; closes the listening socket */
    text_thread_stop(http->service->text_thread);
    free(http);
}
