#include "model_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_LIMIT 4096
#define CONFIG_LIMIT (16u << 20) /* bytes; a config.json with 21,000 class labels has 1.5 MB */

typedef struct paths {
    char config[PATH_LIMIT], preprocessor[PATH_LIMIT], weights[PATH_LIMIT];
} paths;

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
static dvk_result explain_missing_weights(const char *directory, const paths *files, dvk_error *error) {
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

static dvk_result locate_files(const char *path, paths *files, dvk_error *error) {
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

static dvk_result set_text(const void *bytes, size_t size, const char *path, dvk_model_text *text, dvk_error *error) {
    if (size > CONFIG_LIMIT)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s has %zu bytes, more than the %u that a configuration may have",
                        path, size, CONFIG_LIMIT);
    text->bytes = bytes;
    text->size = size;
    snprintf(text->path, sizeof(text->path), "%s", path);
    return DVK_OK;
}

/* Maps a file for as long as `files` is open. */
static dvk_result map(dvk_model_files *files, const char *path, dvk_mapping *mapping, dvk_error *error) {
    dvk_mapping *grown = realloc(files->mappings, (files->mapping_count + 1) * sizeof(dvk_mapping));
    if (!grown)
        return dvk_fail_memory(error, (files->mapping_count + 1) * sizeof(dvk_mapping));
    files->mappings = grown;
    dvk_result result = dvk_map_file(path, mapping, error);
    if (result == DVK_OK)
        files->mappings[files->mapping_count++] = *mapping;
    return result;
}

static dvk_result map_text(dvk_model_files *files, const char *path, dvk_model_text *text, dvk_error *error) {
    dvk_mapping mapping;
    dvk_result result = map(files, path, &mapping, error);
    return result == DVK_OK ? set_text(mapping.data, mapping.size, path, text, error) : result;
}

static dvk_result open_path(const char *path, dvk_model_files *files, dvk_safetensors *tensors, dvk_error *error) {
    paths *located = malloc(sizeof(*located));
    if (!located)
        return dvk_fail_memory(error, sizeof(*located));
    dvk_mapping weights;
    dvk_result result = locate_files(path, located, error);
    if (result == DVK_OK)
        result = map(files, located->weights, &weights, error);
    if (result == DVK_OK)
        result = map_text(files, located->config, &files->config, error);
    if (result == DVK_OK)
        result = map_text(files, located->preprocessor, &files->preprocessor, error);
    if (result == DVK_OK)
        result = dvk_safetensors_parse(weights.data, weights.size, located->weights, tensors, error);
    free(located);
    return result;
}

static dvk_result open_memory(const dvk_model_params *params, const char *name, dvk_model_files *files,
                              dvk_safetensors *tensors, dvk_error *error) {
    char path[sizeof(files->config.path)];
    snprintf(path, sizeof(path), "%s: config.json", name);
    dvk_result result = set_text(params->config_json, params->config_json_size, path, &files->config, error);
    if (result != DVK_OK)
        return result;
    snprintf(path, sizeof(path), "%s: preprocessor_config.json", name);
    result = set_text(params->preprocessor_json, params->preprocessor_json_size, path, &files->preprocessor, error);
    if (result != DVK_OK)
        return result;
    snprintf(path, sizeof(path), "%s: model.safetensors", name);
    return dvk_safetensors_parse(params->safetensors, params->safetensors_size, path, tensors, error);
}

dvk_result dvk_model_files_open(const dvk_model_params *params, const char *name, dvk_model_files *files,
                                dvk_safetensors *tensors, dvk_error *error) {
    dvk_model_files opened = {0};
    dvk_result result = params->path ? open_path(params->path, &opened, tensors, error)
                                     : open_memory(params, name, &opened, tensors, error);
    if (result == DVK_OK)
        *files = opened;
    else
        dvk_model_files_close(&opened);
    return result;
}

void dvk_model_files_close(dvk_model_files *files) {
    for (size_t i = 0; i < files->mapping_count; i++)
        dvk_unmap_file(&files->mappings[i]);
    free(files->mappings);
    memset(files, 0, sizeof(*files));
}
