/* What a host may ask a pass to leave on the device: checked here, made by plan_targets.c. */
#include "targets.h"

static dvk_result refuse_format(uint32_t index, uint32_t format, const char *which, dvk_error *error) {
    return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                    "target %u: an image of VkFormat %u cannot be written: use R16G16B16A16_SFLOAT or "
                    "R32G32B32A32_SFLOAT%s",
                    index, format, which);
}

bool dvk_target_kernel(dvk_target_kind kind, uint32_t format, dvk_kernel *kernel) {
    const bool features = kind == DVK_TARGET_FEATURES;
    switch (format) {
    case VK_FORMAT_R8G8B8A8_UNORM:
        *kernel = DVK_KERNEL_PICTURE_RGBA8;
        return !features;
    case VK_FORMAT_R16G16B16A16_SFLOAT:
        *kernel = features ? DVK_KERNEL_FEATURES_RGBA16F : DVK_KERNEL_PICTURE_RGBA16F;
        return true;
    case VK_FORMAT_R32G32B32A32_SFLOAT:
        *kernel = features ? DVK_KERNEL_FEATURES_RGBA32F : DVK_KERNEL_PICTURE_RGBA32F;
        return true;
    case VK_FORMAT_R32_SFLOAT:
        *kernel = DVK_KERNEL_PICTURE_R32F;
        return kind == DVK_TARGET_ATTENTION;
    default:
        return false;
    }
}

static dvk_result check_target(const dvk_target_desc *target, uint32_t index, const dvk_context *context,
                               const dvk_model_info *info, uint32_t batch, dvk_error *error) {
    dvk_result status = DVK_CHECK_RESERVED(target, "dvk_session_create", "target_desc", error);
    if (status != DVK_OK)
        return status;
    dvk_kernel kernel;
    if (target->kind < DVK_TARGET_BUFFER || target->kind > DVK_TARGET_FEATURES || target->filter < DVK_TARGET_NEAREST ||
        target->filter > DVK_TARGET_BILINEAR || (uint32_t)target->output >= DVK_OUTPUT_COUNT)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "target %u: kind %d, filter %d or output %d is not declared in dino_vk.h", index,
                        (int)target->kind, (int)target->filter, (int)target->output);
    if (target->kind == DVK_TARGET_BUFFER)
        return DVK_OK;
    if (target->image >= batch)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "target %u: image %u, the session takes %u", index,
                        target->image, batch);
    if (!dvk_target_kernel(target->kind, target->format, &kernel))
        return refuse_format(index, target->format,
                             target->kind == DVK_TARGET_FEATURES    ? ""
                             : target->kind == DVK_TARGET_ATTENTION ? ", R8G8B8A8_UNORM or R32_SFLOAT"
                                                                    : " or R8G8B8A8_UNORM",
                             error);
    if (target->kind == DVK_TARGET_ATTENTION && target->head > info->heads)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "target %u: head %u, which is number %u counted from 0: the model has %u", index, target->head,
                        target->head - 1, info->heads);
    if (target->kind == DVK_TARGET_PCA && !target->mean != !target->basis)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "target %u: PCA takes a mean and a basis, or neither",
                        index);
    if (target->kind == DVK_TARGET_FEATURES && info->hidden_size / 4 > context->limits.maxImageArrayLayers)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "target %u: %u features are %u layers, and the device's images have at most %u: use a buffer",
                        index, info->hidden_size, info->hidden_size / 4, context->limits.maxImageArrayLayers);
    if ((target->width == 0) != (target->height == 0) || target->width > context->limits.maxImageDimension2D ||
        target->height > context->limits.maxImageDimension2D)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "target %u: an image of %ux%u: expected two sides of at most %u, or neither", index,
                        target->width, target->height, context->limits.maxImageDimension2D);
    return DVK_OK;
}

dvk_result dvk_targets_check(const dvk_target_desc *targets, uint32_t count, const dvk_context *context,
                             const dvk_model_info *info, uint32_t batch, dvk_error *error) {
    if (count > DVK_MAX_TARGETS || (count && !targets))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_session_create: %u targets at %s, at most %d are possible", count,
                        targets ? "some address" : "NULL", DVK_MAX_TARGETS);
    dvk_result status = DVK_OK;
    for (uint32_t i = 0; i < count && status == DVK_OK; i++)
        status = check_target(&targets[i], i, context, info, batch, error);
    return status;
}

uint32_t dvk_targets_outputs(const dvk_target_desc *targets, uint32_t count) {
    uint32_t outputs = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (targets[i].kind == DVK_TARGET_BUFFER)
            outputs |= DVK_OUTPUT_BIT(targets[i].output);
        else if (targets[i].kind == DVK_TARGET_ATTENTION)
            outputs |= DVK_OUTPUT_BIT(DVK_OUTPUT_ATTENTION);
    }
    return outputs;
}
