/* The whole vision transformer in plain C and double precision, straight from a checkpoint: what the goldens are to the
 * models that have some, this is to all others. Written to be read beside the paper (Dosovitskiy et al., 2020), not to
 * be fast. */
#ifndef DVK_REFERENCE_VIT_H_
#define DVK_REFERENCE_VIT_H_

#include "checkpoint.h"

typedef struct reference_vit {
    uint32_t tokens, size, heads;
    double *last_hidden_state; /* [tokens][size] */
    double *attention;         /* [heads][tokens]: last layer, CLS row */
    double *pooler_output;     /* [size], or NULL where the model has no pooler */
} reference_vit;

/* ViTModel's alone. pixels: [3][height][width]; resize: how positions are. Ends the program where there is no memory.
 */
void reference_vit_run(const dvk_checkpoint *checkpoint, const float *pixels, uint32_t width, uint32_t height,
                       dvk_position_resize resize, reference_vit *result);
void reference_vit_free(reference_vit *result);

#endif
