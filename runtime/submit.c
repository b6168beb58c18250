/* A session's passes: input in, submitted, waited for, outputs out. */
#include "cache_file.h"
#include "commands.h"
#include "session.h"

#include <string.h>

static dvk_result check_slot(const dvk_session *session, uint32_t slot, const char *function, dvk_error *error) {
    if (!session)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "%s: session is NULL", function);
    if (slot >= session->slot_count)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "%s: slot %u, the session has %u (in_flight), counted from 0", function, slot,
                        session->slot_count);
    return DVK_OK;
}

/* A pass that is done, whatever came of it, leaves its slot free. */
static dvk_result finish(dvk_session *session, dvk_slot *slot, uint64_t timeout_ns, dvk_error *error) {
    dvk_context *context = session->model->context;
    if (!slot->under_way)
        return DVK_OK;
    dvk_result status = dvk_fence_wait(context, slot->fence, timeout_ns, error);
    if (status == DVK_TIMEOUT)
        return status;
    if (status != DVK_OK)
        dvk_fence_settle(context, slot->fence);
    slot->under_way = false;
    if (status == DVK_OK)
        status = dvk_buffer_invalidate(context, &slot->readback, error);
    if (status == DVK_OK)
        status = dvk_pass_check(session, slot, error);
    if (status != DVK_OK)
        return status;
    slot->valid = slot->written;
    slot->host_reads = false;
    dvk_cache_save(context);
    return DVK_OK;
}

dvk_result dvk_session_write(dvk_session *session, uint32_t index, const float *pixel_values, uint32_t count,
                             dvk_error *error) {
    dvk_result status = check_slot(session, index, "dvk_session_write", error);
    if (status != DVK_OK)
        return status;
    const dvk_plan *plan = &session->plan;
    dvk_slot *slot = &session->slots[index];
    if (!pixel_values)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_write: pixel_values is NULL");
    if (plan->source.table)
        return dvk_fail(
            error, DVK_ERROR_INVALID_ARGUMENT,
            "dvk_session_write: the session's input is a source on the device, which dvk_session_bind() names");
    if (!count || count > plan->batch)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_write: %u images, the session takes 1 to %u",
                        count, plan->batch);
    status = finish(session, slot, 0, error);
    if (status != DVK_OK)
        return status;
    size_t image_floats = 3 * (size_t)plan->width * plan->height;
    for (uint32_t image = 0; image < count; image++)
        memcpy((uint8_t *)slot->upload.mapped + image * plan->pixel_stride, pixel_values + image * image_floats,
               image_floats * sizeof(float));
    slot->written = count;
    return dvk_buffer_flush(session->model->context, &slot->upload, error);
}

static dvk_result check_semaphores(const dvk_context *context, const dvk_semaphore *semaphores, uint32_t count,
                                   const char *which, dvk_error *error) {
    if (count > DVK_MAX_SEMAPHORES || (count && !semaphores))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_submit: %u semaphores to %s at %s, at most %d are possible", count, which,
                        semaphores ? "some address" : "NULL", DVK_MAX_SEMAPHORES);
    for (uint32_t i = 0; i < count; i++)
        if (semaphores[i].value && !(context->features.bits & DVK_FEATURE_TIMELINE_SEMAPHORE))
            return dvk_fail(
                error, DVK_ERROR_INVALID_ARGUMENT,
                "dvk_session_submit: semaphore %u to %s has a value, and dvk_import.features does not attest "
                "DVK_FEATURE_TIMELINE_SEMAPHORE",
                i, which);
    return DVK_OK;
}

dvk_result dvk_session_submit(dvk_session *session, const dvk_submit_params *params, dvk_error *error) {
    static const dvk_submit_params defaults;
    if (!params)
        params = &defaults;
    dvk_result status = check_slot(session, params->slot, "dvk_session_submit", error);
    if (status != DVK_OK)
        return status;
    status = DVK_CHECK_RESERVED(params, "dvk_session_submit", "submit_params", error);
    if (status != DVK_OK)
        return status;
    dvk_context *context = session->model->context;
    status = check_semaphores(context, params->wait, params->wait_count, "wait for", error);
    if (status == DVK_OK)
        status = check_semaphores(context, params->signal, params->signal_count, "signal", error);
    if (status != DVK_OK)
        return status;
    dvk_slot *slot = &session->slots[params->slot];
    status = finish(session, slot, 0, error);
    if (status != DVK_OK)
        return status;
    if (session->binds && !slot->bound)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_submit: slot %u has nothing bound yet: dvk_session_bind() comes first",
                        params->slot);
    if (!slot->written)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_submit: slot %u has no input yet: dvk_session_write() gives it one", params->slot);
    if (!slot->recorded)
        status = dvk_pass_record_styled(session, slot, (dvk_pass_style){0}, error);
    if (status != DVK_OK)
        return status;
    slot->valid = 0;
    status = dvk_pass_submit(session, slot, params, error);
    slot->under_way = status == DVK_OK;
    return status;
}

