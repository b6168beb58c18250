/* Patch embeddings that read the pixels themselves: the bits of those that read patches which were written out, one op
 * less, and how they are split. On whatever device, with the variants meant for GPUs. */
#include "device.h"
#include "session.h"
#include "synth.h"

enum { BATCH = 5, CAPACITY = 1 << 14, WIDTH = 104, HEIGHT = 72, MAX_TABLE = 256 };

static float pixels[BATCH * 3 * WIDTH * HEIGHT]; /* pseudo-random, in the range that normalised images have */

static void fill_pixels(void) {
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof(pixels) / sizeof(float); i++) {
        state = state * 1664525u + 1013904223u;
        pixels[i] = (float)(state >> 8) / 8388608.0f * 2.0f - 2.0f;
    }
}

/* The same variants, as if none could read pixels. */
static const dvk_variant *without_pixels(void) {
    static dvk_variant table[MAX_TABLE];
    REQUIRE(dvk_variant_count <= MAX_TABLE);
    for (size_t i = 0; i < dvk_variant_count; i++) {
        table[i] = dvk_variants[i];
        table[i].reads_pixels = false;
    }
    return table;
}

static dvk_session *open_session(dvk_model *model, uint32_t batch, uint32_t width, bool read_pixels) {
    dvk_choices *choices = model->context->choices;
    const dvk_session_params params = {
        .batch = batch, .width = width, .height = HEIGHT, .outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_LAST_HIDDEN_STATE)};
    dvk_session *session = NULL;
    dvk_error error = {0};
    choices->table = read_pixels ? dvk_variants : without_pixels();
    dvk_result result = dvk_session_create(model, &params, &session, &error);
    choices->table = dvk_variants;
    CHECK_MESSAGE(result == DVK_OK, "%s", error.message);
    REQUIRE(result == DVK_OK);
    return session;
}

static uint32_t count_ops(const dvk_session *session, dvk_kernel kernel) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < session->plan.op_count; i++)
        count += session->plan.ops[i].use.kernel == kernel;
    return count;
}

static void check_same_bits(dvk_session *one, dvk_session *other, const char *what) {
    static float first[CAPACITY], second[CAPACITY];
    const uint32_t batch = one->plan.batch;
    uint32_t shape[2];
    CHECK_OK(dvk_session_run(one, pixels, batch, &error_));
    CHECK_OK(dvk_session_run(other, pixels, batch, &error_));
    REQUIRE(dvk_session_shape(one, DVK_OUTPUT_LAST_HIDDEN_STATE, shape) == 2);
    const size_t count = (size_t)shape[0] * shape[1];
    REQUIRE(count <= CAPACITY);
    for (uint32_t i = 0; i < batch; i++) {
        CHECK_OK(dvk_session_read(one, DVK_OUTPUT_LAST_HIDDEN_STATE, i, first, count, &error_));
        CHECK_OK(dvk_session_read(other, DVK_OUTPUT_LAST_HIDDEN_STATE, i, second, count, &error_));
        CHECK_MESSAGE(memcmp(first, second, count * sizeof(float)) == 0, "%s: image %u of %u has other bits", what, i,
                      batch);
    }
}

/* 104 pixels are whole patches of 8, and 8 more than whole patches of 16; 102 are no multiple of 4, and 14 is none, so
 * that patches must be written out there. */
static void test_model(dvk_context *context, const char *name) {
    char path[64];
    snprintf(path, sizeof(path), "patches-%s", name);
    REQUIRE(synth_write_model(name, path, NULL));
    dvk_model *model = NULL;
    CHECK_OK(dvk_model_load(context, &(dvk_model_params){.path = path}, &model, &error_));
    REQUIRE(model != NULL);
    for (uint32_t width = WIDTH - 2; width <= WIDTH; width += 2)
        for (uint32_t batch = 1; batch <= BATCH; batch += BATCH - 1) {
            const bool can = width % 4 == 0 && model->config.patch_size % 4 == 0;
            dvk_session *direct = open_session(model, batch, width, true);
            dvk_session *written = open_session(model, batch, width, false);
            CHECK(count_ops(written, DVK_KERNEL_PATCHIFY) == 1);
            CHECK_MESSAGE(count_ops(direct, DVK_KERNEL_PATCHIFY) == !can, "%s, %u pixels wide", name, width);
            CHECK(direct->plan.op_count + can == written->plan.op_count);
            CHECK(count_ops(direct, DVK_KERNEL_MATMUL) == count_ops(written, DVK_KERNEL_MATMUL));
            check_same_bits(direct, written, name);
            dvk_session_destroy(&direct);
            dvk_session_destroy(&written);
        }
    dvk_model_destroy(&model);
}

