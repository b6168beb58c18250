/* Passes under way: slots, polling, the host's semaphores and fences, threads. */
#include "outputs.h"
#include "host.h"
#include "synth.h"

int test_failures_, test_checks_;

#define MODEL "submit-vit-tiny"

enum { IMAGES = 5, SLOTS = 3, THREADS = 2, ROUNDS = 20 };

static float pixels[IMAGES][IMAGE_FLOATS];
static float expected[IMAGES][MAX_FEATURES];
static size_t feature_bytes;

static dvk_session *open_slots(dvk_model *model, uint32_t slots) {
    return open_session(model, (dvk_session_params){.outputs = ALL_OUTPUTS, .in_flight = slots});
}

static bool is_expected(const dvk_session *session, uint32_t slot, uint32_t image) {
    float found[MAX_FEATURES];
    read_features(session, slot, 0, found);
    return memcmp(found, expected[image], feature_bytes) == 0;
}

static void compute_expected(dvk_model *model) {
    dvk_session *session = open_slots(model, 0);
    CHECK(dvk_session_get_info(session)->slots == 1);
    for (uint32_t i = 0; i < IMAGES; i++) {
        make_pixels(i, pixels[i], IMAGE_FLOATS);
        REQUIRE(dvk_session_run(session, pixels[i], 1, NULL) == DVK_OK);
        feature_bytes = read_features(session, 0, 0, expected[i]) * sizeof(float);
    }
    CHECK(memcmp(expected[0], expected[1], feature_bytes) != 0);
    dvk_session_destroy(&session);
}

/* A ring: each slot has its own input and output, whatever the others do. */
static void test_ring(dvk_model *model) {
    dvk_session *session = open_slots(model, SLOTS);
    CHECK(dvk_session_get_info(session)->slots == SLOTS);
    for (uint32_t i = 0; i < 40; i++) {
        uint32_t slot = i % SLOTS;
        if (i >= SLOTS) {
            CHECK(dvk_session_wait(session, slot, UINT64_MAX, NULL) == DVK_OK);
            CHECK_MESSAGE(is_expected(session, slot, (i - SLOTS) % IMAGES), "pass %u", i - SLOTS);
        }
        CHECK(dvk_session_write(session, slot, pixels[i % IMAGES], 1, NULL) == DVK_OK);
        CHECK(dvk_session_submit(session, &(dvk_submit_params){.slot = slot}, NULL) == DVK_OK);
    }
    dvk_session_destroy(&session); /* with passes under way */
}

/* The host holds our pass back with a semaphore of its own, so that it surely is under way. */
static void test_under_way(test_host *host, dvk_model *model) {
    dvk_session *session = open_slots(model, 2);
    VkSemaphore before = host_semaphore(host, false), after = host_semaphore(host, false);
    VkFence fence = host_fence(host), last = host_fence(host);
    dvk_semaphore wait = {.handle = (uint64_t)before}, signal = {.handle = (uint64_t)after};
    dvk_submit_params params = {
        .wait = &wait, .wait_count = 1, .signal = &signal, .signal_count = 1, .fence = (uint64_t)fence};
    dvk_error error = {DVK_OK, "untouched"};
    float value;
    CHECK(dvk_session_submit(session, &params, &error) == DVK_ERROR_INVALID_ARGUMENT); /* no input */
    CHECK_MESSAGE(strstr(error.message, "no input"), "%s", error.message);
    error = (dvk_error){DVK_OK, "untouched"};
    CHECK(dvk_session_write(session, 0, pixels[0], 1, &error) == DVK_OK);
    host_submit(host, VK_NULL_HANDLE, before, VK_NULL_HANDLE);
    CHECK(dvk_session_submit(session, &params, &error) == DVK_OK);
    host_submit(host, after, VK_NULL_HANDLE, last);

    /* Whether it is done by now or not: waiting leaves it done, and reading before that is refused. */
    CHECK(dvk_session_read(session, DVK_OUTPUT_CLS, 0, &value, 1, NULL) == DVK_ERROR_INVALID_ARGUMENT);
    dvk_result polled = dvk_session_wait(session, 0, 0, &error);
    CHECK(polled == DVK_OK || polled == DVK_TIMEOUT);
    CHECK(!strcmp(error.message, "untouched"));
    CHECK(dvk_session_wait(session, 0, UINT64_MAX, &error) == DVK_OK);
    CHECK(dvk_session_wait(session, 0, 0, &error) == DVK_OK); /* nothing is under way: at once */
    CHECK(dvk_session_wait(session, 1, UINT64_MAX, &error) == DVK_OK);
    CHECK(is_expected(session, 0, 0));
    const VkFence fences[] = {fence, last};
    VK(vkWaitForFences(host->device, 2, fences, VK_TRUE, UINT64_MAX));
    dvk_session_destroy(&session);
    vkDestroyFence(host->device, fence, NULL);
    vkDestroyFence(host->device, last, NULL);
    vkDestroySemaphore(host->device, before, NULL);
    vkDestroySemaphore(host->device, after, NULL);
}

