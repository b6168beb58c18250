/* Pictures on the device against the CPU's way with the same picture: the same bytes, so the same features to the bit,
 * for every format, encoding, filter, region and size. */
#include "outputs.h"
#include "pictures.h"
#include "random.h"
#include "synth.h"

#include <math.h>

int test_failures_, test_checks_;

#define MODEL "source-vit-tiny"

enum { MAX_PIXELS = 1 << 20 };

/* The texels of a picture as they are stored, and the bytes that they stand for. */
typedef struct test_image {
    uint32_t width, height;
    uint8_t *texels;
    uint8_t *levels; /* [height][width][3] */
} test_image;

static uint64_t random_state = 5;

static uint8_t random_byte(void) {
    return (uint8_t)random_below(&random_state, 256);
}

/* -------------------------------------------------------------------------------------------------- formats */

/* IEC 61966-2-1, to the nearest byte. */
static uint8_t encode(double linear) {
    linear = linear > 0 ? fmin(linear, 1) : 0;
    double encoded = linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1 / 2.4) - 0.055;
    return (uint8_t)(255 * encoded + 0.5);
}

static uint8_t level_of(double value, dvk_colour colour) {
    if (colour == DVK_COLOUR_LINEAR)
        return encode(value);
    return (uint8_t)(255 * (value > 0 ? fmin(value, 1) : 0) + 0.5);
}

/* An unsigned or signed small float: IEEE 754's binary16, and Vulkan's 11 and 10 bit formats, which have no sign. */
static double small_float(uint32_t bits, int mantissa_bits) {
    const uint32_t mantissa = bits & ((1u << mantissa_bits) - 1), exponent = bits >> mantissa_bits & 31;
    const double sign = bits >> (mantissa_bits + 5) & 1 ? -1 : 1;
    if (exponent == 31)
        return mantissa ? (double)NAN : sign * (double)INFINITY;
    return exponent ? sign * ldexp(mantissa + (1 << mantissa_bits), (int)exponent - 15 - mantissa_bits)
                    : sign * ldexp(mantissa, -14 - mantissa_bits);
}

static uint16_t half_of(float value) { /* truncated: any half will do */
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    const int exponent = (int)(bits >> 23 & 255) - 112;
    if (exponent <= 0)
        return 0;
    return (uint16_t)((bits >> 16 & 0x8000) | (uint32_t)exponent << 10 | (bits >> 13 & 0x3ff));
}

typedef struct test_format {
    VkFormat format;
    const char *name;
    bool srgb; /* a view of it decodes */
    void (*make)(uint8_t *texel);
    void (*values)(const uint8_t *texel, double rgb[3]);
    uint32_t bytes;
} test_format;

static void make_bytes(uint8_t *texel) {
    for (int i = 0; i < 4; i++)
        texel[i] = random_byte();
}

static void rgba_values(const uint8_t *texel, double rgb[3]) {
    for (int c = 0; c < 3; c++)
        rgb[c] = texel[c] / 255.0;
}

static void bgra_values(const uint8_t *texel, double rgb[3]) {
    for (int c = 0; c < 3; c++)
        rgb[c] = texel[2 - c] / 255.0;
}

static uint32_t word_of(const uint8_t *texel) {
    uint32_t word;
    memcpy(&word, texel, sizeof(word));
    return word;
}

static void a2bgr10_values(const uint8_t *texel, double rgb[3]) {
    for (int c = 0; c < 3; c++)
        rgb[c] = (word_of(texel) >> (10 * c) & 1023) / 1023.0;
}

/* Mostly in -0.25..1.75; a few of everything: infinities, NaNs, the smallest and the largest. */
static void make_halves(uint8_t *texel) {
    for (int i = 0; i < 4; i++) {
        uint16_t half = random_below(&random_state, 16)
                            ? half_of((float)random_below(&random_state, 65536) / 32768.0f - 0.25f)
                            : (uint16_t)(random_byte() | random_byte() << 8);
        memcpy(texel + 2 * i, &half, 2);
    }
}

