/* The one translation unit that holds stb_image: its JPEG decoder and its inflate, nothing else, all static. */
#include "image.h"

#include <stdlib.h>

/* One decode of at most 16384 x 16384 pixels needs no larger piece than this (the RGB result, 805 MB). */
#define MAX_PIECE ((size_t)1 << 30)

/* Zeroed: where damaged data ends early, stb_image leaves what it allocated as it was. */
static void *capped_malloc(size_t size) {
    return size <= MAX_PIECE ? calloc(1, size) : NULL;
}

static void *capped_realloc(void *old, size_t size) {
    return size <= MAX_PIECE ? realloc(old, size) : NULL;
}

#define STBI_MALLOC(size) capped_malloc(size)
#define STBI_REALLOC(old, size) capped_realloc(old, size)
#define STBI_FREE(old) free(old)
#define STBI_ASSERT(condition) ((void)0) /* a library does not abort */
#define STBI_ONLY_JPEG
#define STBI_SUPPORT_ZLIB
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS DVK_IMAGE_MAX_EDGE
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION

/* Not our code: its warnings are silenced, in this file only. */
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wundef"
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#else
#include <stb_image.h>
#endif

uint8_t *dvk_stb_jpeg(const uint8_t *bytes, int size, int *width, int *height, const char **reason) {
    int components;
    uint8_t *pixels = stbi_load_from_memory(bytes, size, width, height, &components, 3);
    *reason = pixels ? NULL : stbi_failure_reason(); /* thread-local in stb_image, static text */
    return pixels;
}

bool dvk_stb_inflate(const uint8_t *bytes, int size, uint8_t *target, int target_size) {
    return stbi_zlib_decode_buffer((char *)target, target_size, (const char *)bytes, size) == target_size;
}
