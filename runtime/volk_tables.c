/* volk, compiled once under private names, for its generated loader of device tables. */
#include "vulkan_api.h"

#define VOLK_IMPLEMENTATION
#include <volk.h>

typedef struct device_loader {
    PFN_vkGetDeviceProcAddr get_device_proc_addr;
    VkDevice device;
} device_loader;

static PFN_vkVoidFunction load_device_function(void *context, const char *name) {
    const device_loader *loader = context;
    return loader->get_device_proc_addr(loader->device, name);
}

void dvk_load_device_table(struct VolkDeviceTable *table, PFN_vkGetDeviceProcAddr get_device_proc_addr,
                           VkDevice device) {
    device_loader loader = {get_device_proc_addr, device};
    volkGenLoadDeviceTable(table, &loader, load_device_function);
}
