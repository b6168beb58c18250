/* The safetensors container: a strict reader over bytes that somebody else maps. */
#ifndef DVK_SAFETENSORS_H_
#define DVK_SAFETENSORS_H_

#include "tensor_list.h"

/* As strict as the reference implementation. `bytes` must outlive the result; `path` is for messages. */
dvk_result dvk_safetensors_parse(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                                 dvk_tensor_list *file, dvk_error *error);

#endif
