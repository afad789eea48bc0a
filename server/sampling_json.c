/* Ranges are OpenAI's where it has the parameter, vLLM's otherwise. */
#include "server/sampling_json.h"

#include "server/json_field.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

struct real_param {
    const char *name;
    double min, max;
    float *at;
};

static int parse_token_key(const char *key, int n_vocab, int32_t *ret)
{
    char *end;

    if (key[0] < '0' || key[0] > '9')
        return -EINVAL;
    errno = 0;
    long id = strtol(key, &end, 10);

    if (*end || errno || id >= n_vocab)
        return -EINVAL;
    *ret = (int32_t)id;
    return 0;
}

static int parse_bias(const json_t *body, int n_vocab, struct sampling_params *params,
                      struct logit_bias **ret_bias, struct api_error *error)
{
    const json_t *object = NULL;
    const char *key;
    json_t *value;
    int rc = json_field_container(body, "", "logit_bias", JSON_OBJECT, &object, error);

    if (rc < 0 || !object || json_object_size(object) == 0)
        return rc;
    if (json_object_size(object) > REQUEST_BIAS_MAX)
        return api_error_set(error, 400, "invalid_value", "logit_bias",
                             "'logit_bias' may have at most %d entries.", REQUEST_BIAS_MAX);
    struct logit_bias *bias = calloc(json_object_size(object), sizeof *bias);
    int n = 0;

    if (!bias)
        return api_error_set(error, 500, NULL, NULL, "Out of memory.");
    json_object_foreach((json_t *)object, key, value)
    {
        double number = json_is_number(value) ? json_number_value(value) : 1e9;

        if (parse_token_key(key, n_vocab, &bias[n].token) < 0) {
            rc = api_error_set(error, 400, "invalid_value", "logit_bias",
                               "Keys of 'logit_bias' must be token ids below %d.", n_vocab);
            goto free_bias;
        }
        if (!(number >= -100 && number <= 100)) {
            rc = api_error_set(error, 400, "invalid_value", "logit_bias",
                               "Values of 'logit_bias' must be numbers from -100 to 100.");
            goto free_bias;
        }
        bias[n++].bias = (float)number;
    }
    params->bias = *ret_bias = bias;
    params->n_bias = n;
    return 0;
free_bias:
    free(bias);
    return rc;
}

static int parse_seed(const json_t *body, uint64_t *ret, struct api_error *error)
{
    int64_t seed;
    int rc = json_field(body, "seed")
                 ? json_field_int(body, "", "seed", INT64_MIN, INT64_MAX, &seed, error)
                 : 1;

    if (rc == 1) {
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
            return api_error_set(error, 500, NULL, NULL, "No randomness to draw a seed from.");
    } else if (rc < 0) {
        return rc;
    }
    *ret = (uint64_t)seed;
    return 0;
}

int sampling_json_parse(const json_t *body, int n_vocab, struct sampling_params *ret_params,
                        struct logit_bias **ret_bias, struct api_error *error)
{
    struct sampling_params params = {
        .temperature = 1, .top_p = 1, .repetition_penalty = 1, .logprobs = -1};
    const struct real_param reals[] = {
        {"temperature", 0, 2, &params.temperature},
        {"top_p", 0, 1, &params.top_p},
        {"min_p", 0, 1, &params.min_p},
        {"presence_penalty", -2, 2, &params.presence_penalty},
        {"frequency_penalty", -2, 2, &params.frequency_penalty},
        {"repeat_penalty", 0.01, 100, &params.repetition_penalty},
        {"repetition_penalty", 0.01, 100, &params.repetition_penalty},
    };
    int64_t top_k = 0;

    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        double number = (double)*reals[i].at;
        int rc =
            json_field_real(body, "", reals[i].name, reals[i].min, reals[i].max, &number, error);

        if (rc < 0)
            return rc;
        *reals[i].at = (float)number;
    }
    int rc = json_field_int(body, "", "top_k", -1, INT_MAX, &top_k, error);

    if (rc < 0)
        return rc;
    params.top_k = top_k > n_vocab ? n_vocab : (int)top_k;
    rc = parse_seed(body, &params.seed, error);
    if (rc < 0)
        return rc;
    *ret_bias = NULL;
    rc = parse_bias(body, n_vocab, &params, ret_bias, error);
    if (rc < 0)
        return rc;
    *ret_params = params;
    return 0;
}
