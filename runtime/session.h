#ifndef DVK_SESSION_H_
#define DVK_SESSION_H_

#include "model.h"
#include "record.h"

struct dvk_session {
    dvk_model *model;
    dvk_session_info info;
    uint32_t outputs; /* DVK_OUTPUT_BIT()s asked for */
    uint32_t valid;   /* images of the last run; 0: nothing was run, or it failed */
    bool cache_saved; /* the context's pipeline cache, after the first run */

    dvk_plan plan;
    dvk_buffer buffers[DVK_PLAN_OWN_BUFFERS];
    dvk_buffer upload;       /* pixels, as in PIXELS */
    dvk_buffer readback;     /* the rows of last_hidden_state that were asked for, then RESULTS */
    bool whole_rows;         /* readback holds every token; else those of token 0 alone */
    uint64_t results_offset; /* of RESULTS in readback */

    dvk_recorder recorder;
    VkDescriptorPool descriptor_pool;
    VkCommandBuffer commands;
    VkFence fence;
};

#endif
