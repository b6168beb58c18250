#include "resample.h"

#include <string.h>

/* One pass as a table: all outputs' taps, or a copy where the size stays. */
typedef struct taps {
    uint32_t *first, *count;
    double *weights;
    size_t stride;
} taps;

static void taps_free(const dvk_allocator *allocator, taps *t) {
    dvk_release(allocator, t->first);
    dvk_release(allocator, t->count);
    dvk_release(allocator, t->weights);
}

static dvk_result taps_init(const dvk_allocator *allocator, taps *t, uint32_t in, uint32_t out, dvk_resample filter,
                            dvk_error *error) {
    /* An input and an output side are below 2^31 each and the taps of all outputs together about 8 times the larger. */
    t->stride = in == out ? 1 : dvk_filter_most_taps(in, out, filter);
    t->first = dvk_allocate_zeroed(allocator, out, sizeof(*t->first));
    t->count = dvk_allocate_zeroed(allocator, out, sizeof(*t->count));
    t->weights =
        t->stride > SIZE_MAX / sizeof(double) / out ? NULL : dvk_allocate(allocator, t->stride * out * sizeof(double));
    if (!t->first || !t->count || !t->weights)
        return dvk_fail_memory(error, t->stride * sizeof(double) * out);
    for (uint32_t i = 0; i < out; i++) {
        double *weights = t->weights + i * t->stride;
        t->first[i] = i;
        t->count[i] = 1;
        weights[0] = 1.0;
        if (in != out)
            t->count[i] = dvk_filter_taps(in, out, i, filter, weights, &t->first[i]);
    }
    return DVK_OK;
}

/* Row `y` of the result: first down the columns into `row`, [image->width][3], then along it. */
static void resize_row(const dvk_image *image, const taps *vertical, const taps *horizontal, double factor, uint32_t y,
                       double *row, float *planes, uint32_t width, uint32_t height) {
    const size_t row_samples = (size_t)image->width * 3;
    memset(row, 0, row_samples * sizeof(*row));
    for (uint32_t k = 0; k < vertical->count[y]; k++) {
        const uint8_t *source = image->pixels + (vertical->first[y] + k) * row_samples;
        const double weight = vertical->weights[y * vertical->stride + k] * factor;
        for (size_t i = 0; i < row_samples; i++)
            row[i] += weight * source[i];
    }
    for (uint32_t x = 0; x < width; x++) {
        const double *source = row + (size_t)horizontal->first[x] * 3;
        const double *weights = horizontal->weights + x * horizontal->stride;
        double sum[3] = {0.0, 0.0, 0.0};
        for (uint32_t k = 0; k < horizontal->count[x]; k++)
            for (int c = 0; c < 3; c++)
                sum[c] += weights[k] * source[3 * (size_t)k + (size_t)c];
        for (size_t c = 0; c < 3; c++)
            planes[(c * height + y) * width + x] = (float)sum[c];
    }
}

dvk_result dvk_resize_float(const dvk_allocator *allocator, const dvk_image *image, double factor, uint32_t width,
                            uint32_t height, dvk_resample filter, float *planes, dvk_error *error) {
    if (filter == DVK_RESAMPLE_NEAREST)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "this processor resizes floats, which \"nearest\" is not made for");
    taps vertical = {0}, horizontal = {0};
    double *row = dvk_allocate(allocator, (size_t)image->width * 3 * sizeof(*row));
    dvk_result result = row ? DVK_OK : dvk_fail_memory(error, (size_t)image->width * 3 * sizeof(*row));
    if (result == DVK_OK)
        result = taps_init(allocator, &vertical, image->height, height, filter, error);
    if (result == DVK_OK)
        result = taps_init(allocator, &horizontal, image->width, width, filter, error);
    for (uint32_t y = 0; y < height && result == DVK_OK; y++)
        resize_row(image, &vertical, &horizontal, factor, y, row, planes, width, height);
    taps_free(allocator, &vertical);
    taps_free(allocator, &horizontal);
    dvk_release(allocator, row);
    return result;
}
