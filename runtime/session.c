#include "session.h"
#include "targets.h"

#include "cache_file.h"
#include "clock.h"
#include "commands.h"
#include "cost_store.h"
#include "processors.h"
#include "tune.h"
#include "upload.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------------ create */

/* What the model does not have cannot be asked for. */
static dvk_result check_outputs(const dvk_model *model, uint32_t outputs, dvk_error *error) {
    const dvk_model_info *info = &model->info;
    const char *instead = info->has_pooler ? "mean, pooled or patches" : "mean or patches";
    if ((outputs & (DVK_OUTPUT_BIT(DVK_OUTPUT_CLS) | DVK_OUTPUT_BIT(DVK_OUTPUT_ATTENTION))) && !info->has_cls)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "the model %s (%s) has no CLS token, so it has neither its features nor its attention: ask for "
                        "%s",
                        info->name, info->architecture, instead);
    if ((outputs & DVK_OUTPUT_BIT(DVK_OUTPUT_POOLED)) && !info->has_pooler)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "the model %s has no pooler, so it has no pooled output: ask for %smean or patches", info->name,
                        info->has_cls ? "CLS, " : "");
    if ((outputs & DVK_OUTPUT_BIT(DVK_OUTPUT_LOGITS)) && !info->label_count)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "the model %s (%s) has no classifier, so it has no logits: ask for features", info->name,
                        info->architecture);
    if ((outputs & DVK_OUTPUT_BIT(DVK_OUTPUT_EMBEDDING)) && !info->embedding_size)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "the model %s (%s) has no projection, so it has no embedding: ask for features", info->name,
                        info->architecture);
    return DVK_OK;
}

dvk_result dvk_session_plan(const dvk_model *model, const dvk_context *context, const dvk_session_params *params,
                            dvk_plan *plan, uint32_t *outputs, dvk_error *error) {
    dvk_plan_request request = {
        .allocator = &model->allocator,
        .config = &model->config,
        .weights = &model->weights,
        .context = context,
        .batch = params->batch ? params->batch : 1,
        .width = params->width ? params->width : model->info.image_width,
        .height = params->height ? params->height : model->info.image_height,
        .outputs = params->outputs       ? params->outputs
                   : model->info.has_cls ? DVK_OUTPUT_BIT(DVK_OUTPUT_CLS)
                                         : DVK_OUTPUT_BIT(DVK_OUTPUT_MEAN),
        .max_range = context->limits.maxStorageBufferRange,
        .offset_alignment = context->limits.minStorageBufferOffsetAlignment,
    };
    uint32_t patch = model->config.patch_size;
    dvk_result status = DVK_CHECK_RESERVED(params, "dvk_session_create", "session_params", error);
    if (status != DVK_OK)
        return status;
    if ((params->width == 0) != (params->height == 0))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_create: width %u and height %u: give both, or neither", params->width,
                        params->height);
    if (params->source && params->source->kind != DVK_SOURCE_PIXEL_VALUES) {
        status = dvk_source_create(&model->allocator, &model->preprocess, params->source, params->width, params->height,
                                   &plan->source, error);
        if (status != DVK_OK)
            return status;
        request.width = plan->source.width;
        request.height = plan->source.height;
    }
    if (request.width < patch || request.height < patch)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "an input of %ux%u pixels holds no whole patch: each side must be at least %u", request.width,
                        request.height, patch);
    if (request.outputs >> DVK_OUTPUT_COUNT)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_create: unknown output bits in 0x%x",
                        request.outputs);
    status = dvk_targets_check(params->targets, params->target_count, context, &model->info, request.batch, error);
    if (status != DVK_OK)
        return status;
    *outputs = request.outputs;
    request.outputs |= dvk_targets_outputs(params->targets, params->target_count);
    request.targets = params->targets;
    request.target_count = params->target_count;
    status = check_outputs(model, request.outputs, error);
    if (status != DVK_OK)
        return status;
    status = dvk_plan_create(&request, plan, error);
    for (int output = 0; output < DVK_OUTPUT_COUNT; output++) /* what targets alone need is not read back */
        if (!(*outputs & DVK_OUTPUT_BIT(output)))
            plan->outputs[output].rank = 0;
    for (uint32_t i = 0; i < plan->op_count && status == DVK_OK; i++) {
        const dvk_op *op = &plan->ops[i];
        uint32_t grid[3];
        if (!dvk_fold_grid(op->push.groups.group_end, context->limits.maxComputeWorkGroupCount, grid))
            status = dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                              "%s needs %u workgroups, more than the device dispatches: use a smaller size or batch",
                              op->label, op->push.groups.group_end);
    }
    if (status != DVK_OK)
        dvk_plan_free(plan);
    return status;
}

