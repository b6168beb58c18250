/* Every variant of every kernel against the reference, in the manner of checkasm; the same binary benches.
 *
 *     test-kernels [--device INDEX] [--variant NAME] [--bench]
 *
 * DVK_TEST_DEVICE=INDEX chooses the device, too; DVK_TEST_VALIDATION=1 runs under the validation layer, any message of
 * which is a failure. */
#include "test.h"
#include "bare_features.h"
#include "bench.h"
#include "cases.h"

int test_failures_;
int test_checks_;

static bool variant_runs(const test_device *device, const dvk_variant *variant, const char *only) {
    if (only && strcmp(only, variant->name) != 0)
        return false;
    const char *needs = bare_needs(variant, &device->features, &device->properties.limits, 0);
    if (needs) {
        printf("%s: not run, it needs %s\n", variant->name, needs);
        return false;
    }
    return true;
}

static void check_variant(test_device *device, const dvk_variant *variant) {
    switch (variant->kernel) {
    case DVK_KERNEL_PATCHIFY:
        check_patchify(device, variant);
        break;
    case DVK_KERNEL_MATMUL:
        check_matmul(device, variant);
        break;
    case DVK_KERNEL_LAYERNORM:
        check_layernorm(device, variant);
        break;
    case DVK_KERNEL_ATTENTION:
        check_attention(device, variant);
        break;
    case DVK_KERNEL_ATTENTION_ROW:
        check_attention_row(device, variant);
        break;
    case DVK_KERNEL_MEAN:
        check_mean(device, variant);
        break;
    case DVK_KERNEL_ROTATE:
        check_rotate(device, variant);
        break;
    default: /* in tests/embed, which has their tables and images */
        break;
    }
}

int main(int argc, char **argv) {
    const char *index = getenv("DVK_TEST_DEVICE"), *validation = getenv("DVK_TEST_VALIDATION"), *only = NULL;
    bool bench = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bench") == 0) {
            bench = true;
        } else if (strcmp(argv[i], "--device") == 0 && i + 1 < argc) {
            index = argv[++i];
        } else if (strcmp(argv[i], "--variant") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else {
            printf("usage: test-kernels [--device INDEX] [--variant NAME] [--bench]\n");
            return 2;
        }
    }

    test_device device;
    char why_not[256];
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!test_device_open(&device, index ? (uint32_t)strtoul(index, NULL, 10) : 0,
                          validation && strcmp(validation, "1") == 0, why_not, sizeof(why_not)))
        SKIP("%s", why_not);
    printf("%s, %s\n", device.properties.deviceName, device.driver);

    size_t found = 0;
    for (size_t i = 0; i < dvk_variant_count; i++) {
        if (!variant_runs(&device, &dvk_variants[i], only))
            continue;
        found++;
        if (bench)
            bench_variant(&device, &dvk_variants[i]);
        else
            check_variant(&device, &dvk_variants[i]);
        pipelines_destroy(&device);
    }
    CHECK_MESSAGE(found > 0, "no variant %s", only ? only : "at all");
    test_device_close(&device);
    CHECK_MESSAGE(device.validation_messages == 0, "%u messages of the validation layer", device.validation_messages);
    printf("%zu generated cases of %zu variants\n", generated_cases, found);
    return FINISH();
}