static void half_values(const uint8_t *texel, double rgb[3]) {
    for (int c = 0; c < 3; c++)
        rgb[c] = small_float((uint32_t)(texel[2 * c] | texel[2 * c + 1] << 8), 10);
}

static void make_floats(uint8_t *texel) {
    for (int i = 0; i < 4; i++) {
        float value = (float)random_below(&random_state, 1 << 24) / (float)(1 << 23) - 0.25f;
        memcpy(texel + 4 * i, &value, 4);
    }
}

static void float_values(const uint8_t *texel, double rgb[3]) {
    for (int c = 0; c < 3; c++) {
        float value;
        memcpy(&value, texel + 4 * c, 4);
        rgb[c] = (double)value;
    }
}

static void make_b10g11r11(uint8_t *texel) {
    /* Exponents of 2^-15 to 2^0 for the most part. */
    uint32_t red = random_below(&random_state, 16 << 6), green = random_below(&random_state, 16 << 6),
             blue = random_below(&random_state, 16 << 5);
    if (!random_below(&random_state, 16))
        red = random_below(&random_state, 2048);
    uint32_t word = red | green << 11 | blue << 22;
    memcpy(texel, &word, sizeof(word));
}

static void b10g11r11_values(const uint8_t *texel, double rgb[3]) {
    const uint32_t word = word_of(texel);
    rgb[0] = small_float(word & 2047, 6);
    rgb[1] = small_float(word >> 11 & 2047, 6);
    rgb[2] = small_float(word >> 22, 5);
}

static const test_format formats[] = {
    {VK_FORMAT_R8G8B8A8_UNORM, "rgba8", false, make_bytes, rgba_values, 4},
    {VK_FORMAT_R8G8B8A8_SRGB, "rgba8 srgb", true, make_bytes, rgba_values, 4},
    {VK_FORMAT_B8G8R8A8_UNORM, "bgra8", false, make_bytes, bgra_values, 4},
    {VK_FORMAT_B8G8R8A8_SRGB, "bgra8 srgb", true, make_bytes, bgra_values, 4},
    {VK_FORMAT_A8B8G8R8_UNORM_PACK32, "abgr8", false, make_bytes, rgba_values, 4},
    {VK_FORMAT_A8B8G8R8_SRGB_PACK32, "abgr8 srgb", true, make_bytes, rgba_values, 4},
    {VK_FORMAT_A2B10G10R10_UNORM_PACK32, "a2bgr10", false, make_bytes, a2bgr10_values, 4},
    {VK_FORMAT_R16G16B16A16_SFLOAT, "rgba16f", false, make_halves, half_values, 8},
    {VK_FORMAT_R32G32B32A32_SFLOAT, "rgba32f", false, make_floats, float_values, 16},
    {VK_FORMAT_B10G11R11_UFLOAT_PACK32, "b10g11r11", false, make_b10g11r11, b10g11r11_values, 4},
};

enum { FORMATS = sizeof(formats) / sizeof(formats[0]) };

static test_image image_create(const test_format *format, dvk_colour colour, uint32_t width, uint32_t height) {
    test_image image = {width, height, calloc((size_t)width * height, format->bytes),
                        calloc((size_t)width * height, 3)};
    REQUIRE(image.texels && image.levels);
    for (size_t i = 0; i < (size_t)width * height; i++) {
        double rgb[3];
        format->make(image.texels + i * format->bytes);
        format->values(image.texels + i * format->bytes, rgb);
        for (int c = 0; c < 3; c++)
            image.levels[3 * i + (size_t)c] = level_of(rgb[c], colour);
    }
    return image;
}

static void image_destroy(test_image *image) {
    free(image->texels);
    free(image->levels);
}

/* ------------------------------------------------------------------------------------------------ comparing */

