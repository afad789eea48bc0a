/*
 * Fields both endpoints have, and the prompts of /v1/completions.
 *
 * Unknown fields are ignored, as every peer does; a field that is known, not supported and would
 * change the answer's meaning is refused by name.
 */
#include "server/api_request.h"

#include "server/chat_request.h"
#include "server/json_field.h"
#include "server/json_integers.h"
#include "server/sampling_json.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Before anything is parsed. Text that is no JSON may count as anything: it is refused later. */
static int check_values(const char *bytes, size_t size, struct api_error *error)
{
    size_t n_values = 0, n_nodes = 0;
    bool in_string = false;

    for (size_t i = 0; i < size; i++) {
        switch (bytes[i]) {
        case '"': in_string = !in_string; break;
        case '\\': i += in_string; break;
        case ',': n_values += !in_string; break;
        case '{':
        case '[':
        case ':': n_nodes += !in_string; break;
        default: break;
        }
    }
    if (n_values > API_JSON_VALUES_MAX || n_nodes > API_JSON_NODES_MAX)
        return api_error_set(error, 400, "invalid_json", NULL,
                             "The request body holds more than %u values, or more than %u members, "
                             "objects and arrays.",
                             API_JSON_VALUES_MAX, API_JSON_NODES_MAX);
    return 0;
}

/* The document once more, after a number in it was too large. */
static json_t *load_with_large_integers(const char *bytes, size_t size, json_error_t *fault)
{
    char *copy = malloc(size);
    json_t *body = NULL;

    if (!copy)
        return NULL; /* the fault stays what it was */
    memcpy(copy, bytes, size);
    json_integers_to_reals(copy, size);
    body = json_loadb(copy, size, JSON_ALLOW_NUL, fault);
    free(copy);
    return body;
}

int api_body_parse(json_t **ret_body, const char *bytes, size_t size, struct api_error *error)
{
    json_error_t fault;

    if (size == 0)
        return api_error_set(error, 400, "invalid_json", NULL,
                             "The request body is empty; a JSON object is expected.");
    int rc = check_values(bytes, size, error);

    if (rc < 0)
        return rc;
    json_t *body = json_loadb(bytes, size, JSON_ALLOW_NUL, &fault);

    if (!body && json_error_code(&fault) == json_error_numeric_overflow)
        body = load_with_large_integers(bytes, size, &fault);
    if (!body)
        return api_error_set(error, 400, "invalid_json", NULL,
                             "The request body is not valid JSON: %s (byte offset %d).", fault.text,
                             fault.position);
    if (!json_is_object(body)) {
        rc = api_error_set(error, 400, "invalid_type", NULL,
                           "The request body must be a JSON object, not %s.", json_kind(body));
        json_decref(body);
        return rc;
    }
    *ret_body = body;
    return 0;
}

/* Null, false, empty text and empty containers ask for nothing. */
static bool asks_for_nothing(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
    case JSON_FALSE: return true;
    case JSON_STRING: return json_string_length(value) == 0;
    case JSON_ARRAY: return json_array_size(value) == 0;
    case JSON_OBJECT: return json_object_size(value) == 0;
    default: return false;
    }
}

static int refuse_unsupported_fields(const json_t *body, struct api_error *error)
{
    static const char *const names[] = {"tools",       "functions",      "suffix",
                                        "grammar",     "json_schema",    "structured_outputs",
                                        "guided_json", "guided_regex",   "guided_choice",
                                        "audio",       "guided_grammar", "use_beam_search",
                                        "cache_salt",  "prompt_logprobs"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *value = json_object_get(body, names[i]);

        if (value && !asks_for_nothing(value))
            return api_error_set(error, 400, "unsupported_parameter", names[i],
                                 "'%s' is not supported yet.", names[i]);
    }
    const json_t *format = json_field(body, "response_format");
    const char *type = json_string_value(json_object_get(format, "type"));

    if (format && (!type || strcmp(type, "text") != 0))
        return api_error_set(error, 400, "unsupported_parameter", "response_format",
                             "'response_format' other than {\"type\": \"text\"} is not supported "
                             "yet.");
    const json_t *choice = json_field(body, "tool_choice");
    const char *mode = json_string_value(choice);

    if (choice && (!mode || (strcmp(mode, "none") != 0 && strcmp(mode, "auto") != 0)))
        return api_error_set(error, 400, "unsupported_parameter", "tool_choice",
                             "'tool_choice' that forces a tool call is not supported yet.");
    return 0;
}

