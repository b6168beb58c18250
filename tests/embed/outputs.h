/* A small model's outputs, all of them, as one array: what the tests compare bit by bit. */
#ifndef DVK_TEST_OUTPUTS_H_
#define DVK_TEST_OUTPUTS_H_

#include "dino_vk.h"
#include "test.h"

enum {
    IMAGE_SIZE = 32,
    IMAGE_FLOATS = 3 * IMAGE_SIZE * IMAGE_SIZE,
    ALL_OUTPUTS = (1 << DVK_OUTPUT_LOGITS) - 1, /* a ViTModel has no others */
    MAX_FEATURES = 8192
};

/* Pseudo-random, in the range that normalised images have; another `seed`, another image. */
static inline void make_pixels(uint32_t seed, float *pixels, size_t count) {
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        pixels[i] = (float)(state >> 8) / 8388608.0f * 2.0f - 2.0f;
    }
}

/* Returns how many floats were written. */
static inline size_t read_features(const dvk_session *session, uint32_t slot, uint32_t image, float *values) {
    size_t used = 0;
    for (int output = 0; output < DVK_OUTPUT_COUNT; output++) {
        uint32_t shape[2] = {1, 1};
        if (!dvk_session_shape(session, (dvk_output)output, shape))
            continue;
        size_t count = (size_t)shape[0] * shape[1];
        dvk_error error = {DVK_OK, ""};
        dvk_result result =
            dvk_session_read_slot(session, slot, (dvk_output)output, image, values + used, MAX_FEATURES - used, &error);
        CHECK_MESSAGE(result == DVK_OK, "output %d: %s", output, error.message);
        used += count;
    }
    return used;
}

static inline dvk_model *load_model(dvk_context *context, const char *path) {
    dvk_model *model = NULL;
    dvk_error error;
    if (dvk_model_load(context, &(dvk_model_params){.path = path}, &model, &error) != DVK_OK) {
        printf("dvk_model_load: %s\n", error.message);
        exit(1);
    }
    return model;
}

static inline dvk_session *open_session(dvk_model *model, dvk_session_params params) {
    dvk_session *session = NULL;
    dvk_error error;
    if (dvk_session_create(model, &params, &session, &error) != DVK_OK) {
        printf("dvk_session_create: %s\n", error.message);
        exit(1);
    }
    return session;
}

#endif
