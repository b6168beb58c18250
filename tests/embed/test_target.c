/* What passes leave on the device, against the outputs that are read back: buffers bit by bit, pictures within the
 * rounding of their formats. */
#include "outputs.h"
#include "pictures.h"
#include "principal_components.h"
#include "random.h"
#include "synth.h"

#include <math.h>

int test_failures_, test_checks_;

#define MODEL "target-vit-tiny"

enum { BATCH = 2, D = 64, HEADS = 2, WIDTH = 56, HEIGHT = 40, GRID_WIDTH = 7, GRID_HEIGHT = 5 };
enum { PATCHES = GRID_WIDTH * GRID_HEIGHT, TOKENS = 1 + PATCHES };

static float pixels[BATCH * 3 * WIDTH * HEIGHT];

static const dvk_session_params size = {.batch = BATCH, .width = WIDTH, .height = HEIGHT};

/* ---------------------------------------------------------------------------------------------- expectations */

static float patches[BATCH][PATCHES * D], attention[BATCH][HEADS * TOKENS];

static void read_outputs(dvk_model *model) {
    dvk_session_params params = size;
    params.outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_PATCHES) | DVK_OUTPUT_BIT(DVK_OUTPUT_ATTENTION);
    dvk_session *session = open_session(model, params);
    CHECK(dvk_session_run(session, pixels, BATCH, NULL) == DVK_OK);
    for (uint32_t i = 0; i < BATCH; i++) {
        CHECK(dvk_session_read(session, DVK_OUTPUT_PATCHES, i, patches[i], PATCHES * D, NULL) == DVK_OK);
        CHECK(dvk_session_read(session, DVK_OUTPUT_ATTENTION, i, attention[i], HEADS * TOKENS, NULL) == DVK_OK);
    }
    dvk_session_destroy(&session);
}

static int compare_doubles(const void *a, const void *b) {
    const double first = *(const double *)a, second = *(const double *)b;
    return first < second ? -1 : first > second;
}

/* Linear between the two nearest ranks. */
static double percentile(double scores[PATCHES][3], int channel, double percent) {
    double sorted[PATCHES];
    for (int i = 0; i < PATCHES; i++)
        sorted[i] = scores[i][channel];
    qsort(sorted, PATCHES, sizeof(*sorted), compare_doubles);
    const double position = percent / 100 * (PATCHES - 1);
    const int below = (int)position, above = below + 1 < PATCHES ? below + 1 : below;
    return sorted[below] + (sorted[above] - sorted[below]) * (position - below);
}

static double score_at(double scores[PATCHES][3], int x, int y, int channel) {
    x = x < 0 ? 0 : x < GRID_WIDTH ? x : GRID_WIDTH - 1;
    y = y < 0 ? 0 : y < GRID_HEIGHT ? y : GRID_HEIGHT - 1;
    return scores[y * GRID_WIDTH + x][channel];
}

static double expect(double scores[PATCHES][3], const dvk_target_desc *target, uint32_t width, uint32_t height,
                     uint32_t x, uint32_t y, int channel) {
    const double percent = target->kind == DVK_TARGET_PCA ? 1 : 0;
    const double low = percentile(scores, channel, percent), high = percentile(scores, channel, 100 - percent);
    double value;
    if (target->filter == DVK_TARGET_BILINEAR) {
        const double u = (x + 0.5) * GRID_WIDTH / width - 0.5, v = (y + 0.5) * GRID_HEIGHT / height - 0.5;
        const int column = (int)floor(u), row = (int)floor(v);
        const double right = u - column, down = v - row;
        value = (1 - down) * ((1 - right) * score_at(scores, column, row, channel) +
                              right * score_at(scores, column + 1, row, channel)) +
                down * ((1 - right) * score_at(scores, column, row + 1, channel) +
                        right * score_at(scores, column + 1, row + 1, channel));
    } else {
        value = score_at(scores, (int)(x * GRID_WIDTH / width), (int)(y * GRID_HEIGHT / height), channel);
    }
    return fmin(fmax((value - low) / (high - low), 0), 1);
}

