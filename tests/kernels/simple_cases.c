/* patchify, layernorm, mean and rotate. */
#include "cases.h"

#include <math.h>
#include <string.h>

#include "test.h"

void check_patchify(test_device *device, const dvk_variant *variant) {
    uint64_t random = 3;
    for (int i = 0; i < 24; i++) {
        dvk_push_patchify push = {.patch_size = (const uint32_t[]){1, 3, 4, 7, 8, 14, 16}[random_below(&random, 7)]};
        const uint32_t images = random_between(&random, 1, 3), rows = random_between(&random, 1, 4);
        push.grid_width = random_between(&random, 1, 5);
        push.prefix = i < 4 ? 1 : random_below(&random, 6);
        push.tokens = push.prefix + push.grid_width * rows;
        push.rows = images * push.tokens;
        push.width =
            push.grid_width * push.patch_size + random_below(&random, push.patch_size); /* edge pixels unused */
        push.height = rows * push.patch_size + random_below(&random, push.patch_size);
        push.depth = (3 * push.patch_size * push.patch_size + 3) / 4 * 4;

        test_array pixels = array_create(device, (size_t)images * 3 * push.height * push.width);
        test_array out = array_create(device, (size_t)push.rows * push.depth);
        for (size_t p = 0; p < pixels.count; p++)
            pixels.values[p] = random_value(&random);
        double *from = array_to_double(&pixels), *expected = allocate(out.count * sizeof(double));
        double *exact = calloc(out.count, sizeof(double));
        REQUIRE(exact != NULL);
        reference_patchify(&push, from, expected);
        test_op op = {.pipeline = pipeline_get(device, variant, (test_constants){0}),
                      .arrays = {&pixels, &out},
                      .push = &push,
                      .push_size = sizeof(push),
                      .groups = op_groups(variant, &push, images)};
        char what[100];
        snprintf(what, sizeof(what), "%u images of %u x %u, patch %u", images, push.width, push.height,
                 push.patch_size);
        op_check(device, &op, &out, expected, exact, 0.0, i == 0 ? 8 : 0, &random, what);
        free(from);
        free(expected);
        free(exact);
        array_destroy(device, &pixels);
        array_destroy(device, &out);
    }
}

/* The rounding errors of a sum of n values are at most n roundings of the sum of their magnitudes, those of random sign
 * sqrt(n). Centring divides what the mean is off by, relative to the values, by the deviation. */
static void layernorm_case(test_device *device, const dvk_variant *variant, dvk_push_layernorm push, float offset,
                           int repeats, uint64_t *random) {
    const uint32_t n = push.columns;
    test_array in = array_create(device, (size_t)push.rows * push.in_stride), parameters = array_create(device, 2 * n),
               out = array_create(device, (size_t)push.rows * n);
    for (size_t i = 0; i < in.count; i++) /* what is between rows stays NaN */
        if (i % push.in_stride < n)
            in.values[i] = random_value(random) + offset;
    for (size_t i = 0; i < parameters.count; i++)
        parameters.values[i] = random_value(random);
    double *x = array_to_double(&in), *p = array_to_double(&parameters),
           *expected = allocate(out.count * sizeof(double)), *tolerance = allocate(out.count * sizeof(double));
    reference_layernorm(&push, x, p, expected);
    double worst = 0.0;
    for (uint32_t r = 0; r < push.rows; r++) {
        double magnitude = 0.0, mean = 0.0, squares = 0.0;
        for (uint32_t c = 0; c < n; c++) {
            magnitude += fabs(x[(size_t)r * push.in_stride + c]) / n;
            mean += x[(size_t)r * push.in_stride + c] / n;
        }
        for (uint32_t c = 0; c < n; c++)
            squares += (x[(size_t)r * push.in_stride + c] - mean) * (x[(size_t)r * push.in_stride + c] - mean) / n;
        double deviation = sqrt(squares + (double)push.epsilon);
        worst = fmax(worst, magnitude / deviation);
        for (uint32_t c = 0; c < n; c++) {
            double normalised = fabs(x[(size_t)r * push.in_stride + c] - mean) / deviation;
            tolerance[(size_t)r * n + c] = UNIT_ROUNDOFF * ((n + 2) * (magnitude / deviation) * fabs(p[c]) +
                                                            (n + 8) * normalised * fabs(p[c]) + fabs(p[n + c]));
        }
    }
    test_op op = {.pipeline = pipeline_get(device, variant, (test_constants){0}),
                  .arrays = {&in, &parameters, &out},
                  .push = &push,
                  .push_size = sizeof(push),
                  .groups = op_groups(variant, &push, 1)};
    char what[100];
    snprintf(what, sizeof(what), "%u x %u, stride %u, offset %g", push.rows, n, push.in_stride, (double)offset);
    op_check(device, &op, &out, expected, tolerance, 5.0 * UNIT_ROUNDOFF * (sqrt(n) + 4.0) * (1.0 + worst), repeats,
             random, what);

    /* A row alone gives the same bits. */
    test_array one_in = array_create(device, n), one_out = array_create(device, n);
    dvk_push_layernorm one_push = push;
    one_push.rows = 1;
    test_op one = op;
    one.arrays[0] = &one_in;
    one.arrays[2] = &one_out;
    one.push = &one_push;
    one.groups = 1;
    uint32_t row = push.rows - 1;
    memcpy(one_in.values, in.values + (size_t)row * push.in_stride, n * sizeof(float));
    op_run(device, &one);
    CHECK_MESSAGE(memcmp(one_out.values, out.values + (size_t)row * n, n * sizeof(float)) == 0,
                  "%s, %s: row %u has other bits when computed alone", variant->name, what, row);

    array_destroy(device, &one_in);
    array_destroy(device, &one_out);
    array_destroy(device, &in);
    array_destroy(device, &parameters);
    array_destroy(device, &out);
    free(x);
    free(p);
    free(expected);
    free(tolerance);
}

