/* From an image to normalised floats: the tables and outputs of transformers 5.12.1's ViTImageProcessorPil (numpy
 * files) and its shortest-edge resize with centre crop (hashes of the bytes). */
#include "npy.h"
#include "preprocess.h"
#include "synth.h"
#include "test.h"

#include <math.h>

static const char *data_directory;

static const dvk_preprocess_config imagenet = {
    .do_resize = true,
    .do_rescale = true,
    .do_normalize = true,
    .width = 224,
    .height = 224,
    .resample = DVK_RESAMPLE_BILINEAR,
    .rescale_factor = 1.0 / 255.0,
    .mean = {0.485, 0.456, 0.406},
    .std = {0.229, 0.224, 0.225},
};

static struct npy load(const char *name) {
    char path[1024];
    struct npy array;
    snprintf(path, sizeof(path), "%s/processor/%s", data_directory, name);
    REQUIRE(npy_load(path, &array));
    return array;
}

static dvk_image make_image(uint32_t width, uint32_t height) {
    dvk_image image = {.width = width, .height = height, .pixels = malloc((size_t)width * height * 3)};
    REQUIRE(image.pixels);
    synth_image(width, height, image.pixels);
    return image;
}

/* An image of all 256 gray values, not resized, must give the table itself, to the bit. */
static void test_table(const char *file, const double mean[3], const double std[3]) {
    struct npy table = load(file);
    REQUIRE(table.type == NPY_FLOAT32 && table.rank == 2 && table.shape[0] == 3 && table.shape[1] == 256);
    dvk_preprocess_config config = imagenet;
    config.do_resize = false;
    memcpy(config.mean, mean, sizeof(config.mean));
    memcpy(config.std, std, sizeof(config.std));
    uint8_t pixels[256 * 3];
    for (int v = 0; v < 256; v++)
        memset(pixels + v * 3, v, 3);
    const dvk_image image = {.width = 16, .height = 16, .pixels = pixels};
    float values[3 * 256];
    CHECK(dvk_preprocess_image(NULL, &config, 0, 0, DVK_RESIZE_NEWEST, &image, values, NULL, NULL) == DVK_OK);
    CHECK_MESSAGE(!memcmp(values, table.data, sizeof(values)), "%s", file);
    npy_free(&table);
}

static void test_steps(void) {
    uint8_t pixels[3] = {0, 51, 255};
    const dvk_image image = {.width = 1, .height = 1, .pixels = pixels};
    float values[3];
    dvk_preprocess_config config = {.rescale_factor = 1.0 / 255.0, .mean = {1, 2, 3}, .std = {2, 2, 2}};
    CHECK(dvk_preprocess_image(NULL, &config, 0, 0, DVK_RESIZE_NEWEST, &image, values, NULL, NULL) == DVK_OK);
    CHECK(values[0] == 0.0f && values[1] == 51.0f && values[2] == 255.0f);
    config.do_rescale = true;
    CHECK(dvk_preprocess_image(NULL, &config, 0, 0, DVK_RESIZE_NEWEST, &image, values, NULL, NULL) == DVK_OK);
    CHECK(values[0] == 0.0f && values[1] == 0.2f && values[2] == 1.0f);
    config.do_rescale = false;
    config.do_normalize = true;
    CHECK(dvk_preprocess_image(NULL, &config, 0, 0, DVK_RESIZE_NEWEST, &image, values, NULL, NULL) == DVK_OK);
    CHECK(values[0] == -0.5f && values[1] == 24.5f && values[2] == 126.0f);
}

static void test_pixel_values(void) {
    struct npy golden = load("pixel_values_synth31x57_32x32_bilinear.npy");
    REQUIRE(golden.count == 3 * 32 * 32);
    dvk_image image = make_image(31, 57);
    static float values[3 * 32 * 32], requested[3 * 32 * 32];
    dvk_preprocess_config config = imagenet;
    config.width = config.height = 32;
    CHECK(dvk_preprocess_image(NULL, &config, 0, 0, DVK_RESIZE_NEWEST, &image, values, NULL, NULL) == DVK_OK);
    CHECK(!memcmp(values, golden.data, sizeof(values)));
    /* The same size by request, over a config that wants something else. */
    config.width = config.height = 0;
    config.shortest_edge = 77;
    config.do_center_crop = true;
    config.crop_width = config.crop_height = 50;
    CHECK(dvk_preprocess_image(NULL, &config, 32, 32, DVK_RESIZE_NEWEST, &image, requested, NULL, NULL) == DVK_OK);
    CHECK(!memcmp(requested, golden.data, sizeof(requested)));
    dvk_image_free(&image);
    npy_free(&golden);
}

