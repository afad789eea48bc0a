/* One pass over all headers; libmicrohttpd's look-ups would only ever show the first of a name. */
#include "server/framing.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct framing {
    int n_lengths, n_encodings, n_hosts;
    bool bad_name, bad_length, bad_encoding;
};

static bool is_named(const char *name, size_t size, const char *wanted)
{
    return size == strlen(wanted) && strncasecmp(name, wanted, size) == 0;
}

/* RFC 9110, section 5.6.2: no blanks, no separators. */
static bool is_token(const char *name, size_t size)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!letter && !(c >= '0' && c <= '9') && !memchr(others, c, sizeof others - 1))
            return false;
    }
    return size > 0;
}

static bool is_digits(const char *value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (value[i] < '0' || value[i] > '9')
            return false;
    return size > 0;
}

static enum MHD_Result look_at_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                      size_t name_size, const char *value, size_t value_size)
{
    struct framing *framing = cls;

    (void)kind;
    if (!value)
        value_size = 0;
    framing->bad_name |= !is_token(name, name_size);
    if (is_named(name, name_size, MHD_HTTP_HEADER_CONTENT_LENGTH)) {
        framing->n_lengths++;
        framing->bad_length |= !is_digits(value, value_size);
    } else if (is_named(name, name_size, MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
        framing->n_encodings++;
        framing->bad_encoding |= value_size != 7 || strncasecmp(value, "chunked", 7) != 0;
    } else if (is_named(name, name_size, MHD_HTTP_HEADER_HOST)) {
        framing->n_hosts++;
    }
    return MHD_YES;
}

/* What is wrong, or NULL. */
static const char *fault_of(const struct framing *framing, const char *version)
{
    bool is_1_0 = strcmp(version, MHD_HTTP_VERSION_1_0) == 0;

    if (framing->bad_name)
        return "A header's name is empty or holds a character that names may not hold.";
    if (framing->n_lengths > 1 || framing->bad_length)
        return "Content-Length must be given once, in digits.";
    if (framing->n_encodings > 1 || framing->bad_encoding)
        return "Transfer-Encoding may only be chunked, given once.";
    if (framing->n_encodings > 0 && framing->n_lengths > 0)
        return "Content-Length and Transfer-Encoding must not be given together.";
    if (framing->n_encodings > 0 && is_1_0)
        return "HTTP/1.0 has no Transfer-Encoding.";
    if (framing->n_hosts > 1 || (framing->n_hosts == 0 && !is_1_0))
        return "The Host header must be given once.";
    return NULL;
}

int framing_check(struct MHD_Connection *connection, const char *version, struct api_error *error)
{
    struct framing framing = {0};

    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, look_at_header, &framing);
    const char *fault = fault_of(&framing, version);

    if (!fault)
        return 0;
    int rc = api_error_set(error, 400, "invalid_header", NULL, "%s", fault);

    error->close = true;
    return rc;
}
