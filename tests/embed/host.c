#include "host.h"

static pthread_mutex_t messages_mutex = PTHREAD_MUTEX_INITIALIZER;
static int messages;

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user) {
    (void)severity, (void)types, (void)user;
    pthread_mutex_lock(&messages_mutex);
    messages++;
    printf("validation: %s\n", data->pMessage);
    pthread_mutex_unlock(&messages_mutex);
    return VK_FALSE;
}

int host_messages(void) {
    pthread_mutex_lock(&messages_mutex);
    int count = messages;
    pthread_mutex_unlock(&messages_mutex);
    return count;
}

bool host_is_validated(const test_host *host) {
    return host->messenger != VK_NULL_HANDLE;
}

static bool has_layer(const char *name) {
    VkLayerProperties layers[64];
    uint32_t count = 64;
    VkResult result = vkEnumerateInstanceLayerProperties(&count, layers);
    for (uint32_t i = 0; (result == VK_SUCCESS || result == VK_INCOMPLETE) && i < count; i++)
        if (!strcmp(layers[i].layerName, name))
            return true;
    return false;
}

static void open_instance(test_host *host, bool watched) {
    static const char *const layer = "VK_LAYER_KHRONOS_validation", *const extension =
                                                                        VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = host->api_version};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
    const VkValidationFeatureEnableEXT enabled = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                        .enabledValidationFeatureCount = 1,
                                        .pEnabledValidationFeatures = &enabled};
    VkDebugUtilsMessengerCreateInfoEXT messenger = {.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
                                                    .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                                                                       VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
                                                    .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                                                                   VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
                                                    .pfnUserCallback = on_message};
    const bool validated = watched && has_layer(layer);
    if (validated) {
        info.pNext = &features;
        info.enabledLayerCount = info.enabledExtensionCount = 1;
        info.ppEnabledLayerNames = &layer;
        info.ppEnabledExtensionNames = &extension;
    }
    VkResult result = vkCreateInstance(&info, NULL, &host->instance);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
        SKIP("no Vulkan driver");
    VK(result);
    if (!validated) {
        if (watched)
            printf("without validation: the layer is not installed\n");
        return;
    }
    PFN_vkCreateDebugUtilsMessengerEXT create =
        (PFN_vkCreateDebugUtilsMessengerEXT)vkGetInstanceProcAddr(host->instance, "vkCreateDebugUtilsMessengerEXT");
    VK(create(host->instance, &messenger, NULL, &host->messenger));
}

/* The machine's first device, or the one whose index $DVK_TEST_DEVICE is. */
static void pick_physical_device(test_host *host) {
    VkPhysicalDevice devices[16];
    uint32_t count = 16;
    VkResult result = vkEnumeratePhysicalDevices(host->instance, &count, devices);
    const char *request = getenv("DVK_TEST_DEVICE");
    uint32_t index = request ? (uint32_t)strtoul(request, NULL, 10) : 0;
    if ((result != VK_SUCCESS && result != VK_INCOMPLETE) || index >= count)
        SKIP("no Vulkan device");
    host->physical_device = devices[index];
}

/* drivers/vulkan/rendering_device_driver_vulkan.cpp: what a shader may use is turned on where it is there; of what this
 * library could use that is fp16 alone. */
