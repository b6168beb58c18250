/* Compiles every pipeline that a device admits, runs none, and prints what the driver's compiler tells of each:
 *
 *     compile-pipelines [--seconds N] [--variant NAME]
 *
 * It is for devices that are not there: a no-op kernel driver under the real user-space driver (Mesa's drm-shim), where
 * memory cannot be mapped and nothing runs. The first line names the device and its features; then comes one line a
 * pipeline, of fields with tabs between them:
 *
 *     variant, specialisation, "ok" and statistics as NAME=VALUE, or "failed" or "not admitted" and why
 *
 * Last come the variants that are chosen where nothing was measured, one line for each type of weights and size of
 * attention heads.
 *
 * Each variant is compiled by a process of its own, so that a compiler that crashes or hangs spoils one line. */
#include "architecture.h"
#include "choice.h"
#include "context.h"
#include "pipeline.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct farm_device {
    dvk_instance instance;
    dvk_context context; /* of which only what pipelines need is filled in */
    VkPhysicalDeviceProperties properties;
    bool tells; /* VK_KHR_pipeline_executable_properties */
} farm_device;

static bool has_statistics(const farm_device *device) {
    VkExtensionProperties list[512];
    uint32_t count = 512;
    VkResult result =
        device->instance.vk.vkEnumerateDeviceExtensionProperties(device->context.physical_device, NULL, &count, list);
    if (result != VK_SUCCESS && result != VK_INCOMPLETE)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(list[i].extensionName, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME) == 0)
            return true;
    return false;
}

static bool create_device(farm_device *device, dvk_error *error) {
    dvk_context *context = &device->context;
    dvk_feature_request request;
    dvk_request_features(context->features.bits, &request);
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR statistics = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pNext = (void *)request.chain,
        .pipelineExecutableInfo = VK_TRUE};
    const char *extensions[sizeof(request.extensions) / sizeof(request.extensions[0]) + 1];
    memcpy(extensions, request.extensions, sizeof(request.extensions));
    if (device->tells)
        extensions[request.extension_count++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = context->queue_family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = device->tells ? &statistics : request.chain,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = request.extension_count,
                                     .ppEnabledExtensionNames = extensions};
    if (dvk_check_vulkan(device->instance.vk.vkCreateDevice(context->physical_device, &info, NULL, &context->device),
                         "vkCreateDevice", error) != DVK_OK)
        return false;
    dvk_load_device_table(&context->vk, device->instance.vk.vkGetDeviceProcAddr, context->device);
    return true;
}

static bool open_device(farm_device *device, dvk_error *error) {
    memset(device, 0, sizeof(*device));
    dvk_context *context = &device->context;
    const dvk_log silent = {0};
    VkPhysicalDevice *devices;
    uint32_t count;
    if (dvk_instance_open(false, &silent, NULL, NULL, &device->instance, error) != DVK_OK ||
        dvk_physical_devices(&device->instance, &devices, &count, error) != DVK_OK)
        return false;
    if (!count) {
        dvk_fail(error, DVK_ERROR_NO_DEVICE, "the driver offers no device");
        return false;
    }
    context->physical_device = devices[0];
    dvk_release(NULL, devices);
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    device->instance.vk.vkGetPhysicalDeviceProperties2(context->physical_device, &properties);
    device->properties = properties.properties;
    context->limits = properties.properties.limits;
    context->queue_family = dvk_find_queue_family(&device->instance, context->physical_device);
    device->tells = has_statistics(device);
    return dvk_query_features(&device->instance.vk, NULL, device->instance.handle, context->physical_device,
                              &context->features, error) == DVK_OK &&
           create_device(device, error);
}

static void print_device(const farm_device *device) {
    static const char *const names[] = {"ballot",   "fp16-storage", "fp16-arithmetic", "subgroup-size", "coopmat",
                                        "coopmat2", "dot",          "timeline"};
    const dvk_device_features *features = &device->context.features;
    printf("device\t%s\tsubgroup %u (%u..%u)\tshared %u\tinvocations %u\t", device->properties.deviceName,
           features->subgroup_size, features->min_subgroup_size, features->max_subgroup_size,
           device->context.limits.maxComputeSharedMemorySize, device->context.limits.maxComputeWorkGroupInvocations);
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (features->bits >> i & 1)
            printf("%s ", names[i]);
    for (uint32_t i = 0; i < features->shape_count; i++) {
        const dvk_matrix_shape *shape = &features->shapes[i];
        if (shape->factors == DVK_COMPONENT_FLOAT16 && shape->sum == DVK_COMPONENT_FLOAT32)
            printf(" %ux%ux%u", shape->m, shape->n, shape->k);
    }
    printf("\n");
}

static void print_value(const VkPipelineExecutableStatisticKHR *statistic) {
    switch (statistic->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
        printf("\t%s=%u", statistic->name, statistic->value.b32);
        break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
        printf("\t%s=%lld", statistic->name, (long long)statistic->value.i64);
        break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR:
        printf("\t%s=%llu", statistic->name, (unsigned long long)statistic->value.u64);
        break;
    default:
        printf("\t%s=%g", statistic->name, statistic->value.f64);
        break;
    }
}

