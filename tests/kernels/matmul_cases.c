#include "cases.h"

#include <math.h>
#include <string.h>

#include "test.h"

typedef struct matmul_case {
    dvk_push_matmul push;
    dvk_activation activation;
    dvk_residual residual;
    test_array a, w, table, out;
    float *weights; /* [depth + 1][w_stride]: what w encodes */
    test_op op;
} matmul_case;

/* Edges of the tile, and anything up to two tiles and a bit; in steps of `step`. */
static uint32_t random_extent(uint64_t *random, uint32_t tile, uint32_t step) {
    const uint32_t steps = tile / step > 0 ? tile / step : 1;
    const uint32_t edges[] = {1, steps > 1 ? steps - 1 : 1, steps, steps + 1, 2 * steps};
    uint32_t choice = random_below(random, 8);
    return step * (choice < 5 ? edges[choice] : random_between(random, 1, 2 * steps + 2));
}

static dvk_push_matmul random_shape(uint64_t *random, const dvk_variant *variant, dvk_residual residual) {
    dvk_push_matmul push = {0};
    push.rows = random_extent(random, variant->tile_rows, 1);
    push.columns = random_extent(random, variant->tile_columns, 4);
    push.depth = random_below(random, 3) == 0 ? 4 * random_between(random, 1, 5) : 4 * random_between(random, 1, 50);
    push.a_stride = push.depth + 4 * random_below(random, 4);
    push.first_column = random_below(random, 2) == 0 ? 0 : 4 * random_below(random, 40);
    push.w_stride = (push.first_column + push.columns + 63) / 64 * 64;
    push.plane_columns = push.columns;
    if (residual != DVK_RESIDUAL_TABLE && random_below(random, 2) == 0)
        push.plane_columns = 4 * random_between(random, 1, push.columns / 4);
    push.out_stride = push.plane_columns + 4 * random_below(random, 3);
    push.plane_stride = push.rows * push.out_stride + 4 * random_below(random, 5);
    push.table_rows = random_between(random, 1, push.rows + 3);
    push.first_row = random_below(random, 100);
    return push;
}

static size_t out_count(const dvk_push_matmul *push) {
    uint32_t planes = (push->columns + push->plane_columns - 1) / push->plane_columns;
    return (size_t)(planes - 1) * push->plane_stride + (size_t)push->rows * push->out_stride;
}

/* Scales of four bits, so that byte times scale is exact. A byte cannot be NaN, so other columns have scales of NaN. */
static void fill_bytes(matmul_case *test, uint64_t *random) {
    const uint32_t stride = test->push.w_stride;
    const size_t matrix = (size_t)test->push.depth * stride;
    int8_t *bytes = (int8_t *)test->w.values;
    float *scales = test->w.values + matrix / 4;
    for (uint32_t c = 0; c < stride; c++)
        scales[c] = isnan(test->weights[c]) ? poison() : (float)random_between(random, 1, 15) / 1024.0f;
    for (size_t i = 0; i < matrix; i++) {
        bytes[i] = (int8_t)((int)random_below(random, 255) - 127);
        test->weights[i] = (float)bytes[i] * scales[i % stride];
    }
    memcpy(scales + stride, test->weights + matrix, stride * sizeof(float));
}

/* Columns that do not belong to the op are NaN: loading them is harmless, using them is not. */
static void fill_weights(matmul_case *test, dvk_weight_type type, uint64_t *random) {
    const dvk_push_matmul *push = &test->push;
    const size_t matrix = (size_t)push->depth * push->w_stride, all = matrix + push->w_stride;
    test->weights = allocate(all * sizeof(float));
    for (size_t i = 0; i < all; i++) {
        uint32_t column = (uint32_t)(i % push->w_stride);
        bool own = column >= push->first_column && column < push->first_column + push->columns;
        test->weights[i] = own ? random_value(random) : poison();
    }
    if (type == DVK_WEIGHT_INT8) {
        fill_bytes(test, random);
        return;
    }
    if (type == DVK_WEIGHT_FP32) {
        memcpy(test->w.values, test->weights, all * sizeof(float));
        return;
    }
    uint16_t *halves = (uint16_t *)test->w.values;
    for (size_t i = 0; i < matrix; i++)
        halves[i] = isnan(test->weights[i]) ? 0x7e00 : half_from(test->weights[i]);
    memcpy(halves + matrix, test->weights + matrix, push->w_stride * sizeof(float));
}

