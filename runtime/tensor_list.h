/* How the readers of all containers hand over their tensors: one allocation, ascending by name. */
#ifndef DVK_TENSOR_LIST_H_
#define DVK_TENSOR_LIST_H_

#include "safetensors.h"

/* Room for `count` zeroed tensors and for `name_bytes` of their names (terminators included), which *names points to.
 * dvk_safetensors_free() frees both. */
dvk_result dvk_tensor_list_allocate(size_t count, size_t name_bytes, dvk_safetensors *list, char **names,
                                    dvk_error *error);

/* Sorts; refuses a name that two tensors have. `path` is for messages. */
dvk_result dvk_tensor_list_sort(dvk_safetensors *list, const char *path, dvk_error *error);

#endif
