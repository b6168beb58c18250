/* One op alone on the device, again and again: for its answer, or for its time. */
#ifndef DVK_TRIAL_H_
#define DVK_TRIAL_H_

#include "buffer.h"
#include "problem.h"

typedef struct dvk_trial {
    dvk_context *context;
    const dvk_problem *problem; /* whose variant may change between calls */
    uint32_t repeats;           /* at most, of dvk_trial_answers() */
    VkDeviceSize offsets[DVK_MAX_BINDINGS];
    dvk_buffer arrays, upload, readback;
    const dvk_pipeline *pipeline;
    VkDescriptorPool descriptor_pool;
    VkDescriptorSet set;
    VkQueryPool queries; /* VK_NULL_HANDLE where the queue has no timestamps, or a CPU's clock tells more */
    VkFence fence;
} dvk_trial;

/* Compiles the pipeline of the problem's variant, too. */
dvk_result dvk_trial_open(dvk_context *context, const dvk_problem *problem, uint32_t repeats, dvk_trial *trial,
                          dvk_error *error);
void dvk_trial_close(dvk_trial *trial);

/* Compiles the pipeline where the problem's variant is another one by now. */
dvk_result dvk_trial_prepare(dvk_trial *trial, dvk_error *error);

/* Runs the op `repeats` times, each time from the same start. *answers: the arrays `out` after each, one after the
 * other; valid until the next call. */
dvk_result dvk_trial_answers(dvk_trial *trial, const float **answers, dvk_error *error);

/* Milliseconds of one run, of `runs` in a row. */
dvk_result dvk_trial_time(dvk_trial *trial, uint32_t runs, double *ms, dvk_error *error);

#endif
