/*
 * A presented key is compared with every stored one over all AUTH_KEY_BYTES_MAX bytes, padded with
 * zeros, whatever it is: the time depends on the number of keys alone.
 */
#include "server/auth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct auth {
    size_t n_keys;
    char (*keys)[AUTH_KEY_BYTES_MAX]; /* zero-padded */
};

static int add_key(struct auth *auth, const char *key, size_t size, const char *origin,
                   struct err *err)
{
    if (size == 0 || size > AUTH_KEY_BYTES_MAX)
        return err_set(err, EINVAL, "%s: an API key must have 1 to %d bytes", origin,
                       AUTH_KEY_BYTES_MAX);
    if (auth->n_keys == AUTH_KEYS_MAX)
        return err_set(err, E2BIG, "%s: more than %d API keys", origin, AUTH_KEYS_MAX);
    void *keys = realloc(auth->keys, (auth->n_keys + 1) * sizeof *auth->keys);

    if (!keys)
        return err_set(err, ENOMEM, "out of memory");
    auth->keys = keys;
    memset(auth->keys[auth->n_keys], 0, sizeof *auth->keys);
    memcpy(auth->keys[auth->n_keys++], key, size);
    return 0;
}

static int read_key_file(struct auth *auth, const char *path, struct err *err)
{
    char line[2 * AUTH_KEY_BYTES_MAX], origin[320];
    FILE *file = fopen(path, "re");
    int rc = 0;

    if (!file)
        return err_set(err, errno, "API key file %s: %s", path, strerror(errno));
    for (int number = 1; rc == 0 && fgets(line, sizeof line, file); number++) {
        const char *key = line + strspn(line, " \t");
        size_t size = strcspn(key, " \t\r\n");

        snprintf(origin, sizeof origin, "%.256s:%d", path, number);
        if (size > 0 && key[0] != '#')
            rc = add_key(auth, key, size, origin, err);
    }
    if (rc == 0 && ferror(file))
        rc = err_set(err, EIO, "API key file %s: cannot be read", path);
    if (rc == 0 && auth->n_keys == 0)
        rc = err_set(err, EINVAL, "API key file %s: holds no key", path);
    fclose(file);
    return rc;
}

int auth_create(struct auth **ret_auth, char *const *keys, size_t n_keys, const char *file,
                struct err *err)
{
    struct auth *auth = calloc(1, sizeof *auth);
    int rc = auth ? 0 : err_set(err, ENOMEM, "out of memory");

    for (size_t i = 0; rc == 0 && i < n_keys; i++)
        rc = add_key(auth, keys[i], strlen(keys[i]), "server.api_keys", err);
    if (rc == 0 && file)
        rc = read_key_file(auth, file, err);
    if (rc < 0) {
        auth_destroy(auth);
        return rc;
    }
    *ret_auth = auth;
    return 0;
}

void auth_destroy(struct auth *auth)
{
    if (!auth)
        return;
    if (auth->keys)
        explicit_bzero(auth->keys, auth->n_keys * sizeof *auth->keys);
    free(auth->keys);
    free(auth);
}

bool auth_admits(const struct auth *auth, const char *header)
{
    char presented[AUTH_KEY_BYTES_MAX] = {0};
    unsigned admitted = 0;

    if (auth->n_keys == 0)
        return true;
    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return false;
    header += 7;
    header += strspn(header, " ");
    size_t size = strcspn(header, " \t");

    if (size == 0 || size > sizeof presented || header[size + strspn(header + size, " \t")] != '\0')
        return false;
    memcpy(presented, header, size);
    for (size_t i = 0; i < auth->n_keys; i++) {
        unsigned different = 0;

        for (size_t k = 0; k < sizeof presented; k++)
            different |= (unsigned char)presented[k] ^ (unsigned char)auth->keys[i][k];
        admitted |= different == 0;
    }
    explicit_bzero(presented, sizeof presented);
    return admitted;
}
