#include "json_file.h"

#include "map_file.h"

#define LIMIT (16u << 20) /* bytes; as the library allows for an index of shards */

dvk_json *json_file_read(const char *path) {
    dvk_mapping file;
    dvk_json *root = NULL;
    if (dvk_map_file(path, &file, NULL) != DVK_OK)
        return NULL;
    if (file.size <= LIMIT && dvk_json_parse(NULL, file.data, file.size, path, &root, NULL) != DVK_OK)
        root = NULL;
    dvk_unmap_file(&file);
    return root;
}
