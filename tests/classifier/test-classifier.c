/* Linear classifiers in files of their own, on a model of five layers, against the whole model in double: all numbers
 * of features, and both projects' names and orders. And what is refused. */
#define TEST_OF_SEVERAL_FILES
#include <math.h>
#include <sys/stat.h>

#include "device.h"
#include "random.h"
#include "reference_vit.h"
#include "session.h"
#include "synth.h"
#include "torch_writer.h"

int test_failures_, test_checks_;

enum { SIZE = 64, LAYERS = 5, SIDE = 32, BATCH = 2, CLASSES = 7, MOST = 5 * SIZE, MAX_TENSORS = 256 };

static float pixels[BATCH][3 * SIDE * SIDE], weight[CLASSES * MOST], bias[CLASSES];

/* From -1 to 1. */
static void fill(float *values, size_t count, uint64_t state) {
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(int32_t)(random_next(&state) >> 32) * 0x1p-31f;
}

/* vit-tiny with its two layers in turns. */
static void make_deep_model(void) {
    static dvk_tensor tensors[MAX_TENSORS];
    static char names[MAX_TENSORS][96];
    size_t count = 0;
    dvk_checkpoint tiny;
    REQUIRE(synth_write_model("vit-tiny", "shallow", NULL) && synth_write_model("vit-tiny", "deep", NULL));
    remove("deep/model.safetensors");
    REQUIRE(dvk_checkpoint_open(&(dvk_model_params){.path = "shallow"}, &tiny, NULL) == DVK_OK);
    for (size_t i = 0; i < tiny.file.count; i++) {
        uint32_t layer = 0;
        int length = 0;
        const dvk_tensor *tensor = &tiny.file.tensors[i];
        bool of_layer = sscanf(tensor->name, "encoder.layer.%u.%n", &layer, &length) == 1 && length;
        for (uint32_t copy = layer; copy < (of_layer ? LAYERS : layer + 1); copy += 2) {
            REQUIRE(count < MAX_TENSORS);
            snprintf(names[count], sizeof(names[0]), "%s", tensor->name);
            if (of_layer)
                snprintf(names[count], sizeof(names[0]), "encoder.layer.%u.%s", copy, tensor->name + length);
            tensors[count] = *tensor;
            tensors[count].name = names[count];
            count++;
        }
    }
    blob file = make_torch(tensors, count, &(torch_options){0});
    write_blob("deep", "pytorch_model.bin", file.bytes, file.size);
    blob config = read_blob("deep", "config.json");
    char *changed = replaced((const char *)config.bytes, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 5");
    write_blob("deep", "config.json", changed, strlen(changed));
    free(changed);
    free_blob(&config);
    free_blob(&file);
    dvk_checkpoint_close(&tiny);
}

/* columns 0: a vector. */
static dvk_tensor describe(const char *name, uint64_t rows, uint64_t columns, const float *values) {
    const uint64_t elements = rows * (columns ? columns : 1);
    return (dvk_tensor){.name = name,
                        .dtype = DVK_DTYPE_F32,
                        .dtype_name = "F32",
                        .rank = columns ? 2 : 1,
                        .shape = {rows, columns},
                        .elements = elements,
                        .data = values,
                        .bytes = 4 * elements};
}

static void write_tensors(const char *name, const char *wrapper, const dvk_tensor *weights, const dvk_tensor *biases) {
    const dvk_tensor tensors[] = {*weights, *biases};
    blob file = make_torch(tensors, 2, &(torch_options){.wrappers = {wrapper}});
    write_blob(".", name, file.bytes, file.size);
    free_blob(&file);
}

static void write_classifier(const char *name, const char *prefix, bool wrapped, uint32_t features,
                             const float *values) {
    char names[2][64];
    snprintf(names[0], sizeof(names[0]), "%sweight", prefix);
    snprintf(names[1], sizeof(names[1]), "%sbias", prefix);
    const dvk_tensor weights = describe(names[0], CLASSES, features, values),
                     biases = describe(names[1], CLASSES, 0, bias);
    write_tensors(name, wrapped ? "state_dict" : NULL, &weights, &biases);
}

/* ---------------------------------------------------------------------------------------------- the truth */

static void normalise(const dvk_checkpoint *checkpoint, const double *in, double *out) {
    float scale[SIZE], shift[SIZE];
    double mean = 0, variance = 0;
    dvk_tensor_to_float(checkpoint->final_norm.weight, 0, SIZE, scale);
    dvk_tensor_to_float(checkpoint->final_norm.bias, 0, SIZE, shift);
    for (int i = 0; i < SIZE; i++)
        mean += in[i] / SIZE;
    for (int i = 0; i < SIZE; i++)
        variance += (in[i] - mean) * (in[i] - mean) / SIZE;
    for (int i = 0; i < SIZE; i++)
        out[i] = (in[i] - mean) / sqrt(variance + (double)checkpoint->config.layer_norm_eps) * (double)scale[i] +
                 (double)shift[i];
}

/* `last` CLS tokens, and behind them the mean. */
static void find_features(const dvk_checkpoint *checkpoint, const reference_vit *vit, uint32_t last, double *features) {
    for (uint32_t i = 0; i < last; i++)
        normalise(checkpoint, vit->hidden[LAYERS + 1 - last + i], features + i * SIZE);
    for (uint32_t c = 0; c < SIZE; c++) {
        features[last * SIZE + c] = 0;
        for (uint32_t token = 1; token < vit->tokens; token++)
            features[last * SIZE + c] += vit->last_hidden_state[token * SIZE + c] / (vit->tokens - 1);
    }
}

/* `pairs`: CLS and the mean channel by channel. */
static double error_of(const double *features, uint32_t count, bool pairs, const float *logits) {
    double difference = 0, norm = 0;
    for (uint32_t label = 0; label < CLASSES; label++) {
        double expected = (double)bias[label];
        for (uint32_t i = 0; i < count; i++)
            expected += (double)weight[label * count + i] * features[pairs ? i % 2 * SIZE + i / 2 : i];
        difference += (expected - (double)logits[label]) * (expected - (double)logits[label]);
        norm += expected * expected;
    }
    return sqrt(difference / norm);
}

/* ------------------------------------------------------------------------------------------------ the runs */

static dvk_model *load(dvk_context *context, const char *path, const char *classifier) {
    dvk_model *model = NULL;
    dvk_error error = {0};
    dvk_result result =
        dvk_model_load(context, &(dvk_model_params){.path = path, .classifier_path = classifier}, &model, &error);
    CHECK_MESSAGE(result == DVK_OK, "%s", error.message);
    REQUIRE(model);
    return model;
}

static dvk_session *open_session(dvk_model *model, uint32_t batch, uint32_t outputs) {
    dvk_session *session = NULL;
    const dvk_session_params params = {.batch = batch, .width = SIDE, .height = SIDE, .outputs = outputs};
    REQUIRE(dvk_session_create(model, &params, &session, NULL) == DVK_OK);
    return session;
}

typedef struct feature_case {
    const char *prefix;
    bool wrapped;
    uint32_t last;
    bool mean, pairs;
} feature_case;

/* The bar is that of the golden tests: logits are as good as the features that they are sums of. */
static void test_case(dvk_context *context, const reference_vit *vits, const feature_case *c) {
    const uint32_t count = (c->last + c->mean) * SIZE;
    dvk_checkpoint checkpoint;
    REQUIRE(dvk_checkpoint_open(&(dvk_model_params){.path = "deep"}, &checkpoint, NULL) == DVK_OK);
    write_classifier("head.pth", c->prefix, c->wrapped, count, weight);
    dvk_model *plain = load(context, "deep", NULL), *model = load(context, "deep", "head.pth");
    CHECK(dvk_model_get_info(model)->label_count == CLASSES && !dvk_model_label(model, 0));
    CHECK(dvk_model_get_info(model)->parameters ==
          dvk_model_get_info(plain)->parameters + (uint64_t)CLASSES * (count + 1));

    const uint32_t logits = DVK_OUTPUT_BIT(DVK_OUTPUT_LOGITS), cls = DVK_OUTPUT_BIT(DVK_OUTPUT_CLS);
    dvk_session *both = open_session(model, BATCH, logits | cls), *one = open_session(model, 1, logits);
    CHECK(dvk_session_run(both, pixels[0], BATCH, NULL) == DVK_OK);
    for (uint32_t i = 0; i < BATCH; i++) {
        float found[CLASSES], alone[CLASSES];
        double features[MOST + SIZE];
        CHECK(dvk_session_read(both, DVK_OUTPUT_LOGITS, i, found, CLASSES, NULL) == DVK_OK);
        CHECK(dvk_session_run(one, pixels[i], 1, NULL) == DVK_OK);
        CHECK(dvk_session_read(one, DVK_OUTPUT_LOGITS, 0, alone, CLASSES, NULL) == DVK_OK);
        CHECK_MESSAGE(!memcmp(found, alone, sizeof(found)), "image %u alone has other bits", i);
        find_features(&checkpoint, &vits[i], c->last, features);
        const double error = error_of(features, count, c->pairs, found);
        printf("%s %u CLS%s: %.2e\n", c->prefix, c->last, c->mean ? " and the mean" : "", error);
        CHECK_MESSAGE(error <= 5e-6, "image %u: %.2e", i, error);
    }
    dvk_session_destroy(&one);
    dvk_session_destroy(&both);

    /* Who asks for no logits pays nothing. */
    dvk_session *without = open_session(model, 1, cls), *expected = open_session(plain, 1, cls);
    CHECK(without->plan.op_count == expected->plan.op_count);
    dvk_session_destroy(&without);
    dvk_session_destroy(&expected);
    dvk_model_destroy(&model);
    dvk_model_destroy(&plain);
    dvk_checkpoint_close(&checkpoint);
}

static void test_logits(dvk_context *context) {
    static const feature_case cases[] = {
        {"", false, 1, false, false},
        {"", false, 1, true, false},
        {"", false, 4, false, false},
        {"", false, 4, true, false},
        {"module.linear.", true, 1, false, false},
        {"module.linear.", true, 1, true, true},
        {"linear.", true, 4, false, false},
    };
    reference_vit vits[BATCH];
    dvk_checkpoint checkpoint;
    REQUIRE(dvk_checkpoint_open(&(dvk_model_params){.path = "deep"}, &checkpoint, NULL) == DVK_OK);
    for (uint32_t i = 0; i < BATCH; i++)
        vits[i] = reference_vit_run(&checkpoint, pixels[i], SIDE, SIDE, 0.0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        test_case(context, vits, &cases[i]);
    for (uint32_t i = 0; i < BATCH; i++)
        reference_vit_free(&vits[i]);
    dvk_checkpoint_close(&checkpoint);
}

/* ----------------------------------------------------------------------------------------------- refusals */

static void refuse(const char *path, const char *classifier, dvk_result expected, const char *words) {
    dvk_model *model = NULL;
    dvk_error error = {.code = DVK_OK};
    dvk_result result =
        dvk_model_load(NULL, &(dvk_model_params){.path = path, .classifier_path = classifier}, &model, &error);
    CHECK_MESSAGE(result == expected && !model, "%s: %s", path, dvk_result_name(result));
    CHECK_MESSAGE(strstr(error.message, words), "%s", error.message);
}

static void test_refused(void) {
    write_classifier("4.pth", "", false, 4 * SIZE, weight);
    write_classifier("3.pth", "", false, 3 * SIZE, weight);
    write_classifier("odd.pth", "", false, SIZE + 1, weight);
    write_classifier("other.pth", "fc.", false, SIZE, weight);
    REQUIRE(synth_write_model("vit-cls-tiny", "classifies", NULL) && synth_write_model("ijepa-tiny", "no-cls", NULL));
    REQUIRE(synth_write_model("clip-tiny", "projects", NULL));
    refuse("deep", "3.pth", DVK_ERROR_UNSUPPORTED, "3.pth reads 192 features, but deep has 64 channels");
    refuse("deep", "odd.pth", DVK_ERROR_UNSUPPORTED, "reads 65 features");
    refuse("shallow", "4.pth", DVK_ERROR_UNSUPPORTED, "reads the last 4 layers, but shallow has 2");
    refuse("classifies", "4.pth", DVK_ERROR_UNSUPPORTED, "has a head of its own");
    refuse("projects", "4.pth", DVK_ERROR_UNSUPPORTED, "has a head of its own");
    refuse("no-cls", "4.pth", DVK_ERROR_UNSUPPORTED, "has no CLS token");
    refuse("deep", "other.pth", DVK_ERROR_UNSUPPORTED, "holds 2 of other names");
    refuse("deep", "deep/pytorch_model.bin", DVK_ERROR_UNSUPPORTED, "is no classifier");
    refuse("deep", "deep/config.json", DVK_ERROR_UNSUPPORTED, "is no classifier");
    refuse("deep", "missing.pth", DVK_ERROR_IO, "missing.pth");
    refuse("4.pth", NULL, DVK_ERROR_UNSUPPORTED, "give this one as its classifier");

    const dvk_tensor weights = describe("weight", CLASSES, SIZE, weight), flat = describe("weight", CLASSES, 0, weight);
    const dvk_tensor biases = describe("bias", CLASSES, 0, bias), few = describe("bias", CLASSES - 1, 0, bias);
    write_tensors("flat.pth", NULL, &flat, &biases);
    refuse("deep", "flat.pth", DVK_ERROR_BAD_FILE, "found a weight of 1 dimension(s), 7 rows");
    write_tensors("few.pth", NULL, &weights, &few);
    refuse("deep", "few.pth", DVK_ERROR_BAD_FILE, "a weight of 2 dimension(s), 7 rows, and a bias of 1, 6");

    static float damaged[CLASSES * SIZE];
    memcpy(damaged, weight, sizeof(damaged));
    damaged[SIZE] = NAN;
    write_classifier("damaged.pth", "", false, SIZE, damaged);
    refuse("deep", "damaged.pth", DVK_ERROR_BAD_FILE, "damaged.pth: tensor weight holds NaN");
}

int main(void) {
    fill(&pixels[0][0], sizeof(pixels) / sizeof(float), 1);
    fill(weight, sizeof(weight) / sizeof(float), 2);
    fill(bias, CLASSES, 3);
    make_deep_model();
    test_refused();
    dvk_context *context = test_open_context(NULL);
    test_logits(context);
    test_close_context(&context);
    return FINISH();
}
