/* What dvk_context_import() takes and refuses, and what dvk_advise_device() says. */
#include "outputs.h"
#include "host.h"
#include "synth.h"

int test_failures_, test_checks_;

#define MODEL "import-vit-tiny"

/* Each refusal names the field. */
static void expect_refusal(const dvk_import *import, const dvk_context_params *params, dvk_result expected,
                           const char *word) {
    dvk_context *context = NULL;
    dvk_error error = {DVK_OK, ""};
    dvk_result result = dvk_context_import(import, params, &context, &error);
    CHECK_MESSAGE(result == expected && error.code == expected, "%s: %s", word, dvk_result_name(result));
    CHECK_MESSAGE(strstr(error.message, word), "\"%s\" is not in: %s", word, error.message);
    CHECK(context == NULL);
}

static void test_refusals(test_host *host) {
    const dvk_import good = host_import(host);
    dvk_import import;
    dvk_context *context = NULL;
#define REFUSE(field, value, code, word)                                                                               \
    do {                                                                                                               \
        import = good;                                                                                                 \
        import.field = value;                                                                                          \
        expect_refusal(&import, NULL, code, word);                                                                     \
    } while (0)
    REFUSE(get_instance_proc_addr, NULL, DVK_ERROR_INVALID_ARGUMENT, "get_instance_proc_addr");
    REFUSE(instance, NULL, DVK_ERROR_INVALID_ARGUMENT, "instance");
    REFUSE(physical_device, NULL, DVK_ERROR_INVALID_ARGUMENT, "physical_device");
    REFUSE(device, NULL, DVK_ERROR_INVALID_ARGUMENT, "device");
    REFUSE(api_version, 0, DVK_ERROR_UNSUPPORTED, "api_version");
    REFUSE(api_version, VK_API_VERSION_1_0, DVK_ERROR_UNSUPPORTED, "Vulkan 1.0");
    REFUSE(queue_family, 1000, DVK_ERROR_INVALID_ARGUMENT, "queue_family 1000");
    REFUSE(queue_index, 1000, DVK_ERROR_INVALID_ARGUMENT, "queue_index 1000");
    REFUSE(features, 1u << 30, DVK_ERROR_INVALID_ARGUMENT, "features");
    REFUSE(lock_queue, NULL, DVK_ERROR_INVALID_ARGUMENT, "lock_queue");
    REFUSE(unlock_queue, NULL, DVK_ERROR_INVALID_ARGUMENT, "unlock_queue");
    REFUSE(reserved[3], 1, DVK_ERROR_INVALID_ARGUMENT, "reserved");
#undef REFUSE
    expect_refusal(&good, &(dvk_context_params){.device = "llvmpipe"}, DVK_ERROR_INVALID_ARGUMENT, "device");
    expect_refusal(&good, &(dvk_context_params){.validation = true}, DVK_ERROR_INVALID_ARGUMENT, "validation");
    CHECK(dvk_context_import(NULL, NULL, &context, NULL) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_context_import(&good, NULL, NULL, NULL) == DVK_ERROR_INVALID_ARGUMENT);
}

/* queue NULL: the library asks for it; no lock; no log; and the host's pipeline cache, which gets what is compiled. */
static void test_options(test_host *host) {
    dvk_import import = host_import(host);
    VkPipelineCache cache;
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    VK(vkCreatePipelineCache(host->device, &info, NULL, &cache));
    size_t before = 0, after = 0;
    VK(vkGetPipelineCacheData(host->device, cache, &before, NULL));
    import.queue = NULL;
    import.lock_queue = import.unlock_queue = NULL;
    import.pipeline_cache = (uint64_t)cache;
    dvk_context *context = NULL;
    dvk_error error = {DVK_OK, ""};
    CHECK_MESSAGE(dvk_context_import(&import, NULL, &context, &error) == DVK_OK, "%s", error.message);
    CHECK(context && dvk_context_device(context)->usable);
    dvk_model *model = load_model(context, MODEL);
    dvk_session *session = open_session(model, (dvk_session_params){0});
    static float pixels[IMAGE_FLOATS], cls[64];
    CHECK(dvk_session_run(session, pixels, 1, NULL) == DVK_OK);
    CHECK(dvk_session_read(session, DVK_OUTPUT_CLS, 0, cls, 64, NULL) == DVK_OK);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    VK(vkGetPipelineCacheData(host->device, cache, &after, NULL)); /* it is still there */
    CHECK_MESSAGE(after >= before, "%zu bytes after %zu", after, before);
    vkDestroyPipelineCache(host->device, cache, NULL);
}

