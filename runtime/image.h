/* What the decoders share. Each takes a whole file in memory and gives RGB bytes as Pillow's convert("RGB"). */
#ifndef DVK_IMAGE_H_
#define DVK_IMAGE_H_

#include "memory.h"

#define DVK_IMAGE_MAX_EDGE 16384

typedef struct dvk_image_file {
    const dvk_allocator *allocator;
    const uint8_t *bytes;
    size_t size;
    const char *name; /* for messages */
} dvk_image_file;

/* Checks the dimensions that a header tells (64-bit, so that the caller needs no checks before) and, if they are fine,
 * allocates the pixels. Call it only when the file is known to be long enough to fill them. */
dvk_result dvk_image_check_size(const dvk_image_file *file, uint64_t width, uint64_t height, dvk_error *error);
dvk_result dvk_image_allocate(const dvk_allocator *allocator, uint32_t width, uint32_t height, dvk_image *image,
                              dvk_error *error);

/* BAD_FILE: "NAME is damaged or truncated: FORMAT...". */
dvk_result dvk_image_damaged(const dvk_image_file *file, dvk_error *error, const char *format, ...) DVK_PRINTF(3, 4);

/* `orientation`: in, 1; out, EXIF's 1 to 8 where the file has one. The image's pixels are as stored. */
dvk_result dvk_image_decode_png(const dvk_image_file *file, dvk_image *image, int *orientation, dvk_error *error);
dvk_result dvk_image_decode_jpeg(const dvk_image_file *file, dvk_image *image, int *orientation, dvk_error *error);
dvk_result dvk_image_decode_bmp(const dvk_image_file *file, dvk_image *image, dvk_error *error);
dvk_result dvk_image_decode_tga(const dvk_image_file *file, dvk_image *image, dvk_error *error);
dvk_result dvk_image_decode_pnm(const dvk_image_file *file, dvk_image *image, dvk_error *error);

/* A file's bytes, of the allocator's; its start is judged before the rest is read. IO, and what a start can tell. */
dvk_result dvk_image_read_file(const dvk_allocator *allocator, const char *path, uint8_t **bytes, size_t *size,
                               dvk_error *error);

/* TGA has no magic number: whether the 18 bytes of its header make sense. */
bool dvk_image_is_tga(const uint8_t *bytes, size_t size);

/* EXIF (a TIFF structure, with or without "Exif\0\0" before it) or XMP text: 1 to 8, or 0 if it does not say. Any bytes
 * are safe to pass. */
int dvk_exif_orientation(const uint8_t *bytes, size_t size);
int dvk_xmp_orientation(const uint8_t *bytes, size_t size);

/* image_stb.c: the only places where stb_image's code runs. */

/* A JPEG file to RGB of the allocator's; NULL with *reason (static text; "outofmem" where there is no memory) on
 * failure. The caller has checked the headers. */
uint8_t *dvk_stb_jpeg(const dvk_allocator *allocator, const uint8_t *bytes, int size, int *width, int *height,
                      const char **reason);
/* A zlib stream of which the checksum is not checked; false unless it gives exactly target_size bytes. */
bool dvk_stb_inflate(const uint8_t *bytes, int size, uint8_t *target, int target_size);

static inline uint32_t dvk_little16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}
static inline uint32_t dvk_little32(const uint8_t *p) {
    return dvk_little16(p) | dvk_little16(p + 2) << 16;
}
static inline uint32_t dvk_big16(const uint8_t *p) {
    return (uint32_t)p[0] << 8 | (uint32_t)p[1];
}
static inline uint32_t dvk_big32(const uint8_t *p) {
    return dvk_big16(p) << 16 | dvk_big16(p + 2);
}

#endif
