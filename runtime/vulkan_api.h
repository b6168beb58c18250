/* Vulkan's entry points as tables that belong to a context: no global state, nothing a host's own volk could disturb.
 */
#ifndef DVK_VULKAN_API_H_
#define DVK_VULKAN_API_H_

#include "error.h"
#include "volk_private.h" /* made by the build: volk's global names get the prefix dvk_ */

#define VK_NO_PROTOTYPES
#include <volk.h>

/* volk 1.3.239 (Debian 12) has device tables only, so the instance functions that we use are listed here. */
#define DVK_GLOBAL_FUNCTIONS(X)                                                                                        \
    X(vkCreateInstance)                                                                                                \
    X(vkEnumerateInstanceVersion)                                                                                      \
    X(vkEnumerateInstanceLayerProperties)                                                                              \
    X(vkEnumerateInstanceExtensionProperties)

#define DVK_INSTANCE_FUNCTIONS(X)                                                                                      \
    X(vkDestroyInstance)                                                                                               \
    X(vkEnumeratePhysicalDevices)                                                                                      \
    X(vkGetPhysicalDeviceProperties2)                                                                                  \
    X(vkGetPhysicalDeviceFeatures2)                                                                                    \
    X(vkGetPhysicalDeviceMemoryProperties)                                                                             \
    X(vkGetPhysicalDeviceQueueFamilyProperties)                                                                        \
    X(vkEnumerateDeviceExtensionProperties)                                                                            \
    X(vkCreateDevice)                                                                                                  \
    X(vkGetDeviceProcAddr)

typedef struct dvk_instance_table {
#define DVK_MEMBER(name) PFN_##name name;
    DVK_GLOBAL_FUNCTIONS(DVK_MEMBER)
    DVK_INSTANCE_FUNCTIONS(DVK_MEMBER)
#undef DVK_MEMBER
    PFN_vkGetInstanceProcAddr get_instance_proc_addr;
    PFN_vkCreateDebugUtilsMessengerEXT create_messenger;   /* NULL without VK_EXT_debug_utils */
    PFN_vkDestroyDebugUtilsMessengerEXT destroy_messenger; /* likewise */
} dvk_instance_table;

/* Opens the system's Vulkan loader. *library is what dvk_close_loader() takes. */
dvk_result dvk_open_loader(void **library, PFN_vkGetInstanceProcAddr *get_instance_proc_addr, dvk_error *error);
void dvk_close_loader(void *library);

/* instance NULL: the functions that need none; then again with the instance for the rest. */
dvk_result dvk_load_instance_table(dvk_instance_table *table, PFN_vkGetInstanceProcAddr get_instance_proc_addr,
                                   VkInstance instance, dvk_error *error);

void dvk_load_device_table(struct VolkDeviceTable *table, PFN_vkGetDeviceProcAddr get_device_proc_addr,
                           VkDevice device);

/* DVK_OK, or the failure of `call` as a dvk_result with a sentence. */
dvk_result dvk_check_vulkan(VkResult result, const char *call, dvk_error *error);

/* "VK_ERROR_DEVICE_LOST" and the like; a number where we do not know the name is the caller's business: never NULL. */
const char *dvk_vulkan_result_name(VkResult result);

#endif
