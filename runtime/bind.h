/* Names of tensors -> roles in the model, as the family's table entry has them. */
#ifndef DVK_BIND_H_
#define DVK_BIND_H_

#include "checkpoint.h"

/* Fills in all that checkpoint->config asks for from checkpoint->file. Names the first tensor that is missing, of the
 * wrong shape, or left over. checkpoint->layers is the caller's to free, also after a failure. */
dvk_result dvk_bind_tensors(dvk_checkpoint *checkpoint, dvk_error *error);

#endif
