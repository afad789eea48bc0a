/*
 * Ties the parts together: parse once into an arena, render each time in an arena of its own. See
 * jinja_value.h for how values, errors and provenance work.
 */
#include "model/chat_template.h"
#include "model/jinja_builtin.h"
#include "model/jinja_eval.h"
#include "model/jinja_json.h"
#include "model/jinja_parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TREE_MEMORY_MAX (128u << 20) /* bytes; some 500 times the largest template */

int chat_template_parse(struct chat_template **ret_template, const char *source, size_t size,
                        struct err *err)
{
    if (size > CHAT_TEMPLATE_SOURCE_MAX)
        return err_set(err, E2BIG, "the chat template has %zu bytes; at most %u are read", size,
                       CHAT_TEMPLATE_SOURCE_MAX);
    struct chat_template *tmpl = calloc(1, sizeof *tmpl);

    if (!tmpl)
        return err_set(err, ENOMEM, "out of memory");
    arena_init(&tmpl->arena, TREE_MEMORY_MAX);
    int rc = jinja_parse(tmpl, source, size, err);

    if (rc < 0) {
        chat_template_free(tmpl);
        return rc;
    }
    *ret_template = tmpl;
    return 0;
}

void chat_template_free(struct chat_template *tmpl)
{
    if (!tmpl)
        return;
    arena_reset(&tmpl->arena);
    free(tmpl);
}

void chat_rendering_init(struct chat_rendering *rendering, size_t text_limit)
{
    *rendering = (struct chat_rendering){0};
    buf_init(&rendering->text, text_limit);
}

void chat_rendering_free(struct chat_rendering *rendering)
{
    buf_free(&rendering->text);
    free(rendering->spans);
    rendering->spans = NULL;
    rendering->n_spans = 0;
}

/* The caller sets these two from the vocabulary; all else may come from the request. */
static bool template_trusts(const char *variable)
{
    return strcmp(variable, "bos_token") == 0 || strcmp(variable, "eos_token") == 0;
}

/* Fills the names the template uses: variables first, then the functions every template has. */
static void template_bind(struct jinja *jinja, const struct chat_template *tmpl,
                          const json_t *variables)
{
    jinja->globals = jinja_alloc_array(jinja, tmpl->n_names, sizeof *jinja->globals);
    for (size_t i = 0; i < tmpl->n_names && jinja->rc == 0; i++) {
        const struct jinja_string *name = &tmpl->names[i]->text;
        const struct jinja_builtin *builtin = jinja_find_global(name);
        char *key = jinja_alloc(jinja, name->size + 1);

        jinja->globals[i] = jinja_missing();
        if (builtin)
            jinja->globals[i] = jinja_method_value(jinja, builtin, jinja_missing());
        if (!key)
            return;
        memcpy(key, name->bytes, name->size);
        const json_t *json = json_object_get(variables, key);

        if (json)
            jinja->globals[i] = jinja_from_json(jinja, json, template_trusts(key));
    }
}

static int template_export(const struct jinja_builder *out, struct chat_rendering *rendering,
                           struct err *err)
{
    size_t n = out->n_runs ? out->n_runs : out->size > 0, start = 0;
    struct text_span *spans = malloc((n ? n : 1) * sizeof *spans);

    buf_clear(&rendering->text);
    if (!spans || buf_append(&rendering->text, out->bytes, out->size) < 0) {
        free(spans);
        return err_set(err, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        size_t end = out->n_runs ? out->runs[i].end : out->size;

        spans[i] =
            (struct text_span){end - start, out->n_runs ? out->runs[i].trusted : out->trusted};
        start = end;
    }
    free(rendering->spans);
    rendering->spans = spans;
    rendering->n_spans = n;
    return 0;
}

int chat_template_render(const struct chat_template *tmpl, const json_t *variables, time_t now,
                         struct chat_rendering *rendering, struct err *err)
{
    struct jinja jinja = {.line = 1, .now = now, .err = err};
    struct jinja_builder out;

    if (!json_is_object(variables))
        return err_set(err, EINVAL, "the variables of a chat template must be a JSON object");
    arena_init(&jinja.arena, CHAT_TEMPLATE_MEMORY_MAX);
    jinja_builder_init(&out, &jinja);
    out.limit = rendering->text.limit;
    jinja.out = &out;
    template_bind(&jinja, tmpl, variables);
    if (jinja.rc == 0) {
        jinja_unset_names(&jinja, tmpl->unset);
        jinja_exec(&jinja, &tmpl->body);
    }
    if (jinja.rc == 0)
        jinja.rc = template_export(&out, rendering, err);
    arena_reset(&jinja.arena);
    return jinja.rc;
}
