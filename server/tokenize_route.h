/* /tokenize and /detokenize, in vLLM's shapes; llama-server's field names work as well. */
#ifndef TANDEM_SERVER_TOKENIZE_ROUTE_H
#define TANDEM_SERVER_TOKENIZE_ROUTE_H

#include "server/api_error.h"
#include "server/exchange.h"

/* As struct route's serve. */
int serve_tokenize(struct exchange *exchange, struct reply *reply, struct api_error *error);
int serve_detokenize(struct exchange *exchange, struct reply *reply, struct api_error *error);

#endif
