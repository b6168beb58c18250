#include "source.h"

#include "push_constants.h"
#include "resample.h"

#include <math.h>
#include <string.h>

/* -------------------------------------------------------------------------------------------- the source */

/* VkFormat; the values are the specification's. */
enum {
    FORMAT_RGBA8_UNORM = 37,
    FORMAT_RGBA8_SRGB = 43,
    FORMAT_BGRA8_UNORM = 44,
    FORMAT_BGRA8_SRGB = 50,
    FORMAT_ABGR8_UNORM = 51, /* PACK32 */
    FORMAT_ABGR8_SRGB = 57,
    FORMAT_A2BGR10_UNORM = 64,
    FORMAT_RGBA16_SFLOAT = 97,
    FORMAT_RGBA32_SFLOAT = 109,
    FORMAT_B10G11R11_UFLOAT = 122
};

/* The formats with three colours that every device samples (specification, "Required Format Support"). */
static bool known_format(uint32_t format, bool *srgb) {
    *srgb = format == FORMAT_RGBA8_SRGB || format == FORMAT_BGRA8_SRGB || format == FORMAT_ABGR8_SRGB;
    switch (format) {
    case FORMAT_RGBA8_UNORM:
    case FORMAT_RGBA8_SRGB:
    case FORMAT_BGRA8_UNORM:
    case FORMAT_BGRA8_SRGB:
    case FORMAT_ABGR8_UNORM:
    case FORMAT_ABGR8_SRGB:
    case FORMAT_A2BGR10_UNORM:
    case FORMAT_RGBA16_SFLOAT:
    case FORMAT_RGBA32_SFLOAT:
    case FORMAT_B10G11R11_UFLOAT:
        return true;
    default:
        return false;
    }
}

static uint32_t pixel_bytes(dvk_source_kind kind) {
    return kind == DVK_SOURCE_RGB8 ? 3 : 4;
}

/* Fills in pitches that are 0, and how many bytes behind the buffer's offset are read. */
static dvk_result check_buffer(dvk_source *made, dvk_error *error) {
    dvk_source_desc *source = &made->desc;
    const uint64_t row = (uint64_t)source->width * pixel_bytes(source->kind);
    const uint32_t step = source->kind == DVK_SOURCE_RGB8 ? 1 : 4;
    if (!source->row_pitch)
        source->row_pitch = row;
    if (source->kind != DVK_SOURCE_FLOAT_PLANES)
        source->plane_pitch = 0;
    else if (!source->plane_pitch)
        source->plane_pitch = source->row_pitch * source->height;
    /* Shaders count bytes in 32 bits; the first comparison keeps the products below within 64. */
    const uint64_t planes = source->kind == DVK_SOURCE_FLOAT_PLANES ? 2 : 0;
    if (source->row_pitch > UINT32_MAX || source->plane_pitch > UINT32_MAX)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "the source's pitches of %llu and %llu bytes are beyond 2^32",
                        (unsigned long long)source->row_pitch, (unsigned long long)source->plane_pitch);
    if (source->row_pitch < row || source->row_pitch % step || source->plane_pitch % 4)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "the source's row_pitch of %llu bytes must be at least %llu and a multiple of %u, and its "
                        "plane_pitch of %llu a multiple of 4",
                        (unsigned long long)source->row_pitch, (unsigned long long)row, step,
                        (unsigned long long)source->plane_pitch);
    const uint64_t bytes = planes * source->plane_pitch +
                           ((uint64_t)source->y + source->region_height - 1) * source->row_pitch +
                           ((uint64_t)source->x + source->region_width) * pixel_bytes(source->kind);
    if (bytes > UINT32_MAX)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "a source of %llu bytes is beyond 2^32",
                        (unsigned long long)bytes);
    made->source_bytes = (bytes + 3) / 4 * 4; /* whole words are read */
    return DVK_OK;
}

/* Side lengths beyond any image of Vulkan's, and small enough for signed places in shaders. */
enum { MAX_SIDE = 1 << 24 };

