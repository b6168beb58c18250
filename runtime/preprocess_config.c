#include "config.h"

#include <string.h>

#include "json.h"

#define MAX_SIDE 16384 /* as for images */

/* What transformers' image processor classes do where the file is silent. The suffix (FeatureExtractor,
 * ImageProcessor, ImageProcessorFast, ImageProcessorPil) tells the implementation, not the meaning. */
typedef struct processor_defaults {
    const char *family;
    bool int_is_shortest_edge; /* what a bare number as `size` means */
    uint32_t size;             /* both sides, or the shortest edge */
    uint32_t crop;             /* 0: does not crop */
    dvk_resample resample;
    double mean[3], std[3];
    bool resize_as_float;
} processor_defaults;

static const processor_defaults families[] = {
    {"ViT", false, 224, 0, DVK_RESAMPLE_BILINEAR, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}, false},
    {"DeiT", false, 256, 224, DVK_RESAMPLE_BICUBIC, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}, false},
    {"DINOv3ViT", false, 224, 0, DVK_RESAMPLE_BILINEAR, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}, true},
    {"Bit",
     true,
     224,
     224,
     DVK_RESAMPLE_BICUBIC,
     {0.48145466, 0.4578275, 0.40821073},
     {0.26862954, 0.26130258, 0.27577711},
     false},
    {"CLIP",
     true,
     224,
     224,
     DVK_RESAMPLE_BICUBIC,
     {0.48145466, 0.4578275, 0.40821073},
     {0.26862954, 0.26130258, 0.27577711},
     false},
    {"Siglip", false, 224, 0, DVK_RESAMPLE_BICUBIC, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}, false},
};

/* NULL where the key is missing or null: newer releases write every key, null for "not set". */
static const dvk_json *get(const dvk_json *object, const char *key) {
    const dvk_json *item = dvk_json_get(object, key);
    return dvk_json_is(item, DVK_JSON_NULL) ? NULL : item;
}

static dvk_result find_family(const dvk_json *root, const char *path, const processor_defaults **family,
                              dvk_error *error) {
    static const char *const suffixes[] = {"FeatureExtractor", "ImageProcessor", "ImageProcessorFast",
                                           "ImageProcessorPil"};
    const char *key = get(root, "image_processor_type") ? "image_processor_type" : "feature_extractor_type";
    const dvk_json *item = get(root, key);
    *family = &families[0];
    if (!item)
        return DVK_OK;
    if (!dvk_json_is(item, DVK_JSON_STRING))
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be a string, found %s", path, key,
                        dvk_json_type_name(item));
    const char *name = dvk_json_text(item);
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        size_t length = strlen(families[f].family);
        for (size_t s = 0; s < sizeof(suffixes) / sizeof(suffixes[0]); s++)
            if (!strncmp(name, families[f].family, length) && !strcmp(name + length, suffixes[s])) {
                *family = &families[f];
                return DVK_OK;
            }
    }
    return dvk_fail(
        error, DVK_ERROR_UNSUPPORTED,
        "%s: \"%s\" is \"%s\", only the ViT, DeiT, DINOv3, Bit, CLIP and Siglip image processors can be run", path, key,
        dvk_quote(name).text);
}

static dvk_result get_flag(const dvk_json *root, const char *key, const char *path, bool fallback, bool *value,
                           dvk_error *error) {
    *value = fallback;
    return get(root, key) ? dvk_json_get_bool(root, key, path, value, error) : DVK_OK;
}

/* {"height": h, "width": w} or [h, w]. */
static dvk_result read_sides(const dvk_json *item, const char *key, const char *path, uint32_t *width, uint32_t *height,
                             dvk_error *error) {
    bool list = dvk_json_is(item, DVK_JSON_LIST);
    const dvk_json *high = list ? dvk_json_item(item, 0) : dvk_json_get(item, "height");
    const dvk_json *wide = list ? dvk_json_item(item, 1) : dvk_json_get(item, "width");
    if (dvk_json_count(item) != 2 || !high || !wide)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: \"%s\" must be a number, {\"height\", \"width\"} or {\"shortest_edge\"}", path, key);
    dvk_result result = dvk_json_to_uint(high, key, 1, MAX_SIDE, path, height, error);
    if (result == DVK_OK)
        result = dvk_json_to_uint(wide, key, 1, MAX_SIDE, path, width, error);
    return result;
}

static dvk_result read_size(const dvk_json *root, const char *path, const processor_defaults *family,
                            dvk_preprocess_config *config, dvk_error *error) {
    const dvk_json *item = get(root, "size");
    bool by_edge = family->int_is_shortest_edge;
    uint32_t side = family->size;
    if (dvk_json_is(item, DVK_JSON_OBJECT) && dvk_json_get(item, "shortest_edge") && dvk_json_count(item) == 1) {
        by_edge = true;
        item = dvk_json_get(item, "shortest_edge");
    }
    if (dvk_json_is(item, DVK_JSON_OBJECT) || dvk_json_is(item, DVK_JSON_LIST))
        return read_sides(item, "size", path, &config->width, &config->height, error);
    dvk_result result = item ? dvk_json_to_uint(item, "size", 1, MAX_SIDE, path, &side, error) : DVK_OK;
    if (by_edge)
        config->shortest_edge = side;
    else
        config->width = config->height = side;
    return result;
}

