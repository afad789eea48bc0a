/*
 * The server thread: one epoll loop over libmicrohttpd's descriptor, the workers' messages, signals
 * and the sockets of waiting clients. Nothing else touches server state, so there are no locks.
 * Asleep without a time limit when nothing is asked of it.
 */
#ifndef TANDEM_SERVER_HTTP_H
#define TANDEM_SERVER_HTTP_H

#include "base/err.h"
#include "base/mailbox.h"
#include "server/service.h"

struct http;

/* Listens (clients queue in the kernel until http_run). The port really bound goes to *ret_port.
 * inbox: of struct message, owned by the caller, taken by this thread alone. signals: a signalfd of
 * SIGTERM and SIGINT. The service must have been opened with http_epoll_create's descriptor, which
 * is the http's from here on. */
int http_epoll_create(int *ret_fd, struct err *err);
int http_open(struct http **ret_http, struct service *service, struct mailbox *inbox, int signals,
              int *ret_port, struct err *err);

/* Serves until a signal asked to stop and every request was answered, or the time for that was up,
 * or a second signal came: then the rest is cancelled, and workers may still hold some of it.
 * Returns true when all were answered. */
bool http_run(struct http *http);

/* Closes every connection, which cancels what is left of its request, and frees. */
void http_close(struct http *http);

#endif
