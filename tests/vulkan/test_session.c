/* Sessions on a device: determinism, batches, splits, limits, misuse, and that the validation layer would speak up. */
#include "commands.h"
#include "device.h"
#include "read_all.h"
#include "session.h"
#include "synth.h"
#include "upload.h"

#include <math.h>

#define MODEL "session-vit-tiny"

enum {
    SIZE = 32,
    IMAGES = 4,
    PIXELS = 3 * SIZE * SIZE,
    ALL_OUTPUTS = (1 << DVK_OUTPUT_LOGITS) - 1
}; /* a ViTModel has no others */

static float pixels[IMAGES][PIXELS]; /* pseudo-random, in the range that normalised images have */

static void fill_pixels(void) {
    uint32_t state = 1;
    for (size_t i = 0; i < IMAGES * PIXELS; i++) {
        state = state * 1664525u + 1013904223u;
        (&pixels[0][0])[i] = (float)(state >> 8) / 8388608.0f * 2.0f - 2.0f;
    }
}

static dvk_model *load(dvk_context *context, dvk_precision precision) {
    dvk_model *model = NULL;
    dvk_error error;
    dvk_model_params params = {.path = MODEL, .precision = precision};
    dvk_result result = dvk_model_load(context, &params, &model, &error);
    if (result != DVK_OK)
        printf("dvk_model_load: %s\n", error.message);
    REQUIRE(result == DVK_OK);
    return model;
}

static dvk_session *open_session(dvk_model *model, dvk_session_params params) {
    dvk_session *session = NULL;
    dvk_error error;
    dvk_result result = dvk_session_create(model, &params, &session, &error);
    if (result != DVK_OK)
        printf("dvk_session_create: %s\n", error.message);
    REQUIRE(result == DVK_OK);
    return session;
}

enum { CAPACITY = 8192 };

static void test_replays(dvk_model *model) {
    static float first[CAPACITY], again[CAPACITY];
    dvk_session *session = open_session(model, (dvk_session_params){.outputs = ALL_OUTPUTS});
    CHECK(dvk_session_run(session, pixels[0], 1, NULL) == DVK_OK);
    size_t count = read_all(session, 0, first, CAPACITY);
    CHECK(count > 2 * 17 * 64);
    for (int i = 0; i < 64; i++) {
        /* Another input in between: nothing of it may remain. */
        CHECK(dvk_session_run(session, pixels[1 + i % 3], 1, NULL) == DVK_OK);
        CHECK(dvk_session_run(session, pixels[0], 1, NULL) == DVK_OK);
        read_all(session, 0, again, CAPACITY);
        CHECK_MESSAGE(memcmp(first, again, count * sizeof(float)) == 0, "replay %d", i);
    }
    dvk_session_destroy(&session);
}

static void test_batch(dvk_model *model) {
    static float single[IMAGES][CAPACITY], batched[CAPACITY];
    dvk_session *one = open_session(model, (dvk_session_params){.outputs = ALL_OUTPUTS});
    dvk_session *four = open_session(model, (dvk_session_params){.batch = IMAGES, .outputs = ALL_OUTPUTS});
    size_t count = 0;
    for (uint32_t i = 0; i < IMAGES; i++) {
        CHECK(dvk_session_run(one, pixels[i], 1, NULL) == DVK_OK);
        count = read_all(one, 0, single[i], CAPACITY);
    }
    CHECK(dvk_session_run(four, pixels[0], IMAGES, NULL) == DVK_OK);
    for (uint32_t i = 0; i < IMAGES; i++) {
        read_all(four, i, batched, CAPACITY);
        CHECK_MESSAGE(memcmp(single[i], batched, count * sizeof(float)) == 0, "image %u of the batch", i);
    }
    /* A part of a batch. */
    CHECK(dvk_session_run(four, pixels[1], 2, NULL) == DVK_OK);
    read_all(four, 1, batched, CAPACITY);
    CHECK(memcmp(single[2], batched, count * sizeof(float)) == 0);
    CHECK(dvk_session_read(four, DVK_OUTPUT_CLS, 2, batched, CAPACITY, NULL) == DVK_ERROR_INVALID_ARGUMENT);
    dvk_session_destroy(&one);
    dvk_session_destroy(&four);
}

