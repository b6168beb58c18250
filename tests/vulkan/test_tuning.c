/* How variants are chosen: what is wrong, unsteady, slow or will not compile is not used, whatever stands first in the
 * table; pins and the deterministic order are honoured; and what is chosen gives the features that the others give. */
#include "cache_file.h"
#include "choice.h"
#include "device.h"
#include "driver_bugs.h"
#include "known_answer.h"
#include "session.h"
#include "synth.h"

#include <math.h>

#define MODEL "tuning-vit-tiny"
#define CACHE "tuning-cache"

enum { SIZE = 64, PIXELS = 3 * SIZE * SIZE, MAX_TABLE = 256 };

static float pixels[PIXELS];

static void fill_pixels(void) {
    uint32_t state = 1;
    for (size_t i = 0; i < PIXELS; i++) {
        state = state * 1664525u + 1013904223u;
        pixels[i] = (float)(state >> 8) / 8388608.0f * 2.0f - 2.0f;
    }
}

/* ------------------------------------------------------------------------------------------- planted variants */

static dvk_variant table[MAX_TABLE];
static size_t table_count;

/* The table of the build behind `planted`, which come first and are meant for the device. */
static void plant(dvk_context *context, const dvk_variant *planted, size_t count) {
    REQUIRE(count + dvk_variant_count <= MAX_TABLE);
    memcpy(table, planted, count * sizeof(*planted));
    memcpy(table + count, dvk_variants, dvk_variant_count * sizeof(*table));
    table_count = count + dvk_variant_count;
    for (size_t i = 0; i < count; i++)
        table[i].device_class = context->device_class;
    context->choices->table = table;
    context->choices->table_count = table_count;
}

/* The one that an untuned context takes. */
static dvk_variant first_of(const dvk_context *context, dvk_kernel kernel) {
    const dvk_use use = {kernel, DVK_WEIGHT_FP32, {64, 64, 64, 4}};
    const dvk_variant *variant = NULL;
    dvk_error error;
    REQUIRE(dvk_variant_choose(context, &use, &variant, &error) == DVK_OK);
    return *variant;
}

/* A copy of the SPIR-V in which one floating-point addition, the `which`-th from the end, has become a subtraction. */
static void plant_error(dvk_variant *variant, unsigned which) {
    enum { OP_FADD = 129, OP_FSUB = 131, HEADER_WORDS = 5 };
    static uint32_t code[1 << 16];
    size_t words = variant->spirv_bytes / 4, additions[4096], count = 0;
    REQUIRE(words <= sizeof(code) / sizeof(code[0]));
    memcpy(code, variant->spirv, variant->spirv_bytes);
    for (size_t at = HEADER_WORDS; at < words; at += code[at] >> 16)
        if ((code[at] & 0xffff) == OP_FADD && count < 4096)
            additions[count++] = at;
    REQUIRE(count > which);
    size_t at = additions[count - 1 - which];
    code[at] = (code[at] & 0xffff0000) | OP_FSUB;
    variant->spirv = code;
    variant->name = "planted_wrong";
}

/* Entry points of the context that stand between it and its driver. */
static PFN_vkCreateComputePipelines create_pipelines;
static PFN_vkCmdBindPipeline bind_pipeline;
static PFN_vkCmdDispatch dispatch;
static const dvk_context *hooked;
static bool planted_bound;
static unsigned dispatches;

static VKAPI_ATTR VkResult VKAPI_CALL fail_to_create(VkDevice device, VkPipelineCache cache, uint32_t count,
                                                     const VkComputePipelineCreateInfo *infos,
                                                     const VkAllocationCallbacks *allocator, VkPipeline *pipelines) {
    /* The planted variant is the only one with this many specialisation constants. */
    if (infos->stage.pSpecializationInfo->mapEntryCount > DVK_CONSTANT_VARIANT_COUNT)
        return VK_ERROR_UNKNOWN;
    return create_pipelines(device, cache, count, infos, allocator, pipelines);
}

static VKAPI_ATTR void VKAPI_CALL note_pipeline(VkCommandBuffer commands, VkPipelineBindPoint point,
                                                VkPipeline pipeline) {
    planted_bound = false;
    for (const dvk_pipeline *one = hooked->pipelines; one; one = one->next)
        planted_bound |= one->handle == pipeline && strncmp(one->variant->name, "planted", 7) == 0;
    bind_pipeline(commands, point, pipeline);
}