uint64_t dvk_session_row_bytes(const dvk_model *model, const dvk_plan *plan, uint32_t outputs, bool *whole_rows) {
    *whole_rows = (outputs & (DVK_OUTPUT_BIT(DVK_OUTPUT_LAST_HIDDEN_STATE) | DVK_OUTPUT_BIT(DVK_OUTPUT_PATCHES))) != 0;
    return 4ull * model->config.hidden_size * plan->batch * (*whole_rows ? plan->tokens : 1);
}

static dvk_result make_buffers(dvk_session *session, uint32_t slot_count, dvk_error *error) {
    dvk_context *context = session->model->context;
    const dvk_plan *plan = &session->plan;
    session->results_offset = dvk_session_row_bytes(session->model, plan, session->outputs, &session->whole_rows);
    session->upload_guard = plan->source.table ? 0 : plan->buffer_bytes[DVK_PLAN_PIXELS];
    session->readback_guards = session->results_offset + plan->buffer_bytes[DVK_PLAN_RESULTS];
    session->slots = dvk_allocate_zeroed(&context->allocator, slot_count, sizeof(*session->slots));
    if (!session->slots)
        return dvk_fail_memory(error, slot_count * sizeof(*session->slots));
    session->slot_count = slot_count;
    dvk_result status = DVK_OK;
    for (uint32_t i = 0; i < DVK_PLAN_OWN_BUFFERS && status == DVK_OK; i++)
        if (plan->buffer_bytes[i])
            status = dvk_buffer_create(context, DVK_BUFFER_STORAGE, plan->buffer_bytes[i], "the activations",
                                       &session->buffers[i], error);
    for (uint32_t i = 0; i < slot_count && status == DVK_OK; i++)
        status = dvk_slot_create(session, &session->slots[i], error);
    if (status != DVK_OK)
        return status;
    for (uint32_t i = 0; i < DVK_PLAN_OWN_BUFFERS; i++)
        session->info.device_bytes += session->buffers[i].allocated;
    for (uint32_t i = 0; i < slot_count; i++)
        session->info.host_bytes += session->slots[i].upload.allocated + session->slots[i].readback.allocated;
    session->info.device_bytes += session->info.host_bytes;
    return DVK_OK;
}

static dvk_result upload_part(dvk_session *session, const void *values, size_t bytes, const dvk_buffer *target,
                              uint64_t offset, dvk_error *error) {
    dvk_uploader uploader;
    dvk_result status = dvk_uploader_open(session->model->context, &uploader, error);
    if (status != DVK_OK)
        return status;
    for (size_t done = 0; done < bytes && status == DVK_OK; done += DVK_STAGING_BYTES) {
        size_t piece = bytes - done < DVK_STAGING_BYTES ? bytes - done : DVK_STAGING_BYTES;
        status = dvk_upload(&uploader, (const uint8_t *)values + done, piece, target, offset + done, error);
    }
    if (status == DVK_OK)
        status = dvk_upload_finish(&uploader, error);
    dvk_uploader_close(&uploader);
    return status;
}

static dvk_result upload_words(dvk_session *session, const void *values, const dvk_buffer *target, dvk_error *error) {
    return upload_part(session, values, (size_t)target->size, target, 0, error);
}

/* First CLS and the like with their positions, then for every patch the patch bias + its position. */
static dvk_result upload_table(dvk_session *session, bool dino_scale_factor, dvk_error *error) {
    const dvk_model *model = session->model;
    const dvk_weights *weights = &model->weights;
    const dvk_plan *plan = &session->plan;
    const size_t size = model->config.hidden_size, bytes = (size_t)session->buffers[DVK_PLAN_TABLE].size;
    float *table = dvk_allocate_zeroed(&session->model->allocator, 1, bytes);
    if (!table)
        return dvk_fail_memory(error, bytes);
    memcpy(table, weights->prefix, plan->prefix * size * sizeof(float));
    float *patches = table + plan->prefix * size;
    dvk_result status = DVK_OK;
    if (weights->positions) {
        bool antialias = model->config.family->position_kind == DVK_POSITIONS_BICUBIC_ANTIALIAS;
        dvk_position_resize resize = {.antialias = antialias, .dino_scale_factor = dino_scale_factor && !antialias};
        status = dvk_interpolate_positions(&model->allocator, weights->positions, model->config.grid_height,
                                           model->config.grid_width, plan->grid_height, plan->grid_width,
                                           (uint32_t)size, resize, patches, error);
    }
    for (size_t i = 0; i < (plan->tokens - plan->prefix) * size; i++)
        patches[i] += weights->patch_bias[i % size];
    if (status == DVK_OK)
        status = upload_words(session, table, &session->buffers[DVK_PLAN_TABLE], error);
    dvk_release(&session->model->allocator, table);
    return status;
}

