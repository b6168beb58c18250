#include "layer.h"
#include "shader_needs.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct shader {
    size_t count; /* words */
    uint32_t words[];
} shader;

static const VkPhysicalDeviceLimits *limits(void) {
    return &limits_current.properties.limits;
}

/* ---------------------------------------------------------------------------------------------------- buffers */

static VKAPI_ATTR VkResult VKAPI_CALL claim_vkCreateBuffer(VkDevice device, const VkBufferCreateInfo *info,
                                                           const VkAllocationCallbacks *callbacks, VkBuffer *made) {
    VkResult result = limits_next.vkCreateBuffer(device, info, callbacks, made);
    if (result == VK_SUCCESS)
        *(VkDeviceSize *)limits_remember(LIMITS_BUFFER, LIMITS_KEY(*made), sizeof(VkDeviceSize)) = info->size;
    return result;
}

static VKAPI_ATTR void VKAPI_CALL claim_vkDestroyBuffer(VkDevice device, VkBuffer buffer,
                                                        const VkAllocationCallbacks *callbacks) {
    limits_forget(LIMITS_BUFFER, LIMITS_KEY(buffer));
    limits_next.vkDestroyBuffer(device, buffer, callbacks);
}

static VKAPI_ATTR void VKAPI_CALL claim_vkUpdateDescriptorSets(VkDevice device, uint32_t write_count,
                                                               const VkWriteDescriptorSet *writes, uint32_t copy_count,
                                                               const VkCopyDescriptorSet *copies) {
    for (uint32_t i = 0; i < write_count; i++) {
        if (writes[i].descriptorType != VK_DESCRIPTOR_TYPE_STORAGE_BUFFER)
            continue;
        for (uint32_t j = 0; j < writes[i].descriptorCount; j++) {
            const VkDescriptorBufferInfo *info = &writes[i].pBufferInfo[j];
            const VkDeviceSize size = *(VkDeviceSize *)limits_recall(LIMITS_BUFFER, LIMITS_KEY(info->buffer));
            const VkDeviceSize range = info->range == VK_WHOLE_SIZE ? size - info->offset : info->range;
            if (range > limits()->maxStorageBufferRange)
                limits_broken("%llu bytes are bound as a storage buffer; the limit is %u", (unsigned long long)range,
                              limits()->maxStorageBufferRange);
            if (!range || info->offset > size || range > size - info->offset)
                limits_broken("bytes %llu to %llu of a buffer of %llu are bound", (unsigned long long)info->offset,
                              (unsigned long long)(info->offset + range), (unsigned long long)size);
            if (info->offset % limits()->minStorageBufferOffsetAlignment)
                limits_broken("a storage buffer is bound at %llu; the alignment is %llu",
                              (unsigned long long)info->offset,
                              (unsigned long long)limits()->minStorageBufferOffsetAlignment);
        }
    }
    limits_next.vkUpdateDescriptorSets(device, write_count, writes, copy_count, copies);
}

/* ---------------------------------------------------------------------------------------------------- layouts */

typedef struct set_layout {
    uint32_t buffers, images, textures;
} set_layout;

static VKAPI_ATTR VkResult VKAPI_CALL claim_vkCreateDescriptorSetLayout(VkDevice device,
                                                                        const VkDescriptorSetLayoutCreateInfo *info,
                                                                        const VkAllocationCallbacks *callbacks,
                                                                        VkDescriptorSetLayout *made) {
    VkResult result = limits_next.vkCreateDescriptorSetLayout(device, info, callbacks, made);
    if (result != VK_SUCCESS)
        return result;
    set_layout *layout = limits_remember(LIMITS_SET_LAYOUT, LIMITS_KEY(*made), sizeof(*layout));
    for (uint32_t i = 0; i < info->bindingCount; i++) {
        const VkDescriptorType type = info->pBindings[i].descriptorType;
        const uint32_t count = info->pBindings[i].descriptorCount;
        if (type == VK_DESCRIPTOR_TYPE_STORAGE_BUFFER)
            layout->buffers += count;
        else if (type == VK_DESCRIPTOR_TYPE_STORAGE_IMAGE)
            layout->images += count;
        else if (type == VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE)
            layout->textures += count;
        else
            limits_broken("a descriptor has the type %d, which this layer does not count", (int)type);
    }
    return result;
}

static VKAPI_ATTR void VKAPI_CALL claim_vkDestroyDescriptorSetLayout(VkDevice device, VkDescriptorSetLayout layout,
                                                                     const VkAllocationCallbacks *callbacks) {
    limits_forget(LIMITS_SET_LAYOUT, LIMITS_KEY(layout));
    limits_next.vkDestroyDescriptorSetLayout(device, layout, callbacks);
}

static void check_push(uint32_t offset, uint32_t size) {
    if (offset % 4 || size % 4 || (uint64_t)offset + size > limits()->maxPushConstantsSize)
        limits_broken("bytes %u to %u of push constants are used; the limit is %u", offset, offset + size,
                      limits()->maxPushConstantsSize);
}

