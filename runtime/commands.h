/* Command buffers of a context's one pool, and its queue, which may be the host's: nothing here waits for more than
 * what this library submitted. */
#ifndef DVK_COMMANDS_H_
#define DVK_COMMANDS_H_

#include "context.h"

/* A new command buffer, ready to record. On failure *commands may be set; free it either way. */
dvk_result dvk_commands_begin(dvk_context *context, VkCommandBufferUsageFlags usage, VkCommandBuffer *commands,
                              dvk_error *error);

/* vkQueueSubmit under the host's lock. submit NULL: only the fence, which then follows all that was submitted before.
 */
dvk_result dvk_queue_submit(dvk_context *context, const VkSubmitInfo *submit, VkFence fence, dvk_error *error);

/* Waits for a fence that was submitted. DVK_TIMEOUT writes no error. */
dvk_result dvk_fence_wait(dvk_context *context, VkFence fence, uint64_t timeout_ns, dvk_error *error);

/* Waits however long it takes, after a failure or before a destruction. Where not even that works, and the device is
 * not lost either, the context is abandoned: see abandon.h. */
void dvk_fence_settle(dvk_context *context, VkFence fence);

/* Submits and waits. `fence` may be signalled or not. When this returns, whatever it returns, the device does nothing
 * any more, so that the caller may destroy what the commands use. */
dvk_result dvk_commands_run(dvk_context *context, VkCommandBuffer commands, VkFence fence, dvk_error *error);

#endif