/* Loses every fifth dispatch of a planted variant. */
static VKAPI_ATTR void VKAPI_CALL lose_some(VkCommandBuffer commands, uint32_t x, uint32_t y, uint32_t z) {
    if (!planted_bound || ++dispatches % 5)
        dispatch(commands, x, y, z);
}

/* ------------------------------------------------------------------------------------------------ sessions */

static dvk_context *open_context(dvk_tuning tuning, const char *variants, const char *cache) {
    dvk_context *context = NULL;
    dvk_error error;
    const dvk_context_params params = {
        .device = getenv("DVK_TEST_DEVICE"), .tuning = tuning, .variants = variants, .cache_dir = cache};
    dvk_result result = dvk_context_create(&params, &context, &error);
    if (result == DVK_ERROR_NO_VULKAN)
        SKIP("%s", error.message);
    if (result != DVK_OK)
        printf("dvk_context_create: %s\n", error.message);
    REQUIRE(result == DVK_OK);
    context->choices->least_flops = 0;
    context->choices->budget_ms = 1e6; /* what is measured must not depend on what else the machine does */
    return context;
}

typedef struct outcome {
    dvk_result result;
    dvk_error error;
    char variants[2048];
    dvk_session_info info;
    float cls[64];
} outcome;

static outcome run_with(dvk_context *context, dvk_precision precision) {
    outcome end = {0};
    dvk_model *model = NULL;
    dvk_session *session = NULL;
    const dvk_model_params model_params = {.path = MODEL, .precision = precision};
    REQUIRE(dvk_model_load(context, &model_params, &model, NULL) == DVK_OK);
    const dvk_session_params params = {.width = SIZE, .height = SIZE};
    end.result = dvk_session_create(model, &params, &session, &end.error);
    if (end.result == DVK_OK) {
        dvk_session_print_variants(session, end.variants, sizeof(end.variants));
        end.info = *dvk_session_get_info(session);
        CHECK(dvk_session_run(session, pixels, 1, NULL) == DVK_OK);
        CHECK(dvk_session_read(session, DVK_OUTPUT_CLS, 0, end.cls, 64, NULL) == DVK_OK);
        dvk_session_destroy(&session);
    }
    dvk_model_destroy(&model);
    return end;
}

static outcome run(dvk_context *context) {
    return run_with(context, DVK_PRECISION_FP32);
}

static bool listed(const dvk_context *context, const char *variant, bool chosen, const char *refused) {
    static dvk_variant_info infos[1024];
    uint32_t count = 1024;
    REQUIRE(dvk_context_variants(context, infos, &count, NULL) == DVK_OK && count <= 1024);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(infos[i].variant, variant) == 0 && infos[i].chosen == chosen &&
            strncmp(infos[i].refused, refused, strlen(refused)) == 0 && (*refused || !infos[i].refused[0]))
            return true;
    return false;
}

/* Both are within the bounds of accuracy.md of the truth, 1e-4 of the features' size; twice that between them. */
static void check_close(const outcome *a, const outcome *b) {
    double error = 0.0, size = 0.0;
    for (size_t i = 0; i < 64; i++) {
        error += pow((double)a->cls[i] - (double)b->cls[i], 2.0);
        size += pow((double)a->cls[i], 2.0);
    }
    CHECK_MESSAGE(sqrt(error / size) <= 2e-4, "features differ by %.2g of their size", sqrt(error / size));
}

/* ---------------------------------------------------------------------------------------------- the tests */

