/* What the problems' results should be, in double precision. */
#include "problem.h"

#include "memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Multiplications that checking a large problem may cost; a few milliseconds. */
enum { CHECK_BUDGET = 2000000 };

typedef struct checker {
    const dvk_problem *problem;
    const float *out;
    bool *visited; /* [elements of out] */
    double tolerance;
    char *wrong;
    size_t size;
} checker;

/* Results that are no whole numbers are right to `tolerance` of their magnitude, or of 1. Written so that a NaN is
 * wrong. */
static void expect(checker *check, size_t index, double expected) {
    double error = fabs((double)check->out[index] - expected);
    check->visited[index] = true;
    if (!check->wrong[0] && !(error <= check->tolerance * fmax(1.0, fabs(expected))))
        snprintf(check->wrong, check->size, "value %zu of a known answer is %.9g, not %.9g", index,
                 (double)check->out[index], expected);
}

/* In a small problem what is no result must be as it was, so every result has to be known. */
static bool is_small(const dvk_problem *problem) {
    return !problem->op.use.shape.rows;
}

/* Every row of a small problem, else as many as the budget allows, the last one among them. */
static uint32_t row_step(const dvk_problem *problem, uint32_t rows, uint64_t row_cost) {
    if (is_small(problem))
        return 1;
    uint64_t allowed = CHECK_BUDGET / (row_cost ? row_cost : 1);
    if (!allowed)
        allowed = 1;
    return allowed >= rows ? 1 : (uint32_t)(rows / allowed) + 1;
}

static double activate(uint32_t activation, double x) {
    switch (activation) {
    case DVK_ACTIVATION_GELU:
        return 0.5 * x * (1.0 + erf(x * 0.70710678118654752440));
    case DVK_ACTIVATION_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case DVK_ACTIVATION_TANH:
        return tanh(x);
    case DVK_ACTIVATION_QUICK_GELU:
        return x / (1.0 + exp(-1.702 * x));
    case DVK_ACTIVATION_SILU:
        return x / (1.0 + exp(-x));
    default:
        return x;
    }
}

/* A row of the first factor: of the matrix, or a patch of an image. */
static void read_row(const dvk_problem *problem, uint32_t row, double *values) {
    const dvk_push_matmul *push = &problem->op.push.matmul;
    const uint32_t size = problem->op.specialisation.patch_size;
    const uint32_t token = size ? (push->first_row + row) % push->table_rows : 0;
    for (uint32_t k = 0; k < push->depth; k++) {
        size_t index = (size_t)row * push->a_stride + k;
        if (size && token >= push->prefix) {
            const uint32_t image = (push->first_row + row) / push->table_rows, patch = token - push->prefix;
            const uint32_t y = patch / push->grid_width * size + k % (size * size) / size;
            const uint32_t x = patch % push->grid_width * size + k % size;
            index = (size_t)(image * 3 + k / (size * size)) * push->a_plane + (size_t)y * push->a_stride + x;
        }
        values[k] = size && token < push->prefix ? 0.0 : (double)problem->arrays[0][index];
    }
}

/* scratch: [depth] a row of the first factor, [columns] its sums. */
static void check_matmul(checker *check, double *scratch) {
    const dvk_problem *problem = check->problem;
    const dvk_push_matmul *push = &problem->op.push.matmul;
    const dvk_specialisation *how = &problem->op.specialisation;
    const float *bias = problem->weights + (size_t)push->depth * push->w_stride + push->first_column;
    const uint32_t step = row_step(problem, push->rows, (uint64_t)push->columns * push->depth);
    double *a = scratch, *sums = scratch + push->depth;
    for (uint32_t i = 0; i < push->rows; i += step) {
        const uint32_t row = push->rows - 1 - i;
        const float *table =
            problem->arrays[2] + (size_t)((push->first_row + row) % push->table_rows) * push->out_stride;
        read_row(problem, row, a);
        for (uint32_t c = 0; c < push->columns; c++)
            sums[c] = (double)bias[c];
        for (uint32_t k = 0; k < push->depth; k++) {
            const float *weights = problem->weights + (size_t)k * push->w_stride + push->first_column;
            for (uint32_t c = 0; c < push->columns; c++)
                sums[c] += a[k] * (double)weights[c];
        }
        for (uint32_t c = 0; c < push->columns; c++) {
            size_t index = (size_t)(c / push->plane_columns) * push->plane_stride + (size_t)row * push->out_stride +
                           c % push->plane_columns;
            double before = (double)problem->arrays[3][index], result = activate(how->activation, sums[c]);
            if (how->residual == DVK_RESIDUAL_IN_PLACE)
                result += before;
            else if (how->residual == DVK_RESIDUAL_MULTIPLY)
                result *= before;
            else if (how->residual == DVK_RESIDUAL_TABLE)
                result += (double)table[c];
            expect(check, index, result);
        }
    }
}

