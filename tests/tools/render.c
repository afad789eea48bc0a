/*
 * Renders chat templates for the Python comparison: reads jobs as JSON lines
 *   {"template": "...", "variables": {...}, "now": 1700000000}
 * and answers each with one line, {"text": "...", "spans": [[size, trusted], ...]} or
 * {"error": "..."}.
 */
#include "base/buf.h"
#include "model/chat_template.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX (16u << 20)

static json_t *render_error(const struct err *err)
{
    return json_pack("{s:s}", "error", err->text);
}

static json_t *render_spans(const struct chat_rendering *rendering)
{
    json_t *spans = json_array();

    for (size_t i = 0; i < rendering->n_spans; i++)
        json_array_append_new(spans, json_pack("[I,b]", (json_int_t)rendering->spans[i].size,
                                               (int)rendering->spans[i].trusted));
    return spans;
}

static json_t *render_job(json_t *job)
{
    const json_t *source = json_object_get(job, "template");
    struct chat_rendering rendering;
    struct chat_template *tmpl;
    struct err err = {.text = ""};
    json_t *answer;

    if (chat_template_parse(&tmpl, json_string_value(source), json_string_length(source), &err) < 0)
        return render_error(&err);
    chat_rendering_init(&rendering, TEXT_MAX);
    if (chat_template_render(tmpl, json_object_get(job, "variables"),
                             (time_t)json_integer_value(json_object_get(job, "now")), &rendering,
                             &err) < 0)
        answer = render_error(&err);
    else
        answer = json_pack("{s:s%,s:o}", "text", rendering.text.bytes ? rendering.text.bytes : "",
                           rendering.text.size, "spans", render_spans(&rendering));
    chat_rendering_free(&rendering);
    chat_template_free(tmpl);
    return answer;
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;

    while ((size = getline(&line, &capacity, stdin)) > 0) {
        json_error_t error;
        json_t *job = json_loadb(line, (size_t)size, JSON_ALLOW_NUL, &error);

        if (!json_is_object(job) || !json_is_string(json_object_get(job, "template"))) {
            fprintf(stderr, "render: not a job: %s\n", error.text);
            return 1;
        }
        json_t *answer = render_job(job);

        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(answer);
        json_decref(job);
    }
    free(line);
    return 0;
}
