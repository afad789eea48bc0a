/*
 * Chat and completions differ in names and in the shape of log probabilities; everything else is
 * written once. A token's log probability goes out when all of its text has, so those of a stop
 * string never do, nor that of a token which begins before one and ends in it.
 */
#include "server/answer_json.h"

#include "server/json_out.h"

#include <stdlib.h>
#include <string.h>

static bool is_chat(const struct answer *answer)
{
    return answer->request.kind == API_CHAT;
}

static void write_usage(const struct answer *answer, struct buf *out)
{
    int prompt = 0, completion = 0;

    for (int i = 0; i < answer->n_choices; i++) {
        prompt += answer->choices[i].n_prompt;
        completion += answer->choices[i].n_tokens;
    }
    buf_printf(out,
               "{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d,"
               "\"prompt_tokens_details\":{\"cached_tokens\":0}}",
               prompt, completion, prompt + completion);
}

static void write_envelope(const struct answer *answer, const char *object, struct buf *out)
{
    const char *model = answer->service->parts.names[0];

    buf_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", answer->id,
               object, (long long)answer->created);
    json_out_string(out, model, strlen(model));
    buf_puts(out, ",\"choices\":[");
}

static void begin_chunk(const struct choice *choice)
{
    struct answer *answer = choice->answer;

    buf_puts(&answer->out, "data: ");
    write_envelope(answer, is_chat(answer) ? "chat.completion.chunk" : "text_completion",
                   &answer->out);
    buf_printf(&answer->out, "{\"index\":%d,", choice->index);
}

/* After the choice's members. */
static void end_chunk(struct answer *answer)
{
    buf_puts(&answer->out, "}]");
    if (answer->request.include_usage && answer->request.continuous_usage) {
        buf_puts(&answer->out, ",\"usage\":");
        write_usage(answer, &answer->out);
    } else if (answer->request.include_usage) {
        buf_puts(&answer->out, ",\"usage\":null");
    }
    buf_puts(&answer->out, "}\n\n");
}

static struct gguf_string piece_of(const struct answer *answer, int32_t id)
{
    return tokenizer_piece(answer->service->parts.tokenizer, id, true);
}

static void write_chat_token(const struct answer *answer, int32_t id, float logprob,
                             struct buf *out)
{
    struct gguf_string piece = piece_of(answer, id);

    buf_puts(out, "{\"token\":");
    json_out_string(out, piece.bytes, piece.size);
    buf_puts(out, ",\"logprob\":");
    json_out_logprob(out, logprob);
    buf_puts(out, ",\"bytes\":");
    json_out_bytes(out, piece.bytes, piece.size);
}

static void write_chat_logprobs(const struct choice *choice, size_t count, struct buf *out)
{
    buf_puts(out, "{\"content\":[");
    for (size_t i = 0; i < count; i++) {
        const struct choice_token *token = &choice->tokens[i];
        const struct token_logprobs *logprobs = token->logprobs;

        if (i > 0)
            buf_puts(out, ",");
        write_chat_token(choice->answer, token->id, logprobs->chosen, out);
        buf_puts(out, ",\"top_logprobs\":[");
        for (int k = 0; k < logprobs->n_top; k++) {
            if (k > 0)
                buf_puts(out, ",");
            write_chat_token(choice->answer, logprobs->top[k].token, logprobs->top[k].logprob, out);
            buf_puts(out, "}");
        }
        buf_puts(out, "]}");
    }
    buf_puts(out, "],\"refusal\":null}");
}

/* The old shape names tokens by their text alone, so one that is no text is spelled by its bytes
 * ("bytes:\xe2\x96", as OpenAI's service does): names stay distinct. */
static void write_token_name(const struct answer *answer, int32_t id, struct buf *out)
{
    struct gguf_string piece = piece_of(answer, id);
    size_t at = 0, bad;

    while (at < piece.size) {
        size_t length = json_out_character(piece.bytes + at, piece.size - at, &bad);

        if (length == 0)
            break;
        at += length;
    }
    if (at == piece.size) {
        json_out_string(out, piece.bytes, piece.size);
        return;
    }
    buf_puts(out, "\"bytes:");
    for (size_t i = 0; i < piece.size; i++)
        buf_printf(out, "\\\\x%02x", (unsigned)(unsigned char)piece.bytes[i]);
    buf_puts(out, "\"");
}

static void write_top(const struct answer *answer, const struct token_logprobs *logprobs,
                      struct buf *out)
{
    buf_puts(out, "{");
    for (int k = 0; k < logprobs->n_top; k++) {
        if (k > 0)
            buf_puts(out, ",");
        write_token_name(answer, logprobs->top[k].token, out);
        buf_puts(out, ":");
        json_out_logprob(out, logprobs->top[k].logprob);
    }
    buf_puts(out, "}");
}

static void write_completion_logprobs(const struct choice *choice, size_t count, struct buf *out)
{
    const struct choice_token *tokens = choice->tokens;

    buf_puts(out, "{\"tokens\":[");
    for (size_t i = 0; i < count; i++) {
        buf_puts(out, i ? "," : "");
        write_token_name(choice->answer, tokens[i].id, out);
    }
    buf_puts(out, "],\"token_logprobs\":[");
    for (size_t i = 0; i < count; i++) {
        buf_puts(out, i ? "," : "");
        json_out_logprob(out, tokens[i].logprobs->chosen);
    }
    buf_puts(out, "],\"top_logprobs\":[");
    for (size_t i = 0; i < count; i++) {
        buf_puts(out, i ? "," : "");
        write_top(choice->answer, tokens[i].logprobs, out);
    }
    buf_puts(out, "],\"text_offset\":[");
    for (size_t i = 0; i < count; i++)
        buf_printf(out, i ? ",%zu" : "%zu", tokens[i].start_chars);
    buf_puts(out, "]}");
}

