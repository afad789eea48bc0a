/* /tokenize and /detokenize, in vLLM's shapes; llama-server's field names work as well. */
#ifndef TANDEM_SERVER_TOKENIZE_ROUTE_H
#define TANDEM_SERVER_TOKENIZE_ROUTE_H

#include "server/text_work.h"

#define TOKENIZE_BODY_MAX (1 << 20) /* of either; server.max_body_bytes may be less */

/* As struct route's work. */
int tokenize_work(struct text_work *work);
int detokenize_work(struct text_work *work);

#endif