static int parse_counts(struct api_request *request, struct api_error *error)
{
    const json_t *body = request->body;
    int64_t n = 1, best_of = 1, max_tokens = 0, min_tokens = 0;
    int rc = json_field_int(body, "", "n", 1, 128, &n, error);

    if (rc == 0)
        rc = json_field_int(body, "", "best_of", 1, 128, &best_of, error);
    if (rc == 0)
        rc = json_field_int(body, "", "max_tokens", 1, INT_MAX, &max_tokens, error);
    if (rc == 0 && request->kind == API_CHAT)
        rc = json_field_int(body, "", "max_completion_tokens", 1, INT_MAX, &max_tokens, error);
    if (rc == 0)
        rc = json_field_int(body, "", "min_tokens", 0, INT_MAX, &min_tokens, error);
    if (rc < 0)
        return rc;
    if (n > 1 || best_of > 1)
        return api_error_set(error, 400, "unsupported_parameter", n > 1 ? "n" : "best_of",
                             "'%s' above 1 is not supported yet.", n > 1 ? "n" : "best_of");
    if (max_tokens > 0 && min_tokens > max_tokens)
        return api_error_set(error, 400, "invalid_value", "min_tokens",
                             "'min_tokens' (%lld) is larger than 'max_tokens' (%lld).",
                             (long long)min_tokens, (long long)max_tokens);
    request->max_tokens = (int)max_tokens;
    request->min_tokens = (int)min_tokens;
    return 0;
}

static int parse_flags(struct api_request *request, struct api_error *error)
{
    const json_t *body = request->body;
    const json_t *options = NULL;
    const struct {
        const char *name;
        bool *at;
    } flags[] = {
        {"stream", &request->stream},
        {"echo", &request->echo},
        {"ignore_eos", &request->ignore_eos},
        {"skip_special_tokens", &request->skip_special},
        {"include_stop_str_in_output", &request->include_stop},
        {"return_token_ids", &request->return_token_ids},
        {"add_special_tokens", &request->add_special},
        {"add_generation_prompt", &request->add_generation_prompt},
    };

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        int rc = json_field_bool(body, "", flags[i].name, flags[i].at, error);

        if (rc < 0)
            return rc;
    }
    int rc = json_field_container(body, "", "stream_options", JSON_OBJECT, &options, error);

    if (rc < 0 || !options)
        return rc;
    rc = json_field_bool(options, "stream_options.", "include_usage", &request->include_usage,
                         error);
    if (rc < 0)
        return rc;
    return json_field_bool(options, "stream_options.", "continuous_usage_stats",
                           &request->continuous_usage, error);
}

static int parse_logprobs(struct api_request *request, struct api_error *error)
{
    const json_t *body = request->body;
    int64_t top = request->kind == API_CHAT ? 0 : -1;
    bool wanted = false;
    int rc;

    if (request->kind == API_COMPLETION) {
        rc = json_field_int(body, "", "logprobs", 0, 5, &top, error);
        request->sampling.logprobs = (int)top;
        if (rc == 0 && request->echo && top >= 0)
            rc = api_error_set(error, 400, "unsupported_parameter", "logprobs",
                               "'logprobs' together with 'echo' is not supported yet.");
        return rc;
    }
    rc = json_field_bool(body, "", "logprobs", &wanted, error);
    if (rc == 0)
        rc = json_field_int(body, "", "top_logprobs", 0, REQUEST_LOGPROBS_MAX, &top, error);
    if (rc == 0 && top > 0 && !wanted)
        rc = api_error_set(error, 400, "invalid_value", "top_logprobs",
                           "'top_logprobs' needs 'logprobs' to be true.");
    request->sampling.logprobs = wanted ? (int)top : -1;
    return rc;
}

static int add_stop(struct stop_strings *stops, const json_t *value, struct api_error *error)
{
    size_t size = json_string_length(value);

    if (!json_is_string(value))
        return api_error_set(error, 400, "invalid_type", "stop",
                             "'stop' must be a string or an array of strings.");
    if (size == 0 || size > STOP_TEXT_BYTES_MAX)
        return api_error_set(error, 400, "invalid_value", "stop",
                             "A 'stop' string must have 1 to %d bytes.", STOP_TEXT_BYTES_MAX);
    stops->at[stops->count].bytes = json_string_value(value);
    stops->at[stops->count++].size = size;
    return 0;
}

static int parse_stops(struct api_request *request, struct api_error *error)
{
    const json_t *stop = json_field(request->body, "stop");
    size_t count = stop && json_is_array(stop) ? json_array_size(stop) : 0;
    int rc = 0;

    if (stop && !json_is_array(stop))
        return add_stop(&request->stops, stop, error);
    if (count > STOP_TEXT_STRINGS_MAX)
        return api_error_set(error, 400, "invalid_value", "stop",
                             "'stop' may have at most %d strings.", STOP_TEXT_STRINGS_MAX);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = add_stop(&request->stops, json_array_get(stop, i), error);
    return rc;
}

