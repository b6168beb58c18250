#include "trial.h"

#include "clock.h"
#include "commands.h"
#include "record.h"

#include <string.h>

static VkDeviceSize align(VkDeviceSize size) {
    return (size + 255) / 256 * 256; /* the largest alignment that a device may ask of a binding */
}

static VkDeviceSize out_bytes(const dvk_trial *trial) {
    return trial->problem->array_bytes[trial->problem->out];
}

static dvk_result make_buffers(dvk_trial *trial, dvk_error *error) {
    const dvk_problem *problem = trial->problem;
    VkDeviceSize size = 0;
    for (uint32_t i = 0; i < problem->op.binding_count; i++) {
        trial->offsets[i] = size;
        size += align(problem->array_bytes[i]);
    }
    dvk_result status =
        dvk_buffer_create(trial->context, DVK_BUFFER_STORAGE, size, "the known answers", &trial->arrays, error);
    if (status == DVK_OK)
        status = dvk_buffer_create(trial->context, DVK_BUFFER_UPLOAD, size, "the known answers", &trial->upload, error);
    if (status == DVK_OK)
        status = dvk_buffer_create(trial->context, DVK_BUFFER_READBACK, trial->repeats * out_bytes(trial),
                                   "the known answers", &trial->readback, error);
    if (status != DVK_OK)
        return status;
    for (uint32_t i = 0; i < problem->op.binding_count; i++)
        memcpy((uint8_t *)trial->upload.mapped + trial->offsets[i], problem->arrays[i], problem->array_bytes[i]);
    return dvk_buffer_flush(trial->context, &trial->upload, error);
}

/* One set serves all variants of a kernel: their layouts are defined identically, and so compatible. */
static dvk_result make_set(dvk_trial *trial, dvk_error *error) {
    const struct VolkDeviceTable *vk = &trial->context->vk;
    const VkDevice device = trial->context->device;
    const dvk_op *op = &trial->problem->op;
    VkDescriptorPoolSize size = {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .descriptorCount = op->binding_count};
    VkDescriptorPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = 1,
        .poolSizeCount = 1,
        .pPoolSizes = &size,
    };
    dvk_result status = dvk_check_vulkan(
        vk->vkCreateDescriptorPool(device, &pool, trial->context->vulkan_allocator, &trial->descriptor_pool),
        "vkCreateDescriptorPool", error);
    if (status != DVK_OK)
        return status;
    VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = trial->descriptor_pool,
        .descriptorSetCount = 1,
        .pSetLayouts = &trial->pipeline->set_layout,
    };
    status =
        dvk_check_vulkan(vk->vkAllocateDescriptorSets(device, &info, &trial->set), "vkAllocateDescriptorSets", error);
    if (status != DVK_OK)
        return status;
    VkDescriptorBufferInfo buffers[DVK_MAX_BINDINGS];
    VkWriteDescriptorSet writes[DVK_MAX_BINDINGS];
    for (uint32_t i = 0; i < op->binding_count; i++) {
        buffers[i] = (VkDescriptorBufferInfo){trial->arrays.handle, trial->offsets[i], trial->problem->array_bytes[i]};
        writes[i] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = trial->set,
            .dstBinding = i,
            .descriptorCount = 1,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = &buffers[i],
        };
    }
    vk->vkUpdateDescriptorSets(device, op->binding_count, writes, 0, NULL);
    return DVK_OK;
}

/* A software driver writes timestamps when it feels like it. */
static dvk_result make_queries(dvk_trial *trial, dvk_error *error) {
    dvk_context *context = trial->context;
    if (context->device_class == DVK_CLASS_SOFTWARE || !context->timestamp_bits)
        return DVK_OK;
    VkQueryPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO, .queryType = VK_QUERY_TYPE_TIMESTAMP, .queryCount = 2};
    return dvk_check_vulkan(
        context->vk.vkCreateQueryPool(context->device, &info, trial->context->vulkan_allocator, &trial->queries),
        "vkCreateQueryPool", error);
}

dvk_result dvk_trial_prepare(dvk_trial *trial, dvk_error *error) {
    return dvk_pipeline_get(trial->context, trial->problem->op.variant, trial->problem->op.specialisation,
                            &trial->pipeline, error);
}

dvk_result dvk_trial_open(dvk_context *context, const dvk_problem *problem, uint32_t repeats, dvk_trial *trial,
                          dvk_error *error) {
    memset(trial, 0, sizeof(*trial));
    trial->context = context;
    trial->problem = problem;
    trial->repeats = repeats;
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    dvk_result status = dvk_trial_prepare(trial, error);
    if (status == DVK_OK)
        status = make_buffers(trial, error);
    if (status == DVK_OK)
        status = make_set(trial, error);
    if (status == DVK_OK)
        status = make_queries(trial, error);
    if (status == DVK_OK)
        status = dvk_check_vulkan(
            context->vk.vkCreateFence(context->device, &fence, trial->context->vulkan_allocator, &trial->fence),
            "vkCreateFence", error);
    if (status != DVK_OK)
        dvk_trial_close(trial);
    return status;
}

void dvk_trial_close(dvk_trial *trial) {
    dvk_context *context = trial->context;
    context->vk.vkDestroyFence(context->device, trial->fence, context->vulkan_allocator);
    context->vk.vkDestroyQueryPool(context->device, trial->queries, context->vulkan_allocator);
    context->vk.vkDestroyDescriptorPool(context->device, trial->descriptor_pool, context->vulkan_allocator);
    dvk_buffer_destroy(context, &trial->arrays);
    dvk_buffer_destroy(context, &trial->upload);
    dvk_buffer_destroy(context, &trial->readback);
    memset(trial, 0, sizeof(*trial));
}

