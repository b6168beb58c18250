#include "interpose.h"

#include <string.h>

interposed_counts interposed;

static struct {
    uint32_t calls, times, failures;
    VkResult result;
    const char *only;
} failing;

static VkDevice device_of_last_call;

/* The real functions. */
static struct {
#define POINTER(name, parameters, arguments) PFN_##name name;
    INTERPOSED_COMMANDS(POINTER)
    INTERPOSED_CALLS(POINTER)
#undef POINTER
    PFN_vkGetDeviceProcAddr get_device_proc_addr;
} real;

void interpose_fail(uint32_t calls, uint32_t times, VkResult result, const char *only) {
    failing.calls = calls;
    failing.times = times;
    failing.failures = 0;
    failing.result = result;
    failing.only = only;
}

uint32_t interpose_failures(void) {
    return failing.failures;
}

static bool fails(const char *name) {
    if (!failing.times || (failing.only && strcmp(failing.only, name) != 0))
        return false;
    if (failing.calls) {
        failing.calls--;
        return false;
    }
    failing.times--;
    failing.failures++;
    if (failing.result == VK_ERROR_DEVICE_LOST && device_of_last_call)
        (void)real.vkDeviceWaitIdle(device_of_last_call);
    return true;
}

#define COMMAND(name, parameters, arguments)                                                                           \
    static VKAPI_ATTR void VKAPI_CALL on_##name parameters {                                                           \
        interposed.name++;                                                                                             \
        real.name arguments;                                                                                           \
    }
INTERPOSED_COMMANDS(COMMAND)

#define CALL(name, parameters, arguments)                                                                              \
    static VKAPI_ATTR VkResult VKAPI_CALL on_##name parameters {                                                       \
        interposed.name++;                                                                                             \
        return fails(#name) ? failing.result : real.name arguments;                                                    \
    }
INTERPOSED_CALLS(CALL)

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_proc_addr(VkDevice device, const char *name) {
    PFN_vkVoidFunction found = real.get_device_proc_addr(device, name);
    device_of_last_call = device;
    if (!found)
        return NULL;
#define ENTRY(function, parameters, arguments)                                                                         \
    if (!strcmp(name, #function)) {                                                                                    \
        real.function = (PFN_##function)found;                                                                         \
        return (PFN_vkVoidFunction)on_##function;                                                                      \
    }
    INTERPOSED_COMMANDS(ENTRY)
    INTERPOSED_CALLS(ENTRY)
    return found;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL interpose_get_instance_proc_addr(VkInstance instance, const char *name) {
    PFN_vkVoidFunction found = vkGetInstanceProcAddr(instance, name);
    if (strcmp(name, "vkGetDeviceProcAddr") != 0)
        return found;
    real.get_device_proc_addr = (PFN_vkGetDeviceProcAddr)found;
    return (PFN_vkVoidFunction)get_device_proc_addr;
}
