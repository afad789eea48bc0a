/*
 * Any template over any variables: the template, a zero byte, then the variables as JSON.
 *
 * Parsing and rendering must end, in a text or in an error that names a line. The spans must cover
 * the text, and a text all of whose variables are the user's and whose template prints nothing but
 * them must be the user's.
 */
#include "model/chat_template.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_check_spans(const struct chat_rendering *out)
{
    size_t covered = 0;

    for (size_t i = 0; i < out->n_spans; i++)
        covered += out->spans[i].size;
    if (covered != out->text.size)
        abort();
}

/* "{{ x }}" of a string: all of it must be marked the user's. */
static void fuzz_check_user(const json_t *value)
{
    struct chat_template *tmpl;
    struct chat_rendering out;
    json_t *variables = json_object();

    json_object_set(variables, "x", (json_t *)(uintptr_t)value);
    chat_rendering_init(&out, 1u << 20);
    if (chat_template_parse(&tmpl, "{{ x }}", 7, NULL) < 0)
        abort();
    if (chat_template_render(tmpl, variables, 0, &out, NULL) == 0) {
        if (out.text.size != json_string_length(value))
            abort();
        for (size_t i = 0; i < out.n_spans; i++)
            if (out.spans[i].trusted)
                abort();
    }
    chat_template_free(tmpl);
    chat_rendering_free(&out);
    json_decref(variables);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size > 0 ? memchr(data, '\0', size) : NULL;
    size_t source = zero ? (size_t)(zero - data) : size;
    struct chat_template *tmpl;
    struct err err = {.text = ""};
    json_t *variables = NULL;

    if (zero)
        variables = json_loadb((const char *)zero + 1, size - source - 1, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(variables)) {
        json_decref(variables);
        variables = json_object();
    }
    int rc = chat_template_parse(&tmpl, (const char *)data, source, &err);

    if (rc == 0) {
        struct chat_rendering out;

        chat_rendering_init(&out, 1u << 20);
        rc = chat_template_render(tmpl, variables, 1700000000, &out, &err);
        if (rc == 0)
            fuzz_check_spans(&out);
        chat_rendering_free(&out);
        chat_template_free(tmpl);
    }
    if (rc < 0 && strncmp(err.text, "line ", 5) != 0 && source <= CHAT_TEMPLATE_SOURCE_MAX)
        abort();
    const char *name;
    json_t *value;

    json_object_foreach(variables, name, value)
    {
        if (json_is_string(value))
            fuzz_check_user(value);
    }
    json_decref(variables);
    return 0;
}
