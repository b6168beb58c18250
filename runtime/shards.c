#include "shards.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tensor_list.h"

enum { MAX_SHARDS = 1024 };

/* Separators and device names of every system, so that an index means the same everywhere. */
static bool is_plain_name(const char *name) {
    return *name && *name != '.' && !strpbrk(name, "/\\:") && strlen(name) < 256;
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One allocation: the pointers, then the characters. */
static dvk_result list_files(json_t *map, const char *path, dvk_shards *shards, dvk_error *error) {
    const char *key;
    json_t *value;
    size_t bytes = 0, count = json_object_size(map);
    json_object_foreach(map, key, value) {
        if (!json_is_string(value) || !is_plain_name(json_string_value(value)))
            return dvk_fail(error, DVK_ERROR_BAD_FILE,
                            "%s: tensor \"%s\" must map to the name of a file beside the index, found %s", path,
                            dvk_quote(key).text,
                            json_is_string(value) ? dvk_quote(json_string_value(value)).text
                                                  : dvk_json_type_name(value));
        bytes += strlen(json_string_value(value)) + 1;
    }
    char **files = dvk_allocate(shards->allocator, count * sizeof(char *) + bytes);
    if (!files)
        return dvk_fail_memory(error, count * sizeof(char *) + bytes);
    char *text = (char *)(files + count);
    size_t i = 0;
    json_object_foreach(map, key, value) {
        size_t length = strlen(json_string_value(value)) + 1;
        files[i++] = memcpy(text, json_string_value(value), length);
        text += length;
    }
    qsort(files, count, sizeof(char *), compare_texts);
    size_t unique = 1;
    for (i = 1; i < count; i++)
        if (strcmp(files[i], files[unique - 1]))
            files[unique++] = files[i];
    shards->files = files;
    shards->count = unique;
    if (unique > MAX_SHARDS)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "%s names %zu files, at most %d can be read", path, unique,
                        MAX_SHARDS);
    return DVK_OK;
}

dvk_result dvk_shards_parse(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                            dvk_shards *shards, dvk_error *error) {
    json_t *root = NULL;
    dvk_shards parsed = {.allocator = allocator};
    dvk_result result = dvk_json_parse_object(allocator, bytes, size, path, &root, error);
    if (result != DVK_OK)
        return result;
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map) || !json_object_size(map))
        result = dvk_fail(error, DVK_ERROR_BAD_FILE,
                          "%s: \"weight_map\" must be an object that maps tensors to files, found %s", path,
                          json_is_object(map) ? "an empty one" : dvk_json_type_name(map));
    else
        result = list_files(map, path, &parsed, error);
    parsed.map = json_incref(map);
    json_decref(root);
    if (result == DVK_OK)
        *shards = parsed;
    else
        dvk_shards_free(&parsed);
    return result;
}

void dvk_shards_free(dvk_shards *shards) {
    dvk_release(shards->allocator, shards->files);
    json_decref(shards->map);
    memset(shards, 0, sizeof(*shards));
}

dvk_result dvk_shards_join(const dvk_shards *shards, const dvk_tensor_list *parts, const char *path,
                           dvk_tensor_list *tensors, dvk_error *error) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)shards->map, key, value) {
        const char *file = json_string_value(value);
        const size_t i = (size_t)((char **)bsearch(&file, shards->files, shards->count, sizeof(char *), compare_texts) -
                                  shards->files);
        if (!dvk_tensor_list_find(&parts[i], key))
            return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: tensor \"%s\" is not in %s, as the index says", path,
                            dvk_quote(key).text, file);
    }
    size_t count = 0, name_bytes = 0;
    for (size_t i = 0; i < shards->count; i++)
        for (size_t k = 0; k < parts[i].count; k++) {
            count++;
            name_bytes += strlen(parts[i].tensors[k].name) + 1;
        }
    /* All of the index were found; more than these means that some shard holds what the index does not know, or what
     * another shard holds as well. */
    for (size_t i = 0; i < shards->count && count > json_object_size(shards->map); i++)
        for (size_t k = 0; k < parts[i].count; k++) {
            const char *name = parts[i].tensors[k].name;
            const char *file = json_string_value(json_object_get(shards->map, name));
            if (!file || strcmp(file, shards->files[i]))
                return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: %s holds tensor \"%s\", which the index has %s", path,
                                shards->files[i], dvk_quote(name).text, file ? "in another file" : "nowhere");
        }
    char *names;
    dvk_result result = dvk_tensor_list_allocate(shards->allocator, count, name_bytes, tensors, &names, error);
    if (result != DVK_OK)
        return result;
    dvk_tensor *next = tensors->tensors;
    for (size_t i = 0; i < shards->count; i++)
        for (size_t k = 0; k < parts[i].count; k++) {
            *next = parts[i].tensors[k];
            const size_t length = strlen(next->name) + 1;
            next++->name = memcpy(names, parts[i].tensors[k].name, length);
            names += length;
        }
    result = dvk_tensor_list_sort(tensors, path, error);
    if (result != DVK_OK)
        dvk_tensor_list_free(tensors);
    return result;
}