/* What the model's outputs are for a part of an image that went the CPU's way. */
static size_t expect(dvk_model *model, const test_image *image, const dvk_source_desc *source, uint32_t width,
                     uint32_t height, float *features) {
    const bool all = !source->region_width;
    dvk_image part = {.width = all ? image->width : source->region_width,
                      .height = all ? image->height : source->region_height};
    part.pixels = malloc((size_t)part.width * part.height * 3);
    REQUIRE(part.pixels != NULL);
    for (uint32_t y = 0; y < part.height; y++)
        memcpy(part.pixels + (size_t)y * part.width * 3,
               image->levels + ((size_t)(y + source->y) * image->width + source->x) * 3, (size_t)part.width * 3);
    dvk_preprocess_params params = {.width = width, .height = height, .order = source->order};
    uint32_t size[2];
    dvk_error error = {DVK_OK, ""};
    dvk_preprocess_size(model, &params, &part, &size[0], &size[1]);
    float *pixels = malloc((size_t)size[0] * size[1] * 3 * sizeof(float));
    REQUIRE(pixels != NULL);
    CHECK_MESSAGE(dvk_preprocess(model, &params, &part, pixels, NULL, &error) == DVK_OK, "%s", error.message);
    dvk_session *session =
        open_session(model, (dvk_session_params){.width = size[0], .height = size[1], .outputs = ALL_OUTPUTS});
    CHECK_MESSAGE(dvk_session_run(session, pixels, 1, &error) == DVK_OK, "%s", error.message);
    size_t count = read_features(session, 0, 0, features);
    dvk_session_destroy(&session);
    free(part.pixels);
    free(pixels);
    return count;
}

/* The largest difference. Equal where their bits are, so that NaNs compare, too. */
static double difference(const float *a, const float *b, size_t count) {
    double worst = 0;
    for (size_t i = 0; i < count; i++)
        if (memcmp(&a[i], &b[i], sizeof(float)) != 0)
            worst = fmax(worst, isnan(a[i]) || isnan(b[i]) ? INFINITY : fabs((double)a[i] - (double)b[i]));
    return worst;
}

static float expected[MAX_FEATURES], found[MAX_FEATURES];

/* bound 0: bit by bit. */
static void check_source(dvk_model *model, const test_image *image, const dvk_source_desc *source,
                         const dvk_source_binding *binding, uint32_t width, uint32_t height, double bound,
                         const char *what) {
    dvk_session *session = NULL;
    dvk_error error = {DVK_OK, ""};
    dvk_session_params params = {.width = width, .height = height, .outputs = ALL_OUTPUTS, .source = source};
    dvk_result result = dvk_session_create(model, &params, &session, &error);
    CHECK_MESSAGE(result == DVK_OK, "%s: %s", what, error.message);
    if (result != DVK_OK)
        return;
    dvk_bindings bindings = {.sources = binding, .source_count = 1};
    CHECK_MESSAGE(dvk_session_bind(session, 0, &bindings, &error) == DVK_OK, "%s: %s", what, error.message);
    CHECK_MESSAGE(dvk_session_run(session, NULL, 1, &error) == DVK_OK, "%s: %s", what, error.message);
    size_t count = read_features(session, 0, 0, found);
    dvk_session_destroy(&session);
    CHECK(expect(model, image, source, width, height, expected) == count);
    double worst = difference(expected, found, count);
    CHECK_MESSAGE(worst <= bound, "%s: features differ by %g", what, worst);
}

/* --------------------------------------------------------------------------------------------------- images */

