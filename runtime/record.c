#include "record.h"

bool dvk_fold_grid(uint32_t groups, const uint32_t limits[3], uint32_t grid[3]) {
    grid[0] = groups < limits[0] ? groups : limits[0];
    uint32_t rows = grid[0] ? (uint32_t)(((uint64_t)groups + grid[0] - 1) / grid[0]) : 0;
    grid[1] = rows < limits[1] ? rows : limits[1];
    grid[2] = grid[1] ? (rows + grid[1] - 1) / grid[1] : 0;
    return groups && grid[2] <= limits[2];
}

/* What has been read and written since the last barrier. When it is full, a barrier empties it. */
typedef struct accesses {
    dvk_binding list[48];
    uint32_t count;
} accesses;

static bool conflicts(const accesses *since, const dvk_op *op) {
    if (since->count + op->binding_count > sizeof(since->list) / sizeof(since->list[0]))
        return true;
    for (uint32_t i = 0; i < op->binding_count; i++)
        for (uint32_t j = 0; j < since->count; j++) {
            const dvk_binding *a = &op->bindings[i], *b = &since->list[j];
            if (a->buffer == b->buffer && (a->writes || b->writes) && a->offset < b->offset + b->size &&
                b->offset < a->offset + a->size)
                return true;
        }
    return false;
}

static void record_barrier(const struct VolkDeviceTable *vk, VkCommandBuffer commands) {
    VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT,
    };
    vk->vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1,
                             &barrier, 0, NULL, 0, NULL);
}

/* Before and after the op that writes an image of the host's. What comes before and after is the host's, so that only
 * all commands will do. */
static void record_layouts(const dvk_recorder *recorder, VkCommandBuffer commands, const dvk_op *op, bool after) {
    for (uint32_t i = 0; i < op->binding_count && recorder->layouts; i++) {
        if (op->variant->binding_kinds[i] != DVK_BINDING_IMAGE)
            continue;
        const dvk_target_layout *target = &recorder->layouts[op->bindings[i].buffer - DVK_PLAN_TARGET];
        if (!target->image)
            continue;
        const VkPipelineStageFlags all = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, own = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
        VkImageMemoryBarrier barrier = {
            .sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
            .srcAccessMask = after ? VK_ACCESS_SHADER_WRITE_BIT : 0,
            .dstAccessMask =
                after ? VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT : VK_ACCESS_SHADER_WRITE_BIT,
            .oldLayout = after ? VK_IMAGE_LAYOUT_GENERAL : VK_IMAGE_LAYOUT_UNDEFINED,
            .newLayout = after ? target->final : VK_IMAGE_LAYOUT_GENERAL,
            .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
            .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
            .image = target->image,
            .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, VK_REMAINING_ARRAY_LAYERS},
        };
        recorder->context->vk.vkCmdPipelineBarrier(commands, after ? own : all, after ? all : own, 0, 0, NULL, 0, NULL,
                                                   1, &barrier);
    }
}

void dvk_record_ops(const dvk_recorder *recorder, VkCommandBuffer commands, dvk_position first, dvk_position last) {
    const struct VolkDeviceTable *vk = &recorder->context->vk;
    VkPipeline bound = VK_NULL_HANDLE;
    accesses since = {.count = 0};
    if (first.op || first.group)
        record_barrier(vk, commands);
    for (uint32_t i = first.op; i < last.op || (i == last.op && last.group); i++) {
        const dvk_op *op = &recorder->plan->ops[i];
        const dvk_pipeline *pipeline = recorder->pipelines[i];
        if (conflicts(&since, op)) {
            record_barrier(vk, commands);
            since.count = 0;
        }
        for (uint32_t j = 0; j < op->binding_count; j++)
            if (!dvk_plan_is_weights(op->bindings[j].buffer)) /* which are never written */
                since.list[since.count++] = op->bindings[j];
        if (i > first.op || !first.group)
            record_layouts(recorder, commands, op, false);
        if (bound != pipeline->handle)
            vk->vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->handle);
        bound = pipeline->handle;
        vk->vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->layout, 0, 1,
                                    &recorder->sets[i], 0, NULL);
        const uint32_t whole = op->push.groups.group_end;
        uint32_t groups[2] = {i == first.op ? first.group : 0, i == last.op ? last.group : whole};
        vk->vkCmdPushConstants(commands, pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, op->push_bytes, &op->push);
        if (groups[1] - groups[0] != whole) /* the first two words of every kernel's */
            vk->vkCmdPushConstants(commands, pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(groups), groups);
        uint32_t grid[3]; /* the session checked that the whole op's fits */
        dvk_fold_grid(groups[1] - groups[0], recorder->context->limits.maxComputeWorkGroupCount, grid);
        vk->vkCmdDispatch(commands, grid[0], grid[1], grid[2]);
        if (groups[1] == whole)
            record_layouts(recorder, commands, op, true);
    }
}
