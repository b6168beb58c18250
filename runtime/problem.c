#include "problem.h"

#include "memory.h"

#include <string.h>

/* Fills what an op must overwrite and what it may not touch or use: no result is as large. */
static const float untouched = 4096.0f;

/* Marsaglia's xorshift: the numbers must only be mixed well enough that no two rows or columns look alike. */
static uint32_t next(uint32_t *random) {
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random;
}

/* A whole number from -limit to limit. */
static float whole(uint32_t *random, uint32_t limit) {
    return (float)((int32_t)(next(random) >> 8) % (int32_t)(2 * limit + 1) - (int32_t)limit);
}

static uint32_t round_up(uint32_t value, uint32_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

static bool add_array(dvk_problem *problem, uint32_t index, size_t floats) {
    problem->array_bytes[index] = floats * sizeof(float);
    problem->arrays[index] = dvk_allocate(problem->allocator, floats * sizeof(float));
    if (!problem->arrays[index])
        return false;
    for (size_t i = 0; i < floats; i++)
        problem->arrays[index][i] = untouched;
    problem->op.bindings[index] =
        (dvk_binding){.buffer = index, .writes = index == problem->out, .size = problem->array_bytes[index]};
    problem->op.binding_count = index + 1;
    return true;
}

/* rows x columns of whole numbers in an array of that row stride. */
static void fill(float *array, uint32_t rows, uint32_t columns, uint32_t stride, uint32_t limit, uint32_t *random) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            array[r * stride + c] = whole(random, limit);
}

/* ----------------------------------------------------------------------------------------------- matmul */

/* As pack.c does it, for weights of -1, 0 and 1 times the column's scale, which is 1 but for int8. */
static void pack_weights(dvk_problem *problem, dvk_weight_type type, const float *scales) {
    const dvk_push_matmul *push = &problem->op.push.matmul;
    const size_t matrix = (size_t)push->depth * push->w_stride;
    const float *bias = problem->weights + matrix;
    uint8_t *packed = (uint8_t *)problem->arrays[1];
    if (type == DVK_WEIGHT_FP32) {
        memcpy(packed, problem->weights, matrix * sizeof(float));
        packed += matrix * sizeof(float);
    } else if (type == DVK_WEIGHT_FP16) {
        for (size_t i = 0; i < matrix; i++) {
            uint16_t half = problem->weights[i] == 0 ? 0 : problem->weights[i] < 0 ? 0xbc00 : 0x3c00;
            memcpy(packed + 2 * i, &half, sizeof(half));
        }
        packed += 2 * matrix;
    } else {
        for (size_t i = 0; i < matrix; i++)
            packed[i] = problem->weights[i] == 0 ? 0 : problem->weights[i] < 0 ? 0xff : 1;
        packed += matrix;
        memcpy(packed, scales, push->w_stride * sizeof(float));
        packed += push->w_stride * sizeof(float);
    }
    memcpy(packed, bias, push->w_stride * sizeof(float));
}

static size_t packed_floats(const dvk_push_matmul *push, dvk_weight_type type) {
    size_t matrix = (size_t)push->depth * push->w_stride;
    switch (type) {
    case DVK_WEIGHT_FP16:
        return matrix / 2 + push->w_stride;
    case DVK_WEIGHT_INT8:
        return matrix / 4 + 2 * (size_t)push->w_stride;
    default:
        return matrix + push->w_stride;
    }
}

static bool make_weights(dvk_problem *problem, dvk_weight_type type, uint32_t *random) {
    const dvk_push_matmul *push = &problem->op.push.matmul;
    float *scales = dvk_allocate_zeroed(problem->allocator, push->w_stride, sizeof(float));
    problem->weights =
        dvk_allocate_zeroed(problem->allocator, (size_t)(push->depth + 1) * push->w_stride, sizeof(float));
    const bool made = problem->weights && scales;
    if (made) {
        for (uint32_t c = 0; c < push->columns; c++) {
            uint32_t column = push->first_column + c;
            scales[column] = type == DVK_WEIGHT_INT8 && column % 3 == 0 ? 2.0f : 1.0f;
            for (uint32_t k = 0; k < push->depth; k++)
                problem->weights[(size_t)k * push->w_stride + column] = whole(random, 1) * scales[column];
            problem->weights[(size_t)push->depth * push->w_stride + column] = whole(random, 8);
        }
        pack_weights(problem, type, scales);
    }
    dvk_release(problem->allocator, scales);
    return made;
}

