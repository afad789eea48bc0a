/* The model's text side: tokenizer, chat template and the names it is served under. */
#ifndef TANDEM_SERVER_TEXT_SIDE_H
#define TANDEM_SERVER_TEXT_SIDE_H

#include "base/err.h"
#include "model/chat_template.h"
#include "model/model.h"
#include "model/tokenizer.h"
#include "server/config.h"

#include <stddef.h>

struct text_side {
    struct tokenizer *tokenizer;
    struct chat_template *chat_template; /* NULL: none */
    char default_name[256];
    char *default_names[1];
    char *const *names; /* the config's, or default_names; points into this struct */
    size_t n_names;
    int max_model_len;
};

/* model and config outlive it. A template of the model that does not parse is a warning, one the
 * operator asked for is an error. */
int text_side_open(struct text_side *text, const struct model *model, const struct config *config,
                   struct err *err);
void text_side_close(struct text_side *text);

#endif
