/* What a session would need, without a device to ask. */
#include "session.h"

/* Stands in for a device: the limits that desktop GPUs share. They decide how a pass is cut into dispatches, which
 * changes neither its work nor its memory. */
static const dvk_context usual_device = {
    .device_class = DVK_CLASS_GPU,
    .info = {.name = "of the estimate"},
    .limits =
        {
            .maxImageArrayLayers = 2048,
            .maxImageDimension2D = 16384,
            .maxStorageBufferRange = UINT32_MAX,
            .minStorageBufferOffsetAlignment = 256,
            .maxComputeSharedMemorySize = 32768,
            .maxComputeWorkGroupCount = {65535, 65535, 65535},
            .maxComputeWorkGroupInvocations = 1024,
            .maxComputeWorkGroupSize = {1024, 1024, 64},
        },
};

dvk_result dvk_model_estimate(const dvk_model *model, const dvk_session_params *params, dvk_estimate *estimate,
                              dvk_error *error) {
    static const dvk_session_params defaults;
    if (!model || !estimate)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_model_estimate: model or estimate is NULL");
    dvk_plan plan = {0};
    uint32_t outputs;
    dvk_result status = dvk_session_plan(model, &usual_device, params ? params : &defaults, &plan, &outputs, error);
    if (status != DVK_OK) {
        dvk_plan_free(&plan);
        return status;
    }
    const dvk_weights *weights = &model->weights;
    *estimate = (dvk_estimate){
        .batch = plan.batch,
        .width = plan.width,
        .height = plan.height,
        .grid_width = plan.grid_width,
        .grid_height = plan.grid_height,
        .tokens = plan.tokens,
        .flops = plan.flops,
        .weight_bytes[DVK_PRECISION_AUTO] = weights->packed_bytes[weights->type],
        .weight_bytes[DVK_PRECISION_FP32] = weights->packed_bytes[DVK_WEIGHT_FP32],
        .weight_bytes[DVK_PRECISION_FP16] = weights->packed_bytes[DVK_WEIGHT_FP16],
        .weight_bytes[DVK_PRECISION_INT8] = weights->packed_bytes[DVK_WEIGHT_INT8],
    };
    /* Pixels and results exist twice: on the device, and mapped for the host. */
    bool whole_rows;
    estimate->session_bytes = (plan.source.table ? 0 : plan.buffer_bytes[DVK_PLAN_PIXELS]) +
                              plan.buffer_bytes[DVK_PLAN_RESULTS] +
                              dvk_session_row_bytes(model, &plan, outputs, &whole_rows);
    for (uint32_t i = 0; i < DVK_PLAN_OWN_BUFFERS; i++)
        estimate->session_bytes += plan.buffer_bytes[i];
    dvk_plan_free(&plan);
    return DVK_OK;
}
