#include "vulkan_api.h"

#include <string.h>

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

dvk_result dvk_open_loader(void **library, PFN_vkGetInstanceProcAddr *get_instance_proc_addr, dvk_error *error) {
    void *handle = NULL;
#ifdef _WIN32
    handle = (void *)LoadLibraryA("vulkan-1.dll");
    if (handle) {
        FARPROC symbol = GetProcAddress((HMODULE)handle, "vkGetInstanceProcAddr");
        memcpy(get_instance_proc_addr, &symbol, sizeof(symbol));
    }
#else
#ifdef __APPLE__
    static const char *const names[] = {"libvulkan.dylib", "libvulkan.1.dylib", "libMoltenVK.dylib"};
#else
    static const char *const names[] = {"libvulkan.so.1", "libvulkan.so"};
#endif
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !handle; i++)
        handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (handle) {
        /* ISO C has no cast from an object pointer to a function pointer; POSIX says that the bits are the same. */
        void *symbol = dlsym(handle, "vkGetInstanceProcAddr");
        memcpy(get_instance_proc_addr, &symbol, sizeof(symbol));
    }
#endif
    if (!handle)
        return dvk_fail(error, DVK_ERROR_NO_VULKAN,
                        "no Vulkan loader on this machine: libvulkan was not found; install the GPU's driver and the "
                        "package libvulkan1 (or vulkan-loader)");
    if (!*get_instance_proc_addr) {
        dvk_close_loader(handle);
        return dvk_fail(error, DVK_ERROR_NO_VULKAN, "the Vulkan loader on this machine has no vkGetInstanceProcAddr");
    }
    *library = handle;
    return DVK_OK;
}

void dvk_close_loader(void *library) {
    if (!library)
        return;
#ifdef _WIN32
    FreeLibrary((HMODULE)library);
#else
    dlclose(library);
#endif
}

dvk_result dvk_load_instance_table(dvk_instance_table *table, PFN_vkGetInstanceProcAddr get_instance_proc_addr,
                                   VkInstance instance, dvk_error *error) {
    const char *missing = NULL;
    table->get_instance_proc_addr = get_instance_proc_addr;
#define DVK_LOAD(name)                                                                                                 \
    table->name = (PFN_##name)get_instance_proc_addr(instance, #name);                                                 \
    if (!table->name)                                                                                                  \
        missing = #name;
    if (!instance) {
        DVK_GLOBAL_FUNCTIONS(DVK_LOAD)
    } else {
        DVK_INSTANCE_FUNCTIONS(DVK_LOAD)
        table->create_messenger =
            (PFN_vkCreateDebugUtilsMessengerEXT)get_instance_proc_addr(instance, "vkCreateDebugUtilsMessengerEXT");
        table->destroy_messenger =
            (PFN_vkDestroyDebugUtilsMessengerEXT)get_instance_proc_addr(instance, "vkDestroyDebugUtilsMessengerEXT");
    }
#undef DVK_LOAD
    if (missing)
        return dvk_fail(error, DVK_ERROR_NO_VULKAN,
                        "the Vulkan loader is too old: %s of Vulkan 1.1 is missing; update the package libvulkan1",
                        missing);
    return DVK_OK;
}

const char *dvk_vulkan_result_name(VkResult result) {
    switch (result) {
    case VK_SUCCESS:
        return "VK_SUCCESS";
    case VK_NOT_READY:
        return "VK_NOT_READY";
    case VK_TIMEOUT:
        return "VK_TIMEOUT";
    case VK_INCOMPLETE:
        return "VK_INCOMPLETE";
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return "VK_ERROR_OUT_OF_HOST_MEMORY";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return "VK_ERROR_OUT_OF_DEVICE_MEMORY";
    case VK_ERROR_INITIALIZATION_FAILED:
        return "VK_ERROR_INITIALIZATION_FAILED";
    case VK_ERROR_DEVICE_LOST:
        return "VK_ERROR_DEVICE_LOST";
    case VK_ERROR_MEMORY_MAP_FAILED:
        return "VK_ERROR_MEMORY_MAP_FAILED";
    case VK_ERROR_LAYER_NOT_PRESENT:
        return "VK_ERROR_LAYER_NOT_PRESENT";
    case VK_ERROR_EXTENSION_NOT_PRESENT:
        return "VK_ERROR_EXTENSION_NOT_PRESENT";
    case VK_ERROR_FEATURE_NOT_PRESENT:
        return "VK_ERROR_FEATURE_NOT_PRESENT";
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return "VK_ERROR_INCOMPATIBLE_DRIVER";
    case VK_ERROR_TOO_MANY_OBJECTS:
        return "VK_ERROR_TOO_MANY_OBJECTS";
    case VK_ERROR_OUT_OF_POOL_MEMORY:
        return "VK_ERROR_OUT_OF_POOL_MEMORY";
    case VK_ERROR_UNKNOWN:
        return "VK_ERROR_UNKNOWN";
    default:
        return "an unexpected VkResult";
    }
}

dvk_result dvk_check_vulkan(VkResult result, const char *call, dvk_error *error) {
    switch (result) {
    case VK_SUCCESS:
        return DVK_OK;
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return dvk_fail(error, DVK_ERROR_OUT_OF_HOST_MEMORY, "%s: the driver is out of host memory", call);
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return dvk_fail(error, DVK_ERROR_OUT_OF_DEVICE_MEMORY,
                        "%s: the device is out of memory; try a smaller size or batch, or --precision fp16", call);
    case VK_ERROR_DEVICE_LOST:
        return dvk_fail(error, DVK_ERROR_DEVICE_LOST,
                        "%s: the device was lost (driver reset or unplugged); open the context anew", call);
    default:
        return dvk_fail(error, DVK_ERROR_VULKAN, "%s failed with %s (%d)", call, dvk_vulkan_result_name(result),
                        (int)result);
    }
}
