/* An RGB picture in memory, what is drawn into it, and its way to a PNG file. */
#ifndef PICTURE_H_
#define PICTURE_H_

#include <stdint.h>

#include "output_file.h"

struct picture {
    uint32_t width, height;
    uint8_t *pixels; /* [height][width][3] */
};

/* stb_image_write computes in int; this keeps (3 * width + 1) * height far below 2^31. */
#define PICTURE_MAX_BYTES (UINT64_C(1) << 30)

/* Whether a picture of this size may be made at all; `what` ("the attention picture") begins the sentence. */
int picture_check_size(uint64_t width, uint64_t height, const char *what);

/* All black. */
int picture_create(struct picture *picture, uint32_t width, uint32_t height, const char *what);
void picture_free(struct picture *picture);

void picture_fill(struct picture *picture, const uint8_t colour[3]);

/* Copies the top left width x height pixels of an image whose rows are `stride` pixels apart to (x, y). It must fit. */
void picture_copy(struct picture *picture, uint32_t x, uint32_t y, const uint8_t *pixels, uint32_t width,
                  uint32_t height, uint32_t stride);

/* Text in a pixel font of 5 x 7 and two rows for descenders, `scale` times as large; only what the labels need: digits,
 * space and the letters of "image", "head" and "mean". Clipped at the picture's edges. */
#define FONT_WIDTH 5
#define FONT_HEIGHT 9
void picture_text(struct picture *picture, uint32_t x, uint32_t y, uint32_t scale, const char *text,
                  const uint8_t colour[3]);
uint32_t picture_text_width(uint32_t scale, const char *text);

/* Encodes and writes the picture as the whole of an open file. */
int picture_write_png(const struct picture *picture, struct output_file *file);

/* picture_write_png's encoder, in png_encoder.c. Frees with free(). NULL: out of memory. */
uint8_t *png_encode(const uint8_t *pixels, int width, int height, int *size);

#endif
