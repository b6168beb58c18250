/* What torch.save() wrote, as tensors by name. Nothing in the file is executed. */
#ifndef DVK_TORCH_FILE_H_
#define DVK_TORCH_FILE_H_

#include "safetensors.h"

/* A state dict, or the one inside {"teacher": ...}, {"student": ...}, {"state_dict": ...} or {"model": ...}, in this
 * order and also nested. The tensors point into `bytes`, which must outlive them; `path` is for messages. */
dvk_result dvk_torch_parse(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                           dvk_tensor_list *tensors, dvk_error *error);

/* Whether the bytes look like any of torch's formats: dvk_torch_parse() reads the one since torch 1.6, and says what to
 * do with the others. */
bool dvk_torch_detect(const void *bytes, size_t size);

#endif