/* -------------------------------------------------------------------------------------------------- pictures */

static double half_value(uint16_t bits) {
    const uint32_t mantissa = bits & 1023, exponent = bits >> 10 & 31;
    const double value =
        exponent ? ldexp(mantissa + 1024, (int)exponent - 25) : ldexp(mantissa, -24); /* no test writes infinities */
    return bits & 0x8000 ? -value : value;
}

static double channel_of(const test_picture *picture, const uint8_t *texel, int channel) {
    float value;
    uint16_t half;
    switch (picture->format) {
    case VK_FORMAT_R8G8B8A8_UNORM:
        return texel[channel] / 255.0;
    case VK_FORMAT_R16G16B16A16_SFLOAT:
        memcpy(&half, texel + 2 * channel, 2);
        return half_value(half);
    default: /* R32_SFLOAT has one channel */
        memcpy(&value, texel + 4 * channel, 4);
        return (double)value;
    }
}

/* Scores of this model are sums of D products with a basis of length 1 whose rounding errors are at most
 * (D + 3) 2^-24 |x| = 1e-4 for |x| of 25; the spread, that divides them, is above 1. Attention is a mean of two. */
enum { SCORE_ERRORS_IN_MILLIONTHS = 100 };

static double tolerance(VkFormat format) {
    const double scores = SCORE_ERRORS_IN_MILLIONTHS * 1e-6;
    return scores + (format == VK_FORMAT_R8G8B8A8_UNORM        ? 1.0 / 255 /* to the nearest or the next byte */
                     : format == VK_FORMAT_R16G16B16A16_SFLOAT ? 1.0 / 1024
                                                               : 0);
}

typedef struct test_case {
    dvk_target_desc target;
    bool managed;  /* the library sees to the layout */
    bool recorded; /* in the host's command buffer, in slices */
} test_case;

static void to_general(test_host *host, test_picture *picture) {
    const size_t bytes =
        (size_t)picture->width * picture->height * (picture->layers ? picture->layers : 1) * picture->texel_bytes;
    uint8_t *texels = malloc(bytes);
    REQUIRE(texels != NULL);
    memset(texels, 0x3c, bytes);
    picture_write(host, picture, texels, VK_IMAGE_LAYOUT_GENERAL);
    free(texels);
}

