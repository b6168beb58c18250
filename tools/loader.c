#include "loader.h"

#include <inttypes.h>
#include <stdlib.h>

#include "posix.h"

/* So many images, or so many bytes of them, are decoded ahead; but a batch always. */
#define WINDOW_IMAGES 64
#define WINDOW_BYTES ((size_t)256 << 20)
#define USUAL_THREADS 16 /* at most, where --jobs does not say; decoding is soon faster than any device */

static struct slot *slot_of(const struct loader *loader, int index) {
    return &loader->slots[index % loader->capacity];
}

static size_t image_bytes(const dvk_image *image) {
    return (size_t)image->width * image->height * 3;
}

/* Whether a thread may decode the next image. The standard input and pipes are left to the main thread: reading them
 * may take for ever, and the command must be able to fail meanwhile. */
static bool can_decode(struct loader *loader) {
    const int count = loader->options->image_count;
    while (loader->next_decode < count && loader->next_decode < loader->first + loader->capacity &&
           !loader->identities[loader->next_decode].regular)
        loader->next_decode++;
    return loader->next_decode < count && loader->next_decode < loader->first + loader->capacity &&
           (loader->decoded_bytes < WINDOW_BYTES ||
            (uint32_t)(loader->next_decode - loader->first) < loader->options->batch);
}

/* The oldest image that can be preprocessed; NULL: none. */
static struct slot *find_decoded(struct loader *loader) {
    if (!loader->model || loader->ready >= loader->ready_limit)
        return NULL;
    for (int i = loader->first; i < loader->options->image_count && i < loader->first + loader->capacity; i++)
        if (slot_of(loader, i)->stage == STAGE_DECODED)
            return slot_of(loader, i);
    return NULL;
}

/* The three below are called with the mutex held, and let go of it while they work. */

static void finish(struct loader *loader, struct slot *slot, enum stage stage, int exit_code) {
    slot->stage = exit_code ? STAGE_FAILED : stage;
    slot->exit_code = exit_code;
    pthread_cond_broadcast(&loader->work);
    pthread_cond_broadcast(&loader->progress);
}

static void decode(struct loader *loader, int index, struct sandbox *sandbox, uint32_t track) {
    struct slot *slot = slot_of(loader, index);
    slot->stage = STAGE_DECODING;
    slot->result.index = index;
    pthread_mutex_unlock(&loader->mutex);
    double start = now_ms();
    int exit_code = image_read(loader->options, index, sandbox, &slot->image, &slot->error);
    slot->result.decode_ms = now_ms() - start;
    slot->result.image_width = slot->image.width;
    slot->result.image_height = slot->image.height;
    trace_add(loader->trace, track, start, now_ms(), "decode image %d", index + 1);
    pthread_mutex_lock(&loader->mutex);
    loader->decoded_bytes += image_bytes(&slot->image);
    finish(loader, slot, STAGE_DECODED, exit_code);
}

static void preprocess(struct loader *loader, struct slot *slot, uint32_t track) {
    const struct options *options = loader->options;
    slot->stage = STAGE_PREPROCESSING;
    loader->ready++;
    pthread_mutex_unlock(&loader->mutex);
    double start = now_ms();
    dvk_preprocess_params params = {.width = options->width, .height = options->height, .order = options->resize};
    uint32_t width, height;
    dvk_preprocess_size(loader->model, &params, &slot->image, &width, &height);
    size_t pixels = (size_t)width * height, bytes = image_bytes(&slot->image);
    slot->pixel_values = calloc(pixels, 3 * sizeof(*slot->pixel_values));
    slot->resized = options->attention ? calloc(pixels, 3) : NULL;
    int exit_code = 0;
    if (!slot->pixel_values || (options->attention && !slot->resized)) {
        exit_code = EXIT_CODE_DEVICE;
        slot->error.code = DVK_ERROR_OUT_OF_HOST_MEMORY;
        snprintf(slot->error.message, sizeof(slot->error.message),
                 "out of memory for an image of %" PRIu32 "x%" PRIu32 " pixels", width, height);
    } else if (dvk_preprocess(loader->model, &params, &slot->image, slot->pixel_values, slot->resized, &slot->error) !=
               DVK_OK) {
        exit_code = EXIT_CODE_DEVICE;
    }
    dvk_image_free(&slot->image);
    slot->result.preprocess_ms = now_ms() - start;
    trace_add(loader->trace, track, start, now_ms(), "preprocess image %d", slot->result.index + 1);
    pthread_mutex_lock(&loader->mutex);
    loader->decoded_bytes -= bytes;
    finish(loader, slot, STAGE_READY, exit_code);
}

