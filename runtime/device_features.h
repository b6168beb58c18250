/* The optional parts of Vulkan: which of them a device offers, what turns them on, and which variants they admit. */
#ifndef DVK_DEVICE_FEATURES_H_
#define DVK_DEVICE_FEATURES_H_

#include "memory.h"
#include "variants.h"
#include "vulkan_api.h"

/* What a device offers. The caller takes away from `bits` what is not wanted and, on a device that somebody else
 * created, what they did not enable. */
dvk_result dvk_query_features(const dvk_instance_table *vk, const dvk_allocator *allocator, VkInstance instance,
                              VkPhysicalDevice device, dvk_device_features *features, dvk_error *error);

/* What a VkDeviceCreateInfo needs to enable features. Points into itself: it must stay where it is. */
typedef struct dvk_feature_request {
    const void *chain; /* pNext */
    const char *extensions[8];
    uint32_t extension_count;
    VkPhysicalDeviceFeatures2 core; /* in place of pEnabledFeatures */
    VkPhysicalDevice16BitStorageFeatures storage;
    VkPhysicalDeviceShaderFloat16Int8Features arithmetic;
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroup_size;
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model;
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot_product;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline;
#ifdef VK_KHR_cooperative_matrix
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix;
#endif
#ifdef VK_NV_cooperative_matrix2
    VkPhysicalDeviceCooperativeMatrix2FeaturesNV matrix_2;
#endif
} dvk_feature_request;

/* `bits` must be among those of dvk_query_features(). */
void dvk_request_features(uint32_t bits, dvk_feature_request *request);

/* What the device lacks to run the variant, in words that fit "it needs ..."; NULL: nothing. head_dim 0 where it does
 * not matter. */
const char *dvk_variant_needs(const dvk_variant *variant, const dvk_device_features *features,
                              const VkPhysicalDeviceLimits *limits, uint32_t head_dim);

#endif
