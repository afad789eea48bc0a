/* Which path does what. Server thread. */
#ifndef TANDEM_SERVER_ROUTE_H
#define TANDEM_SERVER_ROUTE_H

#include "server/api_error.h"
#include "server/exchange.h"

#include <stdbool.h>

struct route {
    const char *path;
    bool prefix; /* the rest of the path is an argument */
    bool post;   /* takes POST with a JSON body; others take GET and HEAD */
    bool open;   /* needs no API key */
    /* Fills the reply, or sets exchange->answer; negative with `error` set when it cannot. */
    int (*serve)(struct exchange *exchange, struct reply *reply, struct api_error *error);
};

/* The same method as static text; "OTHER" for unknown ones. */
const char *route_method(const char *method);

/* method: from route_method. 404 or 405 (then *ret_route is set) when there is none. */
int route_find(const char *url, const char *method, const struct route **ret_route,
               const char **ret_argument, struct api_error *error);

/* Value of the Allow header; route NULL: of the server. */
const char *route_allow(const struct route *route);

int route_serve(struct exchange *exchange, struct reply *reply, struct api_error *error);

#endif
