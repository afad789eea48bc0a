/* OpenAI's error object: all four members are always present, param and code may be null. */
#include "server/api_error.h"

#include "server/json_out.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int api_error_set(struct api_error *error, int status, const char *code, const char *param,
                  const char *format, ...)
{
    va_list args;

    *error = (struct api_error){.status = status, .code = code};
    if (param)
        snprintf(error->param, sizeof error->param, "%s", param);
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return status == 503 ? -EAGAIN : -EINVAL;
}

/* The types OpenAI's own service uses for these statuses. */
static const char *error_type(int status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 429: return "rate_limit_error";
    case 503: return "service_unavailable_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

void api_error_write(const struct api_error *error, struct buf *out)
{
    buf_puts(out, "{\"error\":{\"message\":");
    json_out_string(out, error->message, strlen(error->message));
    buf_printf(out, ",\"type\":\"%s\",\"param\":", error_type(error->status));
    if (error->param[0])
        json_out_string(out, error->param, strlen(error->param));
    else
        buf_puts(out, "null");
    buf_puts(out, ",\"code\":");
    if (error->code)
        json_out_string(out, error->code, strlen(error->code));
    else
        buf_puts(out, "null");
    buf_puts(out, "}}");
}

int api_error_overloaded(struct api_error *error, const char *message)
{
    int rc = api_error_set(error, 503, "server_overloaded", NULL, "%s", message);

    error->retry_after_s = 1;
    return rc;
}
