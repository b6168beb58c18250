#include "context.h"

#include <string.h>

#define VALIDATION_LAYER "VK_LAYER_KHRONOS_validation"

static VKAPI_ATTR VkBool32 VKAPI_CALL report_validation(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                        VkDebugUtilsMessageTypeFlagsEXT type,
                                                        const VkDebugUtilsMessengerCallbackDataEXT *data, void *user) {
    (void)type;
    dvk_log_level level = severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT ? DVK_LOG_ERROR : DVK_LOG_WARNING;
    dvk_log_message(user, level, "validation: %s", data->pMessage);
    return VK_FALSE;
}

/* Both fail for want of memory alone: a loader that cannot list (a driver's manifest is damaged, say) cannot create an
 * instance either, and vkCreateInstance knows better why. */

static dvk_result find_layer(const dvk_instance *instance, const char *name, bool *found, dvk_error *error) {
    uint32_t count = 0;
    *found = false;
    if (instance->vk.vkEnumerateInstanceLayerProperties(&count, NULL) != VK_SUCCESS || !count)
        return DVK_OK;
    VkLayerProperties *layers = dvk_allocate_zeroed(instance->allocator, count, sizeof(*layers));
    if (!layers)
        return dvk_fail_memory(error, count * sizeof(*layers));
    VkResult result = instance->vk.vkEnumerateInstanceLayerProperties(&count, layers);
    if (result == VK_SUCCESS || result == VK_INCOMPLETE) /* one was installed between the two calls */
        for (uint32_t i = 0; i < count; i++)
            *found |= strcmp(layers[i].layerName, name) == 0;
    dvk_release(instance->allocator, layers);
    return DVK_OK;
}

static dvk_result find_extension(const dvk_instance *instance, const char *name, bool *found, dvk_error *error) {
    uint32_t count = 0;
    *found = false;
    if (instance->vk.vkEnumerateInstanceExtensionProperties(NULL, &count, NULL) != VK_SUCCESS || !count)
        return DVK_OK;
    VkExtensionProperties *extensions = dvk_allocate_zeroed(instance->allocator, count, sizeof(*extensions));
    if (!extensions)
        return dvk_fail_memory(error, count * sizeof(*extensions));
    VkResult result = instance->vk.vkEnumerateInstanceExtensionProperties(NULL, &count, extensions);
    if (result == VK_SUCCESS || result == VK_INCOMPLETE)
        for (uint32_t i = 0; i < count; i++)
            *found |= strcmp(extensions[i].extensionName, name) == 0;
    dvk_release(instance->allocator, extensions);
    return DVK_OK;
}