static void enable_like_godot(test_host *host, VkPhysicalDeviceVulkan11Features *features_11,
                              VkPhysicalDeviceVulkan12Features *features_12, VkPhysicalDeviceFeatures2 *features) {
    VkPhysicalDeviceVulkan12Features has_12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
    VkPhysicalDeviceVulkan11Features has_11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
                                               .pNext = &has_12};
    VkPhysicalDeviceFeatures2 has = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &has_11};
    vkGetPhysicalDeviceFeatures2(host->physical_device, &has);
    features_12->shaderFloat16 = has_12.shaderFloat16;
    features_12->shaderInt8 = has_12.shaderInt8;
    features_12->storageBuffer8BitAccess = has_12.storageBuffer8BitAccess;
    features_12->vulkanMemoryModel = has_12.vulkanMemoryModel;
    features_12->bufferDeviceAddress = has_12.bufferDeviceAddress;
    features_11->storageBuffer16BitAccess = has_11.storageBuffer16BitAccess;
    features_11->uniformAndStorageBuffer16BitAccess = has_11.uniformAndStorageBuffer16BitAccess;
    features_11->multiview = has_11.multiview;
    features->features.imageCubeArray = has.features.imageCubeArray;
    features->features.independentBlend = has.features.independentBlend;
    features->features.samplerAnisotropy = has.features.samplerAnisotropy;
    features->features.shaderInt16 = has.features.shaderInt16;
    features->features.shaderInt64 = has.features.shaderInt64;
    host->features = DVK_FEATURE_SUBGROUP_BALLOT | /* if the device has it, there is nothing to enable */
                     (features_12->shaderFloat16 ? DVK_FEATURE_FP16_ARITHMETIC : 0) |
                     (features_11->storageBuffer16BitAccess ? DVK_FEATURE_FP16_STORAGE : 0) |
                     (features->features.shaderInt64 ? DVK_FEATURE_INT64 : 0);
}

uint32_t host_families(const test_host *host, VkQueueFamilyProperties families[MAX_FAMILIES]) {
    uint32_t count = 0; /* asked for first: SwiftShader fills as many as there is room for */
    vkGetPhysicalDeviceQueueFamilyProperties(host->physical_device, &count, NULL);
    REQUIRE(count <= MAX_FAMILIES);
    vkGetPhysicalDeviceQueueFamilyProperties(host->physical_device, &count, families);
    return count;
}

static void open_device(test_host *host, host_kind kind) {
    const float priority = 1;
    VkQueueFamilyProperties families[MAX_FAMILIES];
    VkDeviceQueueCreateInfo queues[MAX_FAMILIES];
    const uint32_t count = host_families(host, families);
    for (uint32_t i = 0; i < count; i++)
        queues[i] = (VkDeviceQueueCreateInfo){.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                              .queueFamilyIndex = i,
                                              .queueCount = 1,
                                              .pQueuePriorities = &priority};
    host->queue_family = 0;
    while (host->queue_family < count && !(families[host->queue_family].queueFlags & VK_QUEUE_COMPUTE_BIT))
        host->queue_family++;
    REQUIRE(host->queue_family < count);
    VkPhysicalDeviceVulkan12Features features_12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
    VkPhysicalDeviceVulkan11Features features_11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
                                                    .pNext = &features_12};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &features_11};
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = count, .pQueueCreateInfos = queues};
    static dvk_device_advice advice;
    if (kind == HOST_GODOT || kind == HOST_UNWATCHED) {
        enable_like_godot(host, &features_11, &features_12, &features);
        info.pNext = &features;
    } else if (kind == HOST_ADVISED) {
        dvk_import import = host_import(host);
        dvk_error error;
        if (dvk_advise_device(&import, UINT32_MAX, &advice, &error) != DVK_OK) {
            printf("dvk_advise_device: %s\n", error.message);
            exit(1);
        }
        info.pNext = advice.chain;
        info.enabledExtensionCount = advice.extension_count;
        info.ppEnabledExtensionNames = advice.extensions;
        host->features = advice.features;
    }
    VK(vkCreateDevice(host->physical_device, &info, NULL, &host->device));
    vkGetDeviceQueue(host->device, host->queue_family, 0, &host->queue);
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                    .queueFamilyIndex = host->queue_family};
    VK(vkCreateCommandPool(host->device, &pool, NULL, &host->command_pool));
}

void host_open(test_host *host, host_kind kind) {
    memset(host, 0, sizeof(*host));
    pthread_mutex_init(&host->mutex, NULL);
    host->api_version = kind == HOST_BARE ? VK_API_VERSION_1_1 : VK_API_VERSION_1_2;
    open_instance(host, kind != HOST_UNWATCHED);
    pick_physical_device(host);
    open_device(host, kind);
}