/* The views of the same numbers agree, and CLS alone (a smaller readback) gives the same bits. */
static void test_outputs(dvk_model *model) {
    enum { T = 17, D = 64, H = 2 };
    static float all[T * D], cls[D], patches[(T - 1) * D], mean[D], attention[H * T], alone[D];
    dvk_session *session = open_session(model, (dvk_session_params){.outputs = ALL_OUTPUTS});
    CHECK(dvk_session_run(session, pixels[0], 1, NULL) == DVK_OK);
    CHECK(dvk_session_read(session, DVK_OUTPUT_LAST_HIDDEN_STATE, 0, all, T * D, NULL) == DVK_OK);
    CHECK(dvk_session_read(session, DVK_OUTPUT_CLS, 0, cls, D, NULL) == DVK_OK);
    CHECK(dvk_session_read(session, DVK_OUTPUT_PATCHES, 0, patches, (T - 1) * D, NULL) == DVK_OK);
    CHECK(dvk_session_read(session, DVK_OUTPUT_MEAN, 0, mean, D, NULL) == DVK_OK);
    CHECK(dvk_session_read(session, DVK_OUTPUT_ATTENTION, 0, attention, H * T, NULL) == DVK_OK);
    CHECK(memcmp(cls, all, sizeof(cls)) == 0);
    CHECK(memcmp(patches, all + D, sizeof(patches)) == 0);
    for (int i = 0; i < D; i++) {
        double sum = 0;
        for (int t = 0; t < T - 1; t++)
            sum += patches[t * D + i];
        /* 16 fp32 additions of numbers up to 10: 16 * 10 * 2^-24 at the very most. */
        CHECK_MESSAGE(fabs(sum / (T - 1) - mean[i]) < 1e-5, "column %d", i);
    }
    for (int h = 0; h < H; h++) {
        double sum = 0;
        for (int t = 0; t < T; t++)
            sum += attention[h * T + t];
        CHECK(fabs(sum - 1) < 1e-5);
    }
    dvk_session *small = open_session(model, (dvk_session_params){0});
    CHECK(dvk_session_run(small, pixels[0], 1, NULL) == DVK_OK);
    CHECK(dvk_session_read(small, DVK_OUTPUT_CLS, 0, alone, D, NULL) == DVK_OK);
    CHECK(memcmp(alone, cls, sizeof(cls)) == 0);
    CHECK(dvk_session_read(small, DVK_OUTPUT_MEAN, 0, alone, D, NULL) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_read(small, DVK_OUTPUT_CLS, 0, alone, D - 1, NULL) == DVK_ERROR_INVALID_ARGUMENT);
    dvk_session_destroy(&small);
    dvk_session_destroy(&session);
}

/* A device that binds little: ops are split by rows, planes and images, and the bits stay. 66,560 bytes is the widest
 * matrix of the model, so nothing smaller could run. */
