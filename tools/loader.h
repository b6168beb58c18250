/* Decodes and preprocesses images ahead of the device, on threads of its own.
 *
 * Image i lives in slots[i % capacity] from its decoding until it is printed. The main thread goes through the images
 * in order and waits for what it needs; what it says about a bad image therefore does not depend on the threads. */
#ifndef LOADER_H_
#define LOADER_H_

#include <pthread.h>

#include "image_input.h"
#include "report.h"
#include "trace.h"

enum stage {
    STAGE_WAITING,
    STAGE_DECODING,
    STAGE_DECODED,
    STAGE_PREPROCESSING,
    STAGE_READY,
    STAGE_TAKEN, /* by the main thread, for a pass */
    STAGE_FAILED
};

/* One image on its way. A thread has it to itself while it decodes or preprocesses it; the main thread has it from
 * TAKEN on, and the last group of members always. */
struct slot {
    enum stage stage;
    dvk_error error; /* FAILED */
    int exit_code;
    dvk_image image;     /* until it is preprocessed */
    float *pixel_values; /* from then on, until they are uploaded */
    uint8_t *resized;    /* where a picture needs them */
    struct image_result result;

    uint32_t width, height; /* what it is resized to; 0: not asked yet */
    bool in_pass, done;
    uint32_t lane, place; /* of the pass; in its batch */
    char *attention_path, *pca_path;
};

struct loader {
    const struct options *options;
    const struct image_identity *identities;
    struct trace *trace;
    struct slot *slots;
    int capacity;
    int first;       /* the oldest image that has a slot */
    int next_decode; /* the next one for a thread */
    int ready;       /* images that are preprocessed, or are being, and wait for a pass */
    int ready_limit;
    size_t decoded_bytes;
    const dvk_model *model; /* NULL: not loaded yet, so nothing is preprocessed */
    bool quit;
    pthread_mutex_t mutex;
    pthread_cond_t work, progress;
    pthread_t *threads;
    int thread_count;
    struct sandbox *sandboxes; /* one a thread, zeroed where there is none */
    int sandbox_count;         /* that were opened */
    struct sandbox *own;       /* the main thread's, behind them */
};

/* All return 0 or an exit code after the sentence has been printed. */

int loader_start(struct loader *loader, const struct options *options, const struct image_identity *identities,
                 struct trace *trace);

/* From here on images are preprocessed, too. */
void loader_set_model(struct loader *loader, const dvk_model *model);

/* Waits until image `index` is decoded. *found is NULL where it is too far ahead: earlier images must leave first. */
int loader_get(struct loader *loader, int index, struct slot **found);

/* Waits until a slot is preprocessed, and takes it. */
int loader_take(struct loader *loader, struct slot *slot);

/* The oldest image leaves. */
void loader_drop_first(struct loader *loader);

/* Accepts a zeroed loader. */
void loader_stop(struct loader *loader);

#endif
