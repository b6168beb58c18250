/* Host memory: all of it comes from the callbacks and goes back to them, and where any one allocation fails, the answer
 * is OUT_OF_HOST_MEMORY and nothing is left behind. That no file of the library calls malloc() is tests/install's. */
#include "vulkan_api.h"

#include "device.h"
#include "image_files.h"
#include "synth.h"
#include "test_allocator.h"

#include <sys/stat.h>

static const char *data_directory;
static test_memory memory;
static dvk_allocator allocator;

/* Does one thing with `allocator`; releases what it made. */
typedef dvk_result (*scenario)(const char *argument, dvk_error *error);

/* `may_succeed`: some failures do no harm, such as that of the cache's file. Returns how often it allocates. */
static uint64_t fail_everywhere(const char *name, scenario run, const char *argument, bool may_succeed) {
    dvk_error error;
    allocator = test_allocator(&memory);
    dvk_result result = run(argument, &error);
    if (result == DVK_ERROR_NO_VULKAN)
        return 0;
    REQUIRE(result == DVK_OK);
    const uint64_t total = memory.calls;
    CHECK_MESSAGE(total > 0 && memory.live == 0, "%s: %zu of %llu blocks are left", name, memory.live,
                  (unsigned long long)total);
    for (int ever_after = 0; ever_after < 2; ever_after++)
        for (uint64_t n = 1; n <= total; n++) {
            allocator = test_allocator(&memory);
            memory.fail_at = n;
            memory.fail_ever_after = ever_after;
            memset(&error, 0, sizeof(error));
            result = run(argument, &error);
            if (!memory.failures) /* another path, with fewer allocations: a driver's warmer cache, say */
                continue;
            CHECK_MESSAGE(result == DVK_ERROR_OUT_OF_HOST_MEMORY || (may_succeed && result == DVK_OK),
                          "%s: where allocation %llu of %llu fails, %s: %s", name, (unsigned long long)n,
                          (unsigned long long)total, dvk_result_name(result), error.message);
            if (result != DVK_OK)
                CHECK(error.code == result && strstr(error.message, "out of memory"));
            CHECK_MESSAGE(memory.live == 0, "%s: where allocation %llu of %llu fails, %zu blocks are left", name,
                          (unsigned long long)n, (unsigned long long)total, memory.live);
        }
    printf("%s: %llu allocations, each failed alone and with all after it\n", name, (unsigned long long)total);
    return total;
}

/* ------------------------------------------------------------------------------------------- without a device */

static image_file picture;

static dvk_result decode(const char *argument, dvk_error *error) {
    (void)argument;
    dvk_image image = {0};
    const dvk_image_params params = {.allocator = &allocator};
    dvk_result result = dvk_image_decode(picture.bytes, picture.size, picture.name, &params, &image, error);
    CHECK((result == DVK_OK) == (image.pixels != NULL));
    dvk_image_free(&image);
    return result;
}

static dvk_result load_image(const char *path, dvk_error *error) {
    dvk_image image = {0};
    dvk_result result = dvk_image_load(path, &(dvk_image_params){.allocator = &allocator}, &image, error);
    dvk_image_free(&image);
    return result;
}

static dvk_result load_model(const char *path, dvk_error *error) {
    dvk_model *model = NULL;
    dvk_model_params params = {.path = path, .allocator = &allocator};
    dvk_result result = dvk_model_load(NULL, &params, &model, error);
    CHECK((result == DVK_OK) == (model != NULL));
    dvk_estimate estimate;
    if (result == DVK_OK)
        result = dvk_model_estimate(model, NULL, &estimate, error);
    dvk_model_destroy(&model);
    return result;
}

static dvk_result preprocess(const char *path, dvk_error *error) {
    static uint8_t pixels[3 * 37 * 41];
    static float values[3 * 64 * 64];
    dvk_model *model = NULL;
    dvk_model_params params = {.path = path, .allocator = &allocator};
    dvk_result result = dvk_model_load(NULL, &params, &model, error);
    if (result != DVK_OK)
        return result;
    const dvk_image image = {.width = 37, .height = 41, .pixels = pixels};
    uint32_t width, height;
    dvk_preprocess_size(model, NULL, &image, &width, &height);
    REQUIRE(width * height <= 64 * 64);
    result = dvk_preprocess(model, NULL, &image, values, NULL, error);
    dvk_model_destroy(&model);
    return result;
}

