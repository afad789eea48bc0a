/*
 * API keys, kept padded to one length and compared in constant time: neither the length of a key
 * nor how much of a guess was right can be measured. Immutable after auth_create; server thread.
 */
#ifndef TANDEM_SERVER_AUTH_H
#define TANDEM_SERVER_AUTH_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define AUTH_KEYS_MAX 4096
#define AUTH_KEY_BYTES_MAX 512

struct auth;

/* No keys: everybody may enter. keys: texts, copied; file: more of them, one per line, or NULL. */
int auth_create(struct auth **ret_auth, char *const *keys, size_t n_keys, const char *file,
                struct err *err);
void auth_destroy(struct auth *auth);

/* header: the Authorization header's value, or NULL. */
bool auth_admits(const struct auth *auth, const char *header);

#endif
