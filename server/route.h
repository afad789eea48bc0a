/* Which path does what. Server thread, but for `work`. */
#ifndef TANDEM_SERVER_ROUTE_H
#define TANDEM_SERVER_ROUTE_H

#include "server/api_error.h"
#include "server/exchange.h"
#include "server/text_work.h"

#include <stdbool.h>

struct route {
    const char *path;
    bool prefix;    /* the rest of the path is an argument */
    bool open;      /* needs no API key */
    bool generates; /* takes a place among the live requests */
    /* GET and HEAD: fills the reply; negative with `error` set when it cannot. */
    int (*serve)(struct exchange *exchange, struct reply *reply, struct api_error *error);
    /* POST with a JSON body: fills the work's reply or answer; negative with its error set when it
     * cannot. Server thread or text thread. Each route has one of the two. */
    int (*work)(struct text_work *work);
};

/* The same method as static text; "OTHER" for unknown ones. */
const char *route_method(const char *method);

/* method: from route_method. 404 or 405 (then *ret_route is set) when there is none. */
int route_find(const char *url, const char *method, const struct route **ret_route,
               const char **ret_argument, struct api_error *error);

/* Value of the Allow header; route NULL: of the server. */
const char *route_allow(const struct route *route);

/* Everything but a POST. */
int route_serve(struct exchange *exchange, struct reply *reply, struct api_error *error);

#endif
