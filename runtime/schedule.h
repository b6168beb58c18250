/* How a plan is cut into pieces by time. Plain data: no Vulkan call is made here. */
#ifndef DVK_SCHEDULE_H_
#define DVK_SCHEDULE_H_

#include "plan.h"

/* In a dvk_position, `group` counts as the push constants do, and is below the op's count; the end of a plan is
 * {op_count, 0}. Workgroups of one op do not depend on each other, so a pass may be cut at any position and its bits
 * stay. */

/* What a device is believed to do, before anything was measured on it. */
typedef struct dvk_rates {
    double flops_per_ns, bytes_per_ns, ns_per_op;
} dvk_rates;

/* Slow for each class of device, because a piece that takes too long does harm and one that is too short does not. */
dvk_rates dvk_rates_of(dvk_device_type type);

/* ns[op_count]: how long each op takes as a whole. */
void dvk_schedule_estimate(const dvk_plan *plan, dvk_rates rates, uint64_t *ns);

/* The furthest position whose distance from `from` is believed to take at most budget_ns, and at least one workgroup
 * further, so that a loop over it ends. Whole ops, then a part of the next one, unless that would be less than a
 * sixteenth of it: a device is full only with many groups, and so few would take longer than their share. */
dvk_position dvk_schedule_next(const dvk_plan *plan, const uint64_t *ns, dvk_position from, uint64_t budget_ns);

static inline bool dvk_position_is_end(const dvk_plan *plan, dvk_position position) {
    return position.op >= plan->op_count;
}

#endif
