/* The safetensors container: a strict reader over bytes that somebody else maps. */
#ifndef DVK_SAFETENSORS_H_
#define DVK_SAFETENSORS_H_

#include "error.h"

typedef enum dvk_dtype {
    DVK_DTYPE_F32,
    DVK_DTYPE_F16,
    DVK_DTYPE_BF16,
    DVK_DTYPE_OTHER /* valid in the format, unusable for weights: I64, BOOL, F8_E4M3, ... */
} dvk_dtype;

#define DVK_MAX_RANK 8

typedef struct dvk_tensor {
    const char *name; /* owned by the dvk_safetensors */
    dvk_dtype dtype;
    char dtype_name[12];
    uint32_t rank;
    uint64_t shape[DVK_MAX_RANK];
    uint64_t elements;
    const void *data; /* little-endian, dense, row-major; points into the file's bytes; may be unaligned */
    uint64_t bytes;
} dvk_tensor;

typedef struct dvk_safetensors {
    dvk_tensor *tensors; /* ascending by name */
    size_t count;
} dvk_safetensors;

/* As strict as the reference implementation. `bytes` must outlive the result; `path` is for messages. */
dvk_result dvk_safetensors_parse(const void *bytes, size_t size, const char *path, dvk_safetensors *file,
                                 dvk_error *error);
void dvk_safetensors_free(dvk_safetensors *file);

/* NULL if there is none of that name. */
const dvk_tensor *dvk_safetensors_find(const dvk_safetensors *file, const char *name);

#endif
