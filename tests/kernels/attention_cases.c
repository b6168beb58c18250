#include "bare_features.h"
#include "cases.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "test.h"

typedef struct attention_case {
    dvk_push_attention push; /* attention_row's is its beginning */
    uint32_t images, head_dim;
    float scale; /* queries are in [-scale, scale) */
    test_array q, k, v, out;
    test_op op;
} attention_case;

_Static_assert(offsetof(dvk_push_attention, queries) == sizeof(dvk_push_attention_row), "one struct serves both");

static void fill(test_array *array, const attention_case *test, float scale, uint64_t *random) {
    const dvk_push_attention *push = &test->push;
    for (size_t row = 0; row < array->count / push->row_stride; row++)
        for (uint32_t c = 0; c < push->heads * test->head_dim; c++)
            array->values[row * push->row_stride + c] = scale * random_value(random);
}

static void case_create(test_device *device, const dvk_variant *variant, attention_case *test, uint64_t *random) {
    const dvk_push_attention *push = &test->push;
    const bool row_only = variant->kernel == DVK_KERNEL_ATTENTION_ROW;
    const size_t count = (size_t)test->images * push->tokens * push->row_stride;
    const size_t out_count = (size_t)test->images * push->queries * push->row_stride;
    const size_t q_count = ((size_t)(test->images - 1) * push->query_step + push->queries) * push->row_stride;
    test->q = array_create(device, row_only ? count : q_count);
    test->k = array_create(device, count);
    test->v = array_create(device, count);
    test->out = array_create(device, row_only ? (size_t)test->images * push->heads * push->tokens : out_count);
    fill(&test->q, test, test->scale, random);
    fill(&test->k, test, 1.0f, random);
    fill(&test->v, test, 1.0f, random);
    test->op = (test_op){.pipeline = pipeline_get(device, variant, (test_constants){.head_dim = test->head_dim}),
                         .arrays = {&test->q, &test->k, row_only ? &test->out : &test->v, &test->out},
                         .push = &test->push,
                         .push_size = row_only ? sizeof(dvk_push_attention_row) : sizeof(test->push),
                         .groups = op_groups(variant, push, test->images)};
}

static void case_destroy(test_device *device, attention_case *test) {
    array_destroy(device, &test->q);
    array_destroy(device, &test->k);
    array_destroy(device, &test->v);
    array_destroy(device, &test->out);
}

/* Queries, keys and values are exact in half precision. The weights are rounded to it before they are used twice, to
 * multiply and to be summed: each by 2^-11 of itself, and by 2^-25 where it is subnormal there, of which the weights of
 * all tokens are at most a sum of 1 or more. Drivers' exp is allowed 3 + 2 |x| roundings, where weights that matter
 * have |x| < 10. */
static double half_error(const attention_case *test) {
    if (!test->op.pipeline->variant->half_products)
        return 0.0;
    return 2.0 * (0x1p-11 + test->push.tokens * 0x1p-25 + 23.0 * UNIT_ROUNDOFF);
}

/* A score is a sum of head_dim products, off by at most (head_dim + 1) roundings of sum |q| |k| <= head_dim * scale. A
 * weight is exp of a difference of two scores (that doubles it, and rounding the difference adds one rounding of it),
 * divided by a sum of T such: relative error 2 (score error) + 3e-7 for exp (math.glsl) + (T + 4) roundings, and as
 * much again for the sum it is divided by. The values are at most 1 in magnitude. Rescaling the running sums costs one
 * more exp error a rescaled block; there are at most T. In practice errors are far smaller, which the L2 bound asks
 * for. */
static double relative_error(const attention_case *test) {
    double score = (test->head_dim + 2) * UNIT_ROUNDOFF * test->head_dim * (double)test->scale;
    return 2.0 * (2.0 * score + 3e-7 + (test->push.tokens + 4) * UNIT_ROUNDOFF) + half_error(test);
}

/* The same with roundings of random sign, five times over: sqrt(head_dim) of them on a typical score, which is
 * sqrt(head_dim) / 3 times scale. */
static double typical_error(const attention_case *test) {
    double score = sqrt(test->head_dim) * UNIT_ROUNDOFF * sqrt(test->head_dim) / 3.0 * (double)test->scale;
    return 5.0 * (2.0 * score + 2e-7 + sqrt(test->push.tokens + 4.0) * UNIT_ROUNDOFF) + half_error(test);
}