void check_layernorm(test_device *device, const dvk_variant *variant) {
    uint64_t random = 4;
    for (int i = 0; i < 24; i++) {
        dvk_push_layernorm push = {.rows = random_between(&random, 1, 2 * variant->tile_rows + 2),
                                   .columns = 4 * random_between(&random, i == 0 ? 96 : 1, i == 0 ? 96 : 200),
                                   .epsilon = i % 2 == 0 ? 1e-12f : 0.03125f};
        push.in_stride = push.columns + (i % 2 == 0 ? 0 : 4 * random_below(&random, 300));
        layernorm_case(device, variant, push, i % 3 == 2 ? 30.0f : 0.0f, i == 0 ? 8 : 0, &random);
    }
    layernorm_case(device, variant, (dvk_push_layernorm){.rows = 3, .columns = 4, .in_stride = 4, .epsilon = 1e-6f},
                   0.0f, 0, &random);
}

void check_mean(test_device *device, const dvk_variant *variant) {
    uint64_t random = 5;
    for (int i = 0; i < 24; i++) {
        dvk_push_mean push = {.tokens = i < 4 ? 2 + (uint32_t)i : random_between(&random, 2, 200),
                              .columns = 4 * random_between(&random, 1, 2 * variant->local_size + 2)};
        push.first = i < 8 ? 1 : random_below(&random, push.tokens < 6 ? push.tokens : 6);
        const uint32_t images = random_between(&random, 1, 3);
        test_array in = array_create(device, (size_t)images * push.tokens * push.columns);
        test_array out = array_create(device, (size_t)images * push.columns);
        for (size_t j = 0; j < in.count; j++) /* the others stay NaN: CLS is no patch */
            if (j / push.columns % push.tokens >= push.first)
                in.values[j] = random_value(&random);
        double *x = array_to_double(&in), *expected = allocate(out.count * sizeof(double)),
               *tolerance = allocate(out.count * sizeof(double));
        reference_mean(&push, images, x, expected);
        for (size_t j = 0; j < out.count; j++)
            tolerance[j] = (push.tokens + 1) * UNIT_ROUNDOFF; /* n roundings of the sum of magnitudes <= n, over n */
        test_op op = {.pipeline = pipeline_get(device, variant, (test_constants){0}),
                      .arrays = {&in, &out},
                      .push = &push,
                      .push_size = sizeof(push),
                      .groups = op_groups(variant, &push, images)};
        char what[100];
        snprintf(what, sizeof(what), "%u images of %u x %u", images, push.tokens, push.columns);
        /* The mean of n values in [-1, 1) is about 1 / sqrt(3 n): the error of a random walk relative to that. */
        op_check(device, &op, &out, expected, tolerance, 5.0 * (push.tokens + 3) * UNIT_ROUNDOFF, i == 0 ? 8 : 0,
                 &random, what);
        free(x);
        free(expected);
        free(tolerance);
        array_destroy(device, &in);
        array_destroy(device, &out);
    }
}

void check_rotate(test_device *device, const dvk_variant *variant) {
    uint64_t random = 6;
    for (int i = 0; i < 24; i++) {
        dvk_push_rotate push = {.images = random_between(&random, 1, 3),
                                .prefix = random_below(&random, 6),
                                .heads = random_between(&random, 1, 4),
                                .head_dim = 8 * random_between(&random, 1, 16)};
        push.tokens = push.prefix + random_between(&random, 1, 40);
        push.row_stride = push.heads * push.head_dim + 4 * random_below(&random, 3);
        const size_t rows = (size_t)push.images * push.tokens;
        test_array x = array_create(device, rows * push.row_stride);
        test_array table = array_create(device, (size_t)(push.tokens - push.prefix) * push.head_dim);
        for (size_t j = 0; j < x.count; j++) /* what is no patch's stays NaN, and must */
            if (j % push.row_stride < push.heads * push.head_dim && j / push.row_stride % push.tokens >= push.prefix)
                x.values[j] = random_value(&random);
        for (size_t j = 0; j < table.count; j++)
            table.values[j] = random_value(&random);
        double *expected = array_to_double(&x), *angles = array_to_double(&table),
               *tolerance = allocate(x.count * sizeof(double));
        reference_rotate(&push, angles, expected);
        for (size_t j = 0; j < x.count; j++) /* two products of magnitudes below 1, and their sum */
            tolerance[j] = 4 * UNIT_ROUNDOFF;
        test_op op = {.pipeline = pipeline_get(device, variant, (test_constants){0}),
                      .arrays = {&x, &table},
                      .push = &push,
                      .push_size = sizeof(push),
                      .groups = op_groups(variant, &push, push.images)};
        char what[100];
        snprintf(what, sizeof(what), "%u images of %u tokens, %u heads of %u", push.images, push.tokens, push.heads,
                 push.head_dim);
        /* The sum of two products is as large as they are on the average. */
        op_check(device, &op, &x, expected, tolerance, 5.0 * UNIT_ROUNDOFF, i == 0 ? 8 : 0, &random, what);
        free(expected);
        free(angles);
        free(tolerance);
        array_destroy(device, &x);
        array_destroy(device, &table);
    }
}
