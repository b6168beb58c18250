#include "bare_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bare_features.h"
#include "push_constants.h"

#define MAX_BINDINGS 4

static void require_success(VkResult result, const char *call) {
    if (result != VK_SUCCESS) {
        printf("%s failed: VkResult %d\n", call, (int)result);
        exit(1);
    }
}

#define VK(call) require_success((call), #call)

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user) {
    (void)severity;
    (void)types;
    test_device *device = user;
    device->validation_messages++;
    printf("validation: %s\n", data->pMessage);
    return VK_FALSE;
}

static bool layer_present(const char *name) {
    VkLayerProperties layers[64];
    uint32_t count = 64;
    VkResult result = vkEnumerateInstanceLayerProperties(&count, layers);
    if (result != VK_SUCCESS && result != VK_INCOMPLETE)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(layers[i].layerName, name) == 0)
            return true;
    return false;
}

static bool create_instance(test_device *device, char *why_not, size_t why_not_size) {
    static const char *const layer = "VK_LAYER_KHRONOS_validation";
    static const char *const extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .pApplicationName = "test-kernels",
                                           .apiVersion = VK_API_VERSION_1_1};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};

    const VkValidationFeatureEnableEXT enabled = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                        .enabledValidationFeatureCount = 1,
                                        .pEnabledValidationFeatures = &enabled};
    VkDebugUtilsMessengerCreateInfoEXT messenger = {.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
                                                    .pNext = &features,
                                                    .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                                                                       VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
                                                    .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
                                                    .pfnUserCallback = on_message,
                                                    .pUserData = device};
    if (device->validation) {
        if (!layer_present(layer)) {
            snprintf(why_not, why_not_size, "%s is not installed", layer);
            return false;
        }
        info.pNext = &messenger;
        info.enabledLayerCount = 1;
        info.ppEnabledLayerNames = &layer;
        info.enabledExtensionCount = 1;
        info.ppEnabledExtensionNames = &extension;
    }
    VkResult result = vkCreateInstance(&info, NULL, &device->instance);
    if (result != VK_SUCCESS) {
        snprintf(why_not, why_not_size, "no Vulkan instance (VkResult %d)", (int)result);
        return false;
    }
    if (device->validation) {
        PFN_vkCreateDebugUtilsMessengerEXT create = (PFN_vkCreateDebugUtilsMessengerEXT)vkGetInstanceProcAddr(
            device->instance, "vkCreateDebugUtilsMessengerEXT");
        messenger.pNext = NULL;
        VK(create(device->instance, &messenger, NULL, &device->messenger));
    }
    return true;
}

static bool find_compute_queue(VkPhysicalDevice physical, uint32_t *family) {
    VkQueueFamilyProperties families[32];
    uint32_t count = 32;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) {
            *family = i;
            return true;
        }
    }
    return false;
}

static bool find_memory_type(test_device *device, VkMemoryPropertyFlags wanted) {
    const VkMemoryPropertyFlags harmless = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                           VK_MEMORY_PROPERTY_HOST_COHERENT_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    VkPhysicalDeviceMemoryProperties memory;
    vkGetPhysicalDeviceMemoryProperties(device->physical, &memory);
    bool found = false;
    for (uint32_t i = memory.memoryTypeCount; i-- > 0;) {
        VkMemoryPropertyFlags flags = memory.memoryTypes[i].propertyFlags;
        if ((flags & wanted) != wanted || (flags & ~harmless))
            continue;
        device->memory_type = i;
        device->coherent = flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
        found = true;
        if (flags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT)
            break;
    }
    return found;
}

/* Vulkan promises a coherent type; tests/limits has devices without one. */
static void choose_memory_type(test_device *device) {
    const VkMemoryPropertyFlags visible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
    if (!find_memory_type(device, visible | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) && !find_memory_type(device, visible))
        require_success(VK_ERROR_FEATURE_NOT_PRESENT, "finding memory that the host sees");
}

