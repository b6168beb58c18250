/* Whole forward passes against Hugging Face transformers, from an image's bytes to every output and every layer.
 *
 * test-golden small|large|slow|photo DATA: which cases, and where their references lie. `slow` takes minutes on a
 * software driver: larger inputs and models, and every layer of them. $DVK_TEST_GOLDEN and $DVK_TEST_PHOTO name a
 * directory with the references of a photograph that we may not ship, and that photograph. */
#include "device.h"
#include "commands.h"
#include "npy.h"
#include "session.h"
#include "synth.h"

#include <math.h>
#include <unistd.h>

/* References are float64, so an error is all ours. torch's own float32 has up to 7.8e-7 over all tokens, 1.0e-6 in the
 * worst token, 2.9e-6 in an attention weight; the bars are about seven times that. A tanh GELU in erf's place costs
 * 7e-5. */
static const double HIDDEN_BAR = 5e-6, TOKEN_BAR = 1e-5, ATTENTION_BAR = 2e-5;

/* Matrices rounded to fp16, then float64: 4.1e-4 to 6.0e-4 for CLS in the large models; the small ones have fewer terms
 * to average over, and torch's autocast reaches 1.0e-3 there. */
static const double HALF_BAR_LARGE = 1e-3, HALF_BAR_SMALL = 2e-3;

/* What a cosine of 0.999 is as a relative error: sqrt(2 (1 - 0.999)). The synthetic weights are uniform, so a step of
 * 1/127 of the largest changes them by 0.4 % of their size: 28 times what fp16's rounding does, 1.5e-2 to expect. */
static const double INT8_BAR = 4.5e-2;

typedef struct golden_case {
    const char *name, *model;
    uint32_t image_width, image_height; /* of the synthetic image */
    uint32_t width, height;             /* of the input; 0: as the model's processor makes it */
    dvk_resample resample;
    dvk_resize_order order;
} golden_case;

