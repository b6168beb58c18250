/* Pillow's separable resampling of 8-bit RGB, bit for bit.
 *
 * Each output sample is a weighted sum of the input samples within the filter's support, which grows with the scale
 * when shrinking (antialiasing). The weights are computed in double, normalised to sum 1 and rounded to 22-bit fixed
 * point; each of the two passes rounds and clips to 8 bits, so the order of the passes shows in the bytes. */
#include "resample.h"

#include <limits.h>
#include <math.h>
#include <string.h>

/* 32 minus 8 bits of sample minus 2 bits of headroom for the filters' overshoot; shaders/resample.glsl has it, too. */
#define PRECISION_BITS 22
#define PI 3.14159265358979323846

static double filter_box(double x) {
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double filter_bilinear(double x) {
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double filter_hamming(double x) {
    x = fabs(x);
    if (x == 0.0)
        return 1.0;
    if (x >= 1.0)
        return 0.0;
    x *= PI;
    return sin(x) / x * (0.54f + 0.46f * cos(x)); /* single precision in Pillow, too: it shows in the bytes */
}

/* Keys' cubic with a = -0.5. The order of operations is part of the result. */
static double filter_bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0)
        return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static double sinc(double x) {
    if (x == 0.0)
        return 1.0;
    x *= PI;
    return sin(x) / x;
}

static double filter_lanczos(double x) {
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

typedef struct filter_kernel {
    double (*function)(double x);
    double support; /* where it becomes zero, in input samples at scale 1 */
} filter_kernel;

static const filter_kernel filter_kernels[] = {
    [DVK_RESAMPLE_NEAREST] = {NULL, 0.0},
    [DVK_RESAMPLE_LANCZOS] = {filter_lanczos, 3.0},
    [DVK_RESAMPLE_BILINEAR] = {filter_bilinear, 1.0},
    [DVK_RESAMPLE_BICUBIC] = {filter_bicubic, 2.0},
    [DVK_RESAMPLE_BOX] = {filter_box, 0.5},
    [DVK_RESAMPLE_HAMMING] = {filter_hamming, 1.0},
};

void dvk_axis_free(const dvk_allocator *allocator, dvk_axis *a) {
    dvk_release(allocator, a->first);
    dvk_release(allocator, a->taps);
    dvk_release(allocator, a->weights);
    memset(a, 0, sizeof(*a));
}

/* A pass that copies one input sample to each output: a weight of exactly 1 leaves a byte as it is. */
static void axis_copy(dvk_axis *a, uint32_t in, uint32_t out, uint32_t begin, uint32_t count) {
    /* Pillow adds up the positions instead of multiplying, so the rounding errors are part of the result. */
    const double scale = (double)in / out;
    double position = scale * 0.5;
    for (uint32_t i = 0; i < begin; i++)
        position += scale;
    for (uint32_t i = 0; i < count; i++, position += scale) {
        const uint32_t nearest = (uint32_t)position;
        a->first[i] = nearest < in ? nearest : in - 1;
        a->taps[i] = 1;
        a->weights[i] = 1 << PRECISION_BITS;
    }
}

uint32_t dvk_filter_taps(uint32_t in, uint32_t out, uint32_t index, dvk_resample filter, double *weights,
                         uint32_t *first) {
    const filter_kernel *kernel = &filter_kernels[filter];
    const double scale = (double)in / out;
    const double filter_scale = scale < 1.0 ? 1.0 : scale;
    const double support = kernel->support * filter_scale;
    const double inverse_scale = 1.0 / filter_scale;
    const double center = ((double)index + 0.5) * scale;
    int64_t low = (int64_t)(center - support + 0.5);
    int64_t high = (int64_t)(center + support + 0.5);
    if (low < 0)
        low = 0;
    if (high > in)
        high = in;

    const uint32_t taps = (uint32_t)(high - low);
    double sum = 0.0;
    for (uint32_t k = 0; k < taps; k++) {
        weights[k] = kernel->function((k + (double)low - center + 0.5) * inverse_scale);
        sum += weights[k];
    }
    for (uint32_t k = 0; k < taps && sum != 0.0; k++)
        weights[k] /= sum;
    *first = (uint32_t)low;
    return taps;
}

size_t dvk_filter_most_taps(uint32_t in, uint32_t out, dvk_resample filter) {
    const double scale = in > out ? (double)in / out : 1.0;
    return (size_t)ceil(filter_kernels[filter].support * scale) * 2 + 1;
}

/* `scratch` holds a->stride doubles. */
static void axis_filter(dvk_axis *a, uint32_t in, uint32_t out, uint32_t begin, uint32_t count, dvk_resample filter,
                        double *scratch) {
    for (uint32_t i = 0; i < count; i++) {
        a->taps[i] = dvk_filter_taps(in, out, begin + i, filter, scratch, &a->first[i]);
        int32_t *weights = a->weights + i * a->stride;
        for (uint32_t k = 0; k < a->taps[i]; k++)
            weights[k] = (int32_t)((scratch[k] < 0.0 ? -0.5 : 0.5) + scratch[k] * (1 << PRECISION_BITS));
    }
}

dvk_result dvk_axis_init(const dvk_allocator *allocator, dvk_axis *a, uint32_t in, uint32_t out, uint32_t begin,
                         uint32_t count, dvk_resample filter, dvk_error *error) {
    memset(a, 0, sizeof(*a));

    const bool copy = filter == DVK_RESAMPLE_NEAREST || in == out; /* an axis that keeps its size is not filtered */
    const uint64_t stride = copy ? 1 : dvk_filter_most_taps(in, out, filter);
    const uint64_t bytes = count * stride * sizeof(*a->weights);
    if (stride > SIZE_MAX / sizeof(double) || bytes / stride / sizeof(*a->weights) != count || bytes > SIZE_MAX / 2)
        return dvk_fail_memory(error, SIZE_MAX);

    a->stride = (size_t)stride;
    a->first = dvk_allocate(allocator, count * sizeof(*a->first));
    a->taps = dvk_allocate(allocator, count * sizeof(*a->taps));
    a->weights = dvk_allocate(allocator, (size_t)bytes);
    double *scratch = dvk_allocate(allocator, a->stride * sizeof(*scratch));
    if (!a->first || !a->taps || !a->weights || !scratch) {
        dvk_release(allocator, scratch);
        dvk_axis_free(allocator, a);
        return dvk_fail_memory(error, (size_t)bytes);
    }

    if (copy)
        axis_copy(a, in, out, begin, count);
    else
        axis_filter(a, in, out, begin, count, filter, scratch);
    dvk_release(allocator, scratch);

    a->low = in;
    a->high = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (a->first[i] < a->low)
            a->low = a->first[i];
        if (a->first[i] + a->taps[i] > a->high)
            a->high = a->first[i] + a->taps[i];
    }
    return DVK_OK;
}

/* The sums cannot overflow 32 bits: the positive weights of any of the filters add up to at most 1.3 (Lanczos at an
 * edge), and 1.3 * 255 * 2^22 < 2^31. The shift of a negative sum is arithmetic with every compiler we build with. */
static inline uint8_t clip8(int32_t sum) {
    const int32_t value = sum >> PRECISION_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

#define ROUNDING (1 << (PRECISION_BITS - 1))

/* `rows` rows of stride bytes; a->first counts pixels from `origin`. target: [rows][count][3]. */
static void pass_horizontal(const dvk_axis *a, uint32_t origin, uint32_t count, const uint8_t *source, size_t stride,
                            uint32_t rows, uint8_t *target) {
    for (uint32_t y = 0; y < rows; y++, source += stride) {
        for (uint32_t x = 0; x < count; x++, target += 3) {
            const uint8_t *pixel = source + (size_t)(a->first[x] - origin) * 3;
            const int32_t *weights = a->weights + x * a->stride;
            const uint32_t taps = a->taps[x];
            int32_t red = ROUNDING, green = ROUNDING, blue = ROUNDING;
            for (uint32_t k = 0; k < taps; k++, pixel += 3) {
                red += weights[k] * pixel[0];
                green += weights[k] * pixel[1];
                blue += weights[k] * pixel[2];
            }
            target[0] = clip8(red);
            target[1] = clip8(green);
            target[2] = clip8(blue);
        }
    }
}

/* `bytes` bytes of every row of stride bytes; a->first counts rows from `origin`. target: [count][bytes]. */
static void pass_vertical(const dvk_axis *a, uint32_t origin, uint32_t count, const uint8_t *source, size_t stride,
                          size_t bytes, uint8_t *target) {
    int32_t sums[1024]; /* a piece of a row that stays in the first-level cache */
    const size_t piece = sizeof(sums) / sizeof(sums[0]);

    for (uint32_t y = 0; y < count; y++, target += bytes) {
        const int32_t *weights = a->weights + y * a->stride;
        for (size_t begin = 0; begin < bytes; begin += piece) {
            const size_t n = bytes - begin < piece ? bytes - begin : piece;
            const uint8_t *row = source + (size_t)(a->first[y] - origin) * stride + begin;
            for (size_t i = 0; i < n; i++)
                sums[i] = ROUNDING;
            for (uint32_t k = 0; k < a->taps[y]; k++, row += stride) {
                const int32_t weight = weights[k];
                for (size_t i = 0; i < n; i++)
                    sums[i] += weight * row[i];
            }
            for (size_t i = 0; i < n; i++)
                target[begin + i] = clip8(sums[i]);
        }
    }
}

bool dvk_resize_vertical_first(uint32_t in_width, uint32_t in_height, uint32_t width, uint32_t height,
                               dvk_resize_order order) {
    const uint64_t narrower = in_width > width ? in_width - width : 0;
    return order == DVK_RESIZE_NEWEST && in_height > height && in_height - height > 2 * narrower;
}

dvk_result dvk_resize_window(const dvk_allocator *allocator, const uint8_t *source, uint32_t source_width,
                             uint32_t source_height, uint8_t *target, uint32_t width, uint32_t height,
                             const dvk_window *window, dvk_resample filter, dvk_resize_order order, dvk_error *error) {
    if (source_width - 1u >= INT32_MAX || source_height - 1u >= INT32_MAX || width - 1u >= INT32_MAX ||
        height - 1u >= INT32_MAX)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "resize: expected edges of 1 to %d pixels, found %ux%u to %ux%u", INT32_MAX - 1, source_width,
                        source_height, width, height);
    if (!dvk_resample_name((int)filter))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "resize: expected a filter number of 0 to 5, found %d",
                        (int)filter);

    dvk_axis horizontal, vertical;
    dvk_result result =
        dvk_axis_init(allocator, &horizontal, source_width, width, window->x, window->width, filter, error);
    if (result != DVK_OK)
        return result;
    result = dvk_axis_init(allocator, &vertical, source_height, height, window->y, window->height, filter, error);
    if (result != DVK_OK) {
        dvk_axis_free(allocator, &horizontal);
        return result;
    }

    /* Only what the second pass reads is computed by the first. */
    const uint32_t columns = horizontal.high - horizontal.low, rows = vertical.high - vertical.low;
    const bool down_first = dvk_resize_vertical_first(source_width, source_height, width, height, order);
    const size_t stride = (size_t)source_width * 3;
    const uint8_t *corner = source + vertical.low * stride + (size_t)horizontal.low * 3;
    const uint64_t bytes = 3 * (down_first ? (uint64_t)columns * window->height : (uint64_t)window->width * rows);
    uint8_t *between = bytes <= SIZE_MAX / 2 ? dvk_allocate(allocator, (size_t)bytes) : NULL;
    if (!between) {
        result = dvk_fail_memory(error, bytes <= SIZE_MAX ? (size_t)bytes : SIZE_MAX);
    } else if (down_first) {
        pass_vertical(&vertical, vertical.low, window->height, corner, stride, (size_t)columns * 3, between);
        pass_horizontal(&horizontal, horizontal.low, window->width, between, (size_t)columns * 3, window->height,
                        target);
    } else {
        pass_horizontal(&horizontal, horizontal.low, window->width, corner, stride, rows, between);
        pass_vertical(&vertical, vertical.low, window->height, between, (size_t)window->width * 3,
                      (size_t)window->width * 3, target);
    }

    dvk_release(allocator, between);
    dvk_axis_free(allocator, &horizontal);
    dvk_axis_free(allocator, &vertical);
    return result;
}

dvk_result dvk_resize(const dvk_allocator *allocator, const uint8_t *source, uint32_t source_width,
                      uint32_t source_height, uint8_t *target, uint32_t width, uint32_t height, dvk_resample filter,
                      dvk_resize_order order, dvk_error *error) {
    const dvk_window all = {0, 0, width, height};
    return dvk_resize_window(allocator, source, source_width, source_height, target, width, height, &all, filter, order,
                             error);
}
