#include "memory.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static bool is_own(const dvk_allocator *allocator) {
    return allocator && allocator->allocate;
}

void *dvk_allocate(const dvk_allocator *allocator, size_t size) {
    if (!size)
        size = 1;
    return is_own(allocator) ? allocator->allocate(allocator->user, size, _Alignof(max_align_t)) : malloc(size);
}

void *dvk_allocate_zeroed(const dvk_allocator *allocator, size_t count, size_t size) {
    if (!is_own(allocator))
        return calloc(count ? count : 1, size ? size : 1); /* which need not touch fresh pages */
    if (size && count > SIZE_MAX / size)
        return NULL;
    void *block = dvk_allocate(allocator, count * size);
    return block ? memset(block, 0, count * size) : NULL;
}

void *dvk_reallocate(const dvk_allocator *allocator, void *block, size_t old_size, size_t size) {
    if (!is_own(allocator))
        return realloc(block, size ? size : 1);
    void *moved = dvk_allocate(allocator, size);
    if (!moved || !block)
        return moved;
    memcpy(moved, block, old_size < size ? old_size : size);
    dvk_release(allocator, block);
    return moved;
}

void dvk_release(const dvk_allocator *allocator, void *block) {
    if (!is_own(allocator))
        free(block);
    else if (block)
        allocator->release(allocator->user, block);
}

dvk_result dvk_check_allocator(const dvk_allocator *allocator, const char *function, dvk_error *error) {
    if (allocator && !allocator->allocate != !allocator->release)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "%s: the allocator has only one of allocate and release: give both, or neither", function);
    return DVK_OK;
}
