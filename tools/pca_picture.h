/* The patch tokens of one image as a picture: their first three principal components are red, green and blue, one
 * square a patch. Each component is scaled so that its 1st percentile is black and its 99th is full. */
#ifndef PCA_PICTURE_H_
#define PCA_PICTURE_H_

#include "picture.h"

struct pca_view {
    const float *patches; /* [grid_height * grid_width][size] */
    uint32_t grid_width, grid_height, patch_size;
    uint32_t size;
};

int pca_picture_check(const struct pca_view *view);
int pca_picture_draw(const struct pca_view *view, struct picture *picture);

#endif