static void run_recorded(test_host *host, dvk_session *session) {
    dvk_error error = {DVK_OK, ""};
    CHECK(dvk_session_write(session, 0, pixels, BATCH, NULL) == DVK_OK);
    dvk_position at = {0, 0}, end = dvk_session_get_info(session)->end;
    VkCommandBuffer commands = host_begin(host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
    while (at.op < end.op) {
        dvk_position next = dvk_session_slice(session, at, 1);
        dvk_record_params record = {.command_buffer = commands, .flags = DVK_RECORD_UPLOAD, .first = at, .last = next};
        CHECK_MESSAGE(dvk_session_record(session, &record, &error) == DVK_OK, "%s", error.message);
        at = next;
    }
    host_run(host, commands);
}

/* Leaves the texels to be freed. */
static uint8_t *run_picture(test_host *host, dvk_model *model, const test_case *one, test_picture *picture) {
    dvk_session_params params = size;
    params.targets = &one->target;
    params.target_count = 1;
    dvk_session *session = open_session(model, params);
    dvk_target_binding target = {.view = (uint64_t)picture->view};
    if (one->managed) {
        target.image = (uint64_t)picture->image;
        target.final_layout = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL;
        picture->layout = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL;
    } else {
        to_general(host, picture);
    }
    dvk_bindings bindings = {.targets = &target, .target_count = 1};
    dvk_error error = {DVK_OK, ""};
    CHECK_MESSAGE(dvk_session_bind(session, 0, &bindings, &error) == DVK_OK, "%s", error.message);
    if (one->recorded)
        run_recorded(host, session);
    else
        CHECK_MESSAGE(dvk_session_run(session, pixels, BATCH, &error) == DVK_OK, "%s", error.message);
    uint8_t *texels = malloc((size_t)picture->width * picture->height * (picture->layers ? picture->layers : 1) *
                             picture->texel_bytes);
    REQUIRE(texels != NULL);
    picture_read(host, picture, texels);
    dvk_session_destroy(&session);
    return texels;
}

static void check_picture(test_host *host, dvk_model *model, const test_case *one, double scores[PATCHES][3]) {
    const dvk_target_desc *target = &one->target;
    const uint32_t width = target->width ? target->width : GRID_WIDTH,
                   height = target->height ? target->height : GRID_HEIGHT;
    test_picture picture = picture_create(host, (VkFormat)target->format,
                                          VK_IMAGE_USAGE_STORAGE_BIT | VK_IMAGE_USAGE_SAMPLED_BIT, width, height, 0);
    uint8_t *texels = run_picture(host, model, one, &picture);
    double worst = 0;
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (int c = 0; c < (picture.format == VK_FORMAT_R32_SFLOAT ? 1 : 4); c++) {
                const uint8_t *texel = texels + ((size_t)y * width + x) * picture.texel_bytes;
                const double expected = c == 3 ? 1 : expect(scores, target, width, height, x, y, c);
                worst = test_worst(worst, fabs(channel_of(&picture, texel, c) - expected));
            }
    CHECK_MESSAGE(worst <= tolerance(picture.format), "kind %d, format %u, %ux%u, filter %d: off by %g",
                  (int)target->kind, target->format, width, height, (int)target->filter, worst);
    free(texels);
    picture_destroy(host, &picture);
}

static const uint32_t picture_formats[] = {VK_FORMAT_R8G8B8A8_UNORM, VK_FORMAT_R16G16B16A16_SFLOAT,
                                           VK_FORMAT_R32G32B32A32_SFLOAT, VK_FORMAT_R32_SFLOAT};
static const uint32_t picture_sizes[][2] = {{0, 0}, {WIDTH, HEIGHT}, {61, 33}, {3, 2}, {1, 1}};

static void test_attention(test_host *host, dvk_model *model) {
    for (uint32_t i = 0; i < 40; i++) {
        test_case one = {
            .target = {.kind = DVK_TARGET_ATTENTION,
                       .image = i % BATCH,
                       .format = picture_formats[i % 4],
                       .width = picture_sizes[i % 5][0],
                       .height = picture_sizes[i % 5][1],
                       .filter = (dvk_target_filter)(i / 20),
                       .head = i % 3},
            .managed = i % 7 < 4,
            .recorded = i % 3 == 1,
        };
        double scores[PATCHES][3];
        const float *rows = attention[one.target.image];
        for (int p = 0; p < PATCHES; p++)
            for (int c = 0; c < 3; c++)
                scores[p][c] = one.target.head ? (double)rows[(one.target.head - 1) * TOKENS + 1 + (uint32_t)p]
                                               : ((double)rows[1 + p] + (double)rows[TOKENS + 1 + p]) / 2;
        check_picture(host, model, &one, scores);
    }
}

static void test_basis(test_host *host, dvk_model *model) {
    static float mean[D], basis[3 * D];
    uint64_t random = 9;
    for (int i = 0; i < 3 * D; i++)
        basis[i] = ((float)random_below(&random, 2001) / 1000 - 1) / 8; /* a length of about 0.58 */
    for (int i = 0; i < D; i++)
        mean[i] = (float)random_below(&random, 1000) / 1000;
    for (uint32_t i = 0; i < 15; i++) {
        test_case one = {
            .target = {.kind = DVK_TARGET_PCA,
                       .image = i % BATCH,
                       .format = picture_formats[i % 3],
                       .width = picture_sizes[i % 5][0],
                       .height = picture_sizes[i % 5][1],
                       .filter = (dvk_target_filter)(i % 2),
                       .mean = mean,
                       .basis = basis},
            .managed = i % 4 < 2,
            .recorded = i % 3 == 2,
        };
        double scores[PATCHES][3] = {{0}};
        for (int p = 0; p < PATCHES; p++)
            for (int c = 0; c < 3; c++)
                for (int d = 0; d < D; d++)
                    scores[p][c] +=
                        ((double)patches[one.target.image][p * D + d] - (double)mean[d]) * (double)basis[c * D + d];
        check_picture(host, model, &one, scores);
    }
}

/* How much of the tokens' variance three channels explain, whatever their scales are. */
static double explained(double channels[PATCHES][3], const float *tokens) {
    /* Gram-Schmidt of the centred channels, then the share of the centred tokens that lies in their span. */
    double total = 0, share = 0;
    for (int c = 0; c < 3; c++) {
        double mean = 0, square = 0;
        for (int p = 0; p < PATCHES; p++)
            mean += channels[p][c] / PATCHES;
        for (int p = 0; p < PATCHES; p++)
            channels[p][c] -= mean;
        for (int l = 0; l < c; l++) {
            double dot = 0;
            for (int p = 0; p < PATCHES; p++)
                dot += channels[p][c] * channels[p][l];
            for (int p = 0; p < PATCHES; p++)
                channels[p][c] -= dot * channels[p][l];
        }
        for (int p = 0; p < PATCHES; p++)
            square += channels[p][c] * channels[p][c];
        for (int p = 0; p < PATCHES; p++)
            channels[p][c] /= sqrt(square);
    }
    for (int d = 0; d < D; d++) {
        double mean = 0, dot[3] = {0, 0, 0};
        for (int p = 0; p < PATCHES; p++)
            mean += (double)tokens[p * D + d] / PATCHES;
        for (int p = 0; p < PATCHES; p++) {
            const double value = (double)tokens[p * D + d] - mean;
            total += value * value;
            for (int c = 0; c < 3; c++)
                dot[c] += value * channels[p][c];
        }
        for (int c = 0; c < 3; c++)
            share += dot[c] * dot[c];
    }
    return share / total;
}

static void test_own_basis(test_host *host, dvk_model *model) {
    for (uint32_t i = 0; i < BATCH; i++) {
        test_case one = {.target = {.kind = DVK_TARGET_PCA, .image = i, .format = VK_FORMAT_R32G32B32A32_SFLOAT},
                         .managed = true,
                         .recorded = i == 1};
        static double best[PATCHES * 3], first[PATCHES][3], shown[PATCHES][3];
        REQUIRE(principal_components(patches[i], PATCHES, D, 3, best));
        memcpy(first, best, sizeof(first));
        test_picture picture =
            picture_create(host, VK_FORMAT_R32G32B32A32_SFLOAT, VK_IMAGE_USAGE_STORAGE_BIT | VK_IMAGE_USAGE_SAMPLED_BIT,
                           GRID_WIDTH, GRID_HEIGHT, 0);
        uint8_t *texels = run_picture(host, model, &one, &picture), *again = run_picture(host, model, &one, &picture);
        CHECK_MESSAGE(memcmp(texels, again, (size_t)PATCHES * 16) == 0, "another run gives other bits");
        double worst = 0;
        for (uint32_t p = 0; p < PATCHES; p++)
            for (int c = 0; c < 3; c++) {
                shown[p][c] = channel_of(&picture, texels + (size_t)p * 16, c);
                worst = test_worst(worst, fabs(shown[p][c] - expect(first, &one.target, GRID_WIDTH, GRID_HEIGHT,
                                                                    p % GRID_WIDTH, p / GRID_WIDTH, c)));
            }
        const double most = explained(first, patches[i]), found = explained(shown, patches[i]);
        printf("image %u: three components explain %.4f of at most %.4f; colours are off by %.4f\n", i, found, most,
               worst);
        /* The lowest and highest patch of 35 are clipped, at their percentiles, which bends the channels a little. */
        CHECK_MESSAGE(found > 0.99 * most, "%g of %g", found, most);
        free(texels);
        free(again);
        picture_destroy(host, &picture);
    }
}

static void test_features(test_host *host, dvk_model *model) {
    for (uint32_t i = 0; i < 4; i++) {
        test_case one = {.target = {.kind = DVK_TARGET_FEATURES, .image = i / 2, .format = picture_formats[1 + i % 2]},
                         .managed = i < 2,
                         .recorded = i == 2};
        test_picture picture =
            picture_create(host, (VkFormat)one.target.format, VK_IMAGE_USAGE_STORAGE_BIT | VK_IMAGE_USAGE_SAMPLED_BIT,
                           GRID_WIDTH, GRID_HEIGHT, D / 4);
        uint8_t *texels = run_picture(host, model, &one, &picture);
        const bool exact = picture.format == VK_FORMAT_R32G32B32A32_SFLOAT;
        double worst = 0;
        for (uint32_t layer = 0; layer < D / 4; layer++)
            for (uint32_t p = 0; p < PATCHES; p++)
                for (int c = 0; c < 4; c++) {
                    const uint8_t *texel = texels + ((size_t)layer * PATCHES + p) * picture.texel_bytes;
                    const double expected = (double)patches[one.target.image][p * D + layer * 4 + (uint32_t)c];
                    /* A half has 11 bits: one unit in the last place, whichever way the device rounds. */
                    worst = test_worst(worst, fabs(channel_of(&picture, texel, c) - expected) -
                                                  (exact ? 0 : fmax(fabs(expected), 0x1p-14) / 1024));
                }
        CHECK_MESSAGE(worst <= 0, "features, format %u: off by %g", one.target.format, worst);
        free(texels);
        picture_destroy(host, &picture);
    }
}

/* --------------------------------------------------------------------------------------------------- buffers */

/* All outputs at once, each a target, without any of them being read back, and with all. */
static void test_buffers(test_host *host, dvk_model *model) {
    static float found[MAX_FEATURES];
    enum { COUNT = DVK_OUTPUT_LOGITS, ROOM = 65536 };
    dvk_target_desc targets[COUNT];
    dvk_target_binding bound[COUNT];
    test_memory memory = memory_create(host, COUNT * ROOM);
    for (uint32_t i = 0; i < COUNT; i++) {
        targets[i] = (dvk_target_desc){.kind = DVK_TARGET_BUFFER, .output = (dvk_output)i};
        bound[i] = (dvk_target_binding){.buffer = (uint64_t)memory.buffer, .offset = i * ROOM};
    }
    dvk_bindings bindings = {.targets = bound, .target_count = COUNT};
    for (int read = 0; read < 2; read++) {
        dvk_session_params params = size;
        params.outputs = read ? ALL_OUTPUTS : 0;
        params.targets = targets;
        params.target_count = COUNT;
        dvk_session *session = open_session(model, params);
        dvk_session *plain = open_session(
            model, (dvk_session_params){.batch = BATCH, .width = WIDTH, .height = HEIGHT, .outputs = ALL_OUTPUTS});
        memset(memory.mapped, 0xa5, COUNT * ROOM);
        CHECK(dvk_session_bind(session, 0, &bindings, NULL) == DVK_OK);
        CHECK(dvk_session_run(session, pixels, BATCH, NULL) == DVK_OK);
        CHECK(dvk_session_run(plain, pixels, BATCH, NULL) == DVK_OK);
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t shape[2] = {1, 1};
            CHECK(dvk_session_shape(session, (dvk_output)i, shape) == 0 || read || i == DVK_OUTPUT_CLS);
            CHECK(dvk_session_shape(plain, (dvk_output)i, shape) > 0);
            const size_t count = (size_t)shape[0] * shape[1];
            const uint8_t *place = (const uint8_t *)memory.mapped + i * ROOM;
            for (uint32_t image = 0; image < BATCH; image++) {
                CHECK(dvk_session_read(plain, (dvk_output)i, image, found, MAX_FEATURES, NULL) == DVK_OK);
                CHECK_MESSAGE(memcmp(place + image * count * 4, found, count * 4) == 0, "output %u of image %u", i,
                              image);
            }
            CHECK_MESSAGE(place[BATCH * count * 4] == 0xa5, "output %u goes too far", i);
        }
        dvk_session_destroy(&session);
        dvk_session_destroy(&plain);
    }
    memory_destroy(host, &memory);
}