/* Copies and shaders after each other; a trial is no place to save a barrier. */
static void record_barrier(const dvk_trial *trial, VkCommandBuffer commands) {
    const VkPipelineStageFlags stages = VK_PIPELINE_STAGE_TRANSFER_BIT | VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
    VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_SHADER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_SHADER_READ_BIT |
                         VK_ACCESS_SHADER_WRITE_BIT,
    };
    trial->context->vk.vkCmdPipelineBarrier(commands, stages, stages, 0, 1, &barrier, 0, NULL, 0, NULL);
}

static void record_op(const dvk_trial *trial, VkCommandBuffer commands) {
    const struct VolkDeviceTable *vk = &trial->context->vk;
    const dvk_op *op = &trial->problem->op;
    uint32_t grid[3] = {1, 1, 1};
    dvk_fold_grid(op->push.groups.group_end, trial->context->limits.maxComputeWorkGroupCount, grid);
    vk->vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, trial->pipeline->handle);
    vk->vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, trial->pipeline->layout, 0, 1, &trial->set, 0,
                                NULL);
    vk->vkCmdPushConstants(commands, trial->pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, op->push_bytes,
                           &op->push);
    vk->vkCmdDispatch(commands, grid[0], grid[1], grid[2]);
}

static dvk_result finish(dvk_trial *trial, VkCommandBuffer commands, dvk_error *error) {
    dvk_result status = dvk_check_vulkan(trial->context->vk.vkEndCommandBuffer(commands), "vkEndCommandBuffer", error);
    if (status == DVK_OK)
        status = dvk_commands_run(trial->context, commands, trial->fence, error);
    return status;
}

dvk_result dvk_trial_answers(dvk_trial *trial, const float **answers, dvk_error *error) {
    dvk_context *context = trial->context;
    const VkDeviceSize bytes = out_bytes(trial), start = trial->offsets[trial->problem->out];
    VkCommandBuffer commands = VK_NULL_HANDLE;
    dvk_result status = dvk_commands_begin(context, VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT, &commands, error);
    if (status != DVK_OK) {
        context->vk.vkFreeCommandBuffers(context->device, context->command_pool, 1, &commands);
        return status;
    }
    VkBufferCopy all = {.size = trial->arrays.size};
    context->vk.vkCmdCopyBuffer(commands, trial->upload.handle, trial->arrays.handle, 1, &all);
    for (uint32_t i = 0; i < trial->repeats; i++) {
        record_barrier(trial, commands);
        if (i) {
            VkBufferCopy again = {.srcOffset = start, .dstOffset = start, .size = bytes};
            context->vk.vkCmdCopyBuffer(commands, trial->upload.handle, trial->arrays.handle, 1, &again);
            record_barrier(trial, commands);
        }
        record_op(trial, commands);
        record_barrier(trial, commands);
        VkBufferCopy answer = {.srcOffset = start, .dstOffset = i * bytes, .size = bytes};
        context->vk.vkCmdCopyBuffer(commands, trial->arrays.handle, trial->readback.handle, 1, &answer);
    }
    VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_HOST_READ_BIT,
    };
    context->vk.vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
                                     &barrier, 0, NULL, 0, NULL);
    status = finish(trial, commands, error);
    if (status == DVK_OK)
        status = dvk_buffer_invalidate(context, &trial->readback, error);
    context->vk.vkFreeCommandBuffers(context->device, context->command_pool, 1, &commands);
    *answers = trial->readback.mapped;
    return status;
}

static dvk_result read_timestamps(const dvk_trial *trial, double *ms, dvk_error *error) {
    const dvk_context *context = trial->context;
    uint64_t ticks[2] = {0, 0};
    dvk_result status =
        dvk_check_vulkan(context->vk.vkGetQueryPoolResults(context->device, trial->queries, 0, 2, sizeof(ticks), ticks,
                                                           sizeof(ticks[0]), VK_QUERY_RESULT_64_BIT),
                         "vkGetQueryPoolResults", error);
    /* Ticks may have fewer than 64 bits and start again at 0; such a measurement is one for the clock. */
    if (status == DVK_OK && ticks[1] > ticks[0])
        *ms = (double)(ticks[1] - ticks[0]) * (double)context->limits.timestampPeriod * 1e-6;
    return status;
}

dvk_result dvk_trial_time(dvk_trial *trial, uint32_t runs, double *ms, dvk_error *error) {
    dvk_context *context = trial->context;
    const struct VolkDeviceTable *vk = &context->vk;
    VkCommandBuffer commands = VK_NULL_HANDLE;
    dvk_result status = dvk_commands_begin(context, VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT, &commands, error);
    if (status != DVK_OK) {
        context->vk.vkFreeCommandBuffers(context->device, context->command_pool, 1, &commands);
        return status;
    }
    if (trial->queries) {
        vk->vkCmdResetQueryPool(commands, trial->queries, 0, 2);
        vk->vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, trial->queries, 0);
    }
    for (uint32_t i = 0; i < runs; i++) {
        record_barrier(trial, commands);
        record_op(trial, commands);
    }
    if (trial->queries)
        vk->vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, trial->queries, 1);
    double start = dvk_now_ms();
    status = finish(trial, commands, error);
    *ms = dvk_now_ms() - start;
    if (status == DVK_OK && trial->queries)
        status = read_timestamps(trial, ms, error);
    *ms /= runs;
    vk->vkFreeCommandBuffers(context->device, context->command_pool, 1, &commands);
    return status;
}
