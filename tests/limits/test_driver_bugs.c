/* The table of driver bugs, on devices that say they are the ones it names: each entry is found by what the driver
 * tells, its features are not used, and what needs them is refused with the report's address. Another vendor's device
 * keeps all of its features. What the device below does not have is not there to be taken away: integer dot products
 * and ballots are everywhere, cooperative matrices from Mesa 26 on. */
#include "choice.h"
#include "device.h"
#include "driver_bugs.h"

#include <sys/wait.h>
#include <unistd.h>

/* In a process of its own, because the layer reads what it is to claim once. */
static int on_device(uint32_t vendor, VkDriverId driver, uint32_t version,
                     void (*look)(const dvk_context *context, const dvk_driver_bug *bug), const dvk_driver_bug *bug) {
    char more[100];
    int status = 0;
    fflush(stdout);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (!child) {
        snprintf(more, sizeof(more), "vendor=%u driver=%d driver_version=%u", vendor, (int)driver, version);
        setenv("DVK_LIMITS_MORE", more, 1);
        dvk_context *context = test_open_context(NULL);
        if (context->info.api_version < VK_API_VERSION_1_2)
            SKIP("before Vulkan 1.2 no driver tells what it is");
        CHECK(context->info.vendor_id == vendor && context->driver_id == driver);
        look(context, bug);
        test_close_context(&context);
        fflush(stdout);
        _exit(test_failures_ != 0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void look_for(const dvk_context *context, const dvk_driver_bug *bug) {
    char why[DVK_REFUSAL];
    unsigned refused = 0;
    CHECK(dvk_find_driver_bug(context, bug->features) != NULL);
    CHECK_MESSAGE((context->features.bits & bug->features) == 0, "0x%x", context->features.bits);
    for (size_t i = 0; i < dvk_variant_count; i++) {
        const dvk_use use = {dvk_variants[i].kernel, dvk_variants[i].weight, {0}};
        if (!(dvk_variants[i].features & bug->features))
            continue;
        CHECK(dvk_variant_refusal(context, &dvk_variants[i], &use, why));
        CHECK_MESSAGE(strstr(why, bug->link), "%s: %s", dvk_variants[i].name, why);
        refused++;
    }
    printf("%s: %u variants refused\n", bug->link, refused);
}

static void look_for_all(const dvk_context *context, const dvk_driver_bug *none) {
    dvk_device_features features;
    (void)none;
    CHECK(dvk_query_features(&context->instance.vk, &context->allocator, context->instance.handle,
                             context->physical_device, &features, NULL) == DVK_OK);
    CHECK(context->features.bits == features.bits);
    CHECK(dvk_find_driver_bug(context, UINT32_MAX) == NULL);
}

int main(void) {
    for (size_t i = 0; i < dvk_driver_bug_count; i++) {
        const dvk_driver_bug *bug = &dvk_driver_bugs[i];
        const int status = on_device(bug->vendor, bug->driver, bug->first + 1, look_for, bug);
        if (status == 77)
            return status;
        CHECK_MESSAGE(status == 0, "%s", bug->link);
    }
    CHECK(on_device(0x10de, VK_DRIVER_ID_NVIDIA_PROPRIETARY, 1, look_for_all, NULL) == 0);
    return FINISH();
}
