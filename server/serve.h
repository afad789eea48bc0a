/* `tandem serve`: model, workers and HTTP server put together. */
#ifndef TANDEM_SERVER_SERVE_H
#define TANDEM_SERVER_SERVE_H

#include "base/err.h"
#include "server/config.h"

/* Runs until it is told to stop. notify_socket: where systemd waits for READY=1, or NULL. Returns 0
 * after a clean end; a negative errno with err when the server could not start, or when a worker
 * would not end: then only the end of the process is left. SIGTERM and SIGINT must be blocked in
 * every thread already. */
int serve_run(const struct config *config, const char *notify_socket, struct err *err);

#endif
