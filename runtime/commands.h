/* Command buffers of a context's one pool and queue: begun, and run to their end. */
#ifndef DVK_COMMANDS_H_
#define DVK_COMMANDS_H_

#include "context.h"

/* A new command buffer, ready to record. On failure *commands may be set; free it either way. */
dvk_result dvk_commands_begin(dvk_context *context, VkCommandBufferUsageFlags usage, VkCommandBuffer *commands,
                              dvk_error *error);

/* Submits and waits. `fence` may be signalled or not. When this returns, whatever it returns, the device does nothing
 * any more, so that the caller may destroy what the commands use. */
dvk_result dvk_commands_run(dvk_context *context, VkCommandBuffer commands, VkFence fence, dvk_error *error);

/* Waits for what was submitted with `fence`; the same holds when it returns. */
dvk_result dvk_commands_wait(dvk_context *context, VkFence fence, dvk_error *error);

#endif
