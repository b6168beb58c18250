/* The context that tests run on: the machine's first choice or $DVK_TEST_DEVICE, under the validation layer wherever
 * that is installed, so that every test is a validation test, too. */
#ifndef DVK_TEST_DEVICE_H_
#define DVK_TEST_DEVICE_H_

#include "dino_vk.h"
#include "test.h"

static int test_validation_messages_;

static inline void test_log_(void *user, dvk_log_level level, const char *message) {
    (void)user;
    if (level > DVK_LOG_WARNING)
        return;
    test_validation_messages_++;
    printf("log: %s\n", message);
}

/* Skips the whole program where there is no Vulkan. */
static inline dvk_context *test_open_context(const char *cache_dir) {
    dvk_context *context = NULL;
    dvk_error error;
    dvk_context_params params = {.device = getenv("DVK_TEST_DEVICE"),
                                 .log = test_log_,
                                 .log_level = DVK_LOG_WARNING,
                                 .cache_dir = cache_dir,
                                 .validation = true};
    dvk_result result = dvk_context_create(&params, &context, &error);
    if (result == DVK_ERROR_UNSUPPORTED) {
        static bool told;
        if (!told)
            printf("without validation: %s\n", error.message);
        told = true;
        params.validation = false;
        result = dvk_context_create(&params, &context, &error);
    }
    if (result == DVK_ERROR_NO_VULKAN)
        SKIP("%s", error.message);
    if (result != DVK_OK)
        printf("dvk_context_create: %s\n", error.message);
    REQUIRE(result == DVK_OK);
    return context;
}

/* Destroys it and checks that it never had anything to complain about. */
static inline void test_close_context(dvk_context **context) {
    dvk_context_destroy(context);
    CHECK(test_validation_messages_ == 0);
    test_validation_messages_ = 0;
}

#define CHECK_OK(call)                                                                                                 \
    do {                                                                                                               \
        dvk_error error_;                                                                                              \
        memset(&error_, 0, sizeof(error_));                                                                            \
        (void)error_;                                                                                                  \
        dvk_result result_ = (call);                                                                                   \
        CHECK_MESSAGE(result_ == DVK_OK, "%s", dvk_result_name(result_));                                              \
    } while (0)

#endif
