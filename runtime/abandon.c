#include "abandon.h"

#define KEPT_OBJECTS(X)                                                                                                \
    X(vkDestroyBuffer, VkBuffer)                                                                                       \
    X(vkDestroyBufferView, VkBufferView)                                                                               \
    X(vkDestroyCommandPool, VkCommandPool)                                                                             \
    X(vkDestroyDescriptorPool, VkDescriptorPool)                                                                       \
    X(vkDestroyDescriptorSetLayout, VkDescriptorSetLayout)                                                             \
    X(vkDestroyFence, VkFence)                                                                                         \
    X(vkDestroyImage, VkImage)                                                                                         \
    X(vkDestroyImageView, VkImageView)                                                                                 \
    X(vkDestroyPipeline, VkPipeline)                                                                                   \
    X(vkDestroyPipelineCache, VkPipelineCache)                                                                         \
    X(vkDestroyPipelineLayout, VkPipelineLayout)                                                                       \
    X(vkDestroyQueryPool, VkQueryPool)                                                                                 \
    X(vkDestroySampler, VkSampler)                                                                                     \
    X(vkDestroySemaphore, VkSemaphore)                                                                                 \
    X(vkDestroyShaderModule, VkShaderModule)                                                                           \
    X(vkFreeMemory, VkDeviceMemory)

#define DEFINE_KEEP(function, handle)                                                                                  \
    static VKAPI_ATTR void VKAPI_CALL keep_##function(VkDevice device, handle object,                                  \
                                                      const VkAllocationCallbacks *allocator) {                        \
        (void)device, (void)object, (void)allocator;                                                                   \
    }
KEPT_OBJECTS(DEFINE_KEEP)

static VKAPI_ATTR void VKAPI_CALL keep_command_buffers(VkDevice device, VkCommandPool pool, uint32_t count,
                                                       const VkCommandBuffer *commands) {
    (void)device, (void)pool, (void)count, (void)commands;
}

static VKAPI_ATTR void VKAPI_CALL keep_device(VkDevice device, const VkAllocationCallbacks *allocator) {
    (void)device, (void)allocator;
}

static VKAPI_ATTR void VKAPI_CALL keep_instance(VkInstance instance, const VkAllocationCallbacks *allocator) {
    (void)instance, (void)allocator;
}

void dvk_context_abandon(dvk_context *context, const char *why) {
    dvk_log_message(&context->log, DVK_LOG_ERROR,
                    "%s; whether the device still uses what this context made cannot be learned, so it is leaked", why);
#define KEEP(function, handle) context->vk.function = keep_##function;
    KEPT_OBJECTS(KEEP)
    context->vk.vkFreeCommandBuffers = keep_command_buffers;
    context->vk.vkDestroyDevice = keep_device;
    context->instance.vk.vkDestroyInstance = keep_instance;
    context->instance.library = NULL; /* with the driver's threads in it */
}
