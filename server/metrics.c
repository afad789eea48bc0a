/* Counting is plain additions by the one server thread; workers' counters are read when asked. */
#include "server/metrics.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* vLLM's buckets for the time to the first token; ours for everything in seconds, since its coarser
 * ones say nothing below 300 ms. */
static const double seconds_bounds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                        0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                        20,    40,    80,   160,  640,  2560};

const char *finish_reason_name(enum finish_reason reason)
{
    static const char *const names[] = {"stop", "length", "abort", "error"};

    return names[reason];
}

void metrics_init(struct metrics *metrics, int max_model_len)
{
    const int n_seconds = (int)(sizeof seconds_bounds / sizeof *seconds_bounds);

    *metrics = (struct metrics){0};
    struct histogram *const seconds[] = {
        &metrics->ttft,   &metrics->inter_token, &metrics->per_output_token,
        &metrics->e2e,    &metrics->queue,       &metrics->prefill,
        &metrics->decode, &metrics->inference,   &metrics->http_seconds,
    };
    struct histogram *const lengths[] = {&metrics->prompt_length, &metrics->generation_length,
                                         &metrics->max_tokens};
    int n_lengths = histogram_series(metrics->length_bounds, (double)max_model_len);

    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
        histogram_init(seconds[i], seconds_bounds, n_seconds);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        histogram_init(lengths[i], metrics->length_bounds, n_lengths);
}

/* Seconds from a to b, when both points were reached. Stamps of different threads come from one
 * monotonic clock, but a message may have been stamped just before what it is compared with. */
static void observe_interval(struct histogram *histogram, uint64_t a, uint64_t b)
{
    if (a && b)
        histogram_observe(histogram, b > a ? (double)(b - a) * 1e-9 : 0);
}

void metrics_request_ended(struct metrics *metrics, const struct metrics_request *r)
{
    metrics->finished[r->reason]++;
    if (r->reason == FINISH_ABORT || r->reason == FINISH_ERROR)
        return;
    observe_interval(&metrics->e2e, r->arrived_ns, r->ended_ns);
    observe_interval(&metrics->queue, r->arrived_ns, r->started_ns);
    observe_interval(&metrics->prefill, r->started_ns, r->first_token_ns);
    observe_interval(&metrics->decode, r->first_token_ns, r->last_token_ns);
    observe_interval(&metrics->inference, r->started_ns, r->last_token_ns);
    if (r->generation_tokens > 1)
        histogram_observe(&metrics->per_output_token,
                          (double)(r->last_token_ns - r->first_token_ns) * 1e-9 /
                              (r->generation_tokens - 1));
    histogram_observe(&metrics->prompt_length, r->prompt_tokens);
    histogram_observe(&metrics->generation_length, r->generation_tokens);
    histogram_observe(&metrics->max_tokens, r->max_tokens);
}

void metrics_http_ended(struct metrics *metrics, const char *route, const char *method, int status,
                        uint64_t duration_ns)
{
    int i = 0;

    while (i < metrics->n_http &&
           (metrics->http[i].route != route || metrics->http[i].method != method ||
            metrics->http[i].status != status))
        i++;
    if (i == metrics->n_http && i < METRICS_HTTP_MAX)
        metrics->http[metrics->n_http++] = (struct http_count){route, method, status, 0};
    if (i < METRICS_HTTP_MAX)
        metrics->http[i].count++;
    histogram_observe(&metrics->http_seconds, (double)duration_ns * 1e-9);
}

static void write_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP tandem:%s %s\n# TYPE tandem:%s %s\n", name, help, name, type);
}

static void write_one(struct buf *out, const char *name, const char *type, const char *help,
                      const char *labels, double value)
{
    write_head(out, name, type, help);
    buf_printf(out, "tandem:%s{%s} %.12g\n", name, labels, value);
}

static void write_histogram(struct buf *out, const struct histogram *histogram, const char *name,
                            const char *labels, const char *help)
{
    char full[96];

    write_head(out, name, "histogram", help);
    snprintf(full, sizeof full, "tandem:%s", name);
    histogram_write(histogram, full, labels, out);
}

