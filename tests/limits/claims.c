#include "layer.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ------------------------------------------------------------------------------------- structures that may be asked */

/* The structures that extend a query. A device knows one from a version on, or with an extension; asking others is
 * harmless to drivers and yet wrong. `bools`: it is one of features, all of which follow the header. */
typedef struct structure {
    VkStructureType type;
    size_t size;
    bool is_features;
    uint32_t version;
    const char *extension;
} structure;

static const structure structures[] = {
#define S(type, name, is_features, version, extension)                                                                 \
    { VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_##type, sizeof(VkPhysicalDevice##name), is_features, version, extension }
    S(FEATURES_2, Features2, true, VK_API_VERSION_1_1, ""),
    S(16BIT_STORAGE_FEATURES, 16BitStorageFeatures, true, VK_API_VERSION_1_1, ""),
    S(SHADER_FLOAT16_INT8_FEATURES, ShaderFloat16Int8Features, true, VK_API_VERSION_1_2, "VK_KHR_shader_float16_int8"),
    S(VULKAN_MEMORY_MODEL_FEATURES, VulkanMemoryModelFeatures, true, VK_API_VERSION_1_2, "VK_KHR_vulkan_memory_model"),
    S(TIMELINE_SEMAPHORE_FEATURES, TimelineSemaphoreFeatures, true, VK_API_VERSION_1_2, "VK_KHR_timeline_semaphore"),
    S(SUBGROUP_SIZE_CONTROL_FEATURES, SubgroupSizeControlFeatures, true, VK_API_VERSION_1_3,
      "VK_EXT_subgroup_size_control"),
    S(SHADER_INTEGER_DOT_PRODUCT_FEATURES, ShaderIntegerDotProductFeatures, true, VK_API_VERSION_1_3,
      "VK_KHR_shader_integer_dot_product"),
#ifdef VK_KHR_cooperative_matrix
    S(COOPERATIVE_MATRIX_FEATURES_KHR, CooperativeMatrixFeaturesKHR, true, UINT32_MAX, "VK_KHR_cooperative_matrix"),
#endif
#ifdef VK_NV_cooperative_matrix2
    S(COOPERATIVE_MATRIX_2_FEATURES_NV, CooperativeMatrix2FeaturesNV, true, UINT32_MAX, "VK_NV_cooperative_matrix2"),
#endif
    S(ID_PROPERTIES, IDProperties, false, VK_API_VERSION_1_1, ""),
    S(SUBGROUP_PROPERTIES, SubgroupProperties, false, VK_API_VERSION_1_1, ""),
    S(MAINTENANCE_3_PROPERTIES, Maintenance3Properties, false, VK_API_VERSION_1_1, ""),
    S(DRIVER_PROPERTIES, DriverProperties, false, VK_API_VERSION_1_2, "VK_KHR_driver_properties"),
    S(SUBGROUP_SIZE_CONTROL_PROPERTIES, SubgroupSizeControlProperties, false, VK_API_VERSION_1_3,
      "VK_EXT_subgroup_size_control"),
#undef S
};

static bool is_hidden(const char *extension) {
    static const struct {
        const char *name;
        uint32_t by;
    } list[] = {
        {"VK_EXT_subgroup_size_control", HIDE_SIZE_CONTROL}, {"VK_KHR_shader_integer_dot_product", HIDE_DOT},
        {"VK_KHR_timeline_semaphore", HIDE_TIMELINE},        {"VK_KHR_cooperative_matrix", HIDE_MATRICES},
        {"VK_NV_cooperative_matrix2", HIDE_MATRICES},
    };
    if (limits_claimed.hide & HIDE_EXTENSIONS)
        return true;
    for (size_t i = 0; i < COUNT(list); i++)
        if ((limits_claimed.hide & list[i].by) && !strcmp(extension, list[i].name))
            return true;
    return false;
}

static VKAPI_ATTR VkResult VKAPI_CALL claim_vkEnumerateDeviceExtensionProperties(VkPhysicalDevice device,
                                                                                 const char *layer, uint32_t *count,
                                                                                 VkExtensionProperties *extensions) {
    enum { MANY = 1024 };
    static VkExtensionProperties all[MANY];
    uint32_t found = MANY, told = 0;
    VkResult result = limits_next.vkEnumerateDeviceExtensionProperties(device, layer, &found, all);
    if (result != VK_SUCCESS)
        return result;
    for (uint32_t i = 0; i < found; i++) {
        if (is_hidden(all[i].extensionName))
            continue;
        if (extensions && told == *count)
            return VK_INCOMPLETE;
        if (extensions)
            extensions[told] = all[i];
        told++;
    }
    *count = told;
    return VK_SUCCESS;
}

static bool has_extension(VkPhysicalDevice device, const char *name) {
    uint32_t count = 0;
    if (!*name || claim_vkEnumerateDeviceExtensionProperties(device, NULL, &count, NULL) != VK_SUCCESS || !count)
        return false;
    VkExtensionProperties *all = calloc(count, sizeof(*all));
    bool found = false;
    if (all && claim_vkEnumerateDeviceExtensionProperties(device, NULL, &count, all) == VK_SUCCESS)
        for (uint32_t i = 0; i < count; i++)
            found |= !strcmp(all[i].extensionName, name);
    free(all);
    return found;
}

static const structure *find_structure(VkStructureType type) {
    for (size_t i = 0; i < COUNT(structures); i++)
        if (structures[i].type == type)
            return &structures[i];
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ properties */

static void at_most(uint32_t *limit, uint64_t claimed) {
    if (claimed && claimed < *limit)
        *limit = (uint32_t)claimed;
}

static void at_least(VkDeviceSize *limit, uint64_t claimed) {
    if (claimed > *limit)
        *limit = claimed;
}

static void claim_properties(VkPhysicalDeviceProperties *properties) {
    const limits_profile *claimed = &limits_claimed;
    VkPhysicalDeviceLimits *limits = &properties->limits;
    at_most(&properties->apiVersion, claimed->api);
    if (claimed->type)
        properties->deviceType = (VkPhysicalDeviceType)claimed->type;
    if (claimed->vendor)
        properties->vendorID = (uint32_t)claimed->vendor;
    if (claimed->driver_version)
        properties->driverVersion = (uint32_t)claimed->driver_version;
    at_most(&limits->maxComputeWorkGroupInvocations, claimed->invocations);
    for (int i = 0; i < 3; i++) {
        at_most(&limits->maxComputeWorkGroupSize[i], i == 2 ? claimed->invocations / 2 : claimed->invocations);
        at_most(&limits->maxComputeWorkGroupCount[i], claimed->groups);
    }
    at_most(&limits->maxComputeSharedMemorySize, claimed->shared);
    at_most(&limits->maxPerStageDescriptorStorageBuffers, claimed->buffers);
    at_most(&limits->maxStorageBufferRange, claimed->range);
    at_most(&limits->maxPushConstantsSize, claimed->push);
    at_most(&limits->maxMemoryAllocationCount, claimed->allocations);
    at_least(&limits->minStorageBufferOffsetAlignment, claimed->alignment);
    at_least(&limits->nonCoherentAtomSize, claimed->atom);
    if (claimed->hide & HIDE_TIMESTAMPS)
        limits->timestampComputeAndGraphics = VK_FALSE;
}

static void claim_structure(VkBaseOutStructure *base) {
    const limits_profile *claimed = &limits_claimed;
    void *any = base;
    if (base->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES) {
        VkPhysicalDeviceSubgroupProperties *subgroup = any;
        if (claimed->subgroup)
            subgroup->subgroupSize = (uint32_t)claimed->subgroup;
        if (claimed->hide & HIDE_SUBGROUPS)
            subgroup->supportedOperations = VK_SUBGROUP_FEATURE_BASIC_BIT;
    } else if (base->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES) {
        VkPhysicalDeviceSubgroupSizeControlProperties *control = any;
        if (claimed->subgroup)
            control->minSubgroupSize = control->maxSubgroupSize = (uint32_t)claimed->subgroup;
    } else if (base->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES) {
        VkPhysicalDeviceDriverProperties *driver = any;
        if (claimed->driver)
            driver->driverID = (VkDriverId)claimed->driver;
    } else if (base->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES) {
        VkPhysicalDeviceMaintenance3Properties *maintenance = any;
        if (claimed->allocation && claimed->allocation << 20 < maintenance->maxMemoryAllocationSize)
            maintenance->maxMemoryAllocationSize = claimed->allocation << 20;
    }
}

/* Whether the device as claimed knows all that is asked. */
static void check_chain(VkPhysicalDevice device, const void *chain) {
    VkPhysicalDeviceProperties properties;
    limits_next.vkGetPhysicalDeviceProperties(device, &properties);
    claim_properties(&properties);
    for (const VkBaseInStructure *next = chain; next; next = next->pNext) {
        const structure *known = find_structure(next->sType);
        if (!known)
            limits_broken("the structure %d is not known to this layer; claims.c has a list", (int)next->sType);
        if (properties.apiVersion < known->version && !has_extension(device, known->extension))
            limits_broken("the structure %d is asked for; it came with Vulkan 1.%u and %s", (int)next->sType,
                          VK_API_VERSION_MINOR(known->version), known->extension);
    }
}

static VKAPI_ATTR void VKAPI_CALL claim_vkGetPhysicalDeviceProperties(VkPhysicalDevice device,
                                                                      VkPhysicalDeviceProperties *properties) {
    limits_next.vkGetPhysicalDeviceProperties(device, properties);
    claim_properties(properties);
}

static VKAPI_ATTR void VKAPI_CALL claim_vkGetPhysicalDeviceProperties2(VkPhysicalDevice device,
                                                                       VkPhysicalDeviceProperties2 *properties) {
    check_chain(device, properties->pNext);
    limits_next.vkGetPhysicalDeviceProperties2(device, properties);
    claim_properties(&properties->properties);
    for (VkBaseOutStructure *next = properties->pNext; next; next = next->pNext)
        claim_structure(next);
}

static VKAPI_ATTR void VKAPI_CALL claim_vkGetPhysicalDeviceQueueFamilyProperties(VkPhysicalDevice device,
                                                                                 uint32_t *count,
                                                                                 VkQueueFamilyProperties *families) {
    limits_next.vkGetPhysicalDeviceQueueFamilyProperties(device, count, families);
    for (uint32_t i = 0; families && i < *count && (limits_claimed.hide & HIDE_TIMESTAMPS); i++)
        families[i].timestampValidBits = 0;
}

/* -------------------------------------------------------------------------------------------------- features */

static VkBool32 *bools_of(void *features, size_t *count) {
    const VkBaseInStructure *base = features;
    *count = (find_structure(base->sType)->size - sizeof(VkBaseInStructure)) / sizeof(VkBool32);
    return (VkBool32 *)(void *)((char *)features + sizeof(VkBaseInStructure));
}

static void claim_features(VkBaseOutStructure *base) {
    static const struct {
        VkStructureType type;
        uint32_t hidden_by;
    } hidden[] = {
        {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES, HIDE_FP16},
        {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES, HIDE_STORAGE16},
        {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES, HIDE_DOT},
        {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES, HIDE_SIZE_CONTROL},
        {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES, HIDE_TIMELINE},
    };
    size_t count;
    VkBool32 *bools = bools_of(base, &count);
    for (size_t i = 0; i < COUNT(hidden); i++)
        if (hidden[i].type == base->sType && (limits_claimed.hide & hidden[i].hidden_by))
            memset(bools, 0, count * sizeof(*bools));
    if (base->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2 && (limits_claimed.hide & HIDE_INT64))
        ((VkPhysicalDeviceFeatures *)(void *)bools)->shaderInt64 = VK_FALSE;
}

static VKAPI_ATTR void VKAPI_CALL claim_vkGetPhysicalDeviceFeatures2(VkPhysicalDevice device,
                                                                     VkPhysicalDeviceFeatures2 *features) {
    check_chain(device, features->pNext);
    limits_next.vkGetPhysicalDeviceFeatures2(device, features);
    for (VkBaseOutStructure *next = (VkBaseOutStructure *)features; next; next = next->pNext)
        claim_features(next);
}

static VKAPI_ATTR void VKAPI_CALL claim_vkGetPhysicalDeviceFeatures(VkPhysicalDevice device,
                                                                    VkPhysicalDeviceFeatures *features) {
    VkPhysicalDeviceFeatures2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
    claim_vkGetPhysicalDeviceFeatures2(device, &all);
    *features = all.features;
}

/* --------------------------------------------------------------------------------------------------- devices */

/* What is switched on must be on offer. */
static void check_enabled(VkPhysicalDevice device, const VkBaseInStructure *enabled, const structure *known) {
    union {
        VkBaseOutStructure base;
        VkPhysicalDeviceFeatures2 core;
        char bytes[1024];
    } offered = {.base = {.sType = enabled->sType}};
    VkPhysicalDeviceFeatures2 core = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &offered};
    const bool is_core = enabled->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    if (known->size > sizeof(offered))
        abort();
    claim_vkGetPhysicalDeviceFeatures2(device, is_core ? &offered.core : &core);
    size_t count;
    const VkBool32 *told = bools_of(&offered, &count), *asked = bools_of((void *)(uintptr_t)enabled, &count);
    for (size_t i = 0; i < count; i++)
        if (asked[i] && !told[i])
            limits_broken("a device is created with feature %zu of the structure %d", i, (int)enabled->sType);
}

static void note_enabled(const VkBaseInStructure *enabled) {
    const void *any = enabled;
    limits_device *current = &limits_current;
    if (enabled->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2)
        current->int64 |= ((const VkPhysicalDeviceFeatures2 *)any)->features.shaderInt64;
    else if (enabled->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES)
        current->storage16 |= ((const VkPhysicalDevice16BitStorageFeatures *)any)->storageBuffer16BitAccess;
    else if (enabled->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES)
        current->fp16 |= ((const VkPhysicalDeviceShaderFloat16Int8Features *)any)->shaderFloat16;
    else if (enabled->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES)
        current->memory_model |= ((const VkPhysicalDeviceVulkanMemoryModelFeatures *)any)->vulkanMemoryModel;
    else if (enabled->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES)
        current->dot_product |= ((const VkPhysicalDeviceShaderIntegerDotProductFeatures *)any)->shaderIntegerDotProduct;
    else if (enabled->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES) {
        const VkPhysicalDeviceSubgroupSizeControlFeatures *control = any;
        current->size_control_enabled |= control->subgroupSizeControl;
        current->full_subgroups |= control->computeFullSubgroups;
    }
#ifdef VK_KHR_cooperative_matrix
    else if (enabled->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR)
        current->matrices |= ((const VkPhysicalDeviceCooperativeMatrixFeaturesKHR *)any)->cooperativeMatrix;
#endif
}

void limits_note_device(VkPhysicalDevice device, const VkDeviceCreateInfo *info) {
    limits_current = (limits_device){0};
    for (uint32_t i = 0; i < info->enabledExtensionCount; i++)
        if (!has_extension(device, info->ppEnabledExtensionNames[i]))
            limits_broken("a device is created with %s", info->ppEnabledExtensionNames[i]);
    if (info->pEnabledFeatures)
        limits_broken("a device is created with pEnabledFeatures, which this layer does not read");
    for (const VkBaseInStructure *next = info->pNext; next; next = next->pNext) {
        const structure *known = find_structure(next->sType);
        if (!known || !known->is_features)
            continue; /* the loader's */
        check_enabled(device, next, known);
        note_enabled(next);
    }
    limits_device *current = &limits_current;
    current->subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES;
    current->size_control.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES;
    if (current->size_control_enabled)
        current->subgroup.pNext = &current->size_control;
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &current->subgroup};
    claim_vkGetPhysicalDeviceProperties2(device, &properties);
    current->properties = properties.properties;
}

PFN_vkVoidFunction limits_find_claim(const char *name) {
    FIND(vkEnumerateDeviceExtensionProperties);
    FIND(vkGetPhysicalDeviceProperties);
    FIND(vkGetPhysicalDeviceProperties2);
    FIND(vkGetPhysicalDeviceFeatures);
    FIND(vkGetPhysicalDeviceFeatures2);
    FIND(vkGetPhysicalDeviceQueueFamilyProperties);
    return NULL;
}
