/* The images that were named on the command line. */
#ifndef IMAGE_INPUT_H_
#define IMAGE_INPUT_H_

#include "message.h"
#include "options.h"

/* Finds missing files, directories and forbidden ones before any work, and outputs that would overwrite an image. */
int images_check(const struct options *options);

/* Decodes image `index`; "-" is the standard input. */
int image_read(const struct options *options, int index, dvk_image *image);

/* How a sentence about image `index` begins: "" for one image, else "image 2 of 5: ". Returns `text`. */
char *image_position(const struct options *options, int index, char text[64]);

#endif
