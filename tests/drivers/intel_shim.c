/* Stands in for the kernel driver (i915) of an Intel GPU that is not there, as Mesa's drm-shim does for others, which
 * Debian packages without Intel's: Mesa's Vulkan driver creates devices and compiles pipelines, and nothing runs.
 *
 *     LD_PRELOAD=intel-shim.so INTEL_SHIM_DEVICE=56a0 PROGRAM      (a PCI id, in hexadecimal)
 *
 * The device's files must be there; intel-node makes them. One file in memory is all of the device's, so that
 * mapping a buffer is mapping that file where the buffer is. What is not answered below succeeds and does nothing. */
#define _GNU_SOURCE
#include <drm/drm.h>
#include <drm/i915_drm.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NODE "/dev/dri/renderD128"

/* How many there are changes neither code nor registers. */
enum { SLICES = 1, SUBSLICES = 4, UNITS = 8, BUFFERS = 65536 };

static int memory = -1;
static ino_t inode;
static uint64_t places[BUFFERS], end; /* in memory, by handle */
static uint32_t buffers;

static int is_device(const struct stat *status) {
    return memory >= 0 && S_ISREG(status->st_mode) && status->st_ino == inode;
}

static int open_file(const char *path, int flags, mode_t mode) {
    if (strcmp(path, NODE) != 0)
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (memory < 0) {
        struct stat status;
        memory = memfd_create("device", MFD_CLOEXEC);
        if (memory < 0 || ftruncate(memory, (off_t)1 << 40) || syscall(SYS_fstat, memory, &status))
            abort();
        inode = status.st_ino;
    }
    return dup(memory);
}

