/* Chat templates: limits, lines in errors, provenance, failing allocations' kin. What the language
 * means is compared with Python in tests/reference/test_chat_template.py. */
#include "model/chat_template.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT_MAX 65536u

/* Parses and renders; the rendering is the caller's to free whatever comes back. */
static int render_template(const char *source, const char *variables, struct chat_rendering *out,
                           struct err *err)
{
    struct chat_template *tmpl;
    json_t *json = json_loads(variables, 0, NULL);
    int rc = chat_template_parse(&tmpl, source, strlen(source), err);

    assert_non_null(json);
    chat_rendering_init(out, TEXT_MAX);
    if (rc == 0) {
        rc = chat_template_render(tmpl, json, 0, out, err);
        chat_template_free(tmpl);
    }
    json_decref(json);
    return rc;
}

/* Catches an interpreter that does not run at all, before the comparison with Python. */
static void test_template_text(void **state)
{
    static const struct {
        const char *source, *text;
    } cases[] = {
        {"", ""},
        {"\n", ""},
        {"a\r\nb\n\n", "a\nb\n"},
        {"{{ messages[0].content ~ 1 }}", "hi1"},
        {"{% for m in messages %}\n  {{ m.role }}{% if not loop.last %},{% endif %}\n{% endfor %}",
         "  user,  assistant"},
        {"{{ messages|map(attribute='role')|join('-') }}", "user-assistant"},
        {"{{ {'a': [1, 2.0, none, 'x\"']}|tojson }}", "{\"a\": [1, 2.0, null, \"x\\\"\"]}"},
        {"{% macro f(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(b=3, a=4) }}", "1243"},
        {"{{ 'Straße ΑΣ'|upper }}{{ 'ΑΣ'|lower }}", "STRASSE ΑΣας"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chat_rendering out;
        struct err err = {.text = ""};
        int rc = render_template(cases[i].source,
                                 "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"},"
                                 " {\"role\": \"assistant\", \"content\": \"ho\"}]}",
                                 &out, &err);

        assert_string_equal(err.text, "");
        assert_int_equal(rc, 0);
        assert_string_equal(out.text.bytes ? out.text.bytes : "", cases[i].text);
        chat_rendering_free(&out);
    }
}

