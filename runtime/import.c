/* Contexts on a device of the host's. */
#include "context.h"
#include "pipeline.h"

#include <assert.h>
#include <string.h>

enum { DVK_KNOWN_FEATURES = (DVK_FEATURE_INT64 << 1) - 1 };

static dvk_result check_instance(const dvk_import *import, const char *function, dvk_error *error) {
    const char *missing = !import->get_instance_proc_addr ? "get_instance_proc_addr"
                          : !import->instance             ? "instance"
                          : !import->physical_device      ? "physical_device"
                                                          : NULL;
    if (missing)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "%s: dvk_import.%s is NULL", function, missing);
    dvk_result status = DVK_CHECK_RESERVED(import, function, "import", error);
    if (status != DVK_OK)
        return status;
    if (import->api_version < VK_API_VERSION_1_1)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: the instance was created for Vulkan %u.%u (dvk_import.api_version 0x%x): 1.1 or later is "
                        "needed in VkApplicationInfo::apiVersion",
                        function, VK_API_VERSION_MAJOR(import->api_version), VK_API_VERSION_MINOR(import->api_version),
                        import->api_version);
    return DVK_OK;
}

static dvk_result check(const dvk_import *import, const dvk_context_params *params, dvk_error *error) {
    if (!import->device)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_context_import: dvk_import.device is NULL");
    if (import->features & ~(uint32_t)DVK_KNOWN_FEATURES)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_context_import: unknown bits in features 0x%x",
                        import->features);
    if (!import->lock_queue != !import->unlock_queue)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_context_import: give both lock_queue and unlock_queue, or neither");
    if ((params->device && *params->device) || params->validation)
        return dvk_fail(
            error, DVK_ERROR_INVALID_ARGUMENT,
            "dvk_context_import: device and validation of dvk_context_params are the host's decision: leave "
            "them unset");
    return DVK_OK;
}

static dvk_result check_queue(dvk_context *context, const dvk_import *import, dvk_error *error) {
    VkQueueFamilyProperties families[DVK_MAX_FAMILIES];
    const uint32_t count = dvk_list_queue_families(&context->instance, context->physical_device, families);
    if (import->queue_family >= count)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_context_import: queue_family %u, %s has %u families",
                        import->queue_family, context->info.name, count);
    if (!(families[import->queue_family].queueFlags & VK_QUEUE_COMPUTE_BIT))
        return dvk_fail(
            error, DVK_ERROR_INVALID_ARGUMENT,
            "dvk_context_import: queue family %u of %s does not compute: every graphics family does, or take "
            "one with VK_QUEUE_COMPUTE_BIT",
            import->queue_family, context->info.name);
    if (import->queue_index >= families[import->queue_family].queueCount)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_context_import: queue_index %u, family %u has %u queues", import->queue_index,
                        import->queue_family, families[import->queue_family].queueCount);
    return DVK_OK;
}

/* Vulkan has no query for which of its devices a VkPhysicalDevice is by number. */
static dvk_result describe(dvk_context *context, dvk_error *error) {
    VkPhysicalDevice *devices;
    uint32_t count, index = 0;
    dvk_result status = dvk_physical_devices(&context->instance, &devices, &count, error);
    if (status != DVK_OK)
        return status;
    while (index < count && devices[index] != context->physical_device)
        index++;
    dvk_release(&context->allocator, devices);
    status = dvk_describe_device(&context->instance, context->physical_device, index, &context->info, error);
    if (status == DVK_OK && !context->info.usable)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "the device %s cannot be used: %s", context->info.name,
                        context->info.why_not);
    return status;
}

