/*
 * Every way an answer can end passes through choice_end, once per choice: there its entry at the
 * dispatch is given up and its numbers go into the metrics.
 */
#include "server/answer.h"

#include "base/clock.h"
#include "server/answer_json.h"
#include "server/exchange.h"
#include "server/prompt.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND_NS 1000000000u
#define TEXT_MAX_BYTES (64u << 20) /* of a choice */

static void choice_end(struct choice *choice, enum finish_reason reason)
{
    struct answer *answer = choice->answer;

    assert(!choice->ended);
    if (choice->entry)
        dispatch_cancel(answer->service->dispatch, choice->entry);
    choice->entry = NULL;
    choice->ended = true;
    choice->reason = reason;
    answer->n_open--;
    metrics_request_ended(&answer->service->metrics, &(struct metrics_request){
                                                         .reason = reason,
                                                         .prompt_tokens = choice->n_prompt,
                                                         .generation_tokens = choice->n_tokens,
                                                         .max_tokens = choice->max_tokens,
                                                         .arrived_ns = answer->arrived_ns,
                                                         .started_ns = choice->started_ns,
                                                         .first_token_ns = choice->first_ns,
                                                         .last_token_ns = choice->last_ns,
                                                         .ended_ns = clock_now_ns(),
                                                     });
}

static void end_open_choices(struct answer *answer, enum finish_reason reason)
{
    for (int i = 0; i < answer->n_choices; i++)
        if (!answer->choices[i].ended)
            choice_end(&answer->choices[i], reason);
}

/* Something was written: tells the exchange, or gives up on a client that leaves too much unread.
 */
static void written(struct answer *answer)
{
    if (answer->out.failed) {
        answer->service->metrics.slow_clients += answer->request.stream;
        answer_abort(answer);
        exchange_cut(answer->exchange);
        return;
    }
    answer->written_ns = clock_now_ns();
    exchange_wake(answer->exchange);
}

static void finish_answer(struct answer *answer)
{
    const struct api_request *request = &answer->request;

    if (answer->n_open > 0)
        return;
    if (!request->stream) {
        answer->out.limit = ANSWER_BODY_MAX;
        answer_json_body(answer);
    } else {
        if (request->include_usage)
            answer_json_usage(answer);
        buf_puts(&answer->out, "data: [DONE]\n\n");
    }
    answer->state = ANSWER_DONE;
    written(answer);
}

static void choice_finish(struct choice *choice, enum finish_reason reason)
{
    struct answer *answer = choice->answer;

    choice_end(choice, reason);
    if (answer->request.stream) {
        if (choice->text.size > 0)
            answer_json_delta(choice);
        answer_json_finish(choice);
        written(answer);
    }
    if (answer->state == ANSWER_LIVE)
        finish_answer(answer);
}

void answer_fail(struct answer *answer, const struct api_error *error)
{
    if (answer->state != ANSWER_LIVE)
        return;
    answer->error = *error;
    end_open_choices(answer, FINISH_ERROR);
    if (answer->request.stream)
        answer_json_failure(answer);
    answer->state = ANSWER_FAILED;
    written(answer);
}

void answer_abort(struct answer *answer)
{
    if (answer->state != ANSWER_LIVE)
        return;
    end_open_choices(answer, FINISH_ABORT);
    api_error_set(&answer->error, 500, "client_gone", NULL, "The client went away.");
    answer->state = ANSWER_FAILED;
}

static void answer_out_of_memory(struct answer *answer)
{
    struct api_error error;

    api_error_set(&error, 500, NULL, NULL, "Out of memory.");
    answer_fail(answer, &error);
}