static void check_format(test_host *host, dvk_model *model, const test_format *format, dvk_colour colour,
                         VkImageLayout layout) {
    char what[100];
    snprintf(what, sizeof(what), "%s %s", format->name, colour == DVK_COLOUR_LINEAR ? "linear" : "encoded");
    test_image image = image_create(format, colour, 45, 37);
    test_picture picture =
        picture_create(host, format->format, VK_IMAGE_USAGE_SAMPLED_BIT, image.width, image.height, 0);
    picture_write(host, &picture, image.texels, layout);
    dvk_source_desc source = {.kind = DVK_SOURCE_IMAGE,
                              .format = format->format,
                              .colour = colour,
                              .width = image.width,
                              .height = image.height};
    dvk_source_binding binding = {.view = (uint64_t)picture.view,
                                  .layout = layout == VK_IMAGE_LAYOUT_GENERAL ? (uint32_t)layout : 0};
    check_source(model, &image, &source, &binding, 0, 0, 0, what);
    /* A part, at the picture's own scale. */
    source.x = 13;
    source.y = 5;
    source.region_width = source.region_height = 32;
    check_source(model, &image, &source, &binding, 0, 0, 0, what);
    picture_destroy(host, &picture);
    image_destroy(&image);
}

static void test_formats(test_host *host, dvk_model *model) {
    for (int i = 0; i < FORMATS; i++) {
        check_format(host, model, &formats[i], DVK_COLOUR_SRGB, VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL);
        if (!formats[i].srgb)
            check_format(host, model, &formats[i], DVK_COLOUR_LINEAR, VK_IMAGE_LAYOUT_GENERAL);
    }
}

/* Every value that there is, at its own size: each of 256 bytes through an sRGB view, and each of 65,536 halves through
 * the encoding. */
static void test_every_value(test_host *host, dvk_model *model) {
    const test_format *srgb = &formats[1], *half = &formats[7];
    test_image bytes = image_create(srgb, DVK_COLOUR_SRGB, 32, 32);
    for (size_t i = 0; i < 1024; i++)
        for (size_t c = 0; c < 3; c++)
            bytes.levels[3 * i + c] = bytes.texels[4 * i + c] = (uint8_t)(i + 85 * c);
    test_image halves = image_create(half, DVK_COLOUR_LINEAR, 256, 256);
    for (size_t i = 0; i < 65536; i++)
        for (size_t c = 0; c < 3; c++) {
            const uint16_t value = (uint16_t)(i + 21845 * c);
            memcpy(halves.texels + 8 * i + 2 * c, &value, 2);
            halves.levels[3 * i + c] = encode(small_float(value, 10));
        }
    for (int i = 0; i < 2; i++) {
        const test_format *format = i ? half : srgb;
        test_image *image = i ? &halves : &bytes;
        test_picture picture =
            picture_create(host, format->format, VK_IMAGE_USAGE_SAMPLED_BIT, image->width, image->height, 0);
        picture_write(host, &picture, image->texels, VK_IMAGE_LAYOUT_GENERAL);
        dvk_source_desc source = {.kind = DVK_SOURCE_IMAGE,
                                  .format = format->format,
                                  .colour = i ? DVK_COLOUR_LINEAR : DVK_COLOUR_SRGB,
                                  .width = 32,
                                  .height = 32};
        dvk_source_binding binding = {.view = (uint64_t)picture.view, .layout = VK_IMAGE_LAYOUT_GENERAL};
        source.width = image->width;
        source.height = image->height;
        source.region_width = source.region_height = 32;
        for (source.y = 0; source.y < image->height; source.y += 32)
            for (source.x = 0; source.x < image->width; source.x += 32) {
                /* Features of a part that is all black are those of a part that reads nothing: some tell nothing. */
                check_source(model, image, &source, &binding, 0, 0, 0, format->name);
            }
        picture_destroy(host, &picture);
        image_destroy(image);
    }
}

/* -------------------------------------------------------------------------------------------------- buffers */