static void test_images(void) {
    static const char *const names[] = {"hopper_128.png",
                                        "pil123p_palette_trns_interlaced.png",
                                        "hopper_128_baseline420.jpg",
                                        "testorig_227x149.jpg",
                                        "pil_sample_cmyk.jpg",
                                        "exif8_2x1.jpg",
                                        "hopper_128.bmp",
                                        "200x32_rgb_bl_rle.tga",
                                        "hopper_16bit.pgm"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        picture = load_image_file(data_directory, names[i]);
        fail_everywhere(names[i], decode, NULL, false);
        free(picture.bytes);
    }
    char path[1024];
    snprintf(path, sizeof(path), "%s/images/hopper_128.png", data_directory);
    fail_everywhere("a file", load_image, path, false);
}

static void test_models(void) {
    static const char *const models[] = {"vit-cls-tiny", "clip-tiny", "dinov3-tiny", "siglip-tiny"};
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        REQUIRE(synth_write_model(models[i], "memory-model", NULL));
        fail_everywhere(models[i], load_model, "memory-model", false);
    }
    fail_everywhere("preprocess", preprocess, "memory-model", false);
    REQUIRE(synth_write_model("dinov3-tiny", "memory-model", NULL)); /* whose processor resizes floats */
    fail_everywhere("preprocess floats", preprocess, "memory-model", false);
    char path[1024];
    snprintf(path, sizeof(path), "%s/torch/dino.pth", data_directory);
    fail_everywhere("torch", load_model, path, false);
    snprintf(path, sizeof(path), "%s/torch/dino-training.pth", data_directory);
    fail_everywhere("torch, training", load_model, path, false);
}

/* --------------------------------------------------------------------------------------------- with a device */

static dvk_result list_devices(const char *argument, dvk_error *error) {
    (void)argument;
    dvk_device_info infos[4];
    uint32_t count = 4;
    return dvk_list_devices(&(dvk_context_params){.allocator = &allocator}, infos, &count, error);
}

static dvk_result open_context(const char *cache_dir, const void *callbacks, dvk_context **context, dvk_error *error) {
    dvk_context_params params = {.device = getenv("DVK_TEST_DEVICE"),
                                 .log = test_log_,
                                 .log_level = DVK_LOG_ERROR,
                                 .cache_dir = cache_dir,
                                 .allocator = &allocator,
                                 .vulkan_allocator = callbacks};
    return dvk_context_create(&params, context, error);
}

static dvk_result create_context(const char *cache_dir, dvk_error *error) {
    dvk_context *context = NULL;
    dvk_result result = open_context(cache_dir, NULL, &context, error);
    dvk_context_destroy(&context);
    return result;
}

/* All at another size than the model's, so that positions are interpolated. */
static dvk_result run_pass(dvk_context *context, const char *path, dvk_error *error) {
    static const float pixels[3 * 24 * 40];
    static float values[4096];
    dvk_model *model = NULL;
    dvk_session *session = NULL;
    dvk_session_params size = {.width = 24, .height = 40};
    dvk_result result = dvk_model_load(context, &(dvk_model_params){.path = path}, &model, error);
    if (result == DVK_OK)
        result = dvk_session_create(model, &size, &session, error);
    if (result == DVK_OK)
        result = dvk_session_run(session, pixels, 1, error);
    if (result == DVK_OK)
        result = dvk_session_read(session, DVK_OUTPUT_CLS, 0, values, 4096, error);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    return result;
}

static dvk_result run_everything(const char *path, dvk_error *error) {
    dvk_context *context = NULL;
    dvk_result result = open_context(NULL, NULL, &context, error);
    if (result == DVK_OK)
        result = run_pass(context, path, error);
    dvk_context_destroy(&context);
    return result;
}

static dvk_result run_with_cache(const char *path, dvk_error *error) {
    dvk_context *context = NULL;
    dvk_result result = open_context("memory-cache", NULL, &context, error);
    if (result == DVK_OK)
        result = run_pass(context, path, error);
    dvk_context_destroy(&context);
    return result;
}

/* After the first run, a pass allocates nothing. */
static void test_warm_run(const char *path) {
    static const float pixels[3 * 32 * 32];
    dvk_context *context = NULL;
    dvk_model *model = NULL;
    dvk_session *session = NULL;
    allocator = test_allocator(&memory);
    REQUIRE(open_context("memory-cache", NULL, &context, NULL) == DVK_OK);
    REQUIRE(dvk_model_load(context, &(dvk_model_params){.path = path}, &model, NULL) == DVK_OK);
    REQUIRE(dvk_session_create(model, NULL, &session, NULL) == DVK_OK);
    REQUIRE(dvk_session_run(session, pixels, 1, NULL) == DVK_OK);
    const uint64_t before = memory.calls;
    for (int i = 0; i < 3; i++)
        REQUIRE(dvk_session_run(session, pixels, 1, NULL) == DVK_OK);
    CHECK(memory.calls == before);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    CHECK(memory.live == 0);
}

/* -------------------------------------------------------------------------------------------- Vulkan's callbacks */

