/* Request bodies: what each field becomes, and what is said about wrong ones. */
#include "base/buf.h"
#include "server/api_request.h"
#include "server/chat_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define VOCABULARY 1000
#define CHAT(fields) "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]" fields "}"
#define TEXT(fields) "{\"prompt\":\"Hi\"" fields "}"

struct wrong_body {
    enum api_kind kind;
    const char *body, *param, *code;
};

static const struct wrong_body wrong_bodies[] = {
    {API_CHAT, "", "", "invalid_json"},
    {API_CHAT, "{\"messages\": ", "", "invalid_json"},
    {API_CHAT, "[1]", "", "invalid_type"},
    {API_CHAT, "{}", "messages", "missing_parameter"},
    {API_CHAT, "{\"messages\":null}", "messages", "missing_parameter"},
    {API_CHAT, "{\"messages\":[]}", "messages", "missing_parameter"},
    {API_CHAT, "{\"messages\":{}}", "messages", "invalid_type"},
    {API_CHAT, "{\"messages\":[1]}", "messages[0]", "invalid_type"},
    {API_CHAT, "{\"messages\":[{\"content\":\"x\"}]}", "messages[0].role", "invalid_type"},
    {API_CHAT, "{\"messages\":[{\"role\":\"u\",\"content\":\"x\"}]}", "messages[0].role",
     "invalid_value"},
    {API_CHAT, "{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content", "missing_parameter"},
    {API_CHAT,
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
     "{\"type\":\"image_url\"}]}]}",
     "messages[0].content[1].type", "unsupported_parameter"},
    {API_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
     "messages[0].content[0].text", "invalid_type"},
    {API_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[7]}]}", "messages[0].content[0]",
     "invalid_type"},
    {API_CHAT, CHAT(",\"model\":1"), "model", "invalid_type"},
    {API_CHAT, CHAT(",\"model\":\"a\\u0000b\""), "model", "invalid_value"},
    {API_CHAT, CHAT(",\"temperature\":2.1"), "temperature", "invalid_value"},
    {API_CHAT, CHAT(",\"temperature\":\"1\""), "temperature", "invalid_type"},
    {API_CHAT, CHAT(",\"top_p\":-0.1"), "top_p", "invalid_value"},
    {API_CHAT, CHAT(",\"min_p\":2"), "min_p", "invalid_value"},
    {API_CHAT, CHAT(",\"top_k\":-2"), "top_k", "invalid_value"},
    {API_CHAT, CHAT(",\"top_k\":1.5"), "top_k", "invalid_type"},
    {API_CHAT, CHAT(",\"presence_penalty\":3"), "presence_penalty", "invalid_value"},
    {API_CHAT, CHAT(",\"frequency_penalty\":-3"), "frequency_penalty", "invalid_value"},
    {API_CHAT, CHAT(",\"repetition_penalty\":0"), "repetition_penalty", "invalid_value"},
    {API_CHAT, CHAT(",\"seed\":true"), "seed", "invalid_type"},
    {API_CHAT, CHAT(",\"seed\":9223372036854775808"), "seed", "invalid_value"},
    {API_CHAT, CHAT(",\"max_tokens\":99999999999999999999999"), "max_tokens", "invalid_value"},
    {API_CHAT, CHAT(",\"max_tokens\":0"), "max_tokens", "invalid_value"},
    {API_CHAT, CHAT(",\"max_completion_tokens\":0"), "max_completion_tokens", "invalid_value"},
    {API_CHAT, CHAT(",\"max_tokens\":3000000000"), "max_tokens", "invalid_value"},
    {API_CHAT, CHAT(",\"max_tokens\":1e300"), "max_tokens", "invalid_value"},
    {API_CHAT, CHAT(",\"min_tokens\":9,\"max_tokens\":8"), "min_tokens", "invalid_value"},
    {API_CHAT, CHAT(",\"n\":0"), "n", "invalid_value"},
    {API_CHAT, CHAT(",\"n\":2"), "n", "unsupported_parameter"},
    {API_CHAT, CHAT(",\"stream\":1"), "stream", "invalid_type"},
    {API_CHAT, CHAT(",\"stream_options\":1"), "stream_options", "invalid_type"},
    {API_CHAT, CHAT(",\"stream_options\":{\"include_usage\":1}"), "stream_options.include_usage",
     "invalid_type"},
    {API_CHAT, CHAT(",\"stop\":1"), "stop", "invalid_type"},
    {API_CHAT, CHAT(",\"stop\":[\"a\",1]"), "stop", "invalid_type"},
    {API_CHAT, CHAT(",\"stop\":[\"\"]"), "stop", "invalid_value"},
    {API_CHAT, CHAT(",\"stop_token_ids\":[1000]"), "stop_token_ids", "invalid_value"},
    {API_CHAT, CHAT(",\"stop_token_ids\":[-1]"), "stop_token_ids", "invalid_value"},
    {API_CHAT, CHAT(",\"stop_token_ids\":7"), "stop_token_ids", "invalid_type"},
    {API_CHAT, CHAT(",\"logit_bias\":{\"1000\":1}"), "logit_bias", "invalid_value"},
    {API_CHAT, CHAT(",\"logit_bias\":{\"-1\":1}"), "logit_bias", "invalid_value"},
    {API_CHAT, CHAT(",\"logit_bias\":{\"1\":101}"), "logit_bias", "invalid_value"},
    {API_CHAT, CHAT(",\"logit_bias\":{\"1\":\"x\"}"), "logit_bias", "invalid_value"},
    {API_CHAT, CHAT(",\"logit_bias\":[1]"), "logit_bias", "invalid_type"},
    {API_CHAT, CHAT(",\"logprobs\":3"), "logprobs", "invalid_type"},
    {API_CHAT, CHAT(",\"top_logprobs\":1"), "top_logprobs", "invalid_value"},
    {API_CHAT, CHAT(",\"logprobs\":true,\"top_logprobs\":21"), "top_logprobs", "invalid_value"},
    {API_CHAT, CHAT(",\"tools\":[{}]"), "tools", "unsupported_parameter"},
    {API_CHAT, CHAT(",\"tool_choice\":\"required\""), "tool_choice", "unsupported_parameter"},
    {API_CHAT, CHAT(",\"response_format\":{\"type\":\"json_object\"}"), "response_format",
     "unsupported_parameter"},
    {API_CHAT, CHAT(",\"response_format\":7"), "response_format", "unsupported_parameter"},
    {API_CHAT, CHAT(",\"continue_final_message\":true"), "continue_final_message",
     "unsupported_parameter"},
    {API_CHAT, CHAT(",\"chat_template_kwargs\":[]"), "chat_template_kwargs", "invalid_type"},
    {API_COMPLETION, "{}", "prompt", "missing_parameter"},
    {API_COMPLETION, "{\"prompt\":1}", "prompt", "invalid_type"},
    {API_COMPLETION, "{\"prompt\":[]}", "prompt", "invalid_type"},
    {API_COMPLETION, "{\"prompt\":[\"a\",1]}", "prompt", "invalid_type"},
    {API_COMPLETION, "{\"prompt\":[1,1000]}", "prompt", "invalid_value"},
    {API_COMPLETION, "{\"prompt\":[1,\"a\"]}", "prompt", "invalid_value"},
    {API_COMPLETION, TEXT(",\"logprobs\":6"), "logprobs", "invalid_value"},
    {API_COMPLETION, TEXT(",\"logprobs\":1,\"echo\":true"), "logprobs", "unsupported_parameter"},
    {API_COMPLETION, TEXT(",\"best_of\":2"), "best_of", "unsupported_parameter"},
    {API_COMPLETION, TEXT(",\"suffix\":\"x\""), "suffix", "unsupported_parameter"},
};

