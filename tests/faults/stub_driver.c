/* A Vulkan driver that accepts everything and computes nothing: dispatches are dropped, and of what is recorded only
 * copies are carried out, at once, by vkQueueSubmit. It has no threads, no locks and no leaks of its own, so that
 * ThreadSanitizer and leak checkers see the library alone. Every handle is checked, and so is that what was allocated
 * with callbacks is freed with callbacks; misuse ends the process. */
#include "entry_points.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC = 0x57b0b1ec, LOADER_MAGIC = 0x01cdc0de, QUEUE_FAMILY = 0 };

typedef struct stub {
    uintptr_t loader; /* of dispatchable handles: the loader's, which finds its magic number in new ones */
    uint32_t magic;
    object_kind kind;
    PFN_vkFreeFunction free; /* NULL: without callbacks */
    void *user;
    /* memory: its bytes; a buffer: the memory that it is bound to; a command buffer: its copies */
    void *data;
    size_t size;
    uint32_t count;
    bool signalled;
    struct stub *next; /* a pool's command buffers */
} stub;

typedef struct copy {
    stub *source, *target;
    VkBufferCopy region;
} copy;

static stub the_physical_device = {.loader = LOADER_MAGIC, .magic = MAGIC};
static stub the_queue = {.loader = LOADER_MAGIC, .magic = MAGIC};

static stub *check(const void *handle, object_kind kind) {
    stub *found = (stub *)(uintptr_t)handle;
    if (!found || found->magic != MAGIC || found->kind != kind) {
        fprintf(stderr, "stub driver: a handle of kind %d is none\n", (int)kind);
        abort();
    }
    return found;
}

static stub *make(object_kind kind, const VkAllocationCallbacks *callbacks) {
    stub *made = callbacks ? callbacks->pfnAllocation(callbacks->pUserData, sizeof(*made), _Alignof(max_align_t),
                                                      VK_SYSTEM_ALLOCATION_SCOPE_OBJECT)
                           : malloc(sizeof(*made));
    if (made)
        *made = (stub){.loader = LOADER_MAGIC,
                       .magic = MAGIC,
                       .kind = kind,
                       .free = callbacks ? callbacks->pfnFree : NULL,
                       .user = callbacks ? callbacks->pUserData : NULL};
    return made;
}

static void destroy(const void *handle, object_kind kind, const VkAllocationCallbacks *callbacks) {
    if (!handle)
        return;
    stub *old = check(handle, kind);
    if (old->free != (callbacks ? callbacks->pfnFree : NULL) ||
        old->user != (callbacks ? callbacks->pUserData : NULL)) {
        fprintf(stderr, "stub driver: an object of kind %d is freed by other callbacks than it was made with\n", kind);
        abort();
    }
    while (kind == KIND_COMMAND_POOL && old->next) {
        stub *buffer = old->next;
        old->next = buffer->next;
        destroy(buffer, KIND_COMMAND_BUFFER, NULL);
    }
    free(old->data);
    memset(old, 0, sizeof(*old));
    if (callbacks)
        callbacks->pfnFree(callbacks->pUserData, old);
    else
        free(old);
}