void host_close(test_host *host) {
    VK(vkDeviceWaitIdle(host->device));
    vkDestroyCommandPool(host->device, host->command_pool, NULL);
    vkDestroyDevice(host->device, NULL);
    PFN_vkDestroyDebugUtilsMessengerEXT destroy =
        (PFN_vkDestroyDebugUtilsMessengerEXT)vkGetInstanceProcAddr(host->instance, "vkDestroyDebugUtilsMessengerEXT");
    if (host->messenger)
        destroy(host->instance, host->messenger, NULL);
    vkDestroyInstance(host->instance, NULL);
    pthread_mutex_destroy(&host->mutex);
    memset(host, 0, sizeof(*host));
}

static void lock(void *user) {
    test_host *host = user;
    pthread_mutex_lock(&host->mutex);
    CHECK(host->held == 0);
    host->held++;
    host->submissions++;
}

static void unlock(void *user) {
    test_host *host = user;
    host->held--;
    pthread_mutex_unlock(&host->mutex);
}

dvk_import host_import(test_host *host) {
    return (dvk_import){
        .get_instance_proc_addr = (dvk_function)vkGetInstanceProcAddr,
        .instance = host->instance,
        .api_version = host->api_version,
        .physical_device = host->physical_device,
        .device = host->device,
        .queue = host->queue,
        .queue_family = host->queue_family,
        .features = host->features,
        .lock_queue = lock,
        .unlock_queue = unlock,
        .queue_user = host,
    };
}

static void on_log(void *user, dvk_log_level level, const char *message) {
    (void)user;
    printf("log %d: %s\n", (int)level, message);
}

dvk_context *host_context(test_host *host) {
    dvk_import import = host_import(host);
    dvk_context *context = NULL;
    dvk_error error;
    dvk_context_params params = {.log = on_log, .log_level = DVK_LOG_WARNING};
    if (dvk_context_import(&import, &params, &context, &error) != DVK_OK) {
        printf("dvk_context_import: %s\n", error.message);
        exit(1);
    }
    return context;
}

VkCommandBuffer host_begin(test_host *host, VkCommandBufferLevel level) {
    VkCommandBuffer commands;
    VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                        .commandPool = host->command_pool,
                                        .level = level,
                                        .commandBufferCount = 1};
    VkCommandBufferInheritanceInfo inheritance = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_INHERITANCE_INFO};
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                      .pInheritanceInfo = &inheritance};
    VK(vkAllocateCommandBuffers(host->device, &info, &commands));
    VK(vkBeginCommandBuffer(commands, &begin));
    return commands;
}

void host_run(test_host *host, VkCommandBuffer commands) {
    VK(vkEndCommandBuffer(commands));
    VkFence fence = host_fence(host);
    VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    lock(host);
    VK(vkQueueSubmit(host->queue, 1, &submit, fence));
    unlock(host);
    VK(vkWaitForFences(host->device, 1, &fence, VK_TRUE, UINT64_MAX));
    vkDestroyFence(host->device, fence, NULL);
    vkFreeCommandBuffers(host->device, host->command_pool, 1, &commands);
}

VkSemaphore host_semaphore(test_host *host, bool timeline) {
    VkSemaphore semaphore;
    VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                      .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = timeline ? &type : NULL};
    VK(vkCreateSemaphore(host->device, &info, NULL, &semaphore));
    return semaphore;
}

VkFence host_fence(test_host *host) {
    VkFence fence;
    VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VK(vkCreateFence(host->device, &info, NULL, &fence));
    return fence;
}

void host_submit(test_host *host, VkSemaphore wait, VkSemaphore signal, VkFence fence) {
    const VkPipelineStageFlags stage = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                           .waitSemaphoreCount = wait != VK_NULL_HANDLE,
                           .pWaitSemaphores = &wait,
                           .pWaitDstStageMask = &stage,
                           .signalSemaphoreCount = signal != VK_NULL_HANDLE,
                           .pSignalSemaphores = &signal};
    lock(host);
    VK(vkQueueSubmit(host->queue, 1, &submit, fence));
    unlock(host);
}
