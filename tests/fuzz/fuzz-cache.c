/* The cache file with all its sections. The first byte chooses what the rest is:
 *
 *     0  the file
 *     1  what follows a header that fits
 *     2  the section of choices: how many verdicts and measurements (a byte each), and these as they lie in memory;
 *        the bytes 255 and 0 alone mean 80,000 different verdicts
 *     3  the section of costs, where a word of ones stands for the hash of the plan that is asked for
 *
 * Whatever it is, opening succeeds, what is taken from it is sound, and saving it gives a file that reads the same. */
#include "cache_file.h"
#include "choice.h"
#include "cost_store.h"
#include "fuzz.h"
#include "hash.h"
#include "schedule.h"

#include <unistd.h>

enum { OPS = 4, GROUPS = 10, MEMORY = 32 << 20 };

static char directory[64];

/* ------------------------------------------------------------------------------------------ a device that is none */

static volatile uint32_t blob_sum;
static int pipeline_caches;

static VKAPI_ATTR VkResult VKAPI_CALL create_cache(VkDevice device, const VkPipelineCacheCreateInfo *info,
                                                   const VkAllocationCallbacks *callbacks, VkPipelineCache *cache) {
    (void)device, (void)callbacks;
    for (size_t i = 0; i < info->initialDataSize; i++)
        blob_sum += ((const uint8_t *)info->pInitialData)[i];
    pipeline_caches++;
    *cache = (VkPipelineCache)(uintptr_t)&pipeline_caches;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL get_cache(VkDevice device, VkPipelineCache cache, size_t *size, void *data) {
    static const char blob[] = "what a driver compiled";
    (void)device, (void)cache;
    if (data)
        memcpy(data, blob, sizeof(blob));
    *size = sizeof(blob);
    return VK_SUCCESS;
}

static void open_context(dvk_context *context, const dvk_allocator *allocator, const char *where) {
    *context = (dvk_context){
        .allocator = *allocator,
        .device_class = DVK_CLASS_SOFTWARE,
        .info = {.vendor_id = 1, .device_id = 2},
        .limits = {.maxComputeSharedMemorySize = 32768,
                   .maxComputeWorkGroupInvocations = 1024,
                   .maxComputeWorkGroupSize = {1024, 1024, 64},
                   .maxComputeWorkGroupCount = {65535, 65535, 65535}},
    };
    context->vk.vkCreatePipelineCache = create_cache;
    context->vk.vkGetPipelineCacheData = get_cache;
    dvk_error error = {0};
    REQUIRE_ALWAYS(dvk_choices_create(&context->allocator, NULL, &context->choices, &error) == DVK_OK);
    context->choices->measure = true;
    static uint64_t build_id; /* of all SPIR-V: a millisecond */
    if (!build_id)
        build_id = dvk_choices_build_id(context->choices);
    context->build_id = build_id;
    REQUIRE_ALWAYS(dvk_cache_open(context, where, &error) == DVK_OK);
    REQUIRE_ALWAYS(dvk_choices_restore(context, &error) == DVK_OK);
}

static void close_context(dvk_context *context) {
    dvk_cache_close(context);
    dvk_choices_destroy(&context->allocator, context->choices);
}

/* ------------------------------------------------------------------------------------------------- the file */

static char path[256];
static uint8_t header[256]; /* of a file of this context; its last 16 bytes are the sections' size and checksum */
static size_t header_size;
static dvk_plan plan;
static dvk_op ops[OPS];
static uint64_t plan_hash;

static uint8_t file_bytes[1 << 20];

static size_t read_file(void) {
    FILE *file = fopen(path, "rb");
    REQUIRE_ALWAYS(file);
    const size_t size = fread(file_bytes, 1, sizeof(file_bytes), file);
    fclose(file);
    return size;
}

static void remove_folder(void) {
    (void)remove(path);
    (void)rmdir(directory);
}

static void write_file(const uint8_t *start, size_t start_size, const uint8_t *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    REQUIRE_ALWAYS(file);
    REQUIRE_ALWAYS(fwrite(start, 1, start_size, file) == start_size && fwrite(bytes, 1, size, file) == size);
    REQUIRE_ALWAYS(fclose(file) == 0);
}

static void write_sections(const uint8_t *sections, size_t size) {
    const uint64_t numbers[2] = {size, dvk_hash(DVK_HASH_START, sections, size)};
    memcpy(header + header_size - sizeof(numbers), numbers, sizeof(numbers));
    write_file(header, header_size, sections, size);
}

static void write_section(uint32_t tag, const uint8_t *body, size_t size) {
    const size_t padded = (size + 7) / 8 * 8;
    uint8_t *section = calloc(1, 16 + padded);
    REQUIRE_ALWAYS(section);
    const uint64_t length = size;
    memcpy(section, &tag, 4);
    memcpy(section + 8, &length, 8);
    if (size)
        memcpy(section + 16, body, size);
    write_sections(section, 16 + padded);
    free(section);
}

/* Once: a file that this context writes shows what its header is, and the costs' section what its plan's hash. */
static void prepare(const dvk_allocator *allocator) {
    if (header_size)
        return;
    snprintf(directory, sizeof(directory), "fuzz-cache-%ld", (long)getpid());
    (void)atexit(remove_folder);
    for (uint32_t i = 0; i < OPS; i++)
        ops[i] = (dvk_op){
            .variant = &dvk_variants[i], .flops = 1000 * (i + 1), .bytes = 100, .push.groups.group_end = GROUPS};
    plan = (dvk_plan){.ops = ops, .op_count = OPS, .op_capacity = OPS};
    dvk_context context;
    open_context(&context, allocator, directory);
    snprintf(path, sizeof(path), "%s", context.cache_path);
    const uint64_t ns[OPS] = {1, 2, 3, 4};
    dvk_costs_store(&context, &plan, ns);
    size_t size;
    const void *section = dvk_cache_get_section(&context, DVK_CACHE_COSTS, &size);
    REQUIRE_ALWAYS(section && size == 16 + sizeof(ns));
    memcpy(&plan_hash, section, sizeof(plan_hash));
    const size_t sections = 16 + size + 16 + 24; /* the costs, and 23 bytes of pipelines */
    const size_t whole = read_file();
    REQUIRE_ALWAYS(whole > sections && whole - sections <= sizeof(header));
    header_size = whole - sections;
    memcpy(header, file_bytes, header_size);
    close_context(&context);
}

static void write_choices(const uint8_t *data, size_t size) {
    const bool many = size == 2 && data[0] == 255 && data[1] == 0;
    const uint32_t counts[2] = {many ? 80000 : size > 0 ? data[0] % 8u : 0, size > 1 ? data[1] % 8u : 0};
    const size_t body = sizeof(counts) + counts[0] * sizeof(dvk_verdict) + counts[1] * sizeof(dvk_measurement);
    uint8_t *bytes = calloc(1, body);
    REQUIRE_ALWAYS(bytes);
    memcpy(bytes, counts, sizeof(counts));
    for (uint32_t i = 0; many && i < counts[0]; i++) {
        const dvk_verdict verdict = {.specialisation.head_dim = i};
        memcpy(bytes + sizeof(counts) + i * sizeof(verdict), &verdict, sizeof(verdict));
    }
    const size_t given = size > 2 ? size - 2 : 0, room = body - sizeof(counts);
    if (given)
        memcpy(bytes + sizeof(counts), data + 2, given < room ? given : room);
    write_section(DVK_CACHE_CHOICES, bytes, body);
    free(bytes);
}

static void write_costs(const uint8_t *data, size_t size) {
    uint8_t *bytes = fuzz_copy(data, size);
    for (size_t at = 0; size - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, bytes + at, 8);
        if (word == UINT64_MAX)
            memcpy(bytes + at, &plan_hash, 8);
    }
    write_section(DVK_CACHE_COSTS, bytes, size);
    free(bytes);
}

