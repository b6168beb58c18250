/* A Vulkan loader between the library and the real one, given as dvk_import.get_instance_proc_addr: it counts calls and
 * makes them fail. For one thread and one device at a time. */
#ifndef DVK_TEST_INTERPOSE_H_
#define DVK_TEST_INTERPOSE_H_

#include <vulkan/vulkan.h>

#include <stdbool.h>
#include <stdint.h>

/* Everything that records, submits, waits or allocates, and what the library must never call. */
#define INTERPOSED_COMMANDS(X)                                                                                         \
    X(vkCmdBindPipeline, (VkCommandBuffer a, VkPipelineBindPoint b, VkPipeline c), (a, b, c))                          \
    X(vkCmdBindDescriptorSets,                                                                                         \
      (VkCommandBuffer a, VkPipelineBindPoint b, VkPipelineLayout c, uint32_t d, uint32_t e, const VkDescriptorSet *f, \
       uint32_t g, const uint32_t *h),                                                                                 \
      (a, b, c, d, e, f, g, h))                                                                                        \
    X(vkCmdPushConstants,                                                                                              \
      (VkCommandBuffer a, VkPipelineLayout b, VkShaderStageFlags c, uint32_t d, uint32_t e, const void *f),            \
      (a, b, c, d, e, f))                                                                                              \
    X(vkCmdDispatch, (VkCommandBuffer a, uint32_t b, uint32_t c, uint32_t d), (a, b, c, d))                            \
    X(vkCmdPipelineBarrier,                                                                                            \
      (VkCommandBuffer a, VkPipelineStageFlags b, VkPipelineStageFlags c, VkDependencyFlags d, uint32_t e,             \
       const VkMemoryBarrier *f, uint32_t g, const VkBufferMemoryBarrier *h, uint32_t i,                               \
       const VkImageMemoryBarrier *j),                                                                                 \
      (a, b, c, d, e, f, g, h, i, j))                                                                                  \
    X(vkCmdCopyBuffer, (VkCommandBuffer a, VkBuffer b, VkBuffer c, uint32_t d, const VkBufferCopy *e),                 \
      (a, b, c, d, e))                                                                                                 \
    X(vkUpdateDescriptorSets,                                                                                          \
      (VkDevice a, uint32_t b, const VkWriteDescriptorSet *c, uint32_t d, const VkCopyDescriptorSet *e),               \
      (a, b, c, d, e))                                                                                                 \
    X(vkDestroyBuffer, (VkDevice a, VkBuffer b, const VkAllocationCallbacks *c), (a, b, c))

#define INTERPOSED_CALLS(X)                                                                                            \
    X(vkQueueSubmit, (VkQueue a, uint32_t b, const VkSubmitInfo *c, VkFence d), (a, b, c, d))                          \
    X(vkQueueWaitIdle, (VkQueue a), (a))                                                                               \
    X(vkDeviceWaitIdle, (VkDevice a), (a))                                                                             \
    X(vkWaitForFences, (VkDevice a, uint32_t b, const VkFence *c, VkBool32 d, uint64_t e), (a, b, c, d, e))            \
    X(vkResetFences, (VkDevice a, uint32_t b, const VkFence *c), (a, b, c))                                            \
    X(vkGetFenceStatus, (VkDevice a, VkFence b), (a, b))                                                               \
    X(vkAllocateMemory,                                                                                                \
      (VkDevice a, const VkMemoryAllocateInfo *b, const VkAllocationCallbacks *c, VkDeviceMemory *d), (a, b, c, d))    \
    X(vkCreateBuffer, (VkDevice a, const VkBufferCreateInfo *b, const VkAllocationCallbacks *c, VkBuffer *d),          \
      (a, b, c, d))                                                                                                    \
    X(vkAllocateCommandBuffers, (VkDevice a, const VkCommandBufferAllocateInfo *b, VkCommandBuffer *c), (a, b, c))     \
    X(vkAllocateDescriptorSets, (VkDevice a, const VkDescriptorSetAllocateInfo *b, VkDescriptorSet *c), (a, b, c))     \
    X(vkBeginCommandBuffer, (VkCommandBuffer a, const VkCommandBufferBeginInfo *b), (a, b))                            \
    X(vkEndCommandBuffer, (VkCommandBuffer a), (a))                                                                    \
    X(vkMapMemory, (VkDevice a, VkDeviceMemory b, VkDeviceSize c, VkDeviceSize d, VkMemoryMapFlags e, void **f),       \
      (a, b, c, d, e, f))                                                                                              \
    X(vkCreateComputePipelines,                                                                                        \
      (VkDevice a, VkPipelineCache b, uint32_t c, const VkComputePipelineCreateInfo *d,                                \
       const VkAllocationCallbacks *e, VkPipeline *f),                                                                 \
      (a, b, c, d, e, f))

typedef struct interposed_counts {
#define COUNT(name, parameters, arguments) uint32_t name;
    INTERPOSED_COMMANDS(COUNT)
    INTERPOSED_CALLS(COUNT)
#undef COUNT
} interposed_counts;

extern interposed_counts interposed; /* calls since it was last zeroed */

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL interpose_get_instance_proc_addr(VkInstance instance, const char *name);

/* Of the calls that return a VkResult, the one after `calls` more returns `result` and is not made, and then `times` -
 * 1 more of that name (`only`, NULL: of any name). With VK_ERROR_DEVICE_LOST the device has stopped by then, as a lost
 * one has. times 0: nothing fails any more. */
void interpose_fail(uint32_t calls, uint32_t times, VkResult result, const char *only);
/* Calls that were made to fail. */
uint32_t interpose_failures(void);

#endif
