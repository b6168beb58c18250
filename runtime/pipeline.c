#include "pipeline.h"

#include <string.h>

bool dvk_variant_serves(const dvk_variant *variant, dvk_kernel kernel, dvk_weight_type weight) {
    return variant->kernel == kernel && (variant->weight == DVK_WEIGHT_NONE || variant->weight == weight) &&
           (!variant->half_products || weight == DVK_WEIGHT_FP16);
}

VkDescriptorType dvk_descriptor_type(dvk_binding_kind kind) {
    return kind == DVK_BINDING_TEXTURE ? VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE
           : kind == DVK_BINDING_IMAGE ? VK_DESCRIPTOR_TYPE_STORAGE_IMAGE
                                       : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
}

static dvk_result create_layouts(dvk_context *context, dvk_pipeline *pipeline, dvk_error *error) {
    VkDescriptorSetLayoutBinding bindings[DVK_MAX_BINDINGS];
    for (uint32_t i = 0; i < pipeline->variant->binding_count; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = dvk_descriptor_type(pipeline->variant->binding_kinds[i]),
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    VkDescriptorSetLayoutCreateInfo set_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = pipeline->variant->binding_count,
        .pBindings = bindings,
    };
    dvk_result status =
        dvk_check_vulkan(context->vk.vkCreateDescriptorSetLayout(context->device, &set_info, context->vulkan_allocator,
                                                                 &pipeline->set_layout),
                         "vkCreateDescriptorSetLayout", error);
    if (status != DVK_OK)
        return status;
    VkPushConstantRange range = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .offset = 0, .size = DVK_PUSH_BYTES};
    VkPipelineLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &pipeline->set_layout,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &range,
    };
    return dvk_check_vulkan(
        context->vk.vkCreatePipelineLayout(context->device, &info, context->vulkan_allocator, &pipeline->layout),
        "vkCreatePipelineLayout", error);
}

static dvk_result create_pipeline(dvk_context *context, dvk_pipeline *pipeline, dvk_error *error) {
    const dvk_variant *variant = pipeline->variant;
    enum { MAX_CONSTANTS = 1 + DVK_CONSTANT_VARIANT_COUNT + 4 };
    uint32_t values[MAX_CONSTANTS];
    VkSpecializationMapEntry entries[MAX_CONSTANTS];
    uint32_t count = 0;
#define ADD(id, value)                                                                                                 \
    do {                                                                                                               \
        entries[count] = (VkSpecializationMapEntry){(id), count * (uint32_t)sizeof(uint32_t), sizeof(uint32_t)};       \
        values[count++] = (value);                                                                                     \
    } while (0)
    ADD(DVK_CONSTANT_LOCAL_SIZE, dvk_variant_local_size(variant, &context->features));
    for (uint32_t i = 0; i < variant->constant_count; i++)
        ADD(DVK_CONSTANT_VARIANT_FIRST + i, variant->constants[i]);
    ADD(DVK_CONSTANT_ACTIVATION, pipeline->specialisation.activation);
    ADD(DVK_CONSTANT_RESIDUAL, pipeline->specialisation.residual);
    if (pipeline->specialisation.head_dim) /* else the shader's own default stands */
        ADD(DVK_CONSTANT_HEAD_DIM, pipeline->specialisation.head_dim);
    ADD(DVK_CONSTANT_PATCH_SIZE, pipeline->specialisation.patch_size);
#undef ADD
    VkSpecializationInfo specialisation = {
        .mapEntryCount = count,
        .pMapEntries = entries,
        .dataSize = count * sizeof(uint32_t),
        .pData = values,
    };
    VkShaderModuleCreateInfo module_info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = variant->spirv_bytes,
        .pCode = variant->spirv,
    };
    VkShaderModule module;
    dvk_result status = dvk_check_vulkan(
        context->vk.vkCreateShaderModule(context->device, &module_info, context->vulkan_allocator, &module),
        "vkCreateShaderModule", error);
    if (status != DVK_OK)
        return status;
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup_size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = dvk_variant_subgroup_size(variant, &context->features),
    };
    const bool sized = subgroup_size.requiredSubgroupSize != 0;
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = context->pipeline_flags,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = sized ? &subgroup_size : NULL,
                  .flags = sized ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &specialisation},
        .layout = pipeline->layout,
    };
    VkResult result = context->vk.vkCreateComputePipelines(context->device, context->pipeline_cache, 1, &info,
                                                           context->vulkan_allocator, &pipeline->handle);
    context->vk.vkDestroyShaderModule(context->device, module, context->vulkan_allocator);
    return dvk_check_vulkan(result, "vkCreateComputePipelines", error);
}

static void destroy(dvk_context *context, dvk_pipeline *pipeline) {
    context->vk.vkDestroyPipeline(context->device, pipeline->handle, context->vulkan_allocator);
    context->vk.vkDestroyPipelineLayout(context->device, pipeline->layout, context->vulkan_allocator);
    context->vk.vkDestroyDescriptorSetLayout(context->device, pipeline->set_layout, context->vulkan_allocator);
    dvk_release(&context->allocator, pipeline);
}

dvk_result dvk_pipeline_get(dvk_context *context, const dvk_variant *variant, dvk_specialisation specialisation,
                            const dvk_pipeline **found, dvk_error *error) {
    for (dvk_pipeline *pipeline = context->pipelines; pipeline; pipeline = pipeline->next)
        if (pipeline->variant == variant &&
            memcmp(&pipeline->specialisation, &specialisation, sizeof(specialisation)) == 0) {
            *found = pipeline;
            return DVK_OK;
        }
    dvk_pipeline *pipeline = dvk_allocate_zeroed(&context->allocator, 1, sizeof(*pipeline));
    if (!pipeline)
        return dvk_fail_memory(error, sizeof(*pipeline));
    pipeline->variant = variant;
    pipeline->specialisation = specialisation;
    dvk_result status = create_layouts(context, pipeline, error);
    if (status == DVK_OK)
        status = create_pipeline(context, pipeline, error);
    if (status != DVK_OK) {
        destroy(context, pipeline);
        return status;
    }
    pipeline->next = context->pipelines;
    context->pipelines = pipeline;
    context->new_pipelines = true;
    *found = pipeline;
    return DVK_OK;
}

void dvk_pipelines_destroy(dvk_context *context) {
    while (context->pipelines) {
        dvk_pipeline *next = context->pipelines->next;
        destroy(context, context->pipelines);
        context->pipelines = next;
    }
}