static void case_create(test_device *device, const dvk_variant *variant, matmul_case *test, uint64_t *random) {
    const dvk_push_matmul *push = &test->push;
    test->a = array_create(device, (size_t)push->rows * push->a_stride);
    size_t matrix = (size_t)push->depth * push->w_stride;
    static const size_t floats_per_weight[][2] = {
        [DVK_WEIGHT_FP32] = {1, 1}, [DVK_WEIGHT_FP16] = {2, 1}, [DVK_WEIGHT_INT8] = {4, 2}};
    const size_t *layout = floats_per_weight[variant->weight]; /* weights in a float, rows of floats behind them */
    test->w = array_create(device, matrix / layout[0] + layout[1] * push->w_stride);
    test->table = array_create(device, (size_t)push->table_rows * push->out_stride);
    test->out = array_create(device, out_count(push));
    for (uint32_t r = 0; r < push->rows; r++)
        for (uint32_t k = 0; k < push->depth; k++)
            test->a.values[(size_t)r * push->a_stride + k] = random_value(random);
    fill_weights(test, variant->weight, random);
    for (uint32_t r = 0; r < push->table_rows; r++)
        for (uint32_t c = 0; c < push->columns && c < push->out_stride; c++)
            test->table.values[(size_t)r * push->out_stride + c] = random_value(random);
    if (test->residual == DVK_RESIDUAL_IN_PLACE || test->residual == DVK_RESIDUAL_MULTIPLY)
        for (uint32_t r = 0; r < push->rows; r++)
            for (uint32_t c = 0; c < push->columns; c++)
                test->out.values[(size_t)(c / push->plane_columns) * push->plane_stride + (size_t)r * push->out_stride +
                                 c % push->plane_columns] = random_value(random);
    test->op =
        (test_op){.pipeline = pipeline_get(
                      device, variant, (test_constants){.activation = test->activation, .residual = test->residual}),
                  .arrays = {&test->a, &test->w, &test->table, &test->out},
                  .push = &test->push,
                  .push_size = sizeof(test->push),
                  .groups = op_groups(variant, push, 1)};
}

static void case_destroy(test_device *device, matmul_case *test) {
    array_destroy(device, &test->a);
    array_destroy(device, &test->w);
    array_destroy(device, &test->table);
    array_destroy(device, &test->out);
    free(test->weights);
}

/* A sum of K + 1 products and the residual, in any order and with or without fused multiply-add, is off by at most
 * (K + 3) roundings (one more for int8's scale) of the sum of the magnitudes (Higham, Accuracy and Stability of
 * Numerical Algorithms, 3.1). The activations stretch that by at most 1.13, GELU's steepest slope, and add their own
 * error: |x|/2 times that of erf or tanh (2e-7, math.glsl) and some roundings, in all under 5e-7 of max(1, |x|). Of n
 * products that are summed in half precision, the same holds with its roundings, 2^-11. */
static double tolerance_of(const matmul_case *test, double bound) {
    const uint32_t half_sums = test->op.pipeline->variant->half_sums;
    double sum = (test->push.depth + 4) * UNIT_ROUNDOFF * bound + (half_sums ? half_sums + 1 : 0) * 0x1p-11 * bound;
    return test->activation == DVK_ACTIVATION_NONE ? sum : 1.13 * sum + 5e-7 * fmax(1.0, bound);
}

