/* qsort() as the library needs it: glibc's allocates memory of its own, and others recurse or take quadratic time. */
#ifndef DVK_SORT_H_
#define DVK_SORT_H_

#include <stddef.h>

/* Negative, 0 or positive, as strcmp(). */
typedef int (*dvk_compare)(const void *a, const void *b, const void *context);

/* In place, n log n comparisons at most, n where it is sorted already; equal elements in any order. */
void dvk_sort(void *base, size_t count, size_t size, dvk_compare compare, const void *context);

#endif
