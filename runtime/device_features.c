#include "device_features.h"

#include <string.h>

/* Everything is found and enabled as an extension, also where a later version of Vulkan has taken it in: our instances
 * are of Vulkan 1.1, and all drivers we know keep listing what was taken in. */
typedef struct extension_set {
    VkExtensionProperties *list;
    uint32_t count;
} extension_set;

static dvk_result list_extensions(const dvk_instance_table *vk, const dvk_allocator *allocator, VkPhysicalDevice device,
                                  extension_set *extensions, dvk_error *error) {
    *extensions = (extension_set){0};
    uint32_t count = 0;
    dvk_result status = dvk_check_vulkan(vk->vkEnumerateDeviceExtensionProperties(device, NULL, &count, NULL),
                                         "vkEnumerateDeviceExtensionProperties", error);
    if (status != DVK_OK || !count)
        return status;
    extensions->list = dvk_allocate_zeroed(allocator, count, sizeof(*extensions->list));
    if (!extensions->list)
        return dvk_fail_memory(error, count * sizeof(*extensions->list));
    VkResult result = vk->vkEnumerateDeviceExtensionProperties(device, NULL, &count, extensions->list);
    if (result != VK_INCOMPLETE)
        status = dvk_check_vulkan(result, "vkEnumerateDeviceExtensionProperties", error);
    if (status != DVK_OK) {
        dvk_release(allocator, extensions->list);
        return status;
    }
    extensions->count = count;
    return DVK_OK;
}

static bool has_extension(const extension_set *extensions, const char *name) {
    for (uint32_t i = 0; i < extensions->count; i++)
        if (strcmp(extensions->list[i].extensionName, name) == 0)
            return true;
    return false;
}

/* Puts a structure in front of a chain. */
static void chain(const void **head, void *structure) {
    VkBaseInStructure *base = structure;
    base->pNext = *head;
    *head = base;
}

/* The features that belong to `bits` and to `extensions` are asked for, the others are left false. */
static void query_bits(const dvk_instance_table *vk, VkPhysicalDevice device, const extension_set *extensions,
                       uint32_t *bits) {
    dvk_feature_request request;
    uint32_t listed = DVK_FEATURE_FP16_STORAGE;
    if (has_extension(extensions, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME))
        listed |= DVK_FEATURE_FP16_ARITHMETIC;
    if (has_extension(extensions, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME))
        listed |= DVK_FEATURE_SUBGROUP_SIZE_CONTROL;
    if (has_extension(extensions, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME))
        listed |= DVK_FEATURE_INTEGER_DOT_PRODUCT;
    if (has_extension(extensions, VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME))
        listed |= DVK_FEATURE_TIMELINE_SEMAPHORE;
#ifdef VK_KHR_cooperative_matrix
    if (has_extension(extensions, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME) &&
        has_extension(extensions, VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME))
        listed |= DVK_FEATURE_COOPERATIVE_MATRIX;
#endif
#ifdef VK_NV_cooperative_matrix2
    if ((listed & DVK_FEATURE_COOPERATIVE_MATRIX) &&
        has_extension(extensions, VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME))
        listed |= DVK_FEATURE_COOPERATIVE_MATRIX_2;
#endif
    dvk_request_features(listed, &request);
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = (void *)request.chain};
    vk->vkGetPhysicalDeviceFeatures2(device, &features);

    if (features.features.shaderInt64)
        listed |= DVK_FEATURE_INT64;
    if (!request.storage.storageBuffer16BitAccess)
        listed &= ~(uint32_t)DVK_FEATURE_FP16_STORAGE;
    if (!request.arithmetic.shaderFloat16)
        listed &= ~(uint32_t)DVK_FEATURE_FP16_ARITHMETIC;
    if (!request.subgroup_size.subgroupSizeControl || !request.subgroup_size.computeFullSubgroups)
        listed &= ~(uint32_t)DVK_FEATURE_SUBGROUP_SIZE_CONTROL;
    if (!request.dot_product.shaderIntegerDotProduct)
        listed &= ~(uint32_t)DVK_FEATURE_INTEGER_DOT_PRODUCT;
    if (!request.timeline.timelineSemaphore)
        listed &= ~(uint32_t)DVK_FEATURE_TIMELINE_SEMAPHORE;
#ifdef VK_KHR_cooperative_matrix
    if (!request.matrix.cooperativeMatrix || !request.memory_model.vulkanMemoryModel)
        listed &= ~(uint32_t)(DVK_FEATURE_COOPERATIVE_MATRIX | DVK_FEATURE_COOPERATIVE_MATRIX_2);
#endif
#ifdef VK_NV_cooperative_matrix2
    const VkPhysicalDeviceCooperativeMatrix2FeaturesNV *matrix_2 = &request.matrix_2;
    if (!matrix_2->cooperativeMatrixWorkgroupScope || !matrix_2->cooperativeMatrixFlexibleDimensions ||
        !matrix_2->cooperativeMatrixConversions || !matrix_2->cooperativeMatrixPerElementOperations ||
        !matrix_2->cooperativeMatrixTensorAddressing)
        listed &= ~(uint32_t)DVK_FEATURE_COOPERATIVE_MATRIX_2;
