/* Memory that is about to be written for the first time. */
#ifndef DVK_TOUCH_H_
#define DVK_TOUCH_H_

#include <stddef.h>

/* Has the system provide the pages that lie within these bytes, all of which the caller overwrites next: one call costs
 * less than a fault for each page. Changes no content and no attribute of the memory, and nothing at all where the
 * system has no such call, or where the memory is a device's. */
void dvk_touch(void *start, size_t size);

#endif
