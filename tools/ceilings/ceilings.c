/* The one part of the command that reaches behind dino_vk.h, for the context's device: it runs kernels that the library
 * does not have. */
#include "ceilings.h"

#include <math.h>
#include <string.h>

#include "buffer.h"
#include "ceilings_spirv.h"
#include "../../runtime/commands.h" /* not the command's own */
#include "context.h"
#include "message.h"

#define STEPS 32 /* as in ceiling.glsl */

/* A run of about this long is timed on the host: submitting and waiting add tens of microseconds. */
#define TARGET_MS 15.0
#define REPEATS 5

struct kernel {
    const uint32_t *code;
    size_t code_bytes;
    uint32_t local_size, groups;
    uint32_t constants[4]; /* ids 1.. */
    uint32_t push[2];
    uint32_t buffer_count;
};

struct bench {
    dvk_context *context;
    dvk_buffer buffers[2]; /* result or target; source */
    VkFence fence;
};

/* Everything that one kernel needs, for as long as it is measured. */
struct pipeline {
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipeline handle;
    VkDescriptorPool pool;
    VkDescriptorSet set;
};

static void destroy_pipeline(const struct bench *bench, struct pipeline *pipeline) {
    dvk_context *context = bench->context;
    const VkAllocationCallbacks *allocator = context->vulkan_allocator;
    context->vk.vkDestroyDescriptorPool(context->device, pipeline->pool, allocator);
    context->vk.vkDestroyPipeline(context->device, pipeline->handle, allocator);
    context->vk.vkDestroyPipelineLayout(context->device, pipeline->layout, allocator);
    context->vk.vkDestroyDescriptorSetLayout(context->device, pipeline->set_layout, allocator);
}

static dvk_result create_layout(const struct bench *bench, const struct kernel *kernel, struct pipeline *pipeline,
                                dvk_error *error) {
    dvk_context *context = bench->context;
    VkDescriptorSetLayoutBinding bindings[2];
    for (uint32_t i = 0; i < kernel->buffer_count; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    VkDescriptorSetLayoutCreateInfo set_info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                                .bindingCount = kernel->buffer_count,
                                                .pBindings = bindings};
    dvk_result status =
        dvk_check_vulkan(context->vk.vkCreateDescriptorSetLayout(context->device, &set_info, context->vulkan_allocator,
                                                                 &pipeline->set_layout),
                         "vkCreateDescriptorSetLayout", error);
    if (status != DVK_OK)
        return status;
    VkPushConstantRange range = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = sizeof(kernel->push)};
    VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                       .setLayoutCount = 1,
                                       .pSetLayouts = &pipeline->set_layout,
                                       .pushConstantRangeCount = 1,
                                       .pPushConstantRanges = &range};
    return dvk_check_vulkan(
        context->vk.vkCreatePipelineLayout(context->device, &info, context->vulkan_allocator, &pipeline->layout),
        "vkCreatePipelineLayout", error);
}

static dvk_result create_shader(const struct bench *bench, const struct kernel *kernel, struct pipeline *pipeline,
                                dvk_error *error) {
    dvk_context *context = bench->context;
    VkShaderModuleCreateInfo module_info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = kernel->code_bytes, .pCode = kernel->code};
    VkShaderModule module;
    dvk_result status = dvk_check_vulkan(
        context->vk.vkCreateShaderModule(context->device, &module_info, context->vulkan_allocator, &module),
        "vkCreateShaderModule", error);
    if (status != DVK_OK)
        return status;
    uint32_t values[5] = {kernel->local_size};
    VkSpecializationMapEntry entries[5];
    memcpy(values + 1, kernel->constants, sizeof(kernel->constants));
    for (uint32_t i = 0; i < 5; i++)
        entries[i] = (VkSpecializationMapEntry){i, i * (uint32_t)sizeof(uint32_t), sizeof(uint32_t)};
    VkSpecializationInfo specialisation = {5, entries, sizeof(values), values};
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &specialisation},
        .layout = pipeline->layout,
    };
    VkResult result = context->vk.vkCreateComputePipelines(context->device, VK_NULL_HANDLE, 1, &info,
                                                           context->vulkan_allocator, &pipeline->handle);
    context->vk.vkDestroyShaderModule(context->device, module, context->vulkan_allocator);
    return dvk_check_vulkan(result, "vkCreateComputePipelines", error);
}