static dvk_result read_crop(const dvk_json *root, const char *path, const processor_defaults *family,
                            dvk_preprocess_config *config, dvk_error *error) {
    dvk_result result = get_flag(root, "do_center_crop", path, family->crop != 0, &config->do_center_crop, error);
    if (result != DVK_OK || !config->do_center_crop)
        return result;
    const dvk_json *item = get(root, "crop_size");
    uint32_t side = family->crop;
    if (dvk_json_is(item, DVK_JSON_OBJECT) || dvk_json_is(item, DVK_JSON_LIST))
        return read_sides(item, "crop_size", path, &config->crop_width, &config->crop_height, error);
    if (item)
        result = dvk_json_to_uint(item, "crop_size", 1, MAX_SIDE, path, &side, error);
    else if (!side)
        result =
            dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"do_center_crop\" is true, but there is no \"crop_size\"", path);
    config->crop_width = config->crop_height = side;
    return result;
}

/* A list of three numbers, or one number for all channels. */
static dvk_result read_channels(const dvk_json *root, const char *key, double minimum, const char *path,
                                double values[3], dvk_error *error) {
    const dvk_json *item = get(root, key);
    if (!item)
        return DVK_OK;
    if (dvk_json_is(item, DVK_JSON_LIST) && dvk_json_count(item) != 3)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be a list of 3 numbers, found a list of %u", path,
                        key, dvk_json_count(item));
    for (uint32_t i = 0; i < 3; i++) {
        const dvk_json *value = dvk_json_is(item, DVK_JSON_LIST) ? dvk_json_item(item, i) : item;
        dvk_result result = dvk_json_to_double(value, key, minimum, 1e6, path, &values[i], error);
        if (result != DVK_OK)
            return result;
    }
    return DVK_OK;
}

static dvk_result read_config(const dvk_json *root, const char *path, dvk_preprocess_config *config, dvk_error *error) {
    const processor_defaults *family = NULL;
    dvk_result result = find_family(root, path, &family, error);
    if (result != DVK_OK)
        return result;
    uint32_t resample = family->resample;
    bool do_pad = false;
    config->rescale_factor = 1.0 / 255.0;
    memcpy(config->mean, family->mean, sizeof(config->mean));
    memcpy(config->std, family->std, sizeof(config->std));

    result = get_flag(root, "do_resize", path, true, &config->do_resize, error);
    if (result == DVK_OK)
        result = get_flag(root, "do_rescale", path, true, &config->do_rescale, error);
    if (result == DVK_OK)
        result = get_flag(root, "do_normalize", path, true, &config->do_normalize, error);
    if (result == DVK_OK)
        result = get_flag(root, "do_pad", path, false, &do_pad, error);
    if (result == DVK_OK && do_pad)
        result = dvk_fail(error, DVK_ERROR_UNSUPPORTED, "%s: \"do_pad\" is true, padding cannot be done", path);
    if (result == DVK_OK)
        result = read_size(root, path, family, config, error);
    if (result == DVK_OK)
        result = read_crop(root, path, family, config, error);
    if (result == DVK_OK && get(root, "resample"))
        result =
            dvk_json_get_uint(root, "resample", DVK_RESAMPLE_NEAREST, DVK_RESAMPLE_HAMMING, path, &resample, error);
    if (result == DVK_OK && get(root, "rescale_factor"))
        result = dvk_json_get_double(root, "rescale_factor", 1e-6, 1e6, path, &config->rescale_factor, error);
    if (result == DVK_OK)
        result = read_channels(root, "image_mean", -1e6, path, config->mean, error);
    /* A standard deviation of 0 would divide by zero. */
    if (result == DVK_OK)
        result = read_channels(root, "image_std", 1e-6, path, config->std, error);
    config->resample = (dvk_resample)resample;
    config->resize_as_float = family->resize_as_float;
    if (result == DVK_OK && config->resize_as_float && config->do_center_crop)
        result = dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                          "%s: \"do_center_crop\" is true, DINOv3's processor never crops", path);
    return result;
}

dvk_result dvk_preprocess_config_parse(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                                       dvk_preprocess_config *config, dvk_error *error) {
    dvk_json *root = NULL;
    dvk_preprocess_config parsed = {0};
    dvk_result result = dvk_json_parse_object(allocator, bytes, size, path, &root, error);
    if (result != DVK_OK)
        return result;
    result = read_config(root, path, &parsed, error);
    dvk_release(allocator, root);
    if (result == DVK_OK)
        *config = parsed;
    return result;
}
