/* Ops with made-up operands whose results are known: small whole numbers, so that sums are exact in any order, with any
 * grouping of multiply and add, and in half precision, too. */
#ifndef DVK_PROBLEM_H_
#define DVK_PROBLEM_H_

#include "plan.h"

typedef struct dvk_problem {
    const dvk_allocator *allocator;
    dvk_op op;                       /* binding i is array i */
    uint32_t out;                    /* the array that is written */
    float *arrays[DVK_MAX_BINDINGS]; /* before the op; halves and bytes as the kernel reads them */
    size_t array_bytes[DVK_MAX_BINDINGS];
    float *weights; /* matmul: [depth + 1][w_stride], before they were packed */
} dvk_problem;

/* size NULL: a small problem whose rows, columns and depth end amid the variant's tiles and whose strides leave gaps.
 * Else one of that size, as a pass has it, on which time can be measured. */
dvk_result dvk_problem_create(const dvk_allocator *allocator, const dvk_variant *variant,
                              dvk_specialisation specialisation, const dvk_shape *size, dvk_problem *problem,
                              dvk_error *error);
void dvk_problem_destroy(dvk_problem *problem);

/* For another variant of the same kernel and weights. */
void dvk_problem_set_variant(dvk_problem *problem, const dvk_variant *variant);

/* Compares array `out` after the op with what it should be; of large problems some rows. Says in `wrong` what is
 * wrong first, or "". */
dvk_result dvk_problem_check(const dvk_problem *problem, const float *out, char *wrong, size_t size, dvk_error *error);

#endif
