/* Descriptors: a session's own buffers are written once, the host's whenever it binds them. */
#include "session.h"

/* ------------------------------------------------------------------------------------------------- writing */

/* One binding of the op whose set it is; sources NULL: those that are the session's own. */
static void write_binding(const dvk_session *session, const dvk_bindings *host, VkDescriptorSet set, const dvk_op *op,
                          uint32_t index) {
    const dvk_context *context = session->model->context;
    const dvk_binding *binding = &op->bindings[index];
    VkDescriptorImageInfo image = {0};
    VkDescriptorBufferInfo buffer = {.offset = binding->offset, .range = binding->size};
    VkWriteDescriptorSet write = {
        .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
        .dstSet = set,
        .dstBinding = index,
        .descriptorCount = 1,
        .descriptorType = dvk_descriptor_type(op->variant->binding_kinds[index]),
        .pImageInfo = &image,
        .pBufferInfo = &buffer,
    };
    if (dvk_plan_is_weights(binding->buffer)) {
        buffer.buffer = session->model->weights.blocks[binding->buffer - DVK_PLAN_WEIGHTS].handle;
    } else if (!dvk_plan_is_external(binding->buffer)) {
        buffer.buffer = session->buffers[binding->buffer].handle;
    } else if (binding->buffer >= DVK_PLAN_TARGET) {
        const dvk_target_binding *target = &host->targets[binding->buffer - DVK_PLAN_TARGET];
        image.imageView = (VkImageView)target->view;
        image.imageLayout = VK_IMAGE_LAYOUT_GENERAL;
        buffer.buffer = (VkBuffer)target->buffer;
        buffer.offset += target->offset;
    } else {
        uint32_t number = binding->buffer - DVK_PLAN_SOURCE;
        if (number >= host->source_count)
            number = host->source_count - 1;
        const dvk_source_binding *source = &host->sources[number];
        image.imageView = (VkImageView)source->view;
        image.imageLayout = source->layout ? (VkImageLayout)source->layout : VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL;
        buffer.buffer = (VkBuffer)source->buffer;
        buffer.offset += source->offset;
    }
    context->vk.vkUpdateDescriptorSets(context->device, 1, &write, 0, NULL);
}

/* host NULL: what is the session's own; else what is the host's. */
static void write_set(const dvk_session *session, const dvk_bindings *host, VkDescriptorSet set, const dvk_op *op) {
    for (uint32_t i = 0; i < op->binding_count; i++)
        if (dvk_plan_is_external(op->bindings[i].buffer) == (host != NULL))
            write_binding(session, host, set, op, i);
}

static bool is_external(const dvk_op *op) {
    for (uint32_t i = 0; i < op->binding_count; i++)
        if (dvk_plan_is_external(op->bindings[i].buffer))
            return true;
    return false;
}

/* ------------------------------------------------------------------------------------------------ creating */

static dvk_result create_pool(dvk_session *session, dvk_error *error) {
    dvk_context *context = session->model->context;
    const dvk_plan *plan = &session->plan;
    /* Ops with something of the host's have a set for each slot. */
    uint32_t sets = 0, kinds[3] = {0, 0, 0};
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const dvk_op *op = &plan->ops[i];
        const uint32_t copies = is_external(op) ? session->slot_count : 1;
        session->binds |= is_external(op);
        sets += copies;
        for (uint32_t j = 0; j < op->binding_count; j++)
            kinds[op->variant->binding_kinds[j]] += copies;
    }
    VkDescriptorPoolSize sizes[3];
    uint32_t count = 0;
    for (uint32_t i = 0; i < 3; i++)
        if (kinds[i])
            sizes[count++] = (VkDescriptorPoolSize){dvk_descriptor_type((dvk_binding_kind)i), kinds[i]};
    VkDescriptorPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = sets,
        .poolSizeCount = count,
        .pPoolSizes = sizes,
    };
    return dvk_check_vulkan(context->vk.vkCreateDescriptorPool(context->device, &pool, context->vulkan_allocator,
                                                               &session->descriptor_pool),
                            "vkCreateDescriptorPool", error);
}

static dvk_result create_set(dvk_session *session, uint32_t op, VkDescriptorSet *set, dvk_error *error) {
    dvk_context *context = session->model->context;
    VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = session->descriptor_pool,
        .descriptorSetCount = 1,
        .pSetLayouts = &session->recorder.pipelines[op]->set_layout,
    };
    dvk_result status = dvk_check_vulkan(context->vk.vkAllocateDescriptorSets(context->device, &info, set),
                                         "vkAllocateDescriptorSets", error);
    if (status == DVK_OK)
        write_set(session, NULL, *set, &session->plan.ops[op]);
    return status;
}

static dvk_result create_slot_sets(dvk_session *session, dvk_slot *slot, dvk_error *error) {
    const dvk_plan *plan = &session->plan;
    const dvk_allocator *allocator = &session->model->context->allocator;
    slot->sets = dvk_allocate_zeroed(allocator, plan->op_count, sizeof(*slot->sets));
    if (!slot->sets)
        return dvk_fail_memory(error, plan->op_count * sizeof(*slot->sets));
    dvk_result status = DVK_OK;
    for (uint32_t i = 0; i < plan->op_count && status == DVK_OK; i++) {
        slot->sets[i] = session->recorder.sets[i];
        if (is_external(&plan->ops[i]))
            status = create_set(session, i, &slot->sets[i], error);
    }
    return status;
}