/* Tokens that may go out now: those whose text did, and all of them once the choice ended other
 * than by a stop string. */
static size_t ready_tokens(const struct choice *choice)
{
    size_t count = 0;

    if (choice->ended && choice->stop_string < 0)
        return choice->n_tokens_kept;
    while (count < choice->n_tokens_kept &&
           choice->tokens[count].start_bytes < choice->safe_bytes &&
           choice->tokens[count].end_bytes <= choice->safe_bytes)
        count++;
    return count;
}

/* `"logprobs":...` and, when asked for, `,"token_ids":[...]` for the tokens that are ready; they
 * are dropped from the choice. */
static void write_tokens(struct choice *choice, struct buf *out)
{
    const struct api_request *request = &choice->answer->request;
    size_t count = ready_tokens(choice);

    buf_puts(out, ",\"logprobs\":");
    if (request->sampling.logprobs < 0 || count == 0)
        buf_puts(out, "null");
    else if (is_chat(choice->answer))
        write_chat_logprobs(choice, count, out);
    else
        write_completion_logprobs(choice, count, out);
    if (request->return_token_ids) {
        buf_puts(out, ",\"token_ids\":[");
        for (size_t i = 0; i < count; i++)
            buf_printf(out, i ? ",%d" : "%d", (int)choice->tokens[i].id);
        buf_puts(out, "]");
    }
    for (size_t i = 0; i < count; i++)
        free(choice->tokens[i].logprobs);
    if (count > 0)
        memmove(choice->tokens, choice->tokens + count,
                (choice->n_tokens_kept - count) * sizeof *choice->tokens);
    choice->n_tokens_kept -= count;
}

static void write_prompt_ids(const struct choice *choice, struct buf *out)
{
    if (!choice->prompt_ids)
        return;
    buf_puts(out, ",\"prompt_token_ids\":[");
    for (int i = 0; i < choice->n_prompt; i++)
        buf_printf(out, i ? ",%d" : "%d", (int)choice->prompt_ids[i]);
    buf_puts(out, "]");
}

static void write_finish(const struct choice *choice, struct buf *out)
{
    const struct stop_strings *stops = &choice->answer->request.stops;

    buf_printf(out,
               ",\"finish_reason\":\"%s\",\"stop_reason\":", finish_reason_name(choice->reason));
    if (choice->stop_string >= 0)
        json_out_string(out, stops->at[choice->stop_string].bytes,
                        stops->at[choice->stop_string].size);
    else if (choice->stop_id >= 0)
        buf_printf(out, "%d", (int)choice->stop_id);
    else
        buf_puts(out, "null");
}

void answer_json_role(struct choice *choice)
{
    struct buf *out = &choice->answer->out;

    begin_chunk(choice);
    buf_puts(out, "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                  "\"finish_reason\":null");
    write_prompt_ids(choice, out);
    end_chunk(choice->answer);
}

void answer_json_echo(struct choice *choice, const char *text, size_t size)
{
    struct buf *out = &choice->answer->out;

    begin_chunk(choice);
    buf_puts(out, "\"text\":");
    json_out_string(out, text, size);
    buf_puts(out, ",\"logprobs\":null,\"finish_reason\":null");
    write_prompt_ids(choice, out);
    end_chunk(choice->answer);
}

void answer_json_delta(struct choice *choice)
{
    struct buf *out = &choice->answer->out;

    begin_chunk(choice);
    buf_puts(out, is_chat(choice->answer) ? "\"delta\":{\"content\":" : "\"text\":");
    json_out_string(out, choice->text.size ? choice->text.bytes : "", choice->text.size);
    buf_puts(out, is_chat(choice->answer) ? "}" : "");
    write_tokens(choice, out);
    buf_puts(out, ",\"finish_reason\":null");
    end_chunk(choice->answer);
    buf_clear(&choice->text);
}

void answer_json_finish(struct choice *choice)
{
    struct buf *out = &choice->answer->out;

    begin_chunk(choice);
    buf_puts(out, is_chat(choice->answer) ? "\"delta\":{}" : "\"text\":\"\"");
    write_tokens(choice, out);
    write_finish(choice, out);
    end_chunk(choice->answer);
}

void answer_json_usage(struct answer *answer)
{
    buf_puts(&answer->out, "data: ");
    write_envelope(answer, is_chat(answer) ? "chat.completion.chunk" : "text_completion",
                   &answer->out);
    buf_puts(&answer->out, "],\"usage\":");
    write_usage(answer, &answer->out);
    buf_puts(&answer->out, "}\n\n");
}

void answer_json_failure(struct answer *answer)
{
    buf_puts(&answer->out, "data: ");
    api_error_write(&answer->error, &answer->out);
    buf_puts(&answer->out, "\n\n");
}

void answer_json_body(struct answer *answer)
{
    struct buf *out = &answer->out;

    write_envelope(answer, is_chat(answer) ? "chat.completion" : "text_completion", out);
    for (int i = 0; i < answer->n_choices; i++) {
        struct choice *choice = &answer->choices[i];

        buf_printf(out, "%s{\"index\":%d,", i ? "," : "", i);
        buf_puts(out, is_chat(answer) ? "\"message\":{\"role\":\"assistant\",\"content\":"
                                      : "\"text\":");
        json_out_string(out, choice->text.size ? choice->text.bytes : "", choice->text.size);
        buf_puts(out, is_chat(answer) ? ",\"refusal\":null}" : "");
        write_tokens(choice, out);
        write_finish(choice, out);
        write_prompt_ids(choice, out);
        buf_puts(out, "}");
    }
    buf_puts(out, "],\"usage\":");
    write_usage(answer, out);
    buf_puts(out, "}");
}
