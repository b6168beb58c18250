/* What drivers are known to get wrong in ways that a known answer does not find: crashes, hangs, errors that come and
 * go with the size. The only place of the library that knows vendors. */
#ifndef DVK_DRIVER_BUGS_H_
#define DVK_DRIVER_BUGS_H_

#include "context.h"

typedef struct dvk_driver_bug {
    uint32_t vendor;      /* VkPhysicalDeviceProperties::vendorID; 0: any */
    VkDriverId driver;    /* 0: any, also one that does not tell (Vulkan 1.1) */
    uint32_t first, last; /* of the driverVersions, whose encoding is the driver's own; last 0: all since first */
    uint32_t features;    /* DVK_FEATURE_* bits that are not to be used there */
    const char *why, *link;
} dvk_driver_bug;

extern const dvk_driver_bug dvk_driver_bugs[];
extern const size_t dvk_driver_bug_count;

/* Whether the entry is about the driver of this context. */
bool dvk_driver_has_bug(const dvk_context *context, const dvk_driver_bug *bug);

/* Takes what the context's table names away from its features. */
void dvk_avoid_driver_bugs(dvk_context *context);

/* The entry that keeps one of these features from being used on the context's device; NULL: none. */
const dvk_driver_bug *dvk_find_driver_bug(const dvk_context *context, uint32_t features);

#endif