/* ------------------------------------------------------------------------------------------------- its use */

static void use(dvk_context *context) {
    static const dvk_shape shape = {300, 64, 64, 4};
    dvk_error error = {0};
    for (int kernel = 0; kernel < DVK_KERNEL_COUNT; kernel++) {
        const dvk_use wanted = {(dvk_kernel)kernel, DVK_WEIGHT_FP32, shape};
        const dvk_variant *variant = NULL, *candidates[16];
        const dvk_result result = dvk_variant_choose(context, &wanted, &variant, &error);
        if (result == DVK_OK)
            REQUIRE_ALWAYS(variant >= dvk_variants && variant < dvk_variants + dvk_variant_count &&
                           variant->kernel == (dvk_kernel)kernel);
        else
            fuzz_check_refusal(result, &error);
        (void)dvk_variant_candidates(context, &wanted, candidates, 16);
    }
    uint32_t count = 0;
    REQUIRE_ALWAYS(dvk_context_variants(context, NULL, &count, &error) == DVK_OK);
    dvk_variant_info *infos = calloc(count + 1, sizeof(*infos));
    REQUIRE_ALWAYS(infos && dvk_context_variants(context, infos, &count, &error) == DVK_OK);
    for (uint32_t i = 0; i < count; i++)
        REQUIRE_ALWAYS(strlen(infos[i].use) < sizeof(infos[i].use) &&
                       strlen(infos[i].refused) < sizeof(infos[i].refused));
    free(infos);
}

