/*
 * A generation request as workers see it: token ids and numbers, no text.
 *
 * Made by the server, which keeps it unchanged and alive from SUBMIT until every worker that holds
 * it has said DONE (proto/message.h). Workers only read it.
 */
#ifndef TANDEM_PROTO_REQUEST_H
#define TANDEM_PROTO_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#define REQUEST_LOGPROBS_MAX 20 /* alternatives per position, OpenAI's limit */
#define REQUEST_BIAS_MAX 1024   /* logit_bias entries */
#define REQUEST_STOP_IDS_MAX 64

struct logit_bias {
    int32_t token;
    float bias; /* added to the logit; -100 and below bans, as OpenAI documents */
};

struct sampling_params {
    float temperature;                         /* 0: greedy */
    float top_p;                               /* 1: off */
    float min_p;                               /* 0: off */
    int top_k;                                 /* 0 or less: off */
    float repetition_penalty;                  /* 1: off; prompt and answer, vLLM's definition */
    float presence_penalty, frequency_penalty; /* 0: off; answer only, OpenAI's definition */
    uint64_t seed; /* always set: the server draws one when the client gives none */
    int logprobs;  /* -1: none; 0..20: the chosen token's and that many alternatives */
    int n_bias;
    const struct logit_bias *bias;
};

struct request {
    uint64_t id;           /* made by the server, never reused in a process */
    uint64_t arrival;      /* order of arrival; kept over a replay */
    const int32_t *tokens; /* the prompt, then what was already emitted when this is a replay */
    int n_tokens, n_prompt;
    int max_tokens;          /* emitted tokens at most, those before a replay counted */
    int min_tokens;          /* no stop id may be chosen before */
    const int32_t *stop_ids; /* tokens that end the answer (empty with ignore_eos) */
    int n_stop_ids;
    struct sampling_params sampling;
};

/* One emitted token with its log probabilities (natural log, after temperature-independent
 * softmax of the raw logits, as vLLM's default "raw_logprobs"). */
struct token_logprobs {
    float chosen;
    int n_top;
    struct {
        int32_t token;
        float logprob;
    } top[REQUEST_LOGPROBS_MAX]; /* most likely first */
};

#endif
