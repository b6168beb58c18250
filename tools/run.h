/* The main job, in two parts: run.c goes through the images, pass.c takes a group of them through the model. */
#ifndef RUN_H_
#define RUN_H_

#include "loader.h"
#include "output_file.h"

/* Passes under way at a time: while the device works on one, the outputs of the other are read, drawn and printed. */
#define MOST_LANES 2

/* A pass under way, in the slot of the session that has its number. */
struct lane {
    struct slot **members; /* [batch] */
    uint32_t count;        /* 0: none is under way */
    double submitted_ms;
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
    struct output_file variants_file;

    struct output_file npy;
    uint64_t npy_patches; /* of the first image: all must have as many where -o holds patch tokens */
    uint64_t npy_shape[3];
    uint32_t npy_dimensions; /* 0 until the first image is written */

    struct output_file *pictures; /* complete, waiting for their names */
    size_t picture_count;

    struct image_identity *identities;
    struct loader loader;

    struct lane lanes[MOST_LANES];
    uint32_t lane_count, next_lane; /* passes go round the lanes, so the next one's is the oldest */
    double last_done_ms;            /* when the device was last known to be done with a pass */
    float *batch_values;            /* the pixels of one batch */
};

/* Makes run->session fit a slot's size. */
int run_prepare(struct run *run, uint32_t width, uint32_t height);

/* Submits a pass of waiting images of one size, or, where all are under way, ends the oldest: reads its outputs, draws
 * its pictures and marks its images as done. */
int run_pass(struct run *run);

/* Runs the last pass once more, to tell what each operation takes: --profile and --trace. */
int run_profile(struct run *run);

/* The file of a picture of image `index`: see --help. NULL: out of memory. */
char *picture_path(const char *file, int index, int image_count);

#endif