dvk_result dvk_descriptors_create(dvk_session *session, dvk_error *error) {
    const dvk_plan *plan = &session->plan;
    dvk_result status = create_pool(session, error);
    for (uint32_t i = 0; i < plan->op_count && status == DVK_OK; i++)
        if (!is_external(&plan->ops[i]))
            status = create_set(session, i, &session->recorder.sets[i], error);
    for (uint32_t i = 0; i < session->slot_count && session->binds && status == DVK_OK; i++)
        status = create_slot_sets(session, &session->slots[i], error);
    return status;
}

dvk_recorder dvk_slot_recorder(const dvk_session *session, const dvk_slot *slot) {
    dvk_recorder recorder = session->recorder;
    if (slot->sets) {
        recorder.sets = slot->sets;
        recorder.layouts = slot->layouts;
    }
    return recorder;
}

/* ------------------------------------------------------------------------------------------------- binding */

static bool is_image(const dvk_plan *plan) {
    return plan->source.desc.kind == DVK_SOURCE_IMAGE;
}

static dvk_result check_source(const dvk_session *session, const dvk_source_binding *source, uint32_t index,
                               dvk_error *error) {
    const uint64_t alignment = session->model->context->limits.minStorageBufferOffsetAlignment;
    if (is_image(&session->plan)) {
        if (!source->view)
            return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_bind: source %u has no view", index);
        if (source->layout && source->layout != VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL &&
            source->layout != VK_IMAGE_LAYOUT_GENERAL)
            return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                            "dvk_session_bind: source %u is in VkImageLayout %u, and must be in "
                            "SHADER_READ_ONLY_OPTIMAL or GENERAL",
                            index, source->layout);
        return DVK_OK;
    }
    if (!source->buffer)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_bind: source %u has no buffer", index);
    if (source->offset % alignment)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_bind: source %u begins at byte %llu, which must be a multiple of the device's "
                        "minStorageBufferOffsetAlignment, %llu",
                        index, (unsigned long long)source->offset, (unsigned long long)alignment);
    return DVK_OK;
}

static dvk_result check_target(const dvk_session *session, const dvk_target_binding *target, uint32_t index,
                               dvk_error *error) {
    const uint64_t alignment = session->model->context->limits.minStorageBufferOffsetAlignment;
    if (session->plan.targets[index].desc.kind != DVK_TARGET_BUFFER) {
        if (!target->view)
            return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_bind: target %u has no view", index);
        if (target->final_layout && !target->image)
            return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                            "dvk_session_bind: target %u has a final_layout, for which its image is needed, too",
                            index);
        return DVK_OK;
    }
    if (!target->buffer)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_bind: target %u has no buffer", index);
    if (target->offset % alignment)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_bind: target %u begins at byte %llu, which must be a multiple of the device's "
                        "minStorageBufferOffsetAlignment, %llu",
                        index, (unsigned long long)target->offset, (unsigned long long)alignment);
    return DVK_OK;
}

static dvk_result check(const dvk_session *session, const dvk_bindings *bindings, dvk_error *error) {
    const dvk_plan *plan = &session->plan;
    const uint32_t most = plan->source.table ? plan->batch : 0;
    if (bindings->source_count > most || (most && !bindings->source_count) ||
        (bindings->source_count && !bindings->sources))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_bind: %u sources, and the session takes %u to %u", bindings->source_count,
                        most ? 1 : 0, most);
    if (bindings->target_count != plan->target_count || (bindings->target_count && !bindings->targets))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_bind: %u targets, and the session has %u",
                        bindings->target_count, plan->target_count);
    dvk_result status = DVK_OK;
    for (uint32_t i = 0; i < bindings->source_count && status == DVK_OK; i++)
        status = check_source(session, &bindings->sources[i], i, error);
    for (uint32_t i = 0; i < bindings->target_count && status == DVK_OK; i++)
        status = check_target(session, &bindings->targets[i], i, error);
    return status;
}

dvk_result dvk_session_bind(dvk_session *session, uint32_t slot_index, const dvk_bindings *bindings, dvk_error *error) {
    if (!bindings)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_bind: bindings is NULL");
    dvk_result status = dvk_session_wait(session, slot_index, 0, error);
    if (status == DVK_OK)
        status = check(session, bindings, error);
    if (status != DVK_OK)
        return status;
    dvk_slot *slot = &session->slots[slot_index];
    for (uint32_t i = 0; i < session->plan.op_count && session->binds; i++)
        write_set(session, bindings, slot->sets[i], &session->plan.ops[i]);
    for (uint32_t i = 0; i < bindings->target_count; i++) {
        const dvk_target_binding *target = &bindings->targets[i];
        slot->layouts[i] = (dvk_target_layout){.image = (VkImage)target->image,
                                               .final = target->final_layout ? (VkImageLayout)target->final_layout
                                                                             : VK_IMAGE_LAYOUT_GENERAL};
    }
    slot->bound = true;
    slot->recorded = !session->binds; /* command buffers are invalid once a set that they bind was written */
    if (session->plan.source.table)
        slot->written = bindings->source_count;
    return DVK_OK;
}
