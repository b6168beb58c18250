#include "pictures.h"

#include <string.h>

static VkDeviceMemory allocate(test_host *host, VkMemoryRequirements needs, VkMemoryPropertyFlags properties) {
    VkPhysicalDeviceMemoryProperties memory;
    vkGetPhysicalDeviceMemoryProperties(host->physical_device, &memory);
    for (uint32_t i = 0; i < memory.memoryTypeCount; i++)
        if ((needs.memoryTypeBits >> i & 1) && (memory.memoryTypes[i].propertyFlags & properties) == properties) {
            VkMemoryAllocateInfo info = {
                .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = needs.size, .memoryTypeIndex = i};
            VkDeviceMemory allocated;
            VK(vkAllocateMemory(host->device, &info, NULL, &allocated));
            return allocated;
        }
    printf("no memory type\n");
    exit(1);
}

test_memory memory_create(test_host *host, VkDeviceSize size) {
    test_memory memory = {.size = size};
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = size,
                               .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                        VK_BUFFER_USAGE_TRANSFER_DST_BIT};
    VkMemoryRequirements needs;
    VK(vkCreateBuffer(host->device, &info, NULL, &memory.buffer));
    vkGetBufferMemoryRequirements(host->device, memory.buffer, &needs);
    memory.memory = allocate(host, needs, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT);
    VK(vkBindBufferMemory(host->device, memory.buffer, memory.memory, 0));
    VK(vkMapMemory(host->device, memory.memory, 0, VK_WHOLE_SIZE, 0, &memory.mapped));
    memset(memory.mapped, 0xa5, (size_t)size);
    return memory;
}

void memory_destroy(test_host *host, test_memory *memory) {
    vkDestroyBuffer(host->device, memory->buffer, NULL);
    vkFreeMemory(host->device, memory->memory, NULL);
    *memory = (test_memory){0};
}

static uint32_t texel_bytes(VkFormat format) {
    return format == VK_FORMAT_R16G16B16A16_SFLOAT ? 8 : format == VK_FORMAT_R32G32B32A32_SFLOAT ? 16 : 4;
}

static VkImageSubresourceRange all_of(const test_picture *picture) {
    return (VkImageSubresourceRange){VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, picture->layers ? picture->layers : 1};
}

test_picture picture_create(test_host *host, VkFormat format, VkImageUsageFlags usage, uint32_t width, uint32_t height,
                            uint32_t layers) {
    test_picture picture = {
        .format = format, .width = width, .height = height, .layers = layers, .texel_bytes = texel_bytes(format)};
    VkImageCreateInfo info = {.sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
                              .imageType = VK_IMAGE_TYPE_2D,
                              .format = format,
                              .extent = {width, height, 1},
                              .mipLevels = 1,
                              .arrayLayers = layers ? layers : 1,
                              .samples = VK_SAMPLE_COUNT_1_BIT,
                              .tiling = VK_IMAGE_TILING_OPTIMAL,
                              .usage = usage | VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT};
    VkMemoryRequirements needs;
    VK(vkCreateImage(host->device, &info, NULL, &picture.image));
    vkGetImageMemoryRequirements(host->device, picture.image, &needs);
    picture.memory = allocate(host, needs, 0);
    VK(vkBindImageMemory(host->device, picture.image, picture.memory, 0));
    VkImageViewCreateInfo view = {.sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
                                  .image = picture.image,
                                  .viewType = layers ? VK_IMAGE_VIEW_TYPE_2D_ARRAY : VK_IMAGE_VIEW_TYPE_2D,
                                  .format = format,
                                  .subresourceRange = all_of(&picture)};
    VK(vkCreateImageView(host->device, &view, NULL, &picture.view));
    return picture;
}

void picture_destroy(test_host *host, test_picture *picture) {
    vkDestroyImageView(host->device, picture->view, NULL);
    vkDestroyImage(host->device, picture->image, NULL);
    vkFreeMemory(host->device, picture->memory, NULL);
    *picture = (test_picture){0};
}

static void transition(test_picture *picture, VkCommandBuffer commands, VkImageLayout layout) {
    VkImageMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
                                    .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                                    .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT,
                                    .oldLayout = picture->layout,
                                    .newLayout = layout,
                                    .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                    .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                    .image = picture->image,
                                    .subresourceRange = all_of(picture)};
    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 0, NULL,
                         0, NULL, 1, &barrier);
    picture->layout = layout;
}

static VkDeviceSize size_of(const test_picture *picture) {
    return (VkDeviceSize)picture->width * picture->height * (picture->layers ? picture->layers : 1) *
           picture->texel_bytes;
}

static VkBufferImageCopy copy_of(const test_picture *picture) {
    return (VkBufferImageCopy){
        .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, picture->layers ? picture->layers : 1},
        .imageExtent = {picture->width, picture->height, 1}};
}

void picture_write(test_host *host, test_picture *picture, const void *texels, VkImageLayout layout) {
    test_memory staging = memory_create(host, size_of(picture));
    memcpy(staging.mapped, texels, (size_t)staging.size);
    VkBufferImageCopy copy = copy_of(picture);
    VkCommandBuffer commands = host_begin(host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
    transition(picture, commands, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL);
    vkCmdCopyBufferToImage(commands, staging.buffer, picture->image, picture->layout, 1, &copy);
    transition(picture, commands, layout);
    host_run(host, commands);
    memory_destroy(host, &staging);
}

void picture_read(test_host *host, test_picture *picture, void *texels) {
    test_memory staging = memory_create(host, size_of(picture));
    VkBufferImageCopy copy = copy_of(picture);
    const VkImageLayout before = picture->layout;
    VkCommandBuffer commands = host_begin(host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
    transition(picture, commands, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL);
    vkCmdCopyImageToBuffer(commands, picture->image, picture->layout, staging.buffer, 1, &copy);
    transition(picture, commands, before);
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL,
                         0, NULL);
    host_run(host, commands);
    memcpy(texels, staging.mapped, (size_t)staging.size);
    memory_destroy(host, &staging);
}
