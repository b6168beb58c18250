/* A session's pass on the queue: the upload, the ops and the readback, recorded as one or several command buffers, each
 * a submission of its own that takes no longer than the session's budget. */
#ifndef DVK_PASS_H_
#define DVK_PASS_H_

#include "buffer.h"
#include "record.h"

typedef struct dvk_pass {
    VkCommandBuffer *commands; /* [count], in order */
    uint32_t count;
    uint32_t number; /* of the pass that was submitted last; never 0 then */
} dvk_pass;

/* What a pass under way has of its own; all else, the activations too, it shares with the session's other passes, which
 * the device runs one after the other. */
typedef struct dvk_slot {
    dvk_buffer upload;   /* pixels, as in PIXELS; then the pass's number, see below */
    dvk_buffer readback; /* the rows of last_hidden_state that were asked for, then RESULTS, then the guards */
    dvk_pass pass;
    VkFence fence;         /* of the pass's last submission */
    VkDescriptorSet *sets; /* [op_count]; NULL: the recorder's, for nothing is the host's */
    dvk_target_layout layouts[DVK_MAX_TARGETS];
    bool bound;       /* by dvk_session_bind() */
    bool recorded;    /* the pass, with the sets as they are */
    bool under_way;   /* submitted, and not known to be done */
    bool host_reads;  /* `valid` is of a pass that the host recorded: the library has not seen its end */
    uint32_t written; /* images in the upload buffer */
    uint32_t valid;   /* images whose outputs can be read; 0: nothing was run, or it failed */
} dvk_slot;

/* A driver's watchdog, or its recovery from a hang, may drop work and still signal the fence. So every submission ends
 * by copying the pass's number from the upload buffer to a guard word of its own in the readback buffer. Those beyond
 * the last share it. */
enum { DVK_GUARD_WORDS = 256 };

/* On failure the slot is to be destroyed all the same, which accepts a zeroed one, too. */
dvk_result dvk_slot_create(dvk_session *session, dvk_slot *slot, dvk_error *error);
/* Waits for the slot's pass. */
void dvk_slot_destroy(dvk_session *session, dvk_slot *slot);

/* The copies before and after the ops, with the barriers between: for our own submissions and for the host's alike. */
void dvk_record_upload(const dvk_session *session, const dvk_slot *slot, VkCommandBuffer commands);
void dvk_record_readback(const dvk_session *session, const dvk_slot *slot, VkCommandBuffer commands);

/* All that this queue was given before is done, and what it wrote can be read and written. */
void dvk_record_follow(const dvk_session *session, VkCommandBuffer commands);
/* What copies wrote can be read by the host, after a fence. */
void dvk_record_host_reads(const dvk_session *session, VkCommandBuffer commands);

/* How a pass is recorded where its ops are to be timed; zero: they are not. */
typedef struct dvk_pass_style {
    VkQueryPool timestamps; /* queries 2 i and 2 i + 1 are written before and after op i */
    bool stepped;           /* a submission ends with every op */
} dvk_pass_style;

/* Records the pass of every slot, cut by session->op_ns and session->budget_ns; what was recorded before is freed. No
 * slot may be under way. Slots whose bindings the host has yet to say are left out. */
dvk_result dvk_pass_record(dvk_session *session, dvk_error *error);

/* The same for one slot, in a style of its own. */
dvk_result dvk_pass_record_styled(dvk_session *session, dvk_slot *slot, dvk_pass_style style, dvk_error *error);
void dvk_pass_free(dvk_session *session, dvk_slot *slot);
/* Where the submission that begins at `from` ends. */
dvk_position dvk_pass_next(const dvk_session *session, dvk_pass_style style, dvk_position from);

/* Gives the pass its number and makes the upload buffer visible; then its command buffers may be submitted in order. */
dvk_result dvk_pass_begin(dvk_session *session, dvk_slot *slot, dvk_error *error);

/* Submits the slot's pass as a whole and then, without commands, params->fence. When this fails, the device does
 * nothing any more.
 */
dvk_result dvk_pass_submit(dvk_session *session, dvk_slot *slot, const dvk_submit_params *params, dvk_error *error);

/* After the fence, and after the readback buffer was invalidated: DVK_ERROR_INCOMPLETE where a submission is missing.
 */
dvk_result dvk_pass_check(const dvk_session *session, const dvk_slot *slot, dvk_error *error);

#endif