/* ----------------------------------------------------------------------------------------------- instance */

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkEnumerateInstanceVersion(uint32_t *version) {
    *version = VK_API_VERSION_1_1;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkEnumerateInstanceLayerProperties(uint32_t *count,
                                                                              VkLayerProperties *layers) {
    (void)layers;
    *count = 0;
    return VK_SUCCESS;
}

/* One extension that nobody knows, so that the list is asked for. */
static VkResult list_extensions(uint32_t *count, VkExtensionProperties *extensions) {
    if (extensions && *count)
        extensions[0] = (VkExtensionProperties){.extensionName = "VK_STUB_extension", .specVersion = 1};
    *count = 1;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkEnumerateInstanceExtensionProperties(const char *layer, uint32_t *count,
                                                                                  VkExtensionProperties *extensions) {
    (void)layer;
    return list_extensions(count, extensions);
}

#define MAKE(kind, callbacks, type, target)                                                                            \
    do {                                                                                                               \
        stub *made_ = make(kind, callbacks);                                                                           \
        if (!made_)                                                                                                    \
            return VK_ERROR_OUT_OF_HOST_MEMORY;                                                                        \
        *(target) = HANDLE(type, made_);                                                                               \
    } while (0)

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkCreateInstance(const VkInstanceCreateInfo *info,
                                                            const VkAllocationCallbacks *callbacks,
                                                            VkInstance *instance) {
    (void)info;
    MAKE(KIND_INSTANCE, callbacks, VkInstance, instance);
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkEnumeratePhysicalDevices(VkInstance instance, uint32_t *count,
                                                                      VkPhysicalDevice *devices) {
    check(instance, KIND_INSTANCE);
    if (devices && *count)
        devices[0] = HANDLE(VkPhysicalDevice, &the_physical_device);
    *count = 1;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkEnumerateDeviceExtensionProperties(VkPhysicalDevice device,
                                                                                const char *layer, uint32_t *count,
                                                                                VkExtensionProperties *extensions) {
    (void)layer;
    check(device, KIND_NONE);
    return list_extensions(count, extensions);
}

/* What Vulkan 1.1 demands of every device, and no more (the specification's "Required Limits"). */
static VKAPI_ATTR void VKAPI_CALL stub_vkGetPhysicalDeviceProperties2(VkPhysicalDevice device,
                                                                      VkPhysicalDeviceProperties2 *properties) {
    check(device, KIND_NONE);
    VkPhysicalDeviceProperties *core = &properties->properties;
    *core = (VkPhysicalDeviceProperties){
        .apiVersion = VK_API_VERSION_1_1,
        .driverVersion = 1,
        .vendorID = 0x10000,
        .deviceType = VK_PHYSICAL_DEVICE_TYPE_OTHER,
        .deviceName = "stub",
        .limits =
            {
                .maxUniformBufferRange = 16384,
                .maxStorageBufferRange = 1u << 27,
                .maxPushConstantsSize = 128,
                .maxMemoryAllocationCount = 4096,
                .maxBoundDescriptorSets = 4,
                .maxPerStageDescriptorStorageBuffers = 4,
                .maxPerStageResources = 128,
                .maxDescriptorSetStorageBuffers = 24,
                .maxComputeSharedMemorySize = 16384,
                .maxComputeWorkGroupCount = {65535, 65535, 65535},
                .maxComputeWorkGroupInvocations = 128,
                .maxComputeWorkGroupSize = {128, 128, 64},
                .minMemoryMapAlignment = 64,
                .minStorageBufferOffsetAlignment = 256,
                .nonCoherentAtomSize = 256,
                .timestampPeriod = 1,
            },
    };
    for (VkBaseOutStructure *next = properties->pNext; next; next = next->pNext) {
        if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES)
            ((VkPhysicalDeviceMaintenance3Properties *)(void *)next)->maxMemoryAllocationSize = 1u << 30;
        if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES)
            ((VkPhysicalDeviceSubgroupProperties *)(void *)next)->subgroupSize = 1;
    }
}

static VKAPI_ATTR void VKAPI_CALL stub_vkGetPhysicalDeviceFeatures2(VkPhysicalDevice device,
                                                                    VkPhysicalDeviceFeatures2 *features) {
    check(device, KIND_NONE);
    memset(&features->features, 0, sizeof(features->features));
}

/* Memory that the host sees is not coherent, so that flushes are not left out. */
static VKAPI_ATTR void VKAPI_CALL stub_vkGetPhysicalDeviceMemoryProperties(VkPhysicalDevice device,
                                                                           VkPhysicalDeviceMemoryProperties *memory) {
    check(device, KIND_NONE);
    *memory = (VkPhysicalDeviceMemoryProperties){
        .memoryTypeCount = 2,
        .memoryTypes = {{VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0},
                        {VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, 0}},
        .memoryHeapCount = 1,
        .memoryHeaps = {{1u << 30, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT}},
    };
}

static VKAPI_ATTR void VKAPI_CALL stub_vkGetPhysicalDeviceQueueFamilyProperties(VkPhysicalDevice device,
                                                                                uint32_t *count,
                                                                                VkQueueFamilyProperties *families) {
    check(device, KIND_NONE);
    if (families && *count)
        families[0] = (VkQueueFamilyProperties){
            .queueFlags = VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT, .queueCount = 1, .timestampValidBits = 64};
    *count = 1;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkCreateDevice(VkPhysicalDevice physical_device,
                                                          const VkDeviceCreateInfo *info,
                                                          const VkAllocationCallbacks *callbacks, VkDevice *device) {
    (void)info;
    check(physical_device, KIND_NONE);
    MAKE(KIND_DEVICE, callbacks, VkDevice, device);
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL stub_vkGetDeviceQueue(VkDevice device, uint32_t family, uint32_t index,
                                                        VkQueue *queue) {
    (void)index;
    check(device, KIND_DEVICE);
    *queue = family == QUEUE_FAMILY ? HANDLE(VkQueue, &the_queue) : VK_NULL_HANDLE;
}

/* ----------------------------------------------------------------------------------- objects without content */

#define STUB_CREATE(name, object_kind_, type)                                                                          \
    static VKAPI_ATTR VkResult VKAPI_CALL stub_vkCreate##name(VkDevice device, const Vk##name##CreateInfo *info,       \
                                                              const VkAllocationCallbacks *callbacks, type *made) {    \
        (void)info;                                                                                                    \
        check(device, KIND_DEVICE);                                                                                    \
        MAKE(object_kind_, callbacks, type, made);                                                                     \
        return VK_SUCCESS;                                                                                             \
    }
STUB_CREATE(ShaderModule, KIND_SHADER_MODULE, VkShaderModule)
STUB_CREATE(PipelineCache, KIND_PIPELINE_CACHE, VkPipelineCache)
STUB_CREATE(DescriptorSetLayout, KIND_SET_LAYOUT, VkDescriptorSetLayout)
STUB_CREATE(PipelineLayout, KIND_PIPELINE_LAYOUT, VkPipelineLayout)
STUB_CREATE(DescriptorPool, KIND_DESCRIPTOR_POOL, VkDescriptorPool)
STUB_CREATE(QueryPool, KIND_QUERY_POOL, VkQueryPool)
STUB_CREATE(CommandPool, KIND_COMMAND_POOL, VkCommandPool)

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkCreateComputePipelines(VkDevice device, VkPipelineCache cache,
                                                                    uint32_t count,
                                                                    const VkComputePipelineCreateInfo *infos,
                                                                    const VkAllocationCallbacks *callbacks,
                                                                    VkPipeline *pipelines) {
    check(device, KIND_DEVICE);
    if (cache)
        check(POINTER(cache), KIND_PIPELINE_CACHE);
    for (uint32_t i = 0; i < count; i++) {
        check(POINTER(infos[i].layout), KIND_PIPELINE_LAYOUT);
        check(POINTER(infos[i].stage.module), KIND_SHADER_MODULE);
        MAKE(KIND_PIPELINE, callbacks, VkPipeline, &pipelines[i]);
    }
    return VK_SUCCESS;
}

/* Never empty, so that it is worth a file. */
static VKAPI_ATTR VkResult VKAPI_CALL stub_vkGetPipelineCacheData(VkDevice device, VkPipelineCache cache, size_t *size,
                                                                  void *data) {
    static const char blob[] = "a stub's pipelines";
    check(device, KIND_DEVICE);
    check(POINTER(cache), KIND_PIPELINE_CACHE);
    if (data && *size < sizeof(blob))
        return VK_INCOMPLETE;
    if (data)
        memcpy(data, blob, sizeof(blob));
    *size = sizeof(blob);
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkAllocateDescriptorSets(VkDevice device,
                                                                    const VkDescriptorSetAllocateInfo *info,
                                                                    VkDescriptorSet *sets) {
    check(device, KIND_DEVICE);
    check(POINTER(info->descriptorPool), KIND_DESCRIPTOR_POOL);
    for (uint32_t i = 0; i < info->descriptorSetCount; i++) {
        check(POINTER(info->pSetLayouts[i]), KIND_SET_LAYOUT);
        sets[i] = HANDLE(VkDescriptorSet, info->descriptorPool); /* any will do */
    }
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL stub_vkUpdateDescriptorSets(VkDevice device, uint32_t count,
                                                              const VkWriteDescriptorSet *writes, uint32_t copies,
                                                              const VkCopyDescriptorSet *copied) {
    (void)copies;
    (void)copied;
    check(device, KIND_DEVICE);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < writes[i].descriptorCount; j++)
            check(POINTER(writes[i].pBufferInfo[j].buffer), KIND_BUFFER);
}

/* ---------------------------------------------------------------------------------------- memory and buffers */

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkAllocateMemory(VkDevice device, const VkMemoryAllocateInfo *info,
                                                            const VkAllocationCallbacks *callbacks,
                                                            VkDeviceMemory *memory) {
    check(device, KIND_DEVICE);
    void *bytes = calloc(1, (size_t)info->allocationSize);
    stub *made = bytes ? make(KIND_MEMORY, callbacks) : NULL;
    if (!made) {
        free(bytes);
        return bytes ? VK_ERROR_OUT_OF_HOST_MEMORY : VK_ERROR_OUT_OF_DEVICE_MEMORY;
    }
    made->data = bytes;
    made->size = (size_t)info->allocationSize;
    *memory = HANDLE(VkDeviceMemory, made);
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkCreateBuffer(VkDevice device, const VkBufferCreateInfo *info,
                                                          const VkAllocationCallbacks *callbacks, VkBuffer *buffer) {
    check(device, KIND_DEVICE);
    stub *made = make(KIND_BUFFER, callbacks);
    if (!made)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    made->size = (size_t)info->size;
    *buffer = HANDLE(VkBuffer, made);
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL stub_vkGetBufferMemoryRequirements(VkDevice device, VkBuffer buffer,
                                                                     VkMemoryRequirements *needs) {
    check(device, KIND_DEVICE);
    const VkDeviceSize size = check(POINTER(buffer), KIND_BUFFER)->size;
    *needs = (VkMemoryRequirements){.size = (size + 255) / 256 * 256, .alignment = 256, .memoryTypeBits = 3};
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkBindBufferMemory(VkDevice device, VkBuffer buffer, VkDeviceMemory memory,
                                                              VkDeviceSize offset) {
    check(device, KIND_DEVICE);
    stub *bound = check(POINTER(buffer), KIND_BUFFER);
    bound->next = check(POINTER(memory), KIND_MEMORY);
    bound->count = (uint32_t)offset;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkMapMemory(VkDevice device, VkDeviceMemory memory, VkDeviceSize offset,
                                                       VkDeviceSize size, VkMemoryMapFlags flags, void **data) {
    (void)size;
    (void)flags;
    check(device, KIND_DEVICE);
    *data = (char *)check(POINTER(memory), KIND_MEMORY)->data + offset;
    return VK_SUCCESS;
}

static VkResult check_ranges(VkDevice device, uint32_t count, const VkMappedMemoryRange *ranges) {
    check(device, KIND_DEVICE);
    for (uint32_t i = 0; i < count; i++)
        check(POINTER(ranges[i].memory), KIND_MEMORY);
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkFlushMappedMemoryRanges(VkDevice device, uint32_t count,
                                                                     const VkMappedMemoryRange *ranges) {
    return check_ranges(device, count, ranges);
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkInvalidateMappedMemoryRanges(VkDevice device, uint32_t count,
                                                                          const VkMappedMemoryRange *ranges) {
    return check_ranges(device, count, ranges);
}

/* ------------------------------------------------------------------------------------------ command buffers */

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkAllocateCommandBuffers(VkDevice device,
                                                                    const VkCommandBufferAllocateInfo *info,
                                                                    VkCommandBuffer *buffers) {
    check(device, KIND_DEVICE);
    stub *pool = check(POINTER(info->commandPool), KIND_COMMAND_POOL);
    for (uint32_t i = 0; i < info->commandBufferCount; i++) {
        stub *made = make(KIND_COMMAND_BUFFER, NULL);
        if (!made)
            return VK_ERROR_OUT_OF_HOST_MEMORY;
        made->next = pool->next;
        pool->next = made;
        buffers[i] = HANDLE(VkCommandBuffer, made);
    }
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL stub_vkFreeCommandBuffers(VkDevice device, VkCommandPool pool, uint32_t count,
                                                            const VkCommandBuffer *buffers) {
    check(device, KIND_DEVICE);
    for (uint32_t i = 0; i < count; i++) {
        if (!buffers[i])
            continue;
        stub **link = &check(POINTER(pool), KIND_COMMAND_POOL)->next;
        while (*link && *link != (stub *)POINTER(buffers[i]))
            link = &(*link)->next;
        stub *old = check(*link, KIND_COMMAND_BUFFER);
        *link = old->next;
        destroy(old, KIND_COMMAND_BUFFER, NULL);
    }
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkBeginCommandBuffer(VkCommandBuffer buffer,
                                                                const VkCommandBufferBeginInfo *info) {
    (void)info;
    check(buffer, KIND_COMMAND_BUFFER)->count = 0;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkEndCommandBuffer(VkCommandBuffer buffer) {
    check(buffer, KIND_COMMAND_BUFFER);
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL stub_vkCmdCopyBuffer(VkCommandBuffer buffer, VkBuffer source, VkBuffer target,
                                                       uint32_t count, const VkBufferCopy *regions) {
    stub *commands = check(buffer, KIND_COMMAND_BUFFER);
    for (uint32_t i = 0; i < count; i++) {
        copy *copies = realloc(commands->data, (commands->count + 1) * sizeof(copy));
        if (!copies)
            abort();
        commands->data = copies;
        copies[commands->count++] =
            (copy){check(POINTER(source), KIND_BUFFER), check(POINTER(target), KIND_BUFFER), regions[i]};
    }
}

static VKAPI_ATTR void VKAPI_CALL stub_vkCmdBindPipeline(VkCommandBuffer buffer, VkPipelineBindPoint point,
                                                         VkPipeline pipeline) {
    (void)point;
    check(buffer, KIND_COMMAND_BUFFER);
    check(POINTER(pipeline), KIND_PIPELINE);
}

static VKAPI_ATTR void VKAPI_CALL stub_vkCmdBindDescriptorSets(VkCommandBuffer buffer, VkPipelineBindPoint point,
                                                               VkPipelineLayout layout, uint32_t first, uint32_t count,
                                                               const VkDescriptorSet *sets, uint32_t offset_count,
                                                               const uint32_t *offsets) {
    (void)point;
    (void)first;
    (void)offset_count;
    (void)offsets;
    check(buffer, KIND_COMMAND_BUFFER);
    check(POINTER(layout), KIND_PIPELINE_LAYOUT);
    for (uint32_t i = 0; i < count; i++)
        check(POINTER(sets[i]), KIND_DESCRIPTOR_POOL);
}

static VKAPI_ATTR void VKAPI_CALL stub_vkCmdPushConstants(VkCommandBuffer buffer, VkPipelineLayout layout,
                                                          VkShaderStageFlags stages, uint32_t offset, uint32_t size,
                                                          const void *values) {
    (void)stages;
    (void)offset;
    (void)size;
    (void)values;
    check(buffer, KIND_COMMAND_BUFFER);
    check(POINTER(layout), KIND_PIPELINE_LAYOUT);
}

static VKAPI_ATTR void VKAPI_CALL stub_vkCmdDispatch(VkCommandBuffer buffer, uint32_t x, uint32_t y, uint32_t z) {
    (void)x;
    (void)y;
    (void)z;
    check(buffer, KIND_COMMAND_BUFFER);
}

static VKAPI_ATTR void VKAPI_CALL stub_vkCmdPipelineBarrier(VkCommandBuffer buffer, VkPipelineStageFlags before,
                                                            VkPipelineStageFlags after, VkDependencyFlags flags,
                                                            uint32_t memory_count, const VkMemoryBarrier *memory,
                                                            uint32_t buffer_count, const VkBufferMemoryBarrier *buffers,
                                                            uint32_t image_count, const VkImageMemoryBarrier *images) {
    (void)before;
    (void)after;
    (void)flags;
    (void)memory_count;
    (void)memory;
    (void)buffer_count;
    (void)buffers;
    (void)image_count;
    (void)images;
    check(buffer, KIND_COMMAND_BUFFER);
}

/* -------------------------------------------------------------------------------------------- submissions */

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkCreateFence(VkDevice device, const VkFenceCreateInfo *info,
                                                         const VkAllocationCallbacks *callbacks, VkFence *fence) {
    check(device, KIND_DEVICE);
    stub *made = make(KIND_FENCE, callbacks);
    if (!made)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    made->signalled = (info->flags & VK_FENCE_CREATE_SIGNALED_BIT) != 0;
    *fence = HANDLE(VkFence, made);
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkResetFences(VkDevice device, uint32_t count, const VkFence *fences) {
    check(device, KIND_DEVICE);
    for (uint32_t i = 0; i < count; i++)
        check(POINTER(fences[i]), KIND_FENCE)->signalled = false;
    return VK_SUCCESS;
}

static uint8_t *bytes_of(const stub *buffer, VkDeviceSize offset, VkDeviceSize size) {
    const stub *memory = check(buffer->next, KIND_MEMORY);
    if (offset + size > buffer->size || buffer->count + offset + size > memory->size) {
        fprintf(stderr, "stub driver: a copy leaves its buffer\n");
        abort();
    }
    return (uint8_t *)memory->data + buffer->count + offset;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkQueueSubmit(VkQueue queue, uint32_t count, const VkSubmitInfo *infos,
                                                         VkFence fence) {
    check(queue, KIND_NONE);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < infos[i].commandBufferCount; j++) {
            const stub *commands = check(infos[i].pCommandBuffers[j], KIND_COMMAND_BUFFER);
            const copy *copies = commands->data;
            for (uint32_t k = 0; k < commands->count; k++) {
                const VkBufferCopy *region = &copies[k].region;
                memcpy(bytes_of(copies[k].target, region->dstOffset, region->size),
                       bytes_of(copies[k].source, region->srcOffset, region->size), (size_t)region->size);
            }
        }
    if (fence)
        check(POINTER(fence), KIND_FENCE)->signalled = true;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkGetFenceStatus(VkDevice device, VkFence fence) {
    check(device, KIND_DEVICE);
    return check(POINTER(fence), KIND_FENCE)->signalled ? VK_SUCCESS : VK_NOT_READY;
}

/* What would never be signalled is waited for in vain, whatever the timeout: a test must not hang. */
static VKAPI_ATTR VkResult VKAPI_CALL stub_vkWaitForFences(VkDevice device, uint32_t count, const VkFence *fences,
                                                           VkBool32 all, uint64_t timeout) {
    (void)all;
    (void)timeout;
    check(device, KIND_DEVICE);
    for (uint32_t i = 0; i < count; i++)
        if (!check(POINTER(fences[i]), KIND_FENCE)->signalled)
            return VK_TIMEOUT;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkQueueWaitIdle(VkQueue queue) {
    check(queue, KIND_NONE);
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL stub_vkCmdResetQueryPool(VkCommandBuffer buffer, VkQueryPool pool, uint32_t first,
                                                           uint32_t count) {
    (void)first;
    (void)count;
    check(buffer, KIND_COMMAND_BUFFER);
    check(POINTER(pool), KIND_QUERY_POOL);
}

static VKAPI_ATTR void VKAPI_CALL stub_vkCmdWriteTimestamp(VkCommandBuffer buffer, VkPipelineStageFlagBits stage,
                                                           VkQueryPool pool, uint32_t query) {
    (void)stage;
    (void)query;
    check(buffer, KIND_COMMAND_BUFFER);
    check(POINTER(pool), KIND_QUERY_POOL);
}

/* A microsecond passes from query to query. */
static VKAPI_ATTR VkResult VKAPI_CALL stub_vkGetQueryPoolResults(VkDevice device, VkQueryPool pool, uint32_t first,
                                                                 uint32_t count, size_t size, void *data,
                                                                 VkDeviceSize stride, VkQueryResultFlags flags) {
    check(device, KIND_DEVICE);
    check(POINTER(pool), KIND_QUERY_POOL);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t time = 1000ull * (first + i + 1);
        const size_t bytes = flags & VK_QUERY_RESULT_64_BIT ? 8 : 4;
        if (i * stride + bytes <= size)
            memcpy((uint8_t *)data + i * stride, &time, bytes); /* little-endian machines */
    }
    return VK_SUCCESS;
}

/* ------------------------------------------------------------------- under a loader: what it and layers ask for */

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkEnumerateDeviceLayerProperties(VkPhysicalDevice device, uint32_t *count,
                                                                            VkLayerProperties *layers) {
    check(device, KIND_NONE);
    return stub_vkEnumerateInstanceLayerProperties(count, layers);
}

static VKAPI_ATTR void VKAPI_CALL stub_vkGetPhysicalDeviceProperties(VkPhysicalDevice device,
                                                                     VkPhysicalDeviceProperties *properties) {
    VkPhysicalDeviceProperties2 full = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    stub_vkGetPhysicalDeviceProperties2(device, &full);
    *properties = full.properties;
}

static VKAPI_ATTR void VKAPI_CALL stub_vkGetPhysicalDeviceFeatures(VkPhysicalDevice device,
                                                                   VkPhysicalDeviceFeatures *features) {
    check(device, KIND_NONE);
    memset(features, 0, sizeof(*features));
}

static VKAPI_ATTR void VKAPI_CALL
stub_vkGetPhysicalDeviceMemoryProperties2(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties2 *properties) {
    stub_vkGetPhysicalDeviceMemoryProperties(device, &properties->memoryProperties);
}

static VKAPI_ATTR void VKAPI_CALL stub_vkGetPhysicalDeviceQueueFamilyProperties2(VkPhysicalDevice device,
                                                                                 uint32_t *count,
                                                                                 VkQueueFamilyProperties2 *families) {
    stub_vkGetPhysicalDeviceQueueFamilyProperties(device, count, families ? &families->queueFamilyProperties : NULL);
}

static VKAPI_ATTR void VKAPI_CALL stub_vkGetPhysicalDeviceFormatProperties(VkPhysicalDevice device, VkFormat format,
                                                                           VkFormatProperties *properties) {
    (void)format;
    check(device, KIND_NONE);
    memset(properties, 0, sizeof(*properties));
}

static VKAPI_ATTR VkResult VKAPI_CALL stub_vkGetPhysicalDeviceImageFormatProperties(
    VkPhysicalDevice device, VkFormat format, VkImageType type, VkImageTiling tiling, VkImageUsageFlags usage,
    VkImageCreateFlags flags, VkImageFormatProperties *properties) {
    (void)format;
    (void)type;
    (void)tiling;
    (void)usage;
    (void)flags;
    check(device, KIND_NONE);
    memset(properties, 0, sizeof(*properties));
    return VK_ERROR_FORMAT_NOT_SUPPORTED;
}

static VKAPI_ATTR void VKAPI_CALL stub_vkGetPhysicalDeviceSparseImageFormatProperties(
    VkPhysicalDevice device, VkFormat format, VkImageType type, VkSampleCountFlagBits samples, VkImageUsageFlags usage,
    VkImageTiling tiling, uint32_t *count, VkSparseImageFormatProperties *properties) {
    (void)format;
    (void)type;
    (void)samples;
    (void)usage;
    (void)tiling;
    (void)properties;
    check(device, KIND_NONE);
    *count = 0;
}

#define LOADER_ENTRY_POINTS(X)                                                                                         \
    X(vkEnumerateDeviceLayerProperties)                                                                                \
    X(vkGetPhysicalDeviceProperties)                                                                                   \
    X(vkGetPhysicalDeviceFeatures)                                                                                     \
    X(vkGetPhysicalDeviceMemoryProperties2)                                                                            \
    X(vkGetPhysicalDeviceQueueFamilyProperties2)                                                                       \
    X(vkGetPhysicalDeviceFormatProperties)                                                                             \
    X(vkGetPhysicalDeviceImageFormatProperties)                                                                        \
    X(vkGetPhysicalDeviceSparseImageFormatProperties)

/* ------------------------------------------------------------------------------------------------ tables */

static void ignore(const void *first, ...) {
    (void)first;
}

#define STUB_DESTROY(name, kind, parameters, arguments)                                                                \
    static VKAPI_ATTR void VKAPI_CALL stub_##name parameters {                                                         \
        ignore arguments;                                                                                              \
        destroy(POINTER(object), kind, callbacks);                                                                     \
    }
DESTROYING_ENTRY_POINTS(STUB_DESTROY)

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL stub_vkGetDeviceProcAddr(VkDevice device, const char *name) {
    check(device, KIND_DEVICE);
    return stub_get_instance_proc_addr(NULL, name);
}

PFN_vkVoidFunction stub_get_instance_proc_addr(VkInstance instance, const char *name) {
    (void)instance;
    static const struct {
        const char *name;
        PFN_vkVoidFunction function;
    } table[] = {
#define ENTRY(name) {#name, (PFN_vkVoidFunction)stub_##name},
#define FALLIBLE_ENTRY(name, ...) ENTRY(name)
        GLOBAL_ENTRY_POINTS(FALLIBLE_ENTRY) INSTANCE_ENTRY_POINTS(FALLIBLE_ENTRY) DEVICE_ENTRY_POINTS(FALLIBLE_ENTRY)
            DESTROYING_ENTRY_POINTS(FALLIBLE_ENTRY) PLAIN_ENTRY_POINTS(ENTRY) LOADER_ENTRY_POINTS(ENTRY)};
    for (size_t i = 0; i < LENGTH(table); i++)
        if (!strcmp(name, table[i].name))
            return table[i].function;
    return NULL;
}

/* The loader's interface to drivers (its docs/LoaderDriverInterface.md), version 5. */

#define EXPORT __attribute__((visibility("default")))

EXPORT VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vk_icdGetInstanceProcAddr(VkInstance instance, const char *name);
EXPORT VKAPI_ATTR VkResult VKAPI_CALL vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version);

EXPORT VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vk_icdGetInstanceProcAddr(VkInstance instance, const char *name) {
    if (!strcmp(name, "vkGetInstanceProcAddr"))
        return (PFN_vkVoidFunction)vk_icdGetInstanceProcAddr;
    return stub_get_instance_proc_addr(instance, name);
}

EXPORT VKAPI_ATTR VkResult VKAPI_CALL vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
    if (*version > 5)
        *version = 5;
    return VK_SUCCESS;
}
