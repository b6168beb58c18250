/* The layer's memory that is not coherent: nothing reaches the other side before it is flushed or invalidated, and a
 * flush takes along what shares an atom with it, as a cache line does. Under the profile "non-coherent". */
#include "buffer.h"
#include "commands.h"
#include "device.h"

enum { SIZE = 4096, ATOM = 256 };

static dvk_context *context;

static void copy(const dvk_buffer *from, const dvk_buffer *to, const VkBufferCopy *region) {
    VkCommandBuffer commands;
    VkFence fence;
    const VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    REQUIRE(context->vk.vkCreateFence(context->device, &info, NULL, &fence) == VK_SUCCESS);
    REQUIRE(dvk_commands_begin(context, VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT, &commands, NULL) == DVK_OK);
    context->vk.vkCmdCopyBuffer(commands, from->handle, to->handle, 1, region);
    REQUIRE(context->vk.vkEndCommandBuffer(commands) == VK_SUCCESS);
    REQUIRE(dvk_commands_run(context, commands, fence, NULL) == DVK_OK);
    context->vk.vkFreeCommandBuffers(context->device, context->command_pool, 1, &commands);
    context->vk.vkDestroyFence(context->device, fence, NULL);
}

int main(void) {
    dvk_buffer out, in;
    const VkBufferCopy all = {.size = SIZE};
    context = test_open_context(NULL);
    REQUIRE(dvk_buffer_create(context, DVK_BUFFER_UPLOAD, SIZE, "a test", &out, NULL) == DVK_OK);
    REQUIRE(dvk_buffer_create(context, DVK_BUFFER_READBACK, SIZE, "a test", &in, NULL) == DVK_OK);
    unsigned char *written = out.mapped, *read = in.mapped;
    CHECK(!out.coherent && !in.coherent);

    memset(written, 1, SIZE);
    CHECK_OK(dvk_buffer_flush(context, &out, &error_));
    copy(&out, &in, &all);
    CHECK(read[0] != 1); /* not invalidated */
    CHECK_OK(dvk_buffer_invalidate(context, &in, &error_));
    CHECK(read[0] == 1 && read[SIZE - 1] == 1);

    written[0] = 2;
    copy(&out, &in, &all);
    CHECK_OK(dvk_buffer_invalidate(context, &in, &error_));
    CHECK(read[0] == 1); /* not flushed */
    CHECK_OK(dvk_buffer_flush(context, &out, &error_));
    copy(&out, &in, &all);
    CHECK(read[0] == 1);
    CHECK_OK(dvk_buffer_invalidate(context, &in, &error_));
    CHECK(read[0] == 2);

    /* The host's stale line goes over what the device wrote beside it, and only that line. */
    written[0] = 3;
    CHECK_OK(dvk_buffer_flush(context, &out, &error_));
    copy(&out, &in, &(VkBufferCopy){.size = 1});
    copy(&out, &in, &(VkBufferCopy){.dstOffset = ATOM, .size = 1});
    read[1] = 4;
    CHECK_OK(dvk_buffer_flush(context, &in, &error_));
    CHECK_OK(dvk_buffer_invalidate(context, &in, &error_));
    CHECK(read[0] == 2 && read[1] == 4 && read[ATOM] == 3);

    dvk_buffer_destroy(context, &out);
    dvk_buffer_destroy(context, &in);
    test_close_context(&context);
    return FINISH();
}
