/* COCO's 000000039769 (not shipped: its licence is the photographer's), the picture of transformers' own tests, as a
 * PNG of 640x480. Runs when DVK_TEST_PHOTO names it. */
#include "preprocess.h"
#include "synth.h"
#include "test.h"

int main(void) {
    const char *path = getenv("DVK_TEST_PHOTO");
    if (!path || !*path)
        SKIP("set DVK_TEST_PHOTO to COCO's 000000039769 as a PNG to run this");
    dvk_image photo = {0};
    dvk_error error = {0};
    if (dvk_image_load(path, NULL, &photo, &error) != DVK_OK)
        printf("%s\n", error.message);
    REQUIRE(photo.pixels && photo.width == 640 && photo.height == 480);
    CHECK(synth_fnv1a64(photo.pixels, 640 * 480 * 3) == 0xaa7e884ad0673849);

    static const struct {
        uint32_t width, height;
        bool crop; /* shortest edge 256, then the centre */
        dvk_resample filter;
        uint64_t hash;
    } cases[] = {
        {224, 224, false, DVK_RESAMPLE_BICUBIC, 0x2c4d9b205b06e9fa},
        {224, 224, false, DVK_RESAMPLE_BILINEAR, 0x43f589b61f34fe31},
        {224, 224, false, DVK_RESAMPLE_LANCZOS, 0x130772c09af1ce51},
        {480, 480, false, DVK_RESAMPLE_BILINEAR, 0xd3560b944a73bf28},
        {320, 224, false, DVK_RESAMPLE_BILINEAR, 0xb50c22706d49b41a},
        {224, 224, true, DVK_RESAMPLE_BICUBIC, 0x39192ef413ddc001},
    };
    static uint8_t resized[480 * 480 * 3];
    static float values[480 * 480 * 3];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint32_t w = cases[i].width, h = cases[i].height;
        const dvk_preprocess_config config = {
            .do_resize = true,
            .do_center_crop = cases[i].crop,
            .width = cases[i].crop ? 0 : w,
            .height = cases[i].crop ? 0 : h,
            .shortest_edge = cases[i].crop ? 256 : 0,
            .crop_width = w,
            .crop_height = h,
            .resample = cases[i].filter,
        };
        CHECK(dvk_preprocess_image(NULL, &config, 0, 0, DVK_RESIZE_NEWEST, &photo, values, resized, &error) == DVK_OK);
        CHECK_MESSAGE(synth_fnv1a64(resized, (size_t)w * h * 3) == cases[i].hash, "case %zu", i);
    }
    dvk_image_free(&photo);
    return FINISH();
}