static void case_check(test_device *device, matmul_case *test, int repeats, uint64_t *random) {
    const dvk_push_matmul *push = &test->push;
    double *a = array_to_double(&test->a), *table = array_to_double(&test->table),
           *expected = array_to_double(&test->out);
    double *bound = allocate(test->out.count * sizeof(*bound));
    const size_t all = (size_t)(push->depth + 1) * push->w_stride;
    double *w = allocate(all * sizeof(*w));
    for (size_t i = 0; i < all; i++)
        w[i] = (double)test->weights[i];

    reference_matmul(push, test->activation, test->residual, a, w, table, expected, bound);
    double squares = 0.0, bound_squares = 0.0;
    for (size_t i = 0; i < test->out.count; i++) {
        if (isnan(expected[i]))
            continue;
        squares += expected[i] * expected[i];
        bound_squares += bound[i] * bound[i];
        bound[i] = tolerance_of(test, bound[i]);
    }
    /* Roundings of random sign add up like a random walk: sqrt(K + 3) of them instead of K + 3. Five times that for
     * short sums, where the walk is no average yet; the activations as above. Of n products that are summed in half
     * precision each rounding is 0.4 * 2^-11 of a partial sum, which walks, too: in all 0.4 * 2^-11 of their
     * magnitudes, and sqrt(n / K) of that for the K / n such sums. */
    const double n = test->op.pipeline->variant->half_sums;
    const double half = n > 0.0 ? 0.4 * 0x1p-11 * sqrt(n / fmax(n, push->depth)) : 0.0;
    double rms = 5.0 * (sqrt(push->depth + 3.0) * UNIT_ROUNDOFF + half + (test->activation ? 1e-7 : 0.0)) *
                 sqrt(bound_squares / squares);
    char what[200];
    snprintf(what, sizeof(what), "%u x %u x %u, activation %d, residual %d, planes of %u, first column %u", push->rows,
             push->columns, push->depth, test->activation, test->residual, push->plane_columns, push->first_column);
    op_check(device, &test->op, &test->out, expected, bound, rms, repeats, random, what);
    free(a);
    free(table);
    free(expected);
    free(bound);
    free(w);
}

/* A row's result must not depend on where it stands or on what stands beside it: each row alone gives the same bits. */
static void check_rows_alone(test_device *device, const dvk_variant *variant, uint64_t *random) {
    matmul_case batch = {.push = {.rows = 2 * variant->tile_rows + 3,
                                  .columns = 100,
                                  .depth = 84,
                                  .a_stride = 84,
                                  .w_stride = 128,
                                  .out_stride = 100,
                                  .plane_columns = 100,
                                  .table_rows = 1},
                         .activation = DVK_ACTIVATION_GELU};
    case_create(device, variant, &batch, random);
    op_run(device, &batch.op);
    matmul_case one = batch;
    one.push.rows = 1;
    one.a = array_create(device, one.push.depth);
    one.out = array_create(device, one.push.columns);
    one.op.arrays[0] = &one.a;
    one.op.arrays[3] = &one.out;
    one.op.push = &one.push;
    one.op.groups = op_groups(variant, &one.push, 1);
    size_t different = 0;
    for (uint32_t row = 0; row < batch.push.rows; row++) {
        memcpy(one.a.values, batch.a.values + (size_t)row * batch.push.a_stride, batch.push.depth * sizeof(float));
        op_run(device, &one.op);
        different += memcmp(one.out.values, batch.out.values + (size_t)row * batch.push.out_stride,
                            batch.push.columns * sizeof(float)) != 0;
    }
    CHECK_MESSAGE(different == 0, "%s: %zu of %u rows have other bits when computed alone", variant->name, different,
                  batch.push.rows);
    array_destroy(device, &one.a);
    array_destroy(device, &one.out);
    case_destroy(device, &batch);
}

/* A grid of patches, or a row of them, or one, with fewer pixels beyond it than make another. */
static dvk_push_patchify random_patches(uint64_t *random, uint32_t patch_size) {
    dvk_push_patchify patches = {.patch_size = patch_size, .depth = 3 * patch_size * patch_size};
    const uint32_t grid_height = random_between(random, 1, 6);
    patches.prefix = (const uint32_t[]){0, 1, 5}[random_below(random, 3)];
    patches.grid_width = random_between(random, 1, 7);
    patches.width = patches.grid_width * patch_size + 4 * random_below(random, patch_size / 4);
    patches.height = grid_height * patch_size + random_below(random, patch_size);
    patches.tokens = patches.prefix + patches.grid_width * grid_height;
    patches.rows = random_between(random, 1, 3) * patches.tokens;
    return patches;
}

/* The product of patches that are read out of images gives the bits of the product of the patches written out, which
 * is checked: with the rows of all images, and of a part that begins anywhere. Compiling is what takes long, so that
 * each variant has two sizes, one of them by turns. */
