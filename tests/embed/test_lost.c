/* A device that is lost, at any call: it is told, everything can be destroyed, and a new device works. And a device
 * that is not lost, but whose fences cannot be waited for. */
#include "host.h"
#include "interpose.h"
#include "outputs.h"
#include "synth.h"

#define MODEL "lost-vit-tiny"

int test_failures_, test_checks_;

static float pixels[IMAGE_FLOATS], expected[MAX_FEATURES], found[MAX_FEATURES];
static size_t feature_bytes;
static char last_log[512];

static void on_log(void *user, dvk_log_level level, const char *message) {
    (void)user;
    (void)level;
    snprintf(last_log, sizeof(last_log), "%s", message);
}

static dvk_context *import_interposed(test_host *host) {
    dvk_import import = host_import(host);
    import.get_instance_proc_addr = (dvk_function)interpose_get_instance_proc_addr;
    dvk_context *context = NULL;
    dvk_error error = {DVK_OK, ""};
    dvk_context_params params = {.log = on_log, .log_level = DVK_LOG_ERROR};
    CHECK_MESSAGE(dvk_context_import(&import, &params, &context, &error) == DVK_OK, "%s", error.message);
    REQUIRE(context != NULL);
    return context;
}

/* From loading to reading; the first failure ends it, and all is destroyed either way. */
static dvk_result run_everything(dvk_context *context, dvk_error *error) {
    dvk_model *model = NULL;
    dvk_session *session = NULL;
    dvk_result result = dvk_model_load(context, &(dvk_model_params){.path = MODEL}, &model, error);
    if (result == DVK_OK)
        result =
            dvk_session_create(model, &(dvk_session_params){.outputs = ALL_OUTPUTS, .in_flight = 2}, &session, error);
    if (result == DVK_OK)
        result = dvk_session_run(session, pixels, 1, error);
    if (result == DVK_OK)
        feature_bytes = read_features(session, 0, 0, found) * sizeof(float);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    CHECK(session == NULL && model == NULL);
    return result;
}

/* Lost at call n and ever after, for every n. A new context on a device that works must give the bits of before: the
 * same VkDevice here, for only the library believes that it is lost. */
static void test_lost(test_host *host) {
    dvk_error error;
    uint32_t calls = 0;
    for (;; calls++) {
        dvk_context *context = import_interposed(host);
        interpose_fail(calls, UINT32_MAX, VK_ERROR_DEVICE_LOST, NULL);
        dvk_result result = run_everything(context, &error);
        bool failed = interpose_failures() > 0;
        interpose_fail(0, 0, VK_SUCCESS, NULL);
        dvk_context_destroy(&context);
        if (!failed)
            break;
        CHECK_MESSAGE(result == DVK_ERROR_DEVICE_LOST, "call %u: %s", calls, dvk_result_name(result));
        CHECK_MESSAGE(strstr(error.message, "was lost"), "%s", error.message);
    }
    printf("lost at each of %u calls\n", calls);
    CHECK(calls > 50);
    memset(found, 0, sizeof(found));
    dvk_context *context = import_interposed(host);
    CHECK(run_everything(context, &error) == DVK_OK);
    CHECK(memcmp(found, expected, feature_bytes) == 0);
    dvk_context_destroy(&context);
}

/* While a pass is under way: waiting tells, the slot is free for destruction. */
static void test_lost_under_way(test_host *host) {
    dvk_context *context = import_interposed(host);
    dvk_model *model = load_model(context, MODEL);
    dvk_session *session = open_session(model, (dvk_session_params){.outputs = ALL_OUTPUTS, .in_flight = 2});
    dvk_error error;
    for (uint32_t slot = 0; slot < 2; slot++) {
        CHECK(dvk_session_write(session, slot, pixels, 1, NULL) == DVK_OK);
        CHECK(dvk_session_submit(session, &(dvk_submit_params){.slot = slot}, NULL) == DVK_OK);
    }
    interpose_fail(0, UINT32_MAX, VK_ERROR_DEVICE_LOST, NULL);
    CHECK(dvk_session_wait(session, 0, UINT64_MAX, &error) == DVK_ERROR_DEVICE_LOST);
    CHECK(dvk_session_read_slot(session, 0, DVK_OUTPUT_CLS, 0, found, 64, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_submit(session, &(dvk_submit_params){.slot = 0}, &error) == DVK_ERROR_DEVICE_LOST);
    dvk_session_destroy(&session); /* slot 1 is still under way */
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    interpose_fail(0, 0, VK_SUCCESS, NULL);
}

/* A wait that fails once for want of memory loses the pass and nothing else. */
static void test_wait_fails_once(test_host *host) {
    dvk_context *context = import_interposed(host);
    dvk_model *model = load_model(context, MODEL);
    dvk_session *session = open_session(model, (dvk_session_params){.outputs = ALL_OUTPUTS});
    interpose_fail(0, 1, VK_ERROR_OUT_OF_HOST_MEMORY, "vkWaitForFences");
    CHECK(dvk_session_run(session, pixels, 1, NULL) == DVK_ERROR_OUT_OF_HOST_MEMORY);
    CHECK(interpose_failures() == 1);
    memset(found, 0, sizeof(found));
    CHECK(dvk_session_run(session, pixels, 1, NULL) == DVK_OK);
    read_features(session, 0, 0, found);
    CHECK(memcmp(found, expected, feature_bytes) == 0);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
}

/* One that fails for good: nothing that the device may be using is destroyed, and that is told. */
static void test_abandoned(void) {
    test_host host;
    host_open(&host, HOST_UNWATCHED); /* the layer would tell of every object that is leaked, as it must be */
    dvk_context *context = import_interposed(&host);
    dvk_model *model = load_model(context, MODEL);
    dvk_session *session = open_session(model, (dvk_session_params){.outputs = ALL_OUTPUTS});
    interpose_fail(0, UINT32_MAX, VK_ERROR_OUT_OF_HOST_MEMORY, "vkWaitForFences");
    CHECK(dvk_session_run(session, pixels, 1, NULL) == DVK_ERROR_OUT_OF_HOST_MEMORY);
    CHECK_MESSAGE(strstr(last_log, "leaked"), "%s", last_log);
    interposed = (interposed_counts){0};
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    CHECK(interposed.vkDestroyBuffer == 0);
    interpose_fail(0, 0, VK_SUCCESS, NULL);
    host_close(&host);
}

int main(void) {
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    make_pixels(1, pixels, IMAGE_FLOATS);
    test_host host;
    host_open(&host, HOST_BARE);
    dvk_context *context = host_context(&host);
    dvk_error error;
    REQUIRE(run_everything(context, &error) == DVK_OK);
    memcpy(expected, found, sizeof(expected));
    dvk_context_destroy(&context);
    test_lost(&host);
    test_lost_under_way(&host);
    test_wait_fails_once(&host);
    CHECK(interposed.vkQueueWaitIdle == 0 && interposed.vkDeviceWaitIdle == 0);
    host_close(&host); /* the layer would tell of leaks here */
    CHECK(host_messages() == 0);
    test_abandoned();
    return FINISH();
}
