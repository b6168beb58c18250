/* TGA (Truevision, 1.0 and 2.0): palette, colour and gray, raw or run-length. The footer of 2.0 is not needed and not
 * read, so a file that lost only its footer is whole. */
#include "image.h"

#include <string.h>

enum { HEADER = 18, TYPE_PALETTE = 1, TYPE_COLOR = 2, TYPE_GRAY = 3, TYPE_RLE = 8, FROM_RIGHT = 0x10, FROM_TOP = 0x20 };

typedef struct tga {
    uint32_t type, width, height, pixel_bytes;
    bool rle, from_right, from_top;
    const uint8_t *palette; /* of palette_size entries, the first of which is index palette_first */
    uint32_t palette_first, palette_size, palette_bytes;
} tga;

bool dvk_image_is_tga(const uint8_t *bytes, size_t size) {
    if (size < HEADER)
        return false;
    const uint32_t type = bytes[2] & ~(uint32_t)TYPE_RLE, depth = bytes[16], palette_depth = bytes[7];
    if (bytes[1] > 1 || type < TYPE_PALETTE || type > TYPE_GRAY || bytes[17] & 0xc0)
        return false;
    if (bytes[1] && palette_depth != 15 && palette_depth != 16 && palette_depth != 24 && palette_depth != 32)
        return false;
    if (type == TYPE_PALETTE)
        return bytes[1] && depth == 8;
    if (type == TYPE_GRAY)
        return depth == 8 || depth == 16;
    return depth == 15 || depth == 16 || depth == 24 || depth == 32;
}

/* One stored colour of 2 (5 bits each), 3 or 4 bytes (blue first). */
static void unpack_color(const uint8_t *color, uint32_t bytes, uint8_t *target) {
    if (bytes == 2) {
        const uint32_t value = dvk_little16(color);
        target[0] = (uint8_t)((value >> 10 & 31) * 255 / 31);
        target[1] = (uint8_t)((value >> 5 & 31) * 255 / 31);
        target[2] = (uint8_t)((value & 31) * 255 / 31);
    } else {
        target[0] = color[2];
        target[1] = color[1];
        target[2] = color[0];
    }
}

static void unpack_pixel(const tga *t, const uint8_t *pixel, uint8_t *target) {
    if (t->type == TYPE_COLOR) {
        unpack_color(pixel, t->pixel_bytes, target);
    } else if (t->type == TYPE_GRAY) {
        memset(target, pixel[0], 3); /* the second byte, if any, is alpha */
    } else {
        const uint32_t index = pixel[0] - t->palette_first; /* wraps to something large below the first */
        if (pixel[0] >= t->palette_first && index < t->palette_size)
            unpack_color(t->palette + (size_t)index * t->palette_bytes, t->palette_bytes, target);
        else
            memset(target, 0, 3);
    }
}

/* Where pixel `index` in the file's order belongs. */
static uint8_t *locate(const tga *t, const dvk_image *image, size_t index) {
    const size_t column = index % t->width, row = index / t->width;
    const size_t x = t->from_right ? t->width - 1 - column : column, y = t->from_top ? row : t->height - 1 - row;
    return image->pixels + (y * t->width + x) * 3;
}

/* Returns the number of pixels that the packets hold, stopping before the first incomplete one or after `pixels`.
 * image NULL: only count. */
static size_t unpack_rle(const tga *t, const uint8_t *bytes, size_t size, size_t pixels, const dvk_image *image) {
    size_t done = 0, at = 0;
    while (done < pixels && at < size) {
        const bool run = bytes[at] & 0x80;
        const size_t count = (bytes[at] & 0x7fu) + 1u, stored = run ? 1 : count;
        at++;
        if (count > pixels - done || stored > (size - at) / t->pixel_bytes)
            break;
        for (size_t i = 0; image && i < count; i++)
            unpack_pixel(t, bytes + at + (run ? 0 : i * t->pixel_bytes), locate(t, image, done + i));
        at += stored * t->pixel_bytes;
        done += count;
    }
    return done;
}

dvk_result dvk_image_decode_tga(const dvk_image_file *file, dvk_image *image, dvk_error *error) {
    const uint8_t *bytes = file->bytes;
    tga t = {
        .type = bytes[2] & ~(uint32_t)TYPE_RLE,
        .width = dvk_little16(bytes + 12),
        .height = dvk_little16(bytes + 14),
        .pixel_bytes = (bytes[16] + 7u) / 8,
        .rle = bytes[2] & TYPE_RLE,
        .from_right = bytes[17] & FROM_RIGHT,
        .from_top = bytes[17] & FROM_TOP,
        .palette_first = dvk_little16(bytes + 3),
        .palette_size = bytes[1] ? dvk_little16(bytes + 5) : 0,
        .palette_bytes = (bytes[7] + 7u) / 8,
    };
    dvk_result result = dvk_image_check_size(file, t.width, t.height, error);
    if (result != DVK_OK)
        return result;

    const size_t identifier = bytes[0], palette_bytes = (size_t)t.palette_size * t.palette_bytes;
    if (identifier + palette_bytes > file->size - HEADER)
        return dvk_image_damaged(file, error, "the TGA ends at byte %zu within its palette", file->size);
    t.palette = bytes + HEADER + identifier;
    const uint8_t *data = t.palette + palette_bytes;
    const size_t size = file->size - HEADER - identifier - palette_bytes;

    /* Counting first costs little and spares a large allocation for a small broken file. */
    const size_t pixels = (size_t)t.width * t.height;
    const size_t found = t.rle ? unpack_rle(&t, data, size, pixels, NULL) : size / t.pixel_bytes;
    if (found < pixels)
        return dvk_image_damaged(file, error, "a TGA of %ux%u has %zu pixels, found %zu", t.width, t.height, pixels,
                                 found);

    result = dvk_image_allocate(file->allocator, t.width, t.height, image, error);
    if (result != DVK_OK)
        return result;
    if (t.rle)
        unpack_rle(&t, data, size, pixels, image);
    for (size_t i = 0; !t.rle && i < pixels; i++)
        unpack_pixel(&t, data + i * t.pixel_bytes, locate(&t, image, i));
    return DVK_OK;
}
