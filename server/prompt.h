/* From a request to prompt tokens: rendering, tokenising, and the checks against the window. */
#ifndef TANDEM_SERVER_PROMPT_H
#define TANDEM_SERVER_PROMPT_H

#include "server/api_request.h"
#include "server/service.h"

/* Each appends to `list`, which the caller frees in any case. 400 with code
 * context_length_exceeded when the prompt leaves no room in a window of that many tokens (the
 * model's, or INT_MAX to count tokens only). */
int prompt_from_chat(const struct service *service, const struct api_request *request, int window,
                     struct token_list *list, struct api_error *error);
int prompt_from_text(const struct service *service, const char *text, size_t size, bool add_special,
                     int window, struct token_list *list, struct api_error *error);
/* Against the model's window. */
int prompt_from_ids(const struct service *service, const json_t *ids, struct token_list *list,
                    struct api_error *error);

/* How many tokens may be generated after `n_prompt` ones: what the request asks for, or what is
 * left of the window when it asks for nothing. 400 when that is too much or nothing is left. */
int prompt_budget(const struct service *service, const struct api_request *request, size_t n_prompt,
                  int *ret_max_tokens, struct api_error *error);

#endif
