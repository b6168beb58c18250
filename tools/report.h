/* What a run prints: a short report for people on a terminal, JSON lines elsewhere. */
#ifndef REPORT_H_
#define REPORT_H_

#include "message.h"
#include "options.h"
#include "top_classes.h"

/* What came of one image. Strings and arrays belong to the one who made it. */
struct image_result {
    int index; /* position on the command line, from 0 */
    uint32_t image_width, image_height;
    dvk_session_info session; /* of the pass that the image was in */
    uint32_t in_pass;         /* images in that pass */
    uint32_t dimensions, shape[2];
    float *values;
    struct class_score *top; /* --top; else NULL */
    uint32_t top_count;
    const char *attention_path, *pca_path; /* NULL: not asked for */
    double decode_ms, preprocess_ms, pass_ms, pictures_ms;
};

struct report {
    const struct options *options;
    const dvk_device_info *device;
    const char *tier;
    const dvk_model_info *model;
    const dvk_model *labels;    /* whose classes have names */
    double device_ms, model_ms; /* opening and loading */
    double start;               /* now_ms() when the command began */
    bool begun;
};

/* Whether standard output is taken by a FILE given as "-": then nothing is printed there. */
bool report_is_silent(const struct options *options);

bool report_is_json(const struct options *options);

/* "software driver" and the like. */
const char *device_type_name(dvk_device_type type);

/* The first call prints the heading, too. Returns 0 or an exit code after the sentence has been printed. */
int report_image(struct report *report, const struct image_result *result);

/* After the outputs have their names. npy_shape: what -o wrote, `npy_dimensions` 0 if nothing. */
int report_end(struct report *report, const uint64_t *npy_shape, uint32_t npy_dimensions);

#endif
