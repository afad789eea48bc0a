/*
 * A request for text, parsed and checked: everything the body says, none of what the model or the
 * load say. Parsing touches no state, so it is fuzzed alone.
 *
 * Strings are views into `body`, but for the stop strings once the body was let go. Owner: one
 * thread at a time.
 */
#ifndef TANDEM_SERVER_API_REQUEST_H
#define TANDEM_SERVER_API_REQUEST_H

#include "model/tokenizer.h"
#include "proto/request.h"
#include "server/api_error.h"
#include "server/stop_text.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define API_PROMPTS_MAX 64     /* of one completion request */
#define API_MESSAGES_MAX 16384 /* of one conversation */
/* Of a body: elements of arrays and objects, and those that cost most memory (containers, members):
 * jansson takes some 300 bytes for an empty object. */
#define API_JSON_VALUES_MAX (1u << 20)
#define API_JSON_NODES_MAX (1u << 18)
#define API_COMPLETION_MAX_TOKENS 16 /* OpenAI's default of /v1/completions */

enum api_kind { API_CHAT, API_COMPLETION };

/* A prompt of /v1/completions: text, or token ids. */
struct api_prompt {
    const char *text; /* NULL: ids */
    size_t size;
    const json_t *ids; /* array of integers within the vocabulary */
};

struct api_request {
    enum api_kind kind;
    json_t *body;      /* owned; NULL: let go */
    const char *model; /* NULL: not given */

    bool stream, include_usage, continuous_usage;
    bool echo, skip_special, include_stop, return_token_ids, ignore_eos;
    bool add_special;           /* completions: BOS and EOS as the model's metadata asks */
    bool add_generation_prompt; /* chat */
    int max_tokens;             /* 0: not given */
    int min_tokens;
    struct stop_strings stops;
    char *stop_bytes; /* owned; of the stop strings, once the body was let go */
    int n_stop_ids;
    int32_t stop_ids[REQUEST_STOP_IDS_MAX];
    struct sampling_params sampling; /* bias points to `bias` */
    struct logit_bias *bias;         /* owned */

    struct api_prompt prompts[API_PROMPTS_MAX]; /* completions */
    int n_prompts;
    const json_t *messages, *template_kwargs; /* chat; kwargs may be NULL */
};

/* Parses JSON text from a client: an object, or a 400 with the byte offset of the fault or the
 * limit that was passed. The caller drops the reference. */
int api_body_parse(json_t **ret_body, const char *bytes, size_t size, struct api_error *error);

/* n_vocab: ids in the body must be below it. api_request_free in any case. */
int api_request_parse(struct api_request *ret, enum api_kind kind, const char *bytes, size_t size,
                      int n_vocab, struct api_error *error);
/* Copies what the answer goes on to need (the stop strings) and frees the body, which may be a
 * hundred times as large as its text; prompts, messages and model are gone then. 0 or -ENOMEM. */
int api_request_let_body_go(struct api_request *request);

void api_request_free(struct api_request *request);

#endif