/* It comes with Vulkan 1.2. */
static void query_driver(test_device *device) {
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &driver};
    if (device->properties.apiVersion >= VK_API_VERSION_1_2)
        vkGetPhysicalDeviceProperties2(device->physical, &properties);
    snprintf(device->driver, sizeof(device->driver), "%.255s %.255s", driver.driverName, driver.driverInfo);
}

static void create_device(test_device *device, uint32_t family) {
    query_driver(device);
    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue};
    if (!bare_features(vkGetInstanceProcAddr, device->instance, device->physical, &device->features, &info))
        require_success(VK_ERROR_INITIALIZATION_FAILED, "asking for the device's features");
    VK(vkCreateDevice(device->physical, &info, NULL, &device->device));
    vkGetDeviceQueue(device->device, family, 0, &device->queue);

    const VkCommandPoolCreateInfo commands = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                              .queueFamilyIndex = family};
    VK(vkCreateCommandPool(device->device, &commands, NULL, &device->command_pool));
    const VkDescriptorPoolSize size = {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .descriptorCount = MAX_BINDINGS};
    const VkDescriptorPoolCreateInfo descriptors = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = 1, .poolSizeCount = 1, .pPoolSizes = &size};
    VK(vkCreateDescriptorPool(device->device, &descriptors, NULL, &device->descriptor_pool));
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VK(vkCreateFence(device->device, &fence, NULL, &device->fence));
}

bool test_device_open(test_device *device, uint32_t index, bool validation, char *why_not, size_t why_not_size) {
    *device = (test_device){.validation = validation};
    if (!create_instance(device, why_not, why_not_size))
        return false;
    VkPhysicalDevice devices[32];
    uint32_t count = 32;
    VkResult result = vkEnumeratePhysicalDevices(device->instance, &count, devices);
    uint32_t family = 0;
    if ((result != VK_SUCCESS && result != VK_INCOMPLETE) || index >= count) {
        snprintf(why_not, why_not_size, "no Vulkan device %u", index);
    } else if (!find_compute_queue(devices[index], &family)) {
        snprintf(why_not, why_not_size, "Vulkan device %u has no compute queue", index);
    } else {
        device->physical = devices[index];
        vkGetPhysicalDeviceProperties(device->physical, &device->properties);
        if (device->properties.apiVersion >= VK_API_VERSION_1_1) {
            choose_memory_type(device);
            create_device(device, family);
            return true;
        }
        snprintf(why_not, why_not_size, "%s has no Vulkan 1.1", device->properties.deviceName);
    }
    test_device_close(device);
    return false;
}

void test_device_close(test_device *device) {
    if (device->device) {
        vkDestroyFence(device->device, device->fence, NULL);
        vkDestroyDescriptorPool(device->device, device->descriptor_pool, NULL);
        vkDestroyCommandPool(device->device, device->command_pool, NULL);
        vkDestroyDevice(device->device, NULL);
    }
    if (device->messenger) {
        PFN_vkDestroyDebugUtilsMessengerEXT destroy = (PFN_vkDestroyDebugUtilsMessengerEXT)vkGetInstanceProcAddr(
            device->instance, "vkDestroyDebugUtilsMessengerEXT");
        destroy(device->instance, device->messenger, NULL);
    }
    vkDestroyInstance(device->instance, NULL);
    device->instance = VK_NULL_HANDLE;
    device->device = VK_NULL_HANDLE;
}

test_buffer test_buffer_create(test_device *device, VkDeviceSize size) {
    test_buffer buffer = {.size = size};
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = size, .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT};
    VK(vkCreateBuffer(device->device, &info, NULL, &buffer.buffer));
    VkMemoryRequirements requirements;
    vkGetBufferMemoryRequirements(device->device, buffer.buffer, &requirements);
    if (!(requirements.memoryTypeBits & 1u << device->memory_type))
        require_success(VK_ERROR_FEATURE_NOT_PRESENT, "placing a storage buffer in host-visible memory");
    const VkMemoryAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                             .allocationSize = requirements.size,
                                             .memoryTypeIndex = device->memory_type};
    VK(vkAllocateMemory(device->device, &allocation, NULL, &buffer.memory));
    VK(vkBindBufferMemory(device->device, buffer.buffer, buffer.memory, 0));
    VK(vkMapMemory(device->device, buffer.memory, 0, VK_WHOLE_SIZE, 0, &buffer.mapped));
    return buffer;
}

