/* The table of routes, and those that are answered at once. */
#include "server/route.h"

#include "base/clock.h"
#include "server/answer.h"
#include "server/json_out.h"
#include "server/process_metrics.h"
#include "server/tokenize_route.h"

#include <string.h>
#include <strings.h>

static int serve_health(struct exchange *exchange, struct reply *reply, struct api_error *error)
{
    if (!service_watch(exchange->service, clock_now_ns()))
        return api_error_set(error, 503, "engine_stalled", NULL,
                             "A worker with pending work makes no progress.");
    buf_puts(&reply->body, "{\"status\":\"ok\"}");
    return 0;
}

static int serve_ready(struct exchange *exchange, struct reply *reply, struct api_error *error)
{
    if (exchange->service->draining) {
        int rc = api_error_set(error, 503, "server_draining", NULL, "The server is shutting down.");

        error->retry_after_s = 1;
        error->close = true;
        return rc;
    }
    return serve_health(exchange, reply, error);
}

static int serve_metrics(struct exchange *exchange, struct reply *reply, struct api_error *error)
{
    struct service *service = exchange->service;
    const struct metrics_state state = {
        .model_name = service->parts.names[0],
        .ports = service->parts.ports,
        .n_ports = service->parts.n_ports,
        .max_model_len = service->parts.max_model_len,
        .dispatch = service->dispatch,
        .healthy = service_watch(service, clock_now_ns()),
    };

    (void)error;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_write(&service->metrics, &state, &reply->body);
    process_metrics_write(&reply->body);
    return 0;
}

static int serve_version(struct exchange *exchange, struct reply *reply, struct api_error *error)
{
    (void)exchange;
    (void)error;
    buf_puts(&reply->body, "{\"version\":\"" TANDEM_VERSION "\"}");
    return 0;
}

static void write_model(const struct service *service, const char *name, struct buf *out)
{
    buf_puts(out, "{\"id\":");
    json_out_string(out, name, strlen(name));
    buf_printf(out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"tandem\",\"root\":",
               (long long)service->created);
    json_out_string(out, service->parts.names[0], strlen(service->parts.names[0]));
    buf_printf(out, ",\"parent\":null,\"max_model_len\":%d}", service->parts.max_model_len);
}

static int serve_models(struct exchange *exchange, struct reply *reply, struct api_error *error)
{
    const struct service *service = exchange->service;

    (void)error;
    buf_puts(&reply->body, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < service->parts.n_names; i++) {
        buf_puts(&reply->body, i ? "," : "");
        write_model(service, service->parts.names[i], &reply->body);
    }
    buf_puts(&reply->body, "]}");
    return 0;
}

static int serve_model(struct exchange *exchange, struct reply *reply, struct api_error *error)
{
    const struct service *service = exchange->service;

    for (size_t i = 0; i < service->parts.n_names; i++)
        if (strcmp(service->parts.names[i], exchange->argument) == 0) {
            write_model(service, service->parts.names[i], &reply->body);
            return 0;
        }
    return api_error_set(error, 404, "model_not_found", "model",
                         "The model '%.100s' does not exist; see /v1/models.", exchange->argument);
}

static int generation_work(struct text_work *work, enum api_kind kind)
{
    struct service *service = work->service;
    struct api_request request;
    int rc = api_request_parse(&request, kind, text_work_body(work), work->body.size,
                               service->n_vocab, &work->error);

    buf_free(&work->body); /* parsed: the request holds its own copy */
    if (rc < 0) {
        api_request_free(&request);
        return rc;
    }
    return answer_create(&work->answer, service, &request, work->id, work->arrived_ns,
                         &work->error);
}

static int chat_work(struct text_work *work)
{
    return generation_work(work, API_CHAT);
}

static int completion_work(struct text_work *work)
{
    return generation_work(work, API_COMPLETION);
}

static const struct route routes[] = {
    {"/health", false, true, false, serve_health, NULL},
    {"/ready", false, true, false, serve_ready, NULL},
    {"/metrics", false, true, false, serve_metrics, NULL},
    {"/version", false, true, false, serve_version, NULL},
    {"/v1/models", false, false, false, serve_models, NULL},
    {"/v1/models/", true, false, false, serve_model, NULL},
    {"/v1/chat/completions", false, false, true, NULL, chat_work},
    {"/v1/completions", false, false, true, NULL, completion_work},
    {"/tokenize", false, false, false, NULL, tokenize_work},
    {"/detokenize", false, false, false, NULL, detokenize_work},
};

const char *route_method(const char *method)
{
    static const char *const methods[] = {"GET",    "HEAD",  "POST",    "PUT",
                                          "DELETE", "PATCH", "OPTIONS", "OTHER"};
    size_t i = 0;

    while (i < sizeof methods / sizeof *methods - 1 && strcmp(method, methods[i]) != 0)
        i++;
    return methods[i];
}

/* RFC 9112, section 3.2.2: a target may name scheme and authority too. */
static const char *path_of(const char *url)
{
    size_t scheme = strncasecmp(url, "http://", 7) == 0    ? 7
                    : strncasecmp(url, "https://", 8) == 0 ? 8
                                                           : 0;

    if (scheme == 0)
        return url;
    url += scheme + strcspn(url + scheme, "/");
    return *url ? url : "/";
}

int route_find(const char *url, const char *method, const struct route **ret_route,
               const char **ret_argument, struct api_error *error)
{
    const struct route *route = NULL;

    url = path_of(url);
    for (size_t i = 0; i < sizeof routes / sizeof *routes && !route; i++) {
        size_t length = strlen(routes[i].path);

        if (strncmp(url, routes[i].path, length) == 0 &&
            (routes[i].prefix ? url[length] != '\0' : url[length] == '\0'))
            route = &routes[i];
    }
    if (!route)
        return api_error_set(error, 404, "not_found", NULL, "There is nothing at '%.200s'.", url);
    *ret_route = route;
    *ret_argument = route->prefix ? url + strlen(route->path) : "";
    if (strcmp(method, "OPTIONS") == 0 || strcmp(method, route->work ? "POST" : "GET") == 0 ||
        (route->serve && strcmp(method, "HEAD") == 0))
        return 0;
    return api_error_set(error, 405, "method_not_allowed", NULL, "%s takes %s, not %s.",
                         route->path, route_allow(route), method);
}

const char *route_allow(const struct route *route)
{
    if (!route)
        return "GET, HEAD, POST, OPTIONS";
    return route->work ? "POST, OPTIONS" : "GET, HEAD, OPTIONS";
}

int route_serve(struct exchange *exchange, struct reply *reply, struct api_error *error)
{
    if (strcmp(exchange->method, "OPTIONS") == 0) {
        reply->status = 204;
        reply->content_type = NULL;
        return 0;
    }
    return exchange->route->serve(exchange, reply, error);
}
