/* The listening socket. */
#ifndef TANDEM_SERVER_LISTENER_H
#define TANDEM_SERVER_LISTENER_H

#include "base/err.h"

/* Binds and listens on the first address `host` resolves to. err names host and port. */
int listener_open(int *ret_fd, const char *host, int port, int *ret_port, struct err *err);

/* Is `host` an address or name to listen on? Opens nothing. */
int listener_check(const char *host, struct err *err);

#endif
