/*
 * An error message for the user, filled by the function that found the fault.
 *
 * Functions that read something from outside (a file, a request, a template) take a `struct err *`
 * beside their outputs, return a negative errno and leave one sentence here that names the field,
 * file or line and says what to do. The struct is plain memory owned by the caller; any thread.
 */
#ifndef TANDEM_BASE_ERR_H
#define TANDEM_BASE_ERR_H

#define ERR_TEXT_MAX 512

struct err {
    char text[ERR_TEXT_MAX]; /* always terminated; cut at the end when too long */
};

/* Writes the message and returns -code, so that callers can `return err_set(err, EINVAL, ...)`.
 * err may be NULL when the caller wants no words. */
int err_set(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