static void test_small_bindings(dvk_model *model) {
    enum { BATCH = 16 };
    static float input[BATCH][PIXELS], whole[BATCH][CAPACITY], split[CAPACITY];
    for (int i = 0; i < BATCH; i++)
        memcpy(input[i], pixels[i % IMAGES], sizeof(input[i]));
    dvk_context *context = model->context;
    uint32_t range = context->limits.maxStorageBufferRange;
    dvk_session *session = open_session(model, (dvk_session_params){.batch = BATCH, .outputs = ALL_OUTPUTS});
    CHECK(dvk_session_run(session, input[0], BATCH, NULL) == DVK_OK);
    size_t count = 0;
    for (uint32_t i = 0; i < BATCH; i++)
        count = read_all(session, i, whole[i], CAPACITY);
    uint32_t ops = session->plan.op_count;
    dvk_session_destroy(&session);

    context->limits.maxStorageBufferRange = 66560;
    session = open_session(model, (dvk_session_params){.batch = BATCH, .outputs = ALL_OUTPUTS});
    CHECK_MESSAGE(session->plan.op_count > 3 * ops, "%u ops from %u", session->plan.op_count, ops);
    for (uint32_t i = 0; i < session->plan.op_count; i++)
        for (uint32_t j = 0; j < session->plan.ops[i].binding_count; j++) {
            const dvk_binding *binding = &session->plan.ops[i].bindings[j];
            CHECK(binding->size <= 66560 && binding->offset % context->limits.minStorageBufferOffsetAlignment == 0);
        }
    CHECK(dvk_session_run(session, input[0], BATCH, NULL) == DVK_OK);
    for (uint32_t i = 0; i < BATCH; i++) {
        read_all(session, i, split, CAPACITY);
        CHECK_MESSAGE(memcmp(whole[i], split, count * sizeof(float)) == 0, "image %u", i);
    }
    dvk_session_destroy(&session);

    context->limits.maxStorageBufferRange = 66559;
    dvk_error error;
    CHECK(dvk_session_create(model, NULL, &session, &error) == DVK_ERROR_UNSUPPORTED);
    CHECK_MESSAGE(strstr(error.message, "binds at most 66559"), "%s", error.message);
    context->limits.maxStorageBufferRange = range;
}

/* A device with tiny grids: dispatches fold into y and z. */
static void test_small_grids(dvk_model *model) {
    static float wide[CAPACITY], folded[CAPACITY];
    dvk_context *context = model->context;
    uint32_t limits[3];
    memcpy(limits, context->limits.maxComputeWorkGroupCount, sizeof(limits));
    dvk_session *session = open_session(model, (dvk_session_params){.outputs = ALL_OUTPUTS});
    CHECK(dvk_session_run(session, pixels[0], 1, NULL) == DVK_OK);
    size_t count = read_all(session, 0, wide, CAPACITY);
    dvk_session_destroy(&session);
    context->limits.maxComputeWorkGroupCount[0] = 3;
    context->limits.maxComputeWorkGroupCount[1] = 2;
    session = open_session(model, (dvk_session_params){.outputs = ALL_OUTPUTS});
    CHECK(dvk_session_run(session, pixels[0], 1, NULL) == DVK_OK);
    read_all(session, 0, folded, CAPACITY);
    CHECK(memcmp(wide, folded, count * sizeof(float)) == 0);
    dvk_session_destroy(&session);
    context->limits.maxComputeWorkGroupCount[0] = 1;
    context->limits.maxComputeWorkGroupCount[1] = 1;
    context->limits.maxComputeWorkGroupCount[2] = 1;
    CHECK(dvk_session_create(model, NULL, &session, NULL) == DVK_ERROR_UNSUPPORTED);
    memcpy(context->limits.maxComputeWorkGroupCount, limits, sizeof(limits));
}

/* Memory that is not coherent must be flushed and invalidated: here the calls are made on memory that would not need
 * them, which the validation layer checks for legality. */
static void test_noncoherent(dvk_model *model) {
    static float before[CAPACITY], after[CAPACITY];
    dvk_session *session = open_session(model, (dvk_session_params){.outputs = ALL_OUTPUTS});
    CHECK(dvk_session_run(session, pixels[0], 1, NULL) == DVK_OK);
    size_t count = read_all(session, 0, before, CAPACITY);
    session->slots[0].upload.coherent = false;
    session->slots[0].readback.coherent = false;
    CHECK(dvk_session_run(session, pixels[0], 1, NULL) == DVK_OK);
    read_all(session, 0, after, CAPACITY);
    CHECK(memcmp(before, after, count * sizeof(float)) == 0);
    dvk_session_destroy(&session);
}

static PFN_vkMapMemory map_memory;
static bool refuse_to_map;