static int parse_stop_ids(struct api_request *request, int n_vocab, struct api_error *error)
{
    const json_t *ids = NULL;
    int rc = json_field_container(request->body, "", "stop_token_ids", JSON_ARRAY, &ids, error);

    if (rc < 0 || !ids)
        return rc;
    /* Half of the room is left for the model's own ends. */
    if (json_array_size(ids) > REQUEST_STOP_IDS_MAX / 2)
        return api_error_set(error, 400, "invalid_value", "stop_token_ids",
                             "'stop_token_ids' may have at most %d ids.", REQUEST_STOP_IDS_MAX / 2);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);

        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= n_vocab)
            return api_error_set(error, 400, "invalid_value", "stop_token_ids",
                                 "'stop_token_ids' must be token ids below %d.", n_vocab);
        request->stop_ids[request->n_stop_ids++] = (int32_t)json_integer_value(id);
    }
    return 0;
}

static int add_ids(struct api_request *request, const json_t *ids, int n_vocab,
                   struct api_error *error)
{
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);

        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= n_vocab)
            return api_error_set(error, 400, "invalid_value", "prompt",
                                 "Token ids in 'prompt' must be integers from 0 to %d.",
                                 n_vocab - 1);
    }
    request->prompts[request->n_prompts++] = (struct api_prompt){.ids = ids};
    return 0;
}

static int add_prompt(struct api_request *request, const json_t *prompt, int n_vocab,
                      struct api_error *error)
{
    if (json_is_string(prompt)) {
        request->prompts[request->n_prompts++] = (struct api_prompt){
            .text = json_string_value(prompt), .size = json_string_length(prompt)};
        return 0;
    }
    if (json_is_array(prompt) && json_array_size(prompt) > 0)
        return add_ids(request, prompt, n_vocab, error);
    return api_error_set(error, 400, "invalid_type", "prompt",
                         "'prompt' must be a string, an array of strings, an array of token ids or "
                         "an array of such arrays.");
}

static int parse_prompts(struct api_request *request, int n_vocab, struct api_error *error)
{
    const json_t *prompt = json_field(request->body, "prompt");
    size_t count = prompt && json_is_array(prompt) ? json_array_size(prompt) : 0;
    int rc = 0;

    if (!prompt)
        return api_error_set(error, 400, "missing_parameter", "prompt", "'prompt' is missing.");
    if (count == 0 || json_is_integer(json_array_get(prompt, 0)))
        return add_prompt(request, prompt, n_vocab, error);
    if (count > API_PROMPTS_MAX)
        return api_error_set(error, 400, "invalid_value", "prompt",
                             "'prompt' may have at most %d elements.", API_PROMPTS_MAX);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = add_prompt(request, json_array_get(prompt, i), n_vocab, error);
    return rc;
}

int api_request_parse(struct api_request *ret, enum api_kind kind, const char *bytes, size_t size,
                      int n_vocab, struct api_error *error)
{
    size_t model_size;

    *ret = (struct api_request){
        .kind = kind, .skip_special = true, .add_special = true, .add_generation_prompt = true};
    int rc = api_body_parse(&ret->body, bytes, size, error);

    if (rc == 0)
        rc = json_field_string(ret->body, "", "model", &ret->model, &model_size, error);
    if (rc == 0 && ret->model && strlen(ret->model) != model_size)
        rc = api_error_set(error, 400, "invalid_value", "model", "'model' holds a zero character.");
    if (rc == 0)
        rc = refuse_unsupported_fields(ret->body, error);
    if (rc == 0)
        rc = parse_flags(ret, error);
    if (rc == 0)
        rc = parse_counts(ret, error);
    if (rc == 0)
        rc = sampling_json_parse(ret->body, n_vocab, &ret->sampling, &ret->bias, error);
    if (rc == 0)
        rc = parse_logprobs(ret, error);
    if (rc == 0)
        rc = parse_stops(ret, error);
    if (rc == 0)
        rc = parse_stop_ids(ret, n_vocab, error);
    if (rc == 0)
        rc = kind == API_CHAT ? chat_request_parse(ret, error) : parse_prompts(ret, n_vocab, error);
    return rc;
}

int api_request_let_body_go(struct api_request *request)
{
    struct stop_strings *stops = &request->stops;
    size_t size = 0;

    for (int i = 0; i < stops->count; i++)
        size += stops->at[i].size;
    if (size > 0) {
        request->stop_bytes = malloc(size);
        if (!request->stop_bytes)
            return -ENOMEM;
    }
    size = 0;
    for (int i = 0; i < stops->count; i++) {
        char *copy = request->stop_bytes + size;

        memcpy(copy, stops->at[i].bytes, stops->at[i].size);
        stops->at[i].bytes = copy;
        size += stops->at[i].size;
    }
    json_decref(request->body);
    request->body = NULL;
    request->model = NULL;
    request->messages = request->template_kwargs = NULL;
    memset(request->prompts, 0, sizeof request->prompts);
    return 0;
}

void api_request_free(struct api_request *request)
{
    json_decref(request->body);
    free(request->bias);
    free(request->stop_bytes);
    request->body = NULL;
    request->bias = NULL;
    request->stop_bytes = NULL;
}
