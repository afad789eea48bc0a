/* How much memory the keys and values get, and which worker how many pages of it. */
#ifndef TANDEM_SERVER_KV_BUDGET_H
#define TANDEM_SERVER_KV_BUDGET_H

#include "base/err.h"
#include "server/config.h"

#include <stddef.h>

/* One element per worker of config->workers (each standing for `count` of them). page_tokens:
 * tokens per page. Fails when a worker could not hold one sequence of max_model_len tokens. */
int kv_budget_share(const struct config *config, size_t page_bytes, int page_tokens,
                    int max_model_len, int *ret_pages, struct err *err);

#endif