/* A picture of bytes in the layout of `kind`, with rows that are longer than need be. */
static test_memory buffer_of(test_host *host, const test_image *image, dvk_source_desc *source, uint64_t offset,
                             uint32_t slack) {
    const bool planes = source->kind == DVK_SOURCE_FLOAT_PLANES;
    const uint32_t texel = source->kind == DVK_SOURCE_RGB8 ? 3 : 4;
    uint64_t row = (uint64_t)image->width * texel + slack, plane = row * image->height + 2 * slack;
    if (slack) {
        source->row_pitch = row;
        source->plane_pitch = planes ? plane : 0;
    }
    test_memory memory = memory_create(host, offset + (planes ? 3 * plane : row * image->height) + 4);
    for (uint32_t y = 0; y < image->height; y++)
        for (uint32_t x = 0; x < image->width; x++) {
            const uint8_t *level = image->levels + 3 * ((size_t)y * image->width + x);
            uint8_t *place = (uint8_t *)memory.mapped + offset + y * row + x * texel;
            for (uint32_t c = 0; c < 3; c++) {
                const float value = (float)level[c] / 255;
                if (planes)
                    memcpy(place + c * plane, &value, 4);
                else
                    place[source->kind == DVK_SOURCE_BGRA8 ? 2 - c : c] = level[c];
            }
        }
    return memory;
}

static void check_buffer(test_host *host, dvk_model *model, dvk_source_desc source, uint32_t width, uint32_t height,
                         uint64_t offset, uint32_t slack, double bound, const char *what) {
    test_image image = image_create(&formats[0], DVK_COLOUR_SRGB, source.width, source.height);
    test_memory memory = buffer_of(host, &image, &source, offset, slack);
    dvk_source_binding binding = {.buffer = (uint64_t)memory.buffer, .offset = offset};
    check_source(model, &image, &source, &binding, width, height, bound, what);
    memory_destroy(host, &memory);
    image_destroy(&image);
}

static void test_buffers(test_host *host, dvk_model *model) {
    static const char *const names[] = {"", "", "rgba8 buffer", "bgra8 buffer", "rgb8 buffer", "float planes"};
    for (dvk_source_kind kind = DVK_SOURCE_RGBA8; kind <= DVK_SOURCE_FLOAT_PLANES; kind++) {
        dvk_source_desc source = {.kind = kind, .width = 51, .height = 43};
        check_buffer(host, model, source, 0, 0, 0, 0, 0, names[kind]);
        check_buffer(host, model, source, 0, 0, 1024, kind == DVK_SOURCE_RGB8 ? 7 : 12, 0, names[kind]);
        source.x = 3;
        source.y = 17;
        source.region_width = 48;
        source.region_height = 20;
        check_buffer(host, model, source, 40, 24, 256, kind == DVK_SOURCE_RGB8 ? 1 : 4, 0, names[kind]);
        check_buffer(host, model, source, 16, 96, 0, 0, 0, names[kind]);
    }
}

/* ---------------------------------------------------------------------------------------------- processors */

/* The model with another preprocessor_config.json. */
static dvk_model *load_with_processor(dvk_context *context, const char *json) {
    FILE *file = fopen(MODEL "/preprocessor_config.json", "w");
    REQUIRE(file != NULL);
    REQUIRE(fputs(json, file) >= 0 && fclose(file) == 0);
    return load_model(context, MODEL);
}

#define SQUARE                                                                                                         \
    "{\"image_processor_type\": \"ViTImageProcessor\", \"size\": {\"height\": 32, \"width\": 32}, \"resample\": %d, "  \
    "\"image_mean\": [0.485, 0.456, 0.406], \"image_std\": [0.229, 0.224, 0.225]}"

static void test_filters(test_host *host, dvk_context *context) {
    static const uint32_t sizes[][2] = {{1, 1},   {1, 70},   {90, 1},   {7, 5},   {32, 32},  {32, 47}, {64, 64},
                                        {33, 31}, {200, 40}, {40, 200}, {31, 99}, {4096, 3}, {3, 2500}};
    for (int filter = 0; filter < 6; filter++) {
        char json[400], what[100];
        snprintf(json, sizeof(json), SQUARE, filter);
        dvk_model *model = load_with_processor(context, json);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            for (int order = DVK_RESIZE_NEWEST; order <= DVK_RESIZE_CLASSIC; order++) {
                dvk_source_desc source = {.kind = DVK_SOURCE_RGBA8,
                                          .width = sizes[i][0],
                                          .height = sizes[i][1],
                                          .order = (dvk_resize_order)order};
                snprintf(what, sizeof(what), "filter %d, %ux%u, order %d", filter, sizes[i][0], sizes[i][1], order);
                check_buffer(host, model, source, 0, 0, 0, 0, 0, what);
            }
        dvk_model_destroy(&model);
    }
}

