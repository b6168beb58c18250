#include "pass.h"

#include "abandon.h"
#include "commands.h"
#include "session.h"

#include <string.h>

/* ----------------------------------------------------------------------------------------------- recording */

static void record_barrier(const dvk_session *session, VkCommandBuffer commands, VkPipelineStageFlags before,
                           VkAccessFlags written, VkPipelineStageFlags after, VkAccessFlags accessed) {
    VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = written, .dstAccessMask = accessed};
    session->model->context->vk.vkCmdPipelineBarrier(commands, before, after, 0, 1, &barrier, 0, NULL, 0, NULL);
}

void dvk_record_follow(const dvk_session *session, VkCommandBuffer commands) {
    const VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkAccessFlags writes = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    record_barrier(session, commands, stages, writes, stages,
                   writes | VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT);
}

void dvk_record_host_reads(const dvk_session *session, VkCommandBuffer commands) {
    record_barrier(session, commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT,
                   VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
}

void dvk_record_upload(const dvk_session *session, const dvk_slot *slot, VkCommandBuffer commands) {
    const struct VolkDeviceTable *vk = &session->model->context->vk;
    const dvk_buffer *pixels = &session->buffers[DVK_PLAN_PIXELS];
    if (session->plan.source.table) /* the first op writes them */
        return;
    VkBufferCopy region = {.size = pixels->size};
    vk->vkCmdCopyBuffer(commands, slot->upload.handle, pixels->handle, 1, &region);
    record_barrier(session, commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT,
                   VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_READ_BIT);
}

void dvk_record_readback(const dvk_session *session, const dvk_slot *slot, VkCommandBuffer commands) {
    const struct VolkDeviceTable *vk = &session->model->context->vk;
    const dvk_plan *plan = &session->plan;
    uint64_t row_bytes = 4ull * session->model->config.hidden_size;
    record_barrier(session, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT,
                   VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_READ_BIT);
    const dvk_buffer *rows = &session->buffers[plan->last_buffer];
    if (session->whole_rows) {
        VkBufferCopy region = {.size = session->results_offset};
        vk->vkCmdCopyBuffer(commands, rows->handle, slot->readback.handle, 1, &region);
    } else {
        for (uint32_t image = 0; image < plan->batch; image++) {
            VkBufferCopy region = {
                .srcOffset = image * plan->tokens * row_bytes, .dstOffset = image * row_bytes, .size = row_bytes};
            vk->vkCmdCopyBuffer(commands, rows->handle, slot->readback.handle, 1, &region);
        }
    }
    if (plan->buffer_bytes[DVK_PLAN_RESULTS]) {
        VkBufferCopy region = {.dstOffset = session->results_offset, .size = plan->buffer_bytes[DVK_PLAN_RESULTS]};
        vk->vkCmdCopyBuffer(commands, session->buffers[DVK_PLAN_RESULTS].handle, slot->readback.handle, 1, &region);
    }
}

static uint32_t guard_index(uint32_t submission) {
    return submission < DVK_GUARD_WORDS ? submission : DVK_GUARD_WORDS - 1;
}

/* After all else that the submission does. */
static void record_guard(const dvk_session *session, const dvk_slot *slot, VkCommandBuffer commands,
                         uint32_t submission) {
    record_barrier(session, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                   VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
    VkBufferCopy region = {
        .srcOffset = session->upload_guard,
        .dstOffset = session->readback_guards + sizeof(uint32_t) * guard_index(submission),
        .size = sizeof(uint32_t),
    };
    session->model->context->vk.vkCmdCopyBuffer(commands, slot->upload.handle, slot->readback.handle, 1, &region);
}

/* Op by op, and therefore with a barrier before each: what is timed is one op alone. */
static void record_timed(const dvk_session *session, const dvk_recorder *recorder, VkCommandBuffer commands,
                         VkQueryPool timestamps, dvk_position from, dvk_position to) {
    const struct VolkDeviceTable *vk = &session->model->context->vk;
    while (from.op < to.op || from.group < to.group) {
        dvk_position end = from.op < to.op ? (dvk_position){from.op + 1, 0} : to;
        if (!from.group)
            vk->vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, timestamps, 2 * from.op);
        dvk_record_ops(recorder, commands, from, end);
        if (!end.group)
            vk->vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, timestamps, 2 * from.op + 1);
        from = end;
    }
}

