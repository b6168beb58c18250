/* What the kernel checks share: operands with guard bands in device memory, the ways to run an op, and the comparison.
 */
#ifndef DVK_TEST_HARNESS_H_
#define DVK_TEST_HARNESS_H_

#include "bare_device.h"
#include "random.h"
#include "reference.h"

/* The unit roundoff of float: one rounding changes a value by at most this much of itself. */
#define UNIT_ROUNDOFF 5.9604644775390625e-8

uint32_t random_between(uint64_t *random, uint32_t low, uint32_t high); /* both included */
/* In [-1, 1), a multiple of 2^-10: exact in half precision and never a subnormal there. */
float random_value(uint64_t *random);

/* The half precision bits of such a value. */
uint16_t half_from(float value);

/* An array in device memory between two guard bands. Guards and all that is not written are NaNs with a pattern of
 * their own: whatever is read in error spoils the result, whatever is written in error is seen. */
typedef struct test_array {
    test_buffer buffer;
    float *values; /* in mapped memory */
    size_t count;
} test_array;

float poison(void);
test_array array_create(test_device *device, size_t count); /* poisoned */
void array_destroy(test_device *device, test_array *array);
double *array_to_double(const test_array *array);

/* Pipelines are kept: compiling takes longer than running. */
const test_pipeline *pipeline_get(test_device *device, const dvk_variant *variant, test_constants constants);
void pipelines_destroy(test_device *device);

/* One op: its pipeline, arrays and push constants. Every push constant struct starts with the group range. */
typedef struct test_op {
    const test_pipeline *pipeline;
    const test_array *arrays[4];
    void *push;
    uint32_t push_size;
    uint32_t groups;
} test_op;

uint32_t op_groups(const dvk_variant *variant, const void *push, uint32_t images);

/* All groups in one grid x * 1 * 1. Returns seconds. */
double op_run(test_device *device, const test_op *op);
/* The same work in two dispatches whose grids are folded into y and z and overshoot. */
void op_run_split(test_device *device, const test_op *op, uint64_t *random);

/* Runs the op whole, compares it with `expected`, then runs it split and `repeats` times more and compares the bits.
 * The output array holds its initial contents; where `expected` is NaN, they must stay. tolerance: one a value. rms:
 * the relative L2 error that the whole array may have. */
void op_check(test_device *device, const test_op *op, test_array *output, const double *expected,
              const double *tolerance, double rms, int repeats, uint64_t *random, const char *what);

/* How many times op_check() was called: each time with a shape, strides and operands of its own. */
extern size_t generated_cases;

void *allocate(size_t bytes); /* ends the test when refused */

#endif