static void test_resized(void) {
    static const struct {
        uint32_t image_width, image_height, width, height;
        bool crop; /* shortest edge 256, then the centre */
        dvk_resample filter;
        uint64_t hash;
    } cases[] = {
        {31, 57, 224, 224, true, DVK_RESAMPLE_BICUBIC, 0xd3354c5ee47ca980},
        {333, 517, 224, 224, true, DVK_RESAMPLE_BICUBIC, 0x09c06adc79f117bc},
        {640, 480, 224, 224, true, DVK_RESAMPLE_BICUBIC, 0xbd7b51b8da33f491},
        {640, 480, 480, 480, false, DVK_RESAMPLE_BILINEAR, 0xa3ef193433c5fb32},
        {640, 480, 518, 518, false, DVK_RESAMPLE_BICUBIC, 0x573e7199d7176434},
        {640, 480, 280, 210, false, DVK_RESAMPLE_BICUBIC, 0x2b17f25751bbea41},
        {640, 480, 320, 224, false, DVK_RESAMPLE_BILINEAR, 0xca2ba3a4df26118b},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint32_t w = cases[i].width, h = cases[i].height;
        dvk_preprocess_config config = imagenet;
        config.resample = cases[i].filter;
        config.width = cases[i].crop ? 0 : w;
        config.height = cases[i].crop ? 0 : h;
        config.shortest_edge = cases[i].crop ? 256 : 0;
        config.do_center_crop = cases[i].crop;
        config.crop_width = config.crop_height = 224;
        uint32_t width, height;
        dvk_preprocess_output_size(&config, 0, 0, cases[i].image_width, cases[i].image_height, &width, &height);
        CHECK(width == w && height == h);

        dvk_image image = make_image(cases[i].image_width, cases[i].image_height);
        uint8_t *resized = malloc((size_t)w * h * 3);
        float *values = malloc((size_t)w * h * 3 * sizeof(float));
        REQUIRE(resized && values);
        CHECK(dvk_preprocess_image(NULL, &config, 0, 0, DVK_RESIZE_NEWEST, &image, values, resized, NULL) == DVK_OK);
        CHECK_MESSAGE(synth_fnv1a64(resized, (size_t)w * h * 3) == cases[i].hash, "case %zu", i);
        free(resized);
        free(values);
        dvk_image_free(&image);
    }
}

static void check_size(const dvk_preprocess_config *config, uint32_t image_width, uint32_t image_height, uint32_t width,
                       uint32_t height) {
    uint32_t w, h;
    dvk_preprocess_output_size(config, 0, 0, image_width, image_height, &w, &h);
    CHECK_MESSAGE(w == width && h == height, "%ux%u: expected %ux%u, found %ux%u", image_width, image_height, width,
                  height, w, h);
}

static void test_sizes(void) {
    dvk_preprocess_config config = {.do_resize = true, .shortest_edge = 256};
    check_size(&config, 640, 480, 341, 256); /* int(256 * 640 / 480) = int(341.33) */
    check_size(&config, 480, 640, 256, 341);
    check_size(&config, 5, 5, 256, 256);
    check_size(&config, 2000, 1, 512000, 256);
    check_size(&config, 3, 7, 256, 597);
    config.do_resize = false;
    check_size(&config, 3, 7, 3, 7);
    config.do_center_crop = true;
    config.crop_width = 10;
    config.crop_height = 4;
    check_size(&config, 3, 7, 10, 4);
    uint32_t w, h;
    dvk_preprocess_output_size(&config, 64, 48, 3, 7, &w, &h);
    CHECK(w == 64 && h == 48);
}

/* A crop larger than the image is padded with zeros before normalisation: floor((size - crop) / 2) is where it starts.
 */
