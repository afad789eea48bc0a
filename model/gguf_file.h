/*
 * Inside of struct gguf, shared by gguf.c, gguf_value.c and gguf_tensor.c only.
 *
 * Names are looked up by binary search in sorted tables rather than by hash: a file made by an
 * adversary can make hashes collide, but cannot make a sort slow.
 */
#ifndef TANDEM_MODEL_GGUF_FILE_H
#define TANDEM_MODEL_GGUF_FILE_H

#include "base/err.h"
#include "model/gguf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gguf_key {
    struct gguf_string name;
    enum gguf_value_type type;    /* never GGUF_ARRAY: see is_array */
    bool is_array;                /* then type is that of the elements */
    uint64_t count;               /* elements; 1 for a scalar */
    const unsigned char *payload; /* first element, in file layout */
    size_t payload_bytes;
};

struct gguf {
    const unsigned char *bytes;
    size_t size;
    bool mapped; /* bytes are ours to unmap */
    size_t alignment;
    struct gguf_key *keys; /* sorted by name */
    size_t n_keys;
    struct gguf_tensor *tensors; /* file order */
    const struct gguf_tensor **tensors_by_name;
    size_t n_tensors;
};

/* What is left of the file; every read is checked against `end`. */
struct gguf_cursor {
    const unsigned char *at, *end;
};

/* Copy the next `size` bytes out, or take a length-prefixed string as a view; false when the file
 * ends first, and then nothing was taken. */
bool gguf_take(struct gguf_cursor *cursor, void *out, size_t size);
bool gguf_take_string(struct gguf_cursor *cursor, struct gguf_string *out);

int gguf_compare_names(const struct gguf_string *a, const struct gguf_string *b);

/* A name cut to a readable length, bytes that are not printable ASCII shown as '?', for messages.
 */
struct gguf_shown {
    char text[72];
};
struct gguf_shown gguf_show(struct gguf_string name);

/* Fill keys / tensors from the cursor and move it on. On failure what they allocated stays in
 * `file` for gguf_close. */
int gguf_read_metadata(struct gguf *file, struct gguf_cursor *cursor, uint64_t count,
                       struct err *err);
int gguf_read_tensors(struct gguf *file, struct gguf_cursor *cursor, uint64_t count,
                      struct err *err);

#endif
