/* What threads may do at the same time: contexts of their own, and all that says "any thread". On the stub driver, so
 * that ThreadSanitizer (-Db_sanitize=thread) sees nothing but the library. */
#include "dino_vk.h"
#include "synth.h"
#include "test.h"

#include <dlfcn.h>
#include <pthread.h>

#define MODEL "threads-model"

enum { THREADS = 4, ROUNDS = 3, SIDE = 32 };

static dvk_model *shared_model; /* loaded for its information alone */

typedef struct worker {
    pthread_t thread;
    int failures;
    float preprocessed[3 * SIDE * SIDE];
} worker;

static void expect(worker *w, dvk_result result) {
    w->failures += result != DVK_OK;
}

static void use_device(worker *w) {
    dvk_context *context = NULL;
    dvk_model *model = NULL;
    dvk_session *session = NULL;
    static const float pixels[3 * SIDE * SIDE];
    float cls[64];
    uint32_t count = 0;
    expect(w, dvk_list_devices(NULL, NULL, &count, NULL));
    expect(w, dvk_context_create(&(dvk_context_params){.cache_dir = "threads-cache"}, &context, NULL));
    if (context)
        expect(w, dvk_model_load(context, &(dvk_model_params){.path = MODEL}, &model, NULL));
    if (model)
        expect(w, dvk_session_create(model, &(dvk_session_params){.in_flight = 2}, &session, NULL));
    for (uint32_t slot = 0; session && slot < 2; slot++) {
        expect(w, dvk_session_write(session, slot, pixels, 1, NULL));
        expect(w, dvk_session_submit(session, &(dvk_submit_params){.slot = slot}, NULL));
    }
    for (uint32_t slot = 0; session && slot < 2; slot++) {
        expect(w, dvk_session_wait(session, slot, UINT64_MAX, NULL));
        expect(w, dvk_session_read_slot(session, slot, DVK_OUTPUT_CLS, 0, cls, 64, NULL));
    }
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
}

static void use_host(worker *w) {
    static const char pnm[] = "P3 2 2 255 1 2 3 4 5 6 7 8 9 10 11 12";
    dvk_image image;
    dvk_result result = dvk_image_decode(pnm, sizeof(pnm) - 1, "image", NULL, &image, NULL);
    expect(w, result);
    if (result != DVK_OK)
        return;
    uint32_t width = 0, height = 0;
    dvk_preprocess_size(shared_model, NULL, &image, &width, &height);
    w->failures += width != SIDE || height != SIDE;
    if (width == SIDE && height == SIDE)
        expect(w, dvk_preprocess(shared_model, NULL, &image, w->preprocessed, NULL, NULL));
    dvk_image_free(&image);
    dvk_estimate estimate;
    expect(w, dvk_model_estimate(shared_model, NULL, &estimate, NULL));
}

static void *work(void *argument) {
    worker *w = argument;
    for (int round = 0; round < ROUNDS; round++) {
        use_device(w);
        use_host(w);
    }
    return NULL;
}

int main(void) {
    static worker workers[THREADS];
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    REQUIRE(dvk_model_load(NULL, &(dvk_model_params){.path = MODEL}, &shared_model, NULL) == DVK_OK);
    /* ThreadSanitizer does not see the locks in dlopen() and dlclose(): neither has anything to do now. */
    void *loaded = dlopen("libvulkan.so.1", RTLD_NOW);
    if (!loaded)
        SKIP("there is no libvulkan.so.1");
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        REQUIRE(pthread_join(workers[i].thread, NULL) == 0);
        CHECK_MESSAGE(workers[i].failures == 0, "thread %d: %d calls failed", i, workers[i].failures);
        CHECK(!memcmp(workers[i].preprocessed, workers[0].preprocessed, sizeof(workers[0].preprocessed)));
    }
    dlclose(loaded);
    dvk_model_destroy(&shared_model);
    return FINISH();
}