static int keep_choice_token(struct choice *choice, const struct dispatch_event *event)
{
    const struct api_request *request = &choice->answer->request;

    if (request->sampling.logprobs < 0 && !request->return_token_ids) {
        free(event->logprobs);
        return 0;
    }
    if (choice->n_tokens_kept == choice->tokens_capacity) {
        size_t capacity = choice->tokens_capacity ? 2 * choice->tokens_capacity : 16;
        struct choice_token *tokens = realloc(choice->tokens, capacity * sizeof *tokens);

        if (!tokens) {
            free(event->logprobs);
            return -ENOMEM;
        }
        choice->tokens = tokens;
        choice->tokens_capacity = capacity;
    }
    choice->tokens[choice->n_tokens_kept++] =
        (struct choice_token){.id = event->token,
                              .logprobs = event->logprobs,
                              .start_bytes = choice->raw_bytes,
                              .start_chars = choice->raw_chars};
    return 0;
}

/* Text from the detokenizer: counts it and passes it on to the stop strings. Sets *ret_stop as
 * stop_text_push does. */
static int pass_text(struct choice *choice, const struct buf *fresh, int *ret_stop)
{
    size_t before = choice->text.size;
    int rc;

    *ret_stop = -1;
    if (fresh->failed)
        return -ENOMEM;
    for (size_t i = 0; i < fresh->size; i++)
        choice->raw_chars += ((unsigned char)fresh->bytes[i] & 0xc0) != 0x80;
    choice->raw_bytes += fresh->size;
    /* As vLLM: a stop string in the text of the first min_tokens tokens ends nothing. */
    if (choice->n_tokens < choice->answer->request.min_tokens)
        rc = buf_append(&choice->text, fresh->bytes, fresh->size);
    else
        rc = stop_text_push(&choice->stop, fresh->bytes, fresh->size, &choice->text, ret_stop);
    choice->safe_bytes += choice->text.size - before;
    return rc;
}

/* Is the token one that ends the choice? The client's own ones are kept as stop_reason. */
static bool ends_choice(struct choice *choice, int32_t token)
{
    const struct answer *answer = choice->answer;
    int i = 0;

    while (i < answer->n_stop_ids && answer->stop_ids[i] != token)
        i++;
    if (i < answer->request.n_stop_ids)
        choice->stop_id = token; /* the client's come first in the list */
    return i < answer->n_stop_ids;
}

static void choice_token_arrived(struct choice *choice, const struct dispatch_event *event)
{
    struct answer *answer = choice->answer;
    struct metrics *metrics = &answer->service->metrics;
    struct buf fresh;
    int stop = -1;

    if (choice->n_tokens == 0) {
        choice->first_ns = event->at_ns;
        histogram_observe(&metrics->ttft, event->at_ns > answer->arrived_ns
                                              ? (double)(event->at_ns - answer->arrived_ns) * 1e-9
                                              : 0);
    } else if (event->at_ns >= choice->last_ns) {
        histogram_observe(&metrics->inter_token, (double)(event->at_ns - choice->last_ns) * 1e-9);
    }
    choice->last_ns = event->at_ns;
    choice->n_tokens++;
    metrics->generation_tokens++;
    int rc = keep_choice_token(choice, event);

    buf_init(&fresh, TEXT_MAX_BYTES);
    if (rc == 0 && (!ends_choice(choice, event->token) || answer->request.include_stop))
        rc = detokenizer_push(&choice->detok, event->token, &fresh);
    if (rc == 0)
        rc = pass_text(choice, &fresh, &stop);
    buf_free(&fresh);
    if (choice->n_tokens_kept > 0)
        choice->tokens[choice->n_tokens_kept - 1].end_bytes = choice->raw_bytes;
    if (rc < 0) {
        answer_out_of_memory(answer);
    } else if (stop >= 0) {
        choice->stop_string = stop;
        choice_finish(choice, FINISH_STOP);
    } else if (answer->request.stream && choice->text.size > 0) {
        answer_json_delta(choice);
        written(answer);
    }
}

