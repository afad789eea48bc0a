/*
 * Opening a model: the architecture's table says which tensors to look for and what shape each must
 * have; whatever else stands in the file is refused, because ignoring a tensor (a bias, say) would
 * load the model and answer wrongly.
 */
#include "model/model.h"

#include "model/arch.h"
#include "model/dequant.h"
#include "model/model_shape.h"
#include "model/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOCAB_MAX (1 << 24)

/* The model being built, and which tensors of the file it has claimed. */
struct assembly {
    struct model *model;
    const struct architecture *arch;
    bool *claimed; /* [gguf_tensor_count] */
    struct err *err;
};

/* NULL when the file has no such tensor. */
static const struct gguf_tensor *claim_tensor(struct assembly *assembly, const char *name)
{
    const struct gguf *file = assembly->model->file;
    const struct gguf_tensor *tensor = gguf_find_tensor(file, name);

    if (tensor)
        assembly->claimed[tensor - gguf_tensor_at(file, 0)] = true;
    return tensor;
}

/* rows 1: a vector. Vectors (norms, RoPE factors) are read as float by everybody: F32 only. */
static int check_tensor(const struct gguf_tensor *tensor, const char *name, int columns, int rows,
                        struct err *err)
{
    if (tensor->dims[0] != (uint64_t)columns || tensor->dims[1] != (uint64_t)rows ||
        tensor->dims[2] != 1 || tensor->dims[3] != 1)
        return err_set(err, EINVAL,
                       "tensor '%s': its shape is [%llu, %llu, %llu, %llu], but the metadata make "
                       "it [%d, %d, 1, 1]",
                       name, (unsigned long long)tensor->dims[0],
                       (unsigned long long)tensor->dims[1], (unsigned long long)tensor->dims[2],
                       (unsigned long long)tensor->dims[3], columns, rows);
    if (rows == 1 && tensor->type != GGUF_TENSOR_F32)
        return err_set(err, EINVAL, "tensor '%s': type %s: vectors are read as F32 only", name,
                       gguf_tensor_type_name(tensor->type));
    return 0;
}

static int dim_size(const struct model_shape *shape, enum arch_dim dim)
{
    switch (dim) {
    case DIM_ONE: break;
    case DIM_EMBD: return shape->n_embd;
    case DIM_FF: return shape->n_ff;
    case DIM_Q: return shape->n_heads * shape->head_dim;
    case DIM_KV: return shape->n_kv_heads * shape->head_dim;
    }
    return 1;
}

static int claim_layer(struct assembly *assembly, int layer)
{
    const struct model_shape *shape = &assembly->model->shape;
    char name[64];

    for (int i = 0; i < LAYER_TENSORS; i++) {
        const struct arch_tensor *expected = &assembly->arch->layer[i];

        if (!expected->suffix)
            continue;
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, expected->suffix);
        const struct gguf_tensor *tensor = claim_tensor(assembly, name);

        if (!tensor && expected->required)
            return err_set(assembly->err, EINVAL, "tensor '%s' is missing", name);
        if (!tensor)
            continue;
        int rc = check_tensor(tensor, name, dim_size(shape, expected->columns),
                              dim_size(shape, expected->rows), assembly->err);

        if (rc < 0)
            return rc;
        assembly->model->layers[layer][i] = tensor;
    }
    return 0;
}

static int claim_layers(struct assembly *assembly)
{
    struct model *model = assembly->model;
    int rc = 0;

    /* Layers are counted by metadata alone: hold the count against the file before allocating. */
    if ((size_t)model->shape.n_layers > gguf_tensor_count(model->file))
        return err_set(assembly->err, EINVAL,
                       "key '%s.block_count': %d layers, but only %zu tensors", model->architecture,
                       model->shape.n_layers, gguf_tensor_count(model->file));
    model->layers = calloc((size_t)model->shape.n_layers, sizeof *model->layers);
    if (!model->layers)
        return err_set(assembly->err, ENOMEM, "out of memory for %d layers", model->shape.n_layers);
    for (int layer = 0; layer < model->shape.n_layers && rc == 0; layer++)
        rc = claim_layer(assembly, layer);
    return rc;
}

