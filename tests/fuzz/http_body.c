/* Any bytes as the body of a generation request: a request or a complete 400, never a fault. */
#include "server/api_request.h"
#include "server/chat_request.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define VOCABULARY 49152

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct gguf_string token = {"<s>", 3};
    enum api_kind kind = size > 0 && data[0] == 'C' ? API_CHAT : API_COMPLETION;
    struct api_request request;
    struct api_error error = {0};

    if (size == 0)
        return 0;
    int rc =
        api_request_parse(&request, kind, (const char *)data + 1, size - 1, VOCABULARY, &error);

    if (rc < 0 && (error.status < 400 || error.message[0] == '\0'))
        abort();
    if (rc == 0) {
        json_t *variables =
            kind == API_CHAT ? chat_request_variables(&request, token, token) : json_object();

        if (!variables || (kind == API_COMPLETION && request.n_prompts == 0))
            abort();
        json_decref(variables);
    }
    api_request_free(&request);
    return 0;
}
