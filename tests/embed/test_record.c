/* The bits of a pass are the same on the library's own device, on the host's, in the host's command buffer, in many of
 * them, in secondary ones, and after a host that uses the same queue for other things. */
#include "outputs.h"
#include "host.h"
#include "random.h"
#include "synth.h"

int test_failures_, test_checks_;

#define MODEL "record-vit-tiny"

enum { BATCH = 2 };

static float pixels[2][BATCH * IMAGE_FLOATS]; /* the input, and another one to run in between */
static float expected[BATCH][MAX_FEATURES];
static size_t feature_count;

static void check_features(const dvk_session *session, uint32_t slot, const char *way) {
    static float found[MAX_FEATURES];
    for (uint32_t i = 0; i < BATCH; i++) {
        memset(found, 0, sizeof(found));
        CHECK(read_features(session, slot, i, found) == feature_count);
        CHECK_MESSAGE(memcmp(found, expected[i], feature_count * sizeof(float)) == 0, "%s, image %u", way, i);
    }
}

static dvk_session *open_default(dvk_model *model, uint32_t in_flight) {
    return open_session(model, (dvk_session_params){.batch = BATCH, .outputs = ALL_OUTPUTS, .in_flight = in_flight});
}

/* What all others are compared with, with the same features: other kernels round differently. */
static void run_on_own_device(uint32_t features) {
    dvk_context *context = NULL;
    dvk_context_params params = {.device = getenv("DVK_TEST_DEVICE"), .disabled_features = ~features};
    REQUIRE(dvk_context_create(&params, &context, NULL) == DVK_OK);
    dvk_model *model = load_model(context, MODEL);
    dvk_session *session = open_default(model, 1);
    REQUIRE(dvk_session_run(session, pixels[0], BATCH, NULL) == DVK_OK);
    for (uint32_t i = 0; i < BATCH; i++)
        feature_count = read_features(session, 0, i, expected[i]);
    CHECK(memcmp(expected[0], expected[1], feature_count * sizeof(float)) != 0);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
}

static void record(dvk_session *session, VkCommandBuffer commands, uint32_t slot, dvk_position first,
                   dvk_position last) {
    dvk_error error = {DVK_OK, ""};
    dvk_result result = dvk_session_record(session,
                                           &(dvk_record_params){.command_buffer = commands,
                                                                .slot = slot,
                                                                .flags = DVK_RECORD_UPLOAD | DVK_RECORD_READBACK,
                                                                .first = first,
                                                                .last = last},
                                           &error);
    CHECK_MESSAGE(result == DVK_OK, "%s", error.message);
}

static void run_another(dvk_session *session) {
    CHECK(dvk_session_run(session, pixels[1], BATCH, NULL) == DVK_OK);
    CHECK(dvk_session_write(session, 0, pixels[0], BATCH, NULL) == DVK_OK);
}

static void test_run(dvk_session *session) {
    CHECK(dvk_session_run(session, pixels[0], BATCH, NULL) == DVK_OK);
    check_features(session, 0, "run on the host's device");
}

