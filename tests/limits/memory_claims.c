#include "layer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { STALE = 0xa5, PAGE = 4096 };

/* Memory that is not coherent is played with two copies: what the host sees, and what it saw when the two were last
 * made equal. A flush writes the atoms back that the host changed since, as a cache does with its dirty lines, and an
 * invalidation reads all of them. Before that the host sees nothing of the device's. */
typedef struct memory {
    VkDeviceSize size;
    uint32_t type; /* as claimed */
    char *real;    /* mapped */
    char *seen, *clean;
} memory;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static VkDeviceSize heap_use[VK_MAX_MEMORY_HEAPS];
static uint64_t allocation_count;

static bool has_own_types(void) {
    return limits_claimed.memory.memoryTypeCount != 0;
}

static VKAPI_ATTR void VKAPI_CALL claim_vkGetPhysicalDeviceMemoryProperties(VkPhysicalDevice device,
                                                                            VkPhysicalDeviceMemoryProperties *told) {
    if (has_own_types())
        *told = limits_claimed.memory;
    else
        limits_next.vkGetPhysicalDeviceMemoryProperties(device, told);
}

/* All claimed types are this one: the only one of a software driver, which can do everything. */
enum { REAL_TYPE = 0 };

void limits_claim_requirements(VkMemoryRequirements *requirements) {
    if (limits_claimed.alignment > requirements->alignment)
        requirements->alignment = limits_claimed.alignment;
    if (!has_own_types())
        return;
    if (!(requirements->memoryTypeBits & 1u << REAL_TYPE))
        limits_broken("the driver's first memory type cannot stand for the others");
    requirements->memoryTypeBits = limits_claimed.buffer_types;
}

static VKAPI_ATTR void VKAPI_CALL claim_vkGetBufferMemoryRequirements(VkDevice device, VkBuffer buffer,
                                                                      VkMemoryRequirements *requirements) {
    limits_next.vkGetBufferMemoryRequirements(device, buffer, requirements);
    limits_claim_requirements(requirements);
}

static VKAPI_ATTR void VKAPI_CALL claim_vkGetImageMemoryRequirements(VkDevice device, VkImage image,
                                                                     VkMemoryRequirements *requirements) {
    limits_next.vkGetImageMemoryRequirements(device, image, requirements);
    limits_claim_requirements(requirements);
}

