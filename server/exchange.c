/*
 * libmicrohttpd calls exchange_access when the headers are there, for every piece of the body, at
 * its end, and again after a connection that waited for an answer was resumed.
 *
 * A request that is refused early is still read to its end (into nothing), because an answer sent
 * while the client is writing is lost when the connection is reset; only bodies that are far too
 * large, or announced with Expect: 100-continue, are answered at once.
 */
#include "server/exchange.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/answer.h"
#include "server/connection.h"
#include "server/framing.h"
#include "server/route.h"
#include "server/text_thread.h"
#include "server/text_work.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#define DISCARD_FACTOR 4 /* bodies up to this many times the limit are read to be refused */
#define SLOWEST_BYTES_PER_SECOND \
    4096 /* a body may come as slowly as this, after the first timeout */
#define INLINE_BODY_MAX \
    16384             /* larger bodies go to the text thread; 10 ms of tokenising at worst */
#define BODIES_MAX 64 /* server.max_body_bytes of all bodies that are not yet worked on */
#define STREAM_BLOCK 4096
#define STREAM_SOCKET_BYTES 32768

static const char *header(const struct exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

static int socket_of(const struct exchange *exchange)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    return info ? info->connect_fd : -1;
}

/* The one below the exchange; NULL: it is being ended for lack of memory. */
static struct connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

static void watch(struct exchange *exchange)
{
    struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = exchange};

    if (epoll_ctl(exchange->service->epoll_fd, EPOLL_CTL_ADD, socket_of(exchange), &event) < 0)
        log_warn("request %s: its client cannot be watched: %s", exchange->id, strerror(errno));
    else
        exchange->watched = true;
}

static void unwatch(struct exchange *exchange)
{
    if (exchange->watched)
        (void)epoll_ctl(exchange->service->epoll_fd, EPOLL_CTL_DEL, socket_of(exchange), NULL);
    exchange->watched = false;
}

void exchange_wake(struct exchange *exchange)
{
    if (!exchange->suspended)
        return;
    exchange->suspended = false;
    MHD_resume_connection(exchange->connection);
}

/* Nobody waits for the text work any more: it is destroyed, if need be when it comes back. */
static void give_up_work(struct exchange *exchange)
{
    struct text_work *work = exchange->work;

    exchange->work = NULL;
    if (!work)
        return;
    if (work->done) {
        text_work_destroy(work);
        return;
    }
    work->exchange = NULL;
    atomic_store(&work->given_up, true);
}

void exchange_text_done(struct text_work *work)
{
    if (!work->exchange) {
        text_work_destroy(work);
        return;
    }
    work->done = true;
    exchange_wake(work->exchange);
}

void exchange_refuse(struct exchange *exchange, const struct api_error *error)
{
    give_up_work(exchange);
    exchange->refused = true;
    exchange->error = *error;
    exchange_wake(exchange);
}

void exchange_hang_up(struct exchange *exchange)
{
    unwatch(exchange); /* the condition stays true and would be reported for ever */
    if (exchange->gone)
        return;
    if (exchange->work) {
        exchange->service->metrics.disconnected++;
        give_up_work(exchange);
    } else if (exchange->answer && exchange->answer->state == ANSWER_LIVE) {
        exchange->service->metrics.disconnected++;
        answer_abort(exchange->answer);
    }
    exchange_cut(exchange);
}

void exchange_cut(struct exchange *exchange)
{
    exchange->gone = true;
    (void)shutdown(socket_of(exchange), SHUT_RDWR); /* ends a client that only closed its half */
    exchange_wake(exchange);
}

static void check_work_deadline(struct exchange *exchange, uint64_t now_ns)
{
    uint64_t limit_s = (uint64_t)exchange->service->parts.config->request_timeout_s;
    struct api_error error;

    if (limit_s == 0 || now_ns <= exchange->arrived_ns + limit_s * 1000000000u)
        return;
    api_error_set(&error, 504, "deadline_exceeded", NULL,
                  "The request took longer than the server's limit of %llu s.",
                  (unsigned long long)limit_s);
    exchange_refuse(exchange, &error);
}

void exchange_tick(struct exchange *exchange, uint64_t now_ns)
{
    const struct config *config = exchange->service->parts.config;
    uint64_t seconds = (uint64_t)config->connection_timeout_s +
                       (exchange->body.size + exchange->discarded) / SLOWEST_BYTES_PER_SECOND;

    if (exchange->answer)
        answer_tick(exchange->answer, now_ns);
    else if (exchange->work)
        check_work_deadline(exchange, now_ns);
    else if (exchange->status == 0 && now_ns > exchange->arrived_ns + seconds * 1000000000u)
        exchange_cut(exchange);
}