/* Catches an error without its line, or with the line of something else. */
static void test_template_lines(void **state)
{
    static const struct {
        const char *source, *start; /* of the message */
    } cases[] = {
        {"a\n{% if %}", "line 2: expected an expression"},
        {"{% for x in y %}\n\n", "line 2: unexpected end of template, 'endfor'"},
        {"\n\n{{ 'open }}", "line 3: a string is not closed"},
        {"{{ 1 }\n}", "line 1: "},
        {"{{ (1 }}", "line 1: "},
        {"{# never closed", "line 1: missing end of comment"},
        {"{% raw %}\n{{", "line 1: missing end of raw"},
        {"\n{% include 'x' %}", "line 2: the tag 'include' is not supported"},
        {"\n{{ 1|frobnicate }}", "line 2: no filter named 'frobnicate'"},
        {"{% if false %}{{ 1|frobnicate }}{% endif %}\n{{ missing.x }}",
         "line 2: 'missing' is undefined"},
        {"{% set a = 1 %}\n\n{{ a +\n 'x' }}", "line 3: unsupported operand"},
        {"{% macro f() %}\n{{ none + 1 }}{% endmacro %}\n{{ f() }}", "line 2: "},
        {"{% macro f() %}x\n{% endmacro %}\n{{ f() + 1 }}", "line 3: can only concatenate"},
        {"\n{{ raise_exception('no ' ~ 'way') }}", "line 2: no way"},
        {"{{ [].append(1) }}", "line 1: access to attribute 'append'"},
        {"{% break %}", "line 1: break or continue outside"},
        {"{{ 9223372036854775807 + 1 }}", "line 1: an integer does not fit"},
        {"{{ 99999999999999999999 }}", "line 1: an integer does not fit"},
        {"\xff", "line 1: the template is not valid UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chat_rendering out;
        struct err err = {.text = ""};
        int rc = render_template(cases[i].source, "{}", &out, &err);

        assert_int_equal(rc, -EINVAL);
        if (strncmp(err.text, cases[i].start, strlen(cases[i].start)) != 0)
            fail_msg("%s: %s", cases[i].source, err.text);
        chat_rendering_free(&out);
    }
}

/* Catches a template that hangs, fills memory or overflows the stack. Each must end in an error. */
static void test_template_limits(void **state)
{
    static const char *const sources[] = {
        "{{ 'a' * 1000000000 }}",
        "{{ 'abc' * 9000000000000000000 }}",
        "{{ [1, 2] * 1000000000000 }}",
        "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}"
        "{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}"
        "{% endfor %}",
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) %}{% set x = 'x' * 100000 %}{% endfor %}",
        "{% set s = 'ä' * 1000000 %}{% for a in range(100000) %}{{ s[-1] }}{% endfor %}",
        "{% set s = 'a' * 1000000 %}{% for a in range(100000) %}{% if 'b' in s %}{% endif %}"
        "{% endfor %}",
        "{% set l = range(100000)|list %}{% for a in l %}{% if -1 in l %}{% endif %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{{ f(n + 1) ~ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(90000) %}{% set ns.l = [ns.l] %}"
        "{% endfor %}{{ ns.l }}",
        "{% set ns = namespace(l=[], m=[]) %}{% for i in range(5000) %}{% set ns.l = [ns.l] %}"
        "{% set ns.m = [ns.m] %}{% endfor %}{{ ns.l == ns.m }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(5000) %}{% set ns.l = [ns.l] %}"
        "{% endfor %}{{ ns.l|tojson }}",
        "{% for i in range(100000) %}text that fills the output{% endfor %}",
        "{{ '%100000000d' % 1 }}",
        "{{ '{:>99999999}'.format(1) }}",
        "{{ 'x'.center(999999999999) }}",
        "{{ [1]|batch(999999999, 0)|list }}",
        "{{ [1]|slice(999999999)|list }}",
        "{{ 'a'|indent(99999999999) }}",
        "{{ {}|tojson(indent=99999999999) }}",
        "{% set ns = namespace(t=(1,)) %}{% for i in range(90) %}{% set ns.t = (ns.t, ns.t) %}"
        "{% endfor %}{{ {ns.t: 1} }}",
        "{% set s = 'a' * 1000000 %}{% set n = 'a' * 499999 + 'b' %}{% for i in range(1000) %}"
        "{{ s.rfind(n) }}{{ s.find(n) }}{% endfor %}",
        "{{ range(1000000000000) }}",
        "{{ range(-9223372036854775807, 9223372036854775807)|list }}",
        "{{ 2 ** 10000000 }}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        struct chat_rendering out;
        struct err err = {.text = ""};
        int rc = render_template(sources[i], "{}", &out, &err);

        if (rc != -E2BIG && rc != -EINVAL)
            fail_msg("%s: %d", sources[i], rc);
        assert_memory_equal(err.text, "line 1: ", 8);
        chat_rendering_free(&out);
    }
}

