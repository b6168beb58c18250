/* Which devices there are, what they can do, and which one a user means. */
#include "context.h"

#include <stdio.h>
#include <string.h>

dvk_result dvk_physical_devices(const dvk_instance *instance, VkPhysicalDevice **devices, uint32_t *count,
                                dvk_error *error) {
    *devices = NULL;
    *count = 0;
    uint32_t found = 0;
    VkResult result = instance->vk.vkEnumeratePhysicalDevices(instance->handle, &found, NULL);
    /* A loader whose only driver fails to start reports INITIALIZATION_FAILED: to the user, that is no device. */
    if (result == VK_ERROR_INITIALIZATION_FAILED || (result == VK_SUCCESS && !found))
        return DVK_OK;
    dvk_result status = dvk_check_vulkan(result, "vkEnumeratePhysicalDevices", error);
    if (status != DVK_OK)
        return status;
    VkPhysicalDevice *list = dvk_allocate_zeroed(instance->allocator, found, sizeof(*list));
    if (!list)
        return dvk_fail_memory(error, found * sizeof(*list));
    result = instance->vk.vkEnumeratePhysicalDevices(instance->handle, &found, list);
    if (result != VK_INCOMPLETE && result != VK_ERROR_INITIALIZATION_FAILED)
        status = dvk_check_vulkan(result, "vkEnumeratePhysicalDevices", error);
    /* A device that appears between the two calls is left out, and drivers may fail now as well. */
    if (status != DVK_OK || result == VK_ERROR_INITIALIZATION_FAILED) {
        dvk_release(instance->allocator, list);
        return status;
    }
    *devices = list;
    *count = found;
    return DVK_OK;
}

uint32_t dvk_list_queue_families(const dvk_instance *instance, VkPhysicalDevice device,
                                 VkQueueFamilyProperties families[DVK_MAX_FAMILIES]) {
    uint32_t count = 0;
    instance->vk.vkGetPhysicalDeviceQueueFamilyProperties(device, &count, NULL);
    if (count > DVK_MAX_FAMILIES)
        count = DVK_MAX_FAMILIES;
    instance->vk.vkGetPhysicalDeviceQueueFamilyProperties(device, &count, families);
    return count;
}

uint32_t dvk_find_queue_family(const dvk_instance *instance, VkPhysicalDevice device) {
    VkQueueFamilyProperties families[DVK_MAX_FAMILIES];
    uint32_t count = dvk_list_queue_families(instance, device, families), best = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (!families[i].queueCount || !(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT))
            continue;
        if (best == UINT32_MAX || !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT))
            best = i;
        if (!(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT))
            break;
    }
    return best;
}

uint32_t dvk_timestamp_bits(const dvk_instance *instance, VkPhysicalDevice device, uint32_t family) {
    VkQueueFamilyProperties families[DVK_MAX_FAMILIES];
    const uint32_t count = dvk_list_queue_families(instance, device, families);
    return family < count ? families[family].timestampValidBits : 0;
}

static dvk_device_type device_type(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return DVK_DEVICE_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return DVK_DEVICE_DISCRETE;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return DVK_DEVICE_VIRTUAL;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return DVK_DEVICE_CPU;
    default:
        return DVK_DEVICE_OTHER;
    }
}

dvk_result dvk_describe_device(const dvk_instance *instance, VkPhysicalDevice device, uint32_t index,
                               dvk_device_info *info, dvk_error *error) {
    memset(info, 0, sizeof(*info));
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceIDProperties id = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES, .pNext = &subgroup};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &id};
    instance->vk.vkGetPhysicalDeviceProperties2(device, &properties);

    if (properties.properties.apiVersion >= VK_API_VERSION_1_2) {
        /* Core since 1.2; an unknown structure would be ignored, but the layers complain about it. */
        subgroup.pNext = &driver;
        instance->vk.vkGetPhysicalDeviceProperties2(device, &properties);
    }
    dvk_device_features features = {0};
    dvk_result status = DVK_OK;
    if (properties.properties.apiVersion >= VK_API_VERSION_1_1)
        status = dvk_query_features(&instance->vk, instance->allocator, instance->handle, device, &features, error);
    if (status == DVK_ERROR_OUT_OF_HOST_MEMORY) /* another failure is this device's alone */
        return status;

    const VkPhysicalDeviceProperties *core = &properties.properties;
    info->index = index;
    info->type = device_type(core->deviceType);
    snprintf(info->name, sizeof(info->name), "%s", core->deviceName);
    if (driver.driverName[0])
        snprintf(info->driver, sizeof(info->driver), "%s %s", driver.driverName, driver.driverInfo);
    memcpy(info->uuid, id.deviceUUID, sizeof(info->uuid));
    info->vendor_id = core->vendorID;
    info->device_id = core->deviceID;
    info->api_version = core->apiVersion;
    info->driver_version = core->driverVersion;
    info->max_storage_range = core->limits.maxStorageBufferRange;
    info->subgroup_size = subgroup.subgroupSize;
    info->max_workgroup_invocations = core->limits.maxComputeWorkGroupInvocations;
    info->shared_memory = core->limits.maxComputeSharedMemorySize;
    info->has_fp16_arithmetic = (features.bits & DVK_FEATURE_FP16_ARITHMETIC) != 0;
    info->has_fp16_storage = (features.bits & DVK_FEATURE_FP16_STORAGE) != 0;

    VkPhysicalDeviceMemoryProperties memory;
    instance->vk.vkGetPhysicalDeviceMemoryProperties(device, &memory);
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++)
        if ((memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) &&
            memory.memoryHeaps[i].size > info->device_memory)
            info->device_memory = memory.memoryHeaps[i].size;

    if (core->apiVersion < VK_API_VERSION_1_1)
        snprintf(info->why_not, sizeof(info->why_not), "it has Vulkan %u.%u, 1.1 is needed",
                 VK_API_VERSION_MAJOR(core->apiVersion), VK_API_VERSION_MINOR(core->apiVersion));
    else if (dvk_find_queue_family(instance, device) == UINT32_MAX)
        snprintf(info->why_not, sizeof(info->why_not), "it has no queue that computes");
    else if (status != DVK_OK)
        snprintf(info->why_not, sizeof(info->why_not), "its extensions cannot be queried");
    else
        info->usable = true;
    return DVK_OK;
}