static void case_check(test_device *device, attention_case *test, int repeats, uint64_t *random) {
    const bool row_only = test->op.pipeline->variant->kernel == DVK_KERNEL_ATTENTION_ROW;
    double *q = array_to_double(&test->q), *k = array_to_double(&test->k), *v = array_to_double(&test->v),
           *expected = array_to_double(&test->out);
    double *tolerance = allocate(test->out.count * sizeof(*tolerance));
    dvk_push_attention_row row;
    memcpy(&row, &test->push, sizeof(row));
    if (row_only)
        reference_attention_row(&row, test->images, test->head_dim, q, k, expected);
    else
        reference_attention(&test->push, test->images, test->head_dim, q, k, v, expected);

    double squares = 0.0, count = 0.0;
    for (size_t i = 0; i < test->out.count; i++) {
        tolerance[i] = relative_error(test) * (row_only ? expected[i] + 1e-30 : 1.0);
        if (!isnan(expected[i])) {
            squares += expected[i] * expected[i];
            count += 1.0;
        }
    }
    /* Weighted means of values of both signs are smaller than the values, whose rms is 0.58. */
    double rms = typical_error(test) * (row_only ? 1.0 : fmax(1.0, 0.58 / sqrt(squares / count)));
    char what[200];
    snprintf(what, sizeof(what), "%u images, %u queries, %u tokens, %u heads of %u, rows of %u, scale %g", test->images,
             test->push.queries, test->push.tokens, test->push.heads, test->head_dim, test->push.row_stride,
             (double)test->scale);
    op_check(device, &test->op, &test->out, expected, tolerance, rms, repeats, random, what);
    free(q);
    free(k);
    free(v);
    free(expected);
    free(tolerance);
}

/* An image's result must not depend on its neighbours: four images at once give the bits of four single runs. */
static void check_images_alone(test_device *device, const dvk_variant *variant, uint64_t *random) {
    if (bare_needs(variant, &device->features, &device->properties.limits, 16))
        return;
    attention_case batch = {.push = {.tokens = 37, .heads = 3, .row_stride = 48, .queries = 37, .query_step = 37},
                            .images = 4,
                            .head_dim = 16,
                            .scale = 2.0f};
    case_create(device, variant, &batch, random);
    op_run(device, &batch.op);
    attention_case one = batch;
    one.images = 1;
    case_create(device, variant, &one, random);
    size_t input = one.q.count, output = one.out.count, different = 0;
    for (uint32_t image = 0; image < batch.images; image++) {
        memcpy(one.q.values, batch.q.values + image * input, input * sizeof(float));
        memcpy(one.k.values, batch.k.values + image * input, input * sizeof(float));
        memcpy(one.v.values, batch.v.values + image * input, input * sizeof(float));
        op_run(device, &one.op);
        different += memcmp(one.out.values, batch.out.values + image * output, output * sizeof(float)) != 0;
    }
    CHECK_MESSAGE(different == 0, "%s: %zu of %u images have other bits when computed alone", variant->name, different,
                  batch.images);
    case_destroy(device, &one);
    case_destroy(device, &batch);
}

static void check_all(test_device *device, const dvk_variant *variant) {
    static const uint32_t head_dims[] = {4, 16, 20, 48, 64, 128};
    uint64_t random = 2;
    for (size_t h = 0; h < sizeof(head_dims) / sizeof(head_dims[0]); h++) {
        if (bare_needs(variant, &device->features, &device->properties.limits, head_dims[h]))
            continue;
        const uint32_t tile = variant->tile_rows;
        const uint32_t tokens[] = {1, 2, 3, tile, tile + 1, 2 * tile - 1, 65, 3, 0, 0, 0};
        const size_t count = sizeof(tokens) / sizeof(tokens[0]);
        for (size_t i = 0; i < count; i++) {
            attention_case test = {.images = random_between(&random, 1, 3),
                                   .head_dim = head_dims[h],
                                   .scale = i % 4 == 3 ? 16.0f : 1.0f,
                                   .push = {.tokens = tokens[i], .heads = random_between(&random, 1, 4)}};
            if (test.push.tokens == 0)
                test.push.tokens = random_between(&random, 2, 150);
            test.push.row_stride = test.push.heads * test.head_dim + 4 * random_below(&random, 3);
            test.push.queries = test.push.query_step = test.push.tokens;
            if (i % 3 == 2) /* pooling: queries of their own number, the same for all images */
                test.push = (dvk_push_attention){.tokens = test.push.tokens,
                                                 .heads = test.push.heads,
                                                 .row_stride = test.push.row_stride,
                                                 .queries = random_between(&random, 1, i == 2 ? 1 : tile + 1)};
            case_create(device, variant, &test, &random);
            case_check(device, &test, i == 0 ? 8 : 0, &random);
            case_destroy(device, &test);
        }
    }
    check_images_alone(device, variant, &random);
}

