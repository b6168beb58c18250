/* What slices of a pass take inside a host: begun with costs that were measured or estimated, and corrected by what the
 * host says slices took. Ops that are alike teach each other. Plain data: no Vulkan call is made here. */
#ifndef DVK_PACE_H_
#define DVK_PACE_H_

#include "schedule.h"

/* Ops of one variant, with the same constants and the same work. */
typedef struct dvk_pace_kind {
    uint32_t first_op;
    double ns;     /* of one such op as a whole, as it was measured or estimated: the median */
    double ratio;  /* of what slices take to that */
    double spread; /* mean deviation of slices from what was believed, relative to it */
    double seen;   /* slices that told of it; parts of slices count as such */
} dvk_pace_kind;

typedef struct dvk_pace {
    const dvk_allocator *allocator;
    dvk_pace_kind *kinds;
    uint32_t *kind_of; /* [op_count] index in kinds */
    uint64_t *ns;      /* [op_count]: what hardly any op of the kind exceeds; for dvk_schedule_next() */
    uint32_t kind_count, op_count;
    uint32_t at_once; /* workgroups that the device runs side by side, where few of them take long; else 1 */
} dvk_pace;

/* *pace: zeroed. */
dvk_result dvk_pace_create(const dvk_plan *plan, const dvk_allocator *allocator, uint32_t at_once, dvk_pace *pace,
                           dvk_error *error);
void dvk_pace_free(dvk_pace *pace);

/* op_ns[op_count]; forgets what was learned. */
void dvk_pace_start(dvk_pace *pace, const uint64_t *op_ns);

/* As dvk_schedule_next(), but that a piece of an op is a multiple of `at_once` workgroups: fewer would take as long. */
dvk_position dvk_pace_next(const dvk_pace *pace, const dvk_plan *plan, dvk_position from, uint64_t budget_ns);

/* That the range took so long. */
void dvk_pace_learn(dvk_pace *pace, const dvk_plan *plan, dvk_position first, dvk_position last, uint64_t took_ns);

#endif
