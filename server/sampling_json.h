/* Sampling parameters in a request body. */
#ifndef TANDEM_SERVER_SAMPLING_JSON_H
#define TANDEM_SERVER_SAMPLING_JSON_H

#include "proto/request.h"
#include "server/api_error.h"

#include <jansson.h>

/* Reads everything of struct sampling_params but `logprobs`. Defaults are OpenAI's: temperature 1
 * and nothing else on; a seed is drawn when none is given. *ret_bias is malloc'd (NULL when there
 * is none) and the caller's; params->bias points to it. */
int sampling_json_parse(const json_t *body, int n_vocab, struct sampling_params *ret_params,
                        struct logit_bias **ret_bias, struct api_error *error);

#endif
