/* What the fuzz targets share. A target is one file that defines LLVMFuzzerTestOneInput(): with libFuzzer (-Dfuzz=true)
 * a program that makes up inputs, with replay.c an ordinary test that goes through files. */
#ifndef FUZZ_H_
#define FUZZ_H_

#include "dino_vk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for every input. Ends the process, which libFuzzer and the test take for a found case. */
#define REQUIRE_ALWAYS(condition)                                                                                      \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A refusal is one sentence: it names a code, ends in the buffer, and has no line of its own within. */
static inline void fuzz_check_refusal(dvk_result result, const dvk_error *error) {
    REQUIRE_ALWAYS(result != DVK_OK && error->code == result);
    const char *end = memchr(error->message, '\0', sizeof(error->message));
    REQUIRE_ALWAYS(end && end > error->message && !strchr(error->message, '\n'));
}

/* An allocator that has `left` bytes to give, for inputs that ask for gigabytes: an input must be refused, or done
 * without, in little memory, and its refusal must leave nothing behind. */
typedef struct fuzz_memory {
    size_t left;
    size_t blocks;
} fuzz_memory;

enum { FUZZ_HEADER = 64 }; /* of a block: its size; alignment stays that of any type of C */

static inline void *fuzz_allocate_(void *user, size_t size, size_t alignment) {
    fuzz_memory *memory = user;
    (void)alignment;
    if (size > memory->left)
        return NULL;
    /* The block ends where what was asked for ends, so that a sanitizer sees any access beyond. */
    char *block = malloc(FUZZ_HEADER + size);
    if (!block)
        return NULL;
    memcpy(block, &size, sizeof(size));
    memory->left -= size;
    memory->blocks++;
    return block + FUZZ_HEADER;
}

static inline void fuzz_release_(void *user, void *pointer) {
    fuzz_memory *memory = user;
    char *block = (char *)pointer - FUZZ_HEADER;
    size_t size;
    memcpy(&size, block, sizeof(size));
    memory->left += size;
    memory->blocks--;
    free(block);
}

static inline dvk_allocator fuzz_allocator(fuzz_memory *memory, size_t bytes) {
    *memory = (fuzz_memory){bytes, 0};
    return (dvk_allocator){memory, fuzz_allocate_, fuzz_release_};
}

/* A copy that is exactly as large as it says, for the same reason; free() it. */
static inline uint8_t *fuzz_copy(const void *bytes, size_t size) {
    uint8_t *copy = malloc(size + !size);
    REQUIRE_ALWAYS(copy);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

#endif
