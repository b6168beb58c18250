/* Milliseconds of a clock that no one sets. */
#ifndef DVK_CLOCK_H_
#define DVK_CLOCK_H_

#include <time.h>

static inline double dvk_now_ms(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

#endif
