/* API keys: who may enter. */
#include "server/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Faults: a beginning of a key, a longer text, another scheme or an empty key that is let in. */
static void only_whole_keys_enter(void **state)
{
    static const struct {
        const char *header;
        bool admitted;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"Bearer", false},
        {"Bearer ", false},
        {"Bearer first", true},
        {"bearer second", true},
        {"Bearer  first", true},
        {"Bearer firs", false},
        {"Bearer firstx", false},
        {"Bearer first x", false},
        {"first", false},
        {"Basic first", false},
        {"Bearer third", false},
        {"Bearer FIRST", false},
    };
    char *const keys[] = {(char[]){"first"}, (char[]){"second"}};
    struct auth *auth;
    struct err err;
    char header[2000];

    (void)state;
    assert_int_equal(auth_create(&auth, keys, 2, NULL, &err), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(auth_admits(auth, cases[i].header), cases[i].admitted);
    memset(header, 'k', sizeof header);
    memcpy(header, "Bearer ", 7);
    header[sizeof header - 1] = '\0';
    assert_false(auth_admits(auth, header));
    auth_destroy(auth);
    assert_int_equal(auth_create(&auth, NULL, 0, NULL, &err), 0);
    assert_true(auth_admits(auth, NULL)); /* no keys: no authentication */
    auth_destroy(auth);
}

/* Faults: a comment that counts as a key, a file without keys that opens the server to everybody.
 */
static void key_file(void **state)
{
    char path[] = "/tmp/server_auth_XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    struct auth *auth;
    struct err err = {""};

    (void)state;
    assert_non_null(file);
    fputs("# keys\n\n  alpha  \nbeta\r\n", file);
    fclose(file);
    assert_int_equal(auth_create(&auth, NULL, 0, path, &err), 0);
    assert_true(auth_admits(auth, "Bearer alpha"));
    assert_true(auth_admits(auth, "Bearer beta"));
    assert_false(auth_admits(auth, "Bearer #"));
    auth_destroy(auth);
    file = fopen(path, "w");
    fputs("# none\n", file);
    fclose(file);
    assert_true(auth_create(&auth, NULL, 0, path, &err) < 0);
    assert_non_null(strstr(err.text, "holds no key"));
    remove(path);
    assert_true(auth_create(&auth, NULL, 0, path, &err) < 0);
    assert_non_null(strstr(err.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_whole_keys_enter),
        cmocka_unit_test(key_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
