/* A Vulkan device with what every model and session on it shares. */
#ifndef DVK_CONTEXT_H_
#define DVK_CONTEXT_H_

#include "device_features.h"
#include "memory.h"
#include "variants.h"
#include "vulkan_api.h"

typedef struct dvk_log {
    dvk_log_callback callback;
    void *user;
    dvk_log_level level;
} dvk_log;

void dvk_log_message(const dvk_log *log, dvk_log_level level, const char *format, ...) DVK_PRINTF(3, 4);

/* The loader and an instance of Vulkan 1.1; validation: with the Khronos layer, whose messages go to `log`. */
typedef struct dvk_instance {
    const dvk_allocator *allocator;
    const VkAllocationCallbacks *vulkan_allocator;
    void *library;
    VkInstance handle;
    VkDebugUtilsMessengerEXT messenger;
    dvk_instance_table vk;
} dvk_instance;

/* `log` and the allocators must stay where they are until dvk_instance_close(). */
dvk_result dvk_instance_open(bool validation, const dvk_log *log, const dvk_allocator *allocator,
                             const VkAllocationCallbacks *vulkan_allocator, dvk_instance *instance, dvk_error *error);
void dvk_instance_close(dvk_instance *instance);

/* All physical devices in the driver's order, of the instance's allocator. No device: DVK_OK and *count 0. */
dvk_result dvk_physical_devices(const dvk_instance *instance, VkPhysicalDevice **devices, uint32_t *count,
                                dvk_error *error);
dvk_result dvk_describe_device(const dvk_instance *instance, VkPhysicalDevice device, uint32_t index,
                               dvk_device_info *info, dvk_error *error);

enum { DVK_MAX_FAMILIES = 64 }; /* as many queue families are looked at */

/* Returns how many there are. Asks for that first: SwiftShader fills as many entries as it is given room for. */
uint32_t dvk_list_queue_families(const dvk_instance *instance, VkPhysicalDevice device,
                                 VkQueueFamilyProperties families[DVK_MAX_FAMILIES]);
/* The queue family to use: one that computes, and as little else as possible; UINT32_MAX if none. */
uint32_t dvk_find_queue_family(const dvk_instance *instance, VkPhysicalDevice device);

/* timestampValidBits of a family. */
uint32_t dvk_timestamp_bits(const dvk_instance *instance, VkPhysicalDevice device, uint32_t family);

/* Index into infos of the device that `request` (as in dvk_context_params) means. */
dvk_result dvk_choose_device(const dvk_device_info *infos, uint32_t count, const char *request, uint32_t *chosen,
                             dvk_error *error);

typedef struct dvk_pipeline dvk_pipeline; /* pipeline.h */
typedef struct dvk_choices dvk_choices;   /* choice.h */

struct dvk_context {
    dvk_log log;
    dvk_allocator allocator;
    const VkAllocationCallbacks *vulkan_allocator; /* NULL, or vulkan_callbacks */
    VkAllocationCallbacks vulkan_callbacks;
    dvk_instance instance;
    VkPhysicalDevice physical_device;
    VkDevice device;
    struct VolkDeviceTable vk;
    uint32_t queue_family;
    uint32_t timestamp_bits; /* of its timestamps; 0: it has none */
    VkQueue queue;
    VkCommandPool command_pool;
    bool imported;                  /* instance, device and queue are the host's */
    void (*lock_queue)(void *user); /* both NULL on a device of our own */
    void (*unlock_queue)(void *user);
    void *queue_user;

    dvk_device_info info;
    VkPhysicalDeviceLimits limits;
    VkDeviceSize max_allocation;
    VkPhysicalDeviceMemoryProperties memory;
    uint8_t driver_uuid[VK_UUID_SIZE];
    uint32_t driver_version;
    VkDriverId driver_id;                     /* 0 before Vulkan 1.2 */
    const struct dvk_driver_bug *driver_bugs; /* driver_bugs.h's table; tests plant others */
    size_t driver_bug_count;
    char tier[64];

    /* What variants are chosen by. */
    dvk_device_class device_class;
    dvk_device_features features; /* what was enabled on `device` and may be used */
    uint32_t disabled_features;   /* by the caller */
    dvk_choices *choices;         /* NULL: of all variants as the table has them, none known by experience */

    VkPipelineCreateFlags pipeline_flags; /* of every pipeline: 0, but for tools that ask the compiler about them */
    VkPipelineCache pipeline_cache;
    bool host_pipeline_cache; /* it is the host's: not ours to destroy or to save */
    /* cache_file.h */
    struct dvk_cache_section *cache_sections;
    char *cache_path;        /* NULL: not kept on disk */
    uint64_t build_id;       /* of the variants that the file is about */
    uint64_t cache_checksum; /* of what the file holds; 0: nothing */
    bool new_pipelines;      /* made since the cache was saved */
    bool cache_changed;      /* the same for sections */
    dvk_pipeline *pipelines; /* a list; freed with the context */
};

/* The two ends of making a context. Allocated: zeros but for log and allocators. Started, once instance, devices, queue
 * and the device table are set: all the rest. Whatever fails, dvk_context_destroy() cleans up. */
dvk_result dvk_context_allocate(const dvk_context_params *params, const char *function, dvk_context **context,
                                dvk_error *error);
dvk_result dvk_context_start(dvk_context *context, const dvk_context_params *params, dvk_error *error);

#endif