static dvk_result check_source(dvk_source *made, dvk_error *error) {
    dvk_source_desc *source = &made->desc;
    bool srgb = false;
    if (source->kind < DVK_SOURCE_IMAGE || source->kind > DVK_SOURCE_FLOAT_PLANES || source->colour < DVK_COLOUR_SRGB ||
        source->colour > DVK_COLOUR_LINEAR || source->order < DVK_RESIZE_NEWEST || source->order > DVK_RESIZE_CLASSIC)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "the source's kind %d, colour %d or order %d is not declared in dino_vk.h", (int)source->kind,
                        (int)source->colour, (int)source->order);
    if (source->width - 1u >= MAX_SIDE || source->height - 1u >= MAX_SIDE)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "a source of %ux%u pixels: expected sides of 1 to %d",
                        source->width, source->height, MAX_SIDE);
    if (!source->region_width && !source->region_height && !source->x && !source->y) {
        source->region_width = source->width;
        source->region_height = source->height;
    }
    if (!source->region_width || !source->region_height || source->x > source->width || source->y > source->height ||
        source->region_width > source->width - source->x || source->region_height > source->height - source->y)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "the source's region of %ux%u pixels at (%u, %u) does not lie within its %ux%u",
                        source->region_width, source->region_height, source->x, source->y, source->width,
                        source->height);
    made->linear = source->colour == DVK_COLOUR_LINEAR;
    if (source->kind != DVK_SOURCE_IMAGE)
        return check_buffer(made, error);
    if (!known_format(source->format, &srgb))
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "images of VkFormat %u cannot be a source: it must be R8G8B8A8, B8G8R8A8 or A8B8G8R8 (UNORM or "
                        "SRGB), A2B10G10R10_UNORM, R16G16B16A16_SFLOAT, R32G32B32A32_SFLOAT or B10G11R11_UFLOAT",
                        source->format);
    if (srgb && source->colour == DVK_COLOUR_LINEAR)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "the source is said to hold linear values in VkFormat %u, an sRGB format: use DVK_COLOUR_SRGB, "
                        "or view the image in its UNORM format",
                        source->format);
    made->linear = made->linear || srgb;
    return DVK_OK;
}

/* -------------------------------------------------------------------------------------------- the passes */

static uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* IEC 61966-2-1. */
static double decode_srgb(double encoded) {
    return encoded <= 0.04045 ? encoded / 12.92 : pow((encoded + 0.055) / 1.055, 2.4);
}

/* The least float that is not below `value`: comparing a float with it is comparing with the value itself. */
static float round_up(double value) {
    float rounded = (float)value;
    return (double)rounded < value ? nextafterf(rounded, INFINITY) : rounded;
}

static void fill_levels(const dvk_preprocess_config *config, uint32_t *table) {
    for (uint32_t channel = 0; channel < 3; channel++) {
        float values[256];
        dvk_normalise_levels(config, channel, values);
        for (uint32_t v = 0; v < 256; v++)
            table[DVK_RESIZE_LEVELS + 256 * channel + v] = float_bits(values[v]);
    }
    for (uint32_t v = 0; v < 256; v++)
        table[DVK_RESIZE_THRESHOLDS + v] = v ? float_bits(round_up(decode_srgb((v - 0.5) / 255.0))) : 0;
}

/* One axis: `size` input samples are resized to `resized`, of which `count` are kept from `begin` on; they are written
 * from `offset` on among `crop` outputs. */
typedef struct axis {
    uint32_t size, resized, begin, offset, count, crop;
    dvk_axis taps;
} axis;

static dvk_result make_axis(const dvk_allocator *allocator, axis *a, uint32_t size, uint32_t resized, uint32_t crop,
                            dvk_resample filter, dvk_error *error) {
    *a = (axis){.size = size, .resized = resized, .crop = crop};
    dvk_crop_axis(resized, crop, &a->begin, &a->offset, &a->count);
    return dvk_axis_init(allocator, &a->taps, size, resized, a->begin, a->count, filter, error);
}

static uint64_t axis_words(const axis *a) {
    return a->crop * (2 + (uint64_t)a->taps.stride);
}

/* Outputs that padding is made of keep the zeros: no taps. `shift` is added to where the inputs of the axis begin. */
static dvk_result fill_axis(const dvk_source *made, const axis *a, dvk_resample filter, int64_t shift,
                            const dvk_source_pass *pass, dvk_error *error) {
    double *weights = dvk_allocate(made->allocator, a->taps.stride * sizeof(*weights));
    if (!weights)
        return dvk_fail_memory(error, a->taps.stride * sizeof(*weights));
    for (uint32_t i = 0; i < a->count; i++) {
        uint32_t *pair = made->table + pass->pairs + 2 * (a->offset + i);
        uint32_t *out = made->table + pass->weights + (a->offset + i) * a->taps.stride;
        pair[0] = (uint32_t)(a->taps.first[i] + shift);
        pair[1] = a->taps.taps[i];
        if (!made->floats) {
            memcpy(out, a->taps.weights + i * a->taps.stride, pair[1] * sizeof(*out));
            continue;
        }
        uint32_t first;
        weights[0] = 1.0;
        if (a->size != a->resized)
            dvk_filter_taps(a->size, a->resized, a->begin + i, filter, weights, &first);
        for (uint32_t k = 0; k < pair[1]; k++)
            out[k] = float_bits((float)weights[k]);
    }
    dvk_release(made->allocator, weights);
    return DVK_OK;
}

/* first: 0 for the pass that reads the source. `other` is the axis that the pass does not touch. */
static void place_pass(dvk_source_pass *pass, bool vertical, const axis *a, uint64_t *words) {
    pass->vertical = vertical;
    pass->stride = (uint32_t)a->taps.stride;
    pass->pairs = (uint32_t)*words;
    pass->weights = (uint32_t)(*words + 2 * (uint64_t)a->crop);
    *words += axis_words(a);
}

