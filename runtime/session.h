#ifndef DVK_SESSION_H_
#define DVK_SESSION_H_

#include "model.h"
#include "pace.h"
#include "pass.h"
#include "record.h"

/* Of a submission on a GPU by default: watchdogs wait for half a second to ten. */
enum { DVK_SUBMIT_BUDGET_NS = 200000000 };

struct dvk_session {
    dvk_model *model;
    dvk_session_info info;
    uint32_t outputs; /* DVK_OUTPUT_BIT()s asked for */

    dvk_plan plan;
    dvk_buffer buffers[DVK_PLAN_OWN_BUFFERS];
    bool whole_rows;                        /* readback holds every token; else those of token 0 alone */
    uint64_t results_offset;                /* of RESULTS in readback */
    uint64_t upload_guard, readback_guards; /* offsets; see pass.h */

    bool binds; /* the plan has external bindings: nothing is recorded before dvk_session_bind() */
    dvk_recorder recorder;
    VkDescriptorPool descriptor_pool;
    uint64_t *op_ns;    /* [op_count]: what each op takes, measured or estimated */
    uint64_t budget_ns; /* of one submission */
    dvk_pace pace;      /* of slices in the host's frames */
    dvk_slot *slots;    /* [slot_count] */
    uint32_t slot_count;
};

/* The plan of a session with these params on a device of which only the limits, the class and the features are looked
 * at; *outputs: those asked for, or the default. To be freed with dvk_plan_free(), after a failure, too. */
dvk_result dvk_session_plan(const dvk_model *model, const dvk_context *context, const dvk_session_params *params,
                            dvk_plan *plan, uint32_t *outputs, dvk_error *error);

/* Pool, sets and own descriptors of every op, and every slot's sets. The pool is freed with the session. */
dvk_result dvk_descriptors_create(dvk_session *session, dvk_error *error);
/* The session's ops with the slot's sets. */
dvk_recorder dvk_slot_recorder(const dvk_session *session, const dvk_slot *slot);

/* How much of last_hidden_state is read back: every token, or the CLS rows alone. */
uint64_t dvk_session_row_bytes(const dvk_model *model, const dvk_plan *plan, uint32_t outputs, bool *whole_rows);

#endif