static dvk_result create_set(const struct bench *bench, const struct kernel *kernel, struct pipeline *pipeline,
                             dvk_error *error) {
    dvk_context *context = bench->context;
    VkDescriptorPoolSize size = {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .descriptorCount = 2};
    VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = 1, .poolSizeCount = 1, .pPoolSizes = &size};
    dvk_result status = dvk_check_vulkan(
        context->vk.vkCreateDescriptorPool(context->device, &info, context->vulkan_allocator, &pipeline->pool),
        "vkCreateDescriptorPool", error);
    if (status != DVK_OK)
        return status;
    VkDescriptorSetAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                            .descriptorPool = pipeline->pool,
                                            .descriptorSetCount = 1,
                                            .pSetLayouts = &pipeline->set_layout};
    status = dvk_check_vulkan(context->vk.vkAllocateDescriptorSets(context->device, &allocate, &pipeline->set),
                              "vkAllocateDescriptorSets", error);
    for (uint32_t i = 0; i < kernel->buffer_count && status == DVK_OK; i++) {
        VkDescriptorBufferInfo buffer = {bench->buffers[i].handle, 0, VK_WHOLE_SIZE};
        VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                      .dstSet = pipeline->set,
                                      .dstBinding = i,
                                      .descriptorCount = 1,
                                      .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                      .pBufferInfo = &buffer};
        context->vk.vkUpdateDescriptorSets(context->device, 1, &write, 0, NULL);
    }
    return status;
}

/* One submission of the kernel, or of a copy where `pipeline` is NULL; *ms is what it took. */
static dvk_result run_once(struct bench *bench, const struct kernel *kernel, const struct pipeline *pipeline,
                           double *ms, dvk_error *error) {
    dvk_context *context = bench->context;
    const struct VolkDeviceTable *vk = &context->vk;
    VkCommandBuffer commands = VK_NULL_HANDLE;
    dvk_result status = dvk_commands_begin(context, VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT, &commands, error);
    if (status == DVK_OK) {
        if (pipeline) {
            vk->vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->handle);
            vk->vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->layout, 0, 1,
                                        &pipeline->set, 0, NULL);
            vk->vkCmdPushConstants(commands, pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(kernel->push),
                                   kernel->push);
            vk->vkCmdDispatch(commands, kernel->groups, 1, 1);
        } else {
            VkBufferCopy region = {.size = bench->buffers[0].size};
            vk->vkCmdCopyBuffer(commands, bench->buffers[1].handle, bench->buffers[0].handle, 1, &region);
        }
        status = dvk_check_vulkan(vk->vkEndCommandBuffer(commands), "vkEndCommandBuffer", error);
    }
    if (status == DVK_OK) {
        double start = now_ms();
        status = dvk_commands_run(context, commands, bench->fence, error);
        *ms = now_ms() - start;
    }
    if (commands)
        vk->vkFreeCommandBuffers(context->device, context->command_pool, 1, &commands);
    return status;
}

static dvk_result best_of(struct bench *bench, const struct kernel *kernel, const struct pipeline *pipeline,
                          double *best_ms, dvk_error *error) {
    *best_ms = HUGE_VAL;
    dvk_result status = DVK_OK;
    for (int i = 0; i < REPEATS && status == DVK_OK; i++) {
        double ms = 0.0;
        status = run_once(bench, kernel, pipeline, &ms, error);
        if (status == DVK_OK && ms < *best_ms)
            *best_ms = ms;
    }
    return status;
}

