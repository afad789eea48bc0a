/*
 * Hyperparameters from "<architecture>.*" keys. Each has a range wide enough for any real model and
 * narrow enough that products of two fit an int.
 *
 * A key that changes what has to be computed, and that we do not compute, is refused: a model that
 * loads must give the right answers.
 */
#include "model/model_shape.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LAYERS_MAX 1024
#define WIDTH_MAX (1 << 20) /* n_embd, n_ff */
#define HEADS_MAX 1024
#define HEAD_DIM_MAX 1024
#define CONTEXT_MAX (1 << 28)

struct key_reader {
    const struct gguf *file;
    const char *prefix; /* the architecture's name */
    struct err *err;
    char key[96]; /* the key last read, for messages */
};

static const char *full_key(struct key_reader *reader, const char *suffix)
{
    snprintf(reader->key, sizeof reader->key, "%s.%s", reader->prefix, suffix);
    return reader->key;
}

/* An integer from 1 to max; `fallback` when the key is absent, and 0 there means it must be
 * present.
 */
static int read_size(struct key_reader *reader, const char *suffix, uint32_t max, int fallback,
                     int *ret)
{
    uint32_t value;
    const char *key = full_key(reader, suffix);
    int rc = gguf_get_u32(reader->file, key, &value, reader->err);

    if (rc == -ENOENT && fallback > 0) {
        *ret = fallback;
        return 0;
    }
    if (rc == -ENOENT)
        return err_set(reader->err, EINVAL, "key '%s' is missing", key);
    if (rc < 0)
        return rc;
    if (value < 1 || value > max)
        return err_set(reader->err, EINVAL, "key '%s': %u is not in 1 to %u", key, value, max);
    *ret = (int)value;
    return 0;
}

/* A finite float above zero; `fallback` as in read_size. */
static int read_positive(struct key_reader *reader, const char *suffix, float fallback, float *ret)
{
    float value;
    const char *key = full_key(reader, suffix);
    int rc = gguf_get_f32(reader->file, key, &value, reader->err);

    if (rc == -ENOENT && fallback > 0) {
        *ret = fallback;
        return 0;
    }
    if (rc == -ENOENT)
        return err_set(reader->err, EINVAL, "key '%s' is missing", key);
    if (rc < 0)
        return rc;
    if (!isfinite(value) || value <= 0)
        return err_set(reader->err, EINVAL, "key '%s': %g is not a finite number above 0", key,
                       (double)value);
    *ret = value;
    return 0;
}

/* Integer keys that ask for something else than dense causal attention over the whole context. Each
 * may stand in the file as long as it is at most `harmless`. */
static int refuse_unsupported(struct key_reader *reader, int context_length)
{
    const struct {
        const char *suffix;
        uint32_t harmless;
        const char *what;
    } keys[] = {
        {"expert_count", 0, "mixtures of experts are not supported"},
        {"attention.sliding_window", 0, "sliding window attention is not supported"},
    };
    bool causal = true;

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        uint32_t value;
        const char *key = full_key(reader, keys[i].suffix);
        int rc = gguf_get_u32(reader->file, key, &value, reader->err);

        if (rc == -ENOENT)
            continue;
        if (rc < 0)
            return rc;
        /* A window as wide as the context hides nothing. */
        if (value > keys[i].harmless && value < (uint32_t)context_length)
            return err_set(reader->err, EINVAL, "key '%s' is %u: %s", key, value, keys[i].what);
    }
    const char *key = full_key(reader, "attention.causal");
    int rc = gguf_get_bool(reader->file, key, &causal, reader->err);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (!causal)
        return err_set(reader->err, EINVAL, "key '%s' is false: only causal models are supported",
                       key);
    return 0;
}

