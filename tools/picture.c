#include "picture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int picture_check_size(uint64_t width, uint64_t height, const char *what) {
    /* Both are below 2^40 or so: products of a panel's size, at most 16384, and a panel count. */
    if (width > PICTURE_MAX_BYTES || height > PICTURE_MAX_BYTES || (3 * width + 1) > PICTURE_MAX_BYTES / height)
        return fail(EXIT_CODE_USAGE,
                    "%s would have %" PRIu64 "x%" PRIu64 " pixels, more than fit into 1 GiB; give a smaller --size",
                    what, width, height);
    return 0;
}

int picture_create(struct picture *picture, uint32_t width, uint32_t height, const char *what) {
    int code = picture_check_size(width, height, what);
    if (code)
        return code;
    uint8_t *pixels = calloc((size_t)width * height, 3);
    if (!pixels)
        return fail(EXIT_CODE_DEVICE, "%s: out of memory for its %" PRIu32 "x%" PRIu32 " pixels", what, width, height);
    picture->width = width;
    picture->height = height;
    picture->pixels = pixels;
    return 0;
}

void picture_free(struct picture *picture) {
    free(picture->pixels);
    picture->pixels = NULL;
    picture->width = picture->height = 0;
}

void picture_fill(struct picture *picture, const uint8_t colour[3]) {
    size_t count = (size_t)picture->width * picture->height;
    for (size_t i = 0; i < count; i++)
        memcpy(picture->pixels + 3 * i, colour, 3);
}

static uint8_t *pixel_at(struct picture *picture, uint32_t x, uint32_t y) {
    return picture->pixels + 3 * ((size_t)y * picture->width + x);
}

void picture_copy(struct picture *picture, uint32_t x, uint32_t y, const uint8_t *pixels, uint32_t width,
                  uint32_t height, uint32_t stride) {
    for (uint32_t row = 0; row < height; row++)
        memcpy(pixel_at(picture, x, y + row), pixels + 3 * (size_t)row * stride, 3 * (size_t)width);
}

/* Rows from the top, five bits each, the leftmost pixel in the highest bit. */
struct glyph {
    char character;
    uint8_t rows[FONT_HEIGHT];
};

static const struct glyph font[] = {
    {'0', {0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e}}, {'1', {0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e}},
    {'2', {0x0e, 0x11, 0x01, 0x06, 0x08, 0x10, 0x1f}}, {'3', {0x0e, 0x11, 0x01, 0x06, 0x01, 0x11, 0x0e}},
    {'4', {0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02}}, {'5', {0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e}},
    {'6', {0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e}}, {'7', {0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08}},
    {'8', {0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e}}, {'9', {0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c}},
    {'a', {0x00, 0x00, 0x0e, 0x01, 0x0f, 0x11, 0x0f}}, {'d', {0x01, 0x01, 0x0d, 0x13, 0x11, 0x11, 0x0f}},
    {'e', {0x00, 0x00, 0x0e, 0x11, 0x1f, 0x10, 0x0e}}, {'g', {0x00, 0x00, 0x0f, 0x11, 0x11, 0x11, 0x0f, 0x01, 0x0e}},
    {'h', {0x10, 0x10, 0x16, 0x19, 0x11, 0x11, 0x11}}, {'i', {0x04, 0x00, 0x0c, 0x04, 0x04, 0x04, 0x0e}},
    {'m', {0x00, 0x00, 0x1a, 0x15, 0x15, 0x15, 0x15}}, {'n', {0x00, 0x00, 0x16, 0x19, 0x11, 0x11, 0x11}},
};

static void draw_square(struct picture *picture, uint32_t x, uint32_t y, uint32_t side, const uint8_t colour[3]) {
    for (uint32_t j = y; j < y + side && j < picture->height; j++) {
        for (uint32_t i = x; i < x + side && i < picture->width; i++)
            memcpy(pixel_at(picture, i, j), colour, 3);
    }
}

void picture_text(struct picture *picture, uint32_t x, uint32_t y, uint32_t scale, const char *text,
                  const uint8_t colour[3]) {
    for (; *text; text++, x += (FONT_WIDTH + 1) * scale) {
        const struct glyph *found = NULL;
        for (size_t i = 0; i < sizeof(font) / sizeof(font[0]) && !found; i++) {
            if (font[i].character == *text)
                found = &font[i];
        }
        for (uint32_t bit = 0; found && bit < FONT_WIDTH * FONT_HEIGHT; bit++) {
            uint32_t row = bit / FONT_WIDTH, column = bit % FONT_WIDTH;
            if (found->rows[row] >> (FONT_WIDTH - 1 - column) & 1)
                draw_square(picture, x + column * scale, y + row * scale, scale, colour);
        }
    }
}

uint32_t picture_text_width(uint32_t scale, const char *text) {
    uint32_t count = (uint32_t)strlen(text);
    return count ? (count * (FONT_WIDTH + 1) - 1) * scale : 0;
}

int picture_write_png(const struct picture *picture, struct output_file *file) {
    int size = 0;
    uint8_t *png = png_encode(picture->pixels, (int)picture->width, (int)picture->height, &size);
    if (!png)
        return fail(EXIT_CODE_DEVICE, "%s: out of memory while its pixels were compressed", file->path);
    int code = output_file_write(file, png, (size_t)size);
    free(png);
    return code;
}