static void choice_ended_by_worker(struct choice *choice, const struct dispatch_event *event)
{
    struct answer *answer = choice->answer;
    struct api_error error;
    struct buf fresh;
    int stop = -1;

    choice->entry = NULL;
    if (event->reason == DONE_FAILED || event->reason == DONE_CANCELLED) {
        api_error_set(&error, 500, "engine_error", NULL, "The request failed in the engine: %s.",
                      event->reason == DONE_FAILED ? strerror(-event->error) : "it was cancelled");
        answer_fail(answer, &error);
        return;
    }
    buf_init(&fresh, TEXT_MAX_BYTES);
    int rc = detokenizer_finish(&choice->detok, &fresh);

    if (rc == 0)
        rc = pass_text(choice, &fresh, &stop);
    if (rc == 0 && stop < 0) {
        size_t before = choice->text.size;

        rc = stop_text_finish(&choice->stop, &choice->text);
        choice->safe_bytes += choice->text.size - before;
    }
    buf_free(&fresh);
    if (rc < 0) {
        answer_out_of_memory(answer);
        return;
    }
    choice->stop_string = stop;
    choice_finish(choice, event->reason == DONE_STOP || stop >= 0 ? FINISH_STOP : FINISH_LENGTH);
}

void answer_listener(void *owner, const struct dispatch_event *event)
{
    struct choice *choice = owner;

    switch (event->type) {
    case DISPATCH_STARTED: choice->started_ns = event->at_ns; break;
    case DISPATCH_TOKEN: choice_token_arrived(choice, event); break;
    case DISPATCH_END: choice_ended_by_worker(choice, event); break;
    }
}

/* Tokens that end the answer: the client's, and the model's own unless they are to be ignored. */
static void collect_stop_ids(struct answer *answer)
{
    const struct service *service = answer->service;
    const struct api_request *request = &answer->request;

    memcpy(answer->stop_ids, request->stop_ids,
           (size_t)request->n_stop_ids * sizeof *request->stop_ids);
    answer->n_stop_ids = request->n_stop_ids;
    if (request->ignore_eos)
        return;
    memcpy(answer->stop_ids + answer->n_stop_ids, service->end_ids,
           (size_t)service->n_end_ids * sizeof *service->end_ids);
    answer->n_stop_ids += service->n_end_ids;
}

static int prompt_of_choice(const struct answer *answer, int index, struct token_list *list,
                            struct api_error *error)
{
    const struct api_request *request = &answer->request;
    const struct api_prompt *prompt = &request->prompts[index];
    const int window = answer->service->parts.max_model_len;

    if (request->kind == API_CHAT)
        return prompt_from_chat(answer->service, request, window, list, error);
    if (prompt->text)
        return prompt_from_text(answer->service, prompt->text, prompt->size, request->add_special,
                                window, list, error);
    return prompt_from_ids(answer->service, prompt->ids, list, error);
}

/* Writes what goes before the first token. */
static int begin_choice(struct choice *choice, const struct token_list *list)
{
    struct answer *answer = choice->answer;
    const struct api_request *request = &answer->request;
    struct buf echo;
    int rc = 0;

    if (request->return_token_ids) {
        choice->prompt_ids = malloc(list->count * sizeof *list->ids);
        if (!choice->prompt_ids)
            return -ENOMEM;
        memcpy(choice->prompt_ids, list->ids, list->count * sizeof *list->ids);
    }
    if (request->kind == API_CHAT) {
        if (request->stream)
            answer_json_role(choice);
        return 0;
    }
    if (!request->echo)
        return 0;
    buf_init(&echo, TEXT_MAX_BYTES);
    if (request->prompts[choice->index].text) {
        rc = buf_append(&echo, request->prompts[choice->index].text,
                        request->prompts[choice->index].size);
    } else {
        struct detokenizer detok;

        detokenizer_init(&detok, answer->service->parts.tokenizer, !request->skip_special);
        for (size_t i = 0; i < list->count && rc == 0; i++)
            rc = detokenizer_push(&detok, list->ids[i], &echo);
        if (rc == 0)
            rc = detokenizer_finish(&detok, &echo);
    }
    answer->out.limit +=
        6 * echo.size; /* escaped at worst; it is sent before the client can read */
    if (rc == 0 && request->stream)
        answer_json_echo(choice, echo.size ? echo.bytes : "", echo.size);
    else if (rc == 0)
        rc = buf_append(&choice->text, echo.bytes, echo.size);
    buf_free(&echo);
    return rc;
}