static VKAPI_ATTR VkResult VKAPI_CALL map_all_but_one(VkDevice device, VkDeviceMemory memory, VkDeviceSize offset,
                                                      VkDeviceSize size, VkMemoryMapFlags flags, void **mapped) {
    const bool refuse = refuse_to_map;
    refuse_to_map = false;
    return refuse ? VK_ERROR_MEMORY_MAP_FAILED : map_memory(device, memory, offset, size, flags, mapped);
}

/* Weights that the host writes where they stay, and, where they cannot be mapped, weights that go through staging: the
 * same bits. Only where the first memory to be mapped is theirs; software drivers have no other. */
static void test_staged_weights(dvk_context *context) {
    static float direct[CAPACITY], staged[CAPACITY];
    if (context->info.type != DVK_DEVICE_CPU)
        return;
    map_memory = context->vk.vkMapMemory;
    for (int precision = DVK_PRECISION_FP32; precision <= DVK_PRECISION_INT8; precision++) {
        size_t count = 0;
        for (int i = 0; i < 2; i++) {
            refuse_to_map = i == 1;
            context->vk.vkMapMemory = map_all_but_one;
            dvk_model *model = load(context, (dvk_precision)precision);
            context->vk.vkMapMemory = map_memory;
            CHECK(!refuse_to_map);
            dvk_session *session = open_session(model, (dvk_session_params){.outputs = ALL_OUTPUTS});
            CHECK(dvk_session_run(session, pixels[0], 1, NULL) == DVK_OK);
            count = read_all(session, 0, i ? staged : direct, CAPACITY);
            dvk_session_destroy(&session);
            dvk_model_destroy(&model);
        }
        CHECK_MESSAGE(memcmp(direct, staged, count * sizeof(float)) == 0, "precision %d", precision);
    }
}

/* Both classes of variants work on every device and agree to rounding. */
static void test_classes(dvk_model *model) {
    static float one[17 * 64], other[17 * 64];
    dvk_context *context = model->context;
    dvk_device_class own = context->device_class;
    bool half_products = false;
    for (int i = 0; i < 2; i++) {
        context->device_class = i ? DVK_CLASS_GPU : DVK_CLASS_SOFTWARE;
        dvk_session *session =
            open_session(model, (dvk_session_params){.outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_LAST_HIDDEN_STATE)});
        for (uint32_t op = 0; op < session->plan.op_count; op++)
            half_products |= session->plan.ops[op].variant->half_products;
        CHECK(dvk_session_run(session, pixels[0], 1, NULL) == DVK_OK);
        CHECK(dvk_session_read(session, DVK_OUTPUT_LAST_HIDDEN_STATE, 0, i ? other : one, 17 * 64, NULL) == DVK_OK);
        dvk_session_destroy(&session);
    }
    context->device_class = own;
    double difference = 0, norm = 0;
    for (int i = 0; i < 17 * 64; i++) {
        difference += ((double)one[i] - other[i]) * ((double)one[i] - other[i]);
        norm += (double)one[i] * one[i];
    }
    /* Each is within 5e-6 of the truth, or 2e-3 where factors are halves (the bars of the golden tests). */
    CHECK_MESSAGE(sqrt(difference / norm) < (half_products ? 4e-3 : 1e-5), "relative difference %g",
                  sqrt(difference / norm));
}

