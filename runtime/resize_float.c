#include "preprocess.h"

#include <math.h>
#include <stdlib.h>

/* One axis: output i is the sum of weights[i * taps + k] * in[first[i] + k]. */
typedef struct axis {
    uint32_t taps;
    uint32_t *first;
    double *weights;
} axis;

static double filter_at(dvk_resample filter, double x) {
    x = fabs(x);
    if (filter == DVK_RESAMPLE_BILINEAR)
        return x < 1 ? 1 - x : 0;
    if (x < 1) /* Keys' cubic with a = -0.5 */
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

static dvk_result make_axis(axis *target, uint32_t in, uint32_t out, dvk_resample filter, dvk_error *error) {
    const double scale = (double)in / out, stretch = fmax(scale, 1);
    const double support = (filter == DVK_RESAMPLE_BILINEAR ? 1 : 2) * stretch;
    const double most = 2 * ceil(support) + 1;
    target->taps = most < in ? (uint32_t)most : in;
    target->first = malloc(out * sizeof(*target->first));
    target->weights = calloc((size_t)out * target->taps, sizeof(*target->weights));
    if (!target->first || !target->weights)
        return dvk_fail_memory(error, (size_t)out * target->taps * sizeof(*target->weights));
    for (uint32_t i = 0; i < out; i++) {
        const double center = (i + 0.5) * scale;
        const double low = fmax(floor(center - support + 0.5), 0), high = fmin(floor(center + support + 0.5), in);
        const uint32_t begin = (uint32_t)low, end = (uint32_t)high;
        const uint32_t first = begin < in - target->taps ? begin : in - target->taps;
        double *weights = target->weights + (size_t)i * target->taps, sum = 0;
        target->first[i] = first;
        for (uint32_t j = begin; j < end; j++)
            sum += weights[j - first] = filter_at(filter, (j + 0.5 - center) / stretch);
        for (uint32_t tap = 0; tap < target->taps; tap++)
            weights[tap] /= sum;
    }
    return DVK_OK;
}

/* One row of the result: first down the columns that it needs, then along them. `column`: 3 * source_width doubles. */
static void resize_row(const uint8_t *source, uint32_t source_width, const axis *vertical, const axis *horizontal,
                       uint32_t y, uint32_t width, double *column, float *target) {
    const size_t row = 3 * (size_t)source_width;
    const double *down = vertical->weights + (size_t)y * vertical->taps;
    for (size_t i = 0; i < row; i++) {
        column[i] = 0;
        for (uint32_t tap = 0; tap < vertical->taps; tap++)
            column[i] += down[tap] * source[(vertical->first[y] + (size_t)tap) * row + i];
    }
    for (uint32_t x = 0; x < width; x++)
        for (uint32_t channel = 0; channel < 3; channel++) {
            const double *right = horizontal->weights + (size_t)x * horizontal->taps;
            double sum = 0;
            for (uint32_t tap = 0; tap < horizontal->taps; tap++)
                sum += right[tap] * column[3 * ((size_t)horizontal->first[x] + tap) + channel];
            target[3 * (size_t)x + channel] = (float)sum;
        }
}

dvk_result dvk_resize_float(const uint8_t *source, uint32_t source_width, uint32_t source_height, float *target,
                            uint32_t width, uint32_t height, dvk_resample filter, dvk_error *error) {
    axis vertical = {0}, horizontal = {0};
    double *column = NULL;
    dvk_result result = DVK_OK;
    if (filter != DVK_RESAMPLE_BILINEAR && filter != DVK_RESAMPLE_BICUBIC)
        result = dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                          "resizing without rounding is bilinear or bicubic, the model's processor asks for %s",
                          dvk_resample_name(filter));
    if (result == DVK_OK)
        result = make_axis(&vertical, source_height, height, filter, error);
    if (result == DVK_OK)
        result = make_axis(&horizontal, source_width, width, filter, error);
    if (result == DVK_OK) {
        column = malloc(3 * (size_t)source_width * sizeof(*column));
        if (!column)
            result = dvk_fail_memory(error, 3 * (size_t)source_width * sizeof(*column));
    }
    for (uint32_t y = 0; y < height && result == DVK_OK; y++)
        resize_row(source, source_width, &vertical, &horizontal, y, width, column, target + 3 * (size_t)y * width);
    free(column);
    free(vertical.first);
    free(vertical.weights);
    free(horizontal.first);
    free(horizontal.weights);
    return result;
}
