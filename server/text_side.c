/* Names become labels of metrics and parts of JSON, so they are checked for what would break those.
 */
#include "server/text_side.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_template(const char *path, char **ret_source, size_t *ret_size, struct err *err)
{
    FILE *file = fopen(path, "re");
    char *source = malloc(CHAT_TEMPLATE_SOURCE_MAX + 1);
    int rc = 0;

    if (!file) {
        rc = err_set(err, errno, "model.chat_template: %s: %s", path, strerror(errno));
    } else if (!source) {
        rc = err_set(err, ENOMEM, "out of memory");
    } else {
        *ret_size = fread(source, 1, CHAT_TEMPLATE_SOURCE_MAX + 1, file);
        if (ferror(file))
            rc = err_set(err, EIO, "model.chat_template: %s: cannot be read", path);
    }
    if (file)
        fclose(file);
    if (rc < 0) {
        free(source);
        return rc;
    }
    *ret_source = source;
    return 0;
}

static int open_template(struct text_side *text, const struct model *model,
                         const struct config *config, struct err *err)
{
    struct gguf_string own;
    struct err why;
    char *source;
    size_t size = 0;

    if (config->chat_template) {
        int rc = read_template(config->chat_template, &source, &size, err);

        if (rc < 0)
            return rc;
        rc = chat_template_parse(&text->chat_template, source, size, &why);
        free(source);
        return rc < 0 ? err_set(err, -rc, "model.chat_template: %.200s: %s", config->chat_template,
                                why.text)
                      : 0;
    }
    if (gguf_get_string(model->file, "tokenizer.chat_template", &own, &why) < 0) {
        log_warn("the model has no chat template: /v1/chat/completions will refuse");
        return 0;
    }
    if (chat_template_parse(&text->chat_template, own.bytes, own.size, &why) < 0) {
        text->chat_template = NULL;
        log_warn("the model's chat template cannot be used: %s", why.text);
    }
    return 0;
}

static int check_name(const char *name, struct err *err)
{
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == '"' || *c == '\\' || *c == 0x7f)
            return err_set(err, EINVAL,
                           "model.served_names: a name may hold no quotes, backslashes or control "
                           "characters");
    return strlen(name) > 256 ? err_set(err, EINVAL, "model.served_names: longer than 256 bytes")
                              : 0;
}

static int choose_names(struct text_side *text, const struct config *config, struct err *err)
{
    int rc = 0;

    /* general.name is free text, often with spaces; the file's name is what people type. */
    const char *slash = strrchr(config->model_path, '/');
    const char *base = slash ? slash + 1 : config->model_path;
    size_t size = strlen(base);

    if (size > 5 && strcmp(base + size - 5, ".gguf") == 0)
        size -= 5;
    snprintf(text->default_name, sizeof text->default_name, "%.*s", (int)size, base);
    for (char *c = text->default_name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == '"' || *c == '\\' || *c == 0x7f)
            *c = '_';
    text->default_names[0] = text->default_name;
    text->names = config->served_names.count ? config->served_names.items : text->default_names;
    text->n_names = config->served_names.count ? config->served_names.count : 1;
    for (size_t i = 0; i < text->n_names && rc == 0; i++)
        rc = check_name(text->names[i], err);
    return rc;
}

int text_side_open(struct text_side *text, const struct model *model, const struct config *config,
                   struct err *err)
{
    int trained = model->shape.context_length;

    *text = (struct text_side){0};
    if (config->max_model_len > trained)
        return err_set(
            err, EINVAL,
            "model.max_model_len is %lld, but the model was trained for %d tokens; lower "
            "it",
            (long long)config->max_model_len, trained);
    text->max_model_len = config->max_model_len ? (int)config->max_model_len : trained;
    int rc = choose_names(text, config, err);

    if (rc == 0)
        rc = tokenizer_open(&text->tokenizer, model->file, err);
    if (rc == 0)
        rc = open_template(text, model, config, err);
    if (rc < 0)
        text_side_close(text);
    return rc;
}

void text_side_close(struct text_side *text)
{
    chat_template_free(text->chat_template);
    if (text->tokenizer)
        tokenizer_close(text->tokenizer);
    text->chat_template = NULL;
    text->tokenizer = NULL;
}
