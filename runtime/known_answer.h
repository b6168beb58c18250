/* No pipeline computes features before it has given a known answer on this very device and driver. */
#ifndef DVK_KNOWN_ANSWER_H_
#define DVK_KNOWN_ANSWER_H_

#include "choice.h"

enum { DVK_PROOF_REPEATS = 8 };

/* All but those of pictures, which have images among their operands and one variant each: there would be no other to
 * take. */
bool dvk_kernel_is_proved(dvk_kernel kernel);

/* Compiles the pipeline and lets it solve a small problem `repeats` times: the answer must be right and the same to the
 * bit each time. The verdict is noted, so that the next call for the pipeline is free; *right may be NULL. A wrong
 * answer, or a pipeline that the driver refuses to make, is no failure; a lost device or lack of memory is. */
dvk_result dvk_prove(dvk_context *context, const dvk_variant *variant, dvk_specialisation specialisation,
                     uint32_t repeats, bool *right, dvk_error *error);

/* A device that was lost while a pipeline ran would be lost again: notes it for this context and, where there is a
 * cache, for the next ones, which then do without the variant. Any other status passes through. */
dvk_result dvk_note_lost(dvk_context *context, const dvk_variant *variant, dvk_specialisation specialisation,
                         dvk_result status);

#endif
