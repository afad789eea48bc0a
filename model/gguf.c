/*
 * Opening: map, check the header, then let gguf_value.c and gguf_tensor.c check everything else.
 *
 * The walk touches each byte of header, metadata and tensor table once and allocates at most a
 * constant times their size, so a hostile file costs no more than an honest one of its length.
 */
#include "model/gguf.h"

#include "model/gguf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the reader copies little-endian fields as they lie in the file"
#endif

#define GGUF_HEADER_BYTES 24u /* magic, version, two counts */
#define GGUF_ALIGNMENT_DEFAULT 32u
#define GGUF_ALIGNMENT_MIN 8u /* specification: a multiple of 8; keeps F32 data aligned */
#define GGUF_ALIGNMENT_MAX (1u << 20)

bool gguf_take(struct gguf_cursor *cursor, void *out, size_t size)
{
    if (size > (size_t)(cursor->end - cursor->at))
        return false;
    memcpy(out, cursor->at, size);
    cursor->at += size;
    return true;
}

bool gguf_take_string(struct gguf_cursor *cursor, struct gguf_string *out)
{
    struct gguf_cursor next = *cursor;
    uint64_t size;

    if (!gguf_take(&next, &size, sizeof size) || size > (size_t)(next.end - next.at))
        return false;
    *out = (struct gguf_string){.bytes = (const char *)next.at, .size = (size_t)size};
    cursor->at = next.at + size;
    return true;
}

int gguf_compare_names(const struct gguf_string *a, const struct gguf_string *b)
{
    size_t shorter = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->bytes, b->bytes, shorter);

    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

struct gguf_shown gguf_show(struct gguf_string name)
{
    struct gguf_shown shown;
    size_t room = sizeof shown.text - 1;
    size_t size = name.size < room ? name.size : room;

    for (size_t i = 0; i < size; i++) {
        char byte = name.bytes[i];

        shown.text[i] = byte >= ' ' && byte <= '~' ? byte : '?';
    }
    if (name.size > room)
        memcpy(shown.text + room - 3, "...", 3);
    shown.text[size] = '\0';
    return shown;
}

static int check_version(uint32_t version, struct err *err)
{
    if (version == 2 || version == 3)
        return 0;
    if (version == 1)
        return err_set(err, EINVAL, "GGUF version 1 is not supported: convert the file again");
    if (version != 0 && (version & 0xffffu) == 0)
        return err_set(err, EINVAL,
                       "the file is big-endian GGUF: convert it again as little-endian");
    return err_set(err, EINVAL, "GGUF version %u is not supported: 2 and 3 are", version);
}

static int read_alignment(struct gguf *file, struct err *err)
{
    uint32_t alignment = GGUF_ALIGNMENT_DEFAULT;
    int rc = gguf_get_u32(file, "general.alignment", &alignment, err);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (alignment < GGUF_ALIGNMENT_MIN || alignment > GGUF_ALIGNMENT_MAX ||
        (alignment & (alignment - 1)) != 0)
        return err_set(err, EINVAL,
                       "key 'general.alignment': %u is not a power of two from %u to %u", alignment,
                       GGUF_ALIGNMENT_MIN, GGUF_ALIGNMENT_MAX);
    file->alignment = alignment;
    return 0;
}

static int parse_file(struct gguf *file, struct err *err)
{
    struct gguf_cursor cursor = {.at = file->bytes, .end = file->bytes + file->size};
    char magic[4];
    uint32_t version;
    uint64_t n_tensors, n_keys;

    if (!gguf_take(&cursor, magic, sizeof magic) || memcmp(magic, "GGUF", sizeof magic) != 0)
        return err_set(err, EINVAL, "not a GGUF file: it does not start with 'GGUF'");
    if (!gguf_take(&cursor, &version, sizeof version))
        return err_set(err, EINVAL, "the file ends inside its header");
    int rc = check_version(version, err);

    if (rc < 0)
        return rc;
    if (!gguf_take(&cursor, &n_tensors, sizeof n_tensors) ||
        !gguf_take(&cursor, &n_keys, sizeof n_keys))
        return err_set(err, EINVAL, "the file ends inside its header: %zu bytes, %u needed",
                       file->size, GGUF_HEADER_BYTES);
    rc = gguf_read_metadata(file, &cursor, n_keys, err);
    if (rc < 0)
        return rc;
    rc = read_alignment(file, err);
    if (rc < 0)
        return rc;
    return gguf_read_tensors(file, &cursor, n_tensors, err);
}

int gguf_parse(struct gguf **ret_file, const void *bytes, size_t size, struct err *err)
{
    struct gguf *file = calloc(1, sizeof *file);

    if (!file)
        return err_set(err, ENOMEM, "out of memory");
    file->bytes = bytes;
    file->size = size;
    int rc = parse_file(file, err);

    if (rc < 0) {
        gguf_close(file);
        return rc;
    }
    *ret_file = file;
    return 0;
}

static int map_file(const char *path, void **ret_bytes, size_t *ret_size, struct err *err)
{
    struct stat status;
    int rc = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */

    if (fd < 0)
        return err_set(err, errno, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(fd, &status) < 0) {
        rc = err_set(err, errno, "%s: cannot look at: %s", path, strerror(errno));
        goto close_file;
    }
    if (!S_ISREG(status.st_mode) || status.st_size == 0) {
        rc = err_set(err, EINVAL, "%s: not a GGUF file: %s", path,
                     S_ISREG(status.st_mode) ? "it is empty" : "it is not a regular file");
        goto close_file;
    }
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);

    if (bytes == MAP_FAILED) {
        rc = err_set(err, errno, "%s: cannot map: %s", path, strerror(errno));
        goto close_file;
    }
    *ret_bytes = bytes;
    *ret_size = (size_t)status.st_size;
close_file:
    close(fd);
    return rc;
}

int gguf_open(struct gguf **ret_file, const char *path, struct err *err)
{
    struct err why = {""};
    void *bytes = NULL;
    size_t size = 0;
    int rc = map_file(path, &bytes, &size, err);

    if (rc < 0)
        return rc;
    rc = gguf_parse(ret_file, bytes, size, &why);
    if (rc < 0) {
        munmap(bytes, size);
        return err_set(err, -rc, "%s: %s", path, why.text);
    }
    (*ret_file)->mapped = true;
    return 0;
}

void gguf_close(struct gguf *file)
{
    if (!file)
        return;
    free(file->keys);
    free(file->tensors);
    free(file->tensors_by_name);
    if (file->mapped)
        munmap((void *)file->bytes, file->size);
    free(file);
}