static void test_advice(test_host *host) {
    dvk_import import = host_import(host);
    dvk_device_advice advice;
    dvk_error error = {DVK_OK, ""};
    memset(&advice, 0xff, sizeof(advice));
    CHECK(dvk_advise_device(&import, 0, &advice, &error) == DVK_OK);
    CHECK(advice.features == 0 && advice.extension_count == 0 && advice.chain == NULL);
    CHECK(dvk_advise_device(&import, UINT32_MAX, &advice, &error) == DVK_OK);
    printf("advice: features 0x%x, %u extensions\n", advice.features, advice.extension_count);
    uint32_t all = advice.features;
    for (uint32_t bit = 1; bit; bit <<= 1) {
        CHECK(dvk_advise_device(&import, bit, &advice, &error) == DVK_OK);
        CHECK(advice.features == (all & bit) || (bit & DVK_FEATURE_COOPERATIVE_MATRIX_2));
    }
    CHECK(dvk_advise_device(NULL, 0, &advice, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_advise_device(&import, 0, NULL, &error) == DVK_ERROR_INVALID_ARGUMENT);
    import.api_version = VK_API_VERSION_1_0;
    CHECK(dvk_advise_device(&import, 0, &advice, &error) == DVK_ERROR_UNSUPPORTED);
}

/* In every params struct: a struct that was not initialised is noticed, wherever the garbage lies. */
static void test_reserved(test_host *host) {
    dvk_context *context = host_context(host);
    dvk_model *model = load_model(context, MODEL), *other = NULL;
    dvk_session *session = open_session(model, (dvk_session_params){0}), *another = NULL;
    const dvk_import import = host_import(host);
    dvk_context *second = NULL;
    dvk_estimate estimate;
    dvk_error error;
    uint32_t count = 0;
    static uint8_t black[3];
    static float values[3 * 32 * 32];
    dvk_image image = {1, 1, black, {0}};
    for (int i = 0; i < 8; i++) {
#define REFUSED(type, call)                                                                                            \
    do {                                                                                                               \
        dvk_##type params = {0};                                                                                       \
        params.reserved[i] = UINT64_C(1) << (8 * i);                                                                   \
        memset(&error, 0, sizeof(error));                                                                              \
        CHECK_MESSAGE((call) == DVK_ERROR_INVALID_ARGUMENT && strstr(error.message, "dvk_" #type ".reserved"), "%s",   \
                      error.message);                                                                                  \
    } while (0)
        REFUSED(context_params, dvk_context_import(&import, &params, &second, &error));
        REFUSED(context_params, dvk_context_create(&params, &second, &error));
        REFUSED(context_params, dvk_list_devices(&params, NULL, &count, &error));
        REFUSED(model_params, dvk_model_load(context, &params, &other, &error));
        REFUSED(session_params, dvk_session_create(model, &params, &another, &error));
        REFUSED(session_params, dvk_model_estimate(model, &params, &estimate, &error));
        REFUSED(preprocess_params, dvk_preprocess(model, &params, &image, values, NULL, &error));
        REFUSED(image_params, dvk_image_load("nothing.png", &params, &image, &error));
        REFUSED(image_params, dvk_image_decode("", 0, NULL, &params, &image, &error));
        REFUSED(submit_params, dvk_session_submit(session, &params, &error));
        REFUSED(record_params, dvk_session_record(session, &params, &error));
#undef REFUSED
    }
    CHECK(!second && !other && !another);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
}

static void test_version(void) {
    dvk_error error = {DVK_OK, ""};
    CHECK(dvk_check_version(DVK_VERSION_MAJOR, DVK_VERSION_MINOR, &error) == DVK_OK);
    CHECK(dvk_check_version(DVK_VERSION_MAJOR, 0, &error) == DVK_OK);
    CHECK(dvk_check_version(DVK_VERSION_MAJOR, DVK_VERSION_MINOR + 1, &error) == DVK_ERROR_UNSUPPORTED);
    CHECK_MESSAGE(strstr(error.message, "update the library"), "%s", error.message);
    CHECK(dvk_check_version(DVK_VERSION_MAJOR + 1, 0, &error) == DVK_ERROR_UNSUPPORTED);
    CHECK(dvk_check_version(0, 1, NULL) == DVK_ERROR_UNSUPPORTED);
}

int main(void) {
    test_version();
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    test_host host;
    host_open(&host, HOST_GODOT);
    test_refusals(&host);
    test_options(&host);
    test_advice(&host);
    test_reserved(&host);
    host_close(&host);
    CHECK(host_messages() == 0);
    return FINISH();
}
