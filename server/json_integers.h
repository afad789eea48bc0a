/* Integers that JSON allows and 64 bits do not. */
#ifndef TANDEM_SERVER_JSON_INTEGERS_H
#define TANDEM_SERVER_JSON_INTEGERS_H

#include <stddef.h>

/* Rewrites, in place, every integer of the JSON text that int64_t cannot hold as a real number of
 * the same length and (up to a double's precision) value: ...789 becomes ...7e2. Other bytes stay,
 * so byte offsets do. The text need not be valid. */
void json_integers_to_reals(char *text, size_t size);

#endif
