/* The table that `dino-vk selftest` compares with is what the built-in model gives in float64.
 *
 *     test-selftest-reference             compares
 *     test-selftest-reference --print     prints tools/selftest_reference.c, for a new built-in model */
#include <math.h>

#include "default_model.h"
#include "reference_vit.h"
#include "selftest_reference.h"
#include "test.h"

static void print(const double *cls) {
    printf("#include \"selftest_reference.h\"\n\n"
           "/* Colours that shift slowly, stripes, and an edge where the remainder starts again. */\n"
           "void selftest_make_pixels(float *pixels) {\n"
           "    for (int channel = 0; channel < 3; channel++)\n"
           "        for (int y = 0; y < SELFTEST_SIDE; y++)\n"
           "            for (int x = 0; x < SELFTEST_SIDE; x++)\n"
           "                *pixels++ = (float)((x * (channel + 3) + y * (5 - channel) + (x * y >> 4)) %% 256 - 128) / "
           "64.0f;\n"
           "}\n\n"
           "const float selftest_reference[SELFTEST_FEATURES] = {\n");
    for (int i = 0; i < SELFTEST_FEATURES; i++)
        printf("%s%.9gf,%s", i % 6 ? " " : "    ", cls[i], i % 6 == 5 ? "\n" : "");
    printf("};\n");
}

int main(int count, char **arguments) {
    const dvk_model_params params = {.config_json = dvk_default_model_config,
                                     .config_json_size = dvk_default_model_config_size,
                                     .preprocessor_json = dvk_default_model_preprocessor,
                                     .preprocessor_json_size = dvk_default_model_preprocessor_size,
                                     .safetensors = dvk_default_model_safetensors,
                                     .safetensors_size = dvk_default_model_safetensors_size,
                                     .name = "the built-in model"};
    static float pixels[3 * SELFTEST_SIDE * SELFTEST_SIDE];
    dvk_checkpoint checkpoint;
    dvk_error error;
    REQUIRE(dvk_checkpoint_open(&params, &checkpoint, &error) == DVK_OK);
    REQUIRE(checkpoint.config.hidden_size == SELFTEST_FEATURES);
    selftest_make_pixels(pixels);
    reference_vit vit = reference_vit_run(&checkpoint, pixels, SELFTEST_SIDE, SELFTEST_SIDE, 0.0);
    if (count > 1 && !strcmp(arguments[1], "--print")) {
        print(vit.last_hidden_state);
        return 0;
    }
    double difference = 0.0, norm = 0.0;
    for (int i = 0; i < SELFTEST_FEATURES; i++) {
        difference += pow(vit.last_hidden_state[i] - (double)selftest_reference[i], 2.0);
        norm += pow(vit.last_hidden_state[i], 2.0);
    }
    /* A float is off by at most 2^-24 of itself. */
    CHECK_MESSAGE(sqrt(difference / norm) <= 0x1p-24,
                  "the table is %.2g away: it is of another model; --print gives the new one", sqrt(difference / norm));
    reference_vit_free(&vit);
    dvk_checkpoint_close(&checkpoint);
    return FINISH();
}