static void check_patches(test_device *device, const dvk_variant *variant) {
    static const uint32_t patch_sizes[] = {16, 12, 32, 4};
    static unsigned turn;
    const uint32_t other = patch_sizes[turn++ % 4];
    uint64_t random = 9;
    for (int i = 0; i < 10; i++) {
        const dvk_push_patchify patches = random_patches(&random, i < 5 ? 8 : other);
        matmul_case test = {.push = {.rows = patches.rows,
                                     .columns = 4 * random_between(&random, 1, variant->tile_columns / 4 + 1),
                                     .depth = patches.depth,
                                     .a_stride = patches.depth,
                                     .table_rows = patches.tokens},
                            .residual = DVK_RESIDUAL_TABLE};
        if (i % 2) {
            test.push.first_row = random_below(&random, patches.rows);
            test.push.rows = random_between(&random, 1, patches.rows - test.push.first_row);
        }
        test.push.w_stride = (test.push.columns + 63) / 64 * 64;
        test.push.out_stride = test.push.plane_columns = test.push.columns;
        case_create(device, variant, &test, &random);

        test_array images =
            array_create(device, (size_t)patches.rows / patches.tokens * 3 * patches.height * patches.width);
        for (size_t j = 0; j < images.count; j++)
            images.values[j] = random_value(&random);
        double *pixels = array_to_double(&images),
               *rows = allocate((size_t)patches.rows * patches.depth * sizeof(*rows));
        reference_patchify(&patches, pixels, rows);
        for (size_t j = 0; j < test.a.count; j++)
            test.a.values[j] = (float)rows[(size_t)test.push.first_row * patches.depth + j];
        case_check(device, &test, 0, &random);

        matmul_case direct = test;
        direct.push.a_stride = patches.width;
        direct.push.a_plane = patches.width * patches.height;
        direct.push.prefix = patches.prefix;
        direct.push.grid_width = patches.grid_width;
        direct.out = array_create(device, test.out.count);
        direct.op.arrays[0] = &images;
        direct.op.arrays[3] = &direct.out;
        direct.op.push = &direct.push;
        direct.op.pipeline = pipeline_get(
            device, variant, (test_constants){.residual = DVK_RESIDUAL_TABLE, .patch_size = patches.patch_size});
        op_run_split(device, &direct.op, &random);
        CHECK_MESSAGE(
            memcmp(test.out.values, direct.out.values, test.out.count * sizeof(float)) == 0,
            "%s: other bits where patches of %u are read from %ux%u pixels, %u tokens before them, rows %u + %u",
            variant->name, patches.patch_size, patches.width, patches.height, patches.prefix, direct.push.first_row,
            direct.push.rows);
        array_destroy(device, &direct.out);
        array_destroy(device, &images);
        case_destroy(device, &test);
        free(pixels);
        free(rows);
    }
}

/* The activations by themselves: one weight is 1 and the others 0, so that what goes in is exact. GELU is x/2 times
 * 1 + erf or 1 + tanh, each to 2e-7 (math.glsl), and three roundings; tanh is to 2e-7 and one rounding. The argument of
 * the tanh in GELU_TANH is off by four roundings of itself, which its slope of at most 1 / cosh^2 turns into less than
 * two. */
static void check_activation(test_device *device, const dvk_variant *variant, dvk_activation activation) {
    enum { COUNT = 4001 };
    matmul_case test = {.push = {.rows = COUNT,
                                 .columns = 4,
                                 .depth = 4,
                                 .a_stride = 4,
                                 .w_stride = 64,
                                 .out_stride = 4,
                                 .plane_columns = 4,
                                 .table_rows = 1},
                        .activation = activation};
    uint64_t random = 7;
    case_create(device, variant, &test, &random);
    memset(test.w.values, 0, test.w.count * sizeof(float));
    if (variant->weight == DVK_WEIGHT_FP16)
        *(uint16_t *)test.w.values = half_from(1.0f);
    else if (variant->weight == DVK_WEIGHT_INT8) {
        *(int8_t *)test.w.values = 1;
        test.w.values[64] = 1.0f; /* the scale, behind 4 rows of 64 bytes */
    } else
        test.w.values[0] = 1.0f;
    for (uint32_t r = 0; r < COUNT; r++)
        test.a.values[4 * (size_t)r] = ((float)r - COUNT / 2) / 256.0f; /* -7.8 .. 7.8, exact in half precision */
    op_run(device, &test.op);
    double worst = 0.0;
    for (uint32_t r = 0; r < COUNT; r++) {
        double x = (double)test.a.values[4 * (size_t)r];
        double error = fabs((double)test.out.values[4 * (size_t)r] - reference_activation(activation, x));
        double tolerance =
            activation == DVK_ACTIVATION_TANH ? 2e-7 + UNIT_ROUNDOFF : fabs(x) * (1e-7 + 5.0 * UNIT_ROUNDOFF);
        worst = test_worst(worst, error / fmax(tolerance, 1e-30));
    }
    CHECK_MESSAGE(worst <= 1.0, "%s: activation %d is off by %.2f times what it may be", variant->name, activation,
                  worst);
    case_destroy(device, &test);
}

