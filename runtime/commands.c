#include "commands.h"

#include "abandon.h"

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

dvk_result dvk_queue_submit(dvk_context *context, const VkSubmitInfo *submit, VkFence fence, dvk_error *error) {
    if (context->lock_queue)
        context->lock_queue(context->queue_user);
    VkResult result = context->vk.vkQueueSubmit(context->queue, submit ? 1 : 0, submit, fence);
    if (context->unlock_queue)
        context->unlock_queue(context->queue_user);
    return dvk_check_vulkan(result, "vkQueueSubmit", error);
}

dvk_result dvk_fence_wait(dvk_context *context, VkFence fence, uint64_t timeout_ns, dvk_error *error) {
    VkResult result = context->vk.vkWaitForFences(context->device, 1, &fence, VK_TRUE, timeout_ns);
    return result == VK_TIMEOUT ? DVK_TIMEOUT : dvk_check_vulkan(result, "vkWaitForFences", error);
}

void dvk_fence_settle(dvk_context *context, VkFence fence) {
    dvk_error error = {DVK_OK, ""};
    dvk_result status = dvk_fence_wait(context, fence, UINT64_MAX, &error);
    if (status == DVK_OK || status == DVK_ERROR_DEVICE_LOST) /* a lost device runs nothing */
        return;
    dvk_context_abandon(context, error.message);
}

dvk_result dvk_commands_run(dvk_context *context, VkCommandBuffer commands, VkFence fence, dvk_error *error) {
    /* Before, not after: a run that failed half-way leaves the fence in either state. */
    dvk_result status = dvk_check_vulkan(context->vk.vkResetFences(context->device, 1, &fence), "vkResetFences", error);
    if (status != DVK_OK)
        return status;
    VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    status = dvk_queue_submit(context, &submit, fence, error);
    if (status != DVK_OK)
        return status;
    status = dvk_fence_wait(context, fence, UINT64_MAX, error);
    if (status != DVK_OK)
        dvk_fence_settle(context, fence);
    return status;
}
