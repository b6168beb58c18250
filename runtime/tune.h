/* Proves what a plan is about to use and, where the caller wants it, measures what would be faster. */
#ifndef DVK_TUNE_H_
#define DVK_TUNE_H_

#include "plan.h"

/* *again: something was learned that changes the choice of some op's variant, or may: make the plan anew and come
 * back. Ends, because every round learns something and there is only so much to know. */
dvk_result dvk_settle(dvk_context *context, const dvk_plan *plan, bool *again, dvk_error *error);

#endif
