/* How long every op of a pass takes, by the device's own clock where its queue has one. */
#include "clock.h"
#include "commands.h"
#include "cost_store.h"
#include "memory.h"
#include "session.h"

/* Timestamps count in units of timestampPeriod nanoseconds and wrap at timestampValidBits. */
static uint64_t stamps_to_ns(const dvk_context *context, uint64_t from, uint64_t to) {
    uint64_t mask = context->timestamp_bits < 64 ? (1ull << context->timestamp_bits) - 1 : UINT64_MAX;
    return (uint64_t)((double)((to - from) & mask) * (double)context->limits.timestampPeriod);
}

static dvk_result read_stamps(const dvk_session *session, VkQueryPool pool, uint64_t *start_ns, uint64_t *ns,
                              dvk_error *error) {
    const dvk_context *context = session->model->context;
    const uint32_t count = session->plan.op_count;
    uint64_t *stamps = dvk_allocate_zeroed(&context->allocator, 2 * (size_t)count, sizeof(*stamps));
    if (!stamps)
        return dvk_fail_memory(error, 2 * (size_t)count * sizeof(*stamps));
    dvk_result status = dvk_check_vulkan(context->vk.vkGetQueryPoolResults(context->device, pool, 0, 2 * count,
                                                                           2 * (size_t)count * sizeof(*stamps), stamps,
                                                                           sizeof(*stamps), VK_QUERY_RESULT_64_BIT),
                                         "vkGetQueryPoolResults", error);
    for (uint32_t i = 0; i < count && status == DVK_OK; i++) {
        start_ns[i] = stamps_to_ns(context, stamps[0], stamps[2 * i]);
        ns[i] = stamps_to_ns(context, stamps[2 * i], stamps[2 * i + 1]);
    }
    dvk_release(&context->allocator, stamps);
    return status;
}

static dvk_result run_stamped(dvk_session *session, uint64_t *start_ns, uint64_t *ns, dvk_error *error) {
    dvk_context *context = session->model->context;
    VkQueryPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = 2 * session->plan.op_count,
    };
    static const dvk_submit_params whole;
    dvk_slot *slot = &session->slots[0];
    dvk_pass_style style = {0};
    dvk_result status = dvk_check_vulkan(
        context->vk.vkCreateQueryPool(context->device, &info, context->vulkan_allocator, &style.timestamps),
        "vkCreateQueryPool", error);
    if (status == DVK_OK)
        status = dvk_pass_record_styled(session, slot, style, error);
    if (status == DVK_OK)
        status = dvk_pass_submit(session, slot, &whole, error);
    if (status == DVK_OK) {
        status = dvk_fence_wait(context, slot->fence, UINT64_MAX, error);
        if (status != DVK_OK)
            dvk_fence_settle(context, slot->fence);
    }
    if (status == DVK_OK)
        status = read_stamps(session, style.timestamps, start_ns, ns, error);
    context->vk.vkDestroyQueryPool(context->device, style.timestamps, context->vulkan_allocator);
    return status;
}

/* The host's clock around each submission counts the way there and back, too. */
static dvk_result run_stepped(dvk_session *session, uint64_t *start_ns, uint64_t *ns, dvk_error *error) {
    const dvk_pass_style style = {.stepped = true};
    dvk_slot *slot = &session->slots[0];
    dvk_result status = dvk_pass_record_styled(session, slot, style, error);
    if (status == DVK_OK)
        status = dvk_pass_begin(session, slot, error);
    dvk_position at = {0, 0};
    double first = dvk_now_ms();
    for (uint32_t i = 0; i < slot->pass.count && status == DVK_OK; i++) {
        double start = dvk_now_ms();
        status = dvk_commands_run(session->model->context, slot->pass.commands[i], slot->fence, error);
        if (!at.group) {
            start_ns[at.op] = (uint64_t)((start - first) * 1e6);
            ns[at.op] = 0;
        }
        ns[at.op] += (uint64_t)((dvk_now_ms() - start) * 1e6);
        at = dvk_pass_next(session, style, at);
    }
    return status;
}

dvk_result dvk_session_profile(dvk_session *session, dvk_op_profile *ops, uint32_t capacity, dvk_error *error) {
    if (!session || (!ops && capacity))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_profile: session or ops is NULL");
    for (uint32_t i = 0; i < session->slot_count; i++)
        if (session->slots[i].under_way) {
            dvk_result status = dvk_session_wait(session, i, 0, error);
            if (status != DVK_OK)
                return status;
        }
    if (session->binds && !session->slots[0].bound)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_profile: slot 0 has nothing bound yet: dvk_session_bind() comes first");
    dvk_context *context = session->model->context;
    dvk_slot *slot = &session->slots[0];
    const dvk_plan *plan = &session->plan;
    uint64_t *start_ns = dvk_allocate_zeroed(&context->allocator, 2 * (size_t)plan->op_count, sizeof(*start_ns));
    if (!start_ns)
        return dvk_fail_memory(error, 2 * (size_t)plan->op_count * sizeof(*start_ns));
    uint64_t *ns = start_ns + plan->op_count;
    const uint32_t valid = slot->valid;
    slot->valid = 0;
    dvk_result status =
        context->timestamp_bits ? run_stamped(session, start_ns, ns, error) : run_stepped(session, start_ns, ns, error);
    if (status == DVK_OK)
        status = dvk_buffer_invalidate(context, &slot->readback, error);
    if (status == DVK_OK)
        status = dvk_pass_check(session, slot, error);
    for (uint32_t i = 0; i < plan->op_count && status == DVK_OK; i++) {
        const dvk_op *op = &plan->ops[i];
        session->op_ns[i] = ns[i];
        if (i < capacity)
            ops[i] = (dvk_op_profile){.label = op->label,
                                      .kernel = dvk_kernel_names[op->variant->kernel],
                                      .variant = op->variant->name,
                                      .flops = op->flops,
                                      .bytes = op->bytes,
                                      .start_ns = start_ns[i],
                                      .ns = ns[i]};
    }
    dvk_release(&context->allocator, start_ns);
    if (status == DVK_OK) {
        dvk_pace_start(&session->pace, session->op_ns);
        dvk_costs_store(context, plan, session->op_ns);
    }
    /* Whatever came of it, passes run as before. Where even that fails there is none left, which runs notice. */
    dvk_result recorded = dvk_pass_record(session, status == DVK_OK ? error : NULL);
    if (recorded != DVK_OK)
        dvk_pass_free(session, slot);
    session->info.submissions = slot->pass.count;
    if (status == DVK_OK)
        status = recorded;
    if (status == DVK_OK)
        slot->valid = valid;
    return status;
}
