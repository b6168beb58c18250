/* Every member of the family in the ways that its references do not show: batches, split ops, both classes of
 * variants, each output alone, outputs that it does not have, and heads that no reference covers. */
#include "checkpoint.h"
#include "device.h"
#include "session.h"
#include "synth.h"

#include <math.h>

enum { BATCH = 12, CAPACITY = 1 << 14, WIDTH = 84, HEIGHT = 56 }; /* whole patches of 14 and of 16, and half ones */

static const char *const models[] = {"vit-cls-tiny",      "deit-distilled-tiny", "ijepa-cls-tiny",  "vitmsn-tiny",
                                     "dinov2-cls-tiny",   "dinov2-swiglu-tiny",  "dinov2-reg-tiny", "dinov3-tiny",
                                     "dinov3-gated-tiny", "clip-tiny",           "siglip-tiny"};

static float pixels[BATCH][3 * WIDTH * HEIGHT]; /* pseudo-random, in the range that normalised images have */

static void fill_pixels(void) {
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof(pixels) / sizeof(float); i++) {
        state = state * 1664525u + 1013904223u;
        (&pixels[0][0])[i] = (float)(state >> 8) / 8388608.0f * 2.0f - 2.0f;
    }
}

static uint32_t outputs_of(const dvk_model_info *info) {
    uint32_t outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_LAST_HIDDEN_STATE) | DVK_OUTPUT_BIT(DVK_OUTPUT_PATCHES) |
                       DVK_OUTPUT_BIT(DVK_OUTPUT_MEAN);
    if (info->has_cls)
        outputs |= DVK_OUTPUT_BIT(DVK_OUTPUT_CLS) | DVK_OUTPUT_BIT(DVK_OUTPUT_ATTENTION);
    if (info->has_pooler)
        outputs |= DVK_OUTPUT_BIT(DVK_OUTPUT_POOLED);
    if (info->label_count)
        outputs |= DVK_OUTPUT_BIT(DVK_OUTPUT_LOGITS);
    if (info->embedding_size)
        outputs |= DVK_OUTPUT_BIT(DVK_OUTPUT_EMBEDDING);
    return outputs;
}

static dvk_session *open_session(dvk_model *model, uint32_t batch, uint32_t outputs) {
    dvk_session *session = NULL;
    dvk_error error;
    const dvk_session_params params = {.batch = batch, .width = WIDTH, .height = HEIGHT, .outputs = outputs};
    dvk_result result = dvk_session_create(model, &params, &session, &error);
    if (result != DVK_OK)
        printf("dvk_session_create: %s\n", error.message);
    REQUIRE(result == DVK_OK);
    return session;
}

static size_t read_one(const dvk_session *session, dvk_output output, uint32_t index, float *values) {
    uint32_t shape[2] = {1, 1};
    uint32_t rank = dvk_session_shape(session, output, shape);
    size_t count = rank == 2 ? (size_t)shape[0] * shape[1] : rank ? shape[0] : 0;
    REQUIRE(count <= CAPACITY);
    if (count)
        CHECK(dvk_session_read(session, output, index, values, count, NULL) == DVK_OK);
    return count;
}

/* Runs `count` images, and compares every output's bits with those of `whole`, the first image's being at `first`. */
static void compare(dvk_session *session, const dvk_session *whole, uint32_t first, uint32_t count, const char *what) {
    static float expected[CAPACITY], found[CAPACITY];
    CHECK(dvk_session_run(session, pixels[first], count, NULL) == DVK_OK);
    for (uint32_t i = 0; i < count; i++)
        for (int output = 0; output < DVK_OUTPUT_COUNT; output++) {
            size_t size = read_one(session, (dvk_output)output, i, found);
            if (size)
                CHECK_MESSAGE(read_one(whole, (dvk_output)output, first + i, expected) == size &&
                                  memcmp(found, expected, size * sizeof(float)) == 0,
                              "%s: output %d of image %u", what, output, first + i);
        }
}

