/* FNV-1a, 64 bits: how the tests write down what bytes they expect. */
#ifndef DVK_TEST_FNV_H_
#define DVK_TEST_FNV_H_

#include <stddef.h>
#include <stdint.h>

static inline uint64_t fnv1a64(const void *bytes, size_t size) {
    const uint8_t *p = bytes;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

#endif