/* Every variant that the device runs, with specialisation constants of every kind. */
static void test_all_are_right(void) {
    static const dvk_specialisation epilogues[] = {
        {.activation = DVK_ACTIVATION_GELU, .residual = DVK_RESIDUAL_NONE},
        {.activation = DVK_ACTIVATION_NONE, .residual = DVK_RESIDUAL_TABLE},
        {.activation = DVK_ACTIVATION_SILU, .residual = DVK_RESIDUAL_MULTIPLY},
        {.residual = DVK_RESIDUAL_TABLE, .patch_size = 8}};
    dvk_context *context = test_open_context(NULL);
    char why[DVK_REFUSAL];
    for (size_t i = 0; i < dvk_variant_count; i++) {
        const dvk_variant *variant = &dvk_variants[i];
        const dvk_specialisation heads[] = {{.head_dim = 20}, {.head_dim = variant->max_head_dim}}, plain = {0};
        const dvk_specialisation *how = variant->kernel == DVK_KERNEL_MATMUL ? epilogues
                                        : variant->max_head_dim              ? heads
                                                                             : &plain;
        const size_t products = variant->reads_pixels ? 4 : 3;
        const size_t count = variant->kernel == DVK_KERNEL_MATMUL ? products : variant->max_head_dim ? 2 : 1;
        for (size_t j = 0; j < count; j++) {
            const dvk_use use = {variant->kernel, variant->weight, {64, 64, how[j].head_dim, 4}};
            bool right = false;
            if (dvk_variant_refusal(context, variant, &use, why)) {
                printf("%s: not run, %s\n", variant->name, why);
                continue;
            }
            CHECK_OK(dvk_prove(context, variant, how[j], 2, &right, &error_));
            const dvk_verdict *verdict = dvk_choices_find_verdict(context->choices, variant, how[j]);
            CHECK_MESSAGE(right, "%s: %s", variant->name, verdict ? verdict->wrong : "no verdict");
        }
    }
    test_close_context(&context);
}

/* One addition of a product's last ones: if it is not noticed, then because no session of this model comes by it. */
static void test_wrong_is_refused(void) {
    outcome good = {0};
    int noticed = 0;
    for (unsigned which = 0; which < 4; which++) {
        dvk_context *context = open_context(DVK_TUNING_OFF, NULL, NULL);
        if (!which)
            good = run(context);
        dvk_variant wrong = first_of(context, DVK_KERNEL_MATMUL);
        plant_error(&wrong, which);
        plant(context, &wrong, 1);
        outcome end = run(context);
        CHECK_MESSAGE(end.result == DVK_OK, "%s", end.error.message);
        CHECK(memcmp(end.cls, good.cls, sizeof(good.cls)) == 0);
        if (!strstr(end.variants, "planted")) {
            CHECK(listed(context, "planted_wrong", false, "value "));
            noticed++;
        }
        dvk_context_destroy(&context);
    }
    CHECK_MESSAGE(noticed >= 2, "%d of 4 planted errors were noticed", noticed);
}

/* A table in which nothing is right gives no features. */
static void test_nothing_right(void) {
    dvk_context *context = open_context(DVK_TUNING_OFF, NULL, NULL);
    dvk_variant wrong = first_of(context, DVK_KERNEL_MATMUL);
    plant_error(&wrong, 0);
    plant(context, &wrong, 1);
    for (size_t i = 1; i < table_count; i++)
        if (table[i].kernel == DVK_KERNEL_MATMUL)
            table[i].features = 1u << 31; /* which no device has */
    outcome end = run(context);
    CHECK(end.result == DVK_ERROR_UNSUPPORTED);
    CHECK_MESSAGE(strstr(end.error.message, "planted_wrong: value "), "%s", end.error.message);
    dvk_context_destroy(&context);
}

static size_t count_candidates(const dvk_context *context, const dvk_use *use, const dvk_variant *which) {
    const dvk_variant *candidates[MAX_TABLE];
    size_t found = dvk_variant_candidates(context, use, candidates, MAX_TABLE), count = 0;
    for (size_t i = 0; i < found; i++)
        count += candidates[i] == which;
    return count;
}

/* It does not compete where another one can, and is chosen where none can. */
static void test_fallback(void) {
    const dvk_use use = {DVK_KERNEL_MATMUL, DVK_WEIGHT_FP32, {64, 64, 64, 4}};
    dvk_context *context = open_context(DVK_TUNING_OFF, NULL, NULL);
    dvk_variant planted[2] = {first_of(context, DVK_KERNEL_MATMUL), first_of(context, DVK_KERNEL_MATMUL)};
    const dvk_variant *chosen = NULL;
    planted[0].fallback = planted[1].fallback = false; /* as it is on a device for which nothing else is left */
    plant(context, planted, 2);
    CHECK(count_candidates(context, &use, &table[0]) == 1 && count_candidates(context, &use, &table[1]) == 1);
    table[1].fallback = true;
    CHECK(count_candidates(context, &use, &table[0]) == 1 && count_candidates(context, &use, &table[1]) == 0);
    table[0].features = 1u << 31; /* which no device has */
    CHECK_OK(dvk_variant_choose(context, &use, &chosen, &error_));
    CHECK(chosen == &table[1]);
    dvk_context_destroy(&context);
}

