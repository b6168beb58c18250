/* preprocessor_config.json as data, and the Pillow-exact way from RGB bytes to normalised floats. */
#ifndef DVK_PREPROCESS_H_
#define DVK_PREPROCESS_H_

#include "memory.h"

/* PIL.Image.Resampling's numbers, as `resample` in preprocessor_config.json holds them. */
typedef enum dvk_resample {
    DVK_RESAMPLE_NEAREST = 0,
    DVK_RESAMPLE_LANCZOS = 1,
    DVK_RESAMPLE_BILINEAR = 2,
    DVK_RESAMPLE_BICUBIC = 3,
    DVK_RESAMPLE_BOX = 4,
    DVK_RESAMPLE_HAMMING = 5
} dvk_resample;

typedef struct dvk_preprocess_config {
    bool do_resize, do_center_crop, do_rescale, do_normalize;
    uint32_t width, height; /* the size to resize to; both 0 when shortest_edge rules */
    uint32_t shortest_edge; /* 0: width and height rule */
    uint32_t crop_width, crop_height;
    dvk_resample resample;
    double rescale_factor; /* 1/255 where the file has none */
    double mean[3], std[3];
    bool resize_as_float; /* DINOv3: rescale, resize without rounding, normalise; else bytes are resized, as Pillow does
                           */
} dvk_preprocess_config;

/* "bilinear" and the like; NULL for a number that is no filter. */
const char *dvk_resample_name(int resample);

/* An image is resized to width x height, and the crop_width x crop_height pixels around its centre are kept. */
typedef struct dvk_preprocess_geometry {
    uint32_t width, height, crop_width, crop_height;
} dvk_preprocess_geometry;

/* request_width and _height as below. */
dvk_preprocess_geometry dvk_get_preprocess_geometry(const dvk_preprocess_config *config, uint32_t request_width,
                                                    uint32_t request_height, uint32_t image_width,
                                                    uint32_t image_height);

/* One axis of the centre crop: `count` pixels from `begin` of the resized image go to `offset` of the result.
 * transformers starts at floor((size - crop) / 2); where that is negative, the result is padded with zeros. */
void dvk_crop_axis(uint32_t size, uint32_t crop, uint32_t *begin, uint32_t *offset, uint32_t *count);

/* The normalised value of every byte: numpy's steps with their types, the product in double, rounded to float; then
 * float arithmetic. */
void dvk_normalise_levels(const dvk_preprocess_config *config, uint32_t channel, float table[256]);

/* The size of what dvk_preprocess_image writes for a w x h image; request_width and _height both 0: as the config says.
 * A request overrides resize and crop: the image is resized to exactly that. */
void dvk_preprocess_output_size(const dvk_preprocess_config *config, uint32_t request_width, uint32_t request_height,
                                uint32_t image_width, uint32_t image_height, uint32_t *width, uint32_t *height);

/* pixel_values: [3][height][width]; resized: [height][width][3] or NULL. Sizes from dvk_preprocess_output_size(). */
dvk_result dvk_preprocess_image(const dvk_allocator *allocator, const dvk_preprocess_config *config,
                                uint32_t request_width, uint32_t request_height, dvk_resize_order order,
                                const dvk_image *image, float *pixel_values, uint8_t *resized, dvk_error *error);

/* Pillow's resize of RGB bytes. source: [source_height][source_width][3]; target: [height][width][3]. */
dvk_result dvk_resize(const dvk_allocator *allocator, const uint8_t *source, uint32_t source_width,
                      uint32_t source_height, uint8_t *target, uint32_t width, uint32_t height, dvk_resample filter,
                      dvk_resize_order order, dvk_error *error);

#endif