static void test_processors(test_host *host, dvk_context *context) {
    static const char *const processors[] = {
        /* shortest edge, then a crop; the crop larger than what is cropped; no resize at all; no rescale, no
         * normalisation; an odd crop of an odd size */
        "{\"image_processor_type\": \"BitImageProcessor\", \"size\": {\"shortest_edge\": 40}, \"do_center_crop\": "
        "true, \"crop_size\": {\"height\": 32, \"width\": 32}, \"resample\": 3}",
        "{\"image_processor_type\": \"BitImageProcessor\", \"size\": {\"shortest_edge\": 24}, \"do_center_crop\": "
        "true, \"crop_size\": {\"height\": 41, \"width\": 48}, \"resample\": 2}",
        "{\"image_processor_type\": \"ViTImageProcessor\", \"do_resize\": false, \"size\": {\"height\": 32, \"width\": "
        "32}}",
        "{\"image_processor_type\": \"ViTImageProcessor\", \"size\": {\"height\": 32, \"width\": 32}, "
        "\"do_normalize\": false, \"rescale_factor\": 0.0078125}",
        "{\"image_processor_type\": \"BitImageProcessor\", \"size\": {\"shortest_edge\": 37}, \"do_center_crop\": "
        "true, \"crop_size\": {\"height\": 33, \"width\": 16}, \"resample\": 1, \"do_rescale\": false}",
    };
    for (size_t i = 0; i < sizeof(processors) / sizeof(processors[0]); i++) {
        dvk_model *model = load_with_processor(context, processors[i]);
        char what[100];
        snprintf(what, sizeof(what), "processor %zu", i);
        dvk_source_desc source = {.kind = DVK_SOURCE_RGB8, .width = 58, .height = 49};
        check_buffer(host, model, source, 0, 0, 0, 0, 0, what);
        source.x = 2;
        source.y = 3;
        source.region_width = 29;
        source.region_height = 44;
        check_buffer(host, model, source, 0, 0, 0, 0, 0, what);
        dvk_model_destroy(&model);
    }
}

/* DINOv3's processor rounds nothing. Pixels are within (taps + 4) roundings of a value of at most 1.3 (the overshoot of
 * bicubic), divided by a deviation of 0.22: 20 * 2^-24 * 1.3 / 0.22 = 7e-6 for up to 16 taps; a factor of 50 is far
 * more than what the features of this model do to a change of their input. */
static void test_floats(test_host *host, dvk_context *context) {
    REQUIRE(synth_write_model("dinov3-tiny", "source-dinov3-tiny", NULL));
    dvk_model *model = load_model(context, "source-dinov3-tiny");
    static const uint32_t sizes[][2] = {{64, 64}, {70, 50}, {33, 120}, {20, 20}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        dvk_source_desc source = {.kind = DVK_SOURCE_RGBA8, .width = sizes[i][0], .height = sizes[i][1]};
        check_buffer(host, model, source, 64, 64, 0, 0, 50 * 7e-6, "dinov3");
    }
    dvk_model_destroy(&model);
}

/* --------------------------------------------------------------------------------------- batches and slots */

enum { SLOTS = 2, BATCH = 3 };