static void print_statistics(farm_device *device, VkPipeline pipeline) {
    const struct VolkDeviceTable *vk = &device->context.vk;
    const VkPipelineInfoKHR info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline};
    VkPipelineExecutablePropertiesKHR properties[4];
    for (uint32_t i = 0; i < 4; i++)
        properties[i] =
            (VkPipelineExecutablePropertiesKHR){.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
    uint32_t executables = 4;
    if (vk->vkGetPipelineExecutablePropertiesKHR(device->context.device, &info, &executables, properties) < 0)
        return;
    for (uint32_t i = 0; i < executables; i++) {
        VkPipelineExecutableStatisticKHR statistics[64];
        for (uint32_t j = 0; j < 64; j++)
            statistics[j] =
                (VkPipelineExecutableStatisticKHR){.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR};
        uint32_t count = 64;
        const VkPipelineExecutableInfoKHR executable = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline, .executableIndex = i};
        if (vk->vkGetPipelineExecutableStatisticsKHR(device->context.device, &executable, &count, statistics) < 0)
            continue;
        printf("\tsubgroup=%u", properties[i].subgroupSize);
        for (uint32_t j = 0; j < count; j++)
            print_value(&statistics[j]);
    }
}

static void compile(farm_device *device, const dvk_variant *variant, dvk_specialisation specialisation) {
    dvk_error error;
    VkPipelineCreateFlags flags = device->tells ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR : 0;
    const dvk_pipeline *pipeline;
    printf("%s\t", variant->name);
    if (variant->kernel == DVK_KERNEL_MATMUL)
        printf("activation %u, residual %u%s\t", specialisation.activation, specialisation.residual,
               specialisation.patch_size ? ", from pixels" : "");
    else if (specialisation.head_dim)
        printf("head_dim %u\t", specialisation.head_dim);
    else
        printf("-\t");
    fflush(stdout);
    device->context.pipeline_flags = flags;
    if (dvk_pipeline_get(&device->context, variant, specialisation, &pipeline, &error) != DVK_OK) {
        printf("failed\t%s\n", error.message);
        return;
    }
    printf("ok");
    if (device->tells)
        print_statistics(device, pipeline->handle);
    printf("\n");
}

static void compile_variant(farm_device *device, const dvk_variant *variant) {
    switch (variant->kernel) {
    case DVK_KERNEL_MATMUL: /* the two that a transformer's time goes into, and the patch embedding */
        compile(device, variant, (dvk_specialisation){.activation = DVK_ACTIVATION_GELU});
        compile(device, variant, (dvk_specialisation){.residual = DVK_RESIDUAL_IN_PLACE});
        if (variant->reads_pixels)
            compile(device, variant, (dvk_specialisation){.residual = DVK_RESIDUAL_TABLE, .patch_size = 8});
        break;
    case DVK_KERNEL_ATTENTION:
    case DVK_KERNEL_ATTENTION_ROW:
        for (uint32_t head_dim = 32; head_dim <= variant->max_head_dim; head_dim *= 2)
            if (!dvk_variant_needs(variant, &device->context.features, &device->context.limits, head_dim))
                compile(device, variant, (dvk_specialisation){.head_dim = head_dim});
        break;
    default:
        compile(device, variant, (dvk_specialisation){0});
        break;
    }
}

static void print_choices(const farm_device *device) {
    static const char *const weights[] = {"", "fp32", "fp16", "int8"};
    dvk_error error;
    for (int weight = DVK_WEIGHT_FP32; weight <= DVK_WEIGHT_INT8; weight++)
        for (uint32_t head_dim = 32; head_dim <= 128; head_dim *= 2) {
            printf("chosen\t%s, head_dim %u", weights[weight], head_dim);
            for (int kernel = 0; kernel < DVK_KERNEL_COUNT; kernel++) {
                const bool attention = kernel == DVK_KERNEL_ATTENTION || kernel == DVK_KERNEL_ATTENTION_ROW;
                const dvk_use use = {.kernel = (dvk_kernel)kernel,
                                     .weight = (dvk_weight_type)weight,
                                     .shape = {.rows = 785, .columns = 1536, .depth = attention ? head_dim : 384}};
                const dvk_variant *chosen;
                if (dvk_variant_choose(&device->context, &use, &chosen, &error) == DVK_OK)
                    printf("\t%s", chosen->name);
            }
            printf("\n");
        }
}

/* In a process of its own, which ends with it: what a no-op driver would do on release does not matter. */
static void compile_apart(const dvk_variant *variant, unsigned seconds) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        farm_device device;
        dvk_error error;
        alarm(seconds);
        if (open_device(&device, &error)) {
            const char *needs = dvk_variant_needs(variant, &device.context.features, &device.context.limits, 0);
            if (needs)
                printf("%s\t-\tnot admitted\tit needs %s\n", variant->name, needs);
            else
                compile_variant(&device, variant);
        } else {
            printf("%s\t-\tfailed\t%s\n", variant->name, error.message);
        }
        fflush(stdout);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        printf("%s\t-\tfailed\tno process for it\n", variant->name);
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        printf("%s\t-\tfailed\tit took more than %u seconds\n", variant->name, seconds);
    else if (WIFSIGNALED(status))
        printf("%s\t-\tfailed\tthe driver died of signal %d\n", variant->name, WTERMSIG(status));
}

/* Likewise. */
static bool tell(void (*print)(const farm_device *device)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        farm_device device;
        dvk_error error;
        bool opened = open_device(&device, &error);
        if (opened)
            print(&device);
        else
            printf("no device\t%s\n", error.message);
        fflush(stdout);
        _exit(opened ? 0 : 1);
    }
    int status = 1;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status);
}

int main(int argc, char **argv) {
    const char *only = NULL;
    unsigned seconds = 60;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--variant") == 0)
            only = argv[i + 1];
    }
    if (!tell(print_device))
        return 1;
    for (size_t i = 0; i < dvk_variant_count; i++)
        if (!only || strcmp(only, dvk_variants[i].name) == 0)
            compile_apart(&dvk_variants[i], seconds);
    return tell(print_choices) ? 0 : 1;
}
