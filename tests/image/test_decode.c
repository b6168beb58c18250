/* Whole files: lossless ones must give Pillow's bytes, JPEGs must stay near them. */
#include "image_files.h"
#include "synth.h"
#include "test.h"

static const char *data_directory;

static void test_lossless(void) {
    size_t count;
    image_file *files = load_lossless_files(data_directory, &count);
    CHECK(count == 24 + 167);
    for (size_t i = 0; i < count; i++) {
        dvk_image image = {0};
        dvk_error error = {0};
        const dvk_result result = dvk_image_decode(files[i].bytes, files[i].size, files[i].name, NULL, &image, &error);
        CHECK_MESSAGE(result == DVK_OK, "%s: %s", files[i].name, error.message);
        if (result != DVK_OK)
            continue;
        CHECK_MESSAGE(image.width == files[i].width && image.height == files[i].height, "%s: found %ux%u",
                      files[i].name, image.width, image.height);
        CHECK_MESSAGE(synth_fnv1a64(image.pixels, (size_t)image.width * image.height * 3) == files[i].hash, "%s",
                      files[i].name);
        dvk_image_free(&image);
        CHECK(!image.pixels && !image.width && !image.height);
    }
}

static dvk_image load(const char *name) {
    char path[1024];
    dvk_image image = {0};
    dvk_error error = {0};
    snprintf(path, sizeof(path), "%s/images/%s", data_directory, name);
    if (dvk_image_load(path, NULL, &image, &error) != DVK_OK)
        printf("%s\n", error.message);
    REQUIRE(image.pixels);
    return image;
}

/* stb_image's and libjpeg-turbo's integer inverse DCTs both lie within one step of the exact one, so luma and
 * (upsampled) chroma may differ by 1 each, which the conversion to RGB makes at most 1 + 1.772 (blue), and both sides
 * round once more: less than 3.8, so 3. The mean is a guard against a systematic error such as another colour matrix or
 * chroma siting: those move it to 1 and more, and rounding alone was measured at 0.004 to 0.075 for these files. */
static void test_jpeg(void) {
    static const char *const names[] = {"hopper_128_baseline420", "hopper_gray", "pil_sample_cmyk",
                                        "progressive_256x160_420", "testorig_227x149"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s.jpg", names[i]);
        dvk_image found = load(name);
        snprintf(name, sizeof(name), "reference/%s.png", names[i]);
        dvk_image expected = load(name);
        REQUIRE(found.width == expected.width && found.height == expected.height);
        const size_t bytes = (size_t)found.width * found.height * 3;
        int worst = 0;
        double sum = 0.0;
        for (size_t k = 0; k < bytes; k++) {
            const int difference = abs(found.pixels[k] - expected.pixels[k]);
            worst = difference > worst ? difference : worst;
            sum += difference;
        }
        CHECK_MESSAGE(worst <= 3 && sum / (double)bytes <= 0.2, "%s: worst %d, mean %.3f", names[i], worst,
                      sum / (double)bytes);
        dvk_image_free(&found);
        dvk_image_free(&expected);
    }
}

static void test_misuse(void) {
    dvk_image image = {.width = 7};
    dvk_error error;
    CHECK(dvk_image_load(NULL, NULL, &image, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_image_load("a.png", NULL, NULL, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_image_load("a.png", &(dvk_image_params){.flags = 1u << 31}, &image, &error) ==
          DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_image_decode(NULL, 1, "a", NULL, &image, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_image_decode("P1 1 1 0", 8, "a", NULL, NULL, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_image_decode("P1 1 1 0", 8, "a", &(dvk_image_params){.flags = 2}, &image, &error) ==
          DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_image_decode(NULL, 0, NULL, NULL, &image, NULL) == DVK_ERROR_BAD_FILE);
    CHECK(image.width == 7 && !image.pixels); /* untouched */
    CHECK(dvk_image_decode("P1 1 1 0", 8, NULL, &(dvk_image_params){.flags = DVK_IMAGE_IGNORE_ORIENTATION}, &image,
                           NULL) == DVK_OK);
    dvk_image_free(&image);
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2);
    data_directory = argv[1];
    test_lossless();
    test_jpeg();
    test_misuse();
    return FINISH();
}
