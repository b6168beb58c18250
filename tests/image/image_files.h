/* The test images: tests/data/images (with its decode.txt) and the packed small ones of variants.bin. */
#ifndef DVK_TEST_IMAGE_FILES_H_
#define DVK_TEST_IMAGE_FILES_H_

#include "dino_vk.h"

typedef struct image_file {
    char name[160];
    uint8_t *bytes;
    size_t size;
    /* What Pillow makes of it; a lossy or refused file has hash 0 and needed = size. */
    uint32_t width, height;
    uint64_t hash;
    size_t needed; /* bytes; a shorter file must be refused */
} image_file;

/* All lossless files, then those of variants.bin. The list and the bytes live until the process ends. */
image_file *load_lossless_files(const char *data_directory, size_t *count);

/* One file by name. */
image_file load_image_file(const char *data_directory, const char *name);

#endif