/* Half precision means rounded to nearest, ties to even, and not cut off, which is twice as far away and always to the
 * same side. Again one weight is 1 and the others 0. */
static void check_rounding(test_device *device, const dvk_variant *variant) {
    enum { COUNT = 4000 };
    matmul_case test = {.push = {.rows = COUNT,
                                 .columns = 4,
                                 .depth = 4,
                                 .a_stride = 4,
                                 .w_stride = 64,
                                 .out_stride = 4,
                                 .plane_columns = 4,
                                 .table_rows = 1}};
    uint64_t random = 8;
    case_create(device, variant, &test, &random);
    memset(test.w.values, 0, test.w.count * sizeof(float));
    *(uint16_t *)test.w.values = half_from(1.0f);
    for (uint32_t r = 0; r < COUNT; r++) {
        /* 2^-10 .. 2^15, every second one exactly between two halves */
        float mantissa = 1.0f + ((float)random_below(&random, 1024) + 0.5f) / 1024.0f;
        if (r % 2)
            mantissa += (float)random_below(&random, 1024) * 0x1p-21f;
        test.a.values[4 * (size_t)r] = ldexpf(r % 4 < 2 ? mantissa : -mantissa, (int)random_below(&random, 26) - 10);
    }
    op_run(device, &test.op);
    uint32_t wrong = 0;
    for (uint32_t r = 0; r < COUNT; r++) {
        const float x = test.a.values[4 * (size_t)r];
        int exponent;
        (void)frexpf(x, &exponent);
        wrong += test.out.values[4 * (size_t)r] != ldexpf(rintf(ldexpf(x, 11 - exponent)), exponent - 11);
    }
    CHECK_MESSAGE(wrong == 0, "%s: %u of %u factors are not rounded to the nearest half", variant->name, wrong,
                  (uint32_t)COUNT);
    case_destroy(device, &test);
}

void check_matmul(test_device *device, const dvk_variant *variant) {
    static const struct {
        dvk_activation activation;
        dvk_residual residual;
    } epilogues[] = {
        {DVK_ACTIVATION_NONE, DVK_RESIDUAL_NONE},      {DVK_ACTIVATION_NONE, DVK_RESIDUAL_IN_PLACE},
        {DVK_ACTIVATION_NONE, DVK_RESIDUAL_TABLE},     {DVK_ACTIVATION_GELU, DVK_RESIDUAL_NONE},
        {DVK_ACTIVATION_GELU_TANH, DVK_RESIDUAL_NONE}, {DVK_ACTIVATION_TANH, DVK_RESIDUAL_NONE},
        {DVK_ACTIVATION_GELU, DVK_RESIDUAL_IN_PLACE},  {DVK_ACTIVATION_QUICK_GELU, DVK_RESIDUAL_NONE},
        {DVK_ACTIVATION_SILU, DVK_RESIDUAL_NONE},      {DVK_ACTIVATION_NONE, DVK_RESIDUAL_MULTIPLY},
    };
    uint64_t random = 1;
    for (size_t e = 0; e < sizeof(epilogues) / sizeof(epilogues[0]); e++) {
        for (int i = 0; i < 20; i++) {
            matmul_case test = {.push = random_shape(&random, variant, epilogues[e].residual),
                                .activation = epilogues[e].activation,
                                .residual = epilogues[e].residual};
            case_create(device, variant, &test, &random);
            case_check(device, &test, i == 0 ? 8 : 0, &random);
            case_destroy(device, &test);
        }
    }
    check_rows_alone(device, variant, &random);
    check_activation(device, variant, DVK_ACTIVATION_GELU);
    check_activation(device, variant, DVK_ACTIVATION_GELU_TANH);
    check_activation(device, variant, DVK_ACTIVATION_TANH);
    if (variant->half_products)
        check_rounding(device, variant);
    if (variant->reads_pixels)
        check_patches(device, variant);
}
