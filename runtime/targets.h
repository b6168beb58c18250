#ifndef DVK_TARGETS_H_
#define DVK_TARGETS_H_

#include "context.h"

dvk_result dvk_targets_check(const dvk_target_desc *targets, uint32_t count, const dvk_context *context,
                             const dvk_model_info *info, uint32_t batch, dvk_error *error);

/* DVK_OUTPUT_BIT()s of what they are made of. */
uint32_t dvk_targets_outputs(const dvk_target_desc *targets, uint32_t count);

/* The kernel that writes an image of that format; false: none does. */
bool dvk_target_kernel(dvk_target_kind kind, uint32_t format, dvk_kernel *kernel);

#endif