/* Operations in 10^9 a second, with as many rounds as fill TARGET_MS. One round comes first: it compiles, and it is
 * short on the slowest device. */
static dvk_result measure_arithmetic(struct bench *bench, struct kernel *kernel, double flops_per_round, double *gflops,
                                     dvk_error *error) {
    const float term = 0.2f;
    struct pipeline pipeline = {0};
    dvk_result status = create_layout(bench, kernel, &pipeline, error);
    if (status == DVK_OK)
        status = create_shader(bench, kernel, &pipeline, error);
    if (status == DVK_OK)
        status = create_set(bench, kernel, &pipeline, error);
    double ms = 0.0;
    memcpy(&kernel->push[0], &term, sizeof(term));
    for (kernel->push[1] = 1; status == DVK_OK; kernel->push[1] *= 4) {
        status = run_once(bench, kernel, &pipeline, &ms, error);
        if (kernel->push[1] > 1 && ms > TARGET_MS / 4.0)
            break;
    }
    if (status == DVK_OK)
        status = best_of(bench, kernel, &pipeline, &ms, error);
    if (status == DVK_OK)
        *gflops = flops_per_round * kernel->push[1] / ms * 1e-6;
    destroy_pipeline(bench, &pipeline);
    return status;
}

/* The best over several numbers of chains: the fewest that hide the latency, the most that stay in registers. */
static dvk_result measure_chains(struct bench *bench, struct kernel *kernel, double flops_per_chain, double *gflops,
                                 dvk_error *error) {
    static const uint32_t chains[] = {4, 8, 13, 14};
    dvk_result status = DVK_OK;
    for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]) && status == DVK_OK; i++) {
        double found;
        kernel->constants[0] = chains[i];
        status = measure_arithmetic(bench, kernel, flops_per_chain * STEPS * chains[i], &found, error);
        if (status == DVK_OK && found > *gflops)
            *gflops = found;
    }
    return status;
}

/* Cooperative matrices of halves with sums of fp32, in every shape that the device lists. */
static dvk_result measure_matrices(struct bench *bench, struct ceilings *ceilings, uint32_t invocations,
                                   dvk_error *error) {
    static const uint32_t chains[] = {2, 4, 8};
    const dvk_device_features *features = &bench->context->features;
    dvk_result status = DVK_OK;
    if (!spirv_matrix_bytes || !(features->bits & DVK_FEATURE_COOPERATIVE_MATRIX) || !features->subgroup_size)
        return DVK_OK;
    for (uint32_t i = 0; i < features->shape_count; i++) {
        const dvk_matrix_shape *shape = &features->shapes[i];
        if (shape->factors != DVK_COMPONENT_FLOAT16 || shape->sum != DVK_COMPONENT_FLOAT32)
            continue;
        struct kernel kernel = {.code = spirv_matrix,
                                .code_bytes = spirv_matrix_bytes,
                                .local_size = 4 * features->subgroup_size,
                                .constants = {0, shape->m, shape->n, shape->k},
                                .buffer_count = 1};
        uint64_t most = bench->buffers[0].size / (4 * sizeof(float) * shape->m * shape->n);
        kernel.groups = invocations / kernel.local_size;
        kernel.groups = kernel.groups < most ? kernel.groups : (uint32_t)most;
        for (size_t j = 0; j < sizeof(chains) / sizeof(chains[0]) && status == DVK_OK; j++) {
            double found, flops = 2.0 * shape->m * shape->n * shape->k * 4 * kernel.groups;
            kernel.constants[0] = chains[j];
            status = measure_arithmetic(bench, &kernel, flops * STEPS * chains[j], &found, error);
            if (status == DVK_OK && found > ceilings->matrix_gflops) {
                ceilings->matrix_gflops = found;
                ceilings->matrix[0] = shape->m;
                ceilings->matrix[1] = shape->n;
                ceilings->matrix[2] = shape->k;
            }
        }
    }
    return status;
}