static void test_padding(void) {
    dvk_preprocess_config config = {.do_center_crop = true, .crop_width = 6, .crop_height = 2};
    dvk_image image = make_image(3, 5);
    uint8_t resized[6 * 2 * 3];
    float values[6 * 2 * 3];
    CHECK(dvk_preprocess_image(NULL, &config, 0, 0, DVK_RESIZE_NEWEST, &image, values, resized, NULL) == DVK_OK);
    for (int y = 0; y < 2; y++) {
        for (int x = 0; x < 6; x++) {
            const int sx = x - 2, sy = y + 1; /* floor(-3 / 2) = -2, floor(3 / 2) = 1 */
            for (int c = 0; c < 3; c++) {
                const uint8_t expected = sx < 0 || sx >= 3 ? 0 : image.pixels[(sy * 3 + sx) * 3 + c];
                CHECK(resized[(y * 6 + x) * 3 + c] == expected);
                CHECK(values[(c * 2 + y) * 6 + x] == (float)expected);
            }
        }
    }
    dvk_image_free(&image);
}

/* 2000x1 by its shortest edge is 512000x256 before the crop: only what the crop shows may be computed. */
static void test_extreme_crop(void) {
    dvk_preprocess_config config = imagenet;
    config.width = config.height = 0;
    config.shortest_edge = 256;
    config.do_center_crop = true;
    config.crop_width = config.crop_height = 224;
    dvk_image image = make_image(2000, 1);
    float *values = malloc(3 * 224 * 224 * sizeof(float));
    REQUIRE(values);
    CHECK(dvk_preprocess_image(NULL, &config, 0, 0, DVK_RESIZE_NEWEST, &image, values, NULL, NULL) == DVK_OK);
    dvk_error error;
    config.crop_width = 0;
    CHECK(dvk_preprocess_image(NULL, &config, 0, 0, DVK_RESIZE_NEWEST, &image, values, NULL, &error) ==
          DVK_ERROR_INVALID_ARGUMENT);
    free(values);
    dvk_image_free(&image);
}

/* DINOv3's processor resizes floats. The golden is float64, stored as float32; ours rounds once in between, to a value
 * of at most 1 that is then divided by 0.224: 0.5 ulp of 1 over 0.224, and 0.5 ulp of 2.7 twice, in all below 5e-7. */
static void test_float(void) {
    enum { WIDTH = 96, HEIGHT = 64 };
    struct npy golden = load("dinov3_synth640x480_h64w96.npy");
    REQUIRE(golden.type == NPY_FLOAT32 && golden.count == 3 * WIDTH * HEIGHT);
    dvk_image image = make_image(640, 480);
    static float values[3 * WIDTH * HEIGHT];
    static uint8_t resized[3 * WIDTH * HEIGHT];
    dvk_preprocess_config config = imagenet;
    config.resize_as_float = true;
    CHECK(dvk_preprocess_image(NULL, &config, WIDTH, HEIGHT, DVK_RESIZE_NEWEST, &image, values, resized, NULL) ==
          DVK_OK);
    double largest = 0, from_bytes = 0;
    for (size_t i = 0; i < golden.count; i++) {
        size_t channel = i / (WIDTH * HEIGHT), pixel = i % (WIDTH * HEIGHT);
        largest = test_worst(largest, fabs((double)values[i] - ((const float *)golden.data)[i]));
        from_bytes = test_worst(from_bytes, fabs(values[i] * config.std[channel] + config.mean[channel] -
                                                 resized[3 * pixel + channel] / 255.0));
    }
    CHECK_MESSAGE(largest < 5e-7, "%g", largest);
    /* The bytes are for drawing: the same picture, rounded once in each pass. */
    CHECK_MESSAGE(from_bytes < 1.6 / 255 && from_bytes > 0.3 / 255, "%g", from_bytes * 255);
    config.resample = DVK_RESAMPLE_NEAREST;
    CHECK(dvk_preprocess_image(NULL, &config, WIDTH, HEIGHT, DVK_RESIZE_NEWEST, &image, values, NULL, NULL) ==
          DVK_ERROR_UNSUPPORTED);
    dvk_image_free(&image);
    npy_free(&golden);
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2);
    data_directory = argv[1];
    test_table("lut_imagenet.npy", imagenet.mean, imagenet.std);
    test_table("lut_half.npy", (const double[3]){0.5, 0.5, 0.5}, (const double[3]){0.5, 0.5, 0.5});
    test_table("lut_clip.npy", (const double[3]){0.48145466, 0.4578275, 0.40821073},
               (const double[3]){0.26862954, 0.26130258, 0.27577711});
    test_steps();
    test_pixel_values();
    test_resized();
    test_sizes();
    test_padding();
    test_extreme_crop();
    test_float();
    return FINISH();
}
