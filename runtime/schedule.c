#include "schedule.h"

#include <math.h>

dvk_rates dvk_rates_of(dvk_device_type type) {
    switch (type) {
    case DVK_DEVICE_DISCRETE: /* a tenth of what a card of 2012 multiplies, and a third of its memory's bandwidth */
        return (dvk_rates){.flops_per_ns = 200, .bytes_per_ns = 50, .ns_per_op = 5e3};
    case DVK_DEVICE_INTEGRATED: /* a small board's GPU */
        return (dvk_rates){.flops_per_ns = 10, .bytes_per_ns = 4, .ns_per_op = 20e3};
    default: /* two cores of a CPU */
        return (dvk_rates){.flops_per_ns = 5, .bytes_per_ns = 2, .ns_per_op = 20e3};
    }
}

void dvk_schedule_estimate(const dvk_plan *plan, dvk_rates rates, uint64_t *ns) {
    for (uint32_t i = 0; i < plan->op_count; i++) {
        double arithmetic = (double)plan->ops[i].flops / rates.flops_per_ns;
        double memory = (double)plan->ops[i].bytes / rates.bytes_per_ns;
        ns[i] = (uint64_t)(fmax(arithmetic, memory) + rates.ns_per_op);
    }
}

dvk_position dvk_schedule_next(const dvk_plan *plan, const uint64_t *ns, dvk_position from, uint64_t budget_ns) {
    dvk_position to = from;
    while (!dvk_position_is_end(plan, to)) {
        uint32_t groups = plan->ops[to.op].push.groups.group_end, rest = groups - to.group;
        /* In double: ns times groups may leave 64 bits, and a rounding error of 2^-53 is no time. */
        double cost = to.group ? (double)ns[to.op] * rest / groups : (double)ns[to.op];
        if (cost <= (double)budget_ns) {
            /* The times may be a damaged cache's: (double)UINT64_MAX is 2^64, which no integer holds. */
            budget_ns = cost < (double)budget_ns ? budget_ns - (uint64_t)cost : 0;
            to = (dvk_position){to.op + 1, 0};
            continue;
        }
        uint32_t fit = (uint32_t)((double)rest * ((double)budget_ns / cost)); /* below rest, for budget_ns < cost */
        bool moved = to.op != from.op;
        if (!moved && !fit)
            fit = 1;
        else if (moved && (uint64_t)fit * 16 < groups)
            fit = 0;
        to.group += fit;
        if (to.group == groups)
            to = (dvk_position){to.op + 1, 0};
        break;
    }
    return to;
}
