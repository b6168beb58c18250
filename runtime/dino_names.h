/* The checkpoints that facebookresearch published itself (dino, dinov2) have tensor names of their own and no
 * configuration beside them. */
#ifndef DVK_DINO_NAMES_H_
#define DVK_DINO_NAMES_H_

#include "safetensors.h"

/* The configuration that such weights mean, as the hub writes it: JSON, NULL for a model that has files of its own.
 */
typedef struct dvk_dino_texts {
    const dvk_allocator *allocator; /* the tensors' */
    char *config, *preprocessor;
} dvk_dino_texts;

/* Renames the tensors of an original DINO or DINOv2 backbone to those of transformers' ViTModel or Dinov2Model, cuts
 * the fused query, key and value into three, drops training heads, and derives the texts. Other lists stay as they are.
 * Refuses what belongs to DINO but is no backbone. `path` is for messages. */
dvk_result dvk_dino_names(const char *path, dvk_tensor_list *tensors, dvk_dino_texts *texts, dvk_error *error);
void dvk_dino_texts_free(dvk_dino_texts *texts);

#endif
