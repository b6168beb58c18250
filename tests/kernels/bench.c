#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

/* dino-vits8 at 224 x 224 */
#define TOKENS 785u
#define WIDTH 384u
#define MLP 1536u
#define HEADS 6u
#define HEAD_DIM 64u
#define SIDE 224u
#define PATCH 8u
#define DEPTH 192u

/* A run lasts as long as it must to see past the clock and the submission; the median of an odd number of them. */
#define RUNS 9

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench_op(test_device *device, const test_op *op, double work, const char *unit, const char *what) {
    double seconds[RUNS];
    op_run(device, op); /* drivers compile at the first dispatch */
    for (int i = 0; i < RUNS; i++)
        seconds[i] = op_run(device, op);
    qsort(seconds, RUNS, sizeof(seconds[0]), ascending);
    printf("%-28s %-36s %9.2f ms %9.1f %s\n", op->pipeline->variant->name, what, 1e3 * seconds[RUNS / 2],
           1e-9 * work / seconds[RUNS / 2], unit);
}

/* Zero bytes would let some processors multiply faster than real numbers do. */
static test_array random_array(test_device *device, size_t count) {
    uint64_t random = 6;
    test_array array = array_create(device, count);
    for (size_t i = 0; i < count; i++)
        array.values[i] = random_value(&random);
    return array;
}

static void bench_matmul(test_device *device, const dvk_variant *variant) {
    static const struct {
        const char *what;
        uint32_t columns, depth, plane_columns;
        dvk_activation activation;
        dvk_residual residual;
        uint32_t patch_size;
    } shapes[] = {
        {"embeddings 785x384x192", WIDTH, DEPTH, WIDTH, DVK_ACTIVATION_NONE, DVK_RESIDUAL_TABLE, 0},
        {"the same from pixels", WIDTH, DEPTH, WIDTH, DVK_ACTIVATION_NONE, DVK_RESIDUAL_TABLE, PATCH},
        {"query, key, value 785x1152x384", 3 * WIDTH, WIDTH, WIDTH, DVK_ACTIVATION_NONE, DVK_RESIDUAL_NONE, 0},
        {"attention output 785x384x384", WIDTH, WIDTH, WIDTH, DVK_ACTIVATION_NONE, DVK_RESIDUAL_IN_PLACE, 0},
        {"mlp up 785x1536x384", MLP, WIDTH, MLP, DVK_ACTIVATION_GELU, DVK_RESIDUAL_NONE, 0},
        {"mlp down 785x384x1536", WIDTH, MLP, WIDTH, DVK_ACTIVATION_NONE, DVK_RESIDUAL_IN_PLACE, 0},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if (shapes[i].patch_size && !variant->reads_pixels)
            continue;
        dvk_push_matmul push = {.rows = TOKENS,
                                .columns = shapes[i].columns,
                                .depth = shapes[i].depth,
                                .a_stride = shapes[i].patch_size ? SIDE : shapes[i].depth,
                                .w_stride = shapes[i].columns,
                                .out_stride = shapes[i].plane_columns,
                                .plane_columns = shapes[i].plane_columns,
                                .plane_stride = TOKENS * shapes[i].plane_columns,
                                .table_rows = TOKENS,
                                .prefix = 1,
                                .grid_width = SIDE / PATCH,
                                .a_plane = SIDE * SIDE};
        test_array a = random_array(device, (size_t)TOKENS * push.depth);
        test_array w = random_array(device, (size_t)(push.depth + 1) * push.w_stride);
        if (variant->weight == DVK_WEIGHT_FP16)
            for (size_t j = 0; j < w.count; j++)
                ((uint16_t *)w.values)[j] = half_from(w.values[w.count - 1 - j / 2]);
        test_array table = random_array(device, TOKENS * WIDTH),
                   out = random_array(device, (size_t)TOKENS * push.columns);
        test_op op = {.pipeline = pipeline_get(device, variant,
                                               (test_constants){.activation = shapes[i].activation,
                                                                .residual = shapes[i].residual,
                                                                .patch_size = shapes[i].patch_size}),
                      .arrays = {&a, &w, &table, &out},
                      .push = &push,
                      .push_size = sizeof(push),
                      .groups = op_groups(variant, &push, 1)};
        bench_op(device, &op, 2.0 * push.rows * push.columns * push.depth, "GFLOP/s", shapes[i].what);
        array_destroy(device, &a);
        array_destroy(device, &w);
        array_destroy(device, &table);
        array_destroy(device, &out);
    }
}

