/* Compute pipelines, made once per context for each (variant, specialisation) and shared by its sessions. */
#ifndef DVK_PIPELINE_H_
#define DVK_PIPELINE_H_

#include "context.h"

/* The specialisation constants that a plan sets; the variant's own come from its table row. */
typedef struct dvk_specialisation {
    uint32_t activation; /* matmul: dvk_activation */
    uint32_t residual;   /* matmul: dvk_residual */
    uint32_t head_dim;   /* attention, attention_row */
    uint32_t patch_size; /* matmul: 0, or of the images that it reads */
} dvk_specialisation;

struct dvk_pipeline {
    dvk_pipeline *next;
    const dvk_variant *variant;
    dvk_specialisation specialisation;
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipeline handle;
};

enum { DVK_PUSH_BYTES = 128 }; /* of every pipeline layout: the least that maxPushConstantsSize may be */

VkDescriptorType dvk_descriptor_type(dvk_binding_kind kind);

/* Finds or makes one; it lives as long as the context. */
dvk_result dvk_pipeline_get(dvk_context *context, const dvk_variant *variant, dvk_specialisation specialisation,
                            const dvk_pipeline **found, dvk_error *error);
void dvk_pipelines_destroy(dvk_context *context);

/* Whether a session whose matrices are `weight` may use the variant for a kernel, whatever the device can do. */
bool dvk_variant_serves(const dvk_variant *variant, dvk_kernel kernel, dvk_weight_type weight);

#endif