struct worker {
    struct loader *loader;
    struct sandbox *sandbox;
    uint32_t track;
};

static void *work(void *argument) {
    struct worker worker = *(struct worker *)argument;
    struct loader *loader = worker.loader;
    free(argument);
    pthread_mutex_lock(&loader->mutex);
    while (!loader->quit) {
        struct slot *slot = find_decoded(loader);
        if (slot)
            preprocess(loader, slot, worker.track);
        else if (can_decode(loader))
            decode(loader, loader->next_decode++, worker.sandbox, worker.track);
        else
            pthread_cond_wait(&loader->work, &loader->mutex);
    }
    pthread_mutex_unlock(&loader->mutex);
    return NULL;
}

/* The main thread decodes what is no regular file. */
static bool needs_main_thread(const struct loader *loader) {
    for (int i = 0; i < loader->options->image_count; i++)
        if (!loader->identities[i].regular)
            return true;
    return false;
}

static int start_sandboxes(struct loader *loader, int threads) {
    const int count = threads + (needs_main_thread(loader) ? 1 : 0);
    loader->sandboxes = calloc((size_t)threads + 1, sizeof(*loader->sandboxes));
    if (!loader->sandboxes)
        return fail(EXIT_CODE_DEVICE, "out of memory for a list of %d processes", count);
    loader->own = &loader->sandboxes[threads];
    for (; loader->sandbox_count < count; loader->sandbox_count++) {
        struct sandbox *sandbox = &loader->sandboxes[loader->sandbox_count];
        int code = image_sandbox_open(loader->options, sandbox);
        if (code || !sandbox->process) /* where there is none for one thread, there is none for the others */
            return code;
    }
    return 0;
}

/* One thread is enough to go on with. */
static int start_threads(struct loader *loader, int wanted) {
    signal_mask before;
    hold_signals(&before); /* inherited: signals are the main thread's */
    loader->threads = calloc((size_t)wanted, sizeof(*loader->threads));
    for (int i = 0; loader->threads && i < wanted; i++) {
        struct worker *worker = malloc(sizeof(*worker));
        if (!worker)
            break;
        *worker = (struct worker){loader, &loader->sandboxes[i], TRACK_WORKERS + (uint32_t)i};
        if (pthread_create(&loader->threads[i], NULL, work, worker) != 0) {
            free(worker);
            break;
        }
        loader->thread_count++;
    }
    restore_signals(&before);
    return loader->thread_count ? 0 : fail(EXIT_CODE_DEVICE, "no thread could be started to decode images");
}

int loader_start(struct loader *loader, const struct options *options, const struct image_identity *identities,
                 struct trace *trace) {
    int processors = processor_count();
    int threads = processors > USUAL_THREADS ? USUAL_THREADS : processors;
    if (options->jobs)
        threads = (int)options->jobs;
    threads = threads < options->image_count ? threads : options->image_count;
    *loader = (struct loader){.options = options, .identities = identities, .trace = trace};
    loader->capacity = 2 * (int)options->batch > WINDOW_IMAGES ? 2 * (int)options->batch : WINDOW_IMAGES;
    loader->ready_limit = (int)options->batch + threads;
    pthread_mutex_init(&loader->mutex, NULL);
    pthread_cond_init(&loader->work, NULL);
    pthread_cond_init(&loader->progress, NULL);
    loader->slots = calloc((size_t)loader->capacity, sizeof(*loader->slots));
    if (!loader->slots)
        return fail(EXIT_CODE_DEVICE, "out of memory for a list of %d images", loader->capacity);
    int code = start_sandboxes(loader, threads); /* while there are no other threads: they fork */
    return code ? code : start_threads(loader, threads);
}

