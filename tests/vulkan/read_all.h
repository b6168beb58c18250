/* A pass's outputs as one array, to compare bit by bit. */
#ifndef DVK_TEST_READ_ALL_H_
#define DVK_TEST_READ_ALL_H_

#include "dino_vk.h"
#include "test.h"

/* All outputs of one image, one after the other; returns how many floats these are. */
static inline size_t read_all(const dvk_session *session, uint32_t index, float *values, size_t capacity) {
    size_t used = 0;
    for (int output = 0; output < DVK_OUTPUT_COUNT; output++) {
        uint32_t shape[2] = {1, 1};
        uint32_t rank = dvk_session_shape(session, (dvk_output)output, shape);
        if (!rank)
            continue;
        size_t count = rank == 2 ? (size_t)shape[0] * shape[1] : shape[0];
        REQUIRE(used + count <= capacity);
        CHECK(dvk_session_read(session, (dvk_output)output, index, values + used, count, NULL) == DVK_OK);
        used += count;
    }
    return used;
}

#endif