/* Two slots of three pictures each, under way together; then in a command buffer of the host's, in slices. */
static void test_slots(test_host *host, dvk_model *model) {
    static float features[SLOTS * BATCH][MAX_FEATURES];
    test_image images[SLOTS * BATCH];
    test_memory memory[SLOTS * BATCH];
    dvk_source_binding bindings[SLOTS * BATCH];
    dvk_source_desc source = {.kind = DVK_SOURCE_BGRA8, .width = 47, .height = 35};
    dvk_error error = {DVK_OK, ""};
    size_t count = 0;
    for (uint32_t i = 0; i < SLOTS * BATCH; i++) {
        images[i] = image_create(&formats[0], DVK_COLOUR_SRGB, source.width, source.height);
        memory[i] = buffer_of(host, &images[i], &source, 0, 0);
        bindings[i] = (dvk_source_binding){.buffer = (uint64_t)memory[i].buffer};
        count = expect(model, &images[i], &source, 0, 0, features[i]);
    }
    dvk_session *session = open_session(
        model, (dvk_session_params){.batch = BATCH, .outputs = ALL_OUTPUTS, .source = &source, .in_flight = SLOTS});
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        dvk_submit_params submit = {.slot = slot};
        CHECK(dvk_session_submit(session, &submit, &error) == DVK_ERROR_INVALID_ARGUMENT);
        CHECK_MESSAGE(strstr(error.message, "nothing bound"), "%s", error.message);
        dvk_bindings all = {.sources = bindings + slot * BATCH, .source_count = BATCH};
        CHECK_MESSAGE(dvk_session_bind(session, slot, &all, &error) == DVK_OK, "%s", error.message);
        CHECK_MESSAGE(dvk_session_submit(session, &submit, &error) == DVK_OK, "%s", error.message);
    }
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        CHECK(dvk_session_wait(session, slot, UINT64_MAX, &error) == DVK_OK);
        for (uint32_t i = 0; i < BATCH; i++) {
            CHECK(read_features(session, slot, i, found) == count);
            CHECK_MESSAGE(memcmp(found, features[slot * BATCH + i], count * sizeof(float)) == 0, "slot %u, image %u",
                          slot, i);
        }
    }

    /* The other slot's last two pictures; the batch's third is a repetition of the second. */
    dvk_bindings two = {.sources = bindings + 4, .source_count = 2};
    CHECK(dvk_session_bind(session, 0, &two, &error) == DVK_OK);
    VkCommandBuffer commands = host_begin(host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
    dvk_position at = {0, 0}, end = dvk_session_get_info(session)->end;
    uint32_t slices = 0;
    while (at.op < end.op) {
        dvk_position next = dvk_session_slice(session, at, 1);
        dvk_record_params record = {
            .command_buffer = commands, .flags = DVK_RECORD_READBACK, .first = at, .last = next};
        CHECK_MESSAGE(dvk_session_record(session, &record, &error) == DVK_OK, "%s", error.message);
        at = next;
        slices++;
    }
    CHECK(slices > 2 * BATCH);
    host_run(host, commands);
    for (uint32_t i = 0; i < BATCH; i++) {
        CHECK(read_features(session, 0, i, found) == count);
        CHECK_MESSAGE(memcmp(found, features[i ? 5 : 4], count * sizeof(float)) == 0, "recorded, image %u", i);
    }
    CHECK(dvk_session_run(session, NULL, 2, NULL) == DVK_OK);
    CHECK(read_features(session, 0, 1, found) == count);
    CHECK(memcmp(found, features[5], count * sizeof(float)) == 0);

    dvk_session_destroy(&session);
    for (uint32_t i = 0; i < SLOTS * BATCH; i++) {
        memory_destroy(host, &memory[i]);
        image_destroy(&images[i]);
    }
}

/* --------------------------------------------------------------------------------------------------- misuse */

static void check_refused(dvk_model *model, dvk_source_desc source, dvk_result result, const char *part) {
    dvk_session *session = NULL;
    dvk_error error = {DVK_OK, ""};
    dvk_session_params params = {.source = &source};
    CHECK_MESSAGE(dvk_session_create(model, &params, &session, &error) == result, "%s", part);
    CHECK_MESSAGE(strstr(error.message, part), "%s", error.message);
}

