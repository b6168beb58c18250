/* A session's pass, or a range of it, in a command buffer of the host's. */
#include "session.h"

/* At the end of the plan, or at a workgroup of an op. */
static bool is_position(const dvk_plan *plan, dvk_position position) {
    return position.op < plan->op_count ? position.group < plan->ops[position.op].push.groups.group_end
                                        : position.op == plan->op_count && !position.group;
}

static bool is_range(const dvk_plan *plan, dvk_position first, dvk_position last) {
    return is_position(plan, first) && is_position(plan, last) &&
           (first.op < last.op || (first.op == last.op && first.group < last.group));
}

static bool is_start(dvk_position position) {
    return !position.op && !position.group;
}

static dvk_result check(const dvk_session *session, const dvk_record_params *params, dvk_position first,
                        dvk_position last, dvk_error *error) {
    const dvk_plan *plan = &session->plan;
    dvk_result status = DVK_CHECK_RESERVED(params, "dvk_session_record", "record_params", error);
    if (status != DVK_OK)
        return status;
    if (!params->command_buffer)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_record: command_buffer is NULL");
    if (params->slot >= session->slot_count)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_record: slot %u, the session has %u (in_flight), counted from 0", params->slot,
                        session->slot_count);
    if (session->slots[params->slot].under_way)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_record: slot %u is under way: dvk_session_wait() comes first", params->slot);
    if (session->binds && !session->slots[params->slot].bound)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_record: slot %u has nothing bound yet: dvk_session_bind() comes first",
                        params->slot);
    if (params->flags & ~(uint32_t)(DVK_RECORD_UPLOAD | DVK_RECORD_READBACK))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_record: unknown bits in flags 0x%x",
                        params->flags);
    if (params->count > plan->batch)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_record: count %u, the session takes 1 to %u",
                        params->count, plan->batch);
    if (!is_range(plan, first, last))
        return dvk_fail(
            error, DVK_ERROR_INVALID_ARGUMENT,
            "dvk_session_record: from workgroup %u of op %u to %u of %u is no range of a pass of %u ops: take "
            "positions from dvk_session_slice()",
            first.group, first.op, last.group, last.op, plan->op_count);
    return DVK_OK;
}

dvk_result dvk_session_record(dvk_session *session, const dvk_record_params *params, dvk_error *error) {
    if (!session || !params)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_record: session or params is NULL");
    const dvk_position first = params->first, last = is_start(params->last) ? session->info.end : params->last;
    dvk_result status = check(session, params, first, last, error);
    if (status != DVK_OK)
        return status;
    const dvk_plan *plan = &session->plan;
    dvk_slot *slot = &session->slots[params->slot];
    VkCommandBuffer commands = params->command_buffer;
    if (is_start(first)) { /* record_ops begins later ranges with a barrier of its own */
        dvk_record_follow(session, commands);
        if (params->flags & DVK_RECORD_UPLOAD)
            dvk_record_upload(session, slot, commands);
    }
    const dvk_recorder recorder = dvk_slot_recorder(session, slot);
    dvk_record_ops(&recorder, commands, first, last);
    if (dvk_position_is_end(plan, last) && params->flags & DVK_RECORD_READBACK) {
        dvk_record_readback(session, slot, commands);
        dvk_record_host_reads(session, commands);
        slot->valid = params->count ? params->count : plan->batch;
        slot->host_reads = true;
    }
    return DVK_OK;
}

dvk_position dvk_session_slice(const dvk_session *session, dvk_position from, uint32_t budget_us) {
    if (!is_position(&session->plan, from) || dvk_position_is_end(&session->plan, from))
        return session->info.end;
    return dvk_pace_next(&session->pace, &session->plan, from, budget_us * UINT64_C(1000));
}

dvk_result dvk_session_learn(dvk_session *session, dvk_position first, dvk_position last, uint32_t took_us,
                             dvk_error *error) {
    if (!session)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_learn: session is NULL");
    if (!is_range(&session->plan, first, last))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_learn: from workgroup %u of op %u to %u of %u is no range of a pass of %u ops: "
                        "take the positions that were recorded",
                        first.group, first.op, last.group, last.op, session->plan.op_count);
    dvk_pace_learn(&session->pace, &session->plan, first, last, took_us * UINT64_C(1000));
    return DVK_OK;
}