static const golden_case small_cases[] = {
    {"vit-tiny_32", "vit-tiny", 640, 480, 32, 32, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"vit-tiny_h24w40", "vit-tiny", 640, 480, 40, 24, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"vit-tiny_h16w16", "vit-tiny", 640, 480, 16, 16, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    /* 44x36 is no multiple of 8: edge pixels are unused. */
    {"vit-tiny_h36w44", "vit-tiny", 640, 480, 44, 36, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    /* epsilon 1/32, no query/key/value bias, tanh GELU, head_dim 16, MLP 100, patch 4. */
    {"vit-odd-tiny_20", "vit-odd-tiny", 640, 480, 20, 20, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"vit-odd-tiny_h28w16", "vit-odd-tiny", 640, 480, 16, 28, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    /* Names with "vit.", a classifier, mean and std 0.5. */
    {"vit-cls-tiny_64", "vit-cls-tiny", 640, 480, 64, 64, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"deit-distilled-tiny_64", "deit-distilled-tiny", 640, 480, 64, 64, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"deit-distilled-tiny_h48w80", "deit-distilled-tiny", 640, 480, 80, 48, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    /* No CLS token. */
    {"ijepa-tiny_70", "ijepa-tiny", 640, 480, 70, 70, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"ijepa-tiny_h56w84", "ijepa-tiny", 640, 480, 84, 56, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"vitmsn-tiny_64", "vitmsn-tiny", 640, 480, 64, 64, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dinov2-tiny_70", "dinov2-tiny", 640, 480, 70, 70, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"dinov2-tiny_56", "dinov2-tiny", 640, 480, 56, 56, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"dinov2-tiny_h42w98", "dinov2-tiny", 640, 480, 98, 42, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"dinov2-swiglu-tiny_56", "dinov2-swiglu-tiny", 640, 480, 56, 56, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    /* Positions by the antialiased filter, both smaller and larger than the table. */
    {"dinov2-reg-tiny_70", "dinov2-reg-tiny", 640, 480, 70, 70, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"dinov2-reg-tiny_56", "dinov2-reg-tiny", 640, 480, 56, 56, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"dinov2-reg-tiny_h42w98", "dinov2-reg-tiny", 640, 480, 98, 42, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"dinov3-tiny_64", "dinov3-tiny", 640, 480, 64, 64, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dinov3-tiny_h64w96", "dinov3-tiny", 640, 480, 96, 64, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dinov3-gated-tiny_64", "dinov3-gated-tiny", 640, 480, 64, 64, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"clip-tiny_64", "clip-tiny", 640, 480, 64, 64, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"clip-tiny_h48w80", "clip-tiny", 640, 480, 80, 48, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"siglip-tiny_64", "siglip-tiny", 640, 480, 64, 64, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"siglip-tiny_h48w80", "siglip-tiny", 640, 480, 80, 48, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
};

static const golden_case large_cases[] = {
    {"dino-vits16_224_synth640x480", "dino-vits16", 640, 480, 224, 224, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dino-vits8_224_synth640x480", "dino-vits8", 640, 480, 224, 224, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dinov2-small_224_synth640x480", "dinov2-small", 640, 480, 0, 0, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
};

static const golden_case slow_cases[] = {
    /* Shortest edge 256 and a crop, as the published file has it; then from the table of 37 x 37 to others, and itself.
     */
    {"dinov2-small_224_synth640x480", "dinov2-small", 640, 480, 0, 0, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"dinov2-small_h210w280_synth640x480", "dinov2-small", 640, 480, 280, 210, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"dinov2-small_518_synth640x480", "dinov2-small", 640, 480, 518, 518, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"dino-vits16_224_synth640x480", "dino-vits16", 640, 480, 224, 224, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dino-vits8_224_synth640x480", "dino-vits8", 640, 480, 224, 224, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dino-vits8_224_synth640x480_bicubic", "dino-vits8", 640, 480, 224, 224, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"dino-vits8_224_synth333x517", "dino-vits8", 333, 517, 224, 224, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dino-vits8_224_synth333x517_classic", "dino-vits8", 333, 517, 224, 224, DVK_RESAMPLE_BILINEAR,
     DVK_RESIZE_CLASSIC},
    {"dino-vits8_224_synth1x1", "dino-vits8", 1, 1, 224, 224, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dino-vits8_480_synth640x480", "dino-vits8", 640, 480, 480, 480, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dino-vits8_h224w320_synth640x480", "dino-vits8", 640, 480, 320, 224, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dino-vitb16_224_synth640x480", "dino-vitb16", 640, 480, 224, 224, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
};

static const golden_case photo_cases[] = {
    {"dinov2-small_224_photo", "dinov2-small", 0, 0, 0, 0, DVK_RESAMPLE_BICUBIC, DVK_RESIZE_NEWEST},
    {"dino-vits8_224_photo", "dino-vits8", 0, 0, 224, 224, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dino-vits8_480_photo", "dino-vits8", 0, 0, 480, 480, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dino-vits8_h224w320_photo", "dino-vits8", 0, 0, 320, 224, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dino-vits16_224_photo", "dino-vits16", 0, 0, 224, 224, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
    {"dino-vitb16_224_photo", "dino-vitb16", 0, 0, 224, 224, DVK_RESAMPLE_BILINEAR, DVK_RESIZE_NEWEST},
};

static const float *floats(const struct npy *array) {
    REQUIRE(array->type == NPY_FLOAT32);
    return array->data;
}

static double relative_l2(const float *values, const float *truth, size_t count) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)values[i] - truth[i]) * ((double)values[i] - truth[i]);
        norm += (double)truth[i] * truth[i];
    }
    return sqrt(difference / norm);
}

static double largest_difference(const float *values, const float *truth, size_t count) {
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = test_worst(largest, fabs((double)values[i] - truth[i]));
    return largest;
}

/* One case's run, with the references beside it. */
typedef struct golden_run {
    const golden_case *test;
    const char *data;
    dvk_session *session;
    uint32_t tokens, size, heads, layers;
    float *pixels;
    float *last; /* [tokens][size] */
    double bar, token_bar, attention_bar;
} golden_run;

static bool load_reference(const golden_run *run, const char *file, struct npy *array) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s/%s.npy", run->data, run->test->name, file);
    return access(path, F_OK) == 0 && npy_load(path, array);
}

static void check_pixels(const golden_run *run) {
    struct npy pixels;
    if (!load_reference(run, "pixel_values", &pixels))
        return;
    CHECK_MESSAGE(memcmp(pixels.data, run->pixels, pixels.count * sizeof(float)) == 0, "%s", run->test->name);
    npy_free(&pixels);
}

/* The sums of signed values that stand for whole rows of large models. */
static float signed_sum(const float *row, uint32_t size, uint32_t multiplier) {
    double sum = 0;
    for (uint32_t j = 0; j < size; j++)
        sum += (j + 1) * multiplier >> 31 ? -row[j] : row[j];
    return (float)sum;
}

static void check_last_hidden_state(const golden_run *run) {
    struct npy reference, rows;
    uint32_t size = run->size;
    if (load_reference(run, "last_hidden_state", &reference)) {
        REQUIRE(reference.count == (size_t)run->tokens * size);
        double error = relative_l2(run->last, floats(&reference), reference.count);
        printf("%-38s last_hidden_state %.2e", run->test->name, error);
        CHECK_MESSAGE(error <= run->bar, "%g", error);
        for (uint32_t t = 0; t < run->tokens; t++)
            CHECK_MESSAGE(relative_l2(run->last + (size_t)t * size, floats(&reference) + (size_t)t * size, size) <=
                              run->token_bar,
                          "token %u", t);
        npy_free(&reference);
    }
    if (load_reference(run, "token0", &reference)) {
        double error = relative_l2(run->last, floats(&reference), size);
        printf("%-38s CLS %.2e", run->test->name, error);
        CHECK_MESSAGE(error <= run->bar, "%g", error);
        npy_free(&reference);
    }
    if (load_reference(run, "slices", &reference) && load_reference(run, "slice_rows", &rows)) {
        const int32_t *row_indices = rows.data;
        REQUIRE(rows.type == NPY_INT32);
        for (size_t i = 0; i < rows.count; i++)
            CHECK_MESSAGE(relative_l2(run->last + (size_t)row_indices[i] * size, floats(&reference) + i * size, size) <=
                              run->token_bar,
                          "token %d", row_indices[i]);
        npy_free(&reference);
        npy_free(&rows);
    }
    if (load_reference(run, "token_stats", &reference)) {
        REQUIRE(reference.count == 3 * (size_t)run->tokens);
        for (uint32_t t = 0; t < run->tokens; t++) {
            const float *row = run->last + (size_t)t * size, *stats = floats(&reference) + 3 * (size_t)t;
            double norm = 0;
            for (uint32_t j = 0; j < size; j++)
                norm += (double)row[j] * row[j];
            norm = sqrt(norm);
            /* A row with relative error e has a norm off by e at most, and a signed sum off by e sqrt(D) norms; the
             * stored sums are rounded to float32 besides, which is far less. */
            CHECK_MESSAGE(fabs(norm - stats[0]) <= run->token_bar * stats[0], "token %u", t);
            CHECK_MESSAGE(fabs(signed_sum(row, size, 2654435761u) - stats[1]) <= run->token_bar * stats[0] * sqrt(size),
                          "token %u", t);
            CHECK_MESSAGE(fabs(signed_sum(row, size, 2246822519u) - stats[2]) <= run->token_bar * stats[0] * sqrt(size),
                          "token %u", t);
        }
        npy_free(&reference);
    }
}

static void check_attention(const golden_run *run) {
    struct npy reference;
    size_t count = (size_t)run->heads * run->tokens;
    float *rows = malloc(count * sizeof(float));
    REQUIRE(rows != NULL);
    CHECK(dvk_session_read(run->session, DVK_OUTPUT_ATTENTION, 0, rows, count, NULL) == DVK_OK);
    bool whole = load_reference(run, "attention_last", &reference);
    if (whole || load_reference(run, "attention_last_row0", &reference)) {
        size_t step = whole ? (size_t)run->tokens * run->tokens : run->tokens;
        double largest = 0;
        for (uint32_t h = 0; h < run->heads; h++)
            largest = test_worst(largest, largest_difference(rows + (size_t)h * run->tokens,
                                                             floats(&reference) + h * step, run->tokens));
        printf(", attention %.1e", largest);
        CHECK_MESSAGE(largest <= run->attention_bar, "%g", largest);
        npy_free(&reference);
    }
    free(rows);
}

/* An output of one row; nothing where the model has none. */
static void check_vector(const golden_run *run, dvk_output output, const char *file) {
    struct npy reference;
    bool given = load_reference(run, file, &reference);
    uint32_t shape[2] = {0};
    uint32_t rank = dvk_session_shape(run->session, output, shape);
    CHECK_MESSAGE(given == (rank == 1), "%s: %s", run->test->name, file);
    if (!given)
        return;
    REQUIRE(rank == 1 && shape[0] == reference.count);
    float *values = malloc(reference.count * sizeof(float));
    REQUIRE(values != NULL);
    CHECK(dvk_session_read(run->session, output, 0, values, reference.count, NULL) == DVK_OK);
    double error = relative_l2(values, floats(&reference), reference.count);
    printf(", %s %.1e", file, error);
    CHECK_MESSAGE(error <= run->bar, "%s %g", file, error);
    free(values);
    npy_free(&reference);
}

/* Runs the ops before `last` once more, and copies the residual stream out. */
static void read_hidden(dvk_session *session, uint32_t last, const dvk_buffer *target) {
    dvk_context *context = session->model->context;
    const struct VolkDeviceTable *vk = &context->vk;
    VkCommandBuffer commands;
    VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                        .commandPool = context->command_pool,
                                        .commandBufferCount = 1};
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    REQUIRE(vk->vkAllocateCommandBuffers(context->device, &info, &commands) == VK_SUCCESS);
    REQUIRE(vk->vkBeginCommandBuffer(commands, &begin) == VK_SUCCESS);
    dvk_record_ops(&session->recorder, commands, (dvk_position){0, 0}, (dvk_position){last, 0});
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT};
    vk->vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1,
                             &barrier, 0, NULL, 0, NULL);
    VkBufferCopy region = {.size = target->size};
    vk->vkCmdCopyBuffer(commands, session->buffers[DVK_PLAN_HIDDEN].handle, target->handle, 1, &region);
    barrier.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT;
    barrier.dstAccessMask = VK_ACCESS_HOST_READ_BIT;
    vk->vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0,
                             NULL, 0, NULL);
    REQUIRE(vk->vkEndCommandBuffer(commands) == VK_SUCCESS);
    REQUIRE(dvk_commands_run(context, commands, session->slots[0].fence, NULL) == DVK_OK);
    REQUIRE(dvk_buffer_invalidate(context, target, NULL) == DVK_OK);
    vk->vkFreeCommandBuffers(context->device, context->command_pool, 1, &commands);
}

