#include "checkpoint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "json.h"
#include "map_file.h"

#define PATH_LIMIT 4096
#define CONFIG_LIMIT (16u << 20) /* bytes; a config.json with 21,000 class labels has 1.5 MB */

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

/* -------------------------------------------------------------------------------------------------- files */

typedef struct model_files {
    char config[PATH_LIMIT], preprocessor[PATH_LIMIT], weights[PATH_LIMIT];
} model_files;

static bool ends_in(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && !strcmp(text + length - end_length, end);
}

/* The length of the directory part with its separator; 0 where there is none. */
static size_t directory_length(const char *path) {
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] != '/'
#ifdef _WIN32
           && path[length - 1] != '\\' && path[length - 1] != ':'
#endif
    )
        length--;
    return length;
}

/* Hubs hold older models as pickles, and large ones in shards; neither can be read here, and both can be turned into
 * what can. */
static dvk_result explain_missing_weights(const char *directory, const model_files *files, dvk_error *error) {
    char other[PATH_LIMIT + 64];
    const char *separator = directory_length(directory) == strlen(directory) ? "" : "/";
    snprintf(other, sizeof(other), "%s%spytorch_model.bin", directory, separator);
    if (dvk_file_exists(other))
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s has pytorch_model.bin but no model.safetensors; convert it there with: python3 -c \"import "
                        "torch, safetensors.torch as s; s.save_file(torch.load('pytorch_model.bin', "
                        "weights_only=True), 'model.safetensors', {'format': 'pt'})\"",
                        directory);
    snprintf(other, sizeof(other), "%s%smodel.safetensors.index.json", directory, separator);
    if (dvk_file_exists(other))
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s has its weights in several files (model.safetensors.index.json), expected one "
                        "model.safetensors; write it again with save_pretrained(..., max_shard_size='100GB')",
                        directory);
    return dvk_fail(error, DVK_ERROR_IO, "%s does not exist, expected the model's weights there", files->weights);
}

static dvk_result locate_files(const char *path, model_files *files, dvk_error *error) {
    size_t length = strlen(path);
    if (length + 64 > PATH_LIMIT)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "the model's path has %zu bytes, at most %d are possible",
                        length, PATH_LIMIT - 64);
    bool directory = dvk_is_directory(path);
    if (!directory && !dvk_file_exists(path))
        return dvk_fail(error, DVK_ERROR_IO, "%s does not exist, expected a model directory or a .safetensors file",
                        path);
    if (!directory && !ends_in(path, ".safetensors"))
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "%s is no model: expected a directory or a .safetensors file",
                        path);
    size_t stem = directory ? length : directory_length(path);
    const char *separator = directory && directory_length(path) != length ? "/" : "";
    snprintf(files->config, PATH_LIMIT, "%.*s%sconfig.json", (int)stem, path, separator);
    snprintf(files->preprocessor, PATH_LIMIT, "%.*s%spreprocessor_config.json", (int)stem, path, separator);
    if (directory)
        snprintf(files->weights, PATH_LIMIT, "%s%smodel.safetensors", path, separator);
    else
        snprintf(files->weights, PATH_LIMIT, "%s", path);
    if (!dvk_file_exists(files->config))
        return dvk_fail(error, DVK_ERROR_IO,
                        "%s does not exist; a model needs it beside its weights, copy it from where "
                        "the model came from",
                        files->config);
    if (!dvk_file_exists(files->preprocessor))
        return dvk_fail(error, DVK_ERROR_IO,
                        "%s does not exist; it says how images are resized and normalised, copy it from where the "
                        "model came from",
                        files->preprocessor);
    if (!dvk_file_exists(files->weights))
        return explain_missing_weights(path, files, error);
    return DVK_OK;
}

/* --------------------------------------------------------------------------------------------------- open */

static dvk_result check_config_size(size_t size, const char *path, dvk_error *error) {
    if (size > CONFIG_LIMIT)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s has %zu bytes, more than the %u that a configuration may have",
                        path, size, CONFIG_LIMIT);
    return DVK_OK;
}

static dvk_result open_files(const char *path, dvk_checkpoint *checkpoint, dvk_error *error) {
    model_files *files = malloc(sizeof(*files));
    if (!files)
        return dvk_fail_memory(error, sizeof(*files));
    dvk_mapping config = {0}, preprocessor = {0}, weights = {0};
    dvk_result result = locate_files(path, files, error);
    if (result == DVK_OK)
        result = dvk_map_file(files->config, &config, error);
    if (result == DVK_OK)
        result = check_config_size(config.size, files->config, error);
    if (result == DVK_OK)
        result = dvk_config_parse(config.data, config.size, files->config, &checkpoint->config, error);
    if (result == DVK_OK)
        result = dvk_map_file(files->preprocessor, &preprocessor, error);
    if (result == DVK_OK)
        result = check_config_size(preprocessor.size, files->preprocessor, error);
    if (result == DVK_OK)
        result = dvk_preprocess_config_parse(preprocessor.data, preprocessor.size, files->preprocessor,
                                             &checkpoint->preprocess, error);
    if (result == DVK_OK)
        result = dvk_map_file(files->weights, &weights, error);
    if (result == DVK_OK) {
        checkpoint->mapping = weights.data;
        checkpoint->mapping_size = weights.size;
        result = dvk_safetensors_parse(weights.data, weights.size, files->weights, &checkpoint->file, error);
    }
    dvk_unmap_file(&config);
    dvk_unmap_file(&preprocessor);
    free(files);
    return result;
}

static dvk_result open_memory(const dvk_model_params *params, dvk_checkpoint *checkpoint, dvk_error *error) {
    char path[sizeof(checkpoint->name) + 32];
    snprintf(path, sizeof(path), "%s: config.json", checkpoint->name);
    dvk_result result = check_config_size(params->config_json_size, path, error);
    if (result == DVK_OK)
        result = dvk_config_parse(params->config_json, params->config_json_size, path, &checkpoint->config, error);
    if (result != DVK_OK)
        return result;
    snprintf(path, sizeof(path), "%s: preprocessor_config.json", checkpoint->name);
    result = check_config_size(params->preprocessor_json_size, path, error);
    if (result == DVK_OK)
        result = dvk_preprocess_config_parse(params->preprocessor_json, params->preprocessor_json_size, path,
                                             &checkpoint->preprocess, error);
    if (result != DVK_OK)
        return result;
    snprintf(path, sizeof(path), "%s: model.safetensors", checkpoint->name);
    return dvk_safetensors_parse(params->safetensors, params->safetensors_size, path, &checkpoint->file, error);
}

dvk_result dvk_checkpoint_open(const dvk_model_params *params, dvk_checkpoint *checkpoint, dvk_error *error) {
    bool all_blocks = params && params->config_json && params->preprocessor_json && params->safetensors;
    bool any_block = params && (params->config_json || params->preprocessor_json || params->safetensors);
    if (!params || (params->path ? any_block : !all_blocks))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "a model needs either a path or all three of config_json, preprocessor_json and safetensors");
    dvk_checkpoint opened = {0};
    const char *name = params->name ? params->name : params->path ? params->path : "memory";
    snprintf(opened.name, sizeof(opened.name), "%s", name);
    dvk_result result = params->path ? open_files(params->path, &opened, error) : open_memory(params, &opened, error);
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
    dvk_mapping weights = {checkpoint->mapping, checkpoint->mapping_size};
    dvk_safetensors_free(&checkpoint->file);
    dvk_unmap_file(&weights);
    free(checkpoint->layers);
    memset(checkpoint, 0, sizeof(*checkpoint));
}