int open(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
    va_end(list);
    return open_file(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
    va_end(list);
    return open_file(path, flags, mode);
}

/* What fortified programs call in their place. */
int __open_2(const char *path, int flags) {
    return open_file(path, flags, 0);
}

int __open64_2(const char *path, int flags) {
    return open_file(path, flags, 0);
}

int fstat(int fd, struct stat *status) {
    int result = (int)syscall(SYS_fstat, fd, status);
    if (result == 0 && is_device(status)) {
        status->st_mode = S_IFCHR | 0666;
        status->st_rdev = makedev(226, 128);
    }
    return result;
}

int fstat64(int fd, struct stat64 *status) {
    return fstat(fd, (struct stat *)status);
}

static uint32_t new_buffer(uint64_t size) {
    uint32_t handle = __atomic_add_fetch(&buffers, 1, __ATOMIC_RELAXED);
    if (handle >= BUFFERS)
        abort();
    places[handle] = __atomic_fetch_add(&end, (size + 0xffff) & ~UINT64_C(0xffff), __ATOMIC_RELAXED);
    return handle;
}

static int parameter(int32_t which) {
    switch (which) {
    case I915_PARAM_CHIPSET_ID:
        return (int)strtol(getenv("INTEL_SHIM_DEVICE"), NULL, 16);
    case I915_PARAM_REVISION:
    case I915_PARAM_HAS_USERPTR_PROBE:
        return 0;
    case I915_PARAM_CS_TIMESTAMP_FREQUENCY:
        return 19200000;
    case I915_PARAM_HAS_ALIASING_PPGTT:
        return I915_GEM_PPGTT_FULL;
    case I915_PARAM_MMAP_VERSION:
    case I915_PARAM_MMAP_GTT_VERSION:
        return 4; /* with DRM_IOCTL_I915_GEM_MMAP_OFFSET */
    case I915_PARAM_SUBSLICE_TOTAL:
        return SLICES * SUBSLICES;
    case I915_PARAM_EU_TOTAL:
        return SLICES * SUBSLICES * UNITS;
    case I915_PARAM_CMD_PARSER_VERSION:
        return 10;
    default:
        return 1; /* it has that feature */
    }
}

/* An item without a length asks for it. */
static void query(struct drm_i915_query_item *item) {
    union {
        struct drm_i915_query_topology_info topology;
        struct drm_i915_query_engine_info engines;
        struct drm_i915_query_memory_regions regions;
        uint8_t bytes[1024];
    } answer = {.bytes = {0}};
    size_t length;
    switch (item->query_id) {
    case DRM_I915_QUERY_TOPOLOGY_INFO:
    case DRM_I915_QUERY_GEOMETRY_SUBSLICES:
        /* Masks of a byte each: of slices, of each slice's subslices, of each subslice's units. */
        answer.topology.max_slices = SLICES;
        answer.topology.max_subslices = SUBSLICES;
        answer.topology.max_eus_per_subslice = UNITS;
        answer.topology.subslice_offset = 1;
        answer.topology.subslice_stride = 1;
        answer.topology.eu_offset = 1 + SLICES;
        answer.topology.eu_stride = 1;
        answer.topology.data[0] = (1 << SLICES) - 1;
        memset(&answer.topology.data[1], (1 << SUBSLICES) - 1, SLICES);
        memset(&answer.topology.data[1 + SLICES], (1 << UNITS) - 1, SLICES * SUBSLICES);
        length = sizeof(answer.topology) + 1 + SLICES + SLICES * SUBSLICES;
        break;
    case DRM_I915_QUERY_ENGINE_INFO:
        answer.engines.num_engines = 2;
        answer.engines.engines[0].engine.engine_class = I915_ENGINE_CLASS_RENDER;
        answer.engines.engines[1].engine.engine_class = I915_ENGINE_CLASS_COPY;
        length = sizeof(answer.engines) + 2 * sizeof(answer.engines.engines[0]);
        break;
    case DRM_I915_QUERY_MEMORY_REGIONS:
        answer.regions.num_regions = 2;
        for (uint16_t i = 0; i < 2; i++) {
            struct drm_i915_memory_region_info *region = &answer.regions.regions[i];
            region->region.memory_class = i; /* the system's and the device's */
            region->probed_size = region->unallocated_size = UINT64_C(4) << 30;
            region->probed_cpu_visible_size = region->unallocated_cpu_visible_size = UINT64_C(4) << 30;
        }
        length = sizeof(answer.regions) + 2 * sizeof(answer.regions.regions[0]);
        break;
    default:
        item->length = -EINVAL;
        return;
    }
    if (item->length)
        memcpy((void *)(uintptr_t)item->data_ptr, &answer, length);
    item->length = (int32_t)length;
}

static void serve(unsigned long request, void *argument) {
    union {
        struct drm_version version;
        struct drm_get_cap capability;
        struct drm_syncobj_create syncobj;
        struct drm_i915_getparam getparam;
        struct drm_i915_query query;
        struct drm_i915_gem_context_create context;
        struct drm_i915_gem_context_param context_param;
        struct drm_i915_gem_vm_control vm;
        struct drm_i915_gem_create create;
        struct drm_i915_gem_create_ext create_ext;
        struct drm_i915_gem_userptr userptr;
        struct drm_i915_gem_mmap_offset map;
    } *a = argument;
    switch (request) {
    case DRM_IOCTL_VERSION:
        if (a->version.name && a->version.name_len >= 4)
            memcpy(a->version.name, "i915", 4);
        a->version.version_major = 1;
        a->version.version_minor = 6;
        a->version.name_len = 4;
        a->version.date_len = a->version.desc_len = 0;
        break;
    case DRM_IOCTL_GET_CAP:
        a->capability.value =
            a->capability.capability == DRM_CAP_PRIME ? DRM_PRIME_CAP_IMPORT | DRM_PRIME_CAP_EXPORT : 1;
        break;
    case DRM_IOCTL_SYNCOBJ_CREATE:
        a->syncobj.handle = 1;
        break;
    case DRM_IOCTL_I915_GETPARAM:
        *a->getparam.value = parameter(a->getparam.param);
        break;
    case DRM_IOCTL_I915_QUERY:
        for (uint32_t i = 0; i < a->query.num_items; i++)
            query((struct drm_i915_query_item *)(uintptr_t)a->query.items_ptr + i);
        break;
    case DRM_IOCTL_I915_GEM_CONTEXT_CREATE:
    case DRM_IOCTL_I915_GEM_CONTEXT_CREATE_EXT:
        a->context.ctx_id = 1;
        break;
    case DRM_IOCTL_I915_GEM_CONTEXT_GETPARAM:
        a->context_param.value = a->context_param.param == I915_CONTEXT_PARAM_GTT_SIZE ? UINT64_C(1) << 48 : 0;
        break;
    case DRM_IOCTL_I915_GEM_VM_CREATE:
        a->vm.vm_id = 1;
        break;
    case DRM_IOCTL_I915_GEM_CREATE:
        a->create.handle = new_buffer(a->create.size);
        break;
    case DRM_IOCTL_I915_GEM_CREATE_EXT:
        a->create_ext.handle = new_buffer(a->create_ext.size);
        break;
    case DRM_IOCTL_I915_GEM_USERPTR:
        a->userptr.handle = new_buffer(0);
        break;
    case DRM_IOCTL_I915_GEM_MMAP_OFFSET:
        a->map.offset = places[a->map.handle];
        break;
    default:
        break;
    }
}

int ioctl(int fd, unsigned long request, ...) {
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    struct stat status;
    if (syscall(SYS_fstat, fd, &status) || !is_device(&status))
        return (int)syscall(SYS_ioctl, fd, request, argument);
    serve(request, argument);
    return 0;
}