static dvk_result create_instance(bool validation, const dvk_log *log, dvk_instance *instance, dvk_error *error) {
    uint32_t version = VK_API_VERSION_1_0;
    dvk_result status =
        dvk_check_vulkan(instance->vk.vkEnumerateInstanceVersion(&version), "vkEnumerateInstanceVersion", error);
    if (status != DVK_OK)
        return status;
    if (version < VK_API_VERSION_1_1)
        return dvk_fail(error, DVK_ERROR_NO_VULKAN,
                        "the Vulkan loader knows Vulkan %u.%u only; 1.1 is needed: update the package libvulkan1",
                        VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));
    bool found = true;
    if (validation)
        status = find_layer(instance, VALIDATION_LAYER, &found, error);
    if (status == DVK_OK && !found)
        status = dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                          VALIDATION_LAYER " is not installed; install the package vulkan-validationlayers");
    if (status != DVK_OK)
        return status;

    const char *extensions[3];
    uint32_t extension_count = 0;
    VkInstanceCreateFlags flags = 0;
    if (validation) {
        extensions[extension_count++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
        extensions[extension_count++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
    }
#ifdef VK_KHR_portability_enumeration
    /* MoltenVK is listed only to those who ask for it. */
    status = find_extension(instance, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME, &found, error);
    if (status != DVK_OK)
        return status;
    if (found) {
        extensions[extension_count++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
        flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
    }
#endif
    static const char *const layers[] = {VALIDATION_LAYER};
    VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
        .pfnUserCallback = report_validation,
        .pUserData = (void *)(uintptr_t)log,
    };
    /* Through the extension, because Debian 12's layer (1.3.239) ignores VK_VALIDATION_VALIDATE_SYNC. */
    static const VkValidationFeatureEnableEXT enabled[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    VkValidationFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .pNext = &messenger,
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = enabled,
    };
    VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pEngineName = "dino-vk",
        .engineVersion = VK_MAKE_API_VERSION(0, DVK_VERSION_MAJOR, DVK_VERSION_MINOR, DVK_VERSION_PATCH),
        .apiVersion = VK_API_VERSION_1_1,
    };
    VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = validation ? &features : NULL,
        .flags = flags,
        .pApplicationInfo = &application,
        .enabledLayerCount = validation ? 1 : 0,
        .ppEnabledLayerNames = layers,
        .enabledExtensionCount = extension_count,
        .ppEnabledExtensionNames = extensions,
    };
    VkResult result = instance->vk.vkCreateInstance(&info, instance->vulkan_allocator, &instance->handle);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
        return dvk_fail(error, DVK_ERROR_NO_VULKAN,
                        "no Vulkan driver on this machine: install your GPU's, or the software driver of the package "
                        "mesa-vulkan-drivers, and see what vulkaninfo says");
    if (result == VK_ERROR_OUT_OF_HOST_MEMORY) /* which loaders also say of a manifest that is no JSON */
        return dvk_fail(error, DVK_ERROR_OUT_OF_HOST_MEMORY,
                        "vkCreateInstance: the Vulkan loader is out of memory, or a driver's manifest (a .json file in "
                        "vulkan/icd.d or in VK_DRIVER_FILES) is damaged: VK_LOADER_DEBUG=all tells which");
    status = dvk_check_vulkan(result, "vkCreateInstance", error);
    if (status != DVK_OK)
        return status;
    status = dvk_load_instance_table(&instance->vk, instance->vk.get_instance_proc_addr, instance->handle, error);
    if (status != DVK_OK)
        return status;
    if (validation && instance->vk.create_messenger)
        status = dvk_check_vulkan(instance->vk.create_messenger(instance->handle, &messenger,
                                                                instance->vulkan_allocator, &instance->messenger),
                                  "vkCreateDebugUtilsMessengerEXT", error);
    return status;
}

dvk_result dvk_instance_open(bool validation, const dvk_log *log, const dvk_allocator *allocator,
                             const VkAllocationCallbacks *vulkan_allocator, dvk_instance *instance, dvk_error *error) {
    memset(instance, 0, sizeof(*instance));
    instance->allocator = allocator;
    instance->vulkan_allocator = vulkan_allocator;
    PFN_vkGetInstanceProcAddr get_instance_proc_addr = NULL;
    dvk_result status = dvk_open_loader(&instance->library, &get_instance_proc_addr, error);
    if (status != DVK_OK)
        return status;
    status = dvk_load_instance_table(&instance->vk, get_instance_proc_addr, VK_NULL_HANDLE, error);
    if (status == DVK_OK)
        status = create_instance(validation, log, instance, error);
    if (status != DVK_OK)
        dvk_instance_close(instance);
    return status;
}

void dvk_instance_close(dvk_instance *instance) {
    if (instance->messenger && instance->vk.destroy_messenger)
        instance->vk.destroy_messenger(instance->handle, instance->messenger, instance->vulkan_allocator);
    if (instance->handle && instance->vk.vkDestroyInstance)
        instance->vk.vkDestroyInstance(instance->handle, instance->vulkan_allocator);
    dvk_close_loader(instance->library);
    memset(instance, 0, sizeof(*instance));
}
