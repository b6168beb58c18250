#include "device_features.h"

#include "bare_features.h"

bool bare_features(PFN_vkGetInstanceProcAddr get_instance_proc_addr, VkInstance instance, VkPhysicalDevice device,
                   dvk_device_features *features, VkDeviceCreateInfo *info) {
    static dvk_feature_request request;
    dvk_instance_table table;
    if (dvk_load_instance_table(&table, get_instance_proc_addr, VK_NULL_HANDLE, NULL) != DVK_OK ||
        dvk_load_instance_table(&table, get_instance_proc_addr, instance, NULL) != DVK_OK ||
        dvk_query_features(&table, NULL, instance, device, features, NULL) != DVK_OK)
        return false;
    dvk_request_features(features->bits, &request);
    info->pNext = request.chain;
    info->enabledExtensionCount = request.extension_count;
    info->ppEnabledExtensionNames = request.extensions;
    return true;
}

const char *bare_needs(const dvk_variant *variant, const dvk_device_features *features,
                       const VkPhysicalDeviceLimits *limits, uint32_t head_dim) {
    return dvk_variant_needs(variant, features, limits, head_dim);
}