/* exp by itself: two tokens whose scores are 0 and exactly s, and whose values are unit vectors, give the weights
 * 1 / (1 + e^s) and e^s / (1 + e^s), to 2e-7 for each exp (math.glsl; there may be two in a weight and its sum) and
 * four roundings. */
static void check_weights(test_device *device, const dvk_variant *variant) {
    enum { COUNT = 1200 };
    if (bare_needs(variant, &device->features, &device->properties.limits, 4))
        return;
    attention_case test = {.push = {.tokens = 2, .heads = 1, .row_stride = 4, .queries = 2, .query_step = 2},
                           .images = COUNT,
                           .head_dim = 4};
    uint64_t random = 8;
    case_create(device, variant, &test, &random);
    for (size_t i = 0; i < test.q.count; i++)
        test.q.values[i] = test.k.values[i] = test.v.values[i] = 0.0f;
    for (size_t i = 0; i < COUNT; i++) {
        test.q.values[8 * i] = 16.0f - (float)i * 0.08f; /* 16 .. -79.92 */
        test.k.values[8 * i + 4] = 1.0f;
        test.v.values[8 * i] = 1.0f;
        test.v.values[8 * i + 5] = 1.0f;
    }
    op_run(device, &test.op);
    double worst = 0.0;
    for (size_t i = 0; i < COUNT; i++) {
        double e = exp((double)test.q.values[8 * i]);
        worst = test_worst(worst, fabs((double)test.out.values[8 * i] / (1.0 / (1.0 + e)) - 1.0));
        worst = test_worst(worst, fabs((double)test.out.values[8 * i + 1] / (e / (1.0 + e)) - 1.0));
    }
    CHECK_MESSAGE(worst <= 4e-7 + 4.0 * UNIT_ROUNDOFF, "%s: a weight is off by %.2g of itself", variant->name, worst);
    case_destroy(device, &test);
}

void check_attention(test_device *device, const dvk_variant *variant) {
    check_all(device, variant);
    check_weights(device, variant);
}

/* exp by itself: two tokens whose scores are 0 and exactly s <= 0 give the weights 1 / (1 + e^s) and e^s / (1 + e^s),
 * to 2e-7 for exp (math.glsl) and three roundings. */
static void check_exp(test_device *device, const dvk_variant *variant) {
    enum { COUNT = 2001 };
    attention_case test = {.push = {.tokens = 2, .heads = 1, .row_stride = 4}, .images = COUNT, .head_dim = 4};
    uint64_t random = 8;
    case_create(device, variant, &test, &random);
    memset(test.q.values, 0, test.q.count * sizeof(float));
    memset(test.k.values, 0, test.k.count * sizeof(float));
    for (size_t i = 0; i < COUNT; i++) {
        test.q.values[8 * i] = (float)i * -0.04f; /* 0 .. -80 */
        test.k.values[8 * i + 4] = 1.0f;
    }
    op_run(device, &test.op);
    double worst = 0.0;
    for (size_t i = 0; i < COUNT; i++) {
        double e = exp((double)test.q.values[8 * i]);
        worst = test_worst(worst, fabs((double)test.out.values[2 * i] / (1.0 / (1.0 + e)) - 1.0));
        worst = test_worst(worst, fabs((double)test.out.values[2 * i + 1] / (e / (1.0 + e)) - 1.0));
    }
    CHECK_MESSAGE(worst <= 2e-7 + 3.0 * UNIT_ROUNDOFF, "%s: exp is off by %.2g of itself", variant->name, worst);
    case_destroy(device, &test);
}

void check_attention_row(test_device *device, const dvk_variant *variant) {
    check_all(device, variant);
    check_exp(device, variant);
}
