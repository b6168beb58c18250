/* Whether a map is what the model attends to in a picture: check-attention MODEL_DIR PICTURE.ppm MAP.pgm...
 *
 * On a device of the library's own, with pixels from the CPU's preprocessing and outputs in host memory: nothing of how
 * the map was made. PICTUREs and MAPs in pairs; all maps have one size, a texel a patch. */
#include "dino_vk.h"
#include "test.h"

static dvk_context *context;
static dvk_model *model;
static dvk_error error;

static void require(dvk_result result) {
    if (result != DVK_OK) {
        printf("%s\n", error.message);
        exit(result == DVK_ERROR_NO_VULKAN || result == DVK_ERROR_NO_DEVICE ? 77 : 1);
    }
}

/* The mean of the heads for every patch, as 0..1: the definition of DVK_TARGET_ATTENTION. */
static float *attention_of(const dvk_image *picture, uint32_t columns, uint32_t rows) {
    const dvk_model_info *info = dvk_model_get_info(model);
    const dvk_preprocess_params exact = {.width = columns * info->patch_size, .height = rows * info->patch_size};
    const dvk_session_params params = {
        .width = exact.width, .height = exact.height, .outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_ATTENTION)};
    const size_t patches = (size_t)columns * rows, tokens = info->prefix_tokens + patches;
    float *pixels = malloc(sizeof(float) * 3 * exact.width * exact.height);
    float *attention = malloc(sizeof(float) * info->heads * tokens), *map = calloc(patches, sizeof(float));
    REQUIRE(pixels && attention && map);
    dvk_session *session = NULL;
    require(dvk_session_create(model, &params, &session, &error));
    require(dvk_preprocess(model, &exact, picture, pixels, NULL, &error));
    require(dvk_session_run(session, pixels, 1, &error));
    require(dvk_session_read(session, DVK_OUTPUT_ATTENTION, 0, attention, info->heads * tokens, &error));
    dvk_session_destroy(&session);
    float least = 1, most = 0;
    for (size_t p = 0; p < patches; p++) {
        for (uint32_t head = 0; head < info->heads; head++)
            map[p] += attention[head * tokens + info->prefix_tokens + p] / (float)info->heads;
        least = map[p] < least ? map[p] : least;
        most = map[p] > most ? map[p] : most;
    }
    REQUIRE(most > least);
    for (size_t p = 0; p < patches; p++)
        map[p] = (map[p] - least) / (most - least);
    free(attention);
    free(pixels);
    return map;
}

static void check(const char *picture_path, const char *map_path) {
    dvk_image picture, found;
    require(dvk_image_load(picture_path, NULL, &picture, &error));
    require(dvk_image_load(map_path, NULL, &found, &error));
    float *expected = attention_of(&picture, found.width, found.height);
    /* Two drivers' or two variants' kernels differ by 1e-5 of a value that is scaled to 0..1; the map is in bytes, to
     * the nearest or the next one as the device rounds. */
    const float tolerance = 1 + 255 * 1e-4f;
    float worst = 0;
    int least = 255, most = 0;
    for (size_t p = 0; p < (size_t)found.width * found.height; p++) {
        const int value = found.pixels[3 * p];
        const float off = 255 * expected[p] - (float)value;
        worst = off > worst ? off : -off > worst ? -off : worst;
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    CHECK_MESSAGE(worst <= tolerance, "%s: off by %g of 255", map_path, (double)worst);
    CHECK_MESSAGE(least == 0 && most == 255, "%s: from %d to %d of 255", map_path, least, most);
    free(expected);
    dvk_image_free(&found);
    dvk_image_free(&picture);
}

int main(int argc, char **argv) {
    REQUIRE(argc >= 4 && argc % 2 == 0);
    const dvk_context_params params = {.device = getenv("DVK_TEST_DEVICE")};
    require(dvk_context_create(&params, &context, &error));
    require(dvk_model_load(context, &(dvk_model_params){.path = argv[1]}, &model, &error));
    for (int i = 2; i < argc; i += 2)
        check(argv[i], argv[i + 1]);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    return FINISH();
}