static void check_layernorm(checker *check) {
    const dvk_push_layernorm *push = &check->problem->op.push.layernorm;
    const float *parameters = check->problem->arrays[1];
    const uint32_t n = push->columns, step = row_step(check->problem, push->rows, 4 * (uint64_t)n);
    for (uint32_t i = 0; i < push->rows; i += step) {
        const uint32_t row = push->rows - 1 - i;
        const float *x = check->problem->arrays[0] + (size_t)row * push->in_stride;
        double mean = 0.0, variance = 0.0;
        for (uint32_t c = 0; c < n; c++)
            mean += (double)x[c] / n;
        for (uint32_t c = 0; c < n; c++)
            variance += ((double)x[c] - mean) * ((double)x[c] - mean) / n;
        double deviation = sqrt(variance + (double)push->epsilon);
        for (uint32_t c = 0; c < n; c++)
            expect(check, (size_t)row * n + c,
                   ((double)x[c] - mean) / deviation * (double)parameters[c] + (double)parameters[n + c]);
    }
}

/* weights[key] = softmax over the keys of query . key */
static void softmax_row(const float *query, const float *keys, uint32_t count, uint32_t stride, uint32_t head_dim,
                        double *weights) {
    double largest = -INFINITY, total = 0.0;
    for (uint32_t key = 0; key < count; key++) {
        weights[key] = 0.0;
        for (uint32_t d = 0; d < head_dim; d++)
            weights[key] += (double)query[d] * (double)keys[(size_t)key * stride + d];
        largest = fmax(largest, weights[key]);
    }
    for (uint32_t key = 0; key < count; key++) {
        weights[key] = exp(weights[key] - largest);
        total += weights[key];
    }
    for (uint32_t key = 0; key < count; key++)
        weights[key] /= total;
}

static void check_attention(checker *check, double *weights) {
    const dvk_problem *problem = check->problem;
    const dvk_push_attention *push = &problem->op.push.attention;
    const uint32_t head_dim = problem->op.specialisation.head_dim;
    const uint32_t rows = problem->op.images * push->queries;
    const uint32_t step = row_step(problem, rows, 2ull * push->tokens * push->heads * head_dim);
    for (uint32_t i = 0; i < rows; i += step) {
        const uint32_t row = rows - 1 - i, image = row / push->queries, query = row % push->queries;
        for (uint32_t head = 0; head < push->heads; head++) {
            const size_t base = (size_t)image * push->tokens * push->row_stride + (size_t)head * head_dim;
            const float *q = problem->arrays[0] + ((size_t)image * push->query_step + query) * push->row_stride +
                             (size_t)head * head_dim;
            softmax_row(q, problem->arrays[1] + base, push->tokens, push->row_stride, head_dim, weights);
            for (uint32_t d = 0; d < head_dim; d++) {
                double sum = 0.0;
                for (uint32_t key = 0; key < push->tokens; key++)
                    sum += weights[key] * (double)problem->arrays[2][base + (size_t)key * push->row_stride + d];
                expect(check, (size_t)row * push->row_stride + (size_t)head * head_dim + d, sum);
            }
        }
    }
}

static void check_attention_row(checker *check, double *weights) {
    const dvk_problem *problem = check->problem;
    const dvk_push_attention_row *push = &problem->op.push.attention_row;
    const uint32_t head_dim = problem->op.specialisation.head_dim;
    for (uint32_t i = 0; i < problem->op.images * push->heads; i++) {
        const size_t base =
            (size_t)(i / push->heads) * push->tokens * push->row_stride + (size_t)(i % push->heads) * head_dim;
        softmax_row(problem->arrays[0] + base, problem->arrays[1] + base, push->tokens, push->row_stride, head_dim,
                    weights);
        for (uint32_t t = 0; t < push->tokens; t++)
            expect(check, (size_t)i * push->tokens + t, weights[t]);
    }
}

static void check_patchify(checker *check) {
    const dvk_push_patchify *push = &check->problem->op.push.patchify;
    const uint32_t size = push->patch_size;
    for (uint32_t row = 0; row < push->rows; row++)
        for (uint32_t column = 0; column < push->depth; column++) {
            const uint32_t image = row / push->tokens, token = row % push->tokens;
            double value = 0.0;
            if (token >= push->prefix && column < 3 * size * size) {
                const uint32_t patch = token - push->prefix, channel = column / (size * size);
                const uint32_t y = patch / push->grid_width * size + column % (size * size) / size;
                const uint32_t x = patch % push->grid_width * size + column % size;
                value =
                    (double)
                        check->problem->arrays[0][((size_t)(image * 3 + channel) * push->height + y) * push->width + x];
            }
            expect(check, (size_t)row * push->depth + column, value);
        }
}

