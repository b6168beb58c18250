/* The preprocessing of a host's picture on the device: a preprocessor at one size, as the two passes of
 * shaders/resample.glsl and the table that they read. */
#ifndef DVK_SOURCE_H_
#define DVK_SOURCE_H_

#include "preprocess.h"

/* Names and units as in shaders/push_constants.h. */
typedef struct dvk_source_pass {
    uint32_t width, height; /* outputs */
    bool vertical;
    uint32_t across;
    uint32_t pairs, weights, stride;
} dvk_source_pass;

typedef struct dvk_source {
    const dvk_allocator *allocator;
    dvk_source_desc desc;  /* with the sizes and pitches that were left 0 */
    uint64_t source_bytes; /* that a buffer must have behind its offset; 0: an image */
    dvk_source_pass passes[2];
    bool linear; /* texels arrive in shaders proportional to light */
    bool floats; /* nothing is rounded to bytes */
    float scale, mean[3], deviation[3];
    uint32_t width, height; /* of the result */
    uint32_t *table;
    uint32_t table_words;
} dvk_source;

/* request_width and _height both 0: as the preprocessor says, for a picture of the region's size. To be freed with
 * dvk_source_free(). Errors: INVALID_ARGUMENT, UNSUPPORTED, OUT_OF_HOST_MEMORY. */
dvk_result dvk_source_create(const dvk_allocator *allocator, const dvk_preprocess_config *config,
                             const dvk_source_desc *source, uint32_t request_width, uint32_t request_height,
                             dvk_source *made, dvk_error *error);
/* Accepts a zeroed one, and zeroes it. */
void dvk_source_free(dvk_source *made);

#endif