static VkResult reserve(uint32_t type, VkDeviceSize size) {
    const VkMemoryType *claimed = &limits_claimed.memory.memoryTypes[type];
    const VkMemoryPropertyFlags unusable = VK_MEMORY_PROPERTY_PROTECTED_BIT |
                                           VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD |
                                           VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD;
    VkResult result = VK_SUCCESS;
    if (has_own_types() && type >= limits_claimed.memory.memoryTypeCount)
        limits_broken("memory of type %u is allocated", type);
    if (has_own_types() && (claimed->propertyFlags & unusable))
        limits_broken("memory of type %u is allocated, whose flags 0x%x need a feature that is off", type,
                      claimed->propertyFlags);
    if (limits_claimed.allocation && size > limits_claimed.allocation << 20)
        limits_broken("%llu bytes are allocated in one piece", (unsigned long long)size);
    pthread_mutex_lock(&lock);
    VkDeviceSize *use = &heap_use[has_own_types() ? claimed->heapIndex : 0];
    if (limits_claimed.allocations && allocation_count >= limits_claimed.allocations)
        result = VK_ERROR_TOO_MANY_OBJECTS;
    else if (has_own_types() && *use + size > limits_claimed.memory.memoryHeaps[claimed->heapIndex].size)
        result = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    if (result == VK_SUCCESS) {
        allocation_count++;
        *use += size;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static void give_back(uint32_t type, VkDeviceSize size) {
    pthread_mutex_lock(&lock);
    allocation_count--;
    heap_use[has_own_types() ? limits_claimed.memory.memoryTypes[type].heapIndex : 0] -= size;
    pthread_mutex_unlock(&lock);
}

static VKAPI_ATTR VkResult VKAPI_CALL claim_vkAllocateMemory(VkDevice device, const VkMemoryAllocateInfo *info,
                                                             const VkAllocationCallbacks *callbacks,
                                                             VkDeviceMemory *made) {
    VkMemoryAllocateInfo real = *info;
    VkResult result = reserve(info->memoryTypeIndex, info->allocationSize);
    if (result != VK_SUCCESS)
        return result;
    if (has_own_types())
        real.memoryTypeIndex = REAL_TYPE;
    result = limits_next.vkAllocateMemory(device, &real, callbacks, made);
    if (result != VK_SUCCESS) {
        give_back(info->memoryTypeIndex, info->allocationSize);
        return result;
    }
    memory *new = limits_remember(LIMITS_MEMORY, LIMITS_KEY(*made), sizeof(*new));
    new->size = info->allocationSize;
    new->type = info->memoryTypeIndex;
    return VK_SUCCESS;
}

static bool is_coherent(const memory *what) {
    return !has_own_types() ||
           (limits_claimed.memory.memoryTypes[what->type].propertyFlags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT);
}

static void unmap(memory *what) {
    free(what->seen);
    free(what->clean);
    what->seen = what->clean = what->real = NULL;
}

static VKAPI_ATTR void VKAPI_CALL claim_vkFreeMemory(VkDevice device, VkDeviceMemory handle,
                                                     const VkAllocationCallbacks *callbacks) {
    if (handle) {
        memory *old = limits_recall(LIMITS_MEMORY, LIMITS_KEY(handle));
        unmap(old);
        give_back(old->type, old->size);
        limits_forget(LIMITS_MEMORY, LIMITS_KEY(handle));
    }
    limits_next.vkFreeMemory(device, handle, callbacks);
}

static VKAPI_ATTR VkResult VKAPI_CALL claim_vkMapMemory(VkDevice device, VkDeviceMemory handle, VkDeviceSize offset,
                                                        VkDeviceSize size, VkMemoryMapFlags flags, void **data) {
    memory *what = limits_recall(LIMITS_MEMORY, LIMITS_KEY(handle));
    if (has_own_types() &&
        !(limits_claimed.memory.memoryTypes[what->type].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT))
        limits_broken("memory of type %u is mapped, which the host cannot see", what->type);
    if (is_coherent(what))
        return limits_next.vkMapMemory(device, handle, offset, size, flags, data);
    void *real;
    VkResult result = limits_next.vkMapMemory(device, handle, 0, VK_WHOLE_SIZE, flags, &real);
    if (result != VK_SUCCESS)
        return result;
    const size_t whole = (what->size + PAGE - 1) / PAGE * PAGE;
    what->real = real;
    what->seen = aligned_alloc(PAGE, whole);
    what->clean = malloc(whole);
    if (!what->seen || !what->clean)
        abort();
    memset(what->seen, STALE, whole);
    memset(what->clean, STALE, whole);
    *data = what->seen + offset;
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL claim_vkUnmapMemory(VkDevice device, VkDeviceMemory handle) {
    unmap(limits_recall(LIMITS_MEMORY, LIMITS_KEY(handle)));
    limits_next.vkUnmapMemory(device, handle);
}

/* The range's memory where there are copies of it, else NULL; its end in *end. */
static memory *look_up(const VkMappedMemoryRange *range, VkDeviceSize *end) {
    memory *what = limits_recall(LIMITS_MEMORY, LIMITS_KEY(range->memory));
    const VkDeviceSize atom = limits_current.properties.limits.nonCoherentAtomSize;
    *end = range->size == VK_WHOLE_SIZE ? what->size : range->offset + range->size;
    if (range->offset % atom || *end > what->size || (*end % atom && *end != what->size))
        limits_broken("bytes %llu to %llu of mapped memory are flushed or invalidated; its atoms have %llu",
                      (unsigned long long)range->offset, (unsigned long long)*end, (unsigned long long)atom);
    return what->seen ? what : NULL;
}

static VKAPI_ATTR VkResult VKAPI_CALL claim_vkFlushMappedMemoryRanges(VkDevice device, uint32_t count,
                                                                      const VkMappedMemoryRange *ranges) {
    const VkDeviceSize atom = limits_current.properties.limits.nonCoherentAtomSize;
    for (uint32_t i = 0; i < count; i++) {
        VkDeviceSize end;
        memory *what = look_up(&ranges[i], &end);
        for (VkDeviceSize at = ranges[i].offset; what && at < end; at += atom) {
            const size_t bytes = (size_t)(end - at < atom ? end - at : atom);
            if (memcmp(what->seen + at, what->clean + at, bytes) == 0)
                continue;
            memcpy(what->real + at, what->seen + at, bytes);
            memcpy(what->clean + at, what->seen + at, bytes);
        }
    }
    return has_own_types() ? VK_SUCCESS : limits_next.vkFlushMappedMemoryRanges(device, count, ranges);
}

static VKAPI_ATTR VkResult VKAPI_CALL claim_vkInvalidateMappedMemoryRanges(VkDevice device, uint32_t count,
                                                                           const VkMappedMemoryRange *ranges) {
    for (uint32_t i = 0; i < count; i++) {
        VkDeviceSize end;
        memory *what = look_up(&ranges[i], &end);
        if (!what)
            continue;
        memcpy(what->seen + ranges[i].offset, what->real + ranges[i].offset, end - ranges[i].offset);
        memcpy(what->clean + ranges[i].offset, what->real + ranges[i].offset, end - ranges[i].offset);
    }
    return has_own_types() ? VK_SUCCESS : limits_next.vkInvalidateMappedMemoryRanges(device, count, ranges);
}

static VKAPI_ATTR VkResult VKAPI_CALL claim_vkBindBufferMemory(VkDevice device, VkBuffer buffer, VkDeviceMemory handle,
                                                               VkDeviceSize offset) {
    const memory *what = limits_recall(LIMITS_MEMORY, LIMITS_KEY(handle));
    VkMemoryRequirements needs;
    claim_vkGetBufferMemoryRequirements(device, buffer, &needs);
    if (!(needs.memoryTypeBits >> what->type & 1))
        limits_broken("a buffer is bound to memory of type %u; it may have those of 0x%x", what->type,
                      needs.memoryTypeBits);
    if (offset % needs.alignment || offset + needs.size > what->size)
        limits_broken("a buffer of %llu bytes is bound at %llu of %llu; its alignment is %llu",
                      (unsigned long long)needs.size, (unsigned long long)offset, (unsigned long long)what->size,
                      (unsigned long long)needs.alignment);
    return limits_next.vkBindBufferMemory(device, buffer, handle, offset);
}

PFN_vkVoidFunction limits_find_memory_claim(const char *name) {
    FIND(vkGetPhysicalDeviceMemoryProperties);
    FIND(vkGetBufferMemoryRequirements);
    FIND(vkGetImageMemoryRequirements);
    FIND(vkAllocateMemory);
    FIND(vkFreeMemory);
    FIND(vkMapMemory);
    FIND(vkUnmapMemory);
    FIND(vkFlushMappedMemoryRanges);
    FIND(vkInvalidateMappedMemoryRanges);
    FIND(vkBindBufferMemory);
    return NULL;
}
