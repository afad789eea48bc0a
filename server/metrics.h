/*
 * What /metrics says (Prometheus text format 0.0.4), under vLLM's metric names with our prefix.
 *
 * Front-end values carry engine="server", a worker's own values carry its name, so sums over
 * `engine` are right for both. Owner: server thread.
 */
#ifndef TANDEM_SERVER_METRICS_H
#define TANDEM_SERVER_METRICS_H

#include "base/buf.h"
#include "server/dispatch.h"
#include "server/histogram.h"
#include "server/worker_port.h"

#include <stdbool.h>
#include <stdint.h>

#define METRICS_LABELS_MAX 512
#define METRICS_HTTP_MAX 128 /* distinct handler, method and status */

enum finish_reason { FINISH_STOP, FINISH_LENGTH, FINISH_ABORT, FINISH_ERROR, FINISH_REASONS };

/* OpenAI's word for it ("stop", "length"), and vLLM's for the two that clients never see. */
const char *finish_reason_name(enum finish_reason reason);

struct http_count {
    const char *route, *method; /* static */
    int status;
    uint64_t count;
};

struct metrics {
    uint64_t prompt_tokens, generation_tokens, disconnected, slow_clients, refused;
    uint64_t finished[FINISH_REASONS];
    struct histogram ttft, inter_token, per_output_token, e2e, queue, prefill, decode, inference;
    struct histogram prompt_length, generation_length, max_tokens;
    struct histogram http_seconds;
    double length_bounds[HISTOGRAM_BOUNDS_MAX];
    struct http_count http[METRICS_HTTP_MAX];
    int n_http;
    int connections, streams; /* open now */
};

/* One finished request; times are monotonic nanoseconds, 0 when the point was not reached. */
struct metrics_request {
    enum finish_reason reason;
    int prompt_tokens, generation_tokens, max_tokens;
    uint64_t arrived_ns, started_ns, first_token_ns, last_token_ns, ended_ns;
};

void metrics_init(struct metrics *metrics, int max_model_len);
void metrics_request_ended(struct metrics *metrics, const struct metrics_request *request);
/* route and method: static texts. */
void metrics_http_ended(struct metrics *metrics, const char *route, const char *method, int status,
                        uint64_t duration_ns);

struct metrics_state {
    const char *model_name;
    const struct worker_port *ports;
    int n_ports, max_model_len;
    const struct dispatch *dispatch;
    bool healthy;
};
void metrics_write(const struct metrics *metrics, const struct metrics_state *state,
                   struct buf *out);

#endif
