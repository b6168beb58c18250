#include "sort.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A heap whose root is the largest element; child i's parent is (i - 1) / 2. */
typedef struct heap {
    uint8_t *elements;
    size_t size;
    dvk_compare compare;
    const void *context;
} heap;

static bool less(const heap *h, size_t a, size_t b) {
    return h->compare(h->elements + a * h->size, h->elements + b * h->size, h->context) < 0;
}

static void swap(const heap *h, size_t a, size_t b) {
    uint8_t *x = h->elements + a * h->size, *y = h->elements + b * h->size, piece[64];
    for (size_t done = 0, bytes; done < h->size; done += bytes) {
        bytes = h->size - done < sizeof(piece) ? h->size - done : sizeof(piece);
        memcpy(piece, x + done, bytes);
        memcpy(x + done, y + done, bytes);
        memcpy(y + done, piece, bytes);
    }
}

/* Moves the element at `at` down to where it belongs: first along the larger children to the bottom, as it came from
 * there, then up again. That takes half the comparisons of looking at every level whether it may stay. */
static void sift(const heap *h, size_t at, size_t count) {
    const size_t top = at;
    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && less(h, child, child + 1))
            child++;
        swap(h, at, child);
        at = child;
    }
    while (at > top && less(h, (at - 1) / 2, at)) {
        swap(h, (at - 1) / 2, at);
        at = (at - 1) / 2;
    }
}

void dvk_sort(void *base, size_t count, size_t size, dvk_compare compare, const void *context) {
    const heap h = {base, size, compare, context};
    size_t sorted = 1;
    while (sorted < count && !less(&h, sorted, sorted - 1))
        sorted++;
    if (sorted >= count)
        return;
    for (size_t i = count / 2; i-- > 0;)
        sift(&h, i, count);
    for (size_t end = count - 1; end > 0; end--) {
        swap(&h, 0, end);
        sift(&h, 0, end);
    }
}