static dvk_result upload_angles(dvk_session *session, dvk_error *error) {
    const dvk_buffer *target = &session->buffers[DVK_PLAN_ANGLES];
    if (!session->plan.buffer_bytes[DVK_PLAN_ANGLES])
        return DVK_OK;
    float *angles = dvk_allocate(&session->model->allocator, (size_t)target->size);
    if (!angles)
        return dvk_fail_memory(error, (size_t)target->size);
    dvk_rotary_angles(session->plan.grid_height, session->plan.grid_width, session->model->config.head_dim,
                      session->model->config.rope_theta, angles);
    dvk_result status = upload_words(session, angles, target, error);
    dvk_release(&session->model->allocator, angles);
    return status;
}

/* Fixed numbers in -1..1 for a search to start from. */
static void fill_start(float *values, size_t count) {
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u; /* Numerical Recipes, 7.1 */
        values[i] = (float)(state >> 8) * 0x1p-23f - 1.0f;
    }
}

/* The host's: the mean, then the three directions column by column, with a fourth that is zero. Else where the search
 * for directions begins. */
static dvk_result upload_basis(dvk_session *session, const dvk_plan_target *target, dvk_error *error) {
    const size_t size = session->model->config.hidden_size, count = target->desc.basis ? 5 * size : 4 * size;
    const dvk_allocator *allocator = &session->model->allocator;
    float *values = dvk_allocate_zeroed(allocator, count, sizeof(*values));
    if (!values)
        return dvk_fail_memory(error, count * sizeof(*values));
    if (target->desc.basis) {
        memcpy(values, target->desc.mean, size * sizeof(*values));
        for (size_t c = 0; c < size; c++)
            for (size_t k = 0; k < 3; k++)
                values[size + 4 * c + k] = target->desc.basis[k * size + c];
    } else {
        fill_start(values, count);
    }
    dvk_result status = upload_part(session, values, count * sizeof(*values), &session->buffers[DVK_PLAN_PICTURES],
                                    target->desc.basis ? target->basis : target->start, error);
    dvk_release(allocator, values);
    return status;
}

static dvk_result upload_bases(dvk_session *session, dvk_error *error) {
    dvk_plan *plan = &session->plan;
    dvk_result status = DVK_OK;
    for (uint32_t i = 0; i < plan->target_count && status == DVK_OK; i++) {
        dvk_plan_target *target = &plan->targets[i];
        if (target->desc.kind == DVK_TARGET_PCA)
            status = upload_basis(session, target, error);
        target->desc.mean = target->desc.basis = NULL; /* the host's, of this call alone */
    }
    return status;
}

static dvk_result make_pipelines(dvk_session *session, dvk_error *error) {
    const dvk_plan *plan = &session->plan;
    session->recorder.context = session->model->context;
    session->recorder.plan = plan;
    session->recorder.pipelines =
        dvk_allocate_zeroed(&session->model->allocator, plan->op_count, sizeof(*session->recorder.pipelines));
    session->recorder.sets =
        dvk_allocate_zeroed(&session->model->allocator, plan->op_count, sizeof(*session->recorder.sets));
    if (!session->recorder.pipelines || !session->recorder.sets)
        return dvk_fail_memory(error, plan->op_count * sizeof(*session->recorder.sets));
    dvk_result status = DVK_OK;
    for (uint32_t i = 0; i < plan->op_count && status == DVK_OK; i++)
        status = dvk_pipeline_get(session->model->context, plan->ops[i].variant, plan->ops[i].specialisation,
                                  &session->recorder.pipelines[i], error);
    return status;
}

/* How long a submission may take. A software driver has no watchdog. */
static uint64_t budget_ns(const dvk_context *context, const dvk_session_params *params) {
    if (params->submit_budget_ms == UINT32_MAX)
        return UINT64_MAX;
    if (params->submit_budget_ms)
        return params->submit_budget_ms * 1000000ull;
    return context->info.type == DVK_DEVICE_CPU ? UINT64_MAX : DVK_SUBMIT_BUDGET_NS;
}

static dvk_result record(dvk_session *session, const dvk_session_params *params, dvk_error *error) {
    dvk_context *context = session->model->context;
    session->op_ns = dvk_allocate_zeroed(&context->allocator, session->plan.op_count, sizeof(*session->op_ns));
    if (!session->op_ns)
        return dvk_fail_memory(error, session->plan.op_count * sizeof(*session->op_ns));
    if (!dvk_costs_load(context, &session->plan, session->op_ns))
        dvk_schedule_estimate(&session->plan, dvk_rates_of(context->info.type), session->op_ns);
    session->budget_ns = budget_ns(context, params);
    /* A software driver gives each processor workgroups of its own, each of which may take milliseconds. */
    const uint32_t at_once = context->info.type == DVK_DEVICE_CPU ? dvk_count_processors() : 1;
    dvk_result status = dvk_pace_create(&session->plan, &context->allocator, at_once, &session->pace, error);
    if (status != DVK_OK)
        return status;
    dvk_pace_start(&session->pace, session->op_ns);
    return dvk_pass_record(session, error);
}

