/* What ops took, in the cache file: for each plan that was profiled, so that a later process cuts passes by it. */
#include "cost_store.h"

#include "cache_file.h"
#include "hash.h"
#include "memory.h"

#include <string.h>

enum { MOST_PLANS = 16 }; /* the newest; a plan takes a kilobyte */

/* The section: records of this and `count` times of 64 bits, the newest first. */
typedef struct stored_plan {
    uint64_t hash, count;
} stored_plan;

static uint64_t hash_plan(const dvk_plan *plan) {
    uint64_t hash = DVK_HASH_START;
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const dvk_op *op = &plan->ops[i];
        const uint64_t numbers[] = {op->push.groups.group_end, op->flops, op->bytes};
        hash = dvk_hash(hash, op->variant->name, strlen(op->variant->name));
        hash = dvk_hash(hash, &op->specialisation, sizeof(op->specialisation));
        hash = dvk_hash(hash, numbers, sizeof(numbers));
    }
    return hash;
}

/* The record at *offset, which moves past it; NULL: there is none. Records begin at multiples of 8. */
static const stored_plan *next_record(const uint8_t *section, size_t size, size_t *offset) {
    if (!section || size - *offset < sizeof(stored_plan))
        return NULL;
    const stored_plan *record = (const stored_plan *)(const void *)(section + *offset);
    const size_t rest = size - *offset - sizeof(*record);
    if (record->count > rest / sizeof(uint64_t))
        return NULL;
    *offset += sizeof(*record) + (size_t)record->count * sizeof(uint64_t);
    return record;
}

bool dvk_costs_load(const dvk_context *context, const dvk_plan *plan, uint64_t *ns) {
    size_t size = 0, offset = 0;
    const uint8_t *section = dvk_cache_get_section(context, DVK_CACHE_COSTS, &size);
    const uint64_t hash = hash_plan(plan);
    for (const stored_plan *record; (record = next_record(section, size, &offset));)
        if (record->hash == hash && record->count == plan->op_count) {
            memcpy(ns, record + 1, plan->op_count * sizeof(*ns));
            return true;
        }
    return false;
}

void dvk_costs_store(dvk_context *context, const dvk_plan *plan, const uint64_t *ns) {
    size_t size = 0, offset = 0;
    const uint8_t *section = dvk_cache_get_section(context, DVK_CACHE_COSTS, &size);
    const stored_plan own = {hash_plan(plan), plan->op_count};
    const size_t own_bytes = sizeof(own) + plan->op_count * sizeof(*ns);
    uint8_t *bytes = dvk_allocate(&context->allocator, own_bytes + size);
    if (!bytes)
        return; /* a cache that is not kept is no failure */
    memcpy(bytes, &own, sizeof(own));
    memcpy(bytes + sizeof(own), ns, plan->op_count * sizeof(*ns));
    size_t used = own_bytes;
    uint32_t plans = 1;
    for (const stored_plan *record; plans < MOST_PLANS && (record = next_record(section, size, &offset));)
        if (record->hash != own.hash) {
            const size_t record_bytes = sizeof(*record) + (size_t)record->count * sizeof(uint64_t);
            memcpy(bytes + used, record, record_bytes);
            used += record_bytes;
            plans++;
        }
    (void)dvk_cache_put_section(context, DVK_CACHE_COSTS, bytes, used);
    dvk_release(&context->allocator, bytes);
    dvk_cache_save(context);
}
