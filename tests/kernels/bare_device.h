/* A bare Vulkan device for tests: one queue, host-visible buffers, one dispatch at a time. It shares nothing with the
 * runtime's own context, so that the kernels are seen through a second pair of eyes. Vulkan failures end the test. */
#ifndef DVK_BARE_DEVICE_H_
#define DVK_BARE_DEVICE_H_

#include <vulkan/vulkan.h>

#include "variants.h"

typedef struct test_device {
    VkInstance instance;
    VkPhysicalDevice physical;
    VkPhysicalDeviceProperties properties;
    char driver[512]; /* name and version as the driver tells them */
    VkDevice device;
    VkQueue queue;
    uint32_t memory_type; /* host-visible, and coherent where there is such a type */
    bool coherent;
    VkCommandPool command_pool;
    VkDescriptorPool descriptor_pool;
    VkFence fence;
    dvk_device_features features; /* all that the device has, switched on */
    bool validation;
    VkDebugUtilsMessengerEXT messenger;
    uint32_t validation_messages; /* warnings and errors so far */
} test_device;

/* Device `index` of the driver's list, with validation layers on request (core and synchronisation). False and a
 * reason where there is no such thing; then nothing is to be closed. */
bool test_device_open(test_device *device, uint32_t index, bool validation, char *why_not, size_t why_not_size);
void test_device_close(test_device *device);

/* Memory of its own for every buffer, mapped for as long as it lives. */
typedef struct test_buffer {
    VkBuffer buffer;
    VkDeviceMemory memory;
    void *mapped;
    VkDeviceSize size;
} test_buffer;

test_buffer test_buffer_create(test_device *device, VkDeviceSize size);
void test_buffer_destroy(test_device *device, test_buffer *buffer);

/* The constants that do not belong to the variant; what a kernel does not know is ignored. */
typedef struct test_constants {
    uint32_t activation, residual, head_dim, patch_size;
} test_constants;

typedef struct test_pipeline {
    const dvk_variant *variant;
    test_constants constants;
    VkShaderModule module;
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipeline pipeline;
} test_pipeline;

test_pipeline test_pipeline_create(test_device *device, const dvk_variant *variant, test_constants constants);
void test_pipeline_destroy(test_device *device, test_pipeline *pipeline);

/* One binding: from `offset`, a multiple of 256, to the end of the buffer. */
typedef struct test_binding {
    const test_buffer *buffer;
    VkDeviceSize offset;
} test_binding;

/* A grid x * y * z of workgroups with these push constants. */
typedef struct test_dispatch {
    const void *push;
    uint32_t push_size;
    uint32_t grid[3];
} test_dispatch;

/* Runs the dispatches one after the other, with a barrier between them, all on the same bindings; waits; returns the
 * seconds from submission to completion. */
double test_run(test_device *device, const test_pipeline *pipeline, const test_binding *bindings,
                const test_dispatch *dispatches, uint32_t count);

#endif