void exchange_resume_all(struct service *service)
{
    for (struct exchange *e = service->exchanges; e; e = e->next) {
        e->gone = true;
        if (e->answer)
            answer_abort(e->answer);
        exchange_wake(e);
    }
}

/* What a client may have chosen: anything printable that is no header trick. */
static void take_client_id(struct exchange *exchange)
{
    const char *id = header(exchange, "X-Request-Id");
    size_t size = id ? strlen(id) : 0;

    if (size == 0 || size >= sizeof exchange->client_id)
        return;
    for (size_t i = 0; i < size; i++)
        if (id[i] <= ' ' || id[i] >= 0x7f)
            return;
    memcpy(exchange->client_id, id, size + 1);
}

static int make_id(char *id)
{
    unsigned char random[(EXCHANGE_ID_MAX - 1) / 2];

    if (getrandom(random, sizeof random, 0) != sizeof random)
        return -EIO;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(id + 2 * i, 3, "%02x", random[i]);
    return 0;
}

static int refuse_content(struct exchange *exchange)
{
    const char *type = header(exchange, MHD_HTTP_HEADER_CONTENT_TYPE);
    const char *encoding = header(exchange, MHD_HTTP_HEADER_CONTENT_ENCODING);
    size_t length = type ? strcspn(type, "; \t") : 0;

    if (encoding && strcasecmp(encoding, "identity") != 0)
        return api_error_set(&exchange->error, 415, "unsupported_content_encoding", NULL,
                             "Compressed request bodies are not supported.");
    if (type && (length != 16 || strncasecmp(type, "application/json", 16) != 0))
        return api_error_set(&exchange->error, 415, "unsupported_media_type", NULL,
                             "The Content-Type must be application/json.");
    return 0;
}

static int refuse_early(struct exchange *exchange, const char *url)
{
    const struct service *service = exchange->service;
    int rc =
        route_find(url, exchange->method, &exchange->route, &exchange->argument, &exchange->error);

    if (rc < 0)
        return rc;
    if (!exchange->route->open &&
        !auth_admits(service->auth, header(exchange, MHD_HTTP_HEADER_AUTHORIZATION)))
        return api_error_set(&exchange->error, 401, "invalid_api_key", NULL,
                             "A valid API key is needed: Authorization: Bearer KEY.");
    if (exchange->route->work && service->draining) {
        rc = api_error_set(&exchange->error, 503, "server_draining", NULL,
                           "The server is shutting down.");
        exchange->error.close = true;
        exchange->error.retry_after_s = 1;
        return rc;
    }
    return exchange->route->work ? refuse_content(exchange) : 0;
}

static int refuse_too_large(struct exchange *exchange)
{
    exchange->refused = true;
    return api_error_set(&exchange->error, 413, "request_too_large", NULL,
                         "The request body is larger than the limit of %lld bytes.",
                         (long long)exchange->service->parts.config->max_body_bytes);
}

static struct exchange *exchange_begin(struct service *service, struct MHD_Connection *connection,
                                       const char *url, const char *method)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);
    struct connection *below = connection_of(connection);

    if (below)
        connection_heard(&service->connections, below);
    if (!exchange || make_id(exchange->id) < 0) {
        free(exchange);
        return NULL;
    }
    exchange->service = service;
    exchange->connection = connection;
    exchange->method = route_method(method);
    exchange->arrived_ns = clock_now_ns();
    buf_init(&exchange->body, (size_t)service->parts.config->max_body_bytes);
    take_client_id(exchange);
    exchange->next = service->exchanges;
    if (exchange->next)
        exchange->next->previous = exchange;
    service->exchanges = exchange;
    service->n_exchanges++;
    exchange->refused = refuse_early(exchange, url) < 0;
    /* libmicrohttpd reads until a short read and then misses the end that came with it. */
    if (exchange->route && exchange->route->work)
        watch(exchange);
    return exchange;
}

static void add_headers(const struct exchange *exchange, struct MHD_Response *response,
                        const char *content_type)
{
    const struct api_error *error = &exchange->error;
    char seconds[16];

    MHD_add_response_header(response, "X-Request-Id",
                            exchange->client_id[0] ? exchange->client_id : exchange->id);
    if (content_type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    if (!exchange->refused)
        return;
    if (error->retry_after_s > 0) {
        snprintf(seconds, sizeof seconds, "%d", error->retry_after_s);
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    if (error->status == 401)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (error->close)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
}

/* Hands the response over to libmicrohttpd. */
static enum MHD_Result queue_response(struct exchange *exchange, int status,
                                      const char *content_type, struct MHD_Response *response)
{
    if (!response)
        return MHD_NO;
    add_headers(exchange, response, content_type);
    if (status == 405 || strcmp(exchange->method, "OPTIONS") == 0)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, route_allow(exchange->route));
    if (exchange->answer && exchange->answer->request.stream && !exchange->refused) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
        MHD_add_response_header(response, "X-Accel-Buffering", "no"); /* nginx: do not collect */
    }
    exchange->status = status;
    enum MHD_Result queued = MHD_queue_response(exchange->connection, (unsigned)status, response);

    MHD_destroy_response(response); /* the connection holds its own reference */
    return queued;
}

