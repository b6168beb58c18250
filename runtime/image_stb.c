/* The one translation unit that holds stb_image: its JPEG decoder and its inflate, nothing else, all static. */
#include "image.h"

/* One decode of at most 16384 x 16384 pixels needs no larger piece than this (the RGB result, 805 MB). */
#define MAX_PIECE ((size_t)1 << 30)

/* Of the decode that runs on this thread: stb_image's macros take no argument of ours, and not all of its failures for
 * want of memory say so. */
static _Thread_local const dvk_allocator *current;
static _Thread_local bool refused;

/* Zeroed: where damaged data ends early, stb_image leaves what it allocated as it was. */
static void *capped_malloc(size_t size) {
    void *block = size <= MAX_PIECE ? dvk_allocate_zeroed(current, 1, size) : NULL;
    refused |= !block;
    return block;
}

static void *capped_realloc(void *old, size_t old_size, size_t size) {
    void *block = size <= MAX_PIECE ? dvk_reallocate(current, old, old_size, size) : NULL;
    refused |= !block;
    return block;
}

#define STBI_MALLOC(size) capped_malloc(size)
#define STBI_REALLOC_SIZED(old, old_size, size) capped_realloc(old, old_size, size)
#define STBI_REALLOC(old, size) capped_realloc(old, 0, size) /* unused where the above is */
#define STBI_FREE(old) dvk_release(current, old)
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

uint8_t *dvk_stb_jpeg(const dvk_allocator *allocator, const uint8_t *bytes, int size, int *width, int *height,
                      const char **reason) {
    int components;
    current = allocator;
    refused = false;
    uint8_t *pixels = stbi_load_from_memory(bytes, size, width, height, &components, 3);
    current = NULL;
    /* stb_image's is thread-local, too, and static text. */
    *reason = pixels ? NULL : refused ? "outofmem" : stbi_failure_reason();
    return pixels;
}

bool dvk_stb_inflate(const uint8_t *bytes, int size, uint8_t *target, int target_size) {
    return stbi_zlib_decode_buffer((char *)target, target_size, (const char *)bytes, size) == target_size;
}
