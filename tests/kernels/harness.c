#include "harness.h"

#include <math.h>

#include "test.h"

#define GUARD_BYTES 4096
#define POISON_BITS 0x7fc0dead

uint32_t random_between(uint64_t *random, uint32_t low, uint32_t high) {
    return low + random_below(random, high - low + 1);
}

float random_value(uint64_t *random) {
    return ((float)random_below(random, 2048) - 1024.0f) / 1024.0f;
}

uint16_t half_from(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (value == 0.0f)
        return sign;
    return (uint16_t)(sign | ((bits >> 23 & 0xff) - 127 + 15) << 10 | (bits >> 13 & 0x3ff));
}

void *allocate(size_t bytes) {
    void *memory = malloc(bytes > 0 ? bytes : 1);
    REQUIRE(memory != NULL);
    return memory;
}

float poison(void) {
    const uint32_t bits = POISON_BITS;
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static bool is_poison(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits == POISON_BITS;
}

test_array array_create(test_device *device, size_t count) {
    test_array array = {.count = count};
    array.buffer = test_buffer_create(device, 2 * GUARD_BYTES + (count * sizeof(float) + 255) / 256 * 256);
    array.values = (float *)((char *)array.buffer.mapped + GUARD_BYTES);
    for (size_t i = 0; i < array.buffer.size / sizeof(float); i++)
        ((float *)array.buffer.mapped)[i] = poison();
    return array;
}

void array_destroy(test_device *device, test_array *array) {
    if (array->count > 0)
        test_buffer_destroy(device, &array->buffer);
    *array = (test_array){0};
}

double *array_to_double(const test_array *array) {
    double *values = allocate(array->count * sizeof(*values));
    for (size_t i = 0; i < array->count; i++)
        values[i] = (double)array->values[i];
    return values;
}

static bool guards_intact(const test_array *array) {
    const float *first = array->buffer.mapped, *last = first + array->buffer.size / sizeof(float);
    for (const float *value = first; value < last; value++)
        if ((value < array->values || value >= array->values + array->count) && !is_poison(*value))
            return false;
    return true;
}

static test_pipeline pipelines[256];
static size_t pipeline_count;

const test_pipeline *pipeline_get(test_device *device, const dvk_variant *variant, test_constants constants) {
    for (size_t i = 0; i < pipeline_count; i++)
        if (pipelines[i].variant == variant && memcmp(&pipelines[i].constants, &constants, sizeof(constants)) == 0)
            return &pipelines[i];
    REQUIRE(pipeline_count < sizeof(pipelines) / sizeof(pipelines[0]));
    pipelines[pipeline_count] = test_pipeline_create(device, variant, constants);
    return &pipelines[pipeline_count++];
}

void pipelines_destroy(test_device *device) {
    while (pipeline_count > 0)
        test_pipeline_destroy(device, &pipelines[--pipeline_count]);
}

static uint32_t divide_up(uint32_t value, uint32_t by) {
    return (value + by - 1) / by;
}

/* As push_constants.h defines the groups of each kernel. */
uint32_t op_groups(const dvk_variant *variant, const void *push, uint32_t images) {
    switch (variant->kernel) {
    case DVK_KERNEL_PATCHIFY: {
        const dvk_push_patchify *p = push;
        return divide_up(p->rows * (p->depth / 4), variant->local_size);
    }
    case DVK_KERNEL_MATMUL: {
        const dvk_push_matmul *p = push;
        return divide_up(p->rows, variant->tile_rows) * divide_up(p->columns, variant->tile_columns);
    }
    case DVK_KERNEL_LAYERNORM: {
        const dvk_push_layernorm *p = push;
        return divide_up(p->rows, variant->tile_rows);
    }
    case DVK_KERNEL_ATTENTION: {
        const dvk_push_attention *p = push;
        return images * p->heads * divide_up(p->queries, variant->tile_rows);
    }
    case DVK_KERNEL_ATTENTION_ROW: {
        const dvk_push_attention_row *p = push;
        return images * p->heads;
    }
    case DVK_KERNEL_MEAN: {
        const dvk_push_mean *p = push;
        return images * divide_up(p->columns, 4 * variant->local_size);
    }
    case DVK_KERNEL_ROTATE: {
        const dvk_push_rotate *p = push;
        return divide_up(p->images * (p->tokens - p->prefix) * p->heads * p->head_dim / 8, variant->local_size);
    }
    default: /* what is tested in tests/embed */
        break;
    }
    return 0;
}

typedef struct group_range {
    uint32_t first_group, group_end;
} group_range;

static void bind_arrays(const test_op *op, test_binding bindings[4]) {
    for (uint32_t i = 0; i < op->pipeline->variant->binding_count; i++)
        bindings[i] = (test_binding){&op->arrays[i]->buffer, GUARD_BYTES};
}

double op_run(test_device *device, const test_op *op) {
    test_binding bindings[4];
    bind_arrays(op, bindings);
    *(group_range *)op->push = (group_range){0, op->groups};
    const test_dispatch dispatch = {op->push, op->push_size, {op->groups, 1, 1}};
    return test_run(device, op->pipeline, bindings, &dispatch, 1);
}

/* Half of the grids fit exactly, so that nothing hides a group left out; the others are folded and overshoot. */
static test_dispatch folded(const test_op *op, void *push, uint32_t first, uint32_t end, uint64_t *random) {
    memcpy(push, op->push, op->push_size);
    *(group_range *)push = (group_range){first, end};
    const uint32_t count = end > first ? end - first : 1;
    if (random_below(random, 2) == 0)
        return (test_dispatch){push, op->push_size, {count, 1, 1}};
    uint32_t x = random_between(random, 1, 5), y = random_between(random, 1, 3);
    return (test_dispatch){push, op->push_size, {x, y, divide_up(count, x * y) + random_below(random, 2)}};
}

void op_run_split(test_device *device, const test_op *op, uint64_t *random) {
    test_binding bindings[4];
    bind_arrays(op, bindings);
    uint32_t push[2][32];
    uint32_t middle = random_below(random, op->groups + 1);
    const test_dispatch dispatches[2] = {folded(op, push[0], 0, middle, random),
                                         folded(op, push[1], middle, op->groups, random)};
    test_run(device, op->pipeline, bindings, dispatches, 2);
}

static void compare(const test_array *output, const double *expected, const double *tolerance, double rms,
                    const char *name, const char *what) {
    size_t wrong = 0, first = 0, touched = 0;
    double error_squares = 0.0, squares = 0.0;
    for (size_t i = 0; i < output->count; i++) {
        if (isnan(expected[i])) {
            touched += !is_poison(output->values[i]);
            continue;
        }
        double error = fabs((double)output->values[i] - expected[i]);
        error_squares += error * error;
        squares += expected[i] * expected[i];
        if (!(error <= tolerance[i]) && wrong++ == 0)
            first = i;
    }
    CHECK_MESSAGE(wrong == 0, "%s, %s: %zu of %zu values; [%zu] is %.9g, expected %.9g +- %.2g", name, what, wrong,
                  output->count, first, (double)output->values[first], expected[first], tolerance[first]);
    CHECK_MESSAGE(touched == 0, "%s, %s: %zu values were written that do not belong to the result", name, what,
                  touched);
    double relative = sqrt(error_squares / fmax(squares, 1e-300));
    CHECK_MESSAGE(relative <= rms, "%s, %s: relative L2 error %.3g, allowed %.3g", name, what, relative, rms);
}

size_t generated_cases;

void op_check(test_device *device, const test_op *op, test_array *output, const double *expected,
              const double *tolerance, double rms, int repeats, uint64_t *random, const char *what) {
    const char *name = op->pipeline->variant->name;
    const size_t bytes = output->count * sizeof(float);
    float *before = allocate(bytes), *result = allocate(bytes);
    generated_cases++;
    memcpy(before, output->values, bytes);

    op_run(device, op);
    compare(output, expected, tolerance, rms, name, what);
    memcpy(result, output->values, bytes);

    memcpy(output->values, before, bytes);
    op_run_split(device, op, random);
    CHECK_MESSAGE(memcmp(result, output->values, bytes) == 0, "%s, %s: split in two gives other bits", name, what);
    for (int i = 0; i < repeats; i++) {
        memcpy(output->values, before, bytes);
        op_run(device, op);
        CHECK_MESSAGE(memcmp(result, output->values, bytes) == 0, "%s, %s: repeat %d gives other bits", name, what, i);
    }
    for (uint32_t i = 0; i < op->pipeline->variant->binding_count; i++)
        CHECK_MESSAGE(guards_intact(op->arrays[i]), "%s, %s: wrote outside of binding %u", name, what, i);
    free(before);
    free(result);
}