/* The bytes are libmicrohttpd's afterwards. */
static enum MHD_Result queue_bytes(struct exchange *exchange, int status, const char *content_type,
                                   struct buf *body)
{
    if (body->failed) {
        buf_free(body);
        return MHD_NO;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->size, body->bytes, MHD_RESPMEM_MUST_FREE);

    if (!response)
        buf_free(body);
    *body = (struct buf){.limit = body->limit};
    return queue_response(exchange, status, content_type, response);
}

static enum MHD_Result queue_error(struct exchange *exchange)
{
    struct buf body;

    exchange->refused = true;
    buf_init(&body, 16 * ERR_TEXT_MAX);
    api_error_write(&exchange->error, &body);
    return queue_bytes(exchange, exchange->error.status, "application/json", &body);
}

static ssize_t stream_read(void *cls, uint64_t position, char *bytes, size_t size)
{
    struct exchange *exchange = cls;
    size_t taken = exchange->gone ? 0 : answer_take(exchange->answer, bytes, size);

    (void)position;
    if (taken > 0)
        return (ssize_t)taken;
    /* Not END_WITH_ERROR: after it libmicrohttpd 0.9.75 keeps a closed connection until its timeout
     * runs out. The last chunk of a stream whose socket was cut cannot be sent, which ends it. */
    if (exchange->gone || exchange->answer->state != ANSWER_LIVE)
        return MHD_CONTENT_READER_END_OF_STREAM;
    exchange->suspended = true;
    MHD_suspend_connection(exchange->connection);
    return 0;
}

static enum MHD_Result queue_answer(struct exchange *exchange)
{
    struct answer *answer = exchange->answer;

    if (answer->request.stream)
        return queue_response(exchange, 200, "text/event-stream",
                              MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK,
                                                                stream_read, exchange, NULL));
    if (answer->state == ANSWER_DONE)
        return queue_bytes(exchange, 200, "application/json", &answer->out);
    if (answer->state == ANSWER_FAILED) {
        exchange->error = answer->error;
        return queue_error(exchange);
    }
    exchange->suspended = true;
    MHD_suspend_connection(exchange->connection);
    return MHD_YES;
}

/* A stream's socket gets a small buffer in the kernel, which would otherwise hide a client that
 * does not read until megabytes are waiting. */
static void shrink_socket_buffer(const struct exchange *exchange)
{
    const int bytes = STREAM_SOCKET_BYTES;

    if (setsockopt(socket_of(exchange), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) < 0)
        log_debug("request %s: SO_SNDBUF: %s", exchange->id, strerror(errno));
}

static void release_body(struct exchange *exchange)
{
    exchange->service->body_bytes -= exchange->body.size;
    buf_free(&exchange->body);
}

/* The text work is done: answers, or starts what the answer comes from. */
static enum MHD_Result end_work(struct exchange *exchange)
{
    struct text_work *work = exchange->work;
    struct buf reply = work->reply;
    int rc = work->rc;

    exchange->work = NULL;
    exchange->error = work->error;
    work->reply = (struct buf){0};
    if (rc == 0 && work->answer) {
        rc = answer_start(work->answer, exchange, &exchange->error);
        exchange->answer = rc < 0 ? NULL : work->answer;
        work->answer = NULL;
    }
    text_work_destroy(work);
    if (rc < 0) {
        buf_free(&reply);
        return queue_error(exchange);
    }
    if (!exchange->answer)
        return queue_bytes(exchange, 200, "application/json", &reply);
    buf_free(&reply);
    if (exchange->answer->request.stream) {
        exchange->service->metrics.streams++;
        shrink_socket_buffer(exchange);
    }
    return queue_answer(exchange);
}

static enum MHD_Result wait_for_work(struct exchange *exchange)
{
    if (exchange->work->done)
        return end_work(exchange);
    exchange->suspended = true;
    MHD_suspend_connection(exchange->connection);
    return MHD_YES;
}

static enum MHD_Result begin_work(struct exchange *exchange)
{
    struct service *service = exchange->service;
    const bool is_small = exchange->body.size <= INLINE_BODY_MAX;

    if (exchange->route->generates && answer_check_room(service, 1, &exchange->error) < 0)
        return queue_error(exchange);
    struct text_work *work = text_work_create(exchange);

