/*
 * Answers token by token, with the test as the worker and the byte tokens of the small vocabulary
 * (id = byte), so that a token can be any part of a character or of a stop string.
 */
#include "server/answer.h"
#include "server/exchange.h"
#include "tests/unit/small_vocabulary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "small"

struct front {
    struct gguf_bytes bytes;
    struct gguf *file;
    struct tokenizer *tokenizer;
    struct mailbox *mailbox;
    struct worker_port port;
    struct config config;
    struct service service;
    struct exchange exchange; /* sleeping on nothing: waking it does nothing */
    struct answer *answer;
    struct message submit;
    int n_sent;
};

static int front_open(void **state)
{
    static char name[] = NAME;
    static char *const names[] = {name};
    struct front *f = calloc(1, sizeof *f);
    struct err err;

    assert_non_null(f);
    gguf_bytes_init(&f->bytes);
    small_bpe_write(&f->bytes, "gpt-2");
    gguf_bytes_finish(&f->bytes);
    assert_int_equal(gguf_parse(&f->file, f->bytes.file.bytes, f->bytes.file.size, &err), 0);
    assert_int_equal(tokenizer_open(&f->tokenizer, f->file, &err), 0);
    assert_int_equal(mailbox_create(&f->mailbox, 16, sizeof(struct message)), 0);
    assert_int_equal(config_init(&f->config), 0);
    f->config.max_num_seqs = 2;
    f->config.max_queue = 0;
    assert_int_equal(config_finish(&f->config, &err), 0);
    f->port = (struct worker_port){.name = "w", .role = CONFIG_BOTH, .mailbox = f->mailbox};
    const struct service_parts parts = {.config = &f->config,
                                        .tokenizer = f->tokenizer,
                                        .names = names,
                                        .n_names = 1,
                                        .max_model_len = 100,
                                        .ports = &f->port,
                                        .n_ports = 1};

    assert_int_equal(service_open(&f->service, &parts, -1, &err), 0);
    f->exchange.service = &f->service;
    *state = f;
    return 0;
}

static int front_close(void **state)
{
    struct front *f = *state;

    service_close(&f->service);
    config_free(&f->config);
    mailbox_destroy(f->mailbox);
    tokenizer_close(f->tokenizer);
    gguf_close(f->file);
    gguf_bytes_free(&f->bytes);
    free(f);
    return 0;
}

static int ask_for(struct front *f, const char *body, struct api_error *error)
{
    struct api_request request;

    assert_int_equal(
        api_request_parse(&request, API_COMPLETION, body, strlen(body), f->service.n_vocab, error),
        0);
    f->n_sent = 0;
    struct answer *answer;
    int rc = answer_create(&answer, &f->service, &request, "1", 1, error);

    if (rc == 0)
        assert_null(answer->request.body); /* it may be a hundred times as large as its text */
    if (rc == 0)
        rc = answer_start(answer, &f->exchange, error);
    if (rc == 0)
        f->answer = answer;
    return rc;
}

static void start_answer(struct front *f, const char *body)
{
    struct api_error error = {0};

    if (ask_for(f, body, &error) < 0)
        fail_msg("%s", error.message);
    assert_true(mailbox_take(f->mailbox, &f->submit));
}

static void send_token(struct front *f, int32_t token, bool with_logprobs)
{
    struct message message = {.type = MESSAGE_TOKEN, .id = f->submit.id};

    message.u.token.at_ns = (uint64_t)f->n_sent + 10;
    message.u.token.index = f->n_sent++;
    message.u.token.token = token;
    if (with_logprobs) {
        message.u.token.logprobs = calloc(1, sizeof(struct token_logprobs));
        message.u.token.logprobs->chosen = -1;
        message.u.token.logprobs->n_top = 1;
        message.u.token.logprobs->top[0].token = token;
    }
    dispatch_receive(f->service.dispatch, &message);
}

static void send_bytes(struct front *f, const char *bytes)
{
    for (; *bytes; bytes++)
        send_token(f, (unsigned char)*bytes, false);
}

static void send_done(struct front *f, enum done_reason reason)
{
    struct message message = {.type = MESSAGE_DONE, .id = f->submit.id};

    message.u.done.reason = reason;
    message.u.done.error = reason == DONE_FAILED ? -5 : 0;
    dispatch_receive(f->service.dispatch, &message);
}

/* The text of all events there are, one after the other; "|" where an event ends. */
static char *texts(struct front *f, char *out, size_t size)
{
    char *at = f->answer->out.bytes, *end;

    out[0] = '\0';
    for (; at && (end = strstr(at, "\n\n")); at = end + 2) {
        json_t *event = json_loadb(at + 6, (size_t)(end - at) - 6, 0, NULL);
        const json_t *choice = json_array_get(json_object_get(event, "choices"), 0);
        const char *text = json_string_value(json_object_get(choice, "text"));
        const char *why = json_string_value(json_object_get(choice, "finish_reason"));
        size_t used = strlen(out);

        snprintf(out + used, size - used, "%s%s|", text ? text : "", why ? why : "");
        json_decref(event);
    }
    return out;
}