/* The vocabulary's size is that of the embedding; the keys that repeat it must agree. */
static int check_vocab(const struct model *model, struct err *err)
{
    struct gguf_array tokens;
    uint32_t claimed = (uint32_t)model->shape.n_vocab;
    char key[96];

    snprintf(key, sizeof key, "%s.vocab_size", model->architecture);
    int rc = gguf_get_u32(model->file, key, &claimed, err);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (claimed != (uint32_t)model->shape.n_vocab)
        return err_set(err, EINVAL, "key '%s' is %u, but tensor 'token_embd.weight' has %d rows",
                       key, claimed, model->shape.n_vocab);
    rc = gguf_get_array(model->file, "tokenizer.ggml.tokens", GGUF_STRING, &tokens, err);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    /* Fewer tokens than rows are padding; more would be looked up past the end. */
    if (rc == 0 && tokens.count > (size_t)model->shape.n_vocab)
        return err_set(err, EINVAL,
                       "key 'tokenizer.ggml.tokens' has %zu tokens, but tensor "
                       "'token_embd.weight' only %d rows",
                       tokens.count, model->shape.n_vocab);
    return 0;
}

static int claim_ends(struct assembly *assembly)
{
    struct model *model = assembly->model;
    struct model_shape *shape = &model->shape;

    model->token_embd = claim_tensor(assembly, "token_embd.weight");
    model->output_norm = claim_tensor(assembly, "output_norm.weight");
    model->output = claim_tensor(assembly, "output.weight");
    if (!model->token_embd || !model->output_norm)
        return err_set(assembly->err, EINVAL, "tensor '%s' is missing",
                       model->token_embd ? "output_norm.weight" : "token_embd.weight");
    if (model->token_embd->dims[1] < 2 || model->token_embd->dims[1] > VOCAB_MAX)
        return err_set(assembly->err, EINVAL,
                       "tensor 'token_embd.weight': %llu rows: a vocabulary has 2 to %d tokens",
                       (unsigned long long)model->token_embd->dims[1], VOCAB_MAX);
    shape->n_vocab = (int)model->token_embd->dims[1];
    shape->tied_head = !model->output;
    if (shape->tied_head)
        model->output = model->token_embd;
    int rc = check_tensor(model->token_embd, "token_embd.weight", shape->n_embd, shape->n_vocab,
                          assembly->err);

    if (rc == 0)
        rc = check_tensor(model->output, "output.weight", shape->n_embd, shape->n_vocab,
                          assembly->err);
    if (rc == 0)
        rc =
            check_tensor(model->output_norm, "output_norm.weight", shape->n_embd, 1, assembly->err);
    return rc < 0 ? rc : check_vocab(model, assembly->err);
}

/* Copied out, because the engine divides by these: each must be a finite number above zero. */
static int claim_rope_factors(struct assembly *assembly)
{
    static const char name[] = "rope_freqs.weight";
    struct model_shape *shape = &assembly->model->shape;
    const struct gguf_tensor *tensor = claim_tensor(assembly, name);
    int pairs = shape->rope_dims / 2;

    if (!tensor)
        return 0;
    int rc = check_tensor(tensor, name, pairs, 1, assembly->err);

    if (rc < 0)
        return rc;
    float *factors = malloc((size_t)pairs * sizeof *factors);

    if (!factors)
        return err_set(assembly->err, ENOMEM, "out of memory for %d RoPE factors", pairs);
    shape->rope_factors = factors;
    memcpy(factors, tensor->data, (size_t)pairs * sizeof *factors);
    for (int i = 0; i < pairs; i++) {
        if (!isfinite(factors[i]) || factors[i] <= 0)
            return err_set(assembly->err, EINVAL,
                           "tensor '%s': factor %d is %g: finite numbers above 0 are allowed", name,
                           i, (double)factors[i]);
    }
    return 0;
}

