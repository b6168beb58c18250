/* What the readers of all containers (safetensors, shards, torch files) hand over: tensors that point into the mapped
 * file. */
#ifndef DVK_TENSOR_LIST_H_
#define DVK_TENSOR_LIST_H_

#include "memory.h"

typedef enum dvk_dtype {
    DVK_DTYPE_F32,
    DVK_DTYPE_F16,
    DVK_DTYPE_BF16,
    DVK_DTYPE_OTHER /* valid in the format, unusable for weights: I64, BOOL, F8_E4M3, ... */
} dvk_dtype;

#define DVK_MAX_RANK 8

typedef struct dvk_tensor {
    const char *name; /* owned by the dvk_tensor_list */
    dvk_dtype dtype;
    char dtype_name[12];
    uint32_t rank;
    uint64_t shape[DVK_MAX_RANK];
    uint64_t elements;
    const void *data; /* little-endian, dense, row-major; points into the file's bytes; may be unaligned */
    uint64_t bytes;
} dvk_tensor;

typedef struct dvk_tensor_list {
    const dvk_allocator *allocator; /* must outlive the list */
    dvk_tensor *tensors;            /* ascending by name */
    size_t count;
} dvk_tensor_list;

/* Room for `count` zeroed tensors and for `name_bytes` of their names (terminators included), which *names points to.
 * dvk_tensor_list_free() frees both. */
dvk_result dvk_tensor_list_allocate(const dvk_allocator *allocator, size_t count, size_t name_bytes,
                                    dvk_tensor_list *list, char **names, dvk_error *error);

/* Sorts; refuses a name that two tensors have. `path` is for messages. */
dvk_result dvk_tensor_list_sort(dvk_tensor_list *list, const char *path, dvk_error *error);

void dvk_tensor_list_free(dvk_tensor_list *file);

/* NULL if there is none of that name. */
const dvk_tensor *dvk_tensor_list_find(const dvk_tensor_list *file, const char *name);

#endif
