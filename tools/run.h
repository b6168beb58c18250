/* The main job, in two parts: run.c goes through the images, pass.c takes a group of them through the model. */
#ifndef RUN_H_
#define RUN_H_

#include "output_file.h"
#include "report.h"
#include "trace.h"

/* One image on its way. */
struct slot {
    dvk_image image;
    uint32_t width, height; /* what it is resized to */
    bool done;
    struct image_result result; /* complete when done */
    char *attention_path, *pca_path;
};

struct run {
    const struct options *options;
    struct options own; /* what `options` points to: as typed, but with the model's default tokens */
    dvk_context *context;
    dvk_model *model;
    dvk_session *session; /* of the size last needed; NULL before the first */
    struct report report;
    struct trace *trace; /* NULL: not asked for */
    struct trace own_trace;
    struct output_file trace_file;

    struct output_file npy;
    uint64_t npy_patches; /* of the first image: all must have as many where -o holds patch tokens */
    uint64_t npy_shape[3];
    uint32_t npy_dimensions; /* 0 until the first image is written */

    struct output_file *pictures; /* complete, waiting for their names */
    size_t picture_count;

    struct slot *slots; /* images that are decoded or done, and not yet printed: in order */
    int slot_count, slot_capacity;
    int next_image; /* the next to decode */
};

/* Makes run->session fit a slot's size. */
int run_prepare(struct run *run, uint32_t width, uint32_t height);

/* Takes up to a batch of waiting slots of one size through the model, draws their pictures, and marks them done. */
int run_pass(struct run *run);

/* Runs the last pass once more, to tell what each operation takes: --profile and --trace. */
int run_profile(struct run *run);

/* The file of a picture of image `index`: see --help. NULL: out of memory. */
char *picture_path(const char *file, int index, int image_count);

#endif
