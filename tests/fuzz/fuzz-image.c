/* Any bytes as an image file, of whatever format they claim to be. */
#include "fuzz.h"

static volatile uint32_t seen;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_memory memory;
    const dvk_allocator allocator = fuzz_allocator(&memory, 1 << 20);
    const dvk_image_params params = {.allocator = &allocator};
    dvk_image image = {0};
    dvk_error error = {0};
    const dvk_result result = dvk_image_decode(data, size, "fuzz", &params, &image, &error);
    if (result == DVK_OK) {
        REQUIRE_ALWAYS(image.width && image.height && image.pixels);
        for (size_t i = 0; i < (size_t)image.width * image.height * 3; i++)
            seen += image.pixels[i]; /* a sanitizer of memory would tell what nobody wrote */
    } else {
        fuzz_check_refusal(result, &error);
        REQUIRE_ALWAYS(!image.pixels);
    }
    dvk_image_free(&image);
    REQUIRE_ALWAYS(memory.blocks == 0);
    return 0;
}