/* Higher is better. A software driver is last: nobody wants it who has anything else. */
static int rank(const dvk_device_info *info) {
    static const int by_type[] = {[DVK_DEVICE_DISCRETE] = 5,
                                  [DVK_DEVICE_INTEGRATED] = 4,
                                  [DVK_DEVICE_VIRTUAL] = 3,
                                  [DVK_DEVICE_OTHER] = 2,
                                  [DVK_DEVICE_CPU] = 1};
    return info->usable ? by_type[info->type] : 0;
}

/* Not tolower(): that is the host's locale's, and a Turkish one does not turn I into i. */
static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool contains_ignoring_case(const char *text, const char *part) {
    size_t length = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < length && text[i] && lower(text[i]) == lower(part[i]))
            i++;
        if (i == length)
            return true;
    }
    return false;
}

/* 32 hex digits, dashes anywhere. */
static bool parse_uuid(const char *text, uint8_t uuid[16]) {
    unsigned digits = 0;
    memset(uuid, 0, 16);
    for (; *text; text++) {
        if (*text == '-')
            continue;
        const char *hex = "0123456789abcdef";
        const char *digit = strchr(hex, lower(*text));
        if (!digit || digits == 32)
            return false;
        uuid[digits / 2] = (uint8_t)(uuid[digits / 2] << 4 | (digit - hex));
        digits++;
    }
    return digits == 32;
}

static bool parse_index(const char *text, uint32_t *index) {
    if (!*text || strlen(text) > 4)
        return false;
    *index = 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        *index = *index * 10 + (uint32_t)(*text - '0');
    }
    return true;
}

dvk_result dvk_choose_device(const dvk_device_info *infos, uint32_t count, const char *request, uint32_t *chosen,
                             dvk_error *error) {
    if (!count)
        return dvk_fail(error, DVK_ERROR_NO_VULKAN,
                        "Vulkan is here, but its drivers offer no device: install your GPU's driver, or the software "
                        "driver of the package mesa-vulkan-drivers");
    uint32_t index, best = UINT32_MAX;
    uint8_t uuid[16];
    bool any = !request || !*request;
    bool by_index = !any && parse_index(request, &index);
    bool by_uuid = !any && parse_uuid(request, uuid);
    for (uint32_t i = 0; i < count; i++) {
        bool match = any || (by_index && index == i) || (by_uuid && memcmp(uuid, infos[i].uuid, 16) == 0) ||
                     (!by_index && contains_ignoring_case(infos[i].name, request));
        if (match && (best == UINT32_MAX || rank(&infos[i]) > rank(&infos[best])))
            best = i;
    }
    if (best == UINT32_MAX && by_index)
        return dvk_fail(error, DVK_ERROR_NO_DEVICE,
                        "there is no device %s: this machine has %u, counted from 0; `dino-vk devices` lists them",
                        request, count);
    if (best == UINT32_MAX)
        return dvk_fail(error, DVK_ERROR_NO_DEVICE,
                        "no device has \"%s\" in its name or as its UUID; `dino-vk devices` lists them", request);
    if (!infos[best].usable)
        return dvk_fail(error, DVK_ERROR_NO_DEVICE, "the device %s cannot be used: %s", infos[best].name,
                        infos[best].why_not);
    *chosen = best;
    return DVK_OK;
}

dvk_result dvk_list_devices(const dvk_context_params *params, dvk_device_info *infos, uint32_t *count,
                            dvk_error *error) {
    static const dvk_context_params defaults;
    if (!count || (*count && !infos))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_list_devices: count or infos is NULL");
    if (!params)
        params = &defaults;
    dvk_result status = DVK_CHECK_RESERVED(params, "dvk_list_devices", "context_params", error);
    if (status == DVK_OK)
        status = dvk_check_allocator(params->allocator, "dvk_list_devices", error);
    if (status != DVK_OK)
        return status;
    const dvk_log silent = {0};
    dvk_instance instance;
    status = dvk_instance_open(false, &silent, params->allocator, params->vulkan_allocator, &instance, error);
    if (status != DVK_OK)
        return status;
    VkPhysicalDevice *devices;
    uint32_t found;
    status = dvk_physical_devices(&instance, &devices, &found, error);
    if (status == DVK_OK) {
        for (uint32_t i = 0; i < found && i < *count && status == DVK_OK; i++)
            status = dvk_describe_device(&instance, devices[i], i, &infos[i], error);
        if (status == DVK_OK)
            *count = found;
        dvk_release(instance.allocator, devices);
    }
    dvk_instance_close(&instance);
    return status;
}