static void test_alone(dvk_model *model, const dvk_session *whole, uint32_t outputs) {
    dvk_session *one = open_session(model, 1, outputs);
    compare(one, whole, 5, 1, "one image");
    dvk_session_destroy(&one);
    for (int output = 0; output < DVK_OUTPUT_COUNT; output++)
        if (outputs & DVK_OUTPUT_BIT(output)) {
            one = open_session(model, 1, DVK_OUTPUT_BIT(output));
            compare(one, whole, 3, 1, "one output");
            dvk_session_destroy(&one);
        }
}

/* Whether an image's rows begin at offsets that the device can bind; SwiftShader wants multiples of 256, llvmpipe
 * of 16. */
static bool images_can_be_bound(const dvk_model *model, const dvk_session *session) {
    const uint64_t alignment = model->context->limits.minStorageBufferOffsetAlignment;
    const uint64_t patch = model->config.patch_size, depth = (3 * patch * patch + 3) / 4 * 4;
    const uint64_t row = 4ull * session->plan.tokens;
    return row * depth % alignment == 0 && row * model->config.hidden_size % alignment == 0;
}

/* The device binds no more than the widest matrix, so ops are split; the bits stay. */
static void test_split(dvk_model *model, const dvk_session *whole, uint32_t outputs) {
    dvk_context *context = model->context;
    uint32_t range = context->limits.maxStorageBufferRange, widest = 0;
    for (uint32_t i = 0; i < whole->plan.op_count; i++)
        for (uint32_t j = 0; j < whole->plan.ops[i].binding_count; j++) {
            const dvk_binding *binding = &whole->plan.ops[i].bindings[j];
            if (binding->buffer >= DVK_PLAN_WEIGHTS && binding->size > widest)
                widest = (uint32_t)binding->size;
        }
    context->limits.maxStorageBufferRange = widest;
    dvk_session *split = NULL;
    dvk_error error;
    const dvk_session_params params = {.batch = BATCH, .width = WIDTH, .height = HEIGHT, .outputs = outputs};
    dvk_result result = dvk_session_create(model, &params, &split, &error);
    context->limits.maxStorageBufferRange = range;
    if (result == DVK_ERROR_UNSUPPORTED && !images_can_be_bound(model, whole)) {
        CHECK_MESSAGE(strstr(error.message, "at a multiple of"), "%s", error.message);
        return;
    }
    REQUIRE(result == DVK_OK);
    CHECK_MESSAGE(split->plan.op_count > whole->plan.op_count, "%u ops", split->plan.op_count);
    compare(split, whole, 0, BATCH, "split");
    dvk_session_destroy(&split);
}

/* Each class is within 5e-6 of the truth (the bar of the golden tests). */
static void test_other_class(dvk_model *model, const dvk_session *whole, uint32_t outputs) {
    static float expected[CAPACITY], found[CAPACITY];
    dvk_context *context = model->context;
    dvk_device_class own = context->device_class;
    context->device_class = own == DVK_CLASS_GPU ? DVK_CLASS_SOFTWARE : DVK_CLASS_GPU;
    dvk_session *other = open_session(model, 1, outputs);
    context->device_class = own;
    CHECK(dvk_session_run(other, pixels[1], 1, NULL) == DVK_OK);
    for (int output = 0; output < DVK_OUTPUT_COUNT; output++) {
        size_t size = read_one(other, (dvk_output)output, 0, found);
        double difference = 0, norm = 0;
        if (!size)
            continue;
        read_one(whole, (dvk_output)output, 1, expected);
        for (size_t i = 0; i < size; i++) {
            difference += ((double)found[i] - expected[i]) * ((double)found[i] - expected[i]);
            norm += (double)expected[i] * expected[i];
        }
        CHECK_MESSAGE(sqrt(difference / norm) <= 1e-5, "output %d: %g", output, sqrt(difference / norm));
    }
    dvk_session_destroy(&other);
}

static void refuse(dvk_model *model, dvk_output output, const char *words) {
    dvk_session *session = NULL;
    dvk_error error = {.code = DVK_OK};
    const dvk_session_params params = {.outputs = DVK_OUTPUT_BIT(output)};
    CHECK(dvk_session_create(model, &params, &session, &error) == DVK_ERROR_UNSUPPORTED && !session);
    CHECK_MESSAGE(strstr(error.message, words), "%s", error.message);
}