#endif
    *bits = listed;
}

static void query_subgroups(const dvk_instance_table *vk, VkPhysicalDevice device, dvk_device_features *features) {
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceSubgroupSizeControlProperties control = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &subgroup};
    if (features->bits & DVK_FEATURE_SUBGROUP_SIZE_CONTROL)
        subgroup.pNext = &control;
    vk->vkGetPhysicalDeviceProperties2(device, &properties);
    if ((subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
        (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_BALLOT_BIT))
        features->bits |= DVK_FEATURE_SUBGROUP_BALLOT;
    features->subgroup_size = subgroup.subgroupSize;
    if (control.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) {
        features->min_subgroup_size = control.minSubgroupSize;
        features->max_subgroup_size = control.maxSubgroupSize;
        features->max_subgroups = control.maxComputeWorkgroupSubgroups;
    } else {
        features->bits &= ~(uint32_t)DVK_FEATURE_SUBGROUP_SIZE_CONTROL;
    }
}

#ifdef VK_KHR_cooperative_matrix
static bool is_ours(const VkCooperativeMatrixPropertiesKHR *shape) {
    return shape->scope == VK_SCOPE_SUBGROUP_KHR && shape->AType == shape->BType && shape->CType == shape->ResultType &&
           !shape->saturatingAccumulation;
}

/* Not called without the extension: some drivers crash there. */
static dvk_result query_shapes(const dvk_instance_table *vk, const dvk_allocator *allocator, VkInstance instance,
                               VkPhysicalDevice device, dvk_device_features *features, dvk_error *error) {
    static const char name[] = "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR";
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR query =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)vk->get_instance_proc_addr(instance, name);
    uint32_t count = 0;
    dvk_result status = query ? dvk_check_vulkan(query(device, &count, NULL), name, error) : DVK_OK;
    if (status != DVK_OK || !count)
        return status;
    VkCooperativeMatrixPropertiesKHR *shapes = dvk_allocate_zeroed(allocator, count, sizeof(*shapes));
    if (!shapes)
        return dvk_fail_memory(error, count * sizeof(*shapes));
    for (uint32_t i = 0; i < count; i++)
        shapes[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    VkResult result = query(device, &count, shapes);
    if (result != VK_INCOMPLETE)
        status = dvk_check_vulkan(result, name, error);
    for (uint32_t i = 0; status == DVK_OK && i < count && features->shape_count < DVK_MAX_MATRIX_SHAPES; i++)
        if (is_ours(&shapes[i]))
            features->shapes[features->shape_count++] =
                (dvk_matrix_shape){shapes[i].MSize, shapes[i].NSize, shapes[i].KSize, (dvk_component)shapes[i].AType,
                                   (dvk_component)shapes[i].CType};
    dvk_release(allocator, shapes);
    return status;
}
#endif

dvk_result dvk_query_features(const dvk_instance_table *vk, const dvk_allocator *allocator, VkInstance instance,
                              VkPhysicalDevice device, dvk_device_features *features, dvk_error *error) {
    memset(features, 0, sizeof(*features));
    extension_set extensions;
    dvk_result status = list_extensions(vk, allocator, device, &extensions, error);
    if (status != DVK_OK)
        return status;
    query_bits(vk, device, &extensions, &features->bits);
    dvk_release(allocator, extensions.list);
    query_subgroups(vk, device, features);
#ifdef VK_KHR_cooperative_matrix
    if (features->bits & DVK_FEATURE_COOPERATIVE_MATRIX)
        status = query_shapes(vk, allocator, instance, device, features, error);
#else
    (void)instance;
#endif
    return status;
}

static void add_extension(dvk_feature_request *request, const char *name) {
    request->extensions[request->extension_count++] = name;
}

