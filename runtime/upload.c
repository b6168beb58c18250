#include "upload.h"

#include "commands.h"
#include "touch.h"

#include <string.h>

dvk_result dvk_uploader_open(dvk_context *context, dvk_uploader *uploader, dvk_error *error) {
    memset(uploader, 0, sizeof(*uploader));
    uploader->context = context;
    VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    return dvk_check_vulkan(
        context->vk.vkCreateFence(context->device, &info, context->vulkan_allocator, &uploader->fence), "vkCreateFence",
        error);
}

void dvk_uploader_close(dvk_uploader *uploader) {
    dvk_context *context = uploader->context;
    context->vk.vkDestroyFence(context->device, uploader->fence, context->vulkan_allocator);
    if (uploader->commands)
        context->vk.vkFreeCommandBuffers(context->device, context->command_pool, 1, &uploader->commands);
    dvk_buffer_destroy(context, &uploader->staging);
}

static dvk_result begin(dvk_uploader *uploader, dvk_error *error) {
    dvk_context *context = uploader->context;
    if (!uploader->staging.handle) {
        dvk_result status = dvk_buffer_create(context, DVK_BUFFER_UPLOAD, DVK_STAGING_BYTES, "the staging buffer",
                                              &uploader->staging, error);
        if (status != DVK_OK)
            return status;
    }
    /* The pool has no reset flag, as a session's recording is never reset: so a new command buffer each time. */
    if (uploader->commands) /* NULL is legal, but ends the process under wine 8 */
        context->vk.vkFreeCommandBuffers(context->device, context->command_pool, 1, &uploader->commands);
    uploader->commands = VK_NULL_HANDLE;
    dvk_result status =
        dvk_commands_begin(context, VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT, &uploader->commands, error);
    uploader->recording = status == DVK_OK;
    return status;
}

dvk_result dvk_upload_room(dvk_uploader *uploader, VkDeviceSize size, const dvk_buffer *target, VkDeviceSize offset,
                           void **room, dvk_error *error) {
    if (target->mapped) {
        *room = (uint8_t *)target->mapped + offset;
        dvk_touch(*room, (size_t)size);
        return DVK_OK;
    }
    dvk_result status = DVK_OK;
    if (uploader->used + size > DVK_STAGING_BYTES)
        status = dvk_upload_finish(uploader, error);
    if (status == DVK_OK && !uploader->recording)
        status = begin(uploader, error);
    if (status != DVK_OK)
        return status;
    *room = (uint8_t *)uploader->staging.mapped + uploader->used;
    VkBufferCopy region = {.srcOffset = uploader->used, .dstOffset = offset, .size = size};
    uploader->context->vk.vkCmdCopyBuffer(uploader->commands, uploader->staging.handle, target->handle, 1, &region);
    uploader->used += size;
    return DVK_OK;
}

dvk_result dvk_upload(dvk_uploader *uploader, const void *bytes, VkDeviceSize size, const dvk_buffer *target,
                      VkDeviceSize offset, dvk_error *error) {
    for (VkDeviceSize done = 0; done < size; done += DVK_STAGING_BYTES) {
        VkDeviceSize piece = size - done < DVK_STAGING_BYTES ? size - done : DVK_STAGING_BYTES;
        void *room;
        dvk_result status = dvk_upload_room(uploader, piece, target, offset + done, &room, error);
        if (status != DVK_OK)
            return status;
        memcpy(room, (const uint8_t *)bytes + done, (size_t)piece);
    }
    return DVK_OK;
}

dvk_result dvk_upload_finish(dvk_uploader *uploader, dvk_error *error) {
    dvk_context *context = uploader->context;
    if (!uploader->recording)
        return DVK_OK;
    uploader->recording = false;
    uploader->used = 0;
    dvk_result status =
        dvk_check_vulkan(context->vk.vkEndCommandBuffer(uploader->commands), "vkEndCommandBuffer", error);
    if (status == DVK_OK)
        status = dvk_buffer_flush(context, &uploader->staging, error);
    if (status == DVK_OK)
        status = dvk_commands_run(context, uploader->commands, uploader->fence, error);
    return status;
}