/* The residual stream after the embeddings and after every layer. */
static void check_layers(const golden_run *run) {
    struct npy summary = {.count = 0}, reference;
    char file[32];
    const dvk_plan *plan = &run->session->plan;
    dvk_context *context = run->session->model->context;
    bool summarised = load_reference(run, "hidden_summary", &summary);
    size_t count = (size_t)run->tokens * run->size;
    dvk_buffer buffer;
    REQUIRE(dvk_buffer_create(context, DVK_BUFFER_READBACK, count * sizeof(float), "a layer", &buffer, NULL) == DVK_OK);
    const float *hidden = buffer.mapped;
    double worst = 0;
    const bool norm_first = run->session->model->weights.first_norm.size != 0;
    for (uint32_t layer = 0; layer <= run->layers; layer++) {
        char label[48];
        if (layer)
            snprintf(label, sizeof(label), "layer %u output", layer - 1);
        else
            snprintf(label, sizeof(label), "%s", norm_first ? "first norm" : "embeddings");
        uint32_t op = 0;
        while (op < plan->op_count && strcmp(plan->ops[op].label, label) != 0)
            op++;
        REQUIRE(op < plan->op_count);
        read_hidden(run->session, op + 1, &buffer);
        snprintf(file, sizeof(file), "hidden_%u", layer);
        double error = 0;
        if (load_reference(run, file, &reference)) {
            error = relative_l2(hidden, floats(&reference), count);
            npy_free(&reference);
        } else if (summarised) {
            const float *expected = floats(&summary) + 18 * (size_t)layer;
            float found[18];
            double norm = 0, largest = 0;
            for (size_t i = 0; i < count; i++) {
                norm += (double)hidden[i] * hidden[i];
                largest = test_worst(largest, fabs((double)hidden[i]));
            }
            memcpy(found, hidden, 8 * sizeof(float));
            memcpy(found + 8, hidden + count - run->size, 8 * sizeof(float));
            found[16] = (float)sqrt(norm);
            found[17] = (float)largest;
            error = test_worst(fabs(found[16] - expected[16]) / expected[16],
                               fabs(found[17] - expected[17]) / expected[17]);
            /* Eight values' share of a row: relative to the row's largest channels, which are 72 and 45. */
            error = test_worst(error, largest_difference(found, expected, 16) / 72);
        }
        CHECK_MESSAGE(error <= run->bar, "%s after layer %u: %g", run->test->name, layer, error);
        worst = test_worst(worst, error);
    }
    printf(", worst layer %.1e", worst);
    dvk_buffer_destroy(context, &buffer);
    npy_free(&summary);
}

