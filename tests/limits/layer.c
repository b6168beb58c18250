#include "layer.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

limits_profile limits_claimed;
limits_below limits_next;
limits_device limits_current;

void limits_broken(const char *format, ...) {
    va_list arguments;
    fflush(stdout);
    fprintf(stderr, "limits: a device \"%s\" does not promise this: ", limits_claimed.name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

__attribute__((constructor)) static void read_profile(void) {
    char why_not[256], bits[24];
    const char *file = getenv("DVK_LIMITS_FILE"), *name = getenv("DVK_LIMITS"), *more = getenv("DVK_LIMITS_MORE");
    if (!limits_profile_read(file ? file : "", name ? name : "", more ? more : "", &limits_claimed, why_not,
                             sizeof(why_not))) {
        fprintf(stderr, "limits: %s\n", why_not);
        abort();
    }
    snprintf(bits, sizeof(bits), "%u", (unsigned)limits_claimed.vector_bits);
    if (limits_claimed.vector_bits)
        setenv("LP_NATIVE_VECTOR_WIDTH", bits, 1);
}

/* ---------------------------------------------------------------------------------------------------- objects */

typedef struct object {
    struct object *next;
    limits_kind kind;
    uint64_t key;
    void *content;
} object;

static object *objects;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static object **find(limits_kind kind, uint64_t key) {
    object **at = &objects;
    while (*at && ((*at)->kind != kind || (*at)->key != key))
        at = &(*at)->next;
    return at;
}

void *limits_remember(limits_kind kind, uint64_t key, size_t bytes) {
    object *new = calloc(1, sizeof(*new));
    void *content = calloc(1, bytes);
    if (!new || !content)
        abort();
    pthread_mutex_lock(&lock);
    *new = (object){objects, kind, key, content};
    objects = new;
    pthread_mutex_unlock(&lock);
    return content;
}

void *limits_recall(limits_kind kind, uint64_t key) {
    pthread_mutex_lock(&lock);
    object *found = *find(kind, key);
    pthread_mutex_unlock(&lock);
    if (!found)
        limits_broken("an object of kind %d is used that does not exist", (int)kind);
    return found->content;
}

void limits_forget(limits_kind kind, uint64_t key) {
    pthread_mutex_lock(&lock);
    object **at = find(kind, key), *old = *at;
    if (old)
        *at = old->next;
    pthread_mutex_unlock(&lock);
    if (old)
        free(old->content);
    free(old);
}

/* --------------------------------------------------------------------------------------- instances and devices */

/* The chain's entry in which the loader hands on what is below; it is moved on for the next layer. */
static VKAPI_ATTR VkResult VKAPI_CALL claim_vkCreateInstance(const VkInstanceCreateInfo *info,
                                                             const VkAllocationCallbacks *callbacks,
                                                             VkInstance *instance) {
    VkLayerInstanceCreateInfo *link = (VkLayerInstanceCreateInfo *)(uintptr_t)info->pNext;
    while (link &&
           (link->sType != VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO || link->function != VK_LAYER_LINK_INFO))
        link = (VkLayerInstanceCreateInfo *)(uintptr_t)link->pNext;
    if (!link)
        return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetInstanceProcAddr get = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkResult result = ((PFN_vkCreateInstance)get(VK_NULL_HANDLE, "vkCreateInstance"))(info, callbacks, instance);
    if (result != VK_SUCCESS)
        return result;
    limits_next.get_instance_proc_addr = get;
#define LOAD(name) limits_next.name = (PFN_##name)get(*instance, #name);
    INSTANCE_FUNCTIONS(LOAD)
#undef LOAD
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL claim_vkCreateDevice(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                                           const VkAllocationCallbacks *callbacks, VkDevice *device) {
    VkLayerDeviceCreateInfo *link = (VkLayerDeviceCreateInfo *)(uintptr_t)info->pNext;
    while (link && (link->sType != VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO || link->function != VK_LAYER_LINK_INFO))
        link = (VkLayerDeviceCreateInfo *)(uintptr_t)link->pNext;
    if (!link)
        return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetInstanceProcAddr get = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    PFN_vkGetDeviceProcAddr get_device = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    limits_note_device(physical, info);
    VkResult result = ((PFN_vkCreateDevice)get(VK_NULL_HANDLE, "vkCreateDevice"))(physical, info, callbacks, device);
    if (result != VK_SUCCESS)
        return result;
    limits_next.get_device_proc_addr = get_device;
#define LOAD(name) limits_next.name = (PFN_##name)get_device(*device, #name);
    DEVICE_FUNCTIONS(LOAD)
#undef LOAD
    return VK_SUCCESS;
}

/* ------------------------------------------------------------------------------------------------ entry points */

/* What a later version took into the core, as far as a library that computes could be tempted. */
static bool is_too_new(const char *name) {
    static const struct {
        const char *name;
        uint32_t version;
    } list[] = {
        {"vkResetQueryPool", VK_API_VERSION_1_2},         {"vkWaitSemaphores", VK_API_VERSION_1_2},
        {"vkSignalSemaphore", VK_API_VERSION_1_2},        {"vkGetSemaphoreCounterValue", VK_API_VERSION_1_2},
        {"vkGetBufferDeviceAddress", VK_API_VERSION_1_2}, {"vkQueueSubmit2", VK_API_VERSION_1_3},
        {"vkCmdPipelineBarrier2", VK_API_VERSION_1_3},    {"vkCmdWriteTimestamp2", VK_API_VERSION_1_3},
        {"vkCmdCopyBuffer2", VK_API_VERSION_1_3},         {"vkGetDeviceBufferMemoryRequirements", VK_API_VERSION_1_3},
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        if (!strcmp(name, list[i].name))
            return limits_claimed.api && limits_claimed.api < list[i].version;
    return false;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL claim_vkGetDeviceProcAddr(VkDevice device, const char *name);
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL claim_vkGetInstanceProcAddr(VkInstance instance, const char *name);

static PFN_vkVoidFunction find_device_function(const char *name) {
    PFN_vkVoidFunction found = limits_find_memory_claim(name);
    FIND(vkGetDeviceProcAddr);
    return found ? found : limits_find_promise(name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL claim_vkGetDeviceProcAddr(VkDevice device, const char *name) {
    PFN_vkVoidFunction found = find_device_function(name);
    if (is_too_new(name))
        return NULL;
    return found ? found : limits_next.get_device_proc_addr(device, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL claim_vkGetInstanceProcAddr(VkInstance instance, const char *name) {
    FIND(vkGetInstanceProcAddr);
    FIND(vkCreateInstance);
    FIND(vkCreateDevice);
    PFN_vkVoidFunction found = limits_find_claim(name);
    if (!found)
        found = find_device_function(name);
    if (found || !instance)
        return found;
    return is_too_new(name) ? NULL : limits_next.get_instance_proc_addr(instance, name);
}

EXPORT VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *interface);

EXPORT VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *interface) {
    if (interface->loaderLayerInterfaceVersion < CURRENT_LOADER_LAYER_INTERFACE_VERSION)
        return VK_ERROR_INITIALIZATION_FAILED;
    interface->loaderLayerInterfaceVersion = CURRENT_LOADER_LAYER_INTERFACE_VERSION;
    interface->pfnGetInstanceProcAddr = claim_vkGetInstanceProcAddr;
    interface->pfnGetDeviceProcAddr = claim_vkGetDeviceProcAddr;
    interface->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
