#include "hash.h"
#include "plan.h"

#include <inttypes.h>
#include <stdio.h>

/* What a variant's code is used for, in a pass of any size: rows and tokens change no bit of the others. */
typedef struct deed {
    const dvk_variant *variant;
    dvk_specialisation specialisation;
    uint32_t columns, depth;
} deed;

static deed deed_of(const dvk_op *op) {
    deed result = {op->variant, op->specialisation, op->use.shape.columns, op->use.shape.depth};
    if (op->use.kernel == DVK_KERNEL_ATTENTION)
        result.columns = 0;
    return result;
}

static bool equal(const deed *a, const deed *b) {
    return a->variant == b->variant && a->columns == b->columns && a->depth == b->depth &&
           memcmp(&a->specialisation, &b->specialisation, sizeof(a->specialisation)) == 0;
}

void dvk_plan_fingerprint(const dvk_plan *plan, char text[17]) {
    uint64_t hash = DVK_HASH_START;
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const deed one = deed_of(&plan->ops[i]);
        bool seen = false;
        for (uint32_t j = 0; j < i && !seen; j++) {
            const deed other = deed_of(&plan->ops[j]);
            seen = equal(&one, &other);
        }
        if (seen)
            continue;
        const uint64_t parts[] = {dvk_variant_hash(one.variant), one.columns, one.depth};
        hash = dvk_hash(hash, parts, sizeof(parts));
        hash = dvk_hash(hash, &one.specialisation, sizeof(one.specialisation));
    }
    snprintf(text, 17, "%016" PRIx64, hash);
}
