/*
 * Provenance is kept as runs only while both kinds are present; most strings are of one kind and
 * carry a flag. Builders double their store inside the arena, so building a string of n bytes takes
 * at most 4n of the rendering's memory.
 */
#include "model/jinja_string.h"
#include "model/jinja_unicode.h"

#include <stdint.h>
#include <string.h>

void jinja_builder_init(struct jinja_builder *builder, struct jinja *jinja)
{
    *builder = (struct jinja_builder){.jinja = jinja, .trusted = true, .limit = SIZE_MAX};
}

static bool string_reserve(struct jinja_builder *builder, size_t size)
{
    struct jinja *jinja = builder->jinja;

    if (jinja->rc < 0)
        return false;
    if (size > builder->limit - builder->size) {
        jinja_exceed(jinja, "bytes of output");
        return false;
    }
    if (size > SIZE_MAX / 4 - builder->size) {
        jinja_exceed(jinja, "bytes of memory");
        return false;
    }
    if (builder->size + size <= builder->capacity)
        return true;
    size_t capacity = builder->capacity * 2;

    if (capacity < builder->size + size)
        capacity = builder->size + size;
    char *bytes = jinja_alloc(jinja, capacity);

    if (!bytes)
        return false;
    if (builder->size > 0)
        memcpy(bytes, builder->bytes, builder->size);
    builder->bytes = bytes;
    builder->capacity = capacity;
    return true;
}

static void string_push_run(struct jinja_builder *builder, size_t end, bool trusted)
{
    if (builder->n_runs > 0 && builder->runs[builder->n_runs - 1].trusted == trusted) {
        builder->runs[builder->n_runs - 1].end = end;
        return;
    }
    if (builder->n_runs == builder->runs_capacity) {
        size_t capacity = builder->runs_capacity ? builder->runs_capacity * 2 : 4;
        struct jinja_run *runs = jinja_alloc_array(builder->jinja, capacity, sizeof *runs);

        if (!runs)
            return;
        if (builder->n_runs > 0)
            memcpy(runs, builder->runs, builder->n_runs * sizeof *runs);
        builder->runs = runs;
        builder->runs_capacity = capacity;
    }
    builder->runs[builder->n_runs++] = (struct jinja_run){end, trusted};
}

/* Notes that `size` bytes about to be appended are trusted or not. */
static void string_mark(struct jinja_builder *builder, size_t size, bool trusted)
{
    if (builder->size == 0)
        builder->trusted = trusted;
    if (builder->n_runs == 0 && builder->trusted == trusted)
        return;
    if (builder->n_runs == 0)
        string_push_run(builder, builder->size, builder->trusted);
    string_push_run(builder, builder->size + size, trusted);
}

void jinja_builder_add(struct jinja_builder *builder, const char *bytes, size_t size, bool trusted)
{
    if (size == 0 || !string_reserve(builder, size))
        return;
    string_mark(builder, size, trusted);
    memcpy(builder->bytes + builder->size, bytes, size);
    builder->size += size;
    builder->chars += jinja_utf8_count(bytes, size);
}

void jinja_builder_puts(struct jinja_builder *builder, const char *text)
{
    jinja_builder_add(builder, text, strlen(text), true);
}

void jinja_builder_add_part(struct jinja_builder *builder, const struct jinja_string *string,
                            size_t from, size_t to)
{
    if (string->n_runs == 0) {
        jinja_builder_add(builder, string->bytes + from, to - from, string->trusted);
        return;
    }
    size_t start = 0;

    for (size_t i = 0; i < string->n_runs && start < to; i++) {
        size_t end = string->runs[i].end;
        size_t low = start > from ? start : from, high = end < to ? end : to;

        if (low < high)
            jinja_builder_add(builder, string->bytes + low, high - low, string->runs[i].trusted);
        start = end;
    }
}

void jinja_builder_add_string(struct jinja_builder *builder, const struct jinja_string *string)
{
    if (string)
        jinja_builder_add_part(builder, string, 0, string->size);
}

