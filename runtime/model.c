#include "model.h"

#include "config.h"

#include <stdio.h>

static const char *dtype_name(dvk_dtype dtype) {
    switch (dtype) {
    case DVK_DTYPE_F32:
        return "F32";
    case DVK_DTYPE_F16:
        return "F16";
    case DVK_DTYPE_BF16:
        return "BF16";
    case DVK_DTYPE_OTHER:
        break;
    }
    return "?";
}

static dvk_weight_type weight_type(dvk_precision precision, const dvk_checkpoint *checkpoint) {
    if (precision == DVK_PRECISION_AUTO)
        precision = checkpoint->matrix_dtype == DVK_DTYPE_F16 ? DVK_PRECISION_FP16 : DVK_PRECISION_FP32;
    return precision == DVK_PRECISION_INT8   ? DVK_WEIGHT_INT8
           : precision == DVK_PRECISION_FP16 ? DVK_WEIGHT_FP16
                                             : DVK_WEIGHT_FP32;
}

static dvk_precision precision_of(dvk_weight_type type) {
    return type == DVK_WEIGHT_INT8   ? DVK_PRECISION_INT8
           : type == DVK_WEIGHT_FP16 ? DVK_PRECISION_FP16
                                     : DVK_PRECISION_FP32;
}

static void fill_info(dvk_model *model, const dvk_checkpoint *checkpoint) {
    const dvk_vit_config *config = &checkpoint->config;
    dvk_model_info *info = &model->info;
    snprintf(info->name, sizeof(info->name), "%s", checkpoint->name);
    snprintf(info->architecture, sizeof(info->architecture), "%s", config->architecture);
    info->hidden_size = config->hidden_size;
    info->layers = config->layers;
    info->heads = config->heads;
    info->head_dim = config->head_dim;
    info->mlp_size = config->mlp_size;
    info->patch_size = config->patch_size;
    /* What the processor makes of a square image: the model's natural input. */
    dvk_preprocess_output_size(&checkpoint->preprocess, 0, 0, config->image_width, config->image_height,
                               &info->image_width, &info->image_height);
    info->position_grid_width = config->grid_width;
    info->position_grid_height = config->grid_height;
    info->prefix_tokens = config->prefix_tokens;
    info->has_cls = config->family->cls_token != NULL;
    info->has_pooler = config->family->pooled == DVK_POOLED_DENSE ? checkpoint->pooler.weight != NULL
                                                                  : config->family->pooled != DVK_POOLED_NONE;
    info->label_count = config->label_count;
    info->embedding_size = config->projection_size;
    info->precision = precision_of(model->weights.type);
    snprintf(info->stored_dtype, sizeof(info->stored_dtype), "%s", dtype_name(checkpoint->matrix_dtype));
    info->parameters = checkpoint->parameters;
    info->device_bytes = model->weights.device_bytes;
    snprintf(info->resample, sizeof(info->resample), "%s", dvk_resample_name(checkpoint->preprocess.resample));
    for (int i = 0; i < 3; i++) {
        info->image_mean[i] = (float)checkpoint->preprocess.mean[i];
        info->image_std[i] = (float)checkpoint->preprocess.std[i];
    }
    info->untrained = config->untrained;
}

dvk_result dvk_model_load(dvk_context *context, const dvk_model_params *params, dvk_model **model_out,
                          dvk_error *error) {
    if (!params || !model_out)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_model_load: params or model is NULL");
    if (params->precision != DVK_PRECISION_AUTO && params->precision != DVK_PRECISION_FP32 &&
        params->precision != DVK_PRECISION_FP16 && params->precision != DVK_PRECISION_INT8)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_model_load: %d is no dvk_precision",
                        (int)params->precision);
    dvk_result status = DVK_CHECK_RESERVED(params, "dvk_model_load", "model_params", error);
    if (status == DVK_OK)
        status = dvk_check_allocator(params->allocator, "dvk_model_load", error);
    if (status != DVK_OK)
        return status;
    dvk_allocator allocator = {0};
    if (context)
        allocator = context->allocator;
    else if (params->allocator)
        allocator = *params->allocator;
    dvk_model_params own = *params;
    own.allocator = &allocator;
    dvk_checkpoint checkpoint;
    status = dvk_checkpoint_open(&own, &checkpoint, error);
    if (status != DVK_OK)
        return status;
    dvk_model *model = dvk_allocate_zeroed(&allocator, 1, sizeof(*model));
    if (!model) {
        dvk_checkpoint_close(&checkpoint);
        return dvk_fail_memory(error, sizeof(*model));
    }
    model->context = context;
    model->allocator = allocator;
    model->config = checkpoint.config;
    model->preprocess = checkpoint.preprocess;
    status =
        dvk_weights_create(context, &checkpoint, weight_type(params->precision, &checkpoint), &model->weights, error);
    if (status == DVK_OK) {
        fill_info(model, &checkpoint);
        checkpoint.config.labels = NULL; /* the model's now */
    }
    dvk_checkpoint_close(&checkpoint);
    if (status != DVK_OK) {
        dvk_release(&allocator, model);
        return status;
    }
    *model_out = model;
    return DVK_OK;
}

void dvk_model_destroy(dvk_model **model) {
    if (!model || !*model)
        return;
    const dvk_allocator allocator = (*model)->allocator;
    dvk_weights_destroy((*model)->context, &allocator, &(*model)->weights);
    dvk_config_free(&allocator, &(*model)->config);
    dvk_release(&allocator, *model);
    *model = NULL;
}

const dvk_model_info *dvk_model_get_info(const dvk_model *model) {
    return &model->info;
}

const char *dvk_model_label(const dvk_model *model, uint32_t index) {
    const dvk_vit_config *config = &model->config;
    return config->labels && index < config->label_count ? config->labels[index] : NULL;
}

void dvk_preprocess_size(const dvk_model *model, const dvk_preprocess_params *params, const dvk_image *image,
                         uint32_t *width, uint32_t *height) {
    static const dvk_preprocess_params defaults;
    if (!params)
        params = &defaults;
    dvk_preprocess_output_size(&model->preprocess, params->width, params->height, image->width, image->height, width,
                               height);
}

dvk_result dvk_preprocess(const dvk_model *model, const dvk_preprocess_params *params, const dvk_image *image,
                          float *pixel_values, uint8_t *resized, dvk_error *error) {
    static const dvk_preprocess_params defaults;
    if (!model || !image || !image->pixels || !pixel_values)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_preprocess: model, image or pixel_values is NULL");
    if (!params)
        params = &defaults;
    dvk_result status = DVK_CHECK_RESERVED(params, "dvk_preprocess", "preprocess_params", error);
    if (status != DVK_OK)
        return status;
    if (!params->width != !params->height)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_preprocess: width %u and height %u: give both, or neither", params->width, params->height);
    if (params->order != DVK_RESIZE_NEWEST && params->order != DVK_RESIZE_CLASSIC)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_preprocess: %d is no dvk_resize_order",
                        (int)params->order);
    return dvk_preprocess_image(&model->allocator, &model->preprocess, params->width, params->height, params->order,
                                image, pixel_values, resized, error);
}