/* ---------------------------------------------------------------------------------------------------- misuse */

static void check_refused(dvk_model *model, dvk_target_desc target, uint32_t count, dvk_result result,
                          const char *part) {
    dvk_session *session = NULL;
    dvk_error error = {DVK_OK, ""};
    dvk_session_params params = {.targets = &target, .target_count = count};
    CHECK_MESSAGE(dvk_session_create(model, &params, &session, &error) == result, "%s", part);
    CHECK_MESSAGE(strstr(error.message, part), "%s", error.message);
}

static void test_misuse(dvk_model *model) {
    const dvk_target_desc good = {.kind = DVK_TARGET_ATTENTION, .format = VK_FORMAT_R8G8B8A8_UNORM};
    dvk_target_desc bad = good;
    check_refused(model, bad, DVK_MAX_TARGETS + 1, DVK_ERROR_INVALID_ARGUMENT, "at most 8");
    bad.kind = (dvk_target_kind)0;
    check_refused(model, bad, 1, DVK_ERROR_INVALID_ARGUMENT, "kind 0");
    bad = good;
    bad.format = VK_FORMAT_R8G8B8A8_SRGB;
    check_refused(model, bad, 1, DVK_ERROR_UNSUPPORTED, "VkFormat 43");
    bad = good;
    bad.head = HEADS + 1;
    check_refused(model, bad, 1, DVK_ERROR_INVALID_ARGUMENT, "head 3");
    bad = good;
    bad.image = 1;
    check_refused(model, bad, 1, DVK_ERROR_INVALID_ARGUMENT, "image 1");
    bad = good;
    bad.width = 5;
    check_refused(model, bad, 1, DVK_ERROR_INVALID_ARGUMENT, "5x0");
    bad = good;
    bad.kind = DVK_TARGET_PCA;
    bad.format = VK_FORMAT_R32_SFLOAT;
    check_refused(model, bad, 1, DVK_ERROR_UNSUPPORTED, "VkFormat 100");
    bad = (dvk_target_desc){.kind = DVK_TARGET_BUFFER, .output = DVK_OUTPUT_LOGITS};
    check_refused(model, bad, 1, DVK_ERROR_UNSUPPORTED, "no classifier");

    dvk_error error = {DVK_OK, ""};
    dvk_session *session = open_session(model, (dvk_session_params){.targets = &good, .target_count = 1});
    dvk_target_binding target = {0};
    dvk_bindings bindings = {.targets = &target, .target_count = 1};
    CHECK(dvk_session_run(session, pixels, 1, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_bind(session, 0, &bindings, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK_MESSAGE(strstr(error.message, "no view"), "%s", error.message);
    target = (dvk_target_binding){.view = 1, .final_layout = 5};
    CHECK(dvk_session_bind(session, 0, &bindings, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK_MESSAGE(strstr(error.message, "final_layout"), "%s", error.message);
    bindings.target_count = 0;
    CHECK(dvk_session_bind(session, 0, &bindings, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK_MESSAGE(strstr(error.message, "0 targets"), "%s", error.message);
    dvk_session_destroy(&session);
}

/* With the variant for devices that have few registers, which no other test would come by. */
static void test_own_basis_small(test_host *host) {
    const dvk_import import = host_import(host);
    const dvk_context_params params = {.variants = "align/*/* = align_small"};
    dvk_context *context = NULL;
    dvk_error error;
    REQUIRE(dvk_context_import(&import, &params, &context, &error) == DVK_OK);
    dvk_model *model = load_model(context, MODEL);
    test_own_basis(host, model);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
}

int main(void) {
    test_host host;
    host_open(&host, HOST_BARE);
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    make_pixels(3, pixels, sizeof(pixels) / sizeof(pixels[0]));
    dvk_context *context = host_context(&host);
    dvk_model *model = load_model(context, MODEL);
    read_outputs(model);
    test_buffers(&host, model);
    test_attention(&host, model);
    test_basis(&host, model);
    test_own_basis(&host, model);
    test_features(&host, model);
    test_misuse(model);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    test_own_basis_small(&host);
    host_close(&host);
    CHECK(host_messages() == 0);
    return FINISH();
}