void loader_set_model(struct loader *loader, const dvk_model *model) {
    pthread_mutex_lock(&loader->mutex);
    loader->model = model;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->mutex);
}

/* Nothing is under way that could make room: what is not decoded now will not be until a pass has taken images. */
static bool is_too_far(struct loader *loader, int index) {
    return index >= loader->first + loader->capacity || (index >= loader->next_decode && !can_decode(loader));
}

int loader_get(struct loader *loader, int index, struct slot **found) {
    *found = NULL;
    pthread_mutex_lock(&loader->mutex);
    struct slot *slot = slot_of(loader, index);
    if (index < loader->first + loader->capacity && slot->stage == STAGE_WAITING && !loader->identities[index].regular)
        decode(loader, index, loader->own, TRACK_COMMAND);
    while (!is_too_far(loader, index) && slot->stage < STAGE_DECODED) {
        progress("decoding image %d of %d", index + 1, loader->options->image_count);
        pthread_cond_wait(&loader->progress, &loader->mutex);
    }
    const bool there = index < loader->first + loader->capacity && slot->stage >= STAGE_DECODED;
    int code = there && slot->stage == STAGE_FAILED ? slot->exit_code : 0;
    pthread_mutex_unlock(&loader->mutex);
    if (code)
        return fail_library(code, &slot->error);
    *found = there ? slot : NULL;
    return 0;
}

int loader_take(struct loader *loader, struct slot *slot) {
    pthread_mutex_lock(&loader->mutex);
    while (slot->stage < STAGE_READY) {
        if (slot->stage == STAGE_DECODED) /* beyond the limit, but needed now */
            preprocess(loader, slot, TRACK_COMMAND);
        else
            pthread_cond_wait(&loader->progress, &loader->mutex);
    }
    int code = slot->stage == STAGE_FAILED ? slot->exit_code : 0;
    if (code == 0) {
        slot->stage = STAGE_TAKEN;
        loader->ready--;
        pthread_cond_broadcast(&loader->work);
    }
    pthread_mutex_unlock(&loader->mutex);
    return code ? fail_library(code, &slot->error) : 0;
}

static void free_slot(struct slot *slot) {
    dvk_image_free(&slot->image);
    free(slot->pixel_values);
    free(slot->resized);
    free(slot->result.values);
    free(slot->result.top);
    free(slot->attention_path);
    free(slot->pca_path);
    *slot = (struct slot){0};
}

void loader_drop_first(struct loader *loader) {
    pthread_mutex_lock(&loader->mutex);
    free_slot(slot_of(loader, loader->first));
    loader->first++;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->mutex);
}

void loader_stop(struct loader *loader) {
    if (!loader->options)
        return;
    pthread_mutex_lock(&loader->mutex);
    loader->quit = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->mutex);
    for (int i = 0; i < loader->thread_count; i++)
        pthread_join(loader->threads[i], NULL);
    for (int i = 0; loader->slots && i < loader->capacity; i++)
        free_slot(&loader->slots[i]);
    for (int i = 0; i < loader->sandbox_count; i++)
        sandbox_close(&loader->sandboxes[i]);
    free(loader->sandboxes);
    free(loader->slots);
    free(loader->threads);
    pthread_cond_destroy(&loader->progress);
    pthread_cond_destroy(&loader->work);
    pthread_mutex_destroy(&loader->mutex);
    *loader = (struct loader){0};
}
