/* Every entry point of Vulkan that the library calls, for the shim and the stub driver. */
#ifndef ENTRY_POINTS_H_
#define ENTRY_POINTS_H_

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

/* What is created and must be destroyed. */
typedef enum object_kind {
    KIND_NONE,
    KIND_INSTANCE,
    KIND_DEVICE,
    KIND_MEMORY,
    KIND_BUFFER,
    KIND_FENCE,
    KIND_SHADER_MODULE,
    KIND_PIPELINE_CACHE,
    KIND_SET_LAYOUT,
    KIND_PIPELINE_LAYOUT,
    KIND_PIPELINE,
    KIND_DESCRIPTOR_POOL,
    KIND_COMMAND_POOL,
    KIND_COMMAND_BUFFER,
    KIND_QUERY_POOL,
    KIND_COUNT
} object_kind;

/* X(name, kind of object that a success makes, how many, parameters, arguments, codes). The codes are those that the
 * specification lists for the command (Vulkan 1.1, without those of extensions) and VK_ERROR_UNKNOWN, which any command
 * may return. */
#define OUT_OF_MEMORY VK_ERROR_OUT_OF_HOST_MEMORY, VK_ERROR_OUT_OF_DEVICE_MEMORY, VK_ERROR_UNKNOWN

#define GLOBAL_ENTRY_POINTS(X)                                                                                         \
    X(vkEnumerateInstanceVersion, KIND_NONE, 0, (uint32_t * version), (version), VK_ERROR_OUT_OF_HOST_MEMORY,          \
      VK_ERROR_UNKNOWN)                                                                                                \
    X(vkEnumerateInstanceLayerProperties, KIND_NONE, 0, (uint32_t * count, VkLayerProperties * layers),                \
      (count, layers), OUT_OF_MEMORY)                                                                                  \
    X(vkEnumerateInstanceExtensionProperties, KIND_NONE, 0,                                                            \
      (const char *layer, uint32_t *count, VkExtensionProperties *extensions), (layer, count, extensions),             \
      OUT_OF_MEMORY, VK_ERROR_LAYER_NOT_PRESENT)                                                                       \
    X(vkCreateInstance, KIND_INSTANCE, 1,                                                                              \
      (const VkInstanceCreateInfo *info, const VkAllocationCallbacks *callbacks, VkInstance *instance),                \
      (info, callbacks, instance), OUT_OF_MEMORY, VK_ERROR_INITIALIZATION_FAILED, VK_ERROR_LAYER_NOT_PRESENT,          \
      VK_ERROR_EXTENSION_NOT_PRESENT, VK_ERROR_INCOMPATIBLE_DRIVER)

#define INSTANCE_ENTRY_POINTS(X)                                                                                       \
    X(vkEnumeratePhysicalDevices, KIND_NONE, 0, (VkInstance instance, uint32_t * count, VkPhysicalDevice * devices),   \
      (instance, count, devices), OUT_OF_MEMORY, VK_ERROR_INITIALIZATION_FAILED)                                       \
    X(vkEnumerateDeviceExtensionProperties, KIND_NONE, 0,                                                              \
      (VkPhysicalDevice device, const char *layer, uint32_t *count, VkExtensionProperties *extensions),                \
      (device, layer, count, extensions), OUT_OF_MEMORY, VK_ERROR_LAYER_NOT_PRESENT)                                   \
    X(vkCreateDevice, KIND_DEVICE, 1,                                                                                  \
      (VkPhysicalDevice physical_device, const VkDeviceCreateInfo *info, const VkAllocationCallbacks *callbacks,       \
       VkDevice *device),                                                                                              \
      (physical_device, info, callbacks, device), OUT_OF_MEMORY, VK_ERROR_INITIALIZATION_FAILED,                       \
      VK_ERROR_EXTENSION_NOT_PRESENT, VK_ERROR_FEATURE_NOT_PRESENT, VK_ERROR_TOO_MANY_OBJECTS, VK_ERROR_DEVICE_LOST)