static int read_heads(struct key_reader *reader, struct model_shape *shape)
{
    int value_dim;
    int rc = read_size(reader, "attention.head_count", HEADS_MAX, 0, &shape->n_heads);

    if (rc == 0)
        rc = read_size(reader, "attention.head_count_kv", HEADS_MAX, shape->n_heads,
                       &shape->n_kv_heads);
    if (rc < 0)
        return rc;
    if (shape->n_heads % shape->n_kv_heads != 0)
        return err_set(reader->err, EINVAL, "key '%s': %d key/value heads do not divide %d heads",
                       reader->key, shape->n_kv_heads, shape->n_heads);
    int natural_dim = shape->n_embd % shape->n_heads == 0 ? shape->n_embd / shape->n_heads : 0;

    rc = read_size(reader, "attention.key_length", HEAD_DIM_MAX, natural_dim, &shape->head_dim);
    if (rc == 0)
        rc = read_size(reader, "attention.value_length", HEAD_DIM_MAX, natural_dim, &value_dim);
    if (rc < 0)
        return rc;
    if (value_dim != shape->head_dim)
        return err_set(reader->err, EINVAL,
                       "key '%s': values of %d beside keys of %d dimensions are not supported",
                       reader->key, value_dim, shape->head_dim);
    /* The natural size was not checked against the range. */
    if (shape->head_dim > HEAD_DIM_MAX)
        return err_set(reader->err, EINVAL,
                       "key '%s.embedding_length': heads of %d dimensions: at "
                       "most %d are supported",
                       reader->prefix, shape->head_dim, HEAD_DIM_MAX);
    return 0;
}

/* Linear scaling by 1/factor is what a factor without a type means too. */
static int read_rope_scaling(struct key_reader *reader, struct model_shape *shape)
{
    struct gguf_string type = {"linear", 6};
    float factor;
    const char *key = full_key(reader, "rope.scaling.type");
    int rc = gguf_get_string(reader->file, key, &type, reader->err);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    shape->rope_scale = 1.0f;
    if (type.size == 4 && memcmp(type.bytes, "none", 4) == 0)
        return 0;
    if (type.size != 6 || memcmp(type.bytes, "linear", 6) != 0)
        return err_set(reader->err, EINVAL,
                       "key '%s': '%.*s' is not supported: none and linear are", key,
                       type.size < 32 ? (int)type.size : 32, type.bytes);
    rc = read_positive(reader, "rope.scaling.factor", 1.0f, &factor);
    if (rc == 0 && factor == 1.0f)
        rc = read_positive(reader, "rope.scale_linear", 1.0f, &factor); /* its name in old files */
    if (rc == 0)
        shape->rope_scale = 1.0f / factor;
    return rc;
}

static int read_rope(struct key_reader *reader, struct model_shape *shape)
{
    int rc = read_size(reader, "rope.dimension_count", (uint32_t)shape->head_dim, shape->head_dim,
                       &shape->rope_dims);

    if (rc < 0)
        return rc;
    if (shape->rope_dims % 2 != 0)
        return err_set(reader->err, EINVAL, "key '%s.rope.dimension_count': %d is odd",
                       reader->prefix, shape->rope_dims);
    rc = read_positive(reader, "rope.freq_base", 10000.0f, &shape->rope_base);
    if (rc == 0)
        rc = read_rope_scaling(reader, shape);
    return rc;
}

int model_shape_read(struct model_shape *ret_shape, const struct architecture *arch,
                     const struct gguf *file, struct err *err)
{
    struct key_reader reader = {.file = file, .prefix = arch->name, .err = err};
    struct model_shape shape = {.rope_pairing = arch->rope_pairing};
    int rc = read_size(&reader, "block_count", LAYERS_MAX, 0, &shape.n_layers);

    if (rc == 0)
        rc = read_size(&reader, "context_length", CONTEXT_MAX, 0, &shape.context_length);
    if (rc == 0)
        rc = read_size(&reader, "embedding_length", WIDTH_MAX, 0, &shape.n_embd);
    if (rc == 0)
        rc = read_size(&reader, "feed_forward_length", WIDTH_MAX, 0, &shape.n_ff);
    if (rc == 0)
        rc = read_heads(&reader, &shape);
    if (rc == 0)
        rc = read_rope(&reader, &shape);
    if (rc == 0)
        rc = read_positive(&reader, "attention.layer_norm_rms_epsilon", 0, &shape.norm_eps);
    if (rc == 0)
        rc = refuse_unsupported(&reader, shape.context_length);
    if (rc < 0)
        return rc;
    *ret_shape = shape;
    return 0;
}
