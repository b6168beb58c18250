#include "buffer.h"

#include <string.h>

/* Memory that may only be allocated with a feature which we leave off (valid usage of vkAllocateMemory). */
static const VkMemoryPropertyFlags unusable = VK_MEMORY_PROPERTY_PROTECTED_BIT |
                                              VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD |
                                              VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD;

/* The first type that has all of `required` and all of `preferred`, else the first with all of `required`: the
 * specification orders types so that the first match is the best one (VkPhysicalDeviceMemoryProperties). */
static uint32_t find_memory_type(const VkPhysicalDeviceMemoryProperties *memory, uint32_t allowed,
                                 VkMemoryPropertyFlags required, VkMemoryPropertyFlags preferred) {
    for (int pass = 0; pass < 2; pass++) {
        VkMemoryPropertyFlags wanted = pass == 0 ? required | preferred : required;
        for (uint32_t i = 0; i < memory->memoryTypeCount; i++)
            if ((allowed >> i & 1) && (memory->memoryTypes[i].propertyFlags & (wanted | unusable)) == wanted)
                return i;
    }
    return UINT32_MAX;
}

static dvk_result allocate(dvk_context *context, dvk_buffer_use use, const char *what, dvk_buffer *buffer,
                           dvk_error *error) {
    VkMemoryRequirements needs;
    context->vk.vkGetBufferMemoryRequirements(context->device, buffer->handle, &needs);
    VkMemoryPropertyFlags required = 0, preferred = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    const bool device = use == DVK_BUFFER_STORAGE || use == DVK_BUFFER_WEIGHTS;
    if (!device) {
        required = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
        preferred =
            use == DVK_BUFFER_READBACK ? VK_MEMORY_PROPERTY_HOST_CACHED_BIT : VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    }
    uint32_t type = find_memory_type(&context->memory, needs.memoryTypeBits, required, preferred);
    if (type == UINT32_MAX)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "the device %s has no memory type for %s", context->info.name,
                        what);
    if (needs.size > context->max_allocation)
        return dvk_fail(error, DVK_ERROR_OUT_OF_DEVICE_MEMORY,
                        "%s needs %llu MiB in one piece and the device allocates at most %llu MiB: use a smaller "
                        "size or batch",
                        what, (unsigned long long)(needs.size >> 20),
                        (unsigned long long)(context->max_allocation >> 20));
    VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .allocationSize = needs.size,
        .memoryTypeIndex = type,
    };
    VkResult result = context->vk.vkAllocateMemory(context->device, &info, context->vulkan_allocator, &buffer->memory);
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY)
        return dvk_fail(error, DVK_ERROR_OUT_OF_DEVICE_MEMORY,
                        "the device %s has no %llu MiB left for %s: use a smaller size or batch, or fp16 weights",
                        context->info.name, (unsigned long long)((needs.size + 0xfffff) >> 20), what);
    dvk_result status = dvk_check_vulkan(result, "vkAllocateMemory", error);
    if (status != DVK_OK)
        return status;
    buffer->allocated = needs.size;
    buffer->coherent = (context->memory.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) != 0;
    status = dvk_check_vulkan(context->vk.vkBindBufferMemory(context->device, buffer->handle, buffer->memory, 0),
                              "vkBindBufferMemory", error);
    if (status == DVK_OK && !device)
        status = dvk_check_vulkan(
            context->vk.vkMapMemory(context->device, buffer->memory, 0, VK_WHOLE_SIZE, 0, &buffer->mapped),
            "vkMapMemory", error);
    if (status == DVK_OK && use == DVK_BUFFER_WEIGHTS &&
        (context->memory.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) &&
        context->vk.vkMapMemory(context->device, buffer->memory, 0, VK_WHOLE_SIZE, 0, &buffer->mapped) != VK_SUCCESS)
        buffer->mapped = NULL; /* no address space left for it: staging is the other way */
    return status;
}

dvk_result dvk_buffer_create(dvk_context *context, dvk_buffer_use use, VkDeviceSize size, const char *what,
                             dvk_buffer *buffer, dvk_error *error) {
    static const VkBufferUsageFlags usages[] = {
        [DVK_BUFFER_STORAGE] =
            VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
        [DVK_BUFFER_WEIGHTS] = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
        [DVK_BUFFER_UPLOAD] = VK_BUFFER_USAGE_TRANSFER_SRC_BIT,
        [DVK_BUFFER_READBACK] = VK_BUFFER_USAGE_TRANSFER_DST_BIT,
    };
    memset(buffer, 0, sizeof(*buffer));
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = size,
        .usage = usages[use],
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    dvk_result status =
        dvk_check_vulkan(context->vk.vkCreateBuffer(context->device, &info, context->vulkan_allocator, &buffer->handle),
                         "vkCreateBuffer", error);
    if (status == DVK_OK)
        status = allocate(context, use, what, buffer, error);
    if (status != DVK_OK) {
        dvk_buffer_destroy(context, buffer);
        return status;
    }
    buffer->size = size;
    return DVK_OK;
}

void dvk_buffer_destroy(dvk_context *context, dvk_buffer *buffer) {
    /* Freeing memory unmaps it (spec, vkFreeMemory). */
    context->vk.vkDestroyBuffer(context->device, buffer->handle, context->vulkan_allocator);
    context->vk.vkFreeMemory(context->device, buffer->memory, context->vulkan_allocator);
    memset(buffer, 0, sizeof(*buffer));
}

dvk_result dvk_buffer_unmap(dvk_context *context, dvk_buffer *buffer, dvk_error *error) {
    if (!buffer->mapped)
        return DVK_OK;
    dvk_result status = dvk_buffer_flush(context, buffer, error);
    context->vk.vkUnmapMemory(context->device, buffer->memory);
    buffer->mapped = NULL;
    return status;
}

dvk_result dvk_buffer_flush(dvk_context *context, const dvk_buffer *buffer, dvk_error *error) {
    if (buffer->coherent)
        return DVK_OK;
    VkMappedMemoryRange range = {
        .sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE, .memory = buffer->memory, .size = VK_WHOLE_SIZE};
    return dvk_check_vulkan(context->vk.vkFlushMappedMemoryRanges(context->device, 1, &range),
                            "vkFlushMappedMemoryRanges", error);
}

dvk_result dvk_buffer_invalidate(dvk_context *context, const dvk_buffer *buffer, dvk_error *error) {
    if (buffer->coherent)
        return DVK_OK;
    VkMappedMemoryRange range = {
        .sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE, .memory = buffer->memory, .size = VK_WHOLE_SIZE};
    return dvk_check_vulkan(context->vk.vkInvalidateMappedMemoryRanges(context->device, 1, &range),
                            "vkInvalidateMappedMemoryRanges", error);
}
