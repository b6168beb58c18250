/* stb_image_write in a translation unit of its own, its functions local to it. */
#include <stdint.h>
#include <stdlib.h>

#include "picture.h"

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
    return stbi_write_png_to_mem(pixels, 3 * width, width, height, 3, size);
}