static VKAPI_ATTR VkResult VKAPI_CALL claim_vkCreatePipelineLayout(VkDevice device,
                                                                   const VkPipelineLayoutCreateInfo *info,
                                                                   const VkAllocationCallbacks *callbacks,
                                                                   VkPipelineLayout *made) {
    set_layout sum = {0};
    for (uint32_t i = 0; i < info->setLayoutCount; i++) {
        const set_layout *layout = limits_recall(LIMITS_SET_LAYOUT, LIMITS_KEY(info->pSetLayouts[i]));
        sum.buffers += layout->buffers;
        sum.images += layout->images;
        sum.textures += layout->textures;
    }
    if (info->setLayoutCount > limits()->maxBoundDescriptorSets ||
        sum.buffers > limits()->maxPerStageDescriptorStorageBuffers ||
        sum.images > limits()->maxPerStageDescriptorStorageImages ||
        sum.textures > limits()->maxPerStageDescriptorSampledImages)
        limits_broken("a pipeline has %u sets with %u storage buffers, %u storage images and %u sampled images",
                      info->setLayoutCount, sum.buffers, sum.images, sum.textures);
    for (uint32_t i = 0; i < info->pushConstantRangeCount; i++)
        check_push(info->pPushConstantRanges[i].offset, info->pPushConstantRanges[i].size);
    return limits_next.vkCreatePipelineLayout(device, info, callbacks, made);
}

static VKAPI_ATTR void VKAPI_CALL claim_vkCmdPushConstants(VkCommandBuffer commands, VkPipelineLayout layout,
                                                           VkShaderStageFlags stages, uint32_t offset, uint32_t size,
                                                           const void *values) {
    check_push(offset, size);
    limits_next.vkCmdPushConstants(commands, layout, stages, offset, size, values);
}

/* ---------------------------------------------------------------------------------------------------- shaders */

static VKAPI_ATTR VkResult VKAPI_CALL claim_vkCreateShaderModule(VkDevice device, const VkShaderModuleCreateInfo *info,
                                                                 const VkAllocationCallbacks *callbacks,
                                                                 VkShaderModule *made) {
    VkResult result = limits_next.vkCreateShaderModule(device, info, callbacks, made);
    if (result != VK_SUCCESS)
        return result;
    shader *module = limits_remember(LIMITS_SHADER, LIMITS_KEY(*made), sizeof(*module) + info->codeSize);
    module->count = info->codeSize / sizeof(uint32_t);
    memcpy(module->words, info->pCode, info->codeSize);
    return result;
}

static VKAPI_ATTR void VKAPI_CALL claim_vkDestroyShaderModule(VkDevice device, VkShaderModule module,
                                                              const VkAllocationCallbacks *callbacks) {
    limits_forget(LIMITS_SHADER, LIMITS_KEY(module));
    limits_next.vkDestroyShaderModule(device, module, callbacks);
}

