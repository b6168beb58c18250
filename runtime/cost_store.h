#ifndef DVK_COST_STORE_H_
#define DVK_COST_STORE_H_

#include "plan.h"

/* What the ops of exactly this plan took when it was profiled on this device, maybe by another process: ns[op_count].
 * False: it never was. */
bool dvk_costs_load(const dvk_context *context, const dvk_plan *plan, uint64_t *ns);
void dvk_costs_store(dvk_context *context, const dvk_plan *plan, const uint64_t *ns);

#endif
