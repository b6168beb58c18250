/* A dvk_allocator that counts, that knows its own blocks from others, and that fails when told to. One at a time. */
#ifndef TEST_ALLOCATOR_H_
#define TEST_ALLOCATOR_H_

#include "dino_vk.h"
#include "test.h"

typedef struct test_memory {
    uint64_t calls;       /* of allocate */
    uint64_t fail_at;     /* the call that fails, from 1; 0: none */
    bool fail_ever_after; /* and all that follow */
    uint64_t failures;
    size_t live, live_bytes, peak_bytes;
} test_memory;

enum { TEST_MAGIC = 0x0ddba115, TEST_HEADER = 64 };

static inline void *test_allocate_(void *user, size_t size, size_t alignment) {
    test_memory *memory = user;
    memory->calls++;
    CHECK(size > 0 && alignment > 0 && (alignment & (alignment - 1)) == 0 && alignment <= TEST_HEADER);
    if (memory->fail_at &&
        (memory->calls == memory->fail_at || (memory->fail_ever_after && memory->calls > memory->fail_at))) {
        memory->failures++;
        return NULL;
    }
    uint64_t *block = aligned_alloc(TEST_HEADER, (TEST_HEADER + size + TEST_HEADER - 1) / TEST_HEADER * TEST_HEADER);
    REQUIRE(block);
    block[0] = TEST_MAGIC;
    block[1] = size;
    memset((char *)block + TEST_HEADER, 0xa5, size); /* nobody may take it for zeroed */
    memory->live++;
    memory->live_bytes += size;
    if (memory->peak_bytes < memory->live_bytes)
        memory->peak_bytes = memory->live_bytes;
    return (char *)block + TEST_HEADER;
}

static inline void test_release_(void *user, void *pointer) {
    test_memory *memory = user;
    REQUIRE(pointer);
    uint64_t *block = (uint64_t *)(void *)((char *)pointer - TEST_HEADER);
    REQUIRE(block[0] == TEST_MAGIC); /* else it is another allocator's, or released already */
    block[0] = 0;
    memory->live--;
    memory->live_bytes -= block[1];
    free(block);
}

static inline dvk_allocator test_allocator(test_memory *memory) {
    memset(memory, 0, sizeof(*memory));
    return (dvk_allocator){memory, test_allocate_, test_release_};
}

#endif