static void make_image(const golden_case *test, const char *photo, dvk_image *image) {
    if (photo) {
        REQUIRE(dvk_image_load(photo, NULL, image, NULL) == DVK_OK);
        return;
    }
    image->width = test->image_width;
    image->height = test->image_height;
    image->pixels = malloc(3 * (size_t)image->width * image->height);
    REQUIRE(image->pixels != NULL);
    synth_image(image->width, image->height, image->pixels);
}

static void run_case(dvk_model *model, const golden_case *test, const char *data, const char *photo, bool small,
                     bool layers) {
    const dvk_model_info *info = dvk_model_get_info(model);
    golden_run run = {
        .test = test, .data = data, .size = info->hidden_size, .heads = info->heads, .layers = info->layers};
    run.bar = HIDDEN_BAR;
    run.token_bar = TOKEN_BAR;
    run.attention_bar = ATTENTION_BAR;
    if (info->precision == DVK_PRECISION_FP16) {
        run.bar = small ? HALF_BAR_SMALL : HALF_BAR_LARGE;
        run.token_bar = 2 * run.bar;
        run.attention_bar = 1e-2; /* a score of 8 is off by up to 4e-3, so is its exponential */
    } else if (info->precision == DVK_PRECISION_INT8) {
        run.bar = INT8_BAR;
        run.token_bar = 2 * run.bar;
        run.attention_bar = 28 * 1e-2;
    }
    dvk_image image = {0}; /* the C library's allocator */
    make_image(test, photo, &image);
    model->preprocess.resample = test->resample;
    model->preprocess.resize_as_float = false; /* references are for Pillow's bytes, of DINOv3, too */
    dvk_preprocess_params preprocess = {.width = test->width, .height = test->height, .order = test->order};
    uint32_t width, height;
    dvk_preprocess_size(model, &preprocess, &image, &width, &height);
    run.pixels = malloc(3 * (size_t)width * height * sizeof(float));
    REQUIRE(run.pixels != NULL);
    CHECK(dvk_preprocess(model, &preprocess, &image, run.pixels, NULL, NULL) == DVK_OK);
    check_pixels(&run);
    dvk_session_params params = {
        .width = width,
        .height = height,
        .outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_LAST_HIDDEN_STATE) |
                   (info->has_cls ? DVK_OUTPUT_BIT(DVK_OUTPUT_ATTENTION) : 0) |
                   (info->has_pooler ? DVK_OUTPUT_BIT(DVK_OUTPUT_POOLED) : 0) |
                   (info->label_count ? DVK_OUTPUT_BIT(DVK_OUTPUT_LOGITS) : 0) |
                   (info->embedding_size ? DVK_OUTPUT_BIT(DVK_OUTPUT_EMBEDDING) : 0),
    };
    dvk_error error;
    dvk_result result = dvk_session_create(model, &params, &run.session, &error);
    if (result != DVK_OK)
        printf("%s: %s\n", test->name, error.message);
    REQUIRE(result == DVK_OK);
    run.tokens = dvk_session_get_info(run.session)->tokens;
    size_t count = (size_t)run.tokens * run.size;
    run.last = malloc(count * sizeof(float));
    REQUIRE(run.last != NULL);
    CHECK(dvk_session_run(run.session, run.pixels, 1, NULL) == DVK_OK);
    CHECK(dvk_session_read(run.session, DVK_OUTPUT_LAST_HIDDEN_STATE, 0, run.last, count, NULL) == DVK_OK);
    check_last_hidden_state(&run);
    if (info->has_cls)
        check_attention(&run);
    check_vector(&run, DVK_OUTPUT_POOLED, "pooler_output");
    check_vector(&run, DVK_OUTPUT_LOGITS, "logits");
    check_vector(&run, DVK_OUTPUT_EMBEDDING, "image_embeds");
    if (layers)
        check_layers(&run);
    static const char *const kinds[] = {"", "", ", fp16 weights", ", int8 weights"};
    printf("%s\n", kinds[info->precision]);
    fflush(stdout);
    dvk_session_destroy(&run.session);
    dvk_image_free(&image);
    free(run.pixels);
    free(run.last);
}