    if (!work) {
        api_error_set(&exchange->error, 500, NULL, NULL, "Out of memory.");
        return queue_error(exchange);
    }
    if (is_small) {
        text_work_run(work);
        work->done = true;
    } else if (text_thread_give(service->text_thread, work) < 0) {
        text_work_destroy(work);
        service->metrics.refused++;
        api_error_overloaded(&exchange->error,
                             "Too many large requests are waiting; try again later.");
        return queue_error(exchange);
    }
    exchange->work = work;
    return wait_for_work(exchange);
}

/* The request is here in full. */
static enum MHD_Result serve(struct exchange *exchange)
{
    struct reply reply = {.status = 200, .content_type = "application/json"};

    if (exchange->refused)
        return queue_error(exchange);
    if (strcmp(exchange->method, "POST") == 0)
        return begin_work(exchange);
    buf_init(&reply.body, ANSWER_BODY_MAX);
    if (route_serve(exchange, &reply, &exchange->error) < 0) {
        buf_free(&reply.body);
        return queue_error(exchange);
    }
    release_body(exchange);
    return queue_bytes(exchange, reply.status, reply.content_type, &reply.body);
}

static enum MHD_Result begin(struct exchange *exchange, const char *version)
{
    const char *length_text = header(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH);
    unsigned long long length = length_text ? strtoull(length_text, NULL, 10) : 0;
    unsigned long long limit = (unsigned long long)exchange->service->parts.config->max_body_bytes;
    const char *expect = header(exchange, MHD_HTTP_HEADER_EXPECT);

    /* Answered before the body, which makes libmicrohttpd read nothing more from the connection:
     * where this request ends is not known. */
    if (framing_check(exchange->connection, version, &exchange->error) < 0)
        return queue_error(exchange);
    if (length <= limit)
        return MHD_YES;
    if (!exchange->refused)
        refuse_too_large(exchange);
    if (!expect && length <= DISCARD_FACTOR * limit)
        return MHD_YES;
    exchange->error.close = true;
    return queue_error(exchange);
}

static void refuse_bodies(struct exchange *exchange)
{
    exchange->refused = true;
    exchange->service->metrics.refused++;
    api_error_overloaded(&exchange->error, "Too many request bodies are on their way in.");
}

static enum MHD_Result take_body(struct exchange *exchange, const char *bytes, size_t size)
{
    struct service *service = exchange->service;

    if (!exchange->refused && size > exchange->body.limit - exchange->body.size)
        refuse_too_large(exchange);
    else if (!exchange->refused &&
             (service->body_bytes + size > BODIES_MAX * exchange->body.limit ||
              buf_append(&exchange->body, bytes, size) < 0))
        refuse_bodies(exchange);
    else if (!exchange->refused)
        service->body_bytes += size;
    if (!exchange->refused)
        return MHD_YES;
    release_body(exchange);
    exchange->discarded += size;
    return exchange->discarded / DISCARD_FACTOR > exchange->body.limit ? MHD_NO : MHD_YES;
}

enum MHD_Result exchange_access(void *cls, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **state)
{
    struct exchange *exchange = *state;

    if (!exchange) {
        *state = exchange = exchange_begin(cls, connection, url, method);
        return exchange ? begin(exchange, version) : MHD_NO;
    }
    if (*upload_size > 0) {
        enum MHD_Result taken = take_body(exchange, upload, *upload_size);

        *upload_size = 0;
        return taken;
    }
    if (exchange->gone)
        return MHD_NO;
    if (exchange->work)
        return wait_for_work(exchange);
    return exchange->answer ? queue_answer(exchange) : serve(exchange);
}

void exchange_completed(void *cls, struct MHD_Connection *connection, void **state,
                        enum MHD_RequestTerminationCode why)
{
    struct service *service = cls;
    struct exchange *exchange = *state;
    struct connection *below = connection_of(connection);

    if (below)
        connection_await(&service->connections, below, clock_now_ns());
    if (!exchange)
        return;
    *state = NULL;
    unwatch(exchange);
    if (why != MHD_REQUEST_TERMINATED_COMPLETED_OK && exchange->answer &&
        exchange->answer->state == ANSWER_LIVE)
        service->metrics.disconnected++;
    give_up_work(exchange);
    metrics_http_ended(&service->metrics, exchange->route ? exchange->route->path : "unknown",
                       exchange->method, exchange->status, clock_now_ns() - exchange->arrived_ns);
    log_debug("request %s: %s %s %d in %.3f ms", exchange->id, exchange->method,
              exchange->route ? exchange->route->path : "unknown", exchange->status,
              (double)(clock_now_ns() - exchange->arrived_ns) * 1e-6);
    if (exchange->answer) {
        service->metrics.streams -= exchange->answer->request.stream;
        answer_destroy(exchange->answer);
    }
    if (exchange->next)
        exchange->next->previous = exchange->previous;
    if (exchange->previous)
        exchange->previous->next = exchange->next;
    else
        service->exchanges = exchange->next;
    service->n_exchanges--;
    release_body(exchange);
    free(exchange);
}
