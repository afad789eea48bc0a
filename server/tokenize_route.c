/* No window bounds what is tokenised here, so the body has a limit of its own. */
#include "server/tokenize_route.h"

#include "server/chat_request.h"
#include "server/json_field.h"
#include "server/json_out.h"
#include "server/prompt.h"
#include "server/route.h"

#include <limits.h>
#include <stdlib.h>

static int tokens_of_body(const struct service *service, json_t *body, struct token_list *list,
                          struct api_error *error)
{
    struct api_request request = {.kind = API_CHAT, .body = body, .add_generation_prompt = true};
    const char *text = NULL;
    size_t size = 0;
    bool special = true;
    int rc = json_field_string(body, "", "content", &text, &size, error);

    if (rc == 0)
        rc = json_field_string(body, "", "prompt", &text, &size, error);
    if (rc == 0)
        rc = json_field_bool(body, "", "add_special_tokens", &special, error);
    if (rc == 0)
        rc = json_field_bool(body, "", "add_special", &special, error);
    if (rc < 0)
        return rc;
    if (text && size == 0)
        return 0;
    if (text)
        return prompt_from_text(service, text, size, special, INT_MAX, list, error);
    if (!json_field(body, "messages"))
        return api_error_set(error, 400, "missing_parameter", "prompt",
                             "One of 'prompt' and 'messages' is needed.");
    rc = json_field_bool(body, "", "add_generation_prompt", &request.add_generation_prompt, error);
    if (rc == 0)
        rc = chat_request_parse(&request, error);
    return rc < 0 ? rc : prompt_from_chat(service, &request, INT_MAX, list, error);
}

static int tokenize_body_parse(const struct text_work *work, json_t **ret_body,
                               struct api_error *error)
{
    if (work->body.size > TOKENIZE_BODY_MAX)
        return api_error_set(error, 413, "request_too_large", NULL,
                             "The request body is larger than the limit of %d bytes for %s.",
                             TOKENIZE_BODY_MAX, work->route->path);
    return api_body_parse(ret_body, text_work_body(work), work->body.size, error);
}

int tokenize_work(struct text_work *work)
{
    const struct service *service = work->service;
    struct token_list list = {0};
    json_t *body = NULL;
    int rc = tokenize_body_parse(work, &body, &work->error);

    if (rc == 0)
        rc = tokens_of_body(service, body, &list, &work->error);
    if (rc == 0) {
        buf_printf(&work->reply, "{\"count\":%zu,\"max_model_len\":%d,\"tokens\":[", list.count,
                   service->parts.max_model_len);
        for (size_t i = 0; i < list.count; i++)
            buf_printf(&work->reply, i ? ",%d" : "%d", (int)list.ids[i]);
        buf_puts(&work->reply, "],\"token_strs\":null}");
    }
    token_list_free(&list);
    json_decref(body);
    return rc;
}

static int text_of_tokens(const struct service *service, const json_t *tokens, struct buf *text,
                          struct api_error *error)
{
    struct detokenizer detok;
    int rc = 0;

    detokenizer_init(&detok, service->parts.tokenizer, true);
    for (size_t i = 0; i < json_array_size(tokens) && rc == 0; i++) {
        const json_t *id = json_array_get(tokens, i);

        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= service->n_vocab)
            return api_error_set(error, 400, "invalid_value", "tokens",
                                 "'tokens' must be integers from 0 to %d.", service->n_vocab - 1);
        rc = detokenizer_push(&detok, (int32_t)json_integer_value(id), text);
    }
    if (rc == 0)
        rc = detokenizer_finish(&detok, text);
    return rc < 0 ? api_error_set(error, 500, NULL, NULL, "Out of memory.") : 0;
}

int detokenize_work(struct text_work *work)
{
    const json_t *tokens = NULL;
    json_t *body = NULL;
    struct api_error *error = &work->error;
    struct buf text;
    int rc = tokenize_body_parse(work, &body, error);

    buf_init(&text, TOKENIZER_TEXT_MAX);
    if (rc == 0)
        rc = json_field_container(body, "", "tokens", JSON_ARRAY, &tokens, error);
    if (rc == 0 && !tokens)
        rc = api_error_set(error, 400, "missing_parameter", "tokens", "'tokens' is missing.");
    if (rc == 0)
        rc = text_of_tokens(work->service, tokens, &text, error);
    if (rc == 0) {
        const char *bytes = text.size ? text.bytes : "";

        buf_puts(&work->reply, "{\"prompt\":");
        json_out_string(&work->reply, bytes, text.size);
        buf_puts(&work->reply, ",\"content\":"); /* llama-server's name for it */
        json_out_string(&work->reply, bytes, text.size);
        buf_puts(&work->reply, "}");
    }
    buf_free(&text);
    json_decref(body);
    return rc;
}