static void run_cases(dvk_context *context, const golden_case *cases, size_t count, const char *data, const char *photo,
                      bool small, bool layers) {
    for (int precision = DVK_PRECISION_FP32; precision <= DVK_PRECISION_INT8; precision++) {
        dvk_model *model = NULL;
        const char *loaded = NULL;
        for (size_t i = 0; i < count; i++) {
            bool first = !loaded || strcmp(loaded, cases[i].model) != 0;
            if (first) {
                dvk_error error;
                dvk_model_destroy(&model);
                if (precision == DVK_PRECISION_FP32)
                    REQUIRE(synth_write_model(cases[i].model, cases[i].model, NULL));
                dvk_model_params params = {.path = cases[i].model, .precision = (dvk_precision)precision};
                dvk_result result = dvk_model_load(context, &params, &model, &error);
                if (result != DVK_OK)
                    printf("%s: %s\n", cases[i].model, error.message);
                REQUIRE(result == DVK_OK);
                loaded = cases[i].model;
            }
            /* Layers of a large model cost a pass each; fp16 and int8 of large models are checked on each model's first
             * case. */
            if (small || first || precision == DVK_PRECISION_FP32)
                run_case(model, &cases[i], data, photo, small,
                         small || (layers && first && precision == DVK_PRECISION_FP32));
        }
        dvk_model_destroy(&model);
    }
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int main(int argument_count, char **arguments) {
    REQUIRE(argument_count == 3);
    const char *photo = getenv("DVK_TEST_PHOTO"), *references = getenv("DVK_TEST_GOLDEN");
    bool photos = strcmp(arguments[1], "photo") == 0;
    if (photos && (!photo || !references))
        SKIP("the references of the photograph are not ours to ship: set DVK_TEST_PHOTO and DVK_TEST_GOLDEN");
    dvk_context *context = test_open_context(NULL);
    if (photos)
        run_cases(context, photo_cases, COUNT(photo_cases), references, photo, false, false);
    else if (strcmp(arguments[1], "large") == 0)
        run_cases(context, large_cases, COUNT(large_cases), arguments[2], NULL, false, false);
    else if (strcmp(arguments[1], "slow") == 0)
        run_cases(context, slow_cases, COUNT(slow_cases), arguments[2], NULL, false, true);
    else
        run_cases(context, small_cases, COUNT(small_cases), arguments[2], NULL, true, true);
    test_close_context(&context);
    return FINISH();
}
