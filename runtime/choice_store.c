/* What a context knows of its variants, to the cache file and back. */
#include "cache_file.h"
#include "choice.h"
#include "hash.h"
#include "memory.h"

#include <string.h>

/* Of each; a machine has some hundreds. The lists grow one by one, which a host's allocator may do by copying. */
enum { MOST_STORED = 4096 };

/* The section: this, the verdicts, the measurements, as they lie in memory; the build id is of that, too. */
typedef struct stored_counts {
    uint32_t verdicts, measurements;
} stored_counts;

uint64_t dvk_variant_hash(const dvk_variant *variant) {
    const uint32_t numbers[] = {variant->kernel,        variant->weight,       variant->features,
                                variant->half_products, variant->local_size,   variant->subgroups,
                                variant->subgroup_size, variant->tile_rows,    variant->tile_columns,
                                variant->shared_bytes,  variant->max_head_dim, variant->constant_count,
                                variant->matrix.m,      variant->matrix.n,     variant->matrix.k};
    uint64_t hash = dvk_hash(DVK_HASH_START, variant->name, strlen(variant->name));
    hash = dvk_hash(hash, numbers, sizeof(numbers));
    hash = dvk_hash(hash, variant->constants, sizeof(variant->constants));
    return dvk_hash(hash, variant->spirv, variant->spirv_bytes);
}

uint64_t dvk_choices_build_id(const dvk_choices *choices) {
    const size_t sizes[] = {sizeof(dvk_verdict), sizeof(dvk_measurement), choices->table_count};
    uint64_t hash = dvk_hash(DVK_HASH_START, sizes, sizeof(sizes));
    for (size_t i = 0; i < choices->table_count; i++) {
        uint64_t variant = dvk_variant_hash(&choices->table[i]);
        hash = dvk_hash(hash, &variant, sizeof(variant));
    }
    return hash;
}

void dvk_choices_store(dvk_context *context) {
    dvk_choices *choices = context->choices;
    stored_counts counts = {0, (uint32_t)choices->measurement_count};
    for (size_t i = 0; i < choices->verdict_count; i++)
        counts.verdicts += !choices->verdicts[i].passing;
    const size_t verdicts = counts.verdicts * sizeof(*choices->verdicts);
    const size_t measurements = choices->measurement_count * sizeof(*choices->measurements);
    if (!choices->changed || !context->cache_path)
        return;
    uint8_t *bytes = dvk_allocate(&context->allocator, sizeof(counts) + verdicts + measurements);
    if (!bytes) /* another time */
        return;
    memcpy(bytes, &counts, sizeof(counts));
    uint8_t *at = bytes + sizeof(counts);
    for (size_t i = 0; i < choices->verdict_count; i++)
        if (!choices->verdicts[i].passing) {
            memcpy(at, &choices->verdicts[i], sizeof(*choices->verdicts));
            at += sizeof(*choices->verdicts);
        }
    if (measurements)
        memcpy(at, choices->measurements, measurements);
    choices->changed =
        !dvk_cache_put_section(context, DVK_CACHE_CHOICES, bytes, sizeof(counts) + verdicts + measurements);
    dvk_release(&context->allocator, bytes);
}

/* The checksum says that we wrote it; a file made to hurt must not hurt all the same. */
/* One line of printable ASCII, as ours are: it becomes part of sentences. */
static bool is_line(const char *text, size_t size) {
    size_t i = 0;
    while (i < size && text[i] >= ' ' && text[i] <= '~')
        i++;
    return i < size && !text[i];
}

static bool is_sound_verdict(const dvk_choices *choices, const dvk_verdict *verdict) {
    return verdict->variant < choices->table_count && !verdict->passing &&
           is_line(verdict->wrong, sizeof(verdict->wrong));
}

static bool is_sound_measurement(const dvk_choices *choices, const dvk_measurement *measurement) {
    const dvk_use *use = &measurement->use;
    return (uint32_t)use->kernel < DVK_KERNEL_COUNT && (uint32_t)use->weight <= DVK_WEIGHT_INT8 &&
           measurement->variant < choices->table_count &&
           dvk_variant_serves(&choices->table[measurement->variant], use->kernel, use->weight);
}

dvk_result dvk_choices_restore(dvk_context *context, dvk_error *error) {
    dvk_choices *choices = context->choices;
    size_t size;
    const uint8_t *bytes = dvk_cache_get_section(context, DVK_CACHE_CHOICES, &size);
    stored_counts counts;
    if (!bytes || size < sizeof(counts))
        return DVK_OK;
    memcpy(&counts, bytes, sizeof(counts));
    if (counts.verdicts > MOST_STORED || counts.measurements > MOST_STORED)
        return DVK_OK;
    if (size - sizeof(counts) !=
        counts.verdicts * (uint64_t)sizeof(dvk_verdict) + counts.measurements * (uint64_t)sizeof(dvk_measurement))
        return DVK_OK;
    const uint8_t *at = bytes + sizeof(counts);
    dvk_result status = DVK_OK;
    for (uint32_t i = 0; i < counts.verdicts && status == DVK_OK; i++, at += sizeof(dvk_verdict)) {
        dvk_verdict verdict;
        memcpy(&verdict, at, sizeof(verdict));
        if (is_sound_verdict(choices, &verdict))
            status = dvk_choices_add_verdict(context, &verdict, error);
    }
    for (uint32_t i = 0; i < counts.measurements && status == DVK_OK; i++, at += sizeof(dvk_measurement)) {
        dvk_measurement measurement;
        memcpy(&measurement, at, sizeof(measurement));
        if (is_sound_measurement(choices, &measurement))
            status = dvk_choices_add_measurement(context, &measurement, error);
    }
    choices->changed = false;
    return status;
}