void test_buffer_destroy(test_device *device, test_buffer *buffer) {
    vkDestroyBuffer(device->device, buffer->buffer, NULL);
    vkFreeMemory(device->device, buffer->memory, NULL);
    *buffer = (test_buffer){0};
}

static uint32_t push_size_of(dvk_kernel kernel) {
    switch (kernel) {
    case DVK_KERNEL_PATCHIFY:
        return sizeof(dvk_push_patchify);
    case DVK_KERNEL_MATMUL:
        return sizeof(dvk_push_matmul);
    case DVK_KERNEL_LAYERNORM:
        return sizeof(dvk_push_layernorm);
    case DVK_KERNEL_ATTENTION:
        return sizeof(dvk_push_attention);
    case DVK_KERNEL_ATTENTION_ROW:
        return sizeof(dvk_push_attention_row);
    case DVK_KERNEL_MEAN:
        return sizeof(dvk_push_mean);
    case DVK_KERNEL_ROTATE:
        return sizeof(dvk_push_rotate);
    default: /* tests/embed has these: they need images or tables */
        break;
    }
    return 0;
}

test_pipeline test_pipeline_create(test_device *device, const dvk_variant *variant, test_constants constants) {
    test_pipeline pipeline = {.variant = variant, .constants = constants};
    const VkShaderModuleCreateInfo module = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                             .codeSize = variant->spirv_bytes,
                                             .pCode = variant->spirv};
    VK(vkCreateShaderModule(device->device, &module, NULL, &pipeline.module));

    VkDescriptorSetLayoutBinding bindings[MAX_BINDINGS];
    for (uint32_t i = 0; i < variant->binding_count; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                                     .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                     .descriptorCount = 1,
                                                     .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    const VkDescriptorSetLayoutCreateInfo set = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                                 .bindingCount = variant->binding_count,
                                                 .pBindings = bindings};
    VK(vkCreateDescriptorSetLayout(device->device, &set, NULL, &pipeline.set_layout));
    const VkPushConstantRange range = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
                                       .size = push_size_of(variant->kernel)};
    const VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                               .setLayoutCount = 1,
                                               .pSetLayouts = &pipeline.set_layout,
                                               .pushConstantRangeCount = 1,
                                               .pPushConstantRanges = &range};
    VK(vkCreatePipelineLayout(device->device, &layout, NULL, &pipeline.layout));

    uint32_t values[1 + DVK_CONSTANT_VARIANT_COUNT + 4], count = 0;
    VkSpecializationMapEntry entries[1 + DVK_CONSTANT_VARIANT_COUNT + 4];
#define ADD(id, value)                                                                                                 \
    (entries[count] = (VkSpecializationMapEntry){(id), count * (uint32_t)sizeof(uint32_t), sizeof(uint32_t)},          \
     values[count++] = (value))
    ADD(DVK_CONSTANT_LOCAL_SIZE, dvk_variant_local_size(variant, &device->features));
    for (uint32_t i = 0; i < variant->constant_count; i++)
        ADD(DVK_CONSTANT_VARIANT_FIRST + i, variant->constants[i]);
    ADD(DVK_CONSTANT_ACTIVATION, constants.activation);
    ADD(DVK_CONSTANT_RESIDUAL, constants.residual);
    ADD(DVK_CONSTANT_HEAD_DIM, constants.head_dim);
    ADD(DVK_CONSTANT_PATCH_SIZE, constants.patch_size);
#undef ADD
    const VkSpecializationInfo specialization = {
        .mapEntryCount = count, .pMapEntries = entries, .dataSize = count * sizeof(uint32_t), .pData = values};
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup_size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = dvk_variant_subgroup_size(variant, &device->features)};
    const bool sized = subgroup_size.requiredSubgroupSize != 0;
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = sized ? &subgroup_size : NULL,
                  .flags = sized ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = pipeline.module,
                  .pName = "main",
                  .pSpecializationInfo = &specialization},
        .layout = pipeline.layout};
    VK(vkCreateComputePipelines(device->device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline.pipeline));
    return pipeline;
}

