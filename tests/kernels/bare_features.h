/* What the bare device enables: the runtime's own list, on a device that is not the runtime's. In a file of its own,
 * because the runtime's table of entry points and the loader's prototypes cannot be seen together. */
#ifndef DVK_BARE_FEATURES_H_
#define DVK_BARE_FEATURES_H_

#include <vulkan/vulkan_core.h>

#include "variants.h"

/* Fills in pNext and the extensions of `info`, which stay valid until the next call, and `features`. */
bool bare_features(PFN_vkGetInstanceProcAddr get_instance_proc_addr, VkInstance instance, VkPhysicalDevice device,
                   dvk_device_features *features, VkDeviceCreateInfo *info);

/* As dvk_variant_needs(). */
const char *bare_needs(const dvk_variant *variant, const dvk_device_features *features,
                       const VkPhysicalDeviceLimits *limits, uint32_t head_dim);

#endif
