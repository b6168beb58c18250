/* Conversions of numbers, and the interpolation of the position table. */
#include "checkpoint.h"

#include <math.h>

#include "test.h"

/* The definition of binary16, by arithmetic. */
static double half_value(uint32_t half) {
    int exponent = (int)(half >> 10 & 31);
    double fraction = half & 0x3ff, sign = half & 0x8000 ? -1 : 1;
    if (exponent == 31)
        return fraction != 0 ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24));
}

static void test_all_halves(void) {
    for (uint32_t half = 0; half < 65536; half++) {
        const double expected = half_value(half);
        const float found = dvk_half_to_float((uint16_t)half);
        if (isnan(expected)) {
            CHECK_MESSAGE(isnan(found), "0x%04x", half);
            const float back = dvk_half_to_float(dvk_float_to_half(found));
            CHECK_MESSAGE(isnan(back) && signbit(back) == signbit(found), "0x%04x", half);
            continue;
        }
        CHECK_MESSAGE((double)found == expected && !signbit(found) == !(half & 0x8000), "0x%04x", half);
        CHECK_MESSAGE(dvk_float_to_half(found) == half, "0x%04x", half);
    }
}

/* Between every two neighbouring halves: the middle goes to the even one, and the floats next to it to their side. */
static void test_rounding(void) {
    for (uint32_t half = 0; half < 0x7c00; half++) {
        const double upper = half == 0x7bff ? 65536 : half_value(half + 1);
        const float middle = (float)((half_value(half) + upper) / 2); /* exact: one bit more than a half has */
        const uint32_t even = half & 1 ? half + 1 : half;
        CHECK_MESSAGE(dvk_float_to_half(middle) == even, "0x%04x", half);
        CHECK_MESSAGE(dvk_float_to_half(nextafterf(middle, 0)) == half, "0x%04x", half);
        CHECK_MESSAGE(dvk_float_to_half(nextafterf(middle, INFINITY)) == half + 1, "0x%04x", half);
        CHECK_MESSAGE(dvk_float_to_half(-middle) == (even | 0x8000), "0x%04x", half);
    }
    CHECK(dvk_float_to_half(65504.0f) == 0x7bff && dvk_float_to_half(65520.0f) == 0x7c00);
    CHECK(dvk_float_to_half(1e30f) == 0x7c00 && dvk_float_to_half(-1e30f) == 0xfc00);
    CHECK(dvk_float_to_half(INFINITY) == 0x7c00 && dvk_float_to_half(-INFINITY) == 0xfc00);
    CHECK(dvk_float_to_half(0x1p-149f) == 0 && dvk_float_to_half(-0.0f) == 0x8000);
}

static void test_tensors(void) {
    static const float floats[] = {1.5f, -0.0f, 0x1.234568p-130f, 3e38f};
    static const uint16_t halves[] = {0x3c00, 0xc000, 0x0001, 0x7bff}, brains[] = {0x3f80, 0xc000, 0x0001, 0x7f7f};
    static const float brain_values[] = {1, -2, 0x1p-133f, 0x1.fep127f};
    uint8_t bytes[17]; /* from an odd address on */
    float values[4];
    dvk_tensor tensor = {.data = bytes + 1};
    tensor.dtype = DVK_DTYPE_F32;
    memcpy(bytes + 1, floats, sizeof(floats));
    dvk_tensor_to_float(&tensor, 0, 4, values);
    CHECK(!memcmp(values, floats, sizeof(floats)));
    dvk_tensor_to_float(&tensor, 2, 2, values);
    CHECK(!memcmp(values, floats + 2, 2 * sizeof(float)));
    tensor.dtype = DVK_DTYPE_F16;
    memcpy(bytes + 1, halves, sizeof(halves));
    dvk_tensor_to_float(&tensor, 0, 4, values);
    CHECK(values[0] == 1 && values[1] == -2 && values[2] == 0x1p-24f && values[3] == 65504);
    tensor.dtype = DVK_DTYPE_BF16;
    memcpy(bytes + 1, brains, sizeof(brains));
    dvk_tensor_to_float(&tensor, 0, 4, values);
    CHECK(!memcmp(values, brain_values, sizeof(brain_values)));
    dvk_tensor_to_float(&tensor, 3, 1, values);
    CHECK(values[0] == brain_values[3]);
    dvk_tensor_to_float(&tensor, 4, 0, values);
}

/* ----------------------------------------------------------------------------------------------- positions */

/* The kernel as Keys writes it, expanded, with a = -3/4; the sum runs over the whole (clamped) plane and not over four
 * neighbours, so that this shares nothing with the code under test but the definition. */
static double keys(double distance) {
    const double x = fabs(distance);
    if (x < 1)
        return 1.25 * x * x * x - 2.25 * x * x + 1;
    return x < 2 ? -0.75 * x * x * x + 3.75 * x * x - 6 * x + 3 : 0;
}

static double direct(const float *plane, int rows, int columns, int width, int new_rows, int new_columns, int y,
                     int x) {
    const double center_y = (y + 0.5) * rows / new_rows - 0.5, center_x = (x + 0.5) * columns / new_columns - 0.5;
    double sum = 0;
    for (int i = -3; i < rows + 3; i++)
        for (int j = -3; j < columns + 3; j++) {
            const int row = i < 0 ? 0 : i < rows ? i : rows - 1, column = j < 0 ? 0 : j < columns ? j : columns - 1;
            sum += keys(center_y - i) * keys(center_x - j) * plane[(row * columns + column) * width];
        }
    return sum;
}