static void bench_attention(test_device *device, const dvk_variant *variant) {
    dvk_push_attention push = {
        .tokens = TOKENS, .heads = HEADS, .row_stride = WIDTH, .queries = TOKENS, .query_step = TOKENS};
    test_array q = random_array(device, TOKENS * WIDTH), k = random_array(device, TOKENS * WIDTH),
               v = random_array(device, TOKENS * WIDTH), out = array_create(device, TOKENS * WIDTH);
    const bool row = variant->kernel == DVK_KERNEL_ATTENTION_ROW;
    test_op op = {.pipeline = pipeline_get(device, variant, (test_constants){.head_dim = HEAD_DIM}),
                  .arrays = {&q, &k, row ? &out : &v, &out},
                  .push = &push,
                  .push_size = row ? sizeof(dvk_push_attention_row) : sizeof(push),
                  .groups = op_groups(variant, &push, 1)};
    double work = row ? 2.0 * TOKENS * WIDTH : 4.0 * TOKENS * TOKENS * WIDTH;
    bench_op(device, &op, work, "GFLOP/s", "785 tokens, 6 heads of 64");
    array_destroy(device, &q);
    array_destroy(device, &k);
    array_destroy(device, &v);
    array_destroy(device, &out);
}

static void bench_rows(test_device *device, const dvk_variant *variant) {
    dvk_push_layernorm layernorm = {.rows = TOKENS, .columns = WIDTH, .in_stride = WIDTH, .epsilon = 1e-12f};
    dvk_push_mean mean = {.tokens = TOKENS, .first = 1, .columns = WIDTH};
    dvk_push_rotate rotate = {
        .images = 1, .tokens = TOKENS, .prefix = 1, .heads = HEADS, .head_dim = HEAD_DIM, .row_stride = WIDTH};
    dvk_push_patchify patchify = {.rows = TOKENS,
                                  .tokens = TOKENS,
                                  .prefix = 1,
                                  .grid_width = SIDE / PATCH,
                                  .width = SIDE,
                                  .height = SIDE,
                                  .patch_size = PATCH,
                                  .depth = DEPTH};
    test_array in = random_array(device, TOKENS * WIDTH), parameters = random_array(device, 2 * WIDTH),
               angles = random_array(device, TOKENS * HEAD_DIM), out = array_create(device, TOKENS * WIDTH);
    test_op op = {.pipeline = pipeline_get(device, variant, (test_constants){0}), .arrays = {&in, &out}};
    double bytes = 2.0 * TOKENS * WIDTH * sizeof(float);
    if (variant->kernel == DVK_KERNEL_LAYERNORM) {
        op.arrays[1] = &parameters;
        op.arrays[2] = &out;
        op.push = &layernorm;
        op.push_size = sizeof(layernorm);
    } else if (variant->kernel == DVK_KERNEL_MEAN) {
        op.push = &mean;
        op.push_size = sizeof(mean);
        bytes /= 2.0;
    } else if (variant->kernel == DVK_KERNEL_ROTATE) {
        op.arrays[1] = &angles;
        op.push = &rotate;
        op.push_size = sizeof(rotate);
    } else {
        op.push = &patchify;
        op.push_size = sizeof(patchify);
        bytes /= 2.0;
    }
    op.groups = op_groups(variant, op.push, 1);
    bench_op(device, &op, bytes, "GB/s", "785 tokens");
    array_destroy(device, &in);
    array_destroy(device, &parameters);
    array_destroy(device, &angles);
    array_destroy(device, &out);
}

void bench_variant(test_device *device, const dvk_variant *variant) {
    if (variant->kernel == DVK_KERNEL_MATMUL)
        bench_matmul(device, variant);
    else if (variant->kernel == DVK_KERNEL_ATTENTION || variant->kernel == DVK_KERNEL_ATTENTION_ROW)
        bench_attention(device, variant);
    else
        bench_rows(device, variant);
}