static void test_misuse(dvk_model *model) {
    dvk_session *session = NULL;
    dvk_error error;
    float value;
    CHECK(dvk_session_create(NULL, NULL, &session, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_create(model, &(dvk_session_params){.width = 32}, &session, &error) ==
          DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_create(model, &(dvk_session_params){.width = 7, .height = 64}, &session, &error) ==
          DVK_ERROR_INVALID_ARGUMENT);
    CHECK_MESSAGE(strstr(error.message, "at least 8"), "%s", error.message);
    CHECK(dvk_session_create(model, &(dvk_session_params){.outputs = 1 << 20}, &session, &error) ==
          DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_create(model, &(dvk_session_params){.width = 1 << 20, .height = 1 << 20}, &session, &error) ==
          DVK_ERROR_UNSUPPORTED);
    CHECK(dvk_session_create(model, &(dvk_session_params){.batch = UINT32_MAX}, &session, &error) ==
          DVK_ERROR_UNSUPPORTED);
    /* Products of these leave 64 bits; some of them come back as 0. Patches of 8 and rows of 256 floats are powers of
     * two, so that there is always a power of two that does. */
    for (uint32_t batch_bits = 0; batch_bits < 32; batch_bits++)
        for (uint32_t side_bits = 15; side_bits < 32; side_bits++) {
            dvk_session_params huge = {.batch = 1u << batch_bits, .width = 1u << side_bits, .height = 1u << side_bits};
            if (batch_bits + 2 * side_bits > 34)
                CHECK_MESSAGE(dvk_session_create(model, &huge, &session, &error) == DVK_ERROR_UNSUPPORTED,
                              "%u images of %ux%u", huge.batch, huge.width, huge.height);
        }
    CHECK(session == NULL);
    session = open_session(model, (dvk_session_params){0});
    CHECK(dvk_session_read(session, DVK_OUTPUT_CLS, 0, &value, 1, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_read(NULL, DVK_OUTPUT_CLS, 0, &value, 1, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_read(session, DVK_OUTPUT_CLS, 0, NULL, 64, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK_MESSAGE(strstr(error.message, "NULL"), "%s", error.message);
    CHECK(dvk_session_run(session, NULL, 1, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_run(session, pixels[0], 0, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_run(session, pixels[0], 2, &error) == DVK_ERROR_INVALID_ARGUMENT);
    size_t length = dvk_session_print_plan(session, NULL, 0);
    char *text = malloc(length + 1), start[10];
    REQUIRE(text != NULL);
    CHECK(dvk_session_print_plan(session, text, length + 1) == length && strlen(text) == length);
    CHECK(strstr(text, "layer 1 attention output") != NULL);
    CHECK(dvk_session_print_plan(session, start, sizeof(start)) == length && strlen(start) == 9);
    free(text);
    dvk_session_destroy(&session);
    dvk_session_destroy(&session);
    dvk_session_destroy(NULL);
    model = NULL;
    CHECK(dvk_model_load(NULL, &(dvk_model_params){.path = MODEL}, &model, &error) == DVK_OK);
    CHECK(dvk_session_create(model, NULL, &session, &error) == DVK_ERROR_INVALID_ARGUMENT);

    static float planes[3 * 32 * 32];
    uint8_t black[3] = {0, 0, 0};
    const dvk_image image = {.width = 1, .height = 1, .pixels = black};
    const dvk_preprocess_params wrong[] = {{.width = 32}, {.height = 32}, {.order = (dvk_resize_order)7}};
    for (size_t i = 0; i < 3; i++)
        CHECK(dvk_preprocess(model, &wrong[i], &image, planes, NULL, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_preprocess(model, NULL, &(dvk_image){.width = 1, .height = 1}, planes, NULL, &error) ==
          DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_preprocess(model, NULL, &image, planes, NULL, &error) == DVK_OK);
    dvk_model_destroy(&model);
}

/* More than the staging buffer holds, as 64 rows of the widest matrices are, and a start that is not the target's. */
static void test_large_upload(dvk_context *context) {
    enum { COUNT = (2 * DVK_STAGING_BYTES + 4096) / 4, SKIPPED = 256 };
    dvk_buffer target, readback;
    dvk_uploader uploader;
    uint32_t *words = malloc(COUNT * sizeof(*words));
    REQUIRE(words != NULL);
    for (uint32_t i = 0; i < COUNT; i++)
        words[i] = i * 2654435761u;
    REQUIRE(dvk_buffer_create(context, DVK_BUFFER_STORAGE, SKIPPED + COUNT * 4, "target", &target, NULL) == DVK_OK);
    REQUIRE(dvk_buffer_create(context, DVK_BUFFER_READBACK, COUNT * 4, "readback", &readback, NULL) == DVK_OK);
    REQUIRE(dvk_uploader_open(context, &uploader, NULL) == DVK_OK);
    CHECK(dvk_upload(&uploader, words, 4, &target, SKIPPED, NULL) == DVK_OK);
    CHECK(dvk_upload(&uploader, words + 1, COUNT * 4 - 4, &target, SKIPPED + 4, NULL) == DVK_OK);
    CHECK(dvk_upload_finish(&uploader, NULL) == DVK_OK);

    VkCommandBuffer commands;
    REQUIRE(dvk_commands_begin(context, 0, &commands, NULL) == DVK_OK);
    VkBufferCopy region = {.srcOffset = SKIPPED, .size = COUNT * 4};
    context->vk.vkCmdCopyBuffer(commands, target.handle, readback.handle, 1, &region);
    REQUIRE(context->vk.vkEndCommandBuffer(commands) == VK_SUCCESS);
    CHECK(dvk_commands_run(context, commands, uploader.fence, NULL) == DVK_OK);
    CHECK(dvk_buffer_invalidate(context, &readback, NULL) == DVK_OK);
    CHECK(memcmp(readback.mapped, words, COUNT * sizeof(*words)) == 0);
    context->vk.vkFreeCommandBuffers(context->device, context->command_pool, 1, &commands);
    dvk_uploader_close(&uploader);
    dvk_buffer_destroy(context, &target);
    dvk_buffer_destroy(context, &readback);
    free(words);
}

/* Two contexts alive at once, each with its own tables. */
static void test_two_contexts(dvk_context *first, dvk_model *first_model) {
    static float one[64], two[64];
    dvk_context *second = test_open_context(NULL);
    CHECK(first != second);
    dvk_model *model = load(second, DVK_PRECISION_AUTO);
    dvk_session *session = open_session(model, (dvk_session_params){0});
    dvk_session *first_session = open_session(first_model, (dvk_session_params){0});
    CHECK(dvk_session_run(first_session, pixels[0], 1, NULL) == DVK_OK);
    CHECK(dvk_session_run(session, pixels[0], 1, NULL) == DVK_OK);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    CHECK(dvk_session_read(first_session, DVK_OUTPUT_CLS, 0, one, 64, NULL) == DVK_OK);
    dvk_context_destroy(&second);
    CHECK(dvk_session_run(first_session, pixels[0], 1, NULL) == DVK_OK);
    CHECK(dvk_session_read(first_session, DVK_OUTPUT_CLS, 0, two, 64, NULL) == DVK_OK);
    CHECK(memcmp(one, two, sizeof(one)) == 0);
    dvk_session_destroy(&first_session);
}

/* A copy forth and one back without a barrier: the layer has to see it, or its silence elsewhere means nothing. */
/* dvk_model_estimate() of a model without a device against sessions that exist. A device may round every allocation up:
 * to 64 KiB, where it has pages of that size. */
static void test_estimate(dvk_context *context) {
    static const dvk_precision precisions[] = {DVK_PRECISION_FP32, DVK_PRECISION_FP16, DVK_PRECISION_INT8};
    static const dvk_session_params cases[] = {{0},
                                               {.batch = 3, .outputs = ALL_OUTPUTS},
                                               {.width = 72, .height = 48, .outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_MEAN)}};
    for (size_t i = 0; i < 9; i++) {
        dvk_model *unloaded = load(NULL, precisions[i / 3]), *model = load(context, precisions[i / 3]);
        dvk_session *session = open_session(model, cases[i % 3]);
        const dvk_session_info *info = dvk_session_get_info(session);
        uint64_t weights = dvk_model_get_info(model)->device_bytes, slack = 65536;
        dvk_estimate estimate;
        REQUIRE(dvk_model_estimate(unloaded, i % 3 ? &cases[i % 3] : NULL, &estimate, NULL) == DVK_OK);
        CHECK(estimate.batch == info->batch && estimate.width == info->width && estimate.height == info->height);
        CHECK(estimate.grid_width == info->grid_width && estimate.grid_height == info->grid_height);
        CHECK(estimate.tokens == info->tokens && estimate.flops == info->flops);
        CHECK(estimate.weight_bytes[DVK_PRECISION_AUTO] == estimate.weight_bytes[precisions[i / 3]]);
        uint64_t told = estimate.weight_bytes[precisions[i / 3]];
        CHECK_MESSAGE(told <= weights && weights < told + model->weights.block_count * slack,
                      "weights of %llu bytes, estimated %llu", (unsigned long long)weights, (unsigned long long)told);
        CHECK_MESSAGE(estimate.session_bytes <= info->device_bytes &&
                          info->device_bytes < estimate.session_bytes + (DVK_PLAN_OWN_BUFFERS + 2) * slack,
                      "a session of %llu bytes, estimated %llu", (unsigned long long)info->device_bytes,
                      (unsigned long long)estimate.session_bytes);
        dvk_session_destroy(&session);
        dvk_model_destroy(&model);
        dvk_model_destroy(&unloaded);
    }
    dvk_model *model = load(NULL, DVK_PRECISION_AUTO);
    dvk_estimate estimate;
    CHECK(dvk_model_estimate(model, &(dvk_session_params){.width = 4, .height = 4}, &estimate, NULL) ==
          DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_model_estimate(model, &(dvk_session_params){.batch = UINT32_MAX}, &estimate, NULL) ==
          DVK_ERROR_UNSUPPORTED);
    CHECK(dvk_model_estimate(NULL, NULL, &estimate, NULL) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_model_estimate(model, NULL, NULL, NULL) == DVK_ERROR_INVALID_ARGUMENT);
    dvk_model_destroy(&model);
}

static void test_planted_hazard(dvk_model *model) {
    dvk_context *context = model->context;
    if (!context->instance.messenger)
        return;
    dvk_session *session = open_session(model, (dvk_session_params){0});
    VkCommandBuffer commands;
    VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                        .commandPool = context->command_pool,
                                        .commandBufferCount = 1};
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    VkBufferCopy region = {.size = 256};
    REQUIRE(context->vk.vkAllocateCommandBuffers(context->device, &info, &commands) == VK_SUCCESS);
    REQUIRE(context->vk.vkBeginCommandBuffer(commands, &begin) == VK_SUCCESS);
    VkBuffer hidden = session->buffers[DVK_PLAN_HIDDEN].handle, wide = session->buffers[DVK_PLAN_WIDE].handle;
    context->vk.vkCmdCopyBuffer(commands, hidden, wide, 1, &region);
    context->vk.vkCmdCopyBuffer(commands, wide, hidden, 1, &region);
    REQUIRE(context->vk.vkEndCommandBuffer(commands) == VK_SUCCESS);
    context->vk.vkFreeCommandBuffers(context->device, context->command_pool, 1, &commands);
    printf("the message above this line, if any, was asked for\n");
    CHECK_MESSAGE(test_validation_messages_ > 0, "synchronisation validation said nothing about a planted hazard");
    test_validation_messages_ = 0;
    dvk_session_destroy(&session);
}

int main(void) {
    fill_pixels();
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    dvk_context *context = test_open_context(NULL);
    for (int precision = DVK_PRECISION_FP32; precision <= DVK_PRECISION_INT8; precision++) {
        dvk_model *model = load(context, (dvk_precision)precision);
        CHECK(dvk_model_get_info(model)->precision == (dvk_precision)precision);
        test_replays(model);
        test_batch(model);
        test_outputs(model);
        test_classes(model);
        dvk_model_destroy(&model);
    }
    dvk_model *model = load(context, DVK_PRECISION_AUTO);
    CHECK(dvk_model_get_info(model)->precision == DVK_PRECISION_FP32);
    test_small_bindings(model);
    test_small_grids(model);
    test_noncoherent(model);
    test_misuse(model);
    test_large_upload(context);
    test_staged_weights(context);
    test_two_contexts(context, model);
    test_estimate(context);
    CHECK(test_validation_messages_ == 0);
    test_planted_hazard(model);
    dvk_model_destroy(&model);
    test_close_context(&context);
    return FINISH();
}
