/* stb_image_write in a translation unit of its own, its functions local to it. */
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include "picture.h"

/* stb_image_write does not check what realloc() returns while it compresses. So a failure never returns to it; what it
 * had allocated until then is lost, which only a command that is about to end may do. */
static jmp_buf out_of_memory;

static void *checked_realloc(void *old, size_t size) {
    void *memory = realloc(old, size ? size : 1); /* of 0 bytes it may free, and return NULL */
    if (!memory)
        longjmp(out_of_memory, 1);
    return memory;
}

#define STBIW_MALLOC(size) checked_realloc(NULL, size)
#define STBIW_REALLOC(old, size) checked_realloc(old, size)
#define STBIW_FREE(old) free(old)

/* To the end of the file, because unused functions are reported there. */
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

uint8_t *png_encode(const uint8_t *pixels, int width, int height, int *size) {
    if (setjmp(out_of_memory))
        return NULL;
    return stbi_write_png_to_mem(pixels, 3 * width, width, height, 3, size);
}
