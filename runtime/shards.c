#include "shards.h"

#include <string.h>

#include "sort.h"
#include "tensor_list.h"

enum { MAX_SHARDS = 1024 };

/* Separators and device names of every system, so that an index means the same everywhere. */
static bool is_plain_name(const char *name) {
    return *name && *name != '.' && !strpbrk(name, "/\\:") && strlen(name) < 256;
}

static int compare_texts(const void *a, const void *b, const void *context) {
    (void)context;
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One allocation: the pointers, then the characters. */
static dvk_result list_files(const dvk_json *map, const char *path, dvk_shards *shards, dvk_error *error) {
    const dvk_json *key = map + 1;
    size_t bytes = 0, count = map->count;
    for (size_t i = 0; i < count; i++, key = dvk_json_next_key(key)) {
        const dvk_json *value = key + 1;
        if (!dvk_json_is(value, DVK_JSON_STRING) || !is_plain_name(value->text))
            return dvk_fail(error, DVK_ERROR_BAD_FILE,
                            "%s: tensor \"%s\" must map to the name of a file beside the index, found %s", path,
                            dvk_quote(key->text).text,
                            dvk_json_is(value, DVK_JSON_STRING) ? dvk_quote(value->text).text
                                                                : dvk_json_type_name(value));
        bytes += strlen(value->text) + 1;
    }
    char **files = dvk_allocate(shards->allocator, count * sizeof(char *) + bytes);
    if (!files)
        return dvk_fail_memory(error, count * sizeof(char *) + bytes);
    char *text = (char *)(files + count);
    key = map + 1;
    for (size_t i = 0; i < count; i++, key = dvk_json_next_key(key)) {
        size_t length = strlen(key[1].text) + 1;
        files[i] = memcpy(text, key[1].text, length);
        text += length;
    }
    dvk_sort(files, count, sizeof(char *), compare_texts, NULL);
    size_t unique = 1;
    for (size_t i = 1; i < count; i++)
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
    dvk_json *root = NULL;
    dvk_shards parsed = {.allocator = allocator};
    dvk_result result = dvk_json_parse_object(allocator, bytes, size, path, &root, error);
    if (result != DVK_OK)
        return result;
    const dvk_json *map = dvk_json_get(root, "weight_map");
    if (!dvk_json_is(map, DVK_JSON_OBJECT) || !dvk_json_count(map))
        result = dvk_fail(error, DVK_ERROR_BAD_FILE,
                          "%s: \"weight_map\" must be an object that maps tensors to files, found %s", path,
                          dvk_json_is(map, DVK_JSON_OBJECT) ? "an empty one" : dvk_json_type_name(map));
    else
        result = list_files(map, path, &parsed, error);
    parsed.root = root;
    parsed.map = map;
    if (result == DVK_OK)
        *shards = parsed;
    else
        dvk_shards_free(&parsed);
    return result;
}

void dvk_shards_free(dvk_shards *shards) {
    dvk_release(shards->allocator, shards->files);
    dvk_release(shards->allocator, shards->root);
    memset(shards, 0, sizeof(*shards));
}

/* All names of the index are there. */
static size_t find_file(const dvk_shards *shards, const char *name) {
    size_t first = 0, last = shards->count;
    while (last - first > 1) {
        const size_t middle = first + (last - first) / 2;
        if (strcmp(name, shards->files[middle]) < 0)
            last = middle;
        else
            first = middle;
    }
    return first;
}

dvk_result dvk_shards_join(const dvk_shards *shards, const dvk_tensor_list *parts, const char *path,
                           dvk_tensor_list *tensors, dvk_error *error) {
    const dvk_json *key = shards->map + 1;
    for (uint32_t i = 0; i < shards->map->count; i++, key = dvk_json_next_key(key)) {
        const char *file = key[1].text;
        if (!dvk_tensor_list_find(&parts[find_file(shards, file)], key->text))
            return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: tensor \"%s\" is not in %s, as the index says", path,
                            dvk_quote(key->text).text, file);
    }
    size_t count = 0, name_bytes = 0;
    for (size_t i = 0; i < shards->count; i++)
        for (size_t k = 0; k < parts[i].count; k++) {
            count++;
            name_bytes += strlen(parts[i].tensors[k].name) + 1;
        }
    /* All of the index were found; more than these means that some shard holds what the index does not know, or what
     * another shard holds as well. */
    for (size_t i = 0; i < shards->count && count > dvk_json_count(shards->map); i++)
        for (size_t k = 0; k < parts[i].count; k++) {
            const char *name = parts[i].tensors[k].name;
            const char *file = dvk_json_text(dvk_json_get(shards->map, name));
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
