/* The images that were named on the command line. */
#ifndef IMAGE_INPUT_H_
#define IMAGE_INPUT_H_

#include <sys/types.h>

#include "message.h"
#include "options.h"
#include "sandbox.h"

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

/* Starts a child to decode in, as the options say: *sandbox stays zeroed where none is wanted, or can be had. Prints
 * what is to be known, and returns 0, or an exit code where the options demand one. */
int image_sandbox_open(const struct options *options, struct sandbox *sandbox);

/* Decodes image `index`, in the sandbox where that is not zeroed; "-" is the standard input. Returns 0, or an exit code
 * and prints nothing: the sentence is in *error, for fail_library(). Any thread, one at a time for a sandbox. */
int image_read(const struct options *options, int index, struct sandbox *sandbox, dvk_image *image, dvk_error *error);

/* How a sentence about image `index` begins: "" for one image, else "image 2 of 5: ". Returns `text`. */
char *image_position(const struct options *options, int index, char text[64]);

#endif