static void fill_info(dvk_session *session) {
    const dvk_plan *plan = &session->plan;
    session->info.batch = plan->batch;
    session->info.width = plan->width;
    session->info.height = plan->height;
    session->info.grid_width = plan->grid_width;
    session->info.grid_height = plan->grid_height;
    session->info.tokens = plan->tokens;
    session->info.dispatches = plan->op_count;
    session->info.submissions = session->slots[0].pass.count;
    session->info.slots = session->slot_count;
    session->info.end = (dvk_position){plan->op_count, 0};
    session->info.flops = plan->flops;
    dvk_plan_fingerprint(plan, session->info.fingerprint);
}

/* Plans until every variant is proven. */
static dvk_result plan_and_settle(dvk_session *session, const dvk_session_params *params, dvk_error *error) {
    dvk_context *context = session->model->context;
    for (;;) {
        bool again = false;
        dvk_result status = dvk_session_plan(session->model, context, params, &session->plan, &session->outputs, error);
        if (status == DVK_OK)
            status = dvk_settle(context, &session->plan, &again, error);
        if (status != DVK_OK || !again)
            return status;
        dvk_plan_free(&session->plan);
    }
}

dvk_result dvk_session_create(dvk_model *model, const dvk_session_params *params, dvk_session **session_out,
                              dvk_error *error) {
    static const dvk_session_params defaults;
    if (!model || !session_out)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_session_create: model or session is NULL");
    if (!model->context)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_create: the model was loaded without a context, for its info alone");
    if (!params)
        params = &defaults;
    if (params->in_flight > DVK_MAX_SLOTS)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_create: %u passes in flight, at most %d are possible", params->in_flight,
                        DVK_MAX_SLOTS);
    double start = dvk_now_ms();
    dvk_session *session = dvk_allocate_zeroed(&model->allocator, 1, sizeof(*session));
    if (!session)
        return dvk_fail_memory(error, sizeof(*session));
    session->model = model;
    dvk_result status = plan_and_settle(session, params, error);
    if (status == DVK_OK)
        status = make_buffers(session, params->in_flight ? params->in_flight : 1, error);
    if (status == DVK_OK)
        status = upload_table(session, params->dino_scale_factor, error);
    if (status == DVK_OK)
        status = upload_angles(session, error);
    if (status == DVK_OK)
        status = upload_bases(session, error);
    if (status == DVK_OK && session->plan.source.table)
        status = upload_words(session, session->plan.source.table, &session->buffers[DVK_PLAN_RESIZE], error);
    if (status == DVK_OK)
        status = make_pipelines(session, error);
    if (status == DVK_OK)
        status = dvk_descriptors_create(session, error);
    if (status == DVK_OK)
        status = record(session, params, error);
    if (status != DVK_OK) {
        dvk_session_destroy(&session);
        return status;
    }
    fill_info(session);
    session->info.prepare_ms = dvk_now_ms() - start;
    *session_out = session;
    return DVK_OK;
}

void dvk_session_destroy(dvk_session **session_pointer) {
    if (!session_pointer || !*session_pointer)
        return;
    dvk_session *session = *session_pointer;
    dvk_context *context = session->model->context;
    for (uint32_t i = 0; i < session->slot_count; i++) /* waits, so before all that the slots share */
        dvk_slot_destroy(session, &session->slots[i]);
    context->vk.vkDestroyDescriptorPool(context->device, session->descriptor_pool, context->vulkan_allocator);
    for (uint32_t i = 0; i < DVK_PLAN_OWN_BUFFERS; i++)
        dvk_buffer_destroy(context, &session->buffers[i]);
    dvk_release(&context->allocator, session->slots);
    dvk_release(&context->allocator, session->recorder.pipelines);
    dvk_release(&context->allocator, session->recorder.sets);
    dvk_release(&context->allocator, session->op_ns);
    dvk_pace_free(&session->pace);
    dvk_plan_free(&session->plan);
    dvk_release(&context->allocator, session);
    *session_pointer = NULL;
}

const dvk_session_info *dvk_session_get_info(const dvk_session *session) {
    return &session->info;
}

size_t dvk_session_print_plan(const dvk_session *session, char *text, size_t size) {
    return dvk_plan_print(&session->plan, text, size);
}

size_t dvk_session_print_variants(const dvk_session *session, char *text, size_t size) {
    return dvk_plan_print_variants(&session->plan, text, size);
}