static dvk_result record_submission(dvk_session *session, const dvk_slot *slot, dvk_pass_style style, dvk_pass *pass,
                                    dvk_position from, dvk_position to, dvk_error *error) {
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
    if (pass->count == 1) {
        dvk_record_follow(session, *commands);
        if (style.timestamps)
            context->vk.vkCmdResetQueryPool(*commands, style.timestamps, 0, 2 * session->plan.op_count);
        dvk_record_upload(session, slot, *commands);
    }
    const dvk_recorder recorder = dvk_slot_recorder(session, slot);
    if (style.timestamps)
        record_timed(session, &recorder, *commands, style.timestamps, from, to);
    else
        dvk_record_ops(&recorder, *commands, from, to);
    if (dvk_position_is_end(&session->plan, to))
        dvk_record_readback(session, slot, *commands);
    record_guard(session, slot, *commands, pass->count - 1);
    if (dvk_position_is_end(&session->plan, to)) /* also of what earlier submissions copied */
        dvk_record_host_reads(session, *commands);
    return dvk_check_vulkan(context->vk.vkEndCommandBuffer(*commands), "vkEndCommandBuffer", error);
}

static void free_pass(dvk_context *context, dvk_pass *pass) {
    if (pass->count)
        context->vk.vkFreeCommandBuffers(context->device, context->command_pool, pass->count, pass->commands);
    dvk_release(&context->allocator, pass->commands);
    *pass = (dvk_pass){.number = pass->number};
}

void dvk_pass_free(dvk_session *session, dvk_slot *slot) {
    free_pass(session->model->context, &slot->pass);
}

dvk_position dvk_pass_next(const dvk_session *session, dvk_pass_style style, dvk_position from) {
    dvk_position to = dvk_schedule_next(&session->plan, session->op_ns, from, session->budget_ns);
    return style.stepped && to.op > from.op ? (dvk_position){from.op + 1, 0} : to;
}

dvk_result dvk_pass_record_styled(dvk_session *session, dvk_slot *slot, dvk_pass_style style, dvk_error *error) {
    dvk_pass pass = {.number = slot->pass.number};
    dvk_position at = {0, 0};
    dvk_result status = DVK_OK;
    while (status == DVK_OK && !dvk_position_is_end(&session->plan, at)) {
        dvk_position to = dvk_pass_next(session, style, at);
        status = record_submission(session, slot, style, &pass, at, to, error);
        at = to;
    }
    if (status != DVK_OK) {
        free_pass(session->model->context, &pass);
        return status;
    }
    free_pass(session->model->context, &slot->pass);
    slot->pass = pass;
    slot->recorded = true;
    session->info.submissions = pass.count;
    return DVK_OK;
}

dvk_result dvk_pass_record(dvk_session *session, dvk_error *error) {
    dvk_result status = DVK_OK;
    for (uint32_t i = 0; i < session->slot_count && status == DVK_OK; i++)
        if (!session->binds || session->slots[i].bound)
            status = dvk_pass_record_styled(session, &session->slots[i], (dvk_pass_style){0}, error);
    return status;
}

/* ------------------------------------------------------------------------------------------------- slots */

dvk_result dvk_slot_create(dvk_session *session, dvk_slot *slot, dvk_error *error) {
    dvk_context *context = session->model->context;
    dvk_result status = dvk_buffer_create(context, DVK_BUFFER_UPLOAD, session->upload_guard + sizeof(uint32_t),
                                          "the input pixels", &slot->upload, error);
    if (status == DVK_OK)
        status = dvk_buffer_create(context, DVK_BUFFER_READBACK,
                                   session->readback_guards + DVK_GUARD_WORDS * sizeof(uint32_t), "the outputs",
                                   &slot->readback, error);
    if (status != DVK_OK)
        return status;
    /* Images that were never written are computed, too: from zeros rather than from whatever the memory held. */
    memset(slot->upload.mapped, 0, (size_t)slot->upload.size);
    memset((uint8_t *)slot->readback.mapped + session->readback_guards, 0, DVK_GUARD_WORDS * sizeof(uint32_t));
    status = dvk_buffer_flush(context, &slot->readback, error);
    if (status != DVK_OK)
        return status;
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    return dvk_check_vulkan(context->vk.vkCreateFence(context->device, &fence, context->vulkan_allocator, &slot->fence),
                            "vkCreateFence", error);
}

void dvk_slot_destroy(dvk_session *session, dvk_slot *slot) {
    dvk_context *context = session->model->context;
    if (slot->under_way)
        dvk_fence_settle(context, slot->fence);
    context->vk.vkDestroyFence(context->device, slot->fence, context->vulkan_allocator);
    free_pass(context, &slot->pass);
    dvk_release(&context->allocator, slot->sets);
    dvk_buffer_destroy(context, &slot->upload);
    dvk_buffer_destroy(context, &slot->readback);
}

/* ------------------------------------------------------------------------------------------------ submitting */

