/* On a device of profiles.txt: every variant that the library admits compiles, and the layer looks at what it needs;
 * what is refused is refused in words; and every kernel has a variant that may be chosen. */
#include "choice.h"
#include "device.h"

static void compile(dvk_context *context, const dvk_variant *variant) {
    const dvk_specialisation how = {.head_dim = variant->max_head_dim};
    const dvk_pipeline *pipeline;
    dvk_error error;
    dvk_result result = dvk_pipeline_get(context, variant, how, &pipeline, &error);
    CHECK_MESSAGE(result == DVK_OK, "%s: %s", variant->name, error.message);
}

int main(void) {
    dvk_context *context = test_open_context(NULL);
    unsigned admitted = 0, refused = 0;
    for (size_t i = 0; i < dvk_variant_count; i++) {
        const dvk_variant *variant = &dvk_variants[i];
        const dvk_use use = {variant->kernel, variant->weight, {64, 64, variant->max_head_dim, 4}};
        char why[DVK_REFUSAL];
        if (dvk_variant_refusal(context, variant, &use, why)) {
            printf("%s: %s\n", variant->name, why);
            CHECK_MESSAGE(!strncmp(why, "it needs ", 9) && why[9], "%s: %s", variant->name, why);
            refused++;
            continue;
        }
        compile(context, variant);
        admitted++;
    }
    for (uint32_t kernel = 0; kernel < DVK_KERNEL_COUNT; kernel++)
        for (uint32_t weight = DVK_WEIGHT_FP32; weight <= DVK_WEIGHT_INT8; weight++) {
            const dvk_use use = {(dvk_kernel)kernel, (dvk_weight_type)weight, {64, 64, 64, 4}};
            const dvk_variant *chosen;
            dvk_error error;
            CHECK_MESSAGE(dvk_variant_choose(context, &use, &chosen, &error) == DVK_OK, "%s: %s",
                          dvk_kernel_names[kernel], error.message);
        }
    printf("%u variants admitted and compiled, %u refused\n", admitted, refused);
    test_close_context(&context);
    return FINISH();
}