static void check_mean(checker *check) {
    const dvk_push_mean *push = &check->problem->op.push.mean;
    for (uint32_t image = 0; image < check->problem->op.images; image++)
        for (uint32_t c = 0; c < push->columns; c++) {
            double sum = 0.0;
            for (uint32_t token = push->first; token < push->tokens; token++)
                sum += (double)check->problem->arrays[0][((size_t)image * push->tokens + token) * push->columns + c];
            expect(check, (size_t)image * push->columns + c, sum / (push->tokens - push->first));
        }
}

static void check_rotate(checker *check) {
    const dvk_push_rotate *push = &check->problem->op.push.rotate;
    const uint32_t half = push->head_dim / 2;
    for (uint32_t row = 0; row < push->images * push->tokens; row++) {
        if (row % push->tokens < push->prefix)
            continue;
        const float *turn = check->problem->arrays[1] + (size_t)(row % push->tokens - push->prefix) * push->head_dim;
        for (uint32_t i = 0; i < push->heads * half; i++) {
            const size_t at = (size_t)row * push->row_stride + (size_t)(i / half) * push->head_dim + i % half;
            const double a = (double)check->problem->arrays[0][at], b = (double)check->problem->arrays[0][at + half];
            const double cosine = (double)turn[i % half], sine = (double)turn[i % half + half];
            expect(check, at, a * cosine - b * sine);
            expect(check, at + half, b * cosine + a * sine);
        }
    }
}

static void check_kernel(checker *check, double *scratch) {
    switch (check->problem->op.use.kernel) {
    case DVK_KERNEL_PATCHIFY:
        check_patchify(check);
        break;
    case DVK_KERNEL_MATMUL:
        check_matmul(check, scratch);
        break;
    case DVK_KERNEL_LAYERNORM:
        check_layernorm(check);
        break;
    case DVK_KERNEL_ATTENTION:
        check_attention(check, scratch);
        break;
    case DVK_KERNEL_ATTENTION_ROW:
        check_attention_row(check, scratch);
        break;
    case DVK_KERNEL_MEAN:
        check_mean(check);
        break;
    case DVK_KERNEL_ROTATE:
        check_rotate(check);
        break;
    default: /* dvk_kernel_is_proved() */
        break;
    }
}

/* Whole numbers come out exactly. A layernorm is two sums of 268 terms, a square root and two divisions, a softmax two
 * sums, exponentials of 3e-7 (math.glsl) and a division, an activation some 5e-7: of values up to 8 with factors up to
 * 4. Factors that were rounded to half precision are off by 2^-11, here those of softmax alone. */
static double tolerance(const dvk_op *op) {
    switch (op->use.kernel) {
    case DVK_KERNEL_MATMUL:
        return op->specialisation.activation == DVK_ACTIVATION_NONE ? 0.0 : 4e-6;
    case DVK_KERNEL_LAYERNORM:
    case DVK_KERNEL_MEAN:
        return 1e-5;
    case DVK_KERNEL_ATTENTION:
    case DVK_KERNEL_ATTENTION_ROW:
        return op->variant->half_products ? 0.0078125 : 4e-5;
    default:
        return 0.0;
    }
}

dvk_result dvk_problem_check(const dvk_problem *problem, const float *out, char *wrong, size_t size, dvk_error *error) {
    const size_t count = problem->array_bytes[problem->out] / sizeof(float);
    const dvk_op *op = &problem->op;
    const uint32_t row = op->use.kernel == DVK_KERNEL_ATTENTION       ? op->push.attention.tokens
                         : op->use.kernel == DVK_KERNEL_ATTENTION_ROW ? op->push.attention_row.tokens
                         : op->use.kernel == DVK_KERNEL_MATMUL        ? op->push.matmul.depth + op->push.matmul.columns
                                                                      : 1;
    checker check = {.problem = problem, .out = out, .tolerance = tolerance(op), .wrong = wrong, .size = size};
    double *scratch = dvk_allocate(problem->allocator, row * sizeof(*scratch));
    check.visited = dvk_allocate_zeroed(problem->allocator, count, sizeof(bool));
    wrong[0] = '\0';
    if (!scratch || !check.visited) {
        dvk_release(problem->allocator, scratch);
        dvk_release(problem->allocator, check.visited);
        return dvk_fail_memory(error, count);
    }
    check_kernel(&check, scratch);
    check.tolerance = 0.0;
    for (size_t i = 0; i < count && is_small(problem) && !wrong[0]; i++)
        if (!check.visited[i])
            expect(&check, i, (double)problem->arrays[problem->out][i]);
    dvk_release(problem->allocator, scratch);
    dvk_release(problem->allocator, check.visited);
    return DVK_OK;
}
