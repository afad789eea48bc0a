/*
 * Where a request's body ends, as its headers say it.
 *
 * libmicrohttpd looks at the first header of a name and takes an unknown one for harmless. A proxy
 * in front of the server may read the same bytes in another way, and then the two disagree about
 * where the next request begins (RFC 9112, section 11.2: request smuggling). So everything that can
 * be read in two ways is refused, and the connection ends with the answer. Server thread.
 */
#ifndef TANDEM_SERVER_FRAMING_H
#define TANDEM_SERVER_FRAMING_H

#include "server/api_error.h"

#include <microhttpd.h>

/* Headers must be there in full. version: "HTTP/1.1". 0, or -EINVAL with a 400 that closes. */
int framing_check(struct MHD_Connection *connection, const char *version, struct api_error *error);

#endif
