#include "pace.h"

#include "memory.h"
#include "sort.h"

#include <math.h>
#include <string.h>

/* The estimator is that of TCP's retransmission timer (Jacobson, "Congestion avoidance and control", 1988; RFC 6298):
 * smoothed mean plus a multiple of the smoothed mean deviation, which follows both noise and change. Three deviations
 * leave out less than 1 % of a normal distribution, whose mean deviation is 0.8 sigma: 3 * 0.8 = 2.4 sigma. */
static const double GAIN = 1.0 / 8;
static const double DEVIATIONS = 3;

/* Costs that no slice has confirmed count double: a profile runs op after op, and the same ops in slices of 4 ms, 16 ms
 * apart, took 1.2 to 1.5 times as long (llvmpipe: caches that others used meanwhile, a processor that slept). */
static const double FIRST_SPREAD = 1.0 / 3;

/* What a single slice can say: half to twice what was believed. Beyond, it was interrupted, or its clock is wrong; a
 * lasting change is followed all the same, in a few slices. */
static const double LEAST = 0.5, MOST = 2;

static bool are_alike(const dvk_op *a, const dvk_op *b) {
    return a->variant == b->variant && !memcmp(&a->specialisation, &b->specialisation, sizeof(a->specialisation)) &&
           a->push.groups.group_end == b->push.groups.group_end && a->flops == b->flops && a->bytes == b->bytes;
}

dvk_result dvk_pace_create(const dvk_plan *plan, const dvk_allocator *allocator, uint32_t at_once, dvk_pace *pace,
                           dvk_error *error) {
    const uint32_t count = plan->op_count;
    *pace = (dvk_pace){.allocator = allocator, .op_count = count, .at_once = at_once};
    pace->kinds = dvk_allocate_zeroed(allocator, count, sizeof(*pace->kinds));
    pace->kind_of = dvk_allocate_zeroed(allocator, count, sizeof(*pace->kind_of));
    pace->ns = dvk_allocate_zeroed(allocator, count, sizeof(*pace->ns));
    if (!pace->kinds || !pace->kind_of || !pace->ns)
        return dvk_fail_memory(error, count * sizeof(*pace->kinds));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t kind = 0;
        while (kind < pace->kind_count && !are_alike(&plan->ops[i], &plan->ops[pace->kinds[kind].first_op]))
            kind++;
        if (kind == pace->kind_count)
            pace->kinds[pace->kind_count++].first_op = i;
        pace->kind_of[i] = kind;
    }
    return DVK_OK;
}

void dvk_pace_free(dvk_pace *pace) {
    dvk_release(pace->allocator, pace->kinds);
    dvk_release(pace->allocator, pace->kind_of);
    dvk_release(pace->allocator, pace->ns);
    *pace = (dvk_pace){.allocator = pace->allocator};
}

static int compare_ns(const void *a, const void *b, const void *context) {
    (void)context;
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void settle_costs(dvk_pace *pace) {
    for (uint32_t i = 0; i < pace->op_count; i++) {
        const dvk_pace_kind *kind = &pace->kinds[pace->kind_of[i]];
        /* 10^18 ns are 30 years; beyond 2^64 there would be no conversion. */
        pace->ns[i] = (uint64_t)fmin(kind->ns * kind->ratio * (1 + DEVIATIONS * kind->spread), 1e18);
    }
}

void dvk_pace_start(dvk_pace *pace, const uint64_t *op_ns) {
    for (uint32_t i = 0; i < pace->kind_count; i++) {
        dvk_pace_kind *kind = &pace->kinds[i];
        uint32_t count = 0;
        for (uint32_t op = kind->first_op; op < pace->op_count; op++)
            if (pace->kind_of[op] == i)
                pace->ns[count++] = op_ns[op];
        dvk_sort(pace->ns, count, sizeof(*pace->ns), compare_ns, NULL); /* which settle_costs() fills anew */
        const uint64_t median = pace->ns[count / 2];
        kind->ns = (double)median;
        kind->ratio = 1;
        kind->spread = FIRST_SPREAD;
        kind->seen = 0;
    }
    settle_costs(pace);
}

dvk_position dvk_pace_next(const dvk_pace *pace, const dvk_plan *plan, dvk_position from, uint64_t budget_ns) {
    dvk_position to = dvk_schedule_next(plan, pace->ns, from, budget_ns);
    const uint32_t over = to.group % pace->at_once;
    if (!over)
        return to;
    const uint32_t groups = plan->ops[to.op].push.groups.group_end;
    if (to.op > from.op || to.group - from.group > over)
        to.group -= over;
    else if (groups - to.group > pace->at_once - over)
        to.group += pace->at_once - over;
    else
        to = (dvk_position){to.op + 1, 0};
    return to;
}

/* The share of op i that lies in the range. */
static double share(const dvk_plan *plan, uint32_t i, dvk_position first, dvk_position last) {
    const uint32_t groups = plan->ops[i].push.groups.group_end;
    const uint32_t from = i == first.op ? first.group : 0, to = i == last.op ? last.group : groups;
    return (double)(to - from) / groups;
}

void dvk_pace_learn(dvk_pace *pace, const dvk_plan *plan, dvk_position first, dvk_position last, uint64_t took_ns) {
    double believed = 0;
    const uint32_t end = last.op + (last.group != 0);
    for (uint32_t i = first.op; i < end; i++)
        believed +=
            share(plan, i, first, last) * pace->kinds[pace->kind_of[i]].ns * pace->kinds[pace->kind_of[i]].ratio;
    if (!(believed > 0))
        return;
    const double off = fmin(fmax((double)took_ns / believed, LEAST), MOST) - 1;
    /* Each kind answers for its part of the slice; what the first slices say of it is averaged, then the newest count.
     */
    for (uint32_t i = first.op; i < end; i++) {
        dvk_pace_kind *kind = &pace->kinds[pace->kind_of[i]];
        const double weight = fmin(share(plan, i, first, last) * kind->ns * kind->ratio / believed, 1);
        kind->seen += weight;
        kind->ratio *= 1 + weight * fmax(GAIN, fmin(1, 1 / kind->seen)) * off;
        kind->spread += weight * GAIN * (fabs(off) - kind->spread);
    }
    settle_costs(pace);
}
