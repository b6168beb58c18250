#include "context.h"

#include "cache_file.h"
#include "choice.h"
#include "driver_bugs.h"
#include "pipeline.h"

#include <stdio.h>
#include <string.h>

const char *dvk_version(void) {
#define TEXT_(number) #number
#define TEXT(number) TEXT_(number)
    return TEXT(DVK_VERSION_MAJOR) "." TEXT(DVK_VERSION_MINOR) "." TEXT(DVK_VERSION_PATCH);
#undef TEXT
#undef TEXT_
}

dvk_result dvk_check_version(uint32_t major, uint32_t minor, dvk_error *error) {
    if (major == DVK_VERSION_MAJOR && minor <= DVK_VERSION_MINOR)
        return DVK_OK;
    return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                    "the program was compiled with dino_vk.h of version %u.%u, and the library that runs is %s: %s",
                    major, minor, dvk_version(),
                    major == DVK_VERSION_MAJOR ? "update the library"
                                               : "compile the program with the library's header");
}

static dvk_result pick_device(dvk_context *context, const char *request, dvk_error *error) {
    VkPhysicalDevice *devices;
    uint32_t count, chosen = 0;
    dvk_result status = dvk_physical_devices(&context->instance, &devices, &count, error);
    if (status != DVK_OK)
        return status;
    dvk_device_info *infos = dvk_allocate_zeroed(&context->allocator, count, sizeof(*infos));
    if (!infos) {
        dvk_release(&context->allocator, devices);
        return dvk_fail_memory(error, count * sizeof(*infos));
    }
    for (uint32_t i = 0; i < count && status == DVK_OK; i++)
        status = dvk_describe_device(&context->instance, devices[i], i, &infos[i], error);
    if (status == DVK_OK)
        status = dvk_choose_device(infos, count, request, &chosen, error);
    if (status == DVK_OK) {
        context->physical_device = devices[chosen];
        context->info = infos[chosen];
    }
    dvk_release(&context->allocator, infos);
    dvk_release(&context->allocator, devices);
    return status;
}

static void query_device(dvk_context *context) {
    const dvk_instance_table *vk = &context->instance.vk;
    VkPhysicalDeviceMaintenance3Properties maintenance = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceIDProperties id = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES, .pNext = &maintenance};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &id};
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    if (context->info.api_version >= VK_API_VERSION_1_2)
        maintenance.pNext = &driver;
    vk->vkGetPhysicalDeviceProperties2(context->physical_device, &properties);
    context->driver_id = driver.driverID;
    vk->vkGetPhysicalDeviceMemoryProperties(context->physical_device, &context->memory);
    context->limits = properties.properties.limits;
    context->driver_version = properties.properties.driverVersion;
    context->max_allocation = maintenance.maxMemoryAllocationSize;
    memcpy(context->driver_uuid, id.driverUUID, sizeof(context->driver_uuid));
    context->timestamp_bits = dvk_timestamp_bits(&context->instance, context->physical_device, context->queue_family);
    context->device_class = context->info.type == DVK_DEVICE_CPU ? DVK_CLASS_SOFTWARE : DVK_CLASS_GPU;
    snprintf(context->tier, sizeof(context->tier), "%s",
             context->device_class == DVK_CLASS_SOFTWARE ? "tier S (software driver, barrier-free kernels)"
                                                         : "tier 0 (Vulkan 1.1, no optional feature)");
}

static dvk_result create_device(dvk_context *context, dvk_error *error) {
    dvk_feature_request features;
    dvk_request_features(context->features.bits, &features);
    const float priority = 1.0f;
    context->queue_family = dvk_find_queue_family(&context->instance, context->physical_device);
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = context->queue_family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = features.chain,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = features.extension_count,
        .ppEnabledExtensionNames = features.extensions,
    };
    dvk_result status =
        dvk_check_vulkan(context->instance.vk.vkCreateDevice(context->physical_device, &info, context->vulkan_allocator,
                                                             &context->device),
                         "vkCreateDevice", error);
    if (status != DVK_OK)
        return status;
    dvk_load_device_table(&context->vk, context->instance.vk.vkGetDeviceProcAddr, context->device);
    context->vk.vkGetDeviceQueue(context->device, context->queue_family, 0, &context->queue);
    return DVK_OK;
}

/* A software driver takes up to a second to compile a candidate, so that by default only what runs for a second, too,
 * is measured there: 10 GFLOP or more. Nearly all of measuring is that compiling, of the few that compete there, and
 * what the first process leaves the second one has to do: so there is time for all of it. */
static void set_tuning(dvk_context *context, const dvk_context_params *params) {
    const bool cached = params->cache_dir && *params->cache_dir, usual = params->tuning == DVK_TUNING_DEFAULT;
    dvk_choices *choices = context->choices;
    choices->measure = !choices->pin_count && (params->tuning == DVK_TUNING_ON || (usual && cached));
    choices->least_flops = usual && context->device_class == DVK_CLASS_SOFTWARE ? 10000000000u : 0;
    if (context->device_class == DVK_CLASS_SOFTWARE)
        choices->budget_ms *= 4.0;
}

