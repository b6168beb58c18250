#include "model_files.h"

#include <stdio.h>
#include <string.h>

#include "shards.h"
#include "torch_file.h"

#define PATH_LIMIT DVK_MODEL_PATH_LIMIT
#define INDEX_OF(name) name ".index.json"
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

static dvk_result check_configurations(const paths *files, dvk_error *error) {
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
    return DVK_OK;
}

static dvk_result locate_weights(const char *directory, const char *separator, paths *files, dvk_error *error) {
    static const char *const names[] = {"model.safetensors", INDEX_OF("model.safetensors"), "pytorch_model.bin",
                                        INDEX_OF("pytorch_model.bin")};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(files->weights, PATH_LIMIT, "%s%s%s", directory, separator, names[i]);
        if (dvk_file_exists(files->weights))
            return DVK_OK;
    }
    return dvk_fail(error, DVK_ERROR_IO, "%s%s%s does not exist, expected the model's weights there", directory,
                    separator, names[0]);
}

static dvk_result locate_files(const char *path, paths *files, dvk_error *error) {
    size_t length = strlen(path);
    if (length + 64 > PATH_LIMIT)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "the model's path has %zu bytes, at most %d are possible",
                        length, PATH_LIMIT - 64);
    bool directory = dvk_is_directory(path);
    if (!directory && !dvk_file_exists(path))
        return dvk_fail(error, DVK_ERROR_IO,
                        "%s does not exist, expected a model directory, a .safetensors or a .pth file", path);
    size_t stem = directory ? length : directory_length(path);
    const char *separator = directory && directory_length(path) != length ? "/" : "";
    snprintf(files->config, PATH_LIMIT, "%.*s%sconfig.json", (int)stem, path, separator);
    snprintf(files->preprocessor, PATH_LIMIT, "%.*s%spreprocessor_config.json", (int)stem, path, separator);
    snprintf(files->weights, PATH_LIMIT, "%s", path);
    /* Only torch's files may turn out to need no configuration. */
    dvk_result result = DVK_OK;
    if (directory || ends_in(path, ".safetensors") || ends_in(path, INDEX_OF("")))
        result = check_configurations(files, error);
    if (result == DVK_OK && directory)
        result = locate_weights(path, separator, files, error);
    return result;
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
    dvk_mapping *grown = dvk_reallocate(files->allocator, files->mappings, files->mapping_count * sizeof(dvk_mapping),
                                        (files->mapping_count + 1) * sizeof(dvk_mapping));
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

static dvk_result parse_weights(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                                dvk_tensor_list *tensors, dvk_error *error) {
    if (dvk_torch_detect(bytes, size))
        return dvk_torch_parse(allocator, bytes, size, path, tensors, error);
    return dvk_safetensors_parse(allocator, bytes, size, path, tensors, error);
}

static dvk_result read_shards(const dvk_shards *shards, const char *index, dvk_model_files *files,
                              dvk_tensor_list *tensors, dvk_error *error) {
    dvk_tensor_list *parts = dvk_allocate_zeroed(files->allocator, shards->count, sizeof(*parts));
    if (!parts)
        return dvk_fail_memory(error, shards->count * sizeof(*parts));
    dvk_result result = DVK_OK;
    for (size_t i = 0; i < shards->count && result == DVK_OK; i++) {
        char path[PATH_LIMIT + 256];
        dvk_mapping mapping;
        snprintf(path, sizeof(path), "%.*s%s", (int)directory_length(index), index, shards->files[i]);
        result = map(files, path, &mapping, error);
        if (result == DVK_OK)
            result = parse_weights(files->allocator, mapping.data, mapping.size, path, &parts[i], error);
    }
    if (result == DVK_OK)
        result = dvk_shards_join(shards, parts, index, tensors, error);
    for (size_t i = 0; i < shards->count; i++)
        dvk_tensor_list_free(&parts[i]);
    dvk_release(files->allocator, parts);
    return result;
}

static dvk_result read_weights(const char *path, dvk_model_files *files, dvk_tensor_list *tensors, dvk_error *error) {
    dvk_mapping weights;
    dvk_result result = map(files, path, &weights, error);
    if (result != DVK_OK)
        return result;
    if (ends_in(path, INDEX_OF(""))) {
        dvk_shards shards;
        if (weights.size > CONFIG_LIMIT)
            return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s has %zu bytes, more than the %u that an index may have",
                            path, weights.size, CONFIG_LIMIT);
        result = dvk_shards_parse(files->allocator, weights.data, weights.size, path, &shards, error);
        if (result != DVK_OK)
            return result;
        result = read_shards(&shards, path, files, tensors, error);
        dvk_shards_free(&shards);
        return result;
    }
    if (!ends_in(path, ".safetensors") && !dvk_torch_detect(weights.data, weights.size))
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s is no model: expected a directory, a .safetensors file or what torch.save writes (.pth, "
                        ".bin)",
                        path);
    return parse_weights(files->allocator, weights.data, weights.size, path, tensors, error);
}

/* The configurations that the weights imply; `found` says whether they do. */
static dvk_result imply_texts(const char *path, dvk_model_files *files, dvk_tensor_list *tensors, bool *found,
                              dvk_error *error) {
    dvk_result result = dvk_dino_names(path, tensors, &files->texts, error);
    *found = files->texts.config != NULL;
    if (result == DVK_OK && *found)
        result = set_text(files->texts.config, strlen(files->texts.config), path, &files->config, error);
    if (result == DVK_OK && *found)
        result =
            set_text(files->texts.preprocessor, strlen(files->texts.preprocessor), path, &files->preprocessor, error);
    return result;
}

static dvk_result open_path(const char *path, dvk_model_files *files, dvk_tensor_list *tensors, dvk_error *error) {
    paths *located = dvk_allocate(files->allocator, sizeof(*located));
    if (!located)
        return dvk_fail_memory(error, sizeof(*located));
    bool implied = false;
    dvk_result result = locate_files(path, located, error);
    if (result == DVK_OK)
        result = read_weights(located->weights, files, tensors, error);
    if (result == DVK_OK)
        result = imply_texts(located->weights, files, tensors, &implied, error);
    if (result == DVK_OK && !implied)
        result = check_configurations(located, error);
    if (result == DVK_OK && !implied)
        result = map_text(files, located->config, &files->config, error);
    if (result == DVK_OK && !implied)
        result = map_text(files, located->preprocessor, &files->preprocessor, error);
    dvk_release(files->allocator, located);
    return result;
}

static dvk_result open_memory(const dvk_model_params *params, const char *name, dvk_model_files *files,
                              dvk_tensor_list *tensors, dvk_error *error) {
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
    return parse_weights(files->allocator, params->safetensors, params->safetensors_size, path, tensors, error);
}

dvk_result dvk_model_files_open(const dvk_model_params *params, const char *name, dvk_model_files *files,
                                dvk_tensor_list *tensors, dvk_error *error) {
    dvk_model_files opened = {.allocator = params->allocator};
    *tensors = (dvk_tensor_list){0};
    dvk_result result = params->path ? open_path(params->path, &opened, tensors, error)
                                     : open_memory(params, name, &opened, tensors, error);
    if (result == DVK_OK) {
        *files = opened;
    } else {
        dvk_tensor_list_free(tensors);
        dvk_model_files_close(&opened);
    }
    return result;
}

void dvk_model_files_close(dvk_model_files *files) {
    for (size_t i = 0; i < files->mapping_count; i++)
        dvk_unmap_file(&files->mappings[i]);
    dvk_release(files->allocator, files->mappings);
    dvk_dino_texts_free(&files->texts);
    memset(files, 0, sizeof(*files));
}