static dvk_result make_passes(const dvk_preprocess_config *config, axis *horizontal, axis *vertical, dvk_source *made,
                              dvk_error *error) {
    const dvk_source_desc *source = &made->desc;
    /* Without rounding, both orders give the same; what is smaller in between is cheaper. */
    const bool down_first =
        made->floats ? (uint64_t)source->region_width * made->height < (uint64_t)source->region_height * made->width
                     : dvk_resize_vertical_first(source->region_width, source->region_height, horizontal->resized,
                                                 vertical->resized, source->order);
    const axis *axes[2] = {down_first ? vertical : horizontal, down_first ? horizontal : vertical};
    uint64_t words = DVK_RESIZE_PASSES;
    for (uint32_t i = 0; i < 2; i++)
        place_pass(&made->passes[i], axes[i] == vertical, axes[i], &words);
    if (words > UINT32_MAX / 4)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "resizing %ux%u pixels to %ux%u needs a table of %llu MiB: make the picture smaller first",
                        source->region_width, source->region_height, horizontal->resized, vertical->resized,
                        (unsigned long long)(words >> 18));
    made->table = dvk_allocate_zeroed(made->allocator, (size_t)words, sizeof(*made->table));
    if (!made->table)
        return dvk_fail_memory(error, (size_t)words * sizeof(*made->table));
    made->table_words = (uint32_t)words;

    /* The first pass writes all outputs of its axis, and along the other what the second pass reads. */
    const dvk_axis *second = &axes[1]->taps;
    const uint32_t across = second->high - second->low;
    made->passes[0].width = down_first ? across : made->width;
    made->passes[0].height = down_first ? made->height : across;
    made->passes[0].across = second->low + (down_first ? source->x : source->y);
    made->passes[1].width = made->width;
    made->passes[1].height = made->height;
    if ((uint64_t)made->passes[0].width * made->passes[0].height > UINT32_MAX / 3)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "resizing %ux%u pixels to %ux%u has more than 2^32 numbers in between: make the picture "
                        "smaller first",
                        source->region_width, source->region_height, horizontal->resized, vertical->resized);

    fill_levels(config, made->table);
    dvk_result status =
        fill_axis(made, axes[0], config->resample, down_first ? source->y : source->x, &made->passes[0], error);
    if (status == DVK_OK)
        status = fill_axis(made, axes[1], config->resample, -(int64_t)second->low, &made->passes[1], error);
    return status;
}

dvk_result dvk_source_create(const dvk_allocator *allocator, const dvk_preprocess_config *config,
                             const dvk_source_desc *source, uint32_t request_width, uint32_t request_height,
                             dvk_source *made, dvk_error *error) {
    *made = (dvk_source){.allocator = allocator, .desc = *source, .floats = config->resize_as_float};
    dvk_result status = check_source(made, error);
    if (status != DVK_OK)
        return status;
    if (config->resize_as_float && config->resample == DVK_RESAMPLE_NEAREST)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "this processor resizes floats, which \"nearest\" is not made for");
    const dvk_preprocess_geometry g = dvk_get_preprocess_geometry(config, request_width, request_height,
                                                                  made->desc.region_width, made->desc.region_height);
    if (g.width - 1u >= MAX_SIDE || g.height - 1u >= MAX_SIDE || !g.crop_width || !g.crop_height)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "the preprocessor makes %ux%u pixels of a source of %ux%u: expected sides of 1 to %d", g.width,
                        g.height, made->desc.region_width, made->desc.region_height, MAX_SIDE);
    made->width = g.crop_width;
    made->height = g.crop_height;
    made->scale = config->do_rescale ? (float)config->rescale_factor : 1.0f;
    for (uint32_t i = 0; i < 3; i++) {
        made->mean[i] = config->do_normalize ? (float)config->mean[i] : 0.0f;
        made->deviation[i] = config->do_normalize ? (float)config->std[i] : 1.0f;
    }
    axis horizontal = {0}, vertical = {0};
    status = make_axis(allocator, &horizontal, made->desc.region_width, g.width, g.crop_width, config->resample, error);
    if (status == DVK_OK)
        status =
            make_axis(allocator, &vertical, made->desc.region_height, g.height, g.crop_height, config->resample, error);
    if (status == DVK_OK)
        status = make_passes(config, &horizontal, &vertical, made, error);
    dvk_axis_free(allocator, &horizontal.taps);
    dvk_axis_free(allocator, &vertical.taps);
    if (status != DVK_OK)
        dvk_source_free(made);
    return status;
}

void dvk_source_free(dvk_source *made) {
    if (made->table)
        dvk_release(made->allocator, made->table);
    memset(made, 0, sizeof(*made));
}
