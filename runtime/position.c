/* torch.nn.functional.interpolate(mode="bicubic", align_corners=False, antialias=False) of the position table. */
#include "checkpoint.h"

#include <math.h>
#include <string.h>

/* The four neighbours of one target position along one axis, clamped to the table, and their weights. */
typedef struct taps {
    uint32_t index[4];
    double weight[4];
} taps;

/* Keys' cubic convolution with torch's a. */
static double cubic(double x) {
    const double a = -0.75;
    x = fabs(x);
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

static taps make_taps(uint32_t position, uint32_t old_size, uint32_t new_size) {
    taps result;
    double center = (position + 0.5) * ((double)old_size / new_size) - 0.5;
    double base = floor(center);
    for (int i = 0; i < 4; i++) {
        double neighbour = base - 1 + i;
        result.weight[i] = cubic(center - neighbour);
        result.index[i] = neighbour < 0 ? 0 : neighbour > old_size - 1.0 ? old_size - 1 : (uint32_t)neighbour;
    }
    return result;
}

void dvk_interpolate_positions(const float *table, uint32_t rows, uint32_t columns, uint32_t new_rows,
                               uint32_t new_columns, uint32_t hidden_size, float *result) {
    const size_t width = hidden_size;
    if (rows == new_rows && columns == new_columns) {
        memcpy(result, table, (1 + (size_t)rows * columns) * width * sizeof(float));
        return;
    }
    memcpy(result, table, width * sizeof(float));
    table += width;
    result += width;
    for (uint32_t y = 0; y < new_rows; y++) {
        const taps vertical = make_taps(y, rows, new_rows);
        for (uint32_t x = 0; x < new_columns; x++, result += width) {
            const taps horizontal = make_taps(x, columns, new_columns);
            for (size_t c = 0; c < width; c++) {
                double sum = 0;
                for (int i = 0; i < 4; i++) {
                    const float *row = table + (size_t)vertical.index[i] * columns * width + c;
                    double along = 0;
                    for (int j = 0; j < 4; j++)
                        along += horizontal.weight[j] * row[horizontal.index[j] * width];
                    sum += vertical.weight[i] * along;
                }
                result[c] = (float)sum;
            }
        }
    }
}