/* Faults: half a character sent, or a stop string's beginning, or text after the stop string. */
static void pieces_are_whole(void **state)
{
    struct front *f = *state;
    char out[500];
    struct message message;

    start_answer(f, "{\"prompt\":\"abc\",\"stream\":true,\"stop\":[\"\\u20ac!\"]}");
    send_bytes(f, "a\xe2\x82");
    assert_string_equal(texts(f, out, sizeof out), "a|");
    send_bytes(f, "\xac"); /* the character is whole, but might begin the stop string */
    assert_string_equal(texts(f, out, sizeof out), "a|");
    send_bytes(f, "?");
    assert_string_equal(texts(f, out, sizeof out), "a|\xe2\x82\xac?|");
    send_bytes(f, "b\xe2\x82\xac!");
    assert_string_equal(texts(f, out, sizeof out), "a|\xe2\x82\xac?|b|stop||");
    assert_int_equal(f->answer->state, ANSWER_DONE);
    assert_non_null(strstr(f->answer->out.bytes, "\"stop_reason\":\"\xe2\x82\xac!\""));
    assert_non_null(strstr(f->answer->out.bytes, "data: [DONE]\n\n"));
    assert_true(mailbox_take(f->mailbox, &message)); /* the worker is told to stop */
    assert_int_equal(message.type, MESSAGE_CANCEL);
    send_token(f, 'x', false); /* under way meanwhile */
    answer_destroy(f->answer);
    send_done(f, DONE_CANCELLED);
}

/* Faults: an end that swallows what was held back or half a character, or one reason for another.
 */
static void ends_give_out_what_is_held(void **state)
{
    struct front *f = *state;
    char out[500];

    start_answer(f, "{\"prompt\":\"abc\",\"stream\":true,\"stop\":\"bcd\"}");
    send_bytes(f, "abc");
    assert_string_equal(texts(f, out, sizeof out), "a|");
    send_bytes(f, "\xe2");
    send_done(f, DONE_LENGTH);
    assert_string_equal(texts(f, out, sizeof out), "a|bc\xef\xbf\xbd|length||");
    answer_destroy(f->answer);
}

/* Faults: the text of a stop token in the answer; a stop_reason for the model's own end. */
static void stop_tokens_are_no_text(void **state)
{
    struct front *f = *state;

    for (int own = 0; own < 2; own++) {
        start_answer(f, "{\"prompt\":\"abc\",\"stop_token_ids\":[122]}");
        assert_int_equal(f->submit.u.submit.request->stop_ids[0], 'z');
        send_bytes(f, "ab");
        send_token(f, own ? SMALL_BPE_EOS : 'z', false);
        send_done(f, DONE_STOP);
        assert_int_equal(f->answer->state, ANSWER_DONE);
        json_t *body = json_loads(f->answer->out.bytes, 0, NULL);
        json_t *choice = json_array_get(json_object_get(body, "choices"), 0);

        assert_string_equal(json_string_value(json_object_get(choice, "text")), "ab");
        assert_string_equal(json_string_value(json_object_get(choice, "finish_reason")), "stop");
        assert_int_equal(json_integer_value(json_object_get(choice, "stop_reason")), own ? 0 : 'z');
        assert_int_equal(json_integer_value(
                             json_object_get(json_object_get(body, "usage"), "completion_tokens")),
                         3);
        json_decref(body);
        answer_destroy(f->answer);
    }
}

/* Fault: log probabilities that spell out a held back stop string, or count bytes for characters.
 */
static void logprobs_go_with_their_text(void **state)
{
    struct front *f = *state;

    start_answer(f, "{\"prompt\":\"abc\",\"logprobs\":1,\"stop\":\"xy\"}");
    for (const char *c = "\xc3\xa9"
                         "axy";
         *c; c++)
        send_token(f, (unsigned char)*c, true);
    assert_int_equal(f->answer->state, ANSWER_DONE);
    assert_non_null(
        strstr(f->answer->out.bytes, "\"tokens\":[\"bytes:\\\\xc3\",\"bytes:\\\\xa9\",\"a\"]"));
    assert_non_null(strstr(f->answer->out.bytes, "\"text_offset\":[0,0,1]"));
    answer_destroy(f->answer);
    send_done(f, DONE_CANCELLED);
}

/* Faults: a token that begins before the stop string and ends in it, or the stop string's own, in
 * the ids of the tokens; one that a stop string did not come of, missing. */
