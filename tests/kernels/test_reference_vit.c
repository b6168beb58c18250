/* The reference forward pass is the oracle where there is no golden, so it is checked against those there are; then it
 * judges the runtime on dino-vitb8, which has none.
 *
 *     test-reference-vit GOLDEN_DIRECTORY        the reference against transformers
 *     test-reference-vit shapes                  the runtime against the reference, at sizes that have no golden
 *     test-reference-vit vitb8                   the runtime against the reference on dino-vitb8 */
#include <math.h>

#include "device.h"
#include "npy.h"
#include "reference_vit.h"
#include "synth.h"

static double relative_l2(const double *truth, const float *values, size_t count) {
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < count; i++) {
        difference += (truth[i] - (double)values[i]) * (truth[i] - (double)values[i]);
        norm += truth[i] * truth[i];
    }
    return sqrt(difference / norm);
}

static dvk_checkpoint open_synthetic(const char *model) {
    dvk_checkpoint checkpoint;
    dvk_error error;
    REQUIRE(synth_write_model(model, model, NULL));
    dvk_result result = dvk_checkpoint_open(&(dvk_model_params){.path = model}, &checkpoint, &error);
    if (result != DVK_OK)
        printf("%s: %s\n", model, error.message);
    REQUIRE(result == DVK_OK);
    return checkpoint;
}

/* Both are float64; the golden is stored as float32, which changes a value by at most 6e-8 of itself, and transformers
 * rounds some intermediate values (the interpolated positions) to float32, too. */
static const double GOLDEN_BAR = 2e-7;

static void check_file(const char *directory, const char *file, const double *values, size_t count) {
    char path[1024];
    struct npy golden;
    snprintf(path, sizeof(path), "%s/%s.npy", directory, file);
    if (!npy_load(path, &golden))
        CHECK_MESSAGE(false, "%s", path);
    else if (golden.type != NPY_FLOAT32 || golden.count != count)
        CHECK_MESSAGE(false, "%s holds %zu values, expected %zu", path, golden.count, count);
    else {
        double error = relative_l2(values, golden.data, count);
        CHECK_MESSAGE(error <= GOLDEN_BAR, "%s: %.2e", path, error);
    }
    npy_free(&golden);
}

static void check_golden(const char *root, const char *model, const char *name) {
    char directory[512], path[1024], file[32];
    struct npy pixels, attention;
    snprintf(directory, sizeof(directory), "%s/%s", root, name);
    snprintf(path, sizeof(path), "%s/pixel_values.npy", directory);
    REQUIRE(npy_load(path, &pixels) && pixels.type == NPY_FLOAT32 && pixels.rank >= 3);
    dvk_checkpoint checkpoint = open_synthetic(model);
    reference_vit vit = reference_vit_run(&checkpoint, pixels.data, (uint32_t)pixels.shape[pixels.rank - 1],
                                          (uint32_t)pixels.shape[pixels.rank - 2], 0.0);
    const size_t count = (size_t)vit.tokens * checkpoint.config.hidden_size;
    for (uint32_t i = 0; i < vit.hidden_count; i++) {
        snprintf(file, sizeof(file), "hidden_%u", i);
        check_file(directory, file, vit.hidden[i], count);
    }
    check_file(directory, "last_hidden_state", vit.last_hidden_state, count);
    if (vit.pooled)
        check_file(directory, "pooler_output", vit.pooled, checkpoint.config.hidden_size);
    snprintf(path, sizeof(path), "%s/attention_last.npy", directory);
    REQUIRE(npy_load(path, &attention) && attention.type == NPY_FLOAT32);
    REQUIRE(attention.count == (size_t)checkpoint.config.heads * vit.tokens * vit.tokens);
    for (uint32_t h = 0; h < checkpoint.config.heads; h++) {
        const float *row = (const float *)attention.data + (size_t)h * vit.tokens * vit.tokens;
        CHECK(relative_l2(vit.attention + (size_t)h * vit.tokens, row, vit.tokens) <= GOLDEN_BAR);
    }
    npy_free(&attention);
    npy_free(&pixels);
    reference_vit_free(&vit);
    dvk_checkpoint_close(&checkpoint);
}