/* Faults: a wrong field that is taken, or one that is refused under another's name. */
static void wrong_fields_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong_bodies / sizeof *wrong_bodies; i++) {
        const struct wrong_body *c = &wrong_bodies[i];
        struct api_request request;
        struct api_error error = {0};
        int rc = api_request_parse(&request, c->kind, c->body, strlen(c->body), VOCABULARY, &error);

        api_request_free(&request);
        if (rc >= 0)
            fail_msg("accepted: %s", c->body);
        assert_int_equal(error.status, 400);
        assert_string_equal(error.param, c->param);
        assert_string_equal(error.code, c->code);
    }
}

/* A body of `count` times `item` in one array. */
static int parse_many(const char *item, size_t count, struct api_error *error)
{
    struct buf body;
    json_t *parsed = NULL;

    buf_init(&body, 64 << 20);
    buf_puts(&body, "{\"metadata\":[0");
    for (size_t i = 0; i < count; i++)
        buf_puts(&body, item);
    buf_puts(&body, "]}");
    assert_false(body.failed);
    int rc = api_body_parse(&parsed, body.bytes, body.size, error);

    buf_free(&body);
    json_decref(parsed);
    return rc;
}

/* Faults: a small body that takes a hundred times its size as a tree; punctuation in a text that
 * counts as structure. */
