/* Host memory. Every allocation of the library goes through these, and so through the host's callbacks where it gave
 * any; no other file calls malloc() and its like. */
#ifndef DVK_MEMORY_H_
#define DVK_MEMORY_H_

#include "error.h"

/* In all of these, a NULL `allocator` and one without callbacks mean the C library. What is allocated is aligned for
 * every type of C. NULL where there is no memory; size 0 gives a block like any other. */
void *dvk_allocate(const dvk_allocator *allocator, size_t size);
/* NULL also where count * size overflows. */
void *dvk_allocate_zeroed(const dvk_allocator *allocator, size_t count, size_t size);
/* A block of `size` bytes that begins as the old one's first `old_size`; NULL leaves the old one as it is. */
void *dvk_reallocate(const dvk_allocator *allocator, void *block, size_t old_size, size_t size);
/* Accepts NULL. */
void dvk_release(const dvk_allocator *allocator, void *block);

/* Both callbacks or none. `function` is for the message. */
dvk_result dvk_check_allocator(const dvk_allocator *allocator, const char *function, dvk_error *error);

#endif