/* Patches of three images with a margin, the first row amid the first image and the last one amid the last. */
static size_t shape_patches(dvk_push_matmul *push, uint32_t patch_size, uint32_t tile_rows) {
    enum { IMAGES = 3, PREFIX = 3 };
    const uint32_t grid_height = 3 + tile_rows / 10;
    push->prefix = PREFIX;
    push->grid_width = 5;
    push->table_rows = PREFIX + push->grid_width * grid_height;
    push->first_row = 5;
    push->rows = IMAGES * push->table_rows - 12;
    push->depth = 3 * patch_size * patch_size;
    push->a_stride = push->grid_width * patch_size + 4;
    push->a_plane = push->a_stride * (grid_height * patch_size + 1);
    return IMAGES * 3 * (size_t)push->a_plane;
}

static bool make_matmul(dvk_problem *problem, const dvk_shape *size, uint32_t *random) {
    const dvk_variant *variant = problem->op.variant;
    const uint32_t residual = problem->op.specialisation.residual, patch = problem->op.specialisation.patch_size;
    dvk_push_matmul *push = &problem->op.push.matmul;
    problem->op.push_bytes = sizeof(*push);
    if (size) {
        *push = (dvk_push_matmul){.rows = size->rows,
                                  .columns = size->columns,
                                  .depth = size->depth,
                                  .a_stride = size->depth,
                                  .w_stride = round_up(size->columns, 64),
                                  .out_stride = size->columns,
                                  .plane_columns = size->columns,
                                  .table_rows = 1};
    } else {
        *push = (dvk_push_matmul){.rows = 2 * variant->tile_rows + 3, .depth = 84, .a_stride = 88};
        push->plane_columns = variant->tile_columns + 4;
        push->columns = (residual == DVK_RESIDUAL_NONE ? 2 : 1) * push->plane_columns;
        push->first_column = residual == DVK_RESIDUAL_TABLE ? 0 : 64;
        push->w_stride = round_up(push->first_column + push->columns, 64);
        push->out_stride = push->plane_columns + 4;
        push->table_rows = residual == DVK_RESIDUAL_TABLE ? 7 : 1;
        push->first_row = 5;
    }
    size_t factors = (size_t)push->rows * push->a_stride;
    if (patch)
        factors = shape_patches(push, patch, variant->tile_rows);
    push->plane_stride = push->rows * push->out_stride;
    problem->out = 3;
    if (!add_array(problem, 0, factors) || !add_array(problem, 1, packed_floats(push, variant->weight)) ||
        !add_array(problem, 2, (size_t)push->table_rows * push->out_stride) ||
        !add_array(problem, 3, (size_t)push->columns / push->plane_columns * push->plane_stride) ||
        !make_weights(problem, variant->weight, random))
        return false;
    if (patch)
        fill(problem->arrays[0], 1, (uint32_t)factors, 0, 2, random);
    else
        fill(problem->arrays[0], push->rows, push->depth, push->a_stride, 2, random);
    fill(problem->arrays[2], push->table_rows, push->out_stride, push->out_stride, 8, random);
    if (residual == DVK_RESIDUAL_IN_PLACE || residual == DVK_RESIDUAL_MULTIPLY)
        fill(problem->arrays[3], push->rows, push->plane_columns, push->out_stride, 4, random);
    problem->op.flops = 2ull * push->rows * push->columns * push->depth;
    return true;
}

/* -------------------------------------------------------------------------------------------- attention */

/* Keys are codes of +1 and -1, at least one bit apart where there are fewer tokens than codes, and a query is a code
 * times 64: its own key's score is ahead of all others by 128 or more, so that softmax is 1 there and 0 elsewhere.
 * Every seventh query is 0, whose softmax is the same everywhere, and every fifth is so small that all keys count. */
static void fill_codes(float *keys, float *queries, uint32_t images, uint32_t tokens, uint32_t query_count,
                       uint32_t heads, uint32_t head_dim, uint32_t stride) {
    uint32_t bits = 1;
    while (bits < head_dim && bits < 16 && 1u << bits < tokens)
        bits++;
    for (size_t image = 0; image < images; image++)
        for (uint32_t head = 0; head < heads; head++)
            for (uint32_t i = 0; i < head_dim; i++) {
                float *key = keys + image * tokens * stride + head * head_dim + i;
                float *query = queries + image * query_count * stride + head * head_dim + i;
                for (uint32_t t = 0; t < tokens; t++)
                    key[(size_t)t * stride] = t >> (i % bits) & 1 ? 1.0f : -1.0f;
                for (uint32_t t = 0; t < query_count; t++) {
                    uint32_t target = (t * 7 + 3 * head + 5 * (uint32_t)image) % tokens;
                    float scale = t % 7 == 0 ? 0.0f : t % 5 == 0 ? 0.03125f : 64.0f;
                    query[(size_t)t * stride] = target >> (i % bits) & 1 ? scale : -scale;
                }
            }
}

