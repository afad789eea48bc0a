/* Every allocation of a template's parsing and rendering fails in turn: an error, nothing leaked.
 * Reads the templates of tests/reference, which use all of the language. */
#include "model/chat_template.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The linker sends this program's arena allocations here (--wrap). */
struct arena;
void *__real_arena_alloc(struct arena *arena, size_t size);
void *__wrap_arena_alloc(struct arena *arena, size_t size);

static long arena_allocations_left = -1; /* until one fails; negative: none does */

void *__wrap_arena_alloc(struct arena *arena, size_t size)
{
    if (arena_allocations_left >= 0 && arena_allocations_left-- == 0)
        return NULL;
    return __real_arena_alloc(arena, size);
}

static const char conversation[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"},"
    " {\"role\": \"user\", \"content\": \"Gr\\u00fc\\u00dfe <you>\"},"
    " {\"role\": \"assistant\", \"content\": [{\"type\": \"text\", \"text\": \"t\"}], "
    "\"tool_calls\":"
    " [{\"function\": {\"name\": \"f\", \"arguments\": {\"a\": [1, 2.5, null]}}}]}],"
    " \"tools\": [{\"function\": {\"name\": \"f\", \"parameters\": {\"properties\":"
    " {\"a\": {\"type\": [\"array\", \"null\"]}}}}}], \"bos_token\": \"<s>\"}";

/* Parses and renders while the nth allocation fails; false when there was no nth. */
static bool template_survives(const char *source, size_t size, const json_t *variables, long nth)
{
    struct chat_template *tmpl;
    struct chat_rendering out;
    struct err err = {.text = ""};

    chat_rendering_init(&out, 1u << 20);
    arena_allocations_left = nth;
    int rc = chat_template_parse(&tmpl, source, size, &err);

    if (rc == 0) {
        rc = chat_template_render(tmpl, variables, 0, &out, &err);
        chat_template_free(tmpl);
    }
    bool failed = arena_allocations_left < 0;

    arena_allocations_left = -1;
    assert_true(!failed || rc == -ENOMEM || rc == -E2BIG);
    assert_true(!failed || err.text[0]);
    chat_rendering_free(&out);
    return failed;
}

/* Catches an allocation whose failure is not looked at, and what an error path forgets to free
 * (under AddressSanitizer). */
static void test_template_memory(void **state)
{
    static const char *const names[] = {"whitespace", "loops",  "scopes",    "macros",
                                        "text",       "values", "sequences", "refusals"};
    const char *folder = getenv("srcdir");
    json_t *variables = json_loads(conversation, 0, NULL);

    (void)state;
    assert_non_null(variables);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        static char source[CHAT_TEMPLATE_SOURCE_MAX];
        char path[512];
        long nth = 0;

        snprintf(path, sizeof path, "%s/tests/reference/templates/%s.jinja", folder ? folder : ".",
                 names[i]);
        FILE *file = fopen(path, "rb");

        assert_non_null(file);
        size_t size = fread(source, 1, sizeof source, file);

        fclose(file);
        /* All of the first, then ever fewer: late ones are like those before them. */
        while (template_survives(source, size, variables, nth))
            nth += 1 + nth / 64;
        assert_true(nth > 100);
    }
    json_decref(variables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_template_memory)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
