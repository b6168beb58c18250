#include "shim.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

#define FALLIBLE_ENTRY_POINTS(X) GLOBAL_ENTRY_POINTS(X) INSTANCE_ENTRY_POINTS(X) DEVICE_ENTRY_POINTS(X)

enum {
#define INDEX(name, ...) INDEX_##name,
    FALLIBLE_ENTRY_POINTS(INDEX) FALLIBLE_COUNT
};

/* What is below. */
static struct {
    PFN_vkGetInstanceProcAddr get_instance_proc_addr;
    PFN_vkGetDeviceProcAddr get_device_proc_addr;
#define MEMBER(name, ...) PFN_##name name;
    FALLIBLE_ENTRY_POINTS(MEMBER)
    DESTROYING_ENTRY_POINTS(MEMBER)
#undef MEMBER
    PFN_vkFreeCommandBuffers vkFreeCommandBuffers;
} below;

/* Relaxed, so that ThreadSanitizer sees no order between threads that the library did not make. */
static atomic_ullong call_counts[FALLIBLE_COUNT], hit_count;
static atomic_long live_counts[KIND_COUNT];

/* Written before the calls that it concerns, on the same thread. */
static struct {
    size_t entry_point;
    uint64_t call;
    VkResult code;
    bool ever_after;
} plan = {.entry_point = FALLIBLE_COUNT};

static bool fails(size_t entry_point, VkResult *code) {
    const uint64_t call = atomic_fetch_add_explicit(&call_counts[entry_point], 1, memory_order_relaxed) + 1;
    if (plan.entry_point != entry_point || call < plan.call || (call > plan.call && !plan.ever_after))
        return false;
    atomic_fetch_add_explicit(&hit_count, 1, memory_order_relaxed);
    *code = plan.code;
    return true;
}

static void count_objects(object_kind kind, long number) {
    if (kind != KIND_NONE)
        atomic_fetch_add_explicit(&live_counts[kind], number, memory_order_relaxed);
}

/* ------------------------------------------------------------------------------------------------ wrappers */

#define WRAP_FALLIBLE(function, kind, number, parameters, arguments, ...)                                              \
    static VKAPI_ATTR VkResult VKAPI_CALL shim_##function parameters {                                                 \
        VkResult code;                                                                                                 \
        if (fails(INDEX_##function, &code))                                                                            \
            return code;                                                                                               \
        code = below.function arguments;                                                                               \
        if (code == VK_SUCCESS)                                                                                        \
            count_objects(kind, (long)(number));                                                                       \
        return code;                                                                                                   \
    }
FALLIBLE_ENTRY_POINTS(WRAP_FALLIBLE)

#define WRAP_DESTROYING(function, kind, parameters, arguments)                                                         \
    static VKAPI_ATTR void VKAPI_CALL shim_##function parameters {                                                     \
        if (object)                                                                                                    \
            count_objects(kind, -1);                                                                                   \
        below.function arguments;                                                                                      \
    }
DESTROYING_ENTRY_POINTS(WRAP_DESTROYING)