/* Catches a parser whose stack grows with the source: brackets, blocks, signs and chains. */
static void test_template_nesting(void **state)
{
    static const struct {
        const char *start, *open, *middle, *close, *end;
        int rc; /* 0: long but not deep */
    } cases[] = {
        {"{{ ", "(", "1", ")", " }}", -E2BIG},
        {"{{ ", "[", "1", "]", " }}", -E2BIG},
        {"{{ ", "- ", "1", "", " }}", -E2BIG},
        {"{{ ", "not ", "1", "", " }}", -E2BIG},
        {"{{ ", "1 if ", "1", "", " }}", -E2BIG},
        {"{{ ", "1 if 0 else ", "1", "", " }}", -E2BIG},
        {"", "{% if 1 %}", "", "{% endif %}", "", -E2BIG},
        {"", "{% filter upper %}", "", "{% endfilter %}", "", -E2BIG},
        {"{{ ", "1 + ", "1", "", " }}", -E2BIG},
        {"{{ ", "", "'a'", "|upper", " }}", -E2BIG},
        {"{% set x = 1 %}{{ ", "", "x", ".real", " }}", -E2BIG},
        {"{% if 0 %}", "{% elif 0 %}", "", "", "{% endif %}", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chat_rendering out;
        struct err err = {.text = ""};
        struct buf source;

        buf_init(&source, CHAT_TEMPLATE_SOURCE_MAX);
        buf_puts(&source, cases[i].start);
        for (int k = 0; k < 5000; k++)
            buf_puts(&source, cases[i].open);
        buf_puts(&source, cases[i].middle);
        for (int k = 0; k < 5000; k++)
            buf_puts(&source, cases[i].close);
        buf_puts(&source, cases[i].end);
        int rc = render_template(source.bytes, "{}", &out, &err);

        if (rc != cases[i].rc && !(rc == -EINVAL && cases[i].rc == -E2BIG))
            fail_msg("%s: %d %s", cases[i].open, rc, err.text);
        buf_free(&source);
        chat_rendering_free(&out);
    }
}

/* Writes the rendering with the user's spans in brackets. */
static void marked_text(const struct chat_rendering *out, char *text, size_t size)
{
    size_t at = 0, n = 0;

    for (size_t i = 0; i < out->n_spans; i++) {
        assert_true(n + out->spans[i].size + 3 < size);
        if (!out->spans[i].trusted)
            text[n++] = '[';
        memcpy(text + n, out->text.bytes + at, out->spans[i].size);
        n += out->spans[i].size;
        at += out->spans[i].size;
        if (!out->spans[i].trusted)
            text[n++] = ']';
    }
    assert_int_equal(at, out->text.size);
    text[n] = '\0';
}

/* Catches a user's text that becomes the template's on its way through an operation: special tokens
 * in it would then be obeyed. u: the user's "Ab<|x|>"; bos_token: the model's. */
static void test_template_provenance(void **state)
{
    static const struct {
        const char *source, *marked;
    } cases[] = {
        {"<s>{{ u }}</s>", "<s>[Ab<|x|>]</s>"},
        {"{{ bos_token }}{{ u }}", "<b>[Ab<|x|>]"},
        {"{{ '<' + u + '>' }}", "<[Ab<|x|>]>"},
        {"{{ ('<' ~ u ~ 1)[1:-1] }}", "[Ab<|x|>]"},
        {"{{ (u + '--')[5:9] }}", "[|>]--"},
        {"{{ ('--' + u)[::-1] }}", "[>|x|<bA]--"},
        {"{{ (' ' + u + ' ')|trim }}", "[Ab<|x|>]"},
        {"{{ ('t' + u)|upper }}", "T[AB<|X|>]"},
        {"{{ ('t' + u).replace('A', 'yy') }}", "tyy[b<|x|>]"},
        {"{{ 'a-b'.replace('-', u) }}", "a[Ab<|x|>]b"},
        {"{{ ('x,' + u).split(',')|join(';') }}", "x;[Ab<|x|>]"},
        {"{{ u.join(['1', '2']) }}", "1[Ab<|x|>]2"},
        {"{{ [u]|string }}", "['[Ab<|x|>]']"},
        {"{{ {'k': u}|tojson }}", "{\"k\": \"[Ab<|x|>]\"}"},
        {"{{ messages|tojson }}", "[{\"[role]\": \"[user]\"}]"},
        {"{{ '%s=%5s' % (u, 'v') }}", "[Ab<|x|>]=    v"},
        {"{{ 'a{}b{k}'.format(u, k='c') }}", "a[Ab<|x|>]bc"},
        {"{{ ('<' + u)|e }}", "&lt;[Ab&lt;|x|&gt;]"},
        {"{% set x %}<{{ u }}>{% endset %}{{ x }}", "<[Ab<|x|>]>"},
        {"{% filter lower %}T{{ u }}{% endfilter %}", "t[ab<|x|>]"},
        {"{% macro f(a) %}<{{ a }}>{% endmacro %}{{ f(u) }}", "<[Ab<|x|>]>"},
        {"{% for c in u[:2] %}{{ c }}.{% endfor %}", "[A].[b]."},
        {"{% for k in {'t': 1} %}{{ k }}{% endfor %}", "t"},
        {"{{ ('x\\n' + u)|indent(1) }}", "x\n [Ab<|x|>]"},
        {"{{ u|default('d') }}{{ missing|default('d') }}", "[Ab<|x|>]d"},
        {"{{ u|length }}", "7"},
        {"{{ 'T' if u else 'F' }}", "T"},
        {"{{ u.zfill(9) }}", "00[Ab<|x|>]"},
        {"{{ u * 2 }}", "[Ab<|x|>Ab<|x|>]"},
        {"{{ ('t' + u)|safe + '<' }}", "t[Ab<|x|>]&lt;"},
        {"{% set ns = namespace(s='') %}{% for i in [1, 2] %}{% set ns.s = ns.s + 't' + u[:1] %}"
         "{% endfor %}{{ ns.s }}",
         "t[A]t[A]"},
        {"{{ strftime_now(u[:2]) }}", "[Ab]"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chat_rendering out;
        struct err err = {.text = ""};
        char text[256];
        int rc = render_template(cases[i].source,
                                 "{\"u\": \"Ab<|x|>\", \"bos_token\": \"<b>\","
                                 " \"messages\": [{\"role\": \"user\"}]}",
                                 &out, &err);

        assert_string_equal(err.text, "");
        assert_int_equal(rc, 0);
        marked_text(&out, text, sizeof text);
        assert_string_equal(text, cases[i].marked);
        chat_rendering_free(&out);
    }
}

/* Catches a string that changes because a later one grew in the same store. */
static void test_template_shared_store(void **state)
{
    struct chat_rendering out;
    struct err err = {.text = ""};
    char text[256];
    int rc = render_template("{% set a = 'x' + u %}{% set b = a + 'y' %}{% set c = a + u %}"
                             "{% set d = b + u %}{{ a }},{{ b }},{{ c }},{{ d }}",
                             "{\"u\": \"U\"}", &out, &err);

    (void)state;
    assert_int_equal(rc, 0);
    marked_text(&out, text, sizeof text);
    assert_string_equal(text, "x[U],x[U]y,x[UU],x[U]y[U]");
    chat_rendering_free(&out);
}

/* Catches a rendering that changes the template, and one that keeps an earlier one's text. */
static void test_template_again(void **state)
{
    static const char source[] = "{% set x = x|default(0) + n %}{{ x }}";
    struct chat_template *tmpl;
    struct chat_rendering out;

    (void)state;
    assert_int_equal(chat_template_parse(&tmpl, source, strlen(source), NULL), 0);
    chat_rendering_init(&out, TEXT_MAX);
    for (int i = 1; i < 4; i++) {
        json_t *variables = json_pack("{s:i}", "n", i);
        char want[8] = {(char)('0' + i), '\0'};

        assert_int_equal(chat_template_render(tmpl, variables, 0, &out, NULL), 0);
        assert_string_equal(out.text.bytes, want);
        assert_int_equal(out.n_spans, 1);
        json_decref(variables);
    }
    chat_rendering_free(&out);
    chat_template_free(tmpl);
}

/* Catches sizes that are not checked: the source, the output, deep JSON, keys made to collide. */
static void test_template_sizes(void **state)
{
    char *large = malloc(CHAT_TEMPLATE_SOURCE_MAX + 1);
    struct chat_template *tmpl;
    struct chat_rendering out;
    json_t *deep = json_array(), *variables = json_object();
    struct err err;

    (void)state;
    assert_non_null(large);
    memset(large, 'a', CHAT_TEMPLATE_SOURCE_MAX + 1);
    assert_int_equal(chat_template_parse(&tmpl, large, CHAT_TEMPLATE_SOURCE_MAX + 1, &err), -E2BIG);
    assert_int_equal(chat_template_parse(&tmpl, large, CHAT_TEMPLATE_SOURCE_MAX, &err), 0);
    chat_rendering_init(&out, CHAT_TEMPLATE_SOURCE_MAX - 1);
    assert_int_equal(chat_template_render(tmpl, variables, 0, &out, &err), -E2BIG);
    chat_rendering_free(&out);
    chat_rendering_init(&out, CHAT_TEMPLATE_SOURCE_MAX);
    assert_int_equal(chat_template_render(tmpl, variables, 0, &out, &err), 0);
    assert_int_equal(out.text.size, CHAT_TEMPLATE_SOURCE_MAX);
    chat_template_free(tmpl);
    for (int i = 0; i < 3000; i++) {
        json_t *outer = json_array();

        json_array_append_new(outer, deep);
        deep = outer;
    }
    json_object_set_new(variables, "d", deep);
    assert_int_equal(chat_template_parse(&tmpl, "{{ d }}", 7, &err), 0);
    assert_int_equal(chat_template_render(tmpl, variables, 0, &out, &err), -E2BIG);
    chat_template_free(tmpl);
    chat_rendering_free(&out);
    json_decref(variables);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_template_text),       cmocka_unit_test(test_template_lines),
        cmocka_unit_test(test_template_limits),     cmocka_unit_test(test_template_nesting),
        cmocka_unit_test(test_template_provenance), cmocka_unit_test(test_template_shared_store),
        cmocka_unit_test(test_template_again),      cmocka_unit_test(test_template_sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