static void values_are_limited(void **state)
{
    static const struct {
        const char *item;
        size_t count;
        bool accepted;
    } cases[] = {
        {",1", API_JSON_VALUES_MAX, true},
        {",1", API_JSON_VALUES_MAX + 1, false},
        {",{}", API_JSON_NODES_MAX - 3, true}, /* the body, the member, the array */
        {",{}", API_JSON_NODES_MAX - 2, false},
        {",[]", API_JSON_NODES_MAX - 2, false},
        {",{\"a\":1}", API_JSON_NODES_MAX / 2, false},
        {",\":[{\\\":[{:[{\"", API_JSON_NODES_MAX / 2, true},
        {",\"\\\\\",{}", API_JSON_NODES_MAX, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct api_error error = {0};
        int rc = parse_many(cases[i].item, cases[i].count, &error);

        if ((rc == 0) != cases[i].accepted)
            fail_msg("%zu times %s: %s", cases[i].count, cases[i].item, error.message);
        if (rc == 0)
            continue;
        assert_int_equal(error.status, 400);
        assert_string_equal(error.code, "invalid_json");
        assert_string_equal(error.param, "");
    }
}

static void parse_right(struct api_request *request, enum api_kind kind, const char *body)
{
    struct api_error error = {0};

    if (api_request_parse(request, kind, body, strlen(body), VOCABULARY, &error) < 0)
        fail_msg("%s: %s", body, error.message);
}

/* Faults: a body refused for an integer nobody reads, or another value or string changed by the way
 * around that. */
static void large_integers_pass(void **state)
{
    static const char body[] =
        CHAT(",\"seed\":-9223372036854775808,\"user\":\"\\\"99999999999999999999\",\"metadata\":"
             "{\"a\":[12345678901234567890,-9223372036854775809,9223372036854775807,1.5e3,"
             "0.12345678901234567890123]}");
    struct api_request request;

    (void)state;
    parse_right(&request, API_CHAT, body);
    assert_int_equal(request.sampling.seed, (uint64_t)INT64_MIN);
    assert_string_equal(json_string_value(json_object_get(request.body, "user")),
                        "\"99999999999999999999");
    const json_t *list = json_object_get(json_object_get(request.body, "metadata"), "a");

    assert_true(json_real_value(json_array_get(list, 0)) == 12345678901234567800.0);
    assert_true(json_real_value(json_array_get(list, 1)) == -9223372036854775808.0);
    assert_true(json_is_integer(json_array_get(list, 2)));
    assert_int_equal(json_integer_value(json_array_get(list, 2)), INT64_MAX);
    assert_true(json_real_value(json_array_get(list, 3)) == 1500);
    assert_true(json_real_value(json_array_get(list, 4)) == 0.12345678901234567890123);
    api_request_free(&request);
}

/* Fault: a default that is not OpenAI's. */
static void defaults(void **state)
{
    struct api_request request;

    (void)state;
    parse_right(&request, API_CHAT, CHAT(",\"temperature\":null,\"stop\":null,\"tools\":[]"));
    assert_true(request.sampling.temperature == 1 && request.sampling.top_p == 1);
    assert_true(request.sampling.top_k == 0 && request.sampling.min_p == 0);
    assert_true(request.sampling.repetition_penalty == 1);
    assert_int_equal(request.sampling.logprobs, -1);
    assert_int_equal(request.max_tokens, 0);
    assert_true(request.skip_special && request.add_generation_prompt && !request.stream);
    uint64_t seed = request.sampling.seed;

    api_request_free(&request);
    parse_right(&request, API_CHAT, CHAT(""));
    assert_true(request.sampling.seed != seed); /* drawn anew */
    api_request_free(&request);
}

/* Fault: a field that is read into another's place, or an alias that is not read. */
static void fields_arrive(void **state)
{
    struct api_request request;

    (void)state;
    parse_right(&request, API_CHAT,
                CHAT(",\"temperature\":0,\"top_p\":0.5,\"top_k\":5000,\"min_p\":0.25,\"seed\":-7,"
                     "\"repeat_penalty\":1.5,\"presence_penalty\":-1,\"frequency_penalty\":2,"
                     "\"max_tokens\":5,\"max_completion_tokens\":6,\"min_tokens\":2,"
                     "\"logit_bias\":{\"7\":-100,\"9\":0.5},\"stop\":\"x\",\"stop_token_ids\":[3],"
                     "\"logprobs\":true,\"top_logprobs\":20,\"stream\":true,\"n\":1.0,"
                     "\"stream_options\":{\"include_usage\":true},\"user\":\"me\",\"new\":[]"));
    assert_true(request.sampling.temperature == 0 && request.sampling.top_p == 0.5f);
    assert_true(request.sampling.min_p == 0.25f && request.sampling.top_k == VOCABULARY);
    assert_true(request.sampling.seed == (uint64_t)-7);
    assert_true(request.sampling.repetition_penalty == 1.5f);
    assert_true(request.sampling.presence_penalty == -1 && request.sampling.frequency_penalty == 2);
    assert_int_equal(request.max_tokens, 6);
    assert_int_equal(request.min_tokens, 2);
    assert_int_equal(request.sampling.n_bias, 2);
    assert_int_equal(request.sampling.bias[0].token, 7);
    assert_true(request.sampling.bias[0].bias == -100 && request.sampling.bias[1].bias == 0.5f);
    assert_int_equal(request.stops.count, 1);
    assert_int_equal(request.stop_ids[0], 3);
    assert_int_equal(request.sampling.logprobs, 20);
    assert_true(request.stream && request.include_usage && !request.continuous_usage);
    api_request_free(&request);
    parse_right(&request, API_COMPLETION, TEXT(",\"logprobs\":0,\"max_completion_tokens\":3"));
    assert_int_equal(request.sampling.logprobs, 0);
    assert_int_equal(request.max_tokens, 0);
    api_request_free(&request);
}

/* Fault: a list of token ids taken for several prompts, or the other way round. */
static void shapes_of_prompt(void **state)
{
    static const struct {
        const char *body;
        int n_prompts;
        size_t ids; /* of the first; 0: text */
    } cases[] = {
        {"{\"prompt\":\"a\"}", 1, 0},         {"{\"prompt\":[\"a\",\"b\"]}", 2, 0},
        {"{\"prompt\":[1,2,3]}", 1, 3},       {"{\"prompt\":[[1,2],[3]]}", 2, 2},
        {"{\"prompt\":[\"a\",[3,4]]}", 2, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct api_request request;

        parse_right(&request, API_COMPLETION, cases[i].body);
        assert_int_equal(request.n_prompts, cases[i].n_prompts);
        assert_int_equal(json_array_size(request.prompts[0].ids), cases[i].ids);
        api_request_free(&request);
    }
}

/* Fault: parts glued without a line end, a role the template does not know, lost arguments. */
static void template_variables(void **state)
{
    const struct gguf_string bos = {"<s>", 3}, eos = {NULL, 0};
    struct api_request request;

    (void)state;
    parse_right(&request, API_CHAT,
                "{\"messages\":[{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":"
                "\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\",\"content\":"
                "null,\"tool_calls\":[1]}],\"chat_template_kwargs\":{\"thinking\":false},"
                "\"add_generation_prompt\":false}");
    json_t *variables = chat_request_variables(&request, bos, eos);
    char *text = json_dumps(variables, JSON_SORT_KEYS | JSON_COMPACT);

    assert_string_equal(text, "{\"add_generation_prompt\":false,\"bos_token\":\"<s>\",\"eos_token\""
                              ":\"\",\"messages\":[{\"content\":\"a\\nb\",\"role\":\"system\"},{"
                              "\"content\":\"\",\"role\":\"assistant\",\"tool_calls\":[1]}],"
                              "\"thinking\":false}");
    free(text);
    json_decref(variables);
    api_request_free(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_fields_are_named), cmocka_unit_test(values_are_limited),
        cmocka_unit_test(large_integers_pass),    cmocka_unit_test(defaults),
        cmocka_unit_test(fields_arrive),          cmocka_unit_test(shapes_of_prompt),
        cmocka_unit_test(template_variables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