static int submit_choice(struct choice *choice, struct api_error *error)
{
    struct answer *answer = choice->answer;
    struct dispatch_job job = {
        .tokens = choice->prompt.ids,
        .n_tokens = choice->n_prompt,
        .max_tokens = choice->max_tokens,
        .min_tokens = answer->request.min_tokens,
        .stop_ids = answer->stop_ids,
        .n_stop_ids = answer->n_stop_ids,
        .sampling = answer->request.sampling,
    };

    if (dispatch_submit(answer->service->dispatch, &job, choice, &choice->entry) < 0)
        return api_error_set(error, 500, NULL, NULL, "Out of memory.");
    choice->prompt = (struct token_list){0};
    answer->service->metrics.prompt_tokens += (uint64_t)choice->n_prompt;
    return 0;
}

static int prepare_choice(struct choice *choice, struct api_error *error)
{
    struct answer *answer = choice->answer;
    int rc = prompt_of_choice(answer, choice->index, &choice->prompt, error);

    if (rc == 0)
        rc = prompt_budget(answer->service, &answer->request, choice->prompt.count,
                           &choice->max_tokens, error);
    if (rc < 0)
        return rc;
    choice->stop_string = choice->stop_id = -1;
    choice->n_prompt = (int)choice->prompt.count;
    buf_init(&choice->text, TEXT_MAX_BYTES);
    detokenizer_init(&choice->detok, answer->service->parts.tokenizer,
                     !answer->request.skip_special);
    stop_text_init(&choice->stop, &answer->request.stops, answer->request.include_stop);
    if (begin_choice(choice, &choice->prompt) < 0)
        return api_error_set(error, 500, NULL, NULL, "Out of memory.");
    return 0;
}

/* Everything the request itself can be refused for. */
static int prepare_choices(struct answer *answer, int n_choices, struct api_error *error)
{
    int rc = 0;

    answer->choices = calloc((size_t)n_choices, sizeof *answer->choices);
    if (!answer->choices)
        return api_error_set(error, 500, NULL, NULL, "Out of memory.");
    answer->n_choices = n_choices;
    for (int i = 0; i < n_choices && rc == 0; i++) {
        answer->choices[i].answer = answer;
        answer->choices[i].index = i;
        rc = prepare_choice(&answer->choices[i], error);
    }
    if (rc == 0 && api_request_let_body_go(&answer->request) < 0)
        rc = api_error_set(error, 500, NULL, NULL, "Out of memory.");
    return rc;
}

static int check_model_name(const struct service *service, const struct api_request *request,
                            struct api_error *error)
{
    char names[256] = "";

    if (service_serves(service, request->model))
        return 0;
    for (size_t i = 0; i < service->parts.n_names; i++) {
        size_t used = strlen(names);

        snprintf(names + used, sizeof names - used, "%s'%s'", i ? ", " : "",
                 service->parts.names[i]);
    }
    return api_error_set(error, 404, "model_not_found", "model",
                         "The model '%.100s' does not exist; served are: %s.", request->model,
                         names);
}

/* A batch that no waiting makes fit is the client's fault. */
static int check_batch(const struct service *service, const struct api_request *request,
                       struct api_error *error)
{
    const int most = config_max_live(service->parts.config);

    if (request->n_prompts <= most)
        return 0;
    return api_error_set(error, 400, "invalid_value", "prompt",
                         "'prompt' has %d elements; this server takes at most %d at once.",
                         request->n_prompts, most);
}

int answer_check_room(struct service *service, int n_requests, struct api_error *error)
{
    if (dispatch_room(service->dispatch) >= n_requests)
        return 0;
    service->metrics.refused++;
    return api_error_overloaded(error, "The server's queue is full; try again later.");
}