static void tokens_of_a_stop_string_are_not_listed(void **state)
{
    static const struct {
        const char *body, *ids[3];
    } cases[] = {
        {"{\"prompt\":\"a\",\"return_token_ids\":true,\"stop\":\"bc\"}", {"\"token_ids\":[120]"}},
        {"{\"prompt\":\"a\",\"return_token_ids\":true,\"stop\":\"bc\",\"stream\":true}",
         {"\"text\":\"x\",\"logprobs\":null,\"token_ids\":[120]", "\"token_ids\":[],\"finish"}},
        {"{\"prompt\":\"a\",\"return_token_ids\":true,\"stop\":\"bc\","
         "\"include_stop_str_in_output\":true}",
         {"\"token_ids\":[120,258,99]"}},
        {"{\"prompt\":\"a\",\"return_token_ids\":true,\"stop\":\"zz\"}",
         {"\"token_ids\":[120,258,99]"}},
    };
    struct front *f = *state;
    struct message message;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start_answer(f, cases[i].body);
        send_token(f, 'x', false);
        send_token(f, SMALL_BPE_AB, false);
        send_token(f, 'c', false);
        send_done(f, DONE_LENGTH);
        assert_int_equal(f->answer->state, ANSWER_DONE);
        for (int k = 0; cases[i].ids[k]; k++)
            if (!strstr(f->answer->out.bytes, cases[i].ids[k]))
                fail_msg("%s in %s", cases[i].ids[k], f->answer->out.bytes);
        answer_destroy(f->answer);
        while (mailbox_take(f->mailbox, &message))
            assert_int_equal(message.type, MESSAGE_CANCEL);
    }
}

/* Fault: a stop string that ends an answer before min_tokens. */
static void min_tokens_come_first(void **state)
{
    struct front *f = *state;
    char out[500];

    start_answer(f, "{\"prompt\":\"abc\",\"stream\":true,\"stop\":\"x\",\"min_tokens\":3}");
    send_bytes(f, "xaax");
    assert_string_equal(texts(f, out, sizeof out), "x|a|a|stop||");
    answer_destroy(f->answer);
    send_done(f, DONE_CANCELLED);
}

/* Faults: a failure that ends a stream as if it were complete, or that is not told at all. */
static void failures_are_told(void **state)
{
    struct front *f = *state;

    start_answer(f, "{\"prompt\":\"abc\",\"stream\":true}");
    send_bytes(f, "a");
    send_done(f, DONE_FAILED);
    assert_int_equal(f->answer->state, ANSWER_FAILED);
    assert_non_null(strstr(f->answer->out.bytes, "data: {\"error\":{"));
    assert_null(strstr(f->answer->out.bytes, "[DONE]"));
    answer_destroy(f->answer);
    start_answer(f, "{\"prompt\":\"abc\"}");
    send_done(f, DONE_FAILED);
    assert_int_equal(f->answer->state, ANSWER_FAILED);
    assert_int_equal(f->answer->error.status, 500);
    answer_destroy(f->answer);
}

/* Faults: a request beyond the window or the queue that is taken; one that is refused and leaves
 * something behind. */
static void refusals_come_before_work(void **state)
{
    static const struct {
        const char *body, *code;
        int status;
    } cases[] = {
        {"{\"prompt\":\"abc\",\"max_tokens\":99}", "context_length_exceeded", 400},
        {"{\"prompt\":\"abc\",\"model\":\"other\"}", "model_not_found", 404},
        {"{\"prompt\":\"\"}", "invalid_value", 400},
        {"{\"prompt\":\"abc\",\"min_tokens\":17}", "invalid_value", 400},
        {"{\"prompt\":[\"a\",\"b\",\"c\"]}", "invalid_value", 400}, /* would never fit */
        {"{\"prompt\":[\"a\",\"\"]}", "invalid_value", 400},        /* the second of two */
    };
    struct front *f = *state;
    struct message message;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct api_error error = {0};

        assert_true(ask_for(f, cases[i].body, &error) < 0);
        assert_int_equal(error.status, cases[i].status);
        assert_string_equal(error.code, cases[i].code);
        assert_int_equal(dispatch_room(f->service.dispatch), 2);
        assert_false(mailbox_take(f->mailbox, &message));
    }
    start_answer(f, "{\"prompt\":\"aaa\",\"max_tokens\":98}"); /* "aa", "a": it just fits */
    assert_int_equal(f->submit.u.submit.request->max_tokens, 98);
    struct answer *first = f->answer;
    struct api_error error = {0};

    assert_true(ask_for(f, "{\"prompt\":[\"a\",\"b\"]}", &error) < 0); /* one is free */
    assert_int_equal(error.status, 503);
    assert_string_equal(error.code, "server_overloaded");
    f->answer = first;
    answer_destroy(f->answer);
    send_done(f, DONE_CANCELLED);
    assert_int_equal(dispatch_room(f->service.dispatch), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pieces_are_whole, front_open, front_close),
        cmocka_unit_test_setup_teardown(ends_give_out_what_is_held, front_open, front_close),
        cmocka_unit_test_setup_teardown(stop_tokens_are_no_text, front_open, front_close),
        cmocka_unit_test_setup_teardown(logprobs_go_with_their_text, front_open, front_close),
        cmocka_unit_test_setup_teardown(tokens_of_a_stop_string_are_not_listed, front_open,
                                        front_close),
        cmocka_unit_test_setup_teardown(min_tokens_come_first, front_open, front_close),
        cmocka_unit_test_setup_teardown(failures_are_told, front_open, front_close),
        cmocka_unit_test_setup_teardown(refusals_come_before_work, front_open, front_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