static void test_misuse(test_host *host, dvk_model *model) {
    dvk_session *session = NULL;
    dvk_error error;
    CHECK(dvk_session_create(model, &(dvk_session_params){.in_flight = DVK_MAX_SLOTS + 1}, &session, &error) ==
          DVK_ERROR_INVALID_ARGUMENT);
    session = open_slots(model, 1);
    CHECK(dvk_session_write(session, 1, pixels[0], 1, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_write(session, 0, NULL, 1, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_write(session, 0, pixels[0], 2, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_write(NULL, 0, pixels[0], 1, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_write(session, 0, pixels[0], 1, &error) == DVK_OK);
    VkSemaphore semaphore = host_semaphore(host, false);
    dvk_semaphore timeline = {.handle = (uint64_t)semaphore, .value = 1}, many[DVK_MAX_SEMAPHORES + 1] = {{0, 0}};
    dvk_submit_params wrong[] = {
        {.slot = 1},
        {.wait_count = 1},
        {.signal_count = 1},
        {.wait_count = DVK_MAX_SEMAPHORES + 1, .wait = many},
        {.signal_count = DVK_MAX_SEMAPHORES + 1, .signal = many},
        {.wait_count = 1, .wait = &timeline}, /* nothing was attested */
        {.signal_count = 1, .signal = &timeline},
        {.reserved = {0, 1}},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK_MESSAGE(dvk_session_submit(session, &wrong[i], &error) == DVK_ERROR_INVALID_ARGUMENT, "case %zu", i);
    CHECK(dvk_session_wait(session, 1, 0, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_wait(NULL, 0, 0, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_session_submit(NULL, NULL, &error) == DVK_ERROR_INVALID_ARGUMENT);
    vkDestroySemaphore(host->device, semaphore, NULL);
    dvk_session_destroy(&session);
}

/* A pass that waits for a timeline value that the host has not reached is under way for as long as the host likes. */
static void test_timeline(void) {
    test_host host;
    host_open(&host, HOST_ADVISED);
    if (!(host.features & DVK_FEATURE_TIMELINE_SEMAPHORE)) {
        printf("skipped: timeline semaphores: the device has none\n");
        host_close(&host);
        return;
    }
    dvk_context *context = host_context(&host);
    dvk_model *model = load_model(context, MODEL);
    compute_expected(model); /* with the kernels that the features admit */
    dvk_session *session = open_slots(model, 2);
    VkSemaphore semaphore = host_semaphore(&host, true);
    dvk_semaphore wait = {.handle = (uint64_t)semaphore, .value = 5};
    dvk_semaphore signal = {.handle = (uint64_t)semaphore, .value = 6};
    dvk_submit_params params = {.wait = &wait, .wait_count = 1, .signal = &signal, .signal_count = 1};
    dvk_error error = {DVK_OK, "untouched"};
    CHECK(dvk_session_write(session, 0, pixels[1], 1, NULL) == DVK_OK);
    CHECK(dvk_session_submit(session, &params, &error) == DVK_OK);
    CHECK(dvk_session_wait(session, 0, 0, &error) == DVK_TIMEOUT);
    CHECK(dvk_session_wait(session, 0, 20000000, &error) == DVK_TIMEOUT);
    CHECK(dvk_session_write(session, 0, pixels[2], 1, &error) == DVK_TIMEOUT);
    CHECK(dvk_session_submit(session, &params, &error) == DVK_TIMEOUT);
    CHECK(dvk_session_run(session, pixels[2], 1, &error) == DVK_TIMEOUT);
    CHECK(!strcmp(error.message, "untouched"));
    CHECK(dvk_session_write(session, 1, pixels[2], 1, &error) == DVK_OK); /* the other slot is free */
    PFN_vkSignalSemaphoreKHR signal_semaphore =
        (PFN_vkSignalSemaphoreKHR)vkGetDeviceProcAddr(host.device, "vkSignalSemaphoreKHR");
    PFN_vkWaitSemaphoresKHR wait_semaphores =
        (PFN_vkWaitSemaphoresKHR)vkGetDeviceProcAddr(host.device, "vkWaitSemaphoresKHR");
    VK(signal_semaphore(host.device, &(VkSemaphoreSignalInfo){.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO,
                                                              .semaphore = semaphore,
                                                              .value = 5}));
    CHECK(dvk_session_wait(session, 0, UINT64_MAX, &error) == DVK_OK);
    CHECK(is_expected(session, 0, 1));
    /* A fence says nothing of semaphores that the same submission signals. */
    VK(wait_semaphores(host.device,
                       &(VkSemaphoreWaitInfo){.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                              .semaphoreCount = 1,
                                              .pSemaphores = &semaphore,
                                              .pValues = &signal.value},
                       UINT64_MAX));
    dvk_session_destroy(&session);
    vkDestroySemaphore(host.device, semaphore, NULL);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    host_close(&host);
}

/* ------------------------------------------------------------------------------------------------- threads */

typedef struct thread_case {
    pthread_t thread;
    dvk_context *context;
    int wrong;
} thread_case;

/* CHECK counts without a lock, so a thread counts by itself. */
static void *run_thread(void *argument) {
    thread_case *thread = argument;
    dvk_model *model = NULL;
    dvk_session *session = NULL;
    float found[MAX_FEATURES];
    const dvk_session_params params = {.outputs = ALL_OUTPUTS, .in_flight = 2};
    if (dvk_model_load(thread->context, &(dvk_model_params){.path = MODEL}, &model, NULL) != DVK_OK ||
        dvk_session_create(model, &params, &session, NULL) != DVK_OK) {
        thread->wrong = 1000;
        dvk_model_destroy(&model);
        return NULL;
    }
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t slot = i % 2;
        thread->wrong += dvk_session_write(session, slot, pixels[i % IMAGES], 1, NULL) != DVK_OK;
        thread->wrong += dvk_session_submit(session, &(dvk_submit_params){.slot = slot}, NULL) != DVK_OK;
        thread->wrong += dvk_session_wait(session, slot, UINT64_MAX, NULL) != DVK_OK;
        size_t used = 0;
        for (int output = 0; output < DVK_OUTPUT_COUNT; output++) {
            uint32_t shape[2] = {1, 1};
            if (!dvk_session_shape(session, (dvk_output)output, shape))
                continue;
            thread->wrong += dvk_session_read_slot(session, slot, (dvk_output)output, 0, found + used,
                                                   MAX_FEATURES - used, NULL) != DVK_OK;
            used += (size_t)shape[0] * shape[1];
        }
        thread->wrong += memcmp(found, expected[i % IMAGES], feature_bytes) != 0;
    }
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    return NULL;
}

static void run_threads(thread_case *threads) {
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i].thread, NULL, run_thread, &threads[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(pthread_join(threads[i].thread, NULL) == 0);
        CHECK_MESSAGE(threads[i].wrong == 0, "thread %d: %d wrong", i, threads[i].wrong);
        dvk_context_destroy(&threads[i].context);
    }
}

static void test_threads(test_host *shared) {
    thread_case threads[THREADS] = {{0}};
    for (int i = 0; i < THREADS; i++)
        threads[i].context = host_context(shared);
    run_threads(threads); /* one device and one queue, which the host lends under its lock */

    test_host hosts[THREADS];
    for (int i = 0; i < THREADS; i++) {
        host_open(&hosts[i], i ? HOST_BARE : HOST_GODOT);
        hosts[i].features = 0; /* the same kernels on both, so that the bits are the same */
        threads[i] = (thread_case){.context = host_context(&hosts[i])};
    }
    run_threads(threads); /* two devices in one process */
    for (int i = 0; i < THREADS; i++)
        host_close(&hosts[i]);
}

int main(void) {
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    test_timeline();
    test_host host;
    host_open(&host, HOST_GODOT);
    host.features = 0;
    dvk_context *context = host_context(&host);
    dvk_model *model = load_model(context, MODEL);
    compute_expected(model);
    test_ring(model);
    test_under_way(&host, model);
    test_misuse(&host, model);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    test_threads(&host);
    host_close(&host);
    CHECK(host_messages() == 0);
    return FINISH();
}
