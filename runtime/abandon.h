/* What becomes of a context whose work on the device cannot be waited for. */
#ifndef DVK_ABANDON_H_
#define DVK_ABANDON_H_

#include "context.h"

/* vkWaitForFences failed for good, and the device is not lost either: it may be using anything that this context made.
 * From here on nothing of Vulkan is destroyed, because a leak harms the host less than memory that is reused too early:
 * the destroying entries of the context's tables do nothing any more. Sessions, models and the context are destroyed as
 * ever. */
void dvk_context_abandon(dvk_context *context, const char *why);

#endif