static dvk_result take_device(dvk_context *context, const dvk_import *import, const dvk_context_params *params,
                              dvk_error *error) {
    context->imported = true;
    context->instance.handle = import->instance;
    context->physical_device = import->physical_device;
    dvk_result status =
        dvk_load_instance_table(&context->instance.vk, (PFN_vkGetInstanceProcAddr)import->get_instance_proc_addr,
                                context->instance.handle, error);
    if (status == DVK_OK)
        status = describe(context, error);
    if (status == DVK_OK)
        status = check_queue(context, import, error);
    if (status == DVK_OK)
        status = dvk_query_features(&context->instance.vk, &context->allocator, context->instance.handle,
                                    context->physical_device, &context->features, error);
    if (status != DVK_OK)
        return status;
    context->device = import->device;
    context->queue_family = import->queue_family;
    context->features.bits &= import->features & ~params->disabled_features;
    if (import->features & ~(context->features.bits | params->disabled_features))
        dvk_log_message(&context->log, DVK_LOG_WARNING,
                        "features 0x%x are attested and will not be used: %s does not offer them, or this build of the "
                        "library does not know them",
                        import->features & ~(context->features.bits | params->disabled_features), context->info.name);
    context->lock_queue = import->lock_queue;
    context->unlock_queue = import->unlock_queue;
    context->queue_user = import->queue_user;
    dvk_load_device_table(&context->vk, context->instance.vk.vkGetDeviceProcAddr, context->device);
    context->queue = import->queue;
    if (!context->queue)
        context->vk.vkGetDeviceQueue(context->device, import->queue_family, import->queue_index, &context->queue);
    context->pipeline_cache = (VkPipelineCache)import->pipeline_cache;
    context->host_pipeline_cache = import->pipeline_cache != 0;
    return DVK_OK;
}

dvk_result dvk_context_import(const dvk_import *import, const dvk_context_params *params, dvk_context **context_out,
                              dvk_error *error) {
    static const dvk_context_params defaults;
    if (!import || !context_out)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_context_import: import or context is NULL");
    if (!params)
        params = &defaults;
    dvk_result status = check_instance(import, "dvk_context_import", error);
    if (status == DVK_OK)
        status = check(import, params, error);
    dvk_context *context = NULL;
    if (status == DVK_OK)
        status = dvk_context_allocate(params, "dvk_context_import", &context, error);
    if (status != DVK_OK)
        return status;
    status = take_device(context, import, params, error);
    if (status == DVK_OK)
        status = dvk_context_start(context, params, error);
    if (status != DVK_OK) {
        dvk_context_destroy(&context);
        return status;
    }
    *context_out = context;
    return DVK_OK;
}

dvk_result dvk_advise_device(const dvk_import *import, uint32_t wanted, dvk_device_advice *advice, dvk_error *error) {
    if (!import || !advice)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_advise_device: import or advice is NULL");
    dvk_result status = check_instance(import, "dvk_advise_device", error);
    if (status != DVK_OK)
        return status;
    dvk_instance_table vk;
    dvk_device_features features;
    status = dvk_load_instance_table(&vk, (PFN_vkGetInstanceProcAddr)import->get_instance_proc_addr, import->instance,
                                     error);
    if (status == DVK_OK)
        status = dvk_query_features(&vk, NULL, import->instance, import->physical_device, &features, error);
    if (status != DVK_OK)
        return status;
    uint32_t bits = features.bits & wanted;
    if (!(bits & DVK_FEATURE_COOPERATIVE_MATRIX)) /* the second extension builds on the first */
        bits &= ~(uint32_t)DVK_FEATURE_COOPERATIVE_MATRIX_2;

    static_assert(sizeof(dvk_feature_request) <= sizeof(advice->storage), "dvk_device_advice.storage is too small");
    memset(advice, 0, sizeof(*advice));
    dvk_feature_request *request = (dvk_feature_request *)(void *)advice->storage;
    dvk_request_features(bits, request);
    advice->features = bits;
    advice->chain = request->chain;
    advice->extension_count = request->extension_count;
    memcpy(advice->extensions, request->extensions, request->extension_count * sizeof(request->extensions[0]));
    return DVK_OK;
}
