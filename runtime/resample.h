/* Pillow's resize, restricted to a window of the result. */
#ifndef DVK_RESAMPLE_H_
#define DVK_RESAMPLE_H_

#include "preprocess.h"

typedef struct dvk_window {
    uint32_t x, y, width, height;
} dvk_window;

/* What dvk_resize() would give for a width x height target, of which only `window` is computed and stored (dense,
 * [window.height][window.width][3]): a centre crop costs what it shows, however large the image it is cut from. The
 * window lies within the target. */
dvk_result dvk_resize_window(const dvk_allocator *allocator, const uint8_t *source, uint32_t source_width,
                             uint32_t source_height, uint8_t *target, uint32_t width, uint32_t height,
                             const dvk_window *window, dvk_resample filter, dvk_resize_order order, dvk_error *error);

/* One pass along one axis: output i of the window is the sum over its taps of weights[i * stride + k] * in[first[i] +
 * k]. */
typedef struct dvk_axis {
    uint32_t *first;
    uint32_t *taps;
    int32_t *weights; /* scaled by 2^22 */
    size_t stride;
    uint32_t low, high; /* the inputs that any output of the window reads: low <= i < high */
} dvk_axis;

/* Outputs begin .. begin + count - 1 of a pass from `in` to `out` samples. */
dvk_result dvk_axis_init(const dvk_allocator *allocator, dvk_axis *axis, uint32_t in, uint32_t out, uint32_t begin,
                         uint32_t count, dvk_resample filter, dvk_error *error);
void dvk_axis_free(const dvk_allocator *allocator, dvk_axis *axis);

/* Pillow 13 resizes vertically first where the height shrinks by more than twice what the width shrinks by (its pull
 * request 9549); up to 12 it was always horizontally first. */
bool dvk_resize_vertical_first(uint32_t in_width, uint32_t in_height, uint32_t width, uint32_t height,
                               dvk_resize_order order);

/* The filters themselves: output `index` of a pass from `in` to `out` samples is the sum of weights[k] * input[*first +
 * k] over the returned number of taps, at most dvk_filter_most_taps(). Not for NEAREST. */
uint32_t dvk_filter_taps(uint32_t in, uint32_t out, uint32_t index, dvk_resample filter, double *weights,
                         uint32_t *first);
size_t dvk_filter_most_taps(uint32_t in, uint32_t out, dvk_resample filter);

/* Without rounding between: the bytes times `factor`, filtered in double, as torch's antialiased resize of a float
 * image. planes: [3][height][width]. */
dvk_result dvk_resize_float(const dvk_allocator *allocator, const dvk_image *image, double factor, uint32_t width,
                            uint32_t height, dvk_resample filter, float *planes, dvk_error *error);

#endif
