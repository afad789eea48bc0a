/*
 * One HTTP request and its response, from the headers to the last byte.
 *
 * While an answer is computed the connection is suspended; libmicrohttpd then neither notices that
 * the client went away nor runs a timeout, so the exchange watches the socket itself and resumes
 * the connection whenever there is something to send or to end. Owner: server thread.
 */
#ifndef TANDEM_SERVER_EXCHANGE_H
#define TANDEM_SERVER_EXCHANGE_H

#include "base/buf.h"
#include "server/api_error.h"
#include "server/service.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

struct answer;
struct route;
struct text_work;

#define EXCHANGE_ID_MAX 33
#define EXCHANGE_CLIENT_ID_MAX 129 /* longest X-Request-Id that is echoed */

struct exchange {
    struct service *service;
    struct MHD_Connection *connection;
    struct exchange *next, *previous; /* in service->exchanges */
    const struct route *route;
    const char *method;   /* static */
    const char *argument; /* rest of the path after a route's prefix, libmicrohttpd's */
    char id[EXCHANGE_ID_MAX];
    char client_id[EXCHANGE_CLIENT_ID_MAX]; /* X-Request-Id as the client gave it, or "" */
    uint64_t arrived_ns;

    struct buf body;  /* counted in service->body_bytes, here or in `work` */
    size_t discarded; /* bytes of body that were dropped: the request is refused anyway */
    bool refused;     /* `error` is the answer */
    struct api_error error;

    struct text_work *work; /* on the text thread, or back from it; NULL: none */
    struct answer *answer;  /* NULL: answered at once */
    bool suspended;         /* the connection sleeps until exchange_wake */
    bool watched;           /* the socket is in service->epoll_fd */
    bool gone;              /* the client is */
    int status;             /* sent; 0: none yet */
};

/* What a route answers at once. */
struct reply {
    int status;
    const char *content_type; /* NULL: no body */
    struct buf body;
};

/* libmicrohttpd's access handler and completion callback; cls is the service. */
enum MHD_Result exchange_access(void *cls, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **state);
void exchange_completed(void *cls, struct MHD_Connection *connection, void **state,
                        enum MHD_RequestTerminationCode why);

/* There is something to send or to end. */
void exchange_wake(struct exchange *exchange);

/* The watched socket reported that the client is gone. */
void exchange_hang_up(struct exchange *exchange);

/* The text thread gave the work back, which may be nobody's any more. */
void exchange_text_done(struct text_work *work);

/* Gives the text work up and answers with an error. */
void exchange_refuse(struct exchange *exchange, const struct api_error *error);

/* Ends the connection under a client that does not read. */
void exchange_cut(struct exchange *exchange);

/* Deadlines of the answer, and of a body that trickles in; now and then. */
void exchange_tick(struct exchange *exchange, uint64_t now_ns);

/* Wakes every sleeping connection, so that the daemon may stop. */
void exchange_resume_all(struct service *service);

#endif