static VKAPI_ATTR void *VKAPI_CALL vulkan_allocate(void *user, size_t size, size_t alignment,
                                                   VkSystemAllocationScope scope) {
    (void)scope;
    return test_allocate_(user, size ? size : 1, alignment);
}

static VKAPI_ATTR void VKAPI_CALL vulkan_free(void *user, void *block) {
    if (block)
        test_release_(user, block);
}

static VKAPI_ATTR void *VKAPI_CALL vulkan_reallocate(void *user, void *old, size_t size, size_t alignment,
                                                     VkSystemAllocationScope scope) {
    if (!size) {
        vulkan_free(user, old);
        return NULL;
    }
    void *block = vulkan_allocate(user, size, alignment, scope);
    if (block && old) {
        const uint64_t old_size = ((uint64_t *)(void *)((char *)old - TEST_HEADER))[1];
        memcpy(block, old, old_size < size ? old_size : size);
        vulkan_free(user, old);
    }
    return block;
}

/* A driver that allocates with callbacks and frees without them, or the other way round, would run into the block's
 * magic number or leave it alive. */
static void test_vulkan_callbacks(const char *path) {
    test_memory vulkan;
    memset(&vulkan, 0, sizeof(vulkan));
    VkAllocationCallbacks callbacks = {.pUserData = &vulkan,
                                       .pfnAllocation = vulkan_allocate,
                                       .pfnReallocation = vulkan_reallocate,
                                       .pfnFree = vulkan_free};
    dvk_context *context = NULL;
    dvk_error error;
    allocator = test_allocator(&memory);
    REQUIRE(open_context(NULL, &callbacks, &context, &error) == DVK_OK);
    memset(&callbacks, 0, sizeof(callbacks)); /* it was copied */
    const uint64_t before = vulkan.calls;
    CHECK(before > 0 && vulkan.live > 0);
    CHECK(run_pass(context, path, &error) == DVK_OK);
    CHECK(vulkan.calls > before);
    dvk_context_destroy(&context);
    CHECK_MESSAGE(vulkan.live == 0, "%zu of %llu blocks of Vulkan's are left", vulkan.live,
                  (unsigned long long)vulkan.calls);
    CHECK(memory.live == 0);
    uint32_t count = 0;
    callbacks = (VkAllocationCallbacks){.pUserData = &vulkan,
                                        .pfnAllocation = vulkan_allocate,
                                        .pfnReallocation = vulkan_reallocate,
                                        .pfnFree = vulkan_free};
    CHECK(dvk_list_devices(&(dvk_context_params){.vulkan_allocator = &callbacks}, NULL, &count, NULL) == DVK_OK);
    CHECK(vulkan.live == 0);
    printf("Vulkan: %llu allocations through the callbacks, at most %zu KiB at once\n",
           (unsigned long long)vulkan.calls, vulkan.peak_bytes / 1024);
}

static void test_arguments(void) {
    dvk_error error;
    dvk_context *context = NULL;
    dvk_model *model = NULL;
    dvk_image image;
    uint32_t count = 0;
    const dvk_allocator half = {NULL, test_allocate_, NULL};
    CHECK(dvk_context_create(&(dvk_context_params){.allocator = &half}, &context, &error) ==
          DVK_ERROR_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "release"));
    CHECK(dvk_list_devices(&(dvk_context_params){.allocator = &half}, NULL, &count, &error) ==
          DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_model_load(NULL, &(dvk_model_params){.path = "x", .allocator = &half}, &model, &error) ==
          DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_image_load("x", &(dvk_image_params){.allocator = &half}, &image, &error) == DVK_ERROR_INVALID_ARGUMENT);
}

/* test-memory DATA: everything, on the stub driver of tests/faults, which takes no time to compile; test-memory: what a
 * real driver makes of Vulkan's callbacks. */
int main(int count, char **arguments) {
    REQUIRE(synth_write_model("vit-tiny", "memory-vit", NULL));
    test_arguments();
    if (count == 2) {
        data_directory = arguments[1];
        test_images();
        test_models();
        REQUIRE(fail_everywhere("devices", list_devices, NULL, false) > 0);
        fail_everywhere("context", create_context, NULL, false);
        fail_everywhere("a pass", run_everything, "memory-vit", false);
        fail_everywhere("a pass, cache on disk", run_with_cache, "memory-vit", true);
    } else {
        dvk_error error = {0};
        uint32_t devices = 0;
        if (dvk_list_devices(NULL, NULL, &devices, &error) == DVK_ERROR_NO_VULKAN)
            SKIP("%s", error.message);
    }
    test_warm_run("memory-vit");
    test_vulkan_callbacks("memory-vit");
    return FINISH();
}