dvk_result dvk_context_allocate(const dvk_context_params *params, const char *function, dvk_context **context_out,
                                dvk_error *error) {
    if ((uint32_t)params->tuning > DVK_TUNING_ON)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "%s: tuning %d is no dvk_tuning", function,
                        (int)params->tuning);
    dvk_result status = DVK_CHECK_RESERVED(params, function, "context_params", error);
    if (status == DVK_OK)
        status = dvk_check_allocator(params->allocator, function, error);
    if (status != DVK_OK)
        return status;
    dvk_context *context = dvk_allocate_zeroed(params->allocator, 1, sizeof(*context));
    if (!context)
        return dvk_fail_memory(error, sizeof(*context));
    if (params->allocator)
        context->allocator = *params->allocator;
    if (params->vulkan_allocator) {
        context->vulkan_callbacks = *(const VkAllocationCallbacks *)params->vulkan_allocator;
        context->vulkan_allocator = &context->vulkan_callbacks;
    }
    context->log = (dvk_log){params->log, params->log_user, params->log_level};
    context->instance.allocator = &context->allocator;
    context->instance.vulkan_allocator = context->vulkan_allocator;
    *context_out = context;
    return DVK_OK;
}

dvk_result dvk_context_start(dvk_context *context, const dvk_context_params *params, dvk_error *error) {
    query_device(context);
    context->disabled_features = params->disabled_features;
    context->driver_bugs = dvk_driver_bugs;
    context->driver_bug_count = dvk_driver_bug_count;
    dvk_avoid_driver_bugs(context);
    VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .queueFamilyIndex = context->queue_family,
    };
    dvk_result status = dvk_check_vulkan(
        context->vk.vkCreateCommandPool(context->device, &pool, context->vulkan_allocator, &context->command_pool),
        "vkCreateCommandPool", error);
    if (status == DVK_OK)
        status = dvk_choices_create(&context->allocator, params->variants, &context->choices, error);
    if (status == DVK_OK) {
        set_tuning(context, params);
        context->build_id = dvk_choices_build_id(context->choices);
        status = dvk_cache_open(context, params->cache_dir, error);
    }
    if (status == DVK_OK)
        status = dvk_choices_restore(context, error);
    if (status == DVK_OK)
        dvk_log_message(&context->log, DVK_LOG_INFO, "device %u: %s, %s; %s", context->info.index, context->info.name,
                        context->info.driver, context->tier);
    return status;
}

dvk_result dvk_context_create(const dvk_context_params *params, dvk_context **context_out, dvk_error *error) {
    static const dvk_context_params defaults;
    if (!context_out)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_context_create: context is NULL");
    if (!params)
        params = &defaults;
    dvk_context *context = NULL;
    dvk_result status = dvk_context_allocate(params, "dvk_context_create", &context, error);
    if (status != DVK_OK)
        return status;
    status = dvk_instance_open(params->validation, &context->log, &context->allocator, context->vulkan_allocator,
                               &context->instance, error);
    if (status == DVK_OK)
        status = pick_device(context, params->device, error);
    if (status == DVK_OK)
        status = dvk_query_features(&context->instance.vk, &context->allocator, context->instance.handle,
                                    context->physical_device, &context->features, error);
    context->features.bits &= ~params->disabled_features;
    if (status == DVK_OK)
        status = create_device(context, error);
    if (status == DVK_OK)
        status = dvk_context_start(context, params, error);
    if (status != DVK_OK) {
        dvk_context_destroy(&context);
        return status;
    }
    *context_out = context;
    return DVK_OK;
}

void dvk_context_destroy(dvk_context **context_pointer) {
    if (!context_pointer || !*context_pointer)
        return;
    dvk_context *context = *context_pointer;
    if (context->device) {
        dvk_cache_save(context); /* what was learned since the last run */
        dvk_pipelines_destroy(context);
        if (!context->host_pipeline_cache)
            context->vk.vkDestroyPipelineCache(context->device, context->pipeline_cache, context->vulkan_allocator);
        context->vk.vkDestroyCommandPool(context->device, context->command_pool, context->vulkan_allocator);
    }
    if (!context->imported) {
        if (context->device)
            context->vk.vkDestroyDevice(context->device, context->vulkan_allocator);
        dvk_instance_close(&context->instance);
    }
    const dvk_allocator allocator = context->allocator;
    dvk_choices_destroy(&allocator, context->choices);
    dvk_cache_close(context);
    dvk_release(&allocator, context);
    *context_pointer = NULL;
}

const dvk_device_info *dvk_context_device(const dvk_context *context) {
    return &context->info;
}

const char *dvk_context_tier(const dvk_context *context) {
    return context->tier;
}
