#include "commands.h"

dvk_result dvk_commands_begin(dvk_context *context, VkCommandBufferUsageFlags usage, VkCommandBuffer *commands,
                              dvk_error *error) {
    VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = context->command_pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    dvk_result status = dvk_check_vulkan(context->vk.vkAllocateCommandBuffers(context->device, &info, commands),
                                         "vkAllocateCommandBuffers", error);
    if (status != DVK_OK)
        return status;
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO, .flags = usage};
    return dvk_check_vulkan(context->vk.vkBeginCommandBuffer(*commands, &begin), "vkBeginCommandBuffer", error);
}

dvk_result dvk_commands_run(dvk_context *context, VkCommandBuffer commands, VkFence fence, dvk_error *error) {
    /* Before, not after: a run that failed half-way leaves the fence in either state. */
    dvk_result status = dvk_check_vulkan(context->vk.vkResetFences(context->device, 1, &fence), "vkResetFences", error);
    if (status != DVK_OK)
        return status;
    VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    status = dvk_check_vulkan(context->vk.vkQueueSubmit(context->queue, 1, &submit, fence), "vkQueueSubmit", error);
    if (status != DVK_OK)
        return status;
    return dvk_commands_wait(context, fence, error);
}

dvk_result dvk_commands_wait(dvk_context *context, VkFence fence, dvk_error *error) {
    dvk_result status = dvk_check_vulkan(context->vk.vkWaitForFences(context->device, 1, &fence, VK_TRUE, UINT64_MAX),
                                         "vkWaitForFences", error);
    if (status != DVK_OK) /* out of memory, say, and the commands still run; a lost device runs nothing */
        (void)context->vk.vkQueueWaitIdle(context->queue);
    return status;
}
