/* The messages of /v1/chat/completions, and what the template is given. */
#ifndef TANDEM_SERVER_CHAT_REQUEST_H
#define TANDEM_SERVER_CHAT_REQUEST_H

#include "server/api_request.h"

/* Checks `messages` and the template's arguments in request->body and points the request to them.
 */
int chat_request_parse(struct api_request *request, struct api_error *error);

/* The template's variables: messages with their text parts joined (by a line end, as vLLM does) and
 * `developer` as `system`, the request's chat_template_kwargs, and the two tokens as text. Returns
 * a new reference, NULL when out of memory. */
json_t *chat_request_variables(const struct api_request *request, struct gguf_string bos,
                               struct gguf_string eos);

#endif
