/* Which variants a device's features admit, and with which workgroups; on devices that exist only here. And that the
 * library turns on what it uses, and leaves off what it is told to. */
#include "choice.h"
#include "device.h"

static void check_needs(const dvk_variant *what, const dvk_device_features *features,
                        const VkPhysicalDeviceLimits *limits, const char *expected) {
    const char *needs = dvk_variant_needs(what, features, limits, 64);
    CHECK_MESSAGE(needs && strcmp(needs, expected) == 0, "it needs %s, not %s", needs ? needs : "nothing", expected);
}

/* A workgroup of four subgroups that multiplies 16 x 8 x 16. */
static const dvk_variant variant = {.name = "test",
                                    .kernel = DVK_KERNEL_MATMUL,
                                    .weight = DVK_WEIGHT_FP16,
                                    .features = DVK_FEATURE_COOPERATIVE_MATRIX | DVK_FEATURE_FP16_ARITHMETIC,
                                    .half_products = true,
                                    .subgroups = 4,
                                    .matrix = {16, 8, 16, DVK_COMPONENT_FLOAT16, DVK_COMPONENT_FLOAT32},
                                    .shared_bytes = 20000};

static const dvk_device_features device = {.bits = DVK_FEATURE_COOPERATIVE_MATRIX | DVK_FEATURE_FP16_ARITHMETIC |
                                                   DVK_FEATURE_SUBGROUP_SIZE_CONTROL,
                                           .subgroup_size = 64,
                                           .min_subgroup_size = 32,
                                           .max_subgroup_size = 64,
                                           .max_subgroups = 16,
                                           .shapes = {{16, 16, 16, DVK_COMPONENT_SINT8, DVK_COMPONENT_SINT32},
                                                      {16, 8, 16, DVK_COMPONENT_FLOAT16, DVK_COMPONENT_FLOAT32}},
                                           .shape_count = 2};

static const VkPhysicalDeviceLimits limits = {
    .maxComputeWorkGroupInvocations = 256, .maxComputeWorkGroupSize = {256, 1, 1}, .maxComputeSharedMemorySize = 32768};

static void test_admission(void) {
    CHECK(dvk_variant_needs(&variant, &device, &limits, 64) == NULL);
    CHECK(dvk_variant_local_size(&variant, &device) == 256);
    CHECK(dvk_variant_subgroup_size(&variant, &device) == 64);

    dvk_device_features lesser = device;
    lesser.bits &= ~(uint32_t)DVK_FEATURE_FP16_ARITHMETIC;
    check_needs(&variant, &lesser, &limits, "16-bit floating-point arithmetic");
    lesser = device;
    lesser.shapes[1].n = 16;
    check_needs(&variant, &lesser, &limits, "cooperative matrices of another shape");
    lesser = device;
    lesser.subgroup_size = 128;
    lesser.max_subgroup_size = 128;
    check_needs(&variant, &lesser, &limits, "larger workgroups");
    lesser = device;
    lesser.max_subgroups = 3;
    check_needs(&variant, &lesser, &limits, "larger workgroups");
    VkPhysicalDeviceLimits small = limits;
    small.maxComputeSharedMemorySize = 16384;
    check_needs(&variant, &device, &small, "more shared memory");
}

static void test_subgroup_sizes(void) {
    dvk_variant wave32 = variant;
    wave32.subgroup_size = 32;
    CHECK(dvk_variant_needs(&wave32, &device, &limits, 0) == NULL);
    CHECK(dvk_variant_local_size(&wave32, &device) == 128);
    CHECK(dvk_variant_subgroup_size(&wave32, &device) == 32);
    wave32.subgroup_size = 16;
    check_needs(&wave32, &device, &limits, "subgroups of another size");

    /* Without control, a device's own size will do and another will not. */
    dvk_device_features fixed = device;
    fixed.bits &= ~(uint32_t)DVK_FEATURE_SUBGROUP_SIZE_CONTROL;
    wave32.subgroup_size = 64;
    CHECK(dvk_variant_needs(&wave32, &fixed, &limits, 0) == NULL);
    CHECK(dvk_variant_subgroup_size(&wave32, &fixed) == 0);
    wave32.subgroup_size = 32;
    check_needs(&wave32, &fixed, &limits, "subgroups of another size");
}