static void test_whole(test_host *host, dvk_session *session) {
    run_another(session);
    VkCommandBuffer commands = host_begin(host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
    record(session, commands, 0, (dvk_position){0, 0}, (dvk_position){0, 0});
    host_run(host, commands);
    check_features(session, 0, "recorded");

    /* Twice in one command buffer: the barrier at the start must keep them apart. */
    run_another(session);
    commands = host_begin(host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
    record(session, commands, 0, (dvk_position){0, 0}, (dvk_position){0, 0});
    record(session, commands, 0, (dvk_position){0, 0}, (dvk_position){0, 0});
    host_run(host, commands);
    check_features(session, 0, "recorded twice");
}

/* A recorded command buffer may be submitted again and again, with other input each time. */
static void test_replay(test_host *host, dvk_session *session) {
    static float again[MAX_FEATURES];
    VkCommandBuffer commands = host_begin(host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
    record(session, commands, 0, (dvk_position){0, 0}, (dvk_position){0, 0});
    VK(vkEndCommandBuffer(commands));
    VkFence fence = host_fence(host);
    VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    for (int i = 0; i < 8; i++) {
        CHECK(dvk_session_write(session, 0, pixels[i % 2 == 0], BATCH, NULL) == DVK_OK);
        VK(vkQueueSubmit(host->queue, 1, &submit, fence));
        VK(vkWaitForFences(host->device, 1, &fence, VK_TRUE, UINT64_MAX));
        VK(vkResetFences(host->device, 1, &fence));
        read_features(session, 0, 0, again);
        CHECK((memcmp(again, expected[0], feature_count * sizeof(float)) == 0) == (i % 2 == 1));
    }
    vkDestroyFence(host->device, fence, NULL);
    vkFreeCommandBuffers(host->device, host->command_pool, 1, &commands);
}

/* Slices of any budget, each in a command buffer and a submission of its own, as frames are. */
static void test_slices(test_host *host, dvk_session *session) {
    static const uint32_t budgets[] = {10, 100, 1000, UINT32_MAX};
    const dvk_position end = dvk_session_get_info(session)->end;
    uint32_t most = 0;
    for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++) {
        run_another(session);
        uint32_t slices = 0;
        for (dvk_position at = {0, 0}; at.op < end.op; slices++) {
            dvk_position next = dvk_session_slice(session, at, budgets[i]);
            REQUIRE(next.op > at.op || (next.op == at.op && next.group > at.group));
            VkCommandBuffer commands = host_begin(host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
            record(session, commands, 0, at, next);
            host_run(host, commands);
            CHECK(dvk_session_learn(session, at, next, slices % 3 * 20, NULL) == DVK_OK);
            at = next;
        }
        char way[64];
        snprintf(way, sizeof(way), "%u slices of %u us", slices, budgets[i]);
        check_features(session, 0, way);
        most = slices > most ? slices : most;
    }
    CHECK_MESSAGE(most > 2 * end.op, "ops are divided: %u slices of %u ops", most, end.op);
    dvk_position after = dvk_session_slice(session, end, 1000);
    CHECK(after.op == end.op && after.group == 0);
}

/* Ranges in one command buffer; and secondary ones that a primary executes. */
static void test_one_buffer(test_host *host, dvk_session *session) {
    const dvk_position end = dvk_session_get_info(session)->end;
    uint64_t random = 7;
    for (int secondary = 0; secondary < 2; secondary++)
        for (int round = 0; round < 5; round++) {
            VkCommandBuffer parts[512];
            uint32_t part_count = 0;
            run_another(session);
            VkCommandBuffer primary = host_begin(host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
            for (dvk_position at = {0, 0}; at.op < end.op;) {
                dvk_position next = dvk_session_slice(session, at, random_below(&random, 4000));
                REQUIRE(part_count < 512);
                if (secondary) {
                    VkCommandBuffer part = host_begin(host, VK_COMMAND_BUFFER_LEVEL_SECONDARY);
                    record(session, part, 0, at, next);
                    VK(vkEndCommandBuffer(part));
                    parts[part_count++] = part;
                } else {
                    record(session, primary, 0, at, next);
                }
                at = next;
            }
            if (secondary)
                vkCmdExecuteCommands(primary, part_count, parts);
            host_run(host, primary);
            if (secondary)
                vkFreeCommandBuffers(host->device, host->command_pool, part_count, parts);
            check_features(session, 0, secondary ? "secondary command buffers" : "ranges in one command buffer");
        }
}

/* Two sessions of one model take turns slice by slice, as two views of a game would. */
static void test_interleaved(test_host *host, dvk_model *model) {
    dvk_session *sessions[2];
    dvk_position at[2] = {{0, 0}, {0, 0}};
    for (int i = 0; i < 2; i++) {
        sessions[i] = open_default(model, 1);
        CHECK(dvk_session_write(sessions[i], 0, pixels[0], BATCH, NULL) == DVK_OK);
    }
    const dvk_position end = dvk_session_get_info(sessions[0])->end;
    while (at[0].op < end.op || at[1].op < end.op) {
        VkCommandBuffer commands = host_begin(host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
        for (int i = 0; i < 2; i++) {
            if (at[i].op >= end.op)
                continue;
            dvk_position next = dvk_session_slice(sessions[i], at[i], i ? 300 : 500);
            record(sessions[i], commands, 0, at[i], next);
            at[i] = next;
        }
        host_run(host, commands);
    }
    for (int i = 0; i < 2; i++) {
        check_features(sessions[i], 0, "interleaved sessions");
        dvk_session_destroy(&sessions[i]);
    }
}

static void test_misuse(dvk_session *session, VkCommandBuffer commands) {
    const dvk_position end = dvk_session_get_info(session)->end, start = {0, 0};
    const dvk_record_params good = {.command_buffer = commands};
    dvk_error error;
    const struct {
        dvk_position first, last;
    } wrong[] = {{end, end},
                 {end, start},
                 {{1, 0}, {1, 0}},
                 {{2, 0}, {1, 0}},
                 {{0, UINT32_MAX}, end},
                 {start, {end.op, 1}},
                 {start, {end.op + 1, 0}}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        dvk_record_params params = good;
        params.first = wrong[i].first;
        params.last = wrong[i].last;
        CHECK_MESSAGE(dvk_session_record(session, &params, &error) == DVK_ERROR_INVALID_ARGUMENT, "range %zu", i);
        CHECK_MESSAGE(dvk_session_learn(session, wrong[i].first, wrong[i].last, 1, &error) ==
                          DVK_ERROR_INVALID_ARGUMENT,
                      "range %zu", i);
    }
    dvk_record_params params = good;
    params.command_buffer = NULL;
    CHECK(dvk_session_record(session, &params, &error) == DVK_ERROR_INVALID_ARGUMENT);
    params = good, params.slot = 1;
    CHECK(dvk_session_record(session, &params, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK_MESSAGE(strstr(error.message, "slot 1"), "%s", error.message);
    params = good, params.flags = 1u << 31;
    CHECK(dvk_session_record(session, &params, &error) == DVK_ERROR_INVALID_ARGUMENT);
    params = good, params.count = BATCH + 1;
    CHECK(dvk_session_record(session, &params, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_record(NULL, &good, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_record(session, NULL, &error) == DVK_ERROR_INVALID_ARGUMENT);
}

static void test_kind(host_kind kind) {
    test_host host;
    host_open(&host, kind);
    run_on_own_device(host.features);
    dvk_context *context = host_context(&host);
    dvk_model *model = load_model(context, MODEL);
    dvk_session *session = open_default(model, 1);
    test_run(session);
    test_whole(&host, session);
    test_replay(&host, session);
    test_slices(&host, session);
    test_one_buffer(&host, session);
    test_interleaved(&host, model);
    VkCommandBuffer commands = host_begin(&host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
    test_misuse(session, commands);
    host_run(&host, commands);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    CHECK(context == NULL && host.submissions > 0);
    host_close(&host);
}

int main(void) {
    make_pixels(1, pixels[0], BATCH * IMAGE_FLOATS);
    make_pixels(2, pixels[1], BATCH * IMAGE_FLOATS);
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    test_kind(HOST_GODOT);
    test_kind(HOST_BARE);
    test_kind(HOST_ADVISED);
    CHECK(host_messages() == 0);
    return FINISH();
}