/* A device that binds one image but not two. */
static void test_images_apart(dvk_context *context) {
    const uint32_t range = context->limits.maxStorageBufferRange;
    dvk_model *model = NULL;
    CHECK_OK(dvk_model_load(context, &(dvk_model_params){.path = "patches-vit-tiny"}, &model, &error_));
    REQUIRE(model != NULL);
    dvk_session *whole = open_session(model, BATCH, WIDTH, true);
    context->limits.maxStorageBufferRange = 12 * WIDTH * HEIGHT + 4096;
    dvk_session *split = open_session(model, BATCH, WIDTH, true);
    context->limits.maxStorageBufferRange = range;
    CHECK(count_ops(split, DVK_KERNEL_PATCHIFY) == 0);
    for (uint32_t i = 0; i < BATCH; i++) {
        const dvk_binding *binding = &split->plan.ops[i].bindings[0];
        CHECK(binding->buffer == DVK_PLAN_PIXELS && binding->offset == i * split->plan.pixel_stride);
    }
    check_same_bits(split, whole, "split by images");
    dvk_session_destroy(&whole);
    dvk_session_destroy(&split);
    dvk_model_destroy(&model);
}

/* The plan alone, of a model whose tokens are wider than their patches, on a device that binds the pixels of all images
 * but the tokens of one: rows are split wherever. */
static void test_rows_apart(dvk_context *context) {
    enum { IMAGES = 4, SIDE = 64, TOKENS = 1 + SIDE / 8 * (SIDE / 8), COLUMNS = 1024, STEP = TOKENS + 7 };
    dvk_model *model = NULL;
    CHECK_OK(dvk_model_load(context, &(dvk_model_params){.path = "patches-vit-tiny"}, &model, &error_));
    REQUIRE(model != NULL);
    dvk_vit_config config = model->config;
    config.hidden_size = COLUMNS;
    config.head_dim = COLUMNS / config.heads;
    config.mlp_size = 4 * COLUMNS;
    config.layers = 0;
    dvk_plan plan = {0};
    const dvk_plan_request request = {.allocator = &context->allocator,
                                      .config = &config,
                                      .weights = &model->weights,
                                      .context = context,
                                      .batch = IMAGES,
                                      .width = SIDE,
                                      .height = SIDE,
                                      .outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_LAST_HIDDEN_STATE),
                                      .max_range = STEP * 4 * COLUMNS,
                                      .offset_alignment = 256};
    CHECK_OK(dvk_plan_create(&request, &plan, &error_));
    uint32_t done = 0;
    for (uint32_t i = 0; done < IMAGES * TOKENS; i++) {
        REQUIRE(i < plan.op_count && plan.ops[i].use.kernel == DVK_KERNEL_MATMUL);
        const dvk_push_matmul *push = &plan.ops[i].push.matmul;
        const dvk_binding *in = &plan.ops[i].bindings[0], *out = &plan.ops[i].bindings[3];
        CHECK(in->offset == 0 && in->size == IMAGES * 12 * SIDE * SIDE);
        CHECK(out->offset == 4ull * COLUMNS * done && out->size == 4ull * COLUMNS * push->rows);
        CHECK(push->first_row == done && push->table_rows == TOKENS && push->rows <= STEP);
        done += push->rows;
    }
    CHECK(done == IMAGES * TOKENS);
    dvk_plan_free(&plan);
    dvk_model_destroy(&model);
}

int main(void) {
    dvk_context *context = test_open_context(NULL);
    fill_pixels();
    context->device_class = DVK_CLASS_GPU;
    test_model(context, "vit-tiny");    /* patches of 8, CLS */
    test_model(context, "dinov3-tiny"); /* of 16, CLS and registers */
    test_model(context, "siglip-tiny"); /* nothing before them */
    test_model(context, "clip-tiny");   /* a norm follows */
    test_model(context, "dinov2-tiny"); /* of 14 */
    test_images_apart(context);
    test_rows_apart(context);
    test_close_context(&context);
    return FINISH();
}