static VKAPI_ATTR void VKAPI_CALL shim_vkFreeCommandBuffers(VkDevice device, VkCommandPool pool, uint32_t count,
                                                            const VkCommandBuffer *buffers) {
    for (uint32_t i = 0; i < count; i++)
        if (buffers[i])
            count_objects(KIND_COMMAND_BUFFER, -1);
    below.vkFreeCommandBuffers(device, pool, count, buffers);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL shim_vkGetDeviceProcAddr(VkDevice device, const char *name);

/* The wrapper of `real`, which becomes the function below it; `real` itself where there is none. */
static PFN_vkVoidFunction wrap(const char *name, PFN_vkVoidFunction real) {
    if (!real)
        return NULL;
#define WRAPPER(function, ...)                                                                                         \
    if (!strcmp(name, #function)) {                                                                                    \
        if (below.function != (PFN_##function)real)                                                                    \
            below.function = (PFN_##function)real;                                                                     \
        return (PFN_vkVoidFunction)shim_##function;                                                                    \
    }
    FALLIBLE_ENTRY_POINTS(WRAPPER)
    DESTROYING_ENTRY_POINTS(WRAPPER)
    WRAPPER(vkFreeCommandBuffers, )
    if (!strcmp(name, "vkGetDeviceProcAddr")) {
        if (below.get_device_proc_addr != (PFN_vkGetDeviceProcAddr)real)
            below.get_device_proc_addr = (PFN_vkGetDeviceProcAddr)real;
        return (PFN_vkVoidFunction)shim_vkGetDeviceProcAddr;
    }
    return real;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL shim_vkGetDeviceProcAddr(VkDevice device, const char *name) {
    return wrap(name, below.get_device_proc_addr(device, name));
}

/* The stub's functions never change, so they are filled in once, before there is a second thread. */
__attribute__((constructor)) static void start(void) {
    const char *path = getenv("DVK_FAULTS_LOADER");
    void *loader = path && *path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (path && *path && !loader) {
        fprintf(stderr, "shim: %s\n", dlerror());
        abort();
    }
    if (loader) {
        void *symbol = dlsym(loader, "vkGetInstanceProcAddr");
        memcpy(&below.get_instance_proc_addr, &symbol, sizeof(symbol));
        return;
    }
    below.get_instance_proc_addr = stub_get_instance_proc_addr;
    below.get_device_proc_addr = (PFN_vkGetDeviceProcAddr)stub_get_instance_proc_addr(NULL, "vkGetDeviceProcAddr");
#define FILL(function, ...) below.function = (PFN_##function)stub_get_instance_proc_addr(NULL, #function);
    FALLIBLE_ENTRY_POINTS(FILL)
    DESTROYING_ENTRY_POINTS(FILL)
    FILL(vkFreeCommandBuffers, )
}

EXPORT VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance, const char *name);

EXPORT VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance, const char *name) {
    return wrap(name, below.get_instance_proc_addr(instance, name));
}

/* ------------------------------------------------------------------------------------------------- control */

static void reset(void) {
    for (size_t i = 0; i < FALLIBLE_COUNT; i++)
        atomic_store_explicit(&call_counts[i], 0, memory_order_relaxed);
    atomic_store_explicit(&hit_count, 0, memory_order_relaxed);
    plan.entry_point = FALLIBLE_COUNT;
}

static void set_plan(size_t entry_point, uint64_t call, VkResult code, bool ever_after) {
    plan.entry_point = entry_point;
    plan.call = call;
    plan.code = code;
    plan.ever_after = ever_after;
}

static uint64_t get_hits(void) {
    return atomic_load_explicit(&hit_count, memory_order_relaxed);
}

static uint64_t get_calls(size_t entry_point) {
    return atomic_load_explicit(&call_counts[entry_point], memory_order_relaxed);
}

static const char *get_name(size_t entry_point) {
    static const char *const names[] = {
#define NAME(name, ...) #name,
        FALLIBLE_ENTRY_POINTS(NAME) NULL};
    return names[entry_point];
}

static const VkResult *get_codes(size_t entry_point) {
    static const VkResult codes[][10] = {
#define CODES(name, kind, number, parameters, arguments, ...) {__VA_ARGS__, VK_SUCCESS},
        FALLIBLE_ENTRY_POINTS(CODES)};
    return codes[entry_point];
}

static long get_live(char *text, size_t size) {
    static const char *const names[KIND_COUNT] = {
        [KIND_INSTANCE] = "instance",
        [KIND_DEVICE] = "device",
        [KIND_MEMORY] = "memory",
        [KIND_BUFFER] = "buffer",
        [KIND_FENCE] = "fence",
        [KIND_SHADER_MODULE] = "shader module",
        [KIND_PIPELINE_CACHE] = "pipeline cache",
        [KIND_SET_LAYOUT] = "set layout",
        [KIND_PIPELINE_LAYOUT] = "pipeline layout",
        [KIND_PIPELINE] = "pipeline",
        [KIND_DESCRIPTOR_POOL] = "descriptor pool",
        [KIND_COMMAND_POOL] = "command pool",
        [KIND_COMMAND_BUFFER] = "command buffer",
        [KIND_QUERY_POOL] = "query pool",
    };
    long sum = 0;
    text[0] = '\0';
    for (int kind = 1; kind < KIND_COUNT; kind++) {
        const long count = atomic_load_explicit(&live_counts[kind], memory_order_relaxed);
        const size_t length = strlen(text);
        if (count)
            snprintf(text + length, size - length, "%s%ld x %s", length ? ", " : "", count, names[kind]);
        sum += count < 0 ? -1000000 : count;
    }
    return sum;
}

static void forget(void) {
    for (int kind = 0; kind < KIND_COUNT; kind++)
        atomic_store_explicit(&live_counts[kind], 0, memory_order_relaxed);
}

EXPORT const shim_control *shim_get_control(void);

EXPORT const shim_control *shim_get_control(void) {
    static shim_control control = {reset, set_plan, get_hits, get_calls, get_name, get_codes, get_live, forget, false};
    control.is_stub = below.get_instance_proc_addr == stub_get_instance_proc_addr;
    return &control;
}
