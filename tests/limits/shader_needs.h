/* What a compute shader needs of a device, read from its SPIR-V with the constants that it is specialised with. */
#ifndef DVK_LIMITS_SHADER_NEEDS_H_
#define DVK_LIMITS_SHADER_NEEDS_H_

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include <stdbool.h>
#include <stddef.h>

typedef struct shader_needs {
    uint32_t local_size[3];
    uint32_t shared_bytes;
    bool fp16, storage16, int64, dot_product, matrices, memory_model;
    uint32_t subgroup_operations; /* VkSubgroupFeatureFlags */
    uint32_t unknown_capability;  /* 0: none */
} shader_needs;

/* False for what is no SPIR-V that this reader understands. info may be NULL. */
bool shader_needs_read(const uint32_t *words, size_t count, const VkSpecializationInfo *info, shader_needs *needs);

#endif
