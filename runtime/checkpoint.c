#include "checkpoint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"
#include "config.h"
#include "json.h"
#include "map_file.h"

#define PATH_LIMIT 4096
#define CONFIG_LIMIT (16u << 20) /* bytes; a config.json with 21,000 class labels has 1.5 MB */

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
        result = dvk_bind_tensors(&opened, error);
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
    dvk_config_free(&checkpoint->config);
    free(checkpoint->layers);
    memset(checkpoint, 0, sizeof(*checkpoint));
}