/* Half-precision products are for sessions that asked for that precision, whatever the kernel. */
static void test_precision(void) {
    CHECK(dvk_variant_serves(&variant, DVK_KERNEL_MATMUL, DVK_WEIGHT_FP16));
    CHECK(!dvk_variant_serves(&variant, DVK_KERNEL_MATMUL, DVK_WEIGHT_FP32));
    CHECK(!dvk_variant_serves(&variant, DVK_KERNEL_ATTENTION, DVK_WEIGHT_FP16));
    dvk_variant attention = variant;
    attention.kernel = DVK_KERNEL_ATTENTION;
    attention.weight = DVK_WEIGHT_NONE;
    CHECK(dvk_variant_serves(&attention, DVK_KERNEL_ATTENTION, DVK_WEIGHT_FP16));
    CHECK(!dvk_variant_serves(&attention, DVK_KERNEL_ATTENTION, DVK_WEIGHT_FP32));
    attention.half_products = false;
    CHECK(dvk_variant_serves(&attention, DVK_KERNEL_ATTENTION, DVK_WEIGHT_FP32));
}

static const dvk_variant *choose(uint32_t shared_bytes, dvk_weight_type weight) {
    const dvk_context context = {.limits = {.maxComputeWorkGroupInvocations = 512,
                                            .maxComputeWorkGroupSize = {512, 1, 1},
                                            .maxComputeSharedMemorySize = shared_bytes}};
    const dvk_use use = {DVK_KERNEL_MATMUL, weight, {785, 1536, 384, 0}};
    const dvk_variant *chosen = NULL, *candidates[32];
    dvk_error error;
    REQUIRE(dvk_variant_choose(&context, &use, &chosen, &error) == DVK_OK);
    size_t count = dvk_variant_candidates(&context, &use, candidates, 32), large = 0;
    REQUIRE(count > 1 && candidates[0] == chosen);
    for (size_t i = 0; i < count; i++)
        large += candidates[i]->large;
    CHECK(large > 0 && large < count); /* none is left out: a measurement may prefer what spills */
    return chosen;
}

/* What wants many registers is not the first choice where there are few. */
static void test_small_device(void) {
    for (int weight = DVK_WEIGHT_FP32; weight <= DVK_WEIGHT_INT8; weight++) {
        CHECK(!choose(DVK_LARGE_SHARED_BYTES / 2, (dvk_weight_type)weight)->large);
        CHECK(choose(DVK_LARGE_SHARED_BYTES, (dvk_weight_type)weight)->large);
    }
}

/* Under the validation layer, which knows what a device may be created with. */
static void test_real_device(void) {
    dvk_context *context = test_open_context(NULL);
    const uint32_t bits = context->features.bits;
    CHECK(context->features.subgroup_size > 0);
    CHECK(!(bits & DVK_FEATURE_COOPERATIVE_MATRIX) == !context->features.shape_count);
    test_close_context(&context);

    dvk_context_params params = {.device = getenv("DVK_TEST_DEVICE"), .disabled_features = UINT32_MAX};
    dvk_error error;
    REQUIRE(dvk_context_create(&params, &context, &error) == DVK_OK);
    CHECK(context->features.bits == 0);
    CHECK(context->features.subgroup_size > 0);
    for (uint32_t kernel = 0; kernel < DVK_KERNEL_COUNT; kernel++) {
        const dvk_use use = {(dvk_kernel)kernel, DVK_WEIGHT_FP16, {64, 64, 64, 4}};
        const dvk_variant *chosen;
        CHECK(dvk_variant_choose(context, &use, &chosen, &error) == DVK_OK);
        CHECK(chosen->features == 0);
    }
    dvk_context_destroy(&context);
}

int main(void) {
    test_admission();
    test_subgroup_sizes();
    test_precision();
    test_small_device();
    test_real_device();
    return FINISH();
}