void dvk_request_features(uint32_t bits, dvk_feature_request *request) {
    memset(request, 0, sizeof(*request));
    if (bits & DVK_FEATURE_INT64) {
        request->core.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
        request->core.features.shaderInt64 = VK_TRUE;
        chain(&request->chain, &request->core);
    }
    if (bits & DVK_FEATURE_FP16_STORAGE) {
        request->storage.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES;
        request->storage.storageBuffer16BitAccess = VK_TRUE;
        chain(&request->chain, &request->storage);
    }
    if (bits & DVK_FEATURE_FP16_ARITHMETIC) {
        add_extension(request, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME);
        request->arithmetic.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES;
        request->arithmetic.shaderFloat16 = VK_TRUE;
        chain(&request->chain, &request->arithmetic);
    }
    if (bits & DVK_FEATURE_SUBGROUP_SIZE_CONTROL) {
        add_extension(request, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
        request->subgroup_size.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES;
        request->subgroup_size.subgroupSizeControl = VK_TRUE;
        request->subgroup_size.computeFullSubgroups = VK_TRUE;
        chain(&request->chain, &request->subgroup_size);
    }
    if (bits & DVK_FEATURE_INTEGER_DOT_PRODUCT) {
        add_extension(request, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
        request->dot_product.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES;
        request->dot_product.shaderIntegerDotProduct = VK_TRUE;
        chain(&request->chain, &request->dot_product);
    }
    if (bits & DVK_FEATURE_TIMELINE_SEMAPHORE) {
        add_extension(request, VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME);
        request->timeline.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES;
        request->timeline.timelineSemaphore = VK_TRUE;
        chain(&request->chain, &request->timeline);
    }
#ifdef VK_KHR_cooperative_matrix
    if (bits & DVK_FEATURE_COOPERATIVE_MATRIX) {
        add_extension(request, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
        add_extension(request, VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME);
        request->matrix.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
        request->matrix.cooperativeMatrix = VK_TRUE;
        chain(&request->chain, &request->matrix);
        request->memory_model.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES;
        request->memory_model.vulkanMemoryModel = VK_TRUE;
        chain(&request->chain, &request->memory_model);
    }
#endif
#ifdef VK_NV_cooperative_matrix2
    if (bits & DVK_FEATURE_COOPERATIVE_MATRIX_2) {
        add_extension(request, VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME);
        request->matrix_2.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV;
        request->matrix_2.cooperativeMatrixWorkgroupScope = VK_TRUE;
        request->matrix_2.cooperativeMatrixFlexibleDimensions = VK_TRUE;
        request->matrix_2.cooperativeMatrixConversions = VK_TRUE;
        request->matrix_2.cooperativeMatrixPerElementOperations = VK_TRUE;
        request->matrix_2.cooperativeMatrixTensorAddressing = VK_TRUE;
        chain(&request->chain, &request->matrix_2);
    }
#endif
}

uint32_t dvk_variant_local_size(const dvk_variant *variant, const dvk_device_features *features) {
    if (variant->local_size)
        return variant->local_size;
    return variant->subgroups * (variant->subgroup_size ? variant->subgroup_size : features->subgroup_size);
}

uint32_t dvk_variant_shared_bytes(const dvk_variant *variant, uint32_t head_dim) {
    return variant->shared_bytes + variant->shared_bytes_per_head_dim * head_dim;
}

uint32_t dvk_variant_subgroup_size(const dvk_variant *variant, const dvk_device_features *features) {
    if (!(features->bits & DVK_FEATURE_SUBGROUP_SIZE_CONTROL))
        return 0; /* then it is the device's own, and dvk_variant_needs() has seen that this will do */
    if (variant->subgroup_size)
        return variant->subgroup_size;
    return variant->subgroups ? features->subgroup_size : 0;
}

static const char *needs_feature(uint32_t missing) {
    static const char *const names[] = {"subgroup broadcast and ballot",
                                        "16-bit storage buffers",
                                        "16-bit floating-point arithmetic",
                                        "control over the subgroup size",
                                        "cooperative matrices",
                                        "NVIDIA's second extension for cooperative matrices",
                                        "integer dot products",
                                        "timeline semaphores",
                                        "64-bit integers"};
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (missing >> i & 1)
            return names[i];
    return "an unknown feature";
}

static bool lists_shape(const dvk_device_features *features, const dvk_matrix_shape *shape) {
    for (uint32_t i = 0; i < features->shape_count; i++)
        if (memcmp(&features->shapes[i], shape, sizeof(*shape)) == 0)
            return true;
    return false;
}

const char *dvk_variant_needs(const dvk_variant *variant, const dvk_device_features *features,
                              const VkPhysicalDeviceLimits *limits, uint32_t head_dim) {
    const uint32_t local_size = dvk_variant_local_size(variant, features),
                   missing = variant->features & ~features->bits;
    const uint32_t asked = dvk_variant_subgroup_size(variant, features);
    if (missing)
        return needs_feature(missing);
    if (variant->matrix.m && !lists_shape(features, &variant->matrix))
        return "cooperative matrices of another shape";
    if (asked ? asked < features->min_subgroup_size || asked > features->max_subgroup_size
              : variant->subgroup_size && variant->subgroup_size != features->subgroup_size)
        return "subgroups of another size";
    if (local_size > limits->maxComputeWorkGroupInvocations || local_size > limits->maxComputeWorkGroupSize[0] ||
        (asked && local_size > asked * features->max_subgroups))
        return "larger workgroups";
    if (dvk_variant_shared_bytes(variant, head_dim) > limits->maxComputeSharedMemorySize)
        return "more shared memory";
    if (head_dim && variant->max_head_dim && (head_dim > variant->max_head_dim || head_dim % variant->head_dim_step))
        return "attention heads of another size";
    return NULL;
}