dvk_result dvk_session_wait(dvk_session *session, uint32_t slot, uint64_t timeout_ns, dvk_error *error) {
    dvk_result status = check_slot(session, slot, "dvk_session_wait", error);
    return status == DVK_OK ? finish(session, &session->slots[slot], timeout_ns, error) : status;
}

/* What dvk_session_write() is to a session with a source. */
static dvk_result count_sources(dvk_session *session, uint32_t count, dvk_error *error) {
    if (!count || count > session->plan.batch)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_run: %u images, the session takes 1 to %u",
                        count, session->plan.batch);
    session->slots[0].written = count;
    return DVK_OK;
}

dvk_result dvk_session_run(dvk_session *session, const float *pixel_values, uint32_t count, dvk_error *error) {
    if (session && session->slots[0].under_way)
        return DVK_TIMEOUT;
    dvk_result status = session && session->plan.source.table && !pixel_values
                            ? count_sources(session, count, error)
                            : dvk_session_write(session, 0, pixel_values, count, error);
    if (status == DVK_OK)
        status = dvk_session_submit(session, NULL, error);
    if (status == DVK_OK)
        status = dvk_session_wait(session, 0, UINT64_MAX, error);
    return status;
}

/* ------------------------------------------------------------------------------------------------- outputs */

uint32_t dvk_session_shape(const dvk_session *session, dvk_output output, uint32_t shape[2]) {
    if ((uint32_t)output >= DVK_OUTPUT_COUNT)
        return 0;
    const dvk_plan_output *place = &session->plan.outputs[output];
    for (uint32_t i = 0; i < place->rank; i++)
        shape[i] = place->shape[i];
    return place->rank;
}

static uint64_t offset_in_readback(const dvk_session *session, dvk_output output, uint32_t index) {
    const dvk_plan_output *place = &session->plan.outputs[output];
    if (place->buffer == DVK_PLAN_RESULTS)
        return session->results_offset + place->offset + index * place->image_stride;
    if (session->whole_rows)
        return place->offset + index * place->image_stride;
    return index * (uint64_t)place->shape[0] * sizeof(float); /* CLS rows alone */
}

dvk_result dvk_session_read_slot(const dvk_session *session, uint32_t slot_index, dvk_output output, uint32_t index,
                                 float *values, size_t capacity, dvk_error *error) {
    dvk_result status = check_slot(session, slot_index, "dvk_session_read", error);
    if (status != DVK_OK)
        return status;
    if (!values)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_read: values is NULL");
    const dvk_slot *slot = &session->slots[slot_index];
    uint32_t shape[2] = {0, 0};
    uint32_t rank = dvk_session_shape(session, output, shape);
    if (!rank)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_read: output %d was not asked for when the session was created", (int)output);
    if (slot->under_way)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_read: slot %u is under way: dvk_session_wait() comes first", slot_index);
    if (index >= slot->valid)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_read: image %u, the last run had %u", index,
                        slot->valid);
    size_t count = rank == 2 ? (size_t)shape[0] * shape[1] : shape[0];
    if (capacity < count)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_read: the output has %zu floats, room is for %zu", count, capacity);
    if (slot->host_reads)
        status = dvk_buffer_invalidate(session->model->context, &slot->readback, error);
    if (status == DVK_OK)
        memcpy(values, (const uint8_t *)slot->readback.mapped + offset_in_readback(session, output, index),
               count * sizeof(float));
    return status;
}

dvk_result dvk_session_read(const dvk_session *session, dvk_output output, uint32_t index, float *values,
                            size_t capacity, dvk_error *error) {
    return dvk_session_read_slot(session, 0, output, index, values, capacity, error);
}
