/* splitmix64 (Steele, Lea and Flood 2014): the tests' random numbers, the same everywhere. */
#ifndef DVK_TEST_RANDOM_H_
#define DVK_TEST_RANDOM_H_

#include <stdint.h>

static inline uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0 .. bound - 1; the bias does not matter for tests. */
static inline uint32_t random_below(uint64_t *state, uint32_t bound) {
    return (uint32_t)((random_next(state) >> 32) * bound >> 32);
}

#endif