/* Semaphores of one submission, as Vulkan wants them. */
typedef struct semaphore_list {
    VkSemaphore handles[DVK_MAX_SEMAPHORES];
    uint64_t values[DVK_MAX_SEMAPHORES];
    uint32_t count;
    bool timeline;
} semaphore_list;

static semaphore_list list_semaphores(const dvk_semaphore *semaphores, uint32_t count) {
    semaphore_list list = {.count = count};
    for (uint32_t i = 0; i < count; i++) {
        list.handles[i] = (VkSemaphore)semaphores[i].handle;
        list.values[i] = semaphores[i].value;
        list.timeline |= semaphores[i].value != 0;
    }
    return list;
}

static dvk_result submit_part(dvk_context *context, VkCommandBuffer commands, const semaphore_list *wait,
                              const semaphore_list *signal, VkFence fence, dvk_error *error) {
    VkPipelineStageFlags stages[DVK_MAX_SEMAPHORES];
    for (uint32_t i = 0; i < wait->count; i++)
        stages[i] = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    VkTimelineSemaphoreSubmitInfo timeline = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .waitSemaphoreValueCount = wait->count,
        .pWaitSemaphoreValues = wait->values,
        .signalSemaphoreValueCount = signal->count,
        .pSignalSemaphoreValues = signal->values,
    };
    VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .pNext = wait->timeline || signal->timeline ? &timeline : NULL,
        .waitSemaphoreCount = wait->count,
        .pWaitSemaphores = wait->handles,
        .pWaitDstStageMask = stages,
        .commandBufferCount = 1,
        .pCommandBuffers = &commands,
        .signalSemaphoreCount = signal->count,
        .pSignalSemaphores = signal->handles,
    };
    return dvk_queue_submit(context, &submit, fence, error);
}

/* After a failure half-way: what was submitted runs, and only a fence behind it tells when it is done. */
static void end_half_a_pass(dvk_context *context, dvk_slot *slot) {
    dvk_error error;
    dvk_result status = dvk_queue_submit(context, NULL, slot->fence, &error);
    if (status == DVK_OK)
        dvk_fence_settle(context, slot->fence);
    else if (status != DVK_ERROR_DEVICE_LOST) /* a lost device runs nothing */
        dvk_context_abandon(context, error.message);
}

dvk_result dvk_pass_begin(dvk_session *session, dvk_slot *slot, dvk_error *error) {
    dvk_pass *pass = &slot->pass;
    if (!pass->count)
        return dvk_fail(error, DVK_ERROR_OUT_OF_HOST_MEMORY,
                        "the session lost its recording when it was profiled: create it again");
    if (++pass->number == 0)
        pass->number = 1; /* 0 is what guards hold before the first pass */
    memcpy((uint8_t *)slot->upload.mapped + session->upload_guard, &pass->number, sizeof(pass->number));
    return dvk_buffer_flush(session->model->context, &slot->upload, error);
}

dvk_result dvk_pass_submit(dvk_session *session, dvk_slot *slot, const dvk_submit_params *params, dvk_error *error) {
    dvk_context *context = session->model->context;
    const dvk_pass *pass = &slot->pass;
    const semaphore_list wait = list_semaphores(params->wait, params->wait_count);
    const semaphore_list signal = list_semaphores(params->signal, params->signal_count);
    const semaphore_list none = {.count = 0};
    dvk_result status = dvk_pass_begin(session, slot, error);
    /* Before, not after: a run that failed half-way leaves the fence in either state. */
    if (status == DVK_OK)
        status = dvk_check_vulkan(context->vk.vkResetFences(context->device, 1, &slot->fence), "vkResetFences", error);
    /* One call for each: drivers may join the batches of one call, and a watchdog would count them as one. */
    for (uint32_t i = 0; i < pass->count && status == DVK_OK; i++) {
        const bool last = i + 1 == pass->count;
        status = submit_part(context, pass->commands[i], i == 0 ? &wait : &none, last ? &signal : &none,
                             last ? slot->fence : VK_NULL_HANDLE, error);
        if (status != DVK_OK && i > 0)
            end_half_a_pass(context, slot);
    }
    if (status == DVK_OK && params->fence) {
        status = dvk_queue_submit(context, NULL, (VkFence)params->fence, error);
        if (status != DVK_OK)
            dvk_fence_settle(context, slot->fence);
    }
    return status;
}

dvk_result dvk_pass_check(const dvk_session *session, const dvk_slot *slot, dvk_error *error) {
    const dvk_pass *pass = &slot->pass;
    const uint8_t *guards = (const uint8_t *)slot->readback.mapped + session->readback_guards;
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