static bool make_attention(dvk_problem *problem, const dvk_shape *size, uint32_t *random) {
    const uint32_t head_dim = problem->op.specialisation.head_dim;
    dvk_push_attention *push = &problem->op.push.attention;
    problem->op.push_bytes = sizeof(*push);
    if (size)
        *push = (dvk_push_attention){.tokens = size->columns, .heads = size->heads, .queries = size->rows};
    else
        *push = (dvk_push_attention){.tokens = problem->op.variant->tile_rows + 37, .heads = 2};
    push->row_stride = push->heads * head_dim + (size ? 0 : 4);
    push->queries = size ? size->rows : push->tokens;
    push->query_step = push->queries;
    problem->op.images = size ? 1 : 2;
    const uint32_t rows = problem->op.images * push->tokens, query_rows = problem->op.images * push->queries;
    problem->out = 3;
    for (uint32_t i = 0; i < 4; i++)
        if (!add_array(problem, i, (size_t)(i == 0 || i == 3 ? query_rows : rows) * push->row_stride))
            return false;
    fill_codes(problem->arrays[1], problem->arrays[0], problem->op.images, push->tokens, push->queries, push->heads,
               head_dim, push->row_stride);
    fill(problem->arrays[2], rows, push->heads * head_dim, push->row_stride, 8, random);
    problem->op.flops = 4ull * problem->op.images * push->queries * push->tokens * push->heads * head_dim;
    return true;
}

static bool make_attention_row(dvk_problem *problem) {
    const uint32_t head_dim = problem->op.specialisation.head_dim;
    dvk_push_attention_row *push = &problem->op.push.attention_row;
    problem->op.push_bytes = sizeof(*push);
    problem->op.images = 11; /* as many as it takes to see every kind of query */
    *push = (dvk_push_attention_row){
        .tokens = problem->op.variant->local_size + 5, .heads = 2, .row_stride = 2 * head_dim + 4};
    const size_t rows = (size_t)problem->op.images * push->tokens;
    problem->out = 2;
    if (!add_array(problem, 0, rows * push->row_stride) || !add_array(problem, 1, rows * push->row_stride) ||
        !add_array(problem, 2, rows * push->heads))
        return false;
    fill_codes(problem->arrays[1], problem->arrays[0], problem->op.images, push->tokens, push->tokens, push->heads,
               head_dim, push->row_stride);
    /* Only each image's first query is read: give it the kind and target of another. */
    for (uint32_t image = 1; image < problem->op.images; image++) {
        float *first = problem->arrays[0] + (size_t)image * push->tokens * push->row_stride;
        memcpy(first, first + (size_t)image * push->row_stride, push->row_stride * sizeof(float));
    }
    return true;
}

/* ----------------------------------------------------------------------------------------------- others */

static bool make_layernorm(dvk_problem *problem, const dvk_shape *size, uint32_t *random) {
    dvk_push_layernorm *push = &problem->op.push.layernorm;
    problem->op.push_bytes = sizeof(*push);
    *push = (dvk_push_layernorm){.rows = size ? size->rows : 2 * problem->op.variant->tile_rows + 3,
                                 .columns = size ? size->columns : 268,
                                 .epsilon = 0.0625f};
    push->in_stride = push->columns + (size ? 0 : 4);
    problem->out = 2;
    if (!add_array(problem, 0, (size_t)push->rows * push->in_stride) || !add_array(problem, 1, 2 * push->columns) ||
        !add_array(problem, 2, (size_t)push->rows * push->columns))
        return false;
    fill(problem->arrays[0], push->rows, push->columns, push->in_stride, 8, random);
    fill(problem->arrays[1], 2, push->columns, push->columns, 4, random);
    problem->op.flops = 8ull * push->rows * push->columns;
    return true;
}

