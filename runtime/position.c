/* Positions: torch.nn.functional.interpolate(mode="bicubic", align_corners=False) of a learned table, with and without
 * antialiasing, and the angles of rotary ones. */
#include "checkpoint.h"

#include <math.h>
#include <string.h>

/* What each target position along one axis takes from the source: `taps` neighbours from first[i] on. */
typedef struct axis {
    uint32_t taps;
    uint32_t *first; /* [new size] */
    double *weights; /* [new size][taps] */
} axis;

/* Keys' cubic convolution; zero from 2 on. */
static double cubic(double x, double a) {
    x = fabs(x);
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static uint32_t clamp(double value, uint32_t largest) {
    return value < 0 ? 0 : value > largest ? largest : (uint32_t)value;
}

/* Four neighbours; those beyond the edge are the edge. */
static void plain_weights(axis *target, uint32_t i, uint32_t old_size, double scale) {
    double center = (i + 0.5) * scale - 0.5, base = floor(center);
    uint32_t first = clamp(base - 1, old_size - target->taps);
    target->first[i] = first;
    for (int tap = -1; tap <= 2; tap++)
        target->weights[(size_t)i * target->taps + clamp(base + tap, old_size - 1) - first] +=
            cubic(center - (base + tap), -0.75);
}

/* A filter as wide as the reduction; what falls beyond the edge is left out. */
static void antialias_weights(axis *target, uint32_t i, uint32_t old_size, double scale) {
    double stretch = fmax(scale, 1), center = (i + 0.5) * scale, sum = 0;
    uint32_t begin = clamp(floor(center - 2 * stretch + 0.5), old_size);
    uint32_t end = clamp(floor(center + 2 * stretch + 0.5), old_size);
    uint32_t first = begin < old_size - target->taps ? begin : old_size - target->taps;
    double *weights = target->weights + (size_t)i * target->taps;
    target->first[i] = first;
    for (uint32_t j = begin; j < end; j++)
        sum += weights[j - first] = cubic((j + 0.5 - center) / stretch, -0.5);
    for (uint32_t tap = 0; tap < target->taps; tap++)
        weights[tap] /= sum;
}

static dvk_result make_axis(const dvk_allocator *allocator, axis *target, uint32_t old_size, uint32_t new_size,
                            dvk_position_resize resize, dvk_error *error) {
    double scale = (double)old_size / (new_size + (resize.dino_scale_factor ? 0.1 : 0.0));
    double taps = resize.antialias ? 2 * ceil(2 * fmax(scale, 1)) + 1 : 4;
    target->taps = taps < old_size ? (uint32_t)taps : old_size;
    target->first = dvk_allocate(allocator, new_size * sizeof(*target->first));
    target->weights = dvk_allocate_zeroed(allocator, (size_t)new_size * target->taps, sizeof(*target->weights));
    if (!target->first || !target->weights)
        return dvk_fail_memory(error, (size_t)new_size * target->taps * sizeof(*target->weights));
    for (uint32_t i = 0; i < new_size; i++) {
        if (resize.antialias)
            antialias_weights(target, i, old_size, scale);
        else
            plain_weights(target, i, old_size, scale);
    }
    return DVK_OK;
}

static void apply(const float *table, uint32_t columns, const axis *vertical, const axis *horizontal, uint32_t new_rows,
                  uint32_t new_columns, size_t width, float *result) {
    for (uint32_t y = 0; y < new_rows; y++)
        for (uint32_t x = 0; x < new_columns; x++, result += width) {
            const double *down = vertical->weights + (size_t)y * vertical->taps;
            const double *right = horizontal->weights + (size_t)x * horizontal->taps;
            const float *corner = table + ((size_t)vertical->first[y] * columns + horizontal->first[x]) * width;
            for (size_t c = 0; c < width; c++) {
                double sum = 0;
                for (uint32_t i = 0; i < vertical->taps; i++) {
                    const float *row = corner + (size_t)i * columns * width + c;
                    double along = 0;
                    for (uint32_t j = 0; j < horizontal->taps; j++)
                        along += right[j] * row[j * width];
                    sum += down[i] * along;
                }
                result[c] = (float)sum;
            }
        }
}

dvk_result dvk_interpolate_positions(const dvk_allocator *allocator, const float *table, uint32_t rows,
                                     uint32_t columns, uint32_t new_rows, uint32_t new_columns, uint32_t hidden_size,
                                     dvk_position_resize resize, float *result, dvk_error *error) {
    if (rows == new_rows && columns == new_columns) {
        memcpy(result, table, (size_t)rows * columns * hidden_size * sizeof(float));
        return DVK_OK;
    }
    axis vertical = {0}, horizontal = {0};
    dvk_result status = make_axis(allocator, &vertical, rows, new_rows, resize, error);
    if (status == DVK_OK)
        status = make_axis(allocator, &horizontal, columns, new_columns, resize, error);
    if (status == DVK_OK)
        apply(table, columns, &vertical, &horizontal, new_rows, new_columns, hidden_size, result);
    dvk_release(allocator, vertical.first);
    dvk_release(allocator, vertical.weights);
    dvk_release(allocator, horizontal.first);
    dvk_release(allocator, horizontal.weights);
    return status;
}

void dvk_rotary_angles(uint32_t rows, uint32_t columns, uint32_t head_dim, double theta, float *angles) {
    const double two_pi = 6.283185307179586476925;
    const uint32_t quarter = head_dim / 4;
    for (uint32_t y = 0; y < rows; y++)
        for (uint32_t x = 0; x < columns; x++, angles += head_dim)
            for (uint32_t i = 0; i < quarter; i++) {
                double frequency = two_pi * pow(theta, -4.0 * i / head_dim);
                double down = frequency * (2 * (y + 0.5) / rows - 1), right = frequency * (2 * (x + 0.5) / columns - 1);
                angles[i] = (float)cos(down);
                angles[quarter + i] = (float)cos(right);
                angles[2 * quarter + i] = (float)sin(down);
                angles[3 * quarter + i] = (float)sin(right);
            }
}