static void write_histograms(const struct metrics *m, const char *labels, struct buf *out)
{
    const struct {
        const struct histogram *histogram;
        const char *name, *help;
    } all[] = {
        {&m->ttft, "time_to_first_token_seconds", "From arrival to the first token."},
        {&m->inter_token, "inter_token_latency_seconds", "Between two tokens of a request."},
        {&m->per_output_token, "request_time_per_output_token_seconds",
         "Mean time per token after the first, per request."},
        {&m->e2e, "e2e_request_latency_seconds", "From arrival to the end."},
        {&m->queue, "request_queue_time_seconds", "From arrival to the first work."},
        {&m->prefill, "request_prefill_time_seconds", "From the first work to the first token."},
        {&m->decode, "request_decode_time_seconds", "From the first token to the last."},
        {&m->inference, "request_inference_time_seconds", "From the first work to the last token."},
        {&m->prompt_length, "request_prompt_tokens", "Prompt tokens per request."},
        {&m->generation_length, "request_generation_tokens", "Generated tokens per request."},
        {&m->max_tokens, "request_params_max_tokens", "Token limit per request."},
        {&m->http_seconds, "http_request_duration_seconds", "Time an HTTP request took."},
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        write_histogram(out, all[i].histogram, all[i].name, labels, all[i].help);
}

static void write_server(const struct metrics *m, const struct metrics_state *state,
                         const char *labels, struct buf *out)
{
    struct dispatch_counts counts;

    dispatch_count(state->dispatch, &counts);
    write_one(out, "num_requests_live", "gauge", "Requests accepted and not over.", labels,
              counts.live);
    write_one(out, "prompt_tokens_total", "counter", "Prompt tokens of accepted requests.", labels,
              (double)m->prompt_tokens);
    write_one(out, "generation_tokens_total", "counter", "Tokens generated.", labels,
              (double)m->generation_tokens);
    write_one(out, "http_requests_client_disconnected_total", "counter",
              "Requests whose client went away before the end.", labels, (double)m->disconnected);
    write_one(out, "slow_clients_cancelled_total", "counter",
              "Streams cancelled because the client did not read.", labels,
              (double)m->slow_clients);
    write_one(out, "requests_refused_total", "counter", "Requests refused as the queue was full.",
              labels, (double)m->refused);
    write_one(out, "request_replays_total", "counter",
              "Preempted requests computed again with what they had emitted.", labels,
              (double)counts.replays);
    write_one(out, "late_messages_total", "counter", "Messages for requests that were over.",
              labels, (double)counts.late);
    write_one(out, "protocol_violations_total", "counter", "Worker messages out of order.", labels,
              (double)counts.violations);
    write_one(out, "http_connections", "gauge", "Client connections open.", labels, m->connections);
    write_one(out, "http_streams", "gauge", "Answers being streamed.", labels, m->streams);
    write_one(out, "engine_healthy", "gauge", "1 while every worker with work makes progress.",
              labels, state->healthy);
    write_head(out, "request_success_total", "counter", "Finished requests by reason.");
    for (int i = 0; i < FINISH_REASONS; i++)
        buf_printf(out, "tandem:request_success_total{%s,finished_reason=\"%s\"} %llu\n", labels,
                   finish_reason_name((enum finish_reason)i), (unsigned long long)m->finished[i]);
    write_head(out, "http_requests_total", "counter", "HTTP requests.");
    for (int i = 0; i < m->n_http; i++)
        buf_printf(out,
                   "tandem:http_requests_total{%s,handler=\"%s\",method=\"%s\",status=\"%d\"} "
                   "%llu\n",
                   labels, m->http[i].route, m->http[i].method, m->http[i].status,
                   (unsigned long long)m->http[i].count);
}

static double perc(const struct worker_sample *s)
{
    return s->pages_total > 0 ? (double)s->pages_used / s->pages_total : 0;
}

/* One metric of every worker: the value is picked by `column` below. */
static double worker_value(const struct worker_sample *s, int column)
{
    switch (column) {
    case 0: return s->running;
    case 1: return s->waiting;
    case 2: return perc(s);
    case 3: return s->pages_total;
    case 4: return s->pages_used;
    case 5: return s->importing;
    case 6: return s->offered;
    case 7: return (double)s->iterations;
    case 8: return (double)s->prefill_tokens;
    case 9: return (double)s->decode_tokens;
    case 10: return (double)s->preemptions;
    case 11: return (double)s->transfers;
    case 12: return (double)s->transfers_failed;
    case 13: return (double)s->transferred_pages;
    default: return (double)s->late_messages;
    }
}

static void write_workers(const struct metrics_state *state, struct buf *out)
{
    static const struct {
        const char *name, *type, *help;
    } columns[] = {
        {"num_requests_running", "gauge", "Requests with pages."},
        {"num_requests_waiting", "gauge", "Requests waiting at the worker."},
        {"kv_cache_usage_perc", "gauge", "Used share of the worker's pages, 0 to 1."},
        {"kv_pages", "gauge", "Pages the worker owns."},
        {"kv_pages_used", "gauge", "Pages in use."},
        {"num_decode_transfer_queue_reqs", "gauge", "Requests whose pages are being pulled."},
        {"num_prefill_inflight_queue_reqs", "gauge", "Requests offered and not yet released."},
        {"iterations_total", "counter", "Engine iterations."},
        {"worker_prefill_tokens_total", "counter", "Prompt tokens computed."},
        {"worker_decode_tokens_total", "counter", "Decode tokens computed."},
        {"num_preemptions_total", "counter", "Requests preempted for want of pages."},
        {"kv_transfers_total", "counter", "Requests handed over."},
        {"kv_transfers_failed_total", "counter", "Hand-overs that did not complete."},
        {"kv_transferred_pages_total", "counter", "Pages handed over."},
        {"worker_late_messages_total", "counter", "Messages for requests unknown to the worker."},
    };
    struct worker_sample samples[CONFIG_WORKERS_MAX];

    for (int w = 0; w < state->n_ports; w++)
        state->ports[w].sample(state->ports[w].context, &samples[w]);
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
        write_head(out, columns[c].name, columns[c].type, columns[c].help);
        for (int w = 0; w < state->n_ports; w++)
            buf_printf(out, "tandem:%s{model_name=\"%s\",engine=\"%s\"} %.12g\n", columns[c].name,
                       state->model_name, state->ports[w].name, worker_value(&samples[w], (int)c));
    }
    write_head(out, "cache_config_info", "gauge", "Configuration as labels.");
    for (int w = 0; w < state->n_ports; w++)
        buf_printf(out,
                   "tandem:cache_config_info{model_name=\"%s\",engine=\"%s\",role=\"%s\","
                   "block_size=\"16\",num_blocks=\"%d\",max_model_len=\"%d\"} 1\n",
                   state->model_name, state->ports[w].name, config_role_name(state->ports[w].role),
                   samples[w].pages_total, state->max_model_len);
}

void metrics_write(const struct metrics *metrics, const struct metrics_state *state,
                   struct buf *out)
{
    char labels[METRICS_LABELS_MAX];

    snprintf(labels, sizeof labels, "model_name=\"%.400s\",engine=\"server\"", state->model_name);
    write_workers(state, out);
    write_server(metrics, state, labels, out);
    write_histograms(metrics, labels, out);
}
