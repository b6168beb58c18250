#include "checkpoint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "json.h"

/* ------------------------------------------------------------------------------------------------ tensors */

/* Finds tensors by name and checks them; remembers the first failure and which tensors were asked for. */
typedef struct binder {
    dvk_checkpoint *checkpoint;
    const char *prefix; /* "" or "vit." */
    bool *used;         /* [file.count] */
    dvk_result result;
    dvk_error *error;
} binder;

static void print_shape(char *text, size_t size, uint32_t rank, const uint64_t *shape) {
    size_t length = (size_t)snprintf(text, size, "[");
    for (uint32_t i = 0; i < rank && length < size; i++)
        length += (size_t)snprintf(text + length, size - length, "%s%llu", i ? ", " : "", (unsigned long long)shape[i]);
    if (length < size)
        snprintf(text + length, size - length, "]");
}

static const dvk_tensor *find(const binder *b, const char *name) {
    char full[160];
    snprintf(full, sizeof(full), "%s%s", b->prefix, name);
    return dvk_safetensors_find(&b->checkpoint->file, full);
}

static const dvk_tensor *bind(binder *b, const char *name, uint32_t rank, const uint64_t *shape) {
    if (b->result != DVK_OK)
        return NULL;
    const char *path = b->checkpoint->name;
    const dvk_tensor *tensor = find(b, name);
    char expected[96], found[8 * 24];
    print_shape(expected, sizeof(expected), rank, shape);
    if (!tensor) {
        b->result = dvk_fail(b->error, DVK_ERROR_BAD_FILE,
                             "%s: tensor \"%s%s\" is missing, expected one of shape %s as config.json says", path,
                             b->prefix, name, expected);
        return NULL;
    }
    if (tensor->rank != rank || memcmp(tensor->shape, shape, rank * sizeof(shape[0]))) {
        print_shape(found, sizeof(found), tensor->rank, tensor->shape);
        b->result =
            dvk_fail(b->error, DVK_ERROR_BAD_FILE, "%s: tensor \"%s\" has shape %s, expected %s as config.json says",
                     path, tensor->name, found, expected);
        return NULL;
    }
    if (tensor->dtype == DVK_DTYPE_OTHER) {
        b->result = dvk_fail(b->error, DVK_ERROR_UNSUPPORTED,
                             "%s: tensor \"%s\" is stored as %s, only F32, F16 and BF16 weights can be read; save the "
                             "model in one of these",
                             path, tensor->name, tensor->dtype_name);
        return NULL;
    }
    b->used[tensor - b->checkpoint->file.tensors] = true;
    b->checkpoint->parameters += tensor->elements;
    return tensor;
}

/* NAME.weight [outputs][inputs] (inputs 0: a vector) and NAME.bias [outputs]. */
static dvk_linear bind_linear(binder *b, bool has_bias, uint32_t outputs, uint32_t inputs, const char *format, ...)
    DVK_PRINTF(5, 6);

