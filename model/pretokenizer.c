#include "model/pretokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Unicode's White_Space, spelled out because PCRE2's \s also takes U+180E, which lost the property
 * in Unicode 6.3. */
#define SPACES \
    "\\t-\\r " \
    "\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define SPACE "[" SPACES "]"
#define NOT_SPACE "[^" SPACES "]"

/* Leaves the last space of a run to the word after it. */
#define SPACE_RUN SPACE "+(?!" NOT_SPACE ")|" SPACE "+"
#define LINE_ENDS SPACE "*[\\r\\n]+|" SPACE_RUN

#define SUFFIX "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACES "\\p{L}\\p{N}]+|" SPACE_RUN
#define WORD_AND_LEAD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define SYMBOLS " ?[^" SPACES "\\p{L}\\p{N}]+[\\r\\n]*"

/* A word of capitals, then small letters; letters without case and marks are both. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(suffix)                                                                             \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER \
    "*" suffix
#define SYMBOLS_AND_SLASH " ?[^" SPACES "\\p{L}\\p{N}]+[\\r\\n/]*"

struct pretokenizer_family {
    const char *names; /* separated by spaces */
    const char *patterns[PRETOKENIZER_PATTERNS_MAX];
    bool ignore_merges, add_bos;
};

static const struct pretokenizer_family pretokenizer_families[] = {
    {"default", {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}, false, false},
    {"falcon", {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"}, false, false},
    {"gpt-2 phi-2 mpt olmo jais trillion exaone4 mellum modern-bert", {GPT2}, false, false},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b",
     {"\\p{N}", GPT2},
     false,
     false},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral lfm2",
     {SUFFIX "|" WORD_AND_LEAD "|\\p{N}{1,3}|" SYMBOLS "|" LINE_ENDS},
     true,
     true},
    {"dbrx smaug-bpe chatglm-bpe",
     {SUFFIX "|" WORD_AND_LEAD "|\\p{N}{1,3}|" SYMBOLS "|" LINE_ENDS},
     false,
     false},
    {"glm4", {SUFFIX "|" WORD_AND_LEAD "|\\p{N}{1,3}|" SYMBOLS "|" LINE_ENDS}, true, false},
    {"qwen2 deepseek-r1-qwen stablelm2 megrez hunyuan grok-2",
     {SUFFIX "|" WORD_AND_LEAD "|\\p{N}|" SYMBOLS "|" LINE_ENDS},
     false,
     false},
    {"qwen35",
     {SUFFIX "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^" SPACES
             "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINE_ENDS},
     false,
     false},
    {"deepseek-coder",
     {"[\\r\\n]", SPACE "?\\p{L}+", SPACE "?\\p{P}+", "[\\x{800}-\\x{9fa5}\\x{ac00}-\\x{d7ff}]+",
      "\\p{N}"},
     false,
     false},
    {"deepseek-v3 hunyuan-dense",
     {"\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
      "[!-/:-@\\[-`{-~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
      "?[\\p{P}\\p{S}]+[\\r\\n]*|" LINE_ENDS},
     false,
     false},
    {"gpt-4o llama4",
     {CASED(SUFFIX "?") "|\\p{N}{1,3}|" SYMBOLS_AND_SLASH "|" LINE_ENDS},
     false,
     false},
    {"tekken", {CASED("") "|\\p{N}|" SYMBOLS_AND_SLASH "|" LINE_ENDS}, true, true},
};
#define N_FAMILIES (sizeof pretokenizer_families / sizeof *pretokenizer_families)

struct pretokenizer_code {
    pcre2_code *patterns[PRETOKENIZER_PATTERNS_MAX];
    int n_patterns;
};

/* One call's walk over a text. */
struct pretokenizer_walk {
    const struct pretokenizer_code *code;
    struct pretokenizer_match *match;
    pretokenizer_word *word;
    void *context;
};

struct pretokenizer_match {
    pcre2_match_data *data;
    pcre2_match_context *context;
};

static bool pretokenizer_has_name(const struct pretokenizer_family *family, struct gguf_string name)
{
    for (const char *word = family->names; *word;) {
        size_t size = strcspn(word, " ");

        if (size == name.size && !memcmp(word, name.bytes, size))
            return true;
        word += size + (word[size] == ' ');
    }
    return false;
}

static int pretokenizer_unknown(struct gguf_string name, struct err *err)
{
    char known[ERR_TEXT_MAX];
    size_t used = 0;

    for (size_t i = 0; i < N_FAMILIES && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? " " : "",
                                 pretokenizer_families[i].names);
    return err_set(err, EINVAL, "tokenizer.ggml.pre is \"%.*s\"; known are: %s",
                   name.size < 40 ? (int)name.size : 40, name.bytes, known);
}

static int pretokenizer_compile(struct pretokenizer_code *code,
                                const struct pretokenizer_family *family, struct err *err)
{
    for (int i = 0; i < PRETOKENIZER_PATTERNS_MAX && family->patterns[i]; i++) {
        int number;
        PCRE2_SIZE offset;
        pcre2_code *pattern =
            pcre2_compile((PCRE2_SPTR)family->patterns[i], PCRE2_ZERO_TERMINATED,
                          PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, &number, &offset, NULL);

        if (!pattern)
            return err_set(err, ENOMEM, "PCRE2 error %d compiling expression %d of \"%s\"", number,
                           i, family->names);
        /* Without JIT on this machine the interpreter does the same, slower. */
        (void)pcre2_jit_compile(pattern, PCRE2_JIT_COMPLETE);
        code->patterns[code->n_patterns++] = pattern;
    }
    return 0;
}

int pretokenizer_open(struct pretokenizer *ret, struct gguf_string name, struct err *err)
{
    const struct pretokenizer_family *family = NULL;

    for (size_t i = 0; i < N_FAMILIES && !family; i++) {
        if (pretokenizer_has_name(&pretokenizer_families[i], name))
            family = &pretokenizer_families[i];
    }
    if (!family)
        return pretokenizer_unknown(name, err);
    struct pretokenizer pretokenizer = {
        .codes = calloc(1, sizeof *pretokenizer.codes),
        .ignore_merges = family->ignore_merges,
        .add_bos = family->add_bos,
    };

    if (!pretokenizer.codes)
        return err_set(err, ENOMEM, "no memory for the pre-tokenizer");
    int error = pretokenizer_compile(pretokenizer.codes, family, err);

    if (error) {
        pretokenizer_close(&pretokenizer);
        return error;
    }
    *ret = pretokenizer;
    return 0;
}

void pretokenizer_close(struct pretokenizer *pretokenizer)
{
    if (pretokenizer->codes) {
        for (int i = 0; i < pretokenizer->codes->n_patterns; i++)
            pcre2_code_free(pretokenizer->codes->patterns[i]);
    }
    free(pretokenizer->codes);
    *pretokenizer = (struct pretokenizer){0};
}

struct pretokenizer_match *pretokenizer_match_create(void)
{
    struct pretokenizer_match *match = calloc(1, sizeof *match);

    if (!match)
        return NULL;
    match->data = pcre2_match_data_create(1, NULL);
    match->context = pcre2_match_context_create(NULL);
    if (!match->data || !match->context) {
        pretokenizer_match_free(match);
        return NULL;
    }
    /* The default of 10 million steps is less than a run of spaces may take to walk back over; no
     * expression here is worse than linear in the run, so time stays bounded by the text. */
    pcre2_set_match_limit(match->context, UINT32_MAX);
    return match;
}

void pretokenizer_match_free(struct pretokenizer_match *match)
{
    if (!match)
        return;
    pcre2_match_context_free(match->context);
    pcre2_match_data_free(match->data);
    free(match);
}

/* Like pcre2_match; a match too deep for JIT's stack is done again by the interpreter, whose stack
 * is on the heap. */
static int pretokenizer_run(const pcre2_code *pattern, struct pretokenizer_match *match,
                            const char *text, size_t size, size_t start)
{
    uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    int found =
        pcre2_match(pattern, (PCRE2_SPTR)text, size, start, options, match->data, match->context);

    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(pattern, (PCRE2_SPTR)text, size, start, options | PCRE2_NO_JIT,
                            match->data, match->context);
    return found;
}

static int pretokenizer_cut(const struct pretokenizer_walk *walk, int level, const char *text,
                            size_t size)
{
    if (level == walk->code->n_patterns)
        return walk->word(walk->context, text, size);
    for (size_t start = 0; start < size;) {
        int found = pretokenizer_run(walk->code->patterns[level], walk->match, text, size, start);

        if (found == PCRE2_ERROR_NOMATCH)
            return pretokenizer_cut(walk, level + 1, text + start, size - start);
        if (found < 0)
            return found == PCRE2_ERROR_NOMEMORY || found == PCRE2_ERROR_HEAPLIMIT ? -ENOMEM
                                                                                   : -EOVERFLOW;
        const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(walk->match->data);
        size_t begin = offsets[0], end = offsets[1];
        int error = 0;

        if (begin > start)
            error = pretokenizer_cut(walk, level + 1, text + start, begin - start);
        if (!error)
            error = pretokenizer_cut(walk, level + 1, text + begin, end - begin);
        if (error)
            return error;
        start = end;
    }
    return 0;
}

int pretokenizer_split(const struct pretokenizer *pretokenizer, struct pretokenizer_match *match,
                       const char *text, size_t size, pretokenizer_word *word, void *context)
{
    struct pretokenizer_walk walk = {pretokenizer->codes, match, word, context};

    return pretokenizer_cut(&walk, 0, text, size);
}
