/* The images that were named on the command line. */
#ifndef IMAGE_INPUT_H_
#define IMAGE_INPUT_H_

#include <sys/types.h>

#include "message.h"
#include "options.h"

/* Which file an image is, by whatever name. */
struct image_identity {
    dev_t device;
    ino_t file;
    bool regular;
};

/* Finds missing files, directories and forbidden ones before any work. identities: one for each image. */
int images_check(const struct options *options, struct image_identity *identities);

/* Refuses an output that is one of the images. */
int images_check_output(const struct options *options, const struct image_identity *identities, const char *path);

/* Decodes image `index`; "-" is the standard input. Returns 0, or an exit code and prints nothing: the sentence is in
 * *error, for fail_library(). Any thread. */
int image_read(const struct options *options, int index, dvk_image *image, dvk_error *error);

/* How a sentence about image `index` begins: "" for one image, else "image 2 of 5: ". Returns `text`. */
char *image_position(const struct options *options, int index, char text[64]);

#endif
