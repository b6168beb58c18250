/* The C reference of the whole model against transformers, and the models that have no reference of transformers' own
 * (dino-vitb8, head_dim 32 at odd sizes, no position in sight of its table) against the C reference. */
#include "device.h"
#include "npy.h"
#include "reference_vit.h"
#include "session.h"
#include "synth.h"

#include <math.h>

/* The bar of the golden tests: about seven times torch's own float32. */
static const double BAR = 5e-6;

static double relative_l2(const float *values, const double *truth, size_t count) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        difference += (values[i] - truth[i]) * (values[i] - truth[i]);
        norm += truth[i] * truth[i];
    }
    return sqrt(difference / norm);
}

/* The synthetic image at that size, as the model wants it. */
static float *make_pixels(const dvk_preprocess_config *config, uint32_t width, uint32_t height) {
    dvk_image image = {640, 480, malloc(3 * 640 * 480)};
    float *pixels = malloc(3 * (size_t)width * height * sizeof(float));
    REQUIRE(image.pixels && pixels);
    synth_image(640, 480, image.pixels);
    REQUIRE(dvk_preprocess_image(config, width, height, DVK_RESIZE_NEWEST, &image, pixels, NULL, NULL) == DVK_OK);
    free(image.pixels);
    return pixels;
}

static void open_checkpoint(const char *model, dvk_checkpoint *checkpoint) {
    char directory[64];
    snprintf(directory, sizeof(directory), "reference-%s", model);
    REQUIRE(synth_write_model(model, directory, NULL));
    REQUIRE(dvk_checkpoint_open(&(dvk_model_params){.path = directory}, checkpoint, NULL) == DVK_OK);
}

/* float32 storage of the golden rounds by 6e-8, and so do the position table's floats: 1e-7 is what is left to err in.
 */
static void check_reference(const char *data, const char *name, const char *model, uint32_t width, uint32_t height) {
    dvk_checkpoint checkpoint;
    open_checkpoint(model, &checkpoint);
    float *pixels = make_pixels(&checkpoint.preprocess, width, height);
    reference_vit result;
    reference_vit_run(&checkpoint, pixels, width, height, (dvk_position_resize){0}, &result);
    char path[1024];
    struct npy golden;
    snprintf(path, sizeof(path), "%s/%s/last_hidden_state.npy", data, name);
    REQUIRE(npy_load(path, &golden) && golden.count == (size_t)result.tokens * result.size);
    double error = relative_l2(golden.data, result.last_hidden_state, golden.count);
    printf("reference against transformers, %s: %.1e\n", name, error);
    CHECK(error < 1e-7);
    npy_free(&golden);
    reference_vit_free(&result);
    free(pixels);
    dvk_checkpoint_close(&checkpoint);
}

static void check_device(dvk_context *context, const char *name, uint32_t width, uint32_t height,
                         bool dino_scale_factor) {
    dvk_checkpoint checkpoint;
    open_checkpoint(name, &checkpoint);
    float *pixels = make_pixels(&checkpoint.preprocess, width, height);
    reference_vit truth;
    reference_vit_run(&checkpoint, pixels, width, height, (dvk_position_resize){.dino_scale_factor = dino_scale_factor},
                      &truth);
    dvk_checkpoint_close(&checkpoint);

    char directory[64];
    snprintf(directory, sizeof(directory), "reference-%s", name);
    dvk_model *model = NULL;
    dvk_session *session = NULL;
    REQUIRE(dvk_model_load(context, &(dvk_model_params){.path = directory}, &model, NULL) == DVK_OK);
    dvk_session_params params = {.width = width,
                                 .height = height,
                                 .dino_scale_factor = dino_scale_factor,
                                 .outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_LAST_HIDDEN_STATE) |
                                            DVK_OUTPUT_BIT(DVK_OUTPUT_ATTENTION)};
    REQUIRE(dvk_session_create(model, &params, &session, NULL) == DVK_OK);
    size_t count = (size_t)truth.tokens * truth.size, attention_count = (size_t)truth.heads * truth.tokens;
    float *last = malloc(count * sizeof(float)), *attention = malloc(attention_count * sizeof(float));
    REQUIRE(last && attention);
    CHECK(dvk_session_run(session, pixels, 1, NULL) == DVK_OK);
    CHECK(dvk_session_read(session, DVK_OUTPUT_LAST_HIDDEN_STATE, 0, last, count, NULL) == DVK_OK);
    CHECK(dvk_session_read(session, DVK_OUTPUT_ATTENTION, 0, attention, attention_count, NULL) == DVK_OK);
    double error = relative_l2(last, truth.last_hidden_state, count), largest = 0;
    for (size_t i = 0; i < attention_count; i++)
        largest = fmax(largest, fabs(attention[i] - truth.attention[i]));
    printf("device against reference, %s at %ux%u: %.1e, attention %.1e\n", name, width, height, error, largest);
    CHECK(error <= BAR);
    CHECK(largest <= 2e-5);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    free(last);
    free(attention);
    free(pixels);
    reference_vit_free(&truth);
}

int main(int argument_count, char **arguments) {
    REQUIRE(argument_count == 2);
    check_reference(arguments[1], "vit-tiny_32", "vit-tiny", 32, 32);
    check_reference(arguments[1], "vit-tiny_h36w44", "vit-tiny", 44, 36);
    check_reference(arguments[1], "vit-odd-tiny_h28w16", "vit-odd-tiny", 16, 28);
    check_reference(arguments[1], "vit-cls-tiny_64", "vit-cls-tiny", 64, 64);
    dvk_context *context = test_open_context(NULL);
    check_device(context, "dino-vitb8", 40, 72, false);
    check_device(context, "vit-tiny", 40, 72, true);
    check_device(context, "vit-tiny", 8, 8, false);    /* one patch */
    check_device(context, "vit-tiny", 1000, 9, false); /* a row of patches */
    check_device(context, "vit-tiny", 15, 400, false);
    test_close_context(&context);
    return FINISH();
}
