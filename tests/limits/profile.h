/* A device that does not exist: a line of profiles.txt. */
#ifndef DVK_LIMITS_PROFILE_H_
#define DVK_LIMITS_PROFILE_H_

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include <stdbool.h>
#include <stddef.h>

enum {
    HIDE_FP16 = 1 << 0,
    HIDE_STORAGE16 = 1 << 1,
    HIDE_INT64 = 1 << 2,
    HIDE_DOT = 1 << 3,
    HIDE_SUBGROUPS = 1 << 4, /* all operations but the basic ones */
    HIDE_SIZE_CONTROL = 1 << 5,
    HIDE_TIMESTAMPS = 1 << 6,
    HIDE_TIMELINE = 1 << 7,
    HIDE_MATRICES = 1 << 8,
    HIDE_EXTENSIONS = 1 << 9 /* all of the device's */
};

/* 0 wherever the device's own is told. */
typedef struct limits_profile {
    char name[64];
    uint64_t api; /* a VK_API_VERSION */
    uint64_t type;
    uint64_t invocations, shared, buffers, range, groups, push, alignment, atom;
    uint64_t subgroup, vector_bits;
    uint64_t hide;
    uint64_t allocations, allocation; /* the latter in MiB */
    uint64_t vendor, driver, driver_version;
    uint64_t drop;                           /* every so many-th dispatch is lost */
    VkPhysicalDeviceMemoryProperties memory; /* memoryTypeCount 0: the device's own */
    uint32_t buffer_types;                   /* the types that a buffer may have, as bits */
} limits_profile;

/* `more`: keys and values behind those of the line. False, and why not, where there is no such line or it is no
 * profile.
 */
bool limits_profile_read(const char *path, const char *name, const char *more, limits_profile *profile, char *why_not,
                         size_t size);

#endif