/* By a kernel and by the driver's own copy: the faster one. */
static dvk_result measure_copy(struct bench *bench, struct ceilings *ceilings, dvk_error *error) {
    const uint64_t bytes = bench->buffers[0].size;
    struct kernel kernel = {.code = spirv_copy,
                            .code_bytes = spirv_copy_bytes,
                            .local_size = 64,
                            .groups = 2048,
                            .push = {(uint32_t)(bytes / 16), 64 * 2048},
                            .buffer_count = 2};
    struct pipeline pipeline = {0};
    dvk_result status = create_layout(bench, &kernel, &pipeline, error);
    if (status == DVK_OK)
        status = create_shader(bench, &kernel, &pipeline, error);
    if (status == DVK_OK)
        status = create_set(bench, &kernel, &pipeline, error);
    double ms = 0.0, other_ms = 0.0;
    if (status == DVK_OK)
        status = best_of(bench, &kernel, &pipeline, &ms, error);
    if (status == DVK_OK)
        status = best_of(bench, &kernel, NULL, &other_ms, error);
    if (status == DVK_OK) {
        ceilings->copy_working_set = 2 * bytes;
        ceilings->copy_gbytes = 2.0 * (double)bytes / fmin(ms, other_ms) * 1e-6;
    }
    destroy_pipeline(bench, &pipeline);
    return status;
}

/* Beyond the last cache where there is room: 128 MiB each, which every device can bind. */
static uint64_t buffer_bytes(const dvk_device_info *device) {
    uint64_t bytes = device->type == DVK_DEVICE_DISCRETE ? (uint64_t)128 << 20 : (uint64_t)64 << 20;
    while (bytes > (uint64_t)1 << 20 && bytes > device->device_memory / 16)
        bytes /= 2;
    return bytes;
}

dvk_result ceilings_measure(dvk_context *context, struct ceilings *ceilings, dvk_error *error) {
    *ceilings = (struct ceilings){0};
    struct bench bench = {.context = context};
    const bool software = context->info.type == DVK_DEVICE_CPU;
    /* Several times what fills the largest GPU of today; of a CPU's cores, tens of groups each. */
    const uint32_t invocations = software ? 32 * 256 : 1 << 19;
    dvk_result status = DVK_OK;
    for (int i = 0; i < 2 && status == DVK_OK; i++)
        status = dvk_buffer_create(context, DVK_BUFFER_STORAGE, buffer_bytes(&context->info), "the copy bandwidth",
                                   &bench.buffers[i], error);
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    if (status == DVK_OK)
        status = dvk_check_vulkan(
            context->vk.vkCreateFence(context->device, &fence, context->vulkan_allocator, &bench.fence),
            "vkCreateFence", error);
    struct kernel kernel = {
        .code = spirv_fp32, .code_bytes = spirv_fp32_bytes, .local_size = software ? 32 : 128, .buffer_count = 1};
    kernel.groups = invocations / kernel.local_size;
    if (status == DVK_OK)
        status = measure_chains(&bench, &kernel, 2.0 * invocations, &ceilings->fp32_gflops, error);
    kernel.code = spirv_fp16;
    kernel.code_bytes = spirv_fp16_bytes;
    if (status == DVK_OK && spirv_fp16_bytes > 0 && (context->features.bits & DVK_FEATURE_FP16_ARITHMETIC))
        status = measure_chains(&bench, &kernel, 4.0 * invocations, &ceilings->fp16_gflops, error);
    if (status == DVK_OK)
        status = measure_matrices(&bench, ceilings, invocations, error);
    if (status == DVK_OK)
        status = measure_copy(&bench, ceilings, error);
    context->vk.vkDestroyFence(context->device, bench.fence, context->vulkan_allocator);
    for (int i = 0; i < 2; i++)
        dvk_buffer_destroy(context, &bench.buffers[i]);
    return status;
}
