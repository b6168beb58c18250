#include <inttypes.h>

#include "report.h"
#include "selftest.h"
#include "text.h"

static const char *state_of(const struct selftest_variant *variant) {
    const dvk_proof *proof = &variant->proof;
    if (proof->wrong[0])
        return "wrong";
    if (proof->refused[0])
        return "refused";
    if (!proof->programs)
        return "not proved";
    return "right";
}

/* Kernels of pictures, which are not proved, share a line. */
static void print_variant(const struct selftest_variant *variant) {
    const dvk_proof *proof = &variant->proof;
    if (!proof->programs && !proof->refused[0])
        return;
    printf("  %-20s %-32s %s", proof->kernel, proof->variant, state_of(variant));
    if (proof->wrong[0] || proof->refused[0]) {
        printf(": ");
        print_plain(stdout, proof->wrong[0] ? proof->wrong : proof->refused);
    }
    if (variant->used)
        printf(", used");
    putchar('\n');
}

static void print_pass(const struct selftest_pass *pass) {
    char time[24];
    printf("  %-6s", precision_name(pass->precision));
    if (pass->failed[0]) {
        printf("failed: ");
        print_plain(stdout, pass->failed);
        putchar('\n');
        return;
    }
    printf("%s: %.1e from float64, at most %.1e; %s; ", pass->wrong ? "WRONG" : "right", pass->error, pass->bar,
           pass->unsteady ? "OTHER BITS in some passes" : "the same bits each time");
    printf("%s, kernels %s\n", format_ms(pass->ms, time), pass->session.fingerprint);
}

static void print_device(const dvk_device_info *device, const char *tier) {
    printf("device    ");
    print_plain(stdout, device->name);
    printf(" (%s, vendor 0x%04" PRIx32 ", device 0x%04" PRIx32 ")\ndriver    ", device_type_name(device->type),
           device->vendor_id, device->device_id);
    print_plain(stdout, device->driver[0] ? device->driver : "not told");
    printf(" (version 0x%" PRIx32 ")\nvulkan    %u.%u, subgroup %" PRIu32 ", %" PRIu32 " invocations and %" PRIu32
           " shared bytes a workgroup\ntier      %s\n",
           device->driver_version, device->api_version >> 22 & 0x7f, device->api_version >> 12 & 0x3ff,
           device->subgroup_size, device->max_workgroup_invocations, device->shared_memory, tier);
}

void selftest_print(const struct selftest *test) {
    printf("dino-vk   %s selftest\n", dvk_version());
    print_device(dvk_context_device(test->context), dvk_context_tier(test->context));
    printf("variants  %" PRIu32 " right, %" PRIu32 " wrong, %" PRIu32 " refused; %" PRIu32
           " programs, each with %" PRIu32 " answers\n",
           test->right, test->wrong, test->refused, test->programs, test->repeats);
    if (test->failed[0]) {
        printf("  stopped: ");
        print_plain(stdout, test->failed);
        putchar('\n');
    }
    for (uint32_t i = 0; i < test->proof_count; i++)
        print_variant(&test->proofs[i]);
    if (test->proof_count > test->right + test->wrong + test->refused)
        printf("  and %" PRIu32 " kernels of pictures, which are not proved\n",
               test->proof_count - test->right - test->wrong - test->refused);
    printf("passes    the built-in model, 224x224, batch 1, kernels as untuned\n");
    for (int i = 0; i < SELFTEST_KINDS; i++)
        print_pass(&test->passes[i]);
    printf("result    %s\n", selftest_found_fault(test) ? "WRONG" : "everything is right");
}

static const char *json_bool(bool value) {
    return value ? "true" : "false";
}

static void print_variant_json(const struct selftest_variant *variant) {
    const dvk_proof *proof = &variant->proof;
    printf("{\"kernel\": \"%s\", \"variant\": \"%s\", \"state\": \"%s\", \"used\": %s, \"programs\": %" PRIu32
           ", \"why\": ",
           proof->kernel, proof->variant, state_of(variant), json_bool(variant->used), proof->programs);
    print_json_string(stdout, proof->wrong[0] ? proof->wrong : proof->refused);
    putchar('}');
}

static void print_pass_json(const struct selftest_pass *pass) {
    printf("{\"precision\": \"%s\", \"right\": %s", precision_name(pass->precision), json_bool(!pass->wrong));
    if (pass->failed[0]) {
        printf(", \"failed\": ");
        print_json_string(stdout, pass->failed);
    } else {
        /* JSON has no NaN. */
        printf(", \"error\": %.6g, \"bar\": %.6g, \"steady\": %s, \"passes\": %" PRIu32
               ", \"p50_ms\": %.6g, \"fingerprint\": \"%s\"",
               pass->error <= 1e30 ? pass->error : 1e30, pass->bar, json_bool(!pass->unsteady), pass->passes, pass->ms,
               pass->session.fingerprint);
    }
    putchar('}');
}

void selftest_print_json(const struct selftest *test) {
    const dvk_device_info *device = dvk_context_device(test->context);
    printf("{\"version\": \"%s\", \"right\": %s, \"device\": ", dvk_version(), json_bool(!selftest_found_fault(test)));
    print_json_string(stdout, device->name);
    printf(", \"type\": \"%s\", \"vendor_id\": %" PRIu32 ", \"device_id\": %" PRIu32 ", \"driver\": ",
           device_type_name(device->type), device->vendor_id, device->device_id);
    print_json_string(stdout, device->driver);
    printf(", \"driver_version\": %" PRIu32 ", \"vulkan\": \"%u.%u\", \"tier\": ", device->driver_version,
           device->api_version >> 22 & 0x7f, device->api_version >> 12 & 0x3ff);
    print_json_string(stdout, dvk_context_tier(test->context));
    printf(", \"repeats\": %" PRIu32 ", \"stopped\": ", test->repeats);
    print_json_string(stdout, test->failed);
    printf(", \"variants\": [");
    for (uint32_t i = 0; i < test->proof_count; i++) {
        printf("%s", i ? ", " : "");
        print_variant_json(&test->proofs[i]);
    }
    printf("], \"passes\": [");
    for (int i = 0; i < SELFTEST_KINDS; i++) {
        printf("%s", i ? ", " : "");
        print_pass_json(&test->passes[i]);
    }
    printf("]}\n");
}