/* Times that a file claims decide where a pass is cut: the pieces must cover it all the same, and come to an end. */
static void use_costs(const dvk_context *context) {
    uint64_t ns[OPS] = {0};
    if (!dvk_costs_load(context, &plan, ns))
        return;
    const uint64_t budgets[] = {0, 1, 1000000, UINT64_MAX};
    for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++) {
        dvk_position at = {0, 0};
        for (uint32_t pieces = 0; !dvk_position_is_end(&plan, at); pieces++) {
            const dvk_position next = dvk_schedule_next(&plan, ns, at, budgets[i]);
            REQUIRE_ALWAYS(next.op > at.op || (next.op == at.op && next.group > at.group));
            REQUIRE_ALWAYS(dvk_position_is_end(&plan, next) || next.group < GROUPS);
            REQUIRE_ALWAYS(pieces < OPS * GROUPS);
            at = next;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_memory memory, other_memory;
    const dvk_allocator allocator = fuzz_allocator(&memory, MEMORY);
    prepare(&allocator);
    if (size == 0 || size > sizeof(file_bytes) / 2)
        return 0;
    switch (data[0] & 3) {
    case 0:
        write_file(data, 0, data + 1, size - 1);
        break;
    case 1:
        write_sections(data + 1, size - 1);
        break;
    case 2:
        write_choices(data + 1, size - 1);
        break;
    default:
        write_costs(data + 1, size - 1);
    }
    dvk_context context;
    open_context(&context, &allocator, directory);
    use(&context);
    use_costs(&context);
    context.choices->changed = true;
    dvk_choices_store(&context);
    dvk_cache_save(&context);

    const dvk_allocator other_allocator = fuzz_allocator(&other_memory, MEMORY);
    dvk_context other;
    open_context(&other, &other_allocator, directory);
    REQUIRE_ALWAYS(other.cache_checksum);
    REQUIRE_ALWAYS(other.choices->verdict_count == context.choices->verdict_count &&
                   other.choices->measurement_count == context.choices->measurement_count);
    close_context(&other);
    close_context(&context);
    REQUIRE_ALWAYS(memory.blocks == 0 && other_memory.blocks == 0);
    return 0;
}