void jinja_builder_repeat(struct jinja_builder *builder, const struct jinja_string *string,
                          size_t times)
{
    if (string->size == 0 || builder->jinja->rc < 0)
        return;
    if (times > SIZE_MAX / 8 / string->size) {
        jinja_exceed(builder->jinja, "bytes of memory");
        return;
    }
    if (!string_reserve(builder, string->size * times))
        return;
    if (string->n_runs > 0) {
        for (size_t i = 0; i < times && jinja_charge(builder->jinja, string->n_runs / 16); i++)
            jinja_builder_add_string(builder, string);
        return;
    }
    if (times == 0)
        return;
    size_t total = string->size * times, done = string->size;
    char *to = builder->bytes + builder->size;

    string_mark(builder, total, string->trusted);
    memcpy(to, string->bytes, done);
    while (done < total) { /* what is there, twice as much each time */
        size_t size = done < total - done ? done : total - done;

        memcpy(to + done, to, size);
        done += size;
    }
    builder->size += total;
    builder->chars += string->chars * times;
}

struct jinja_value jinja_builder_string(struct jinja_builder *builder)
{
    struct jinja_string *string = jinja_alloc(builder->jinja, sizeof *string);

    if (!string)
        return jinja_missing();
    *string = (struct jinja_string){
        .bytes = builder->size > 0 ? builder->bytes : "",
        .size = builder->size,
        .chars = builder->chars,
        .runs = builder->runs,
        .n_runs = builder->n_runs,
        .trusted = builder->trusted,
    };
    return jinja_of_string(string);
}

void jinja_string_init(struct jinja_string *string, const char *bytes, size_t size)
{
    *string = (struct jinja_string){
        .bytes = bytes, .size = size, .chars = jinja_utf8_count(bytes, size), .trusted = true};
}

struct jinja_value jinja_literal(struct jinja *jinja, const char *text)
{
    struct jinja_string *string = jinja_alloc(jinja, sizeof *string);

    if (!string)
        return jinja_missing();
    jinja_string_init(string, text, strlen(text));
    return jinja_of_string(string);
}

struct jinja_value jinja_text(struct jinja *jinja, const char *bytes, size_t size, bool trusted)
{
    struct jinja_builder builder;

    jinja_builder_init(&builder, jinja);
    builder.trusted = trusted;
    jinja_builder_add(&builder, bytes, size, trusted);
    return jinja_builder_string(&builder);
}

struct jinja_value jinja_substring(struct jinja *jinja, const struct jinja_string *string,
                                   size_t from, size_t to)
{
    if (from == 0 && to == string->size)
        return jinja_of_string(string);
    struct jinja_string *part = jinja_alloc(jinja, sizeof *part);

    if (!part)
        return jinja_missing();
    *part = (struct jinja_string){.bytes = string->bytes + from,
                                  .size = to - from,
                                  .chars = to - from,
                                  .trusted = string->trusted,
                                  .markup = string->markup};
    if (string->chars != string->size) {
        jinja_charge(jinja, part->size / 64);
        part->chars = jinja_utf8_count(part->bytes, part->size);
    }
    if (string->n_runs == 0 || from == to)
        return jinja_of_string(part);
    size_t first = 0;

    while (string->runs[first].end <= from)
        first++;
    size_t last = first;

    while (last + 1 < string->n_runs && string->runs[last].end < to)
        last++;
    part->trusted = string->runs[first].trusted;
    if (last == first)
        return jinja_of_string(part);
    struct jinja_run *runs = jinja_alloc_array(jinja, last - first + 1, sizeof *runs);

    if (!runs)
        return jinja_missing();
    for (size_t i = first; i <= last; i++)
        runs[i - first] = (struct jinja_run){string->runs[i].end - from, string->runs[i].trusted};
    part->runs = runs;
    part->n_runs = last - first + 1;
    return jinja_of_string(part);
}

struct jinja_value jinja_markup(struct jinja *jinja, const struct jinja_string *string, bool markup)
{
    if (string->markup == markup)
        return jinja_of_string(string);
    struct jinja_string *copy = jinja_alloc(jinja, sizeof *copy);

    if (!copy)
        return jinja_missing();
    *copy = *string;
    copy->markup = markup;
    copy->store = NULL;
    return jinja_of_string(copy);
}

struct jinja_value jinja_escape(struct jinja *jinja, const struct jinja_string *string)
{
    struct jinja_builder builder;
    size_t done = 0;

    if (string->markup)
        return jinja_of_string(string);
    jinja_builder_init(&builder, jinja);
    for (size_t i = 0; i < string->size; i++) {
        char c = string->bytes[i];
        const char *entity = c == '&'    ? "&amp;"
                             : c == '<'  ? "&lt;"
                             : c == '>'  ? "&gt;"
                             : c == '"'  ? "&#34;"
                             : c == '\'' ? "&#39;"
                                         : NULL;

        if (!entity)
            continue;
        jinja_builder_add_part(&builder, string, done, i);
        jinja_builder_add(&builder, entity, strlen(entity), jinja_trusted_at(string, i));
        done = i + 1;
    }
    jinja_builder_add_part(&builder, string, done, string->size);
    struct jinja_value escaped = jinja_builder_string(&builder);