static dvk_linear bind_linear(binder *b, bool has_bias, uint32_t outputs, uint32_t inputs, const char *format, ...) {
    char stem[96], name[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(stem, sizeof(stem), format, arguments);
    va_end(arguments);
    dvk_linear linear = {0};
    snprintf(name, sizeof(name), "%s.weight", stem);
    linear.weight = bind(b, name, inputs ? 2 : 1, (const uint64_t[]){outputs, inputs});
    snprintf(name, sizeof(name), "%s.bias", stem);
    if (has_bias)
        linear.bias = bind(b, name, 1, (const uint64_t[]){outputs});
    return linear;
}

static void bind_layer(binder *b, uint32_t i, dvk_vit_layer *layer) {
    const dvk_vit_config *c = &b->checkpoint->config;
    const uint32_t width = c->hidden_size;
    layer->norm_before = bind_linear(b, true, width, 0, "encoder.layer.%u.layernorm_before", i);
    layer->query = bind_linear(b, c->qkv_bias, width, width, "encoder.layer.%u.attention.attention.query", i);
    layer->key = bind_linear(b, c->qkv_bias, width, width, "encoder.layer.%u.attention.attention.key", i);
    layer->value = bind_linear(b, c->qkv_bias, width, width, "encoder.layer.%u.attention.attention.value", i);
    layer->attention_output = bind_linear(b, true, width, width, "encoder.layer.%u.attention.output.dense", i);
    layer->norm_after = bind_linear(b, true, width, 0, "encoder.layer.%u.layernorm_after", i);
    layer->intermediate = bind_linear(b, true, c->mlp_size, width, "encoder.layer.%u.intermediate.dense", i);
    layer->output = bind_linear(b, true, width, c->mlp_size, "encoder.layer.%u.output.dense", i);
}

static void bind_all(binder *b) {
    dvk_checkpoint *checkpoint = b->checkpoint;
    const dvk_vit_config *c = &checkpoint->config;
    const uint64_t width = c->hidden_size, patch = c->patch_size;
    const uint64_t tokens = 1 + (uint64_t)c->grid_width * c->grid_height;
    checkpoint->cls_token = bind(b, "embeddings.cls_token", 3, (const uint64_t[]){1, 1, width});
    checkpoint->position_embeddings =
        bind(b, "embeddings.position_embeddings", 3, (const uint64_t[]){1, tokens, width});
    checkpoint->patch_projection.weight =
        bind(b, "embeddings.patch_embeddings.projection.weight", 4, (const uint64_t[]){width, 3, patch, patch});
    checkpoint->patch_projection.bias =
        bind(b, "embeddings.patch_embeddings.projection.bias", 1, (const uint64_t[]){width});
    for (uint32_t i = 0; i < c->layers && b->result == DVK_OK; i++)
        bind_layer(b, i, &checkpoint->layers[i]);
    checkpoint->final_norm = bind_linear(b, true, c->hidden_size, 0, "layernorm");
    if (find(b, "pooler.dense.weight") || find(b, "pooler.dense.bias"))
        checkpoint->pooler = bind_linear(b, true, c->hidden_size, c->hidden_size, "pooler.dense");
}

/* A tensor that nothing asked for means that the model is another one than config.json says. */
static void check_unused(binder *b) {
    const dvk_safetensors *file = &b->checkpoint->file;
    bool classifier = !strcmp(b->checkpoint->config.architecture, "ViTForImageClassification");
    for (size_t i = 0; i < file->count && b->result == DVK_OK; i++) {
        const char *name = file->tensors[i].name;
        if (b->used[i] || (classifier && (!strcmp(name, "classifier.weight") || !strcmp(name, "classifier.bias"))))
            continue;
        char shape[8 * 24];
        print_shape(shape, sizeof(shape), file->tensors[i].rank, file->tensors[i].shape);
        b->result =
            dvk_fail(b->error, DVK_ERROR_BAD_FILE,
                     "%s: unexpected tensor \"%s\" of shape %s: config.json describes a %s of %u layers%s "
                     "without it",
                     b->checkpoint->name, dvk_quote(name).text, shape, b->checkpoint->config.architecture,
                     b->checkpoint->config.layers, b->checkpoint->config.qkv_bias ? "" : " with \"qkv_bias\" false");
    }
}

static dvk_result bind_tensors(dvk_checkpoint *checkpoint, dvk_error *error) {
    /* Any tensor under "vit." tells that this one was saved inside a larger model. */
    bool prefixed = false;
    for (size_t i = 0; i < checkpoint->file.count && !prefixed; i++)
        prefixed = !strncmp(checkpoint->file.tensors[i].name, "vit.", 4);
    checkpoint->layers = calloc(checkpoint->config.layers, sizeof(dvk_vit_layer));
    bool *used = calloc(checkpoint->file.count + 1, sizeof(bool));
    dvk_result result = DVK_ERROR_OUT_OF_HOST_MEMORY;
    if (!checkpoint->layers || !used) {
        dvk_fail_memory(error, checkpoint->config.layers * sizeof(dvk_vit_layer) + checkpoint->file.count);
    } else {
        binder b = {checkpoint, prefixed ? "vit." : "", used, DVK_OK, error};
        bind_all(&b);
        check_unused(&b);
        result = b.result;
        if (result == DVK_OK)
            checkpoint->matrix_dtype = checkpoint->layers[0].query.weight->dtype;
    }
    free(used);
    return result;
}

/* --------------------------------------------------------------------------------------------------- open */

dvk_result dvk_checkpoint_open(const dvk_model_params *params, dvk_checkpoint *checkpoint, dvk_error *error) {
    bool all_blocks = params && params->config_json && params->preprocessor_json && params->safetensors;
    bool any_block = params && (params->config_json || params->preprocessor_json || params->safetensors);
    if (!params || (params->path ? any_block : !all_blocks))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "a model needs either a path or all three of config_json, preprocessor_json and safetensors");
    dvk_checkpoint opened = {0};
    const char *name = params->name ? params->name : params->path ? params->path : "memory";
    snprintf(opened.name, sizeof(opened.name), "%s", name);
    dvk_model_files *files = &opened.files;
    dvk_result result = dvk_model_files_open(params, opened.name, files, &opened.file, error);
    if (result == DVK_OK)
        result = dvk_config_parse(files->config.bytes, files->config.size, files->config.path, &opened.config, error);
    if (result == DVK_OK)
        result = dvk_preprocess_config_parse(files->preprocessor.bytes, files->preprocessor.size,
                                             files->preprocessor.path, &opened.preprocess, error);
    if (result == DVK_OK)
        result = bind_tensors(&opened, error);
    if (result != DVK_OK) {
        dvk_checkpoint_close(&opened);
        return result;
    }
    *checkpoint = opened;
    return DVK_OK;
}

void dvk_checkpoint_close(dvk_checkpoint *checkpoint) {
    dvk_safetensors_free(&checkpoint->file);
    dvk_model_files_close(&checkpoint->files);
    free(checkpoint->layers);
    memset(checkpoint, 0, sizeof(*checkpoint));
}