static bool make_patchify(dvk_problem *problem, uint32_t *random) {
    dvk_push_patchify *push = &problem->op.push.patchify;
    problem->op.push_bytes = sizeof(*push);
    *push = (dvk_push_patchify){
        .prefix = 3, .grid_width = 7, .width = 38, .height = 29, .patch_size = 5, .depth = 76}; /* 3 x 5 x 5 is 75 */
    push->tokens = push->prefix + push->grid_width * (push->height / push->patch_size);
    push->rows = 2 * push->tokens;
    problem->out = 1;
    if (!add_array(problem, 0, 2 * 3 * (size_t)push->width * push->height) ||
        !add_array(problem, 1, (size_t)push->rows * push->depth))
        return false;
    fill(problem->arrays[0], 2 * 3 * push->height, push->width, push->width, 8, random);
    return true;
}

static bool make_mean(dvk_problem *problem, uint32_t *random) {
    dvk_push_mean *push = &problem->op.push.mean;
    problem->op.push_bytes = sizeof(*push);
    problem->op.images = 3;
    *push = (dvk_push_mean){.tokens = 37, .first = 5, .columns = 4 * problem->op.variant->local_size + 12};
    problem->out = 1;
    if (!add_array(problem, 0, 3 * (size_t)push->tokens * push->columns) ||
        !add_array(problem, 1, 3 * (size_t)push->columns))
        return false;
    fill(problem->arrays[0], 3 * push->tokens, push->columns, push->columns, 8, random);
    return true;
}

/* The turns are not ones: any two factors will do. */
static bool make_rotate(dvk_problem *problem, uint32_t *random) {
    dvk_push_rotate *push = &problem->op.push.rotate;
    problem->op.push_bytes = sizeof(*push);
    *push = (dvk_push_rotate){.images = 2, .tokens = 19, .prefix = 3, .heads = 3, .head_dim = 24, .row_stride = 76};
    problem->out = 0;
    if (!add_array(problem, 0, 2 * (size_t)push->tokens * push->row_stride) ||
        !add_array(problem, 1, (size_t)(push->tokens - push->prefix) * push->head_dim))
        return false;
    fill(problem->arrays[0], 2 * push->tokens, push->heads * push->head_dim, push->row_stride, 8, random);
    fill(problem->arrays[1], push->tokens - push->prefix, push->head_dim, push->head_dim, 4, random);
    return true;
}

/* ------------------------------------------------------------------------------------------------- */

static bool make(dvk_problem *problem, const dvk_shape *size) {
    uint32_t random = 1;
    switch (problem->op.use.kernel) {
    case DVK_KERNEL_PATCHIFY:
        return make_patchify(problem, &random);
    case DVK_KERNEL_MATMUL:
        return make_matmul(problem, size, &random);
    case DVK_KERNEL_LAYERNORM:
        return make_layernorm(problem, size, &random);
    case DVK_KERNEL_ATTENTION:
        return make_attention(problem, size, &random);
    case DVK_KERNEL_ATTENTION_ROW:
        return make_attention_row(problem);
    case DVK_KERNEL_MEAN:
        return make_mean(problem, &random);
    case DVK_KERNEL_ROTATE:
        return make_rotate(problem, &random);
    default: /* dvk_kernel_is_proved() */
        break;
    }
    return false;
}

dvk_result dvk_problem_create(const dvk_allocator *allocator, const dvk_variant *variant,
                              dvk_specialisation specialisation, const dvk_shape *size, dvk_problem *problem,
                              dvk_error *error) {
    memset(problem, 0, sizeof(*problem));
    problem->allocator = allocator;
    problem->op.use = (dvk_use){variant->kernel, variant->weight, size ? *size : (dvk_shape){0}};
    problem->op.variant = variant;
    problem->op.specialisation = specialisation;
    problem->op.images = 1;
    if (!make(problem, size)) {
        dvk_problem_destroy(problem);
        return dvk_fail(error, DVK_ERROR_OUT_OF_HOST_MEMORY, "out of memory for the known answer of %s", variant->name);
    }
    dvk_problem_set_variant(problem, variant);
    return DVK_OK;
}

void dvk_problem_set_variant(dvk_problem *problem, const dvk_variant *variant) {
    problem->op.variant = variant;
    problem->op.push.groups.first_group = 0;
    problem->op.push.groups.group_end = dvk_count_groups(&problem->op);
}

void dvk_problem_destroy(dvk_problem *problem) {
    for (uint32_t i = 0; i < DVK_MAX_BINDINGS; i++)
        dvk_release(problem->allocator, problem->arrays[i]);
    dvk_release(problem->allocator, problem->weights);
    memset(problem, 0, sizeof(*problem));
}