static void check_features(const shader_needs *needs) {
    const limits_device *device = &limits_current;
    const struct {
        bool needed;
        VkBool32 enabled;
        const char *name;
    } list[] = {
        {needs->fp16, device->fp16, "shaderFloat16"},
        {needs->storage16, device->storage16, "storageBuffer16BitAccess"},
        {needs->int64, device->int64, "shaderInt64"},
        {needs->dot_product, device->dot_product, "shaderIntegerDotProduct"},
        {needs->matrices, device->matrices, "cooperativeMatrix"},
        {needs->memory_model, device->memory_model, "vulkanMemoryModel"},
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        if (list[i].needed && !list[i].enabled)
            limits_broken("a shader needs %s, which is off", list[i].name);
    if (needs->unknown_capability)
        limits_broken("a shader has the capability %u, of which this layer does not know what it needs",
                      needs->unknown_capability);
    if (needs->subgroup_operations & ~device->subgroup.supportedOperations)
        limits_broken("a shader has the subgroup operations 0x%x; there are 0x%x", needs->subgroup_operations,
                      device->subgroup.supportedOperations);
}

static void check_workgroup(const shader_needs *needs) {
    uint64_t invocations = 1;
    for (int i = 0; i < 3; i++) {
        invocations *= needs->local_size[i];
        if (!needs->local_size[i] || needs->local_size[i] > limits()->maxComputeWorkGroupSize[i])
            limits_broken("a workgroup has %u invocations along axis %d; the limit is %u", needs->local_size[i], i,
                          limits()->maxComputeWorkGroupSize[i]);
    }
    if (invocations > limits()->maxComputeWorkGroupInvocations)
        limits_broken("a workgroup has %llu invocations; the limit is %u", (unsigned long long)invocations,
                      limits()->maxComputeWorkGroupInvocations);
    if (needs->shared_bytes > limits()->maxComputeSharedMemorySize)
        limits_broken("a workgroup shares %u bytes; the limit is %u", needs->shared_bytes,
                      limits()->maxComputeSharedMemorySize);
}

/* The subgroup size that a stage asks for; 0: none. */
static uint32_t check_subgroup_size(const VkPipelineShaderStageCreateInfo *stage, const shader_needs *needs) {
    const limits_device *device = &limits_current;
    const VkPhysicalDeviceSubgroupSizeControlProperties *control = &device->size_control;
    const bool full = stage->flags & VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    uint32_t size = 0;
    for (const VkBaseInStructure *next = stage->pNext; next; next = next->pNext)
        if (next->sType == VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO)
            size =
                ((const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo *)(const void *)next)->requiredSubgroupSize;
    if ((size && !device->size_control_enabled) || (full && !device->full_subgroups))
        limits_broken("a stage asks for subgroups of %u%s, and the feature is off", size, full ? ", all full" : "");
    if (size && (size < control->minSubgroupSize || size > control->maxSubgroupSize || (size & (size - 1))))
        limits_broken("a stage asks for subgroups of %u; they have %u to %u", size, control->minSubgroupSize,
                      control->maxSubgroupSize);
    const uint32_t invocations = needs->local_size[0] * needs->local_size[1] * needs->local_size[2];
    if (size && invocations > (uint64_t)size * control->maxComputeWorkgroupSubgroups)
        limits_broken("a workgroup of %u invocations has subgroups of %u; the limit is %u of them", invocations, size,
                      control->maxComputeWorkgroupSubgroups);
    if (full && needs->local_size[0] % (size ? size : device->subgroup.subgroupSize))
        limits_broken("a workgroup of %u invocations asks for full subgroups of %u", needs->local_size[0],
                      size ? size : device->subgroup.subgroupSize);
    return size;
}

static VKAPI_ATTR VkResult VKAPI_CALL claim_vkCreateComputePipelines(VkDevice device, VkPipelineCache cache,
                                                                     uint32_t count,
                                                                     const VkComputePipelineCreateInfo *infos,
                                                                     const VkAllocationCallbacks *callbacks,
                                                                     VkPipeline *made) {
    if (count != 1)
        limits_broken("%u pipelines are made at once, which this layer does not read", count);
    VkComputePipelineCreateInfo real = infos[0];
    const shader *module = limits_recall(LIMITS_SHADER, LIMITS_KEY(real.stage.module));
    shader_needs needs;
    if (!shader_needs_read(module->words, module->count, real.stage.pSpecializationInfo, &needs))
        limits_broken("a shader is no SPIR-V that this layer understands");
    check_features(&needs);
    check_workgroup(&needs);
    if (check_subgroup_size(&real.stage, &needs) && limits_claimed.subgroup) {
        real.stage.pNext = NULL; /* the driver has no such size */
        real.stage.flags = 0;
    }
    return limits_next.vkCreateComputePipelines(device, cache, 1, &real, callbacks, made);
}

/* --------------------------------------------------------------------------------------------------- commands */

static VKAPI_ATTR void VKAPI_CALL claim_vkCmdDispatch(VkCommandBuffer commands, uint32_t x, uint32_t y, uint32_t z) {
    const uint32_t grid[3] = {x, y, z};
    for (int i = 0; i < 3; i++)
        if (grid[i] > limits()->maxComputeWorkGroupCount[i])
            limits_broken("a grid is %u x %u x %u; the limits are %u, %u and %u", x, y, z,
                          limits()->maxComputeWorkGroupCount[0], limits()->maxComputeWorkGroupCount[1],
                          limits()->maxComputeWorkGroupCount[2]);
    static atomic_ullong count;
    if (limits_claimed.drop && ++count % limits_claimed.drop == 0)
        return;
    limits_next.vkCmdDispatch(commands, x, y, z);
}

static VKAPI_ATTR void VKAPI_CALL claim_vkCmdWriteTimestamp(VkCommandBuffer commands, VkPipelineStageFlagBits stage,
                                                            VkQueryPool pool, uint32_t query) {
    if (limits_claimed.hide & HIDE_TIMESTAMPS)
        limits_broken("a timestamp is written on a queue that has none");
    limits_next.vkCmdWriteTimestamp(commands, stage, pool, query);
}

PFN_vkVoidFunction limits_find_promise(const char *name) {
    FIND(vkCreateBuffer);
    FIND(vkDestroyBuffer);
    FIND(vkUpdateDescriptorSets);
    FIND(vkCreateDescriptorSetLayout);
    FIND(vkDestroyDescriptorSetLayout);
    FIND(vkCreatePipelineLayout);
    FIND(vkCmdPushConstants);
    FIND(vkCreateShaderModule);
    FIND(vkDestroyShaderModule);
    FIND(vkCreateComputePipelines);
    FIND(vkCmdDispatch);
    FIND(vkCmdWriteTimestamp);
    return NULL;
}
