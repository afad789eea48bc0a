/*
 * What a client is told when its request cannot be served: OpenAI's error object and the HTTP
 * status it travels with.
 *
 * Functions that check a request take a `struct api_error *`, return 0 or a negative errno and fill
 * it on failure. Plain memory owned by the caller.
 */
#ifndef TANDEM_SERVER_API_ERROR_H
#define TANDEM_SERVER_API_ERROR_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

#define API_ERROR_PARAM_MAX 96

struct api_error {
    int status;                      /* HTTP */
    const char *code;                /* static text, or NULL */
    char param[API_ERROR_PARAM_MAX]; /* path of the field, such as messages[0].content; "": null */
    char message[ERR_TEXT_MAX];      /* valid UTF-8 is not required: the writer repairs it */
    int retry_after_s;               /* 0: no Retry-After header */
    bool close;                      /* the connection is to be closed after the answer */
};

/* Fills the error and returns -EINVAL (-EAGAIN for 503), so that callers can return it. code and
 * param may be NULL; code must be static. */
int api_error_set(struct api_error *error, int status, const char *code, const char *param,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Appends {"error":{...}} without a line end. */
void api_error_write(const struct api_error *error, struct buf *out);

/* 503 for want of room; the client may come back in a second. */
int api_error_overloaded(struct api_error *error, const char *message);

#endif