static void test_grid(int rows, int columns, int new_rows, int new_columns) {
    enum { WIDTH = 3 };
    const size_t size = (size_t)rows * (size_t)columns * WIDTH;
    const size_t new_size = (size_t)new_rows * (size_t)new_columns * WIDTH;
    float *table = malloc(size * sizeof(float)), *result = malloc(new_size * sizeof(float));
    REQUIRE(table && result);
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        table[i] = (float)(int32_t)state * 0x1p-31f;
    }
    REQUIRE(dvk_interpolate_positions(NULL, table, (uint32_t)rows, (uint32_t)columns, (uint32_t)new_rows,
                                      (uint32_t)new_columns, WIDTH, (dvk_position_resize){0}, result, NULL) == DVK_OK);
    double worst = 0;
    for (int y = 0; y < new_rows; y++)
        for (int x = 0; x < new_columns; x++)
            for (int c = 0; c < WIDTH; c++) {
                const double expected = direct(table + c, rows, columns, WIDTH, new_rows, new_columns, y, x);
                const double found = result[(y * new_columns + x) * WIDTH + c];
                worst = fmax(worst, fabs(found - expected));
            }
    /* Results stay below 2 in magnitude (the weights' magnitudes sum to at most 1.57 along each axis, the table is
     * below 1), mostly below 1; rounding to float32 moves them by at most 2^-24 of 4; the double sums by far less. */
    CHECK_MESSAGE(worst <= 0x1p-23, "%dx%d to %dx%d: %g", rows, columns, new_rows, new_columns, worst);
    if (rows == new_rows && columns == new_columns)
        CHECK(!memcmp(result, table, size * sizeof(float)));
    free(table);
    free(result);
}

/* By hand: (0, 1) to four values has centers -0.25, 0.25, 0.75, 1.25, so the neighbours are 0.25, 0.75, 1.25 and 1.75
 * away, with weights 0.87890625, 0.26171875, -0.10546875, -0.03515625, and those beyond the ends are clamped. */
static void test_known(void) {
    static const float table[] = {0, 1};
    float result[4];
    REQUIRE(dvk_interpolate_positions(NULL, table, 1, 2, 1, 4, 1, (dvk_position_resize){0}, result, NULL) == DVK_OK);
    CHECK_MESSAGE(result[0] == -0.10546875f, "%.9g", result[0]);
    CHECK_MESSAGE(result[1] == 0.26171875f - 0.03515625f, "%.9g", result[1]);
    CHECK_MESSAGE(result[2] == 0.87890625f - 0.10546875f, "%.9g", result[2]);
    CHECK_MESSAGE(result[3] == 1.10546875f, "%.9g", result[3]);
}

/* (0, 1, 2, 3) with antialiasing. To eight: a = -1/2 reproduces straight lines, so away from the edges the values are
 * (i + 0.5) / 2 - 0.5. To two: a constant stays one, and the two are each other's mirror images around 1.5. */
static void test_antialias(void) {
    static const float line[] = {0, 1, 2, 3}, flat[] = {5, 5, 5, 5};
    const dvk_position_resize resize = {.antialias = true};
    float result[8];
    REQUIRE(dvk_interpolate_positions(NULL, line, 4, 1, 8, 1, 1, resize, result, NULL) == DVK_OK);
    CHECK_MESSAGE(fabsf(result[3] - 1.25f) < 1e-6f && fabsf(result[4] - 1.75f) < 1e-6f, "%g %g", result[3], result[4]);
    REQUIRE(dvk_interpolate_positions(NULL, line, 1, 4, 1, 2, 1, resize, result, NULL) == DVK_OK);
    CHECK_MESSAGE(fabsf(result[0] + result[1] - 3) < 1e-6f && result[0] > 0.3f && result[0] < 0.7f, "%g", result[0]);
    REQUIRE(dvk_interpolate_positions(NULL, flat, 2, 2, 1, 1, 1, resize, result, NULL) == DVK_OK);
    CHECK(result[0] == 5);
}

/* DINO's scale factor: 4 to 4 + 0.1 puts position i at (i + 0.5) 4 / 6.1 - 0.5. The last of six is at 3.1066, with the
 * neighbours 2, 3, 4, 5 at 1.1066, 0.1066, 0.8934 and 1.8934, of which the last two are the edge again. */
static void test_dino_scale_factor(void) {
    static const float table[] = {0, 0, 1, 0};
    float result[6];
    const dvk_position_resize resize = {.dino_scale_factor = true};
    REQUIRE(dvk_interpolate_positions(NULL, table, 1, 4, 1, 6, 1, resize, result, NULL) == DVK_OK);
    CHECK_MESSAGE(fabs(result[5] - keys(5.5 * 4 / 6.1 - 0.5 - 2)) < 1e-7, "%.9g", result[5]);
    CHECK_MESSAGE(fabs(result[2] - keys(2.5 * 4 / 6.1 - 0.5 - 2)) < 1e-7, "%.9g", result[2]);
}

int main(void) {
    test_all_halves();
    test_rounding();
    test_tensors();
    test_known();
    test_antialias();
    test_dino_scale_factor();
    test_grid(4, 4, 4, 4);
    test_grid(5, 5, 9, 7);
    test_grid(14, 14, 15, 20);
    test_grid(14, 14, 3, 1);
    test_grid(1, 1, 4, 3);
    test_grid(2, 3, 11, 2);
    test_grid(28, 28, 30, 40);
    return FINISH();
}
