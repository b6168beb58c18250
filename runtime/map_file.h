/* A whole file as read-only memory, without reading it. */
#ifndef DVK_MAP_FILE_H_
#define DVK_MAP_FILE_H_

#include "error.h"

typedef struct dvk_mapping {
    void *data; /* NULL where the file is empty */
    size_t size;
} dvk_mapping;

/* Regular files only. The memory is undefined (and reading it may raise SIGBUS) if another process shortens the file
 * while it is mapped; model files are replaced, not rewritten, by everything that installs them. */
dvk_result dvk_map_file(const char *path, dvk_mapping *mapping, dvk_error *error);
void dvk_unmap_file(dvk_mapping *mapping);

/* False also where the path cannot be looked at. */
bool dvk_is_directory(const char *path);
bool dvk_file_exists(const char *path);

#endif
