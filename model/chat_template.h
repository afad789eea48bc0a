/*
 * The model's own chat template (Jinja), parsed once and interpreted per request.
 *
 * Output is byte-equal to Python jinja2 under transformers' settings (immutable sandbox,
 * trim_blocks, lstrip_blocks, loopcontrols, tojson without escaping). Text that came from the
 * request is marked, so that special tokens written by a user stay plain text.
 *
 * Not supported, each with an error that says so: include, import, extends, block, autoescape, the
 * filters pprint, random, striptags, urlize, wordwrap and xmlattr, lipsum(), complex numbers, and
 * integers past 64 bits. map, select and their like are evaluated at once instead of lazily. What
 * Python prints with an address (functions, loop objects) prints without. Slicing a constant that
 * has no slices raises; jinja2 gives an undefined value when it folds the constant.
 *
 * Limits: CHAT_TEMPLATE_* below; passing one is an error, never a hang. A parsed template is
 * immutable: any thread may render at once, each with its own output.
 */
#ifndef TANDEM_MODEL_CHAT_TEMPLATE_H
#define TANDEM_MODEL_CHAT_TEMPLATE_H

#include "base/buf.h"
#include "base/err.h"
#include "model/tokenizer.h"

#include <jansson.h>
#include <stddef.h>
#include <time.h>

#define CHAT_TEMPLATE_SOURCE_MAX (256u << 10) /* bytes of template */
#define CHAT_TEMPLATE_STEPS_MAX 5000000u      /* evaluated nodes per rendering */
#define CHAT_TEMPLATE_NESTING_MAX 200         /* nested expressions and blocks in the source */
#define CHAT_TEMPLATE_DEPTH_MAX 1000          /* nested evaluations, macro calls and values */
#define CHAT_TEMPLATE_MEMORY_MAX (256u << 20) /* bytes of values per rendering */

struct chat_template;

/* -EINVAL with "line N: ..." for a template that does not parse; -E2BIG for one too large. */
int chat_template_parse(struct chat_template **ret_template, const char *source, size_t size,
                        struct err *err);
void chat_template_free(struct chat_template *tmpl);

struct chat_rendering {
    struct buf text;
    struct text_span *spans; /* cover text without gaps; malloc'd */
    size_t n_spans;
};
/* text_limit: bytes of output at most. */
void chat_rendering_init(struct chat_rendering *rendering, size_t text_limit);
void chat_rendering_free(struct chat_rendering *rendering);

/* variables: a JSON object; each member is a global of the template (messages, tools,
 * add_generation_prompt, bos_token, eos_token, chat_template_kwargs' members ...). Every string and
 * key in it counts as the user's but bos_token and eos_token, which the caller must set from the
 * model and never from a request. now: what strftime_now shows (local time). The text and spans
 * replace what rendering held; after an error they are unspecified. Returns 0; -EINVAL with "line
 * N: ..." when the template raises or uses something in a way jinja2 refuses; -E2BIG when a limit
 * is passed; -ENOMEM. */
int chat_template_render(const struct chat_template *tmpl, const json_t *variables, time_t now,
                         struct chat_rendering *rendering, struct err *err);

#endif
