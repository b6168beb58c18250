#include "pass.h"

#include "commands.h"
#include "session.h"

#include <string.h>

static void record_barrier(const dvk_session *session, VkCommandBuffer commands, VkPipelineStageFlags before,
                           VkAccessFlags written, VkPipelineStageFlags after, VkAccessFlags accessed) {
    VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = written, .dstAccessMask = accessed};
    session->model->context->vk.vkCmdPipelineBarrier(commands, before, after, 0, 1, &barrier, 0, NULL, 0, NULL);
}

static void record_upload(const dvk_session *session, VkCommandBuffer commands) {
    const struct VolkDeviceTable *vk = &session->model->context->vk;
    const dvk_buffer *pixels = &session->buffers[DVK_PLAN_PIXELS];
    VkBufferCopy region = {.size = pixels->size};
    vk->vkCmdCopyBuffer(commands, session->upload.handle, pixels->handle, 1, &region);
    record_barrier(session, commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT,
                   VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_READ_BIT);
}

static void record_readback(const dvk_session *session, VkCommandBuffer commands) {
    const struct VolkDeviceTable *vk = &session->model->context->vk;
    const dvk_plan *plan = &session->plan;
    uint64_t row_bytes = 4ull * session->model->config.hidden_size;
    record_barrier(session, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT,
                   VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_READ_BIT);
    const dvk_buffer *rows = &session->buffers[plan->last_buffer];
    if (session->whole_rows) {
        VkBufferCopy region = {.size = session->results_offset};
        vk->vkCmdCopyBuffer(commands, rows->handle, session->readback.handle, 1, &region);
    } else {
        for (uint32_t image = 0; image < plan->batch; image++) {
            VkBufferCopy region = {
                .srcOffset = image * plan->tokens * row_bytes, .dstOffset = image * row_bytes, .size = row_bytes};
            vk->vkCmdCopyBuffer(commands, rows->handle, session->readback.handle, 1, &region);
        }
    }
    if (plan->buffer_bytes[DVK_PLAN_RESULTS]) {
        VkBufferCopy region = {.dstOffset = session->results_offset, .size = plan->buffer_bytes[DVK_PLAN_RESULTS]};
        vk->vkCmdCopyBuffer(commands, session->buffers[DVK_PLAN_RESULTS].handle, session->readback.handle, 1, &region);
    }
}

static uint32_t guard_index(uint32_t submission) {
    return submission < DVK_GUARD_WORDS ? submission : DVK_GUARD_WORDS - 1;
}

/* After all else that the submission does. */
static void record_guard(const dvk_session *session, VkCommandBuffer commands, uint32_t submission) {
    record_barrier(session, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                   VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
    VkBufferCopy region = {
        .srcOffset = session->upload_guard,
        .dstOffset = session->readback_guards + sizeof(uint32_t) * guard_index(submission),
        .size = sizeof(uint32_t),
    };
    session->model->context->vk.vkCmdCopyBuffer(commands, session->upload.handle, session->readback.handle, 1, &region);
}

/* Op by op, and therefore with a barrier before each: what is timed is one op alone. */
static void record_timed(const dvk_session *session, VkCommandBuffer commands, VkQueryPool timestamps,
                         dvk_position from, dvk_position to) {
    const struct VolkDeviceTable *vk = &session->model->context->vk;
    while (from.op < to.op || from.group < to.group) {
        dvk_position end = from.op < to.op ? (dvk_position){from.op + 1, 0} : to;
        if (!from.group)
            vk->vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, timestamps, 2 * from.op);
        dvk_record_ops(&session->recorder, commands, from, end);
        if (!end.group)
            vk->vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, timestamps, 2 * from.op + 1);
        from = end;
    }
}