static int check_all_claimed(const struct assembly *assembly)
{
    const struct gguf *file = assembly->model->file;

    for (size_t i = 0; i < gguf_tensor_count(file); i++) {
        const struct gguf_string name = gguf_tensor_at(file, i)->name;

        if (!assembly->claimed[i])
            return err_set(assembly->err, EINVAL,
                           "tensor '%.*s' is not part of what we compute for architecture '%s'",
                           (int)name.size, name.bytes, assembly->arch->name);
    }
    return 0;
}

static int find_architecture(const struct gguf *file, const struct architecture **ret,
                             struct err *err)
{
    struct gguf_string name;
    uint32_t parts = 1;
    int rc = gguf_get_u32(file, "split.count", &parts, err);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (parts > 1)
        return err_set(err, EINVAL,
                       "key 'split.count' is %u: join the parts of the model into one file first",
                       parts);
    rc = gguf_get_string(file, "general.architecture", &name, err);
    if (rc == -ENOENT)
        return err_set(err, EINVAL, "key 'general.architecture' is missing");
    if (rc < 0)
        return rc;
    *ret = architecture_find(name);
    if (!*ret)
        return err_set(err, EINVAL, "key 'general.architecture': '%.*s' is not supported",
                       name.size < 64 ? (int)name.size : 64, name.bytes);
    return 0;
}

/* general.name, or the file's. Whole UTF-8 characters without control characters: the name goes
 * into answers and logs. */
static void set_name(struct model *model, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct gguf_string name = {.bytes = slash ? slash + 1 : path}, given;
    size_t used = 0, at = 0;

    name.size = strlen(name.bytes);
    if (gguf_get_string(model->file, "general.name", &given, NULL) == 0 && given.size > 0)
        name = given;
    while (at < name.size && used + 4 < sizeof model->name) {
        int length = utf8_length(name.bytes + at, name.size - at);
        unsigned char byte = (unsigned char)name.bytes[at];

        if (length <= 0 || byte < ' ' || byte == 0x7f) {
            model->name[used++] = '?';
            at++;
        } else {
            memcpy(model->name + used, name.bytes + at, (size_t)length);
            used += (size_t)length;
            at += (size_t)length;
        }
    }
}

static int assemble(struct assembly *assembly)
{
    struct model *model = assembly->model;
    int rc = model_shape_read(&model->shape, assembly->arch, model->file, assembly->err);

    if (rc == 0)
        rc = claim_ends(assembly);
    if (rc == 0)
        rc = claim_layers(assembly);
    if (rc == 0)
        rc = claim_rope_factors(assembly);
    if (rc == 0)
        rc = check_all_claimed(assembly);
    return rc;
}

static void free_model(struct model *model)
{
    free((void *)model->shape.rope_factors);
    free(model->layers);
    free(model);
}

int model_from_gguf(struct model **ret_model, struct gguf *file, const char *path, struct err *err)
{
    struct assembly assembly = {.err = err};
    int rc = find_architecture(file, &assembly.arch, err);

    if (rc < 0)
        return rc;
    assembly.model = calloc(1, sizeof *assembly.model);
    assembly.claimed = calloc(gguf_tensor_count(file) + 1, sizeof *assembly.claimed);
    if (!assembly.model || !assembly.claimed) {
        rc = err_set(err, ENOMEM, "out of memory for a model's description");
        goto free_claimed;
    }
    assembly.model->file = file;
    assembly.model->architecture = assembly.arch->name;
    set_name(assembly.model, path);
    rc = assemble(&assembly);
    if (rc == 0)
        *ret_model = assembly.model;
free_claimed:
    free(assembly.claimed);
    if (rc < 0 && assembly.model)
        free_model(assembly.model);
    return rc;
}

int model_open(struct model **ret_model, const char *path, struct err *err)
{
    struct err why = {""};
    struct gguf *file;
    int rc = gguf_open(&file, path, err);

    if (rc < 0)
        return rc;
    rc = model_from_gguf(ret_model, file, path, &why);
    if (rc < 0) {
        gguf_close(file);
        return err_set(err, -rc, "%s: %s", path, why.text);
    }
    return 0;
}

void model_close(struct model *model)
{
    if (!model)
        return;
    gguf_close(model->file);
    free_model(model);
}
