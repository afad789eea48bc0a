/* Message content is a string or a list of text parts; everything else in a message is the
 * template's affair and passes through. */
#include "server/chat_request.h"

#include "base/buf.h"
#include "server/json_field.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", "function"};

static int check_part(const json_t *part, const char *path, struct api_error *error)
{
    char where[API_ERROR_PARAM_MAX];
    const char *type = json_string_value(json_object_get(part, "type"));

    if (!json_is_object(part))
        return api_error_set(error, 400, "invalid_type", path, "'%s' must be an object, not %s.",
                             path, json_kind(part));
    snprintf(where, sizeof where, "%s.type", path);
    if (!type)
        return api_error_set(error, 400, "invalid_type", where, "'%s' must be a string.", where);
    if (strcmp(type, "text") != 0)
        return api_error_set(error, 400, "unsupported_parameter", where,
                             "Content parts of type '%.64s' are not supported; only 'text' is.",
                             type);
    snprintf(where, sizeof where, "%s.text", path);
    if (!json_is_string(json_object_get(part, "text")))
        return api_error_set(error, 400, "invalid_type", where, "'%s' must be a string.", where);
    return 0;
}

static int check_content(const json_t *message, bool may_be_absent, size_t index,
                         struct api_error *error)
{
    const json_t *content = json_field(message, "content");
    char path[API_ERROR_PARAM_MAX - 8]; /* room for a member's name after it */
    int rc = 0;

    snprintf(path, sizeof path, "messages[%zu].content", index);
    if (!content && may_be_absent)
        return 0;
    if (!content)
        return api_error_set(error, 400, "missing_parameter", path, "'%s' is missing.", path);
    if (json_is_string(content))
        return 0;
    if (!json_is_array(content))
        return api_error_set(error, 400, "invalid_type", path,
                             "'%s' must be a string or an array of content parts, not %s.", path,
                             json_kind(content));
    for (size_t i = 0; i < json_array_size(content) && rc == 0; i++) {
        snprintf(path, sizeof path, "messages[%zu].content[%zu]", index, i);
        rc = check_part(json_array_get(content, i), path, error);
    }
    return rc;
}

static int check_message(const json_t *message, size_t index, struct api_error *error)
{
    char path[API_ERROR_PARAM_MAX];
    const char *role = json_string_value(json_object_get(message, "role"));
    bool known = false;

    snprintf(path, sizeof path, "messages[%zu]", index);
    if (!json_is_object(message))
        return api_error_set(error, 400, "invalid_type", path, "'%s' must be an object, not %s.",
                             path, json_kind(message));
    snprintf(path, sizeof path, "messages[%zu].role", index);
    if (!role)
        return api_error_set(error, 400, "invalid_type", path, "'%s' must be a string.", path);
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        known |= strcmp(role, roles[i]) == 0;
    if (!known)
        return api_error_set(error, 400, "invalid_value", path,
                             "'%s' must be one of system, developer, user, assistant, tool.", path);
    return check_content(message, strcmp(role, "assistant") == 0, index, error);
}

int chat_request_parse(struct api_request *request, struct api_error *error)
{
    const json_t *messages = NULL;
    bool continues = false;
    int rc = json_field_container(request->body, "", "messages", JSON_ARRAY, &messages, error);

    if (rc < 0)
        return rc;
    if (!messages || json_array_size(messages) == 0)
        return api_error_set(error, 400, "missing_parameter", "messages",
                             "'messages' must be an array with at least one message.");
    if (json_array_size(messages) > API_MESSAGES_MAX)
        return api_error_set(error, 400, "invalid_value", "messages",
                             "'messages' may have at most %d elements.", API_MESSAGES_MAX);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        rc = check_message(json_array_get(messages, i), i, error);
        if (rc < 0)
            return rc;
    }
    request->messages = messages;
    rc = json_field_bool(request->body, "", "continue_final_message", &continues, error);
    if (rc == 0 && continues)
        rc = api_error_set(error, 400, "unsupported_parameter", "continue_final_message",
                           "'continue_final_message' is not supported yet.");
    if (rc == 0)
        rc = json_field_container(request->body, "", "chat_template_kwargs", JSON_OBJECT,
                                  &request->template_kwargs, error);
    return rc;
}

static json_t *joined_parts(const json_t *parts)
{
    struct buf text;
    json_t *joined = NULL;

    buf_init(&text, SIZE_MAX / 2); /* bounded by the body it comes from */
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_object_get(json_array_get(parts, i), "text");

        if (i > 0)
            buf_append(&text, "\n", 1);
        buf_append(&text, json_string_value(part), json_string_length(part));
    }
    if (!text.failed)
        joined = json_stringn(text.bytes ? text.bytes : "", text.size);
    buf_free(&text);
    return joined;
}

static json_t *template_message(const json_t *message)
{
    const json_t *content = json_field(message, "content");
    json_t *copy = json_copy((json_t *)message);
    int rc = 0;

    if (!copy)
        return NULL;
    if (strcmp(json_string_value(json_object_get(message, "role")), "developer") == 0)
        rc |= json_object_set_new(copy, "role", json_string("system"));
    if (!content)
        rc |= json_object_set_new(copy, "content", json_string(""));
    else if (json_is_array(content))
        rc |= json_object_set_new(copy, "content", joined_parts(content));
    if (rc == 0)
        return copy;
    json_decref(copy);
    return NULL;
}

json_t *chat_request_variables(const struct api_request *request, struct gguf_string bos,
                               struct gguf_string eos)
{
    json_t *variables =
        request->template_kwargs ? json_copy((json_t *)request->template_kwargs) : json_object();
    json_t *messages = json_array();
    int rc = variables && messages ? 0 : -1;

    for (size_t i = 0; rc == 0 && i < json_array_size(request->messages); i++)
        rc =
            json_array_append_new(messages, template_message(json_array_get(request->messages, i)));
    if (rc == 0) {
        rc |= json_object_set(variables, "messages", messages);
        rc |= json_object_set_new(variables, "add_generation_prompt",
                                  json_boolean(request->add_generation_prompt));
        rc |= json_object_set_new(variables, "bos_token",
                                  json_stringn_nocheck(bos.size ? bos.bytes : "", bos.size));
        rc |= json_object_set_new(variables, "eos_token",
                                  json_stringn_nocheck(eos.size ? eos.bytes : "", eos.size));
    }
    json_decref(messages);
    if (rc == 0)
        return variables;
    json_decref(variables);
    return NULL;
}
