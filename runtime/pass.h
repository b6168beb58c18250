/* A session's pass on the queue: the upload, the ops and the readback, recorded as one or several command buffers, each
 * a submission of its own that takes no longer than the session's budget. */
#ifndef DVK_PASS_H_
#define DVK_PASS_H_

#include "schedule.h"

typedef struct dvk_pass {
    VkCommandBuffer *commands; /* [count], in order */
    uint32_t count;
    uint32_t number; /* of the pass that was submitted last; never 0 then */
} dvk_pass;

/* A driver's watchdog, or its recovery from a hang, may drop work and still signal the fence. So every submission ends
 * by copying the pass's number from the upload buffer to a guard word of its own in the readback buffer. Those beyond
 * the last share it. */
enum { DVK_GUARD_WORDS = 256 };

/* How a pass is recorded where its ops are to be timed; zero: they are not. */
typedef struct dvk_pass_style {
    VkQueryPool timestamps; /* queries 2 i and 2 i + 1 are written before and after op i */
    bool stepped;           /* a submission ends with every op */
} dvk_pass_style;

/* Records the pass, cut by session->op_ns and session->budget_ns; what was recorded before is freed. */
dvk_result dvk_pass_record(dvk_session *session, dvk_pass_style style, dvk_error *error);
/* Where the submission that begins at `from` ends. */
dvk_position dvk_pass_next(const dvk_session *session, dvk_pass_style style, dvk_position from);
void dvk_pass_free(dvk_session *session);

/* Gives the pass its number and makes the upload buffer visible; then the submissions may follow, in order. */
dvk_result dvk_pass_begin(dvk_session *session, dvk_error *error);

/* Submits the pass as a whole, to signal session->fence. When this fails, the device does nothing any more. */
dvk_result dvk_pass_submit(dvk_session *session, dvk_error *error);

/* After the fence, and after the readback buffer was invalidated: DVK_ERROR_INCOMPLETE where a submission is missing.
 */
dvk_result dvk_pass_check(const dvk_session *session, dvk_error *error);

#endif
