/* Any bytes as a config file: a configuration or a message that names the file, never a fault. */
#include "server/config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config config;
    struct err err = {""};

    if (config_init(&config) < 0)
        abort();
    if (config_parse(&config, "f.yaml", (const char *)data, size, &err) < 0) {
        if (strncmp(err.text, "f.yaml:", 7) != 0)
            abort();
    } else if (config_finish(&config, &err) == 0 && config.n_workers == 0) {
        abort();
    }
    config_free(&config);
    return 0;
}
