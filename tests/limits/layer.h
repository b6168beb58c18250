/* A Vulkan layer that claims limits, features and memory that the device below it does not have (a profile), keeps the
 * library to them, and ends the process with a sentence where it goes beyond. A layer, because it then stands before
 * every program on the real loader and driver: tests, the command, what links libvulkan itself.
 *
 *     layer.c           entry points, instances and devices
 *     claims.c          what is claimed of the device
 *     memory_claims.c   its memory: types that do not exist, heaps that are full, caches that must be flushed
 *     promises.c        what the library may rely on, call by call
 *     shader_needs.c    what a compute shader needs, read from its SPIR-V
 */
#ifndef DVK_LIMITS_LAYER_H_
#define DVK_LIMITS_LAYER_H_

#include "profile.h"

#include <vulkan/vk_layer.h>

/* The device promised less: says what was done, and ends the process. */
__attribute__((format(printf, 1, 2), noreturn)) void limits_broken(const char *format, ...);

extern limits_profile limits_claimed;

/* ------------------------------------------------------------------------------------- what is below the layer */

#define INSTANCE_FUNCTIONS(X)                                                                                          \
    X(vkDestroyInstance)                                                                                               \
    X(vkEnumerateDeviceExtensionProperties)                                                                            \
    X(vkGetPhysicalDeviceProperties)                                                                                   \
    X(vkGetPhysicalDeviceProperties2)                                                                                  \
    X(vkGetPhysicalDeviceFeatures)                                                                                     \
    X(vkGetPhysicalDeviceFeatures2)                                                                                    \
    X(vkGetPhysicalDeviceMemoryProperties)                                                                             \
    X(vkGetPhysicalDeviceMemoryProperties2)                                                                            \
    X(vkGetPhysicalDeviceQueueFamilyProperties)

#define DEVICE_FUNCTIONS(X)                                                                                            \
    X(vkDestroyDevice)                                                                                                 \
    X(vkAllocateMemory)                                                                                                \
    X(vkFreeMemory)                                                                                                    \
    X(vkMapMemory)                                                                                                     \
    X(vkUnmapMemory)                                                                                                   \
    X(vkFlushMappedMemoryRanges)                                                                                       \
    X(vkInvalidateMappedMemoryRanges)                                                                                  \
    X(vkGetBufferMemoryRequirements)                                                                                   \
    X(vkGetImageMemoryRequirements)                                                                                    \
    X(vkBindBufferMemory)                                                                                              \
    X(vkCreateBuffer)                                                                                                  \
    X(vkDestroyBuffer)                                                                                                 \
    X(vkCreateShaderModule)                                                                                            \
    X(vkDestroyShaderModule)                                                                                           \
    X(vkCreateDescriptorSetLayout)                                                                                     \
    X(vkDestroyDescriptorSetLayout)                                                                                    \
    X(vkCreatePipelineLayout)                                                                                          \
    X(vkCreateComputePipelines)                                                                                        \
    X(vkUpdateDescriptorSets)                                                                                          \
    X(vkCmdPushConstants)                                                                                              \
    X(vkCmdWriteTimestamp)                                                                                             \
    X(vkCmdDispatch)

/* The functions below are the same for all instances and devices of a test: it has one driver. */
typedef struct limits_below {
    PFN_vkGetInstanceProcAddr get_instance_proc_addr;
    PFN_vkGetDeviceProcAddr get_device_proc_addr;
#define MEMBER(name) PFN_##name name;
    INSTANCE_FUNCTIONS(MEMBER)
    DEVICE_FUNCTIONS(MEMBER)
#undef MEMBER
} limits_below;
extern limits_below limits_next;

/* What the last device was created with. Features are only known as far as shaders need them. */
typedef struct limits_device {
    VkPhysicalDeviceProperties properties; /* as claimed */
    VkPhysicalDeviceSubgroupProperties subgroup;
    VkPhysicalDeviceSubgroupSizeControlProperties size_control;
    VkBool32 int64, fp16, storage16, dot_product, memory_model, matrices, size_control_enabled, full_subgroups;
} limits_device;
extern limits_device limits_current;

/* ---------------------------------------------------------------------------------------------------- objects */

typedef enum limits_kind { LIMITS_MEMORY, LIMITS_BUFFER, LIMITS_SHADER, LIMITS_SET_LAYOUT } limits_kind;

/* Handles are pointers or integers, by the machine. */
#define LIMITS_KEY(handle) ((uint64_t)(uintptr_t)(handle))

/* Zeroed memory that belongs to an object, until it is forgotten. Any thread. */
void *limits_remember(limits_kind kind, uint64_t key, size_t bytes);
void *limits_recall(limits_kind kind, uint64_t key); /* ends the process where there is none */
void limits_forget(limits_kind kind, uint64_t key);

/* ------------------------------------------------------------------------------------------- the layer's parts */

/* The layer's own function of that name; NULL: it has none. */
PFN_vkVoidFunction limits_find_claim(const char *name);
PFN_vkVoidFunction limits_find_memory_claim(const char *name);
PFN_vkVoidFunction limits_find_promise(const char *name);

/* Looks at what a device is to be created with, and fills limits_current. */
void limits_note_device(VkPhysicalDevice device, const VkDeviceCreateInfo *info);

/* The memory requirements as claimed. */
void limits_claim_requirements(VkMemoryRequirements *requirements);

#define FIND(function)                                                                                                 \
    if (!strcmp(name, #function))                                                                                      \
    return (PFN_vkVoidFunction)claim_##function

#endif