#define CREATE(X, name, kind, type, ...)                                                                               \
    X(vkCreate##name, kind, 1,                                                                                         \
      (VkDevice device, const Vk##name##CreateInfo *info, const VkAllocationCallbacks *callbacks, type *object),       \
      (device, info, callbacks, object), __VA_ARGS__)

#define DEVICE_ENTRY_POINTS(X)                                                                                         \
    CREATE(X, Buffer, KIND_BUFFER, VkBuffer, OUT_OF_MEMORY)                                                            \
    CREATE(X, Fence, KIND_FENCE, VkFence, OUT_OF_MEMORY)                                                               \
    CREATE(X, ShaderModule, KIND_SHADER_MODULE, VkShaderModule, OUT_OF_MEMORY)                                         \
    CREATE(X, PipelineCache, KIND_PIPELINE_CACHE, VkPipelineCache, OUT_OF_MEMORY, VK_ERROR_INITIALIZATION_FAILED)      \
    CREATE(X, DescriptorSetLayout, KIND_SET_LAYOUT, VkDescriptorSetLayout, OUT_OF_MEMORY)                              \
    CREATE(X, PipelineLayout, KIND_PIPELINE_LAYOUT, VkPipelineLayout, OUT_OF_MEMORY)                                   \
    CREATE(X, DescriptorPool, KIND_DESCRIPTOR_POOL, VkDescriptorPool, OUT_OF_MEMORY)                                   \
    CREATE(X, QueryPool, KIND_QUERY_POOL, VkQueryPool, OUT_OF_MEMORY)                                                  \
    CREATE(X, CommandPool, KIND_COMMAND_POOL, VkCommandPool, OUT_OF_MEMORY)                                            \
    X(vkCreateComputePipelines, KIND_PIPELINE, count,                                                                  \
      (VkDevice device, VkPipelineCache cache, uint32_t count, const VkComputePipelineCreateInfo *infos,               \
       const VkAllocationCallbacks *callbacks, VkPipeline *pipelines),                                                 \
      (device, cache, count, infos, callbacks, pipelines), OUT_OF_MEMORY)                                              \
    X(vkAllocateMemory, KIND_MEMORY, 1,                                                                                \
      (VkDevice device, const VkMemoryAllocateInfo *info, const VkAllocationCallbacks *callbacks,                      \
       VkDeviceMemory *memory),                                                                                        \
      (device, info, callbacks, memory), OUT_OF_MEMORY, VK_ERROR_TOO_MANY_OBJECTS)                                     \
    X(vkBindBufferMemory, KIND_NONE, 0,                                                                                \
      (VkDevice device, VkBuffer buffer, VkDeviceMemory memory, VkDeviceSize offset),                                  \
      (device, buffer, memory, offset), OUT_OF_MEMORY)                                                                 \
    X(vkMapMemory, KIND_NONE, 0,                                                                                       \
      (VkDevice device, VkDeviceMemory memory, VkDeviceSize offset, VkDeviceSize size, VkMemoryMapFlags flags,         \
       void **data),                                                                                                   \
      (device, memory, offset, size, flags, data), OUT_OF_MEMORY, VK_ERROR_MEMORY_MAP_FAILED)                          \
    X(vkFlushMappedMemoryRanges, KIND_NONE, 0, (VkDevice device, uint32_t count, const VkMappedMemoryRange *ranges),   \
      (device, count, ranges), OUT_OF_MEMORY)                                                                          \
    X(vkInvalidateMappedMemoryRanges, KIND_NONE, 0,                                                                    \
      (VkDevice device, uint32_t count, const VkMappedMemoryRange *ranges), (device, count, ranges), OUT_OF_MEMORY)    \
    X(vkAllocateDescriptorSets, KIND_NONE, 0,                                                                          \
      (VkDevice device, const VkDescriptorSetAllocateInfo *info, VkDescriptorSet *sets), (device, info, sets),         \
      OUT_OF_MEMORY, VK_ERROR_FRAGMENTED_POOL, VK_ERROR_OUT_OF_POOL_MEMORY)                                            \
    X(vkAllocateCommandBuffers, KIND_COMMAND_BUFFER, info->commandBufferCount,                                         \
      (VkDevice device, const VkCommandBufferAllocateInfo *info, VkCommandBuffer *buffers), (device, info, buffers),   \
      OUT_OF_MEMORY)                                                                                                   \
    X(vkBeginCommandBuffer, KIND_NONE, 0, (VkCommandBuffer buffer, const VkCommandBufferBeginInfo *info),              \
      (buffer, info), OUT_OF_MEMORY)                                                                                   \
    X(vkEndCommandBuffer, KIND_NONE, 0, (VkCommandBuffer buffer), (buffer), OUT_OF_MEMORY)                             \
    X(vkResetFences, KIND_NONE, 0, (VkDevice device, uint32_t count, const VkFence *fences), (device, count, fences),  \
      VK_ERROR_OUT_OF_DEVICE_MEMORY, VK_ERROR_UNKNOWN)                                                                 \
    X(vkQueueSubmit, KIND_NONE, 0, (VkQueue queue, uint32_t count, const VkSubmitInfo *infos, VkFence fence),          \
      (queue, count, infos, fence), OUT_OF_MEMORY, VK_ERROR_DEVICE_LOST)                                               \
    X(vkWaitForFences, KIND_NONE, 0,                                                                                   \
      (VkDevice device, uint32_t count, const VkFence *fences, VkBool32 all, uint64_t timeout),                        \
      (device, count, fences, all, timeout), OUT_OF_MEMORY, VK_ERROR_DEVICE_LOST)                                      \
    X(vkGetFenceStatus, KIND_NONE, 0, (VkDevice device, VkFence fence), (device, fence), OUT_OF_MEMORY,                \
      VK_ERROR_DEVICE_LOST)                                                                                            \
    X(vkQueueWaitIdle, KIND_NONE, 0, (VkQueue queue), (queue), OUT_OF_MEMORY, VK_ERROR_DEVICE_LOST)                    \
    X(vkGetQueryPoolResults, KIND_NONE, 0,                                                                             \
      (VkDevice device, VkQueryPool pool, uint32_t first, uint32_t count, size_t size, void *data,                     \
       VkDeviceSize stride, VkQueryResultFlags flags),                                                                 \
      (device, pool, first, count, size, data, stride, flags), OUT_OF_MEMORY, VK_ERROR_DEVICE_LOST)                    \
    X(vkGetPipelineCacheData, KIND_NONE, 0, (VkDevice device, VkPipelineCache cache, size_t * size, void *data),       \
      (device, cache, size, data), OUT_OF_MEMORY)

/* X(name, kind, parameters with `object` last but the callbacks, arguments) */
#define DESTROY(X, name, kind, type)                                                                                   \
    X(vkDestroy##name, kind, (VkDevice device, type object, const VkAllocationCallbacks *callbacks),                   \
      (device, object, callbacks))

#define DESTROYING_ENTRY_POINTS(X)                                                                                     \
    X(vkDestroyInstance, KIND_INSTANCE, (VkInstance object, const VkAllocationCallbacks *callbacks),                   \
      (object, callbacks))                                                                                             \
    X(vkDestroyDevice, KIND_DEVICE, (VkDevice object, const VkAllocationCallbacks *callbacks), (object, callbacks))    \
    X(vkFreeMemory, KIND_MEMORY, (VkDevice device, VkDeviceMemory object, const VkAllocationCallbacks *callbacks),     \
      (device, object, callbacks))                                                                                     \
    DESTROY(X, Buffer, KIND_BUFFER, VkBuffer)                                                                          \
    DESTROY(X, Fence, KIND_FENCE, VkFence)                                                                             \
    DESTROY(X, ShaderModule, KIND_SHADER_MODULE, VkShaderModule)                                                       \
    DESTROY(X, PipelineCache, KIND_PIPELINE_CACHE, VkPipelineCache)                                                    \
    DESTROY(X, DescriptorSetLayout, KIND_SET_LAYOUT, VkDescriptorSetLayout)                                            \
    DESTROY(X, PipelineLayout, KIND_PIPELINE_LAYOUT, VkPipelineLayout)                                                 \
    DESTROY(X, Pipeline, KIND_PIPELINE, VkPipeline)                                                                    \
    DESTROY(X, DescriptorPool, KIND_DESCRIPTOR_POOL, VkDescriptorPool)                                                 \
    DESTROY(X, QueryPool, KIND_QUERY_POOL, VkQueryPool)                                                                \
    DESTROY(X, CommandPool, KIND_COMMAND_POOL, VkCommandPool)

/* X(name): what cannot fail and makes nothing. */
#define PLAIN_ENTRY_POINTS(X)                                                                                          \
    X(vkGetPhysicalDeviceProperties2)                                                                                  \
    X(vkGetPhysicalDeviceFeatures2)                                                                                    \
    X(vkGetPhysicalDeviceMemoryProperties)                                                                             \
    X(vkGetPhysicalDeviceQueueFamilyProperties)                                                                        \
    X(vkGetDeviceProcAddr)                                                                                             \
    X(vkGetDeviceQueue)                                                                                                \
    X(vkGetBufferMemoryRequirements)                                                                                   \
    X(vkUpdateDescriptorSets)                                                                                          \
    X(vkFreeCommandBuffers)                                                                                            \
    X(vkCmdBindPipeline)                                                                                               \
    X(vkCmdBindDescriptorSets)                                                                                         \
    X(vkCmdPushConstants)                                                                                              \
    X(vkCmdResetQueryPool)                                                                                             \
    X(vkCmdWriteTimestamp)                                                                                             \
    X(vkCmdDispatch)                                                                                                   \
    X(vkCmdCopyBuffer)                                                                                                 \
    X(vkCmdPipelineBarrier)

/* Handles to pointers and back, on 32-bit machines as well, where most handles are integers. */
#define POINTER(handle) ((void *)(uintptr_t)(handle))
#define HANDLE(type, pointer) ((type)(uintptr_t)(pointer))

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* The stub driver's own vkGetInstanceProcAddr. */
PFN_vkVoidFunction stub_get_instance_proc_addr(VkInstance instance, const char *name);

#endif