static dvk_result record_submission(dvk_session *session, dvk_pass_style style, dvk_pass *pass, dvk_position from,
                                    dvk_position to, dvk_error *error) {
    dvk_context *context = session->model->context;
    VkCommandBuffer *longer = dvk_reallocate(&context->allocator, pass->commands, pass->count * sizeof(*longer),
                                             (pass->count + 1) * sizeof(*longer));
    if (!longer)
        return dvk_fail_memory(error, (pass->count + 1) * sizeof(*longer));
    pass->commands = longer;
    VkCommandBuffer *commands = &pass->commands[pass->count];
    *commands = VK_NULL_HANDLE;
    dvk_result status = dvk_commands_begin(context, 0, commands, error);
    if (*commands)
        pass->count++;
    if (status != DVK_OK)
        return status;
    if (pass->count == 1 && style.timestamps)
        context->vk.vkCmdResetQueryPool(*commands, style.timestamps, 0, 2 * session->plan.op_count);
    if (pass->count == 1)
        record_upload(session, *commands);
    if (style.timestamps)
        record_timed(session, *commands, style.timestamps, from, to);
    else
        dvk_record_ops(&session->recorder, *commands, from, to);
    if (dvk_position_is_end(&session->plan, to))
        record_readback(session, *commands);
    record_guard(session, *commands, pass->count - 1);
    if (dvk_position_is_end(&session->plan, to)) /* also of what earlier submissions copied */
        record_barrier(session, *commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT,
                       VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    return dvk_check_vulkan(context->vk.vkEndCommandBuffer(*commands), "vkEndCommandBuffer", error);
}

static void free_commands(dvk_context *context, dvk_pass *pass) {
    if (pass->count)
        context->vk.vkFreeCommandBuffers(context->device, context->command_pool, pass->count, pass->commands);
    dvk_release(&context->allocator, pass->commands);
}

dvk_position dvk_pass_next(const dvk_session *session, dvk_pass_style style, dvk_position from) {
    dvk_position to = dvk_schedule_next(&session->plan, session->op_ns, from, session->budget_ns);
    return style.stepped && to.op > from.op ? (dvk_position){from.op + 1, 0} : to;
}

dvk_result dvk_pass_record(dvk_session *session, dvk_pass_style style, dvk_error *error) {
    dvk_pass pass = {.number = session->pass.number};
    dvk_position at = {0, 0};
    dvk_result status = DVK_OK;
    while (status == DVK_OK && !dvk_position_is_end(&session->plan, at)) {
        dvk_position to = dvk_pass_next(session, style, at);
        status = record_submission(session, style, &pass, at, to, error);
        at = to;
    }
    if (status != DVK_OK) {
        free_commands(session->model->context, &pass);
        return status;
    }
    dvk_pass_free(session);
    session->pass = pass;
    return DVK_OK;
}

void dvk_pass_free(dvk_session *session) {
    free_commands(session->model->context, &session->pass);
    session->pass = (dvk_pass){.number = session->pass.number};
}

dvk_result dvk_pass_begin(dvk_session *session, dvk_error *error) {
    dvk_pass *pass = &session->pass;
    if (!pass->count) /* recording again after a profile failed */
        return dvk_fail(error, DVK_ERROR_OUT_OF_HOST_MEMORY, "the session lost its recording: create it again");
    if (++pass->number == 0)
        pass->number = 1; /* 0 is what guards hold before the first pass */
    memcpy((uint8_t *)session->upload.mapped + session->upload_guard, &pass->number, sizeof(pass->number));
    return dvk_buffer_flush(session->model->context, &session->upload, error);
}

dvk_result dvk_pass_submit(dvk_session *session, dvk_error *error) {
    dvk_context *context = session->model->context;
    const dvk_pass *pass = &session->pass;
    dvk_result status = dvk_pass_begin(session, error);
    /* Before, not after: a run that failed half-way leaves the fence in either state. */
    if (status == DVK_OK)
        status =
            dvk_check_vulkan(context->vk.vkResetFences(context->device, 1, &session->fence), "vkResetFences", error);
    /* One call for each: drivers may join the batches of one call, and a watchdog would count them as one. */
    for (uint32_t i = 0; i < pass->count && status == DVK_OK; i++) {
        VkSubmitInfo submit = {
            .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &pass->commands[i]};
        VkFence fence = i + 1 == pass->count ? session->fence : VK_NULL_HANDLE;
        status = dvk_check_vulkan(context->vk.vkQueueSubmit(context->queue, 1, &submit, fence), "vkQueueSubmit", error);
        if (status != DVK_OK && i > 0) /* the first ones run, and nothing will tell when they are done */
            (void)context->vk.vkQueueWaitIdle(context->queue);
    }
    return status;
}

dvk_result dvk_pass_check(const dvk_session *session, dvk_error *error) {
    const dvk_pass *pass = &session->pass;
    const uint8_t *guards = (const uint8_t *)session->readback.mapped + session->readback_guards;
    for (uint32_t i = 0; i < pass->count; i++) {
        uint32_t guard;
        memcpy(&guard, guards + sizeof(guard) * guard_index(i), sizeof(guard));
        if (guard != pass->number)
            return dvk_fail(error, DVK_ERROR_INCOMPLETE,
                            "the driver of %s says that the pass is done, but dropped part %u of %u, as a watchdog "
                            "does with work that takes too long: run it again with a smaller submit_budget_ms",
                            session->model->context->info.name, i + 1, pass->count);
    }
    return DVK_OK;
}