static void test_refused(dvk_model *model) {
    const dvk_model_info *info = dvk_model_get_info(model);
    if (!info->has_cls) {
        refuse(model, DVK_OUTPUT_CLS, "has no CLS token");
        refuse(model, DVK_OUTPUT_ATTENTION, "has no CLS token");
    }
    if (!info->has_pooler)
        refuse(model, DVK_OUTPUT_POOLED, "has no pooler");
    if (!info->label_count)
        refuse(model, DVK_OUTPUT_LOGITS, "has no classifier");
    if (!info->embedding_size)
        refuse(model, DVK_OUTPUT_EMBEDDING, "has no projection");
    /* What is asked for where nothing is. */
    dvk_session *session = open_session(model, 1, 0);
    uint32_t shape[2];
    CHECK(dvk_session_shape(session, info->has_cls ? DVK_OUTPUT_CLS : DVK_OUTPUT_MEAN, shape) == 1);
    dvk_session_destroy(&session);
    CHECK(!dvk_model_label(model, info->label_count));
    if (info->label_count)
        CHECK(!strcmp(dvk_model_label(model, 3), "LABEL_3"));
}

/* Logits from the features that were read, in double, with the classifier as the generator makes it: of the mean alone,
 * or of CLS and the mean. A sum of K products of float32 features is off by a few roundings of its terms: 1e-5 of the
 * largest logit is a hundred of them. */
static void test_classifier(const dvk_session *session, bool cls) {
    enum { LABELS = 7, SIZE = 64 };
    static float features[2 * SIZE], weight[LABELS * 2 * SIZE], bias[LABELS], logits[LABELS];
    const uint32_t inputs = cls ? 2 * SIZE : SIZE;
    if (cls)
        REQUIRE(read_one(session, DVK_OUTPUT_CLS, 0, features) == SIZE);
    REQUIRE(read_one(session, DVK_OUTPUT_MEAN, 0, features + inputs - SIZE) == SIZE);
    REQUIRE(read_one(session, DVK_OUTPUT_LOGITS, 0, logits) == LABELS);
    synth_tensor("classifier.weight", LABELS, (uint64_t)LABELS * inputs, 2, weight);
    synth_tensor("classifier.bias", LABELS, LABELS, 2, bias);
    for (uint32_t label = 0; label < LABELS; label++) {
        double expected = bias[label], terms = fabs(expected);
        for (uint32_t i = 0; i < inputs; i++) {
            expected += (double)weight[label * inputs + i] * features[i];
            terms += fabs((double)weight[label * inputs + i] * features[i]);
        }
        CHECK_MESSAGE(fabs(logits[label] - expected) <= 1e-5 * terms, "label %u: %.9g, expected %.9g", label,
                      (double)logits[label], expected);
    }
}

static void test_model(dvk_context *context, const char *name) {
    char directory[64];
    dvk_error error;
    dvk_model *model = NULL;
    snprintf(directory, sizeof(directory), "families-%s", name);
    REQUIRE(synth_write_model(name, directory, NULL));
    dvk_result result = dvk_model_load(context, &(dvk_model_params){.path = directory}, &model, &error);
    if (result != DVK_OK)
        printf("%s: %s\n", name, error.message);
    REQUIRE(result == DVK_OK);
    const uint32_t outputs = outputs_of(dvk_model_get_info(model));
    dvk_session *whole = open_session(model, BATCH, outputs);
    CHECK(dvk_session_run(whole, pixels[0], BATCH, NULL) == DVK_OK);
    printf("%s: %u tokens, %u ops\n", name, whole->plan.tokens, whole->plan.op_count);
    test_alone(model, whole, outputs);
    test_split(model, whole, outputs);
    test_other_class(model, whole, outputs);
    test_refused(model);
    if (strstr(name, "ijepa") || strstr(name, "dinov2-cls"))
        test_classifier(whole, strstr(name, "dinov2") != NULL);
    dvk_session_destroy(&whole);
    dvk_model_destroy(&model);
}

int main(void) {
    dvk_context *context = test_open_context(NULL);
    fill_pixels();
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
        test_model(context, models[i]);
    test_close_context(&context);
    return FINISH();
}