void test_pipeline_destroy(test_device *device, test_pipeline *pipeline) {
    vkDestroyPipeline(device->device, pipeline->pipeline, NULL);
    vkDestroyPipelineLayout(device->device, pipeline->layout, NULL);
    vkDestroyDescriptorSetLayout(device->device, pipeline->set_layout, NULL);
    vkDestroyShaderModule(device->device, pipeline->module, NULL);
    *pipeline = (test_pipeline){0};
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static VkDescriptorSet write_descriptors(test_device *device, const test_pipeline *pipeline,
                                         const test_binding *bindings) {
    VK(vkResetDescriptorPool(device->device, device->descriptor_pool, 0));
    const VkDescriptorSetAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                                    .descriptorPool = device->descriptor_pool,
                                                    .descriptorSetCount = 1,
                                                    .pSetLayouts = &pipeline->set_layout};
    VkDescriptorSet set;
    VK(vkAllocateDescriptorSets(device->device, &allocation, &set));
    for (uint32_t i = 0; i < pipeline->variant->binding_count; i++) {
        const VkDescriptorBufferInfo info = {bindings[i].buffer->buffer, bindings[i].offset, VK_WHOLE_SIZE};
        const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                            .dstSet = set,
                                            .dstBinding = i,
                                            .descriptorCount = 1,
                                            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                            .pBufferInfo = &info};
        vkUpdateDescriptorSets(device->device, 1, &write, 0, NULL);
    }
    return set;
}

static void barrier(VkCommandBuffer commands, VkPipelineStageFlags to_stage, VkAccessFlags to_access) {
    const VkMemoryBarrier memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                    .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                    .dstAccessMask = to_access};
    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, to_stage, 0, 1, &memory, 0, NULL, 0, NULL);
}

/* Makes what either side wrote visible to the other. */
static void exchange(test_device *device, const test_pipeline *pipeline, const test_binding *bindings,
                     PFN_vkFlushMappedMemoryRanges call) {
    for (uint32_t i = 0; i < pipeline->variant->binding_count && !device->coherent; i++) {
        const VkMappedMemoryRange range = {.sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE,
                                           .memory = bindings[i].buffer->memory,
                                           .size = VK_WHOLE_SIZE};
        VK(call(device->device, 1, &range));
    }
}

double test_run(test_device *device, const test_pipeline *pipeline, const test_binding *bindings,
                const test_dispatch *dispatches, uint32_t count) {
    VkDescriptorSet set = write_descriptors(device, pipeline, bindings);
    const VkCommandBufferAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                                    .commandPool = device->command_pool,
                                                    .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                                    .commandBufferCount = 1};
    VkCommandBuffer commands;
    VK(vkAllocateCommandBuffers(device->device, &allocation, &commands));
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    VK(vkBeginCommandBuffer(commands, &begin));
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->pipeline);
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->layout, 0, 1, &set, 0, NULL);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            barrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                    VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
        vkCmdPushConstants(commands, pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, dispatches[i].push_size,
                           dispatches[i].push);
        vkCmdDispatch(commands, dispatches[i].grid[0], dispatches[i].grid[1], dispatches[i].grid[2]);
    }
    barrier(commands, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    VK(vkEndCommandBuffer(commands));

    const VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    exchange(device, pipeline, bindings, vkFlushMappedMemoryRanges);
    double start = now();
    VK(vkQueueSubmit(device->queue, 1, &submit, device->fence));
    VK(vkWaitForFences(device->device, 1, &device->fence, VK_TRUE, UINT64_MAX));
    double seconds = now() - start;
    exchange(device, pipeline, bindings, vkInvalidateMappedMemoryRanges);
    VK(vkResetFences(device->device, 1, &device->fence));
    vkFreeCommandBuffers(device->device, device->command_pool, 1, &commands);
    return seconds;
}