int answer_create(struct answer **ret_answer, struct service *service, struct api_request *request,
                  const char *id, uint64_t arrived_ns, struct api_error *error)
{
    int rc = check_model_name(service, request, error);

    if (rc == 0)
        rc = check_batch(service, request, error);
    struct answer *answer = rc == 0 ? calloc(1, sizeof *answer) : NULL;

    if (!answer) {
        api_request_free(request);
        return rc < 0 ? rc : api_error_set(error, 500, NULL, NULL, "Out of memory.");
    }
    answer->service = service;
    answer->request = *request;
    *request = (struct api_request){0};
    answer->arrived_ns = arrived_ns;
    answer->created = time(NULL);
    snprintf(answer->id, sizeof answer->id, "%s-%s",
             answer->request.kind == API_CHAT ? "chatcmpl" : "cmpl", id);
    buf_init(&answer->out, (size_t)service->parts.config->output_buffer_bytes);
    collect_stop_ids(answer);
    rc = prepare_choices(answer, answer->request.kind == API_CHAT ? 1 : answer->request.n_prompts,
                         error);
    if (rc < 0) {
        answer_destroy(answer);
        return rc;
    }
    *ret_answer = answer;
    return 0;
}

int answer_start(struct answer *answer, struct exchange *exchange, struct api_error *error)
{
    int rc = answer_check_room(answer->service, answer->n_choices, error);

    answer->exchange = exchange;
    answer->written_ns = answer->taken_ns = clock_now_ns();
    for (int i = 0; i < answer->n_choices && rc == 0; i++) {
        rc = submit_choice(&answer->choices[i], error);
        answer->n_open += rc == 0;
    }
    if (rc < 0)
        answer_destroy(answer);
    return rc;
}

void answer_destroy(struct answer *answer)
{
    for (int i = 0; i < answer->n_choices; i++) {
        struct choice *choice = &answer->choices[i];

        if (choice->entry)
            choice_end(choice, FINISH_ABORT);
        for (size_t k = 0; k < choice->n_tokens_kept; k++)
            free(choice->tokens[k].logprobs);
        free(choice->tokens);
        token_list_free(&choice->prompt);
        free(choice->prompt_ids);
        buf_free(&choice->text);
    }
    free(answer->choices);
    buf_free(&answer->out);
    api_request_free(&answer->request);
    free(answer);
}

size_t answer_take(struct answer *answer, char *bytes, size_t size)
{
    if (size > answer->out.size)
        size = answer->out.size;
    if (size > 0)
        memcpy(bytes, answer->out.bytes, size);
    buf_consume(&answer->out, size);
    answer->taken_ns = clock_now_ns();
    return size;
}

void answer_tick(struct answer *answer, uint64_t now_ns)
{
    const struct config *config = answer->service->parts.config;
    uint64_t keepalive = (uint64_t)config->sse_keepalive_s * SECOND_NS;
    uint64_t stall = (uint64_t)config->stall_timeout_s * SECOND_NS;
    uint64_t deadline = (uint64_t)config->request_timeout_s * SECOND_NS;
    struct api_error error;

    if (answer->request.stream && answer->out.size > 0 && now_ns > answer->taken_ns + stall) {
        answer->service->metrics.slow_clients++;
        answer_abort(answer);
        exchange_cut(answer->exchange);
        return;
    }
    if (answer->state != ANSWER_LIVE)
        return;
    if (deadline && now_ns > answer->arrived_ns + deadline) {
        api_error_set(&error, 504, "deadline_exceeded", NULL,
                      "The request took longer than the server's limit of %lld s.",
                      (long long)config->request_timeout_s);
        answer_fail(answer, &error);
    } else if (answer->request.stream && keepalive && answer->out.size == 0 &&
               now_ns > answer->written_ns + keepalive) {
        buf_puts(&answer->out, ": keep-alive\n\n");
        written(answer);
    }
}
