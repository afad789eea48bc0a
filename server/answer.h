/*
 * A live answer: one request, its choices (one per prompt), and the bytes on their way to the
 * client.
 *
 * Tokens become text, text passes the stop strings, and what is safe is written as server-sent
 * events at once or as one JSON object at the end. The answer knows no HTTP: it wakes its exchange
 * when there is something to send. Owner: its exchange; server thread, once it was started.
 */
#ifndef TANDEM_SERVER_ANSWER_H
#define TANDEM_SERVER_ANSWER_H

#include "base/buf.h"
#include "server/api_request.h"
#include "server/dispatch.h"
#include "server/metrics.h"
#include "server/service.h"
#include "server/stop_text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_ID_MAX 48
#define ANSWER_BODY_MAX (512u << 20) /* of an answer that is not streamed */

/* A token whose place in the output is still to come. */
struct choice_token {
    int32_t id;
    struct token_logprobs *logprobs; /* owned; NULL when not asked for */
    size_t start_bytes, start_chars; /* of its text, in the text of the choice */
    size_t end_bytes; /* start_bytes: it gave none, or only a part of a character as yet */
};

struct choice {
    struct answer *answer;
    int index;
    struct dispatch_entry *entry; /* NULL: over */
    bool ended;
    enum finish_reason reason;
    int stop_string; /* index of the one that ended it, or -1 */
    int32_t stop_id; /* the client's stop_token_ids entry that ended it, or -1 */

    int n_prompt, n_tokens, max_tokens;
    struct token_list prompt; /* owned until submitted */
    int32_t *prompt_ids;      /* with return_token_ids */
    struct detokenizer detok;
    struct stop_text stop;
    struct buf text;             /* safe to send and not yet written */
    size_t raw_bytes, raw_chars; /* given by the detokenizer */
    size_t safe_bytes;           /* of those, let through by the stop strings */
    struct choice_token *tokens; /* not yet written; only when logprobs or ids are wanted */
    size_t n_tokens_kept, tokens_capacity;
    uint64_t started_ns, first_ns, last_ns;
};

enum answer_state { ANSWER_LIVE, ANSWER_DONE, ANSWER_FAILED };

struct answer {
    struct service *service;
    struct exchange *exchange;  /* NULL until answer_start */
    struct api_request request; /* owned */
    char id[ANSWER_ID_MAX];
    int64_t created; /* Unix time */
    enum answer_state state;
    struct api_error error; /* when failed */

    struct choice *choices;
    int n_choices, n_open;
    int32_t stop_ids[REQUEST_STOP_IDS_MAX];
    int n_stop_ids;

    struct buf out; /* events not yet taken, or the whole body at the end */
    uint64_t arrived_ns;
    uint64_t written_ns; /* last time something was written */
    uint64_t taken_ns;   /* last time the client took something, or there was nothing to take */
};

/* Checks what the request asks for against the model, and makes prompt tokens. `request` is moved
 * from in any case; its body is let go. id: the unique part of the answer's id. On failure nothing
 * is left. Any thread: reads nothing of the service but what service_open left immutable. */
int answer_create(struct answer **ret_answer, struct service *service, struct api_request *request,
                  const char *id, uint64_t arrived_ns, struct api_error *error);

/* 503 when there is no room for so many more requests. */
int answer_check_room(struct service *service, int n_requests, struct api_error *error);

/* Submits it when there is room. On failure it is destroyed. */
int answer_start(struct answer *answer, struct exchange *exchange, struct api_error *error);

/* Cancels what is still running. The exchange does not exist any more afterwards. */
void answer_destroy(struct answer *answer);

/* Ends the answer with an error: in the stream when there is one. */
void answer_fail(struct answer *answer, const struct api_error *error);

/* The client is gone or does not read: stops the work without another word. */
void answer_abort(struct answer *answer);

/* Moves up to `size` bytes of the stream to `bytes`; 0: nothing at the moment. */
size_t answer_take(struct answer *answer, char *bytes, size_t size);

/* Keep-alive comments, deadline, and clients that do not read; now and then. */
void answer_tick(struct answer *answer, uint64_t now_ns);

/* The dispatch's listener; owner is a choice. */
void answer_listener(void *owner, const struct dispatch_event *event);

#endif