/* A variant proved on its own, as for a report. What was right once and is wrong later is wrong. */
static void test_proofs(void) {
    dvk_context *context = open_context(DVK_TUNING_OFF, NULL, NULL);
    dvk_variant wrong = first_of(context, DVK_KERNEL_MATMUL);
    dvk_proof proof;
    dvk_error error;
    plant(context, &wrong, 1);
    CHECK_OK(dvk_context_prove(context, 0, 2, &proof, &error_));
    CHECK(proof.programs == 5u + table[0].reads_pixels && !proof.wrong[0] && !proof.refused[0] &&
          proof.variants == table_count);
    CHECK(strcmp(proof.kernel, "matmul") == 0 && strcmp(proof.variant, wrong.name) == 0);
    plant_error(&wrong, 0);
    table[0].spirv = wrong.spirv;
    dvk_pipelines_destroy(context); /* or the right one is found */
    CHECK_OK(dvk_context_prove(context, 0, 2, &proof, &error_));
    CHECK_MESSAGE(proof.programs && !strncmp(proof.wrong, "value ", 6), "%s", proof.wrong);
    CHECK(listed(context, table[0].name, false, "value "));
    CHECK_OK(dvk_context_prove(context, 0, 2, &proof, &error_));
    CHECK(proof.programs == 0 && !strncmp(proof.refused, "value ", 6));
    for (uint32_t i = 1; i < table_count; i++)
        if (!dvk_kernel_is_proved(table[i].kernel)) {
            CHECK_OK(dvk_context_prove(context, i, 1, &proof, &error_));
            CHECK(!proof.programs && !proof.wrong[0]);
        }
    CHECK(dvk_context_prove(context, (uint32_t)table_count, 1, &proof, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_context_prove(context, 0, 0, &proof, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_context_prove(context, 0, 1025, &proof, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_context_prove(context, 0, 1, NULL, &error) == DVK_ERROR_INVALID_ARGUMENT);
    dvk_context_destroy(&context);
}

static void test_uncompilable_is_refused(void) {
    dvk_context *context = open_context(DVK_TUNING_OFF, NULL, NULL);
    dvk_variant planted = first_of(context, DVK_KERNEL_MATMUL);
    planted.name = "planted_uncompilable";
    planted.constant_count = DVK_CONSTANT_VARIANT_COUNT;
    plant(context, &planted, 1);
    create_pipelines = context->vk.vkCreateComputePipelines;
    context->vk.vkCreateComputePipelines = fail_to_create;
    outcome end = run(context);
    CHECK_MESSAGE(end.result == DVK_OK, "%s", end.error.message);
    CHECK(!strstr(end.variants, "planted"));
    CHECK(listed(context, "planted_uncompilable", false, "it does not compile"));
    const dvk_choices *choices = context->choices;
    for (size_t i = 0; i < choices->verdict_count; i++)
        CHECK(choices->verdicts[i].passing == (choices->verdicts[i].wrong[0] != '\0'));
    dvk_context_destroy(&context);
}

static void test_unsteady_is_refused(void) {
    dvk_context *context = open_context(DVK_TUNING_OFF, NULL, NULL);
    dvk_variant planted = first_of(context, DVK_KERNEL_MATMUL);
    planted.name = "planted_unsteady";
    plant(context, &planted, 1);
    hooked = context;
    dispatches = 0;
    bind_pipeline = context->vk.vkCmdBindPipeline;
    dispatch = context->vk.vkCmdDispatch;
    context->vk.vkCmdBindPipeline = note_pipeline;
    context->vk.vkCmdDispatch = lose_some;
    outcome end = run(context);
    CHECK_MESSAGE(end.result == DVK_OK, "%s", end.error.message);
    CHECK(!strstr(end.variants, "planted"));
    CHECK(listed(context, "planted_unsteady", false, "run 5 of 8 gave other bits"));
    dvk_context_destroy(&context);
}

static PFN_vkWaitForFences wait_for_fences;

static VKAPI_ATTR VkResult VKAPI_CALL lose_device(VkDevice device, uint32_t count, const VkFence *fences, VkBool32 all,
                                                  uint64_t timeout) {
    VkResult result = wait_for_fences(device, count, fences, all, timeout);
    return planted_bound ? VK_ERROR_DEVICE_LOST : result;
}

/* The first session is lost with the device; the next one does without the variant that did it. */
static void test_loss_is_remembered(void) {
    dvk_context *context = open_context(DVK_TUNING_OFF, NULL, NULL);
    dvk_variant planted = first_of(context, DVK_KERNEL_LAYERNORM);
    planted.name = "planted_loss";
    plant(context, &planted, 1);
    hooked = context;
    planted_bound = false;
    bind_pipeline = context->vk.vkCmdBindPipeline;
    wait_for_fences = context->vk.vkWaitForFences;
    context->vk.vkCmdBindPipeline = note_pipeline;
    context->vk.vkWaitForFences = lose_device;
    CHECK(run(context).result == DVK_ERROR_DEVICE_LOST);
    CHECK(listed(context, "planted_loss", false, "the device was lost"));
    planted_bound = false; /* a new device */
    const outcome end = run(context);
    CHECK_MESSAGE(end.result == DVK_OK, "%s", end.error.message);
    CHECK(!strstr(end.variants, "planted"));
    dvk_context_destroy(&context);
}

/* A variant that does everything eight times over comes first in the table: it is taken without tuning, and not with.
 */
static PFN_vkCmdDispatch plain_dispatch;

static VKAPI_ATTR void VKAPI_CALL repeat(VkCommandBuffer commands, uint32_t x, uint32_t y, uint32_t z) {
    for (int i = 0; i < (planted_bound ? 8 : 1); i++)
        plain_dispatch(commands, x, y, z);
}

static void test_slow_is_not_chosen(void) {
    outcome ends[2];
    for (int tuned = 0; tuned < 2; tuned++) {
        dvk_context *context = open_context(tuned ? DVK_TUNING_ON : DVK_TUNING_OFF, NULL, NULL);
        dvk_variant planted = first_of(context, DVK_KERNEL_ATTENTION);
        planted.name = "planted_slow";
        planted.fallback = false;
        plant(context, &planted, 1);
        for (size_t i = 1; i < table_count; i++) /* there must be one to win */
            table[i].fallback = false;
        hooked = context;
        bind_pipeline = context->vk.vkCmdBindPipeline;
        plain_dispatch = context->vk.vkCmdDispatch;
        context->vk.vkCmdBindPipeline = note_pipeline;
        context->vk.vkCmdDispatch = repeat;
        ends[tuned] = run(context);
        CHECK_MESSAGE(ends[tuned].result == DVK_OK, "%s", ends[tuned].error.message);
        CHECK((strstr(ends[tuned].variants, "planted_slow") != NULL) == !tuned);
        CHECK(listed(context, "planted_slow", !tuned, ""));
        dvk_context_destroy(&context);
    }
    CHECK(strcmp(ends[0].info.fingerprint, ends[1].info.fingerprint) != 0);
    check_close(&ends[0], &ends[1]);
}

/* Untuned twice, and pinned to what was tuned: the same fingerprint and the same bits. */
static void test_pins(void) {
    dvk_context *context = open_context(DVK_TUNING_OFF, NULL, NULL);
    const outcome first = run(context), again = run(context);
    dvk_context_destroy(&context);
    CHECK(strlen(first.info.fingerprint) == 16);
    CHECK(strcmp(first.info.fingerprint, again.info.fingerprint) == 0);
    CHECK(memcmp(first.cls, again.cls, sizeof(first.cls)) == 0);

    context = open_context(DVK_TUNING_ON, NULL, NULL);
    const outcome tuned = run(context);
    dvk_context_destroy(&context);
    check_close(&first, &tuned);
    context = open_context(DVK_TUNING_DEFAULT, tuned.variants, NULL);
    const outcome pinned = run(context);
    dvk_context_destroy(&context);
    CHECK(strcmp(pinned.variants, tuned.variants) == 0);
    CHECK(strcmp(pinned.info.fingerprint, tuned.info.fingerprint) == 0);
    CHECK(memcmp(pinned.cls, tuned.cls, sizeof(tuned.cls)) == 0);

    /* Another one, by a pattern that an earlier line contradicts. */
    context = open_context(DVK_TUNING_OFF,
                           "layernorm/*/* = layernorm_row\n\n  # why\nlayernorm/fp32/*=layernorm_shared # x\r\n", NULL);
    const outcome other = run(context);
    dvk_context_destroy(&context);
    CHECK_MESSAGE(strstr(other.variants, "layernorm_shared") && !strstr(other.variants, "layernorm_row"), "%s",
                  other.variants);
    check_close(&first, &other);
}

static void test_bad_pins(void) {
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"layernorm/*/*", "line 1"},
        {"layernorm/* = layernorm_row", "line 1"},
        {"\nlayernorm/*/* = ", "line 2"},
        {"layernorm/*/* = layernorm_row layernorm_row", "line 1"},
        {"nothing/*/* = layernorm_row", "no kernel nothing"},
        {"layernorm/fp64/* = layernorm_row", "weights fp64"},
        {"# all well\nlayernorm/*/* = layernorm_best",
         "line 2 of the pinned variants: this build has no variant layernorm_best"},
        {"matmul/*/* = layernorm_row", "is a variant of layernorm"},
        {"matmul/fp16/* = matmul_tiled_fp32", "is a variant of matmul/fp32"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        dvk_context *context = NULL;
        dvk_error error = {0};
        const dvk_context_params params = {.device = getenv("DVK_TEST_DEVICE"), .variants = cases[i].text};
        CHECK(dvk_context_create(&params, &context, &error) == DVK_ERROR_INVALID_ARGUMENT);
        CHECK_MESSAGE(strstr(error.message, cases[i].expected), "%s: %s", cases[i].text, error.message);
        CHECK(context == NULL);
    }
    dvk_context *context = NULL;
    const dvk_context_params params = {.tuning = (dvk_tuning)3};
    CHECK(dvk_context_create(&params, &context, NULL) == DVK_ERROR_INVALID_ARGUMENT);

    /* A pin is an order: what cannot follow it fails. */
    context = open_context(DVK_TUNING_OFF, "layernorm/*/* = layernorm_row", NULL);
    const dvk_variant *row = NULL;
    for (size_t i = 0; i < dvk_variant_count; i++)
        if (strcmp(dvk_variants[i].name, "layernorm_row") == 0)
            row = &dvk_variants[i];
    REQUIRE(row != NULL);
    const dvk_verdict wrong = {.variant = (uint32_t)(row - dvk_variants), .wrong = "said the test"};
    REQUIRE(dvk_choices_add_verdict(context, &wrong, NULL) == DVK_OK);
    outcome end = run(context);
    CHECK(end.result == DVK_ERROR_UNSUPPORTED);
    CHECK_MESSAGE(strstr(end.error.message, "layernorm_row is pinned for layernorm/fp32/") &&
                      strstr(end.error.message, "said the test"),
                  "%s", end.error.message);
    dvk_context_destroy(&context);
}

static bool is_on_matrices(const dvk_variant *variant) {
    return (variant->features & DVK_FEATURE_COOPERATIVE_MATRIX) != 0;
}

/* As if the device were a GPU, with the variants on cooperative matrices and, for comparison, one that is not; what a
 * driver takes to compile all the others would be most of this test's time. */
static void plant_matrices(dvk_context *context, bool plain) {
    context->device_class = DVK_CLASS_GPU;
    table_count = 0;
    for (size_t i = 0; i < dvk_variant_count; i++) {
        const dvk_variant *variant = &dvk_variants[i];
        const bool compared = variant->kernel == DVK_KERNEL_MATMUL || variant->kernel == DVK_KERNEL_ATTENTION;
        if (!compared || is_on_matrices(variant) ||
            (plain &&
             (strcmp(variant->name, "matmul_tiled_fp16") == 0 || strcmp(variant->name, "attention_blocked_16") == 0)))
            table[table_count++] = *variant;
    }
    context->choices->table = table;
    context->choices->table_count = table_count;
}

/* The whole way of a session on cooperative matrices, where the device has them: each variant that its shapes admit is
 * proven and measured, one for each use is chosen and listed, and the features are those of the plain kernels. */
static void test_matrices(void) {
    dvk_context *context = open_context(DVK_TUNING_OFF, NULL, NULL);
    if (!(context->features.bits & DVK_FEATURE_COOPERATIVE_MATRIX)) {
        printf("tuning on cooperative matrices: not run, the device has none\n");
        dvk_context_destroy(&context);
        return;
    }
    const outcome plain = run_with(context, DVK_PRECISION_FP16);
    dvk_context_destroy(&context);

    outcome ends[2];
    for (int tuned = 0; tuned < 2; tuned++) {
        unsigned proven[2] = {0, 0}, measured[2] = {0, 0};
        context = open_context(tuned ? DVK_TUNING_ON : DVK_TUNING_OFF, NULL, NULL);
        plant_matrices(context, tuned);
        ends[tuned] = run_with(context, DVK_PRECISION_FP16);
        CHECK_MESSAGE(ends[tuned].result == DVK_OK, "%s", ends[tuned].error.message);
        const dvk_choices *choices = context->choices;
        for (size_t i = 0; i < choices->verdict_count; i++) {
            const dvk_variant *variant = &table[choices->verdicts[i].variant];
            CHECK_MESSAGE(!choices->verdicts[i].wrong[0], "%s: %s", variant->name, choices->verdicts[i].wrong);
            if (is_on_matrices(variant))
                proven[variant->kernel == DVK_KERNEL_ATTENTION]++;
        }
        for (size_t i = 0; i < choices->measurement_count; i++) {
            const dvk_variant *variant = &table[choices->measurements[i].variant];
            if (is_on_matrices(variant) && choices->measurements[i].gflops > 0.0f)
                measured[variant->kernel == DVK_KERNEL_ATTENTION]++;
        }
        CHECK(proven[0] && proven[1]);
        CHECK(tuned ? measured[0] && measured[1] : !measured[0] && !measured[1]);
        size_t decided = 0;
        for (size_t i = 0; i < choices->decision_count; i++) {
            const dvk_variant *variant = &table[choices->decisions[i].variant];
            CHECK(listed(context, variant->name, true, ""));
            decided += is_on_matrices(variant);
        }
        CHECK(tuned || decided >= 5); /* three products of a layer, the patches', attention: there is nothing else */
        dvk_context_destroy(&context);

        /* accuracy.md's bar for products of fp16 on small models, from what has the same matrices. */
        double error = 0.0, size = 0.0;
        for (size_t i = 0; i < 64; i++) {
            error += pow((double)ends[tuned].cls[i] - (double)plain.cls[i], 2.0);
            size += pow((double)plain.cls[i], 2.0);
        }
        CHECK_MESSAGE(sqrt(error / size) <= 2e-3, "features differ by %.2g of their size", sqrt(error / size));
        printf("on matrices%s: %u and %u proven, %u and %u measured, features differ by %.1e\n%s",
               tuned ? ", tuned" : "", proven[0], proven[1], measured[0], measured[1], sqrt(error / size),
               ends[tuned].variants);
    }
}

/* A context like `like`, of another driver. */
static dvk_context of_driver(const dvk_context *like, uint32_t vendor, VkDriverId driver, uint32_t version) {
    dvk_context other = *like;
    other.info.vendor_id = vendor;
    other.driver_id = driver;
    other.driver_version = version;
    other.features.bits = UINT32_MAX;
    return other;
}

/* Every entry takes away its features on its own driver and nowhere else. */
static void test_driver_bugs(void) {
    dvk_context *context = open_context(DVK_TUNING_OFF, NULL, NULL);
    for (size_t i = 0; i < dvk_driver_bug_count; i++) {
        const dvk_driver_bug *bug = &dvk_driver_bugs[i];
        CHECK(bug->features && *bug->why && strncmp(bug->link, "https://", 8) == 0);
        dvk_context same = of_driver(context, bug->vendor, bug->driver, bug->first);
        dvk_avoid_driver_bugs(&same);
        CHECK_MESSAGE((same.features.bits & bug->features) == 0, "%s", bug->why);
        CHECK(dvk_find_driver_bug(&same, bug->features) != NULL);
        dvk_context other = of_driver(context, bug->vendor + 1, bug->driver, bug->first);
        dvk_avoid_driver_bugs(&other);
        CHECK_MESSAGE(other.features.bits == UINT32_MAX, "%s", bug->why);
        other = of_driver(context, bug->vendor, (VkDriverId)(bug->driver + 100), bug->first);
        CHECK(dvk_find_driver_bug(&other, UINT32_MAX) == NULL);
    }
    const dvk_driver_bug ranged = {.first = 5, .last = 7, .features = 1, .why = "", .link = ""};
    for (uint32_t version = 4; version <= 8; version++) {
        const dvk_context one = of_driver(context, 1, (VkDriverId)1, version);
        CHECK(dvk_driver_has_bug(&one, &ranged) == (version >= 5 && version <= 7));
    }

    /* On the device itself, one feature after the other: what needs it is not used, and passes are the same. */
    const outcome plain = run(context);
    const uint32_t bits = context->features.bits;
    for (uint32_t feature = 1; feature && feature <= bits; feature <<= 1) {
        if (!(bits & feature))
            continue;
        const dvk_driver_bug bug = {.vendor = context->info.vendor_id,
                                    .driver = context->driver_id,
                                    .features = feature,
                                    .why = "the test says so",
                                    .link = "nowhere"};
        context->features.bits = bits;
        context->driver_bugs = &bug;
        context->driver_bug_count = 1;
        dvk_avoid_driver_bugs(context);
        CHECK(context->features.bits == (bits & ~feature));
        for (size_t i = 0; i < dvk_variant_count; i++)
            if (dvk_variants[i].features & feature)
                CHECK(listed(context, dvk_variants[i].name, false, "on this driver the test says so (nowhere)"));
        const outcome end = run(context);
        CHECK_MESSAGE(end.result == DVK_OK, "%s", end.error.message);
        check_close(&plain, &end);
    }
    dvk_context_destroy(&context);
}

/* What one context learned, the next one knows. */
static void test_memory(void) {
    char path[600];
    dvk_context *context = open_context(DVK_TUNING_DEFAULT, NULL, CACHE);
    remove(context->cache_path);
    dvk_context_destroy(&context);

    context = open_context(DVK_TUNING_DEFAULT, NULL, CACHE);
    CHECK(context->choices->verdict_count == 0 && context->choices->measure);
    const outcome first = run(context);
    const size_t verdicts = context->choices->verdict_count, measurements = context->choices->measurement_count;
    CHECK(verdicts > 4);
    /* One more, of the moment: known as long as the context is, and not to be found in the file. */
    const dvk_verdict passing = {.variant = 0, .specialisation = {.head_dim = 7}, .passing = 1, .wrong = "just now"};
    REQUIRE(dvk_choices_add_verdict(context, &passing, NULL) == DVK_OK);
    CHECK(dvk_choices_find_verdict(context->choices, &dvk_variants[0], passing.specialisation) != NULL);
    dvk_choices_store(context);
    dvk_cache_save(context);
    dvk_context_destroy(&context);

    context = open_context(DVK_TUNING_DEFAULT, NULL, CACHE);
    snprintf(path, sizeof(path), "%s", context->cache_path);
    CHECK(context->choices->verdict_count == verdicts);
    CHECK(context->choices->measurement_count == measurements);
    const outcome second = run(context);
    CHECK(context->choices->verdict_count == verdicts && !context->choices->changed);
    CHECK(context->choices->measured_ms == 0.0);
    CHECK(strcmp(first.info.fingerprint, second.info.fingerprint) == 0);
    CHECK(memcmp(first.cls, second.cls, sizeof(first.cls)) == 0);
    dvk_context_destroy(&context);
    remove(path);
}

int main(void) {
    fill_pixels();
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    test_all_are_right();
    test_wrong_is_refused();
    test_nothing_right();
    test_fallback();
    test_proofs();
    test_uncompilable_is_refused();
    test_unsteady_is_refused();
    test_loss_is_remembered();
    test_slow_is_not_chosen();
    test_pins();
    test_bad_pins();
    test_matrices();
    test_driver_bugs();
    test_memory();
    return FINISH();
}