static void test_misuse(dvk_model *model) {
    const dvk_source_desc good = {.kind = DVK_SOURCE_RGBA8, .width = 40, .height = 30};
    dvk_source_desc bad = good;
    bad.kind = (dvk_source_kind)6;
    check_refused(model, bad, DVK_ERROR_INVALID_ARGUMENT, "kind 6");
    bad = good;
    bad.width = 0;
    check_refused(model, bad, DVK_ERROR_INVALID_ARGUMENT, "a source of 0x30 pixels");
    bad = good;
    bad.x = 1;
    bad.region_width = 40;
    bad.region_height = 30;
    check_refused(model, bad, DVK_ERROR_INVALID_ARGUMENT, "does not lie within");
    bad = good;
    bad.row_pitch = 159;
    check_refused(model, bad, DVK_ERROR_INVALID_ARGUMENT, "at least 160");
    bad = good;
    bad.row_pitch = UINT64_C(1) << 40;
    check_refused(model, bad, DVK_ERROR_UNSUPPORTED, "beyond 2^32");
    bad = good;
    bad.kind = DVK_SOURCE_IMAGE;
    bad.format = VK_FORMAT_D32_SFLOAT;
    check_refused(model, bad, DVK_ERROR_UNSUPPORTED, "VkFormat 126");
    bad.format = VK_FORMAT_R8G8B8A8_SRGB;
    bad.colour = DVK_COLOUR_LINEAR;
    check_refused(model, bad, DVK_ERROR_INVALID_ARGUMENT, "an sRGB format");
    bad = good;
    bad.width = bad.height = 1 << 24;
    check_refused(model, bad, DVK_ERROR_UNSUPPORTED, "beyond 2^32");

    static float pixels[IMAGE_FLOATS];
    dvk_error error = {DVK_OK, ""};
    dvk_session *session = open_session(model, (dvk_session_params){.source = &good});
    dvk_source_binding binding = {0};
    dvk_bindings bindings = {.sources = &binding, .source_count = 1};
    CHECK(dvk_session_run(session, NULL, 1, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK_MESSAGE(strstr(error.message, "nothing bound"), "%s", error.message);
    CHECK(dvk_session_run(session, pixels, 1, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK_MESSAGE(strstr(error.message, "a source on the device"), "%s", error.message);
    CHECK(dvk_session_bind(session, 0, NULL, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_bind(session, 1, &bindings, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_bind(session, 0, &bindings, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK_MESSAGE(strstr(error.message, "no buffer"), "%s", error.message);
    binding = (dvk_source_binding){.buffer = 1, .offset = 1};
    CHECK(dvk_session_bind(session, 0, &bindings, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK_MESSAGE(strstr(error.message, "begins at byte 1"), "%s", error.message);
    bindings.source_count = 2;
    CHECK(dvk_session_bind(session, 0, &bindings, &error) == DVK_ERROR_INVALID_ARGUMENT);
    dvk_session_destroy(&session);

    session = open_session(model, (dvk_session_params){0});
    CHECK(dvk_session_run(session, NULL, 1, &error) == DVK_ERROR_INVALID_ARGUMENT);
    bindings.source_count = 1;
    CHECK(dvk_session_bind(session, 0, &bindings, &error) == DVK_ERROR_INVALID_ARGUMENT);
    dvk_session_destroy(&session);
}

int main(void) {
    test_host host;
    host_open(&host, HOST_BARE);
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    dvk_context *context = host_context(&host);
    dvk_model *model = load_model(context, MODEL);
    test_formats(&host, model);
    test_every_value(&host, model);
    test_buffers(&host, model);
    test_slots(&host, model);
    test_misuse(model);
    dvk_model_destroy(&model);
    test_filters(&host, context);
    test_processors(&host, context);
    test_floats(&host, context);
    dvk_context_destroy(&context);
    host_close(&host);
    CHECK(host_messages() == 0);
    return FINISH();
}
