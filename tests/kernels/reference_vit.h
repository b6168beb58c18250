/* The whole vision transformer in double, from a checkpoint and normalised pixels to every output: what the shaders are
 * compared with where transformers itself left no golden. */
#ifndef DVK_REFERENCE_VIT_H_
#define DVK_REFERENCE_VIT_H_

#include "checkpoint.h"

typedef struct reference_vit {
    uint32_t tokens;
    uint32_t hidden_count;     /* layers + 1 */
    double **hidden;           /* [hidden_count] of [tokens][D]: the embeddings, then each layer's output */
    double *last_hidden_state; /* [tokens][D]: the final layer norm of the last */
    double *pooled;            /* [D], or NULL without a pooler */
    double *attention;         /* [heads][tokens]: the last layer's softmax row of the CLS token */
} reference_vit;

/* pixels: [3][height][width]. The weights are taken as the file stores them, without further rounding. Positions are
 * interpolated to (patches + excess) a side: 0, or DINO's own 0.1. */
reference_vit reference_vit_run(const dvk_checkpoint *checkpoint, const float *pixels, uint32_t width, uint32_t height,
                                double excess);
void reference_vit_free(reference_vit *vit);

#endif
