/*
 * Rendering and tokenising are the dear part of a request, so their input is bounded before they
 * begin: a text that could not fit the window even in the longest tokens is refused unread.
 */
#include "server/prompt.h"

#include "server/chat_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int too_long(int window, size_t n_tokens, bool at_least, struct api_error *error)
{
    return api_error_set(error, 400, "context_length_exceeded", "messages",
                         "This model's maximum context length is %d tokens. However, your request "
                         "has %s%zu input tokens. Please reduce the length of the input.",
                         window, at_least ? "at least " : "", n_tokens);
}

static int name_param(int rc, const char *param, struct api_error *error)
{
    if (rc < 0 && error->status == 400)
        memcpy(error->param, param, strlen(param) + 1);
    return rc;
}

static int check_bytes(const struct service *service, size_t size, int window,
                       struct api_error *error)
{
    size_t least = size / service->max_piece_bytes;

    if (size > TOKENIZER_TEXT_MAX || least > (size_t)window)
        return too_long(window, least, true, error);
    return 0;
}

static int check_tokens(int window, int rc, const struct token_list *list, struct api_error *error)
{
    if (rc < 0)
        return api_error_set(error, 500, NULL, NULL, "The prompt could not be tokenized.");
    if (list->count == 0)
        return api_error_set(error, 400, "invalid_value", "prompt", "The prompt is empty.");
    if (list->count >= (size_t)window)
        return too_long(window, list->count, false, error);
    return 0;
}

int prompt_from_chat(const struct service *service, const struct api_request *request, int window,
                     struct token_list *list, struct api_error *error)
{
    const struct service_parts *parts = &service->parts;
    struct chat_rendering rendering;
    struct err why;
    int rc;

    if (!parts->chat_template)
        return api_error_set(error, 400, "no_chat_template", "messages",
                             "This model has no chat template; use /v1/completions, or start the "
                             "server with --chat-template.");
    json_t *variables = chat_request_variables(
        request, tokenizer_piece(parts->tokenizer, tokenizer_bos(parts->tokenizer), true),
        tokenizer_piece(parts->tokenizer, tokenizer_eos(parts->tokenizer), true));

    if (!variables)
        return api_error_set(error, 500, NULL, NULL, "Out of memory.");
    chat_rendering_init(&rendering, TOKENIZER_TEXT_MAX);
    rc = chat_template_render(parts->chat_template, variables, time(NULL), &rendering, &why);
    json_decref(variables);
    if (rc < 0) {
        rc = api_error_set(error, rc == -ENOMEM ? 500 : 400, "chat_template_error", "messages",
                           "The chat template failed: %s", why.text);
        goto free_rendering;
    }
    rc = check_bytes(service, rendering.text.size, window, error);
    if (rc < 0)
        goto free_rendering;
    /* The template writes BOS itself where the model wants one. */
    rc = tokenizer_encode_spans(parts->tokenizer, rendering.text.bytes ? rendering.text.bytes : "",
                                rendering.spans, rendering.n_spans, TOKENIZE_SPECIAL, list);
    rc = name_param(check_tokens(window, rc, list, error), "messages", error);
free_rendering:
    chat_rendering_free(&rendering);
    return rc;
}

int prompt_from_text(const struct service *service, const char *text, size_t size, bool add_special,
                     int window, struct token_list *list, struct api_error *error)
{
    /* Whoever writes a raw prompt writes the model's own markup, as with every peer. */
    unsigned flags = TOKENIZE_SPECIAL | (add_special ? TOKENIZE_ADD_BOS_EOS : 0);
    int rc = check_bytes(service, size, window, error);

    if (rc == 0)
        rc = check_tokens(window,
                          tokenizer_encode(service->parts.tokenizer, text, size, flags, list), list,
                          error);
    return name_param(rc, "prompt", error);
}

int prompt_from_ids(const struct service *service, const json_t *ids, struct token_list *list,
                    struct api_error *error)
{
    size_t count = json_array_size(ids);

    if (count < (size_t)service->parts.max_model_len) {
        list->ids = malloc(count * sizeof *list->ids);
        if (!list->ids)
            return api_error_set(error, 500, NULL, NULL, "Out of memory.");
        for (size_t i = 0; i < count; i++)
            list->ids[i] = (int32_t)json_integer_value(json_array_get(ids, i));
        list->capacity = count;
    }
    list->count = count; /* ids stay NULL when refused below */
    int rc =
        name_param(check_tokens(service->parts.max_model_len, 0, list, error), "prompt", error);

    if (rc < 0)
        list->count = 0;
    return rc;
}

int prompt_budget(const struct service *service, const struct api_request *request, size_t n_prompt,
                  int *ret_max_tokens, struct api_error *error)
{
    int window = service->parts.max_model_len, left = window - (int)n_prompt;
    int wanted = request->max_tokens;

    if (wanted > left)
        return api_error_set(error, 400, "context_length_exceeded", "max_tokens",
                             "This model's maximum context length is %d tokens. However, you asked "
                             "for %lld tokens (%zu in the prompt, %d in the answer). Please reduce "
                             "either.",
                             window, (long long)wanted + (long long)n_prompt, n_prompt, wanted);
    if (wanted == 0 && request->kind == API_COMPLETION && left > API_COMPLETION_MAX_TOKENS)
        left = API_COMPLETION_MAX_TOKENS;
    if (request->min_tokens > (wanted ? wanted : left))
        return api_error_set(
            error, 400, "invalid_value", "min_tokens",
            "'min_tokens' (%d) is larger than the %d tokens that can be generated.",
            request->min_tokens, wanted ? wanted : left);
    *ret_max_tokens = wanted ? wanted : left;
    return 0;
}