    return jinja->rc < 0 ? escaped : jinja_markup(jinja, escaped.string, true);
}

struct jinja_value jinja_concat(struct jinja *jinja, const struct jinja_string *left,
                                const struct jinja_string *right)
{
    bool markup = left->markup || right->markup;

    if (markup && !(left->markup && right->markup)) {
        left = jinja_escape(jinja, left).string;
        right = jinja->rc < 0 ? right : jinja_escape(jinja, right).string;
    }
    if (jinja->rc < 0)
        return jinja_missing();
    struct jinja_builder *store = left->store;

    if (!store || store->size != left->size) {
        store = jinja_alloc(jinja, sizeof *store);
        if (!store)
            return jinja_missing();
        jinja_builder_init(store, jinja);
        if (!string_reserve(store, left->size + right->size))
            return jinja_missing();
        jinja_builder_add_string(store, left);
    }
    jinja_builder_add_string(store, right);
    struct jinja_string *sum = jinja_alloc(jinja, sizeof *sum);

    if (!sum || jinja->rc < 0)
        return jinja_missing();
    *sum = (struct jinja_string){.bytes = store->size ? store->bytes : "",
                                 .size = store->size,
                                 .chars = store->chars,
                                 .runs = store->runs,
                                 .n_runs = store->n_runs,
                                 .trusted = store->trusted,
                                 .markup = markup,
                                 .store = store};
    return jinja_of_string(sum);
}

bool jinja_trusted_at(const struct jinja_string *string, size_t at)
{
    size_t low = 0, high = string->n_runs;

    if (high == 0)
        return string->trusted;
    while (low + 1 < high) {
        size_t middle = (low + high) / 2;

        if (string->runs[middle - 1].end <= at)
            low = middle;
        else
            high = middle;
    }
    return string->runs[low].trusted;
}

bool jinja_string_trusted(const struct jinja_string *string)
{
    size_t start = 0;

    if (string->n_runs == 0)
        return string->trusted || string->size == 0;
    for (size_t i = 0; i < string->n_runs && start < string->size; i++) {
        if (!string->runs[i].trusted && string->runs[i].end > start)
            return false;
        start = string->runs[i].end;
    }
    return true;
}

size_t jinja_char_offset(const struct jinja_string *string, size_t index)
{
    if (string->chars == string->size)
        return index;
    const char *at = string->bytes;

    for (size_t i = 0; i < index; i++)
        jinja_utf8_next(&at);
    return (size_t)(at - string->bytes);
}

size_t jinja_string_find(struct jinja *jinja, const struct jinja_string *string,
                         const struct jinja_string *needle, size_t from)
{
    if (from > string->size || jinja->rc < 0)
        return SIZE_MAX;
    if (needle->size == 0)
        return from;
    const char *found =
        memmem(string->bytes + from, string->size - from, needle->bytes, needle->size);

    size_t at = found ? (size_t)(found - string->bytes) : SIZE_MAX;

    jinja_charge(jinja, ((found ? at : string->size) - from + needle->size) / 256);
    return at;
}

size_t jinja_string_rfind(struct jinja *jinja, const struct jinja_string *string,
                          const struct jinja_string *needle, size_t to)
{
    if (needle->size > to)
        return SIZE_MAX;
    for (size_t at = to - needle->size + 1; at-- > 0;) {
        if (at % 64 == 0 && !jinja_charge(jinja, 1))
            return SIZE_MAX;
        if (needle->size == 0)
            return at;
        if (string->bytes[at] != needle->bytes[0])
            continue;
        if (memcmp(string->bytes + at, needle->bytes, needle->size) == 0)
            return at;
        if (!jinja_charge(jinja, needle->size / 256))
            return SIZE_MAX;
    }
    return SIZE_MAX;
}

bool jinja_string_is(const struct jinja_string *string, const char *text)
{
    return string->size == strlen(text) && memcmp(string->bytes, text, string->size) == 0;
}

bool jinja_string_equal(const struct jinja_string *left, const struct jinja_string *right)
{
    return left->size == right->size &&
           (left->size == 0 || memcmp(left->bytes, right->bytes, left->size) == 0);
}
