/* What the CLS token attends to in the last layer, as DINO's visualize_attention.py shows it: a grid of panels that
 * begins with the image, then every head, then the mean of the heads.
 *
 * A head's map is its softmax row without the columns before the patches (the CLS token itself, registers), scaled by
 * its own smallest and largest value, each patch one square of colour over the image in gray. With a threshold X, only
 * the patches that together hold the largest X of the row's mass are shown so, with an outline, and the rest is dimmed.
 */
#ifndef ATTENTION_PICTURE_H_
#define ATTENTION_PICTURE_H_

#include "picture.h"

struct attention_view {
    const uint8_t *image; /* [height][width][3]: what the model saw; may be NULL for attention_picture_check() */
    uint32_t width, height;
    uint32_t grid_width, grid_height, patch_size; /* pixels beyond the last whole patch are not shown */
    uint32_t heads, prefix_tokens;
    const float *attention; /* [heads][prefix_tokens + grid_width * grid_height] */
    double threshold;       /* in 0..1; 0: none */
};

/* Whether the picture would be of a size that can be made; for asking before long work. */
int attention_picture_check(const struct attention_view *view);

int attention_picture_draw(const struct attention_view *view, struct picture *picture);

#endif