/* The bars are those of test_golden.c. The synthetic image's corner is scaled to the processor's range, not to its
 * exact values: both sides read the same. */
static void check_device(dvk_context *context, const char *name, uint32_t width, uint32_t height,
                         bool dino_scale_factor) {
    uint8_t *image = malloc((size_t)width * height * 3);
    float *pixels = malloc((size_t)width * height * 3 * sizeof(float));
    REQUIRE(image && pixels);
    synth_image(width, height, image);
    for (size_t i = 0; i < (size_t)width * height * 3; i++)
        pixels[i % 3 * ((size_t)width * height) + i / 3] = ((float)image[i] - 120.0f) / 58.0f;
    dvk_checkpoint checkpoint = open_synthetic(name);
    reference_vit vit = reference_vit_run(&checkpoint, pixels, width, height, dino_scale_factor ? 0.1 : 0.0);
    const size_t size = checkpoint.config.hidden_size, count = vit.tokens * size;
    const size_t weights = (size_t)checkpoint.config.heads * vit.tokens;
    dvk_checkpoint_close(&checkpoint);

    dvk_model *model;
    dvk_session *session;
    dvk_error error;
    float *hidden = malloc(count * sizeof(float)), *attention = malloc(weights * sizeof(float));
    REQUIRE(hidden && attention);
    REQUIRE(dvk_model_load(context, &(dvk_model_params){.path = name}, &model, &error) == DVK_OK);
    const dvk_session_params params = {.width = width,
                                       .height = height,
                                       .dino_scale_factor = dino_scale_factor,
                                       .outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_LAST_HIDDEN_STATE) |
                                                  DVK_OUTPUT_BIT(DVK_OUTPUT_ATTENTION)};
    REQUIRE(dvk_session_create(model, &params, &session, &error) == DVK_OK);
    REQUIRE(dvk_session_run(session, pixels, 1, &error) == DVK_OK);
    CHECK(dvk_session_read(session, DVK_OUTPUT_LAST_HIDDEN_STATE, 0, hidden, count, &error) == DVK_OK);
    CHECK(dvk_session_read(session, DVK_OUTPUT_ATTENTION, 0, attention, weights, &error) == DVK_OK);
    double all = relative_l2(vit.last_hidden_state, hidden, count), largest = 0;
    for (size_t i = 0; i < weights; i++)
        largest = test_worst(largest, fabs((double)attention[i] - vit.attention[i]));
    printf("%s, %ux%u: last_hidden_state %.2e, attention %.1e\n", name, width, height, all, largest);
    CHECK_MESSAGE(all <= 5e-6, "%.2e", all);
    CHECK_MESSAGE(largest <= 2e-5, "%.2e", largest);
    for (size_t t = 0; t < vit.tokens; t++)
        CHECK_MESSAGE(relative_l2(vit.last_hidden_state + t * size, hidden + t * size, size) <= 1e-5, "token %zu", t);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    reference_vit_free(&vit);
    free(image);
    free(pixels);
    free(hidden);
    free(attention);
}

int main(int argument_count, char **arguments) {
    REQUIRE(argument_count == 2);
    bool large = strcmp(arguments[1], "vitb8") == 0;
    if (large || strcmp(arguments[1], "shapes") == 0) {
        dvk_context *context = test_open_context(NULL);
        if (large) {
            check_device(context, "dino-vitb8", 48, 40, false);
        } else {
            check_device(context, "vit-tiny", 8, 8, false);    /* one patch */
            check_device(context, "vit-tiny", 1000, 9, false); /* a row of patches */
            check_device(context, "vit-tiny", 15, 400, false); /* a column of them */
            check_device(context, "vit-odd-tiny", 61, 43, false);
            check_device(context, "vit-odd-tiny", 61, 43, true);
        }
        test_close_context(&context);
        return FINISH();
    }
    check_golden(arguments[1], "vit-tiny", "vit-tiny_32");
    check_golden(arguments[1], "vit-tiny", "vit-tiny_h36w44");
    check_golden(arguments[1], "vit-odd-tiny", "vit-odd-tiny_20");
    check_golden(arguments[1], "vit-odd-tiny", "vit-odd-tiny_h28w16");
    check_golden(arguments[1], "vit-cls-tiny", "vit-cls-tiny_64");
    return FINISH();
}
