/* Resize, crop, rescale and normalise as transformers' ViTImageProcessorPil and BitImageProcessor do. */
#include "preprocess.h"
#include "resample.h"

#include <math.h>
#include <string.h>

const char *dvk_resample_name(int resample) {
    static const char *const names[] = {
        [DVK_RESAMPLE_NEAREST] = "nearest", [DVK_RESAMPLE_LANCZOS] = "lanczos", [DVK_RESAMPLE_BILINEAR] = "bilinear",
        [DVK_RESAMPLE_BICUBIC] = "bicubic", [DVK_RESAMPLE_BOX] = "box",         [DVK_RESAMPLE_HAMMING] = "hamming",
    };
    return resample >= 0 && resample < (int)(sizeof(names) / sizeof(names[0])) ? names[resample] : NULL;
}

static uint32_t saturate(uint64_t value) {
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

dvk_preprocess_geometry dvk_get_preprocess_geometry(const dvk_preprocess_config *config, uint32_t request_width,
                                                    uint32_t request_height, uint32_t image_width,
                                                    uint32_t image_height) {
    dvk_preprocess_geometry g = {.width = image_width, .height = image_height};
    if (request_width && request_height) {
        g.width = g.crop_width = request_width;
        g.height = g.crop_height = request_height;
        return g;
    }
    if (config->do_resize && config->shortest_edge && image_width && image_height) {
        /* int(shortest_edge * long / short): the division is exact enough that integers give the same. */
        const uint64_t edge = config->shortest_edge;
        const bool wide = image_width > image_height;
        g.width = wide ? saturate(edge * image_width / image_height) : config->shortest_edge;
        g.height = wide ? config->shortest_edge : saturate(edge * image_height / image_width);
    } else if (config->do_resize && config->width && config->height) {
        g.width = config->width;
        g.height = config->height;
    }
    g.crop_width = config->do_center_crop ? config->crop_width : g.width;
    g.crop_height = config->do_center_crop ? config->crop_height : g.height;
    return g;
}

void dvk_preprocess_output_size(const dvk_preprocess_config *config, uint32_t request_width, uint32_t request_height,
                                uint32_t image_width, uint32_t image_height, uint32_t *width, uint32_t *height) {
    const dvk_preprocess_geometry g =
        dvk_get_preprocess_geometry(config, request_width, request_height, image_width, image_height);
    *width = g.crop_width;
    *height = g.crop_height;
}

void dvk_crop_axis(uint32_t size, uint32_t crop, uint32_t *begin, uint32_t *offset, uint32_t *count) {
    if (crop <= size) {
        *begin = (size - crop) / 2;
        *offset = 0;
        *count = crop;
    } else {
        *begin = 0;
        *offset = (crop - size) / 2 + (crop - size) % 2;
        *count = size;
    }
}

static dvk_result resize_and_crop(const dvk_allocator *allocator, const dvk_preprocess_config *config,
                                  const dvk_preprocess_geometry *g, dvk_resize_order order, const dvk_image *image,
                                  uint8_t *target, dvk_error *error) {
    dvk_window window;
    uint32_t left, top;
    dvk_crop_axis(g->width, g->crop_width, &window.x, &left, &window.width);
    dvk_crop_axis(g->height, g->crop_height, &window.y, &top, &window.height);

    dvk_result result = dvk_resize_window(allocator, image->pixels, image->width, image->height, target, g->width,
                                          g->height, &window, config->resample, order, error);
    if (result != DVK_OK || (window.width == g->crop_width && window.height == g->crop_height))
        return result;

    /* Spread the window's dense rows over the padded result, from the last, so that none is overwritten unread. */
    const size_t row_bytes = (size_t)g->crop_width * 3, window_bytes = (size_t)window.width * 3;
    for (uint32_t y = g->crop_height; y-- > 0;) {
        uint8_t *row = target + y * row_bytes;
        if (y < top || y - top >= window.height) {
            memset(row, 0, row_bytes);
            continue;
        }
        memmove(row + (size_t)left * 3, target + (y - top) * window_bytes, window_bytes);
        memset(row, 0, (size_t)left * 3);
        memset(row + (size_t)left * 3 + window_bytes, 0, row_bytes - window_bytes - (size_t)left * 3);
    }
    return DVK_OK;
}

void dvk_normalise_levels(const dvk_preprocess_config *config, uint32_t channel, float table[256]) {
    const float mean = (float)config->mean[channel], std = (float)config->std[channel];
    for (int v = 0; v < 256; v++) {
        float value = config->do_rescale ? (float)(v * config->rescale_factor) : (float)v;
        if (config->do_normalize) {
            value -= mean;
            value /= std;
        }
        table[v] = value;
    }
}

/* torch's steps for a float image, in double to the last one. */
static dvk_result preprocess_float(const dvk_allocator *allocator, const dvk_preprocess_config *config,
                                   const dvk_preprocess_geometry *g, const dvk_image *image, float *pixel_values,
                                   dvk_error *error) {
    const double factor = config->do_rescale ? config->rescale_factor : 1.0;
    const dvk_result result =
        dvk_resize_float(allocator, image, factor, g->width, g->height, config->resample, pixel_values, error);
    const size_t pixels = (size_t)g->width * g->height;
    for (size_t i = 0; i < 3 * pixels && result == DVK_OK && config->do_normalize; i++)
        pixel_values[i] = (float)((pixel_values[i] - config->mean[i / pixels]) / config->std[i / pixels]);
    return result;
}

dvk_result dvk_preprocess_image(const dvk_allocator *allocator, const dvk_preprocess_config *config,
                                uint32_t request_width, uint32_t request_height, dvk_resize_order order,
                                const dvk_image *image, float *pixel_values, uint8_t *resized, dvk_error *error) {
    const dvk_preprocess_geometry g =
        dvk_get_preprocess_geometry(config, request_width, request_height, image->width, image->height);
    const uint64_t pixels = (uint64_t)g.crop_width * g.crop_height;
    if (!pixels)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "preprocess: expected a size of at least 1x1, found %ux%u for an image of %ux%u", g.crop_width,
                        g.crop_height, image->width, image->height);
    if (pixels > SIZE_MAX / 16)
        return dvk_fail_memory(error, SIZE_MAX);

    if (config->resize_as_float) {
        const dvk_result result = preprocess_float(allocator, config, &g, image, pixel_values, error);
        if (result != DVK_OK || !resized)
            return result;
        return resize_and_crop(allocator, config, &g, order, image, resized, error);
    }
    uint8_t *bytes = resized ? resized : dvk_allocate(allocator, (size_t)pixels * 3);
    if (!bytes)
        return dvk_fail_memory(error, (size_t)pixels * 3);
    const dvk_result result = resize_and_crop(allocator, config, &g, order, image, bytes, error);
    if (result == DVK_OK) {
        for (uint32_t channel = 0; channel < 3; channel++) {
            float table[256];
            dvk_normalise_levels(config, channel, table);
            float *plane = pixel_values + (size_t)pixels * channel;
            for (size_t i = 0; i < (size_t)pixels; i++)
                plane[i] = table[bytes[i * 3 + channel]];
        }
    }
    if (!resized)
        dvk_release(allocator, bytes);
    return result;
}
