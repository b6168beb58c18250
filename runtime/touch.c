#include "touch.h"

#include <stdint.h>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

void dvk_touch(void *start, size_t size) {
#ifdef MADV_POPULATE_WRITE /* Linux 5.14 */
    const long page = sysconf(_SC_PAGESIZE);
    if (page <= 0)
        return;
    const uintptr_t mask = ~((uintptr_t)page - 1);
    const uintptr_t first = ((uintptr_t)start + (uintptr_t)page - 1) & mask, end = ((uintptr_t)start + size) & mask;
    /* It is a hint: whatever fails here, writing does the same a page at a time. */
    if (first < end)
        (void)madvise((void *)first, end - first, MADV_POPULATE_WRITE);
#else
    (void)start, (void)size;
#endif
}
