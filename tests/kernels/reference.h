/* Every kernel as plain loops in double: the oracle of the tests. Shapes and strides are those of push_constants.h; the
 * group range is ignored, the whole op is computed. */
#ifndef DVK_REFERENCE_H_
#define DVK_REFERENCE_H_

#include "checkpoint.h"
#include "push_constants.h"
#include "variants.h"

double reference_activation(dvk_activation activation, double x);

/* patches: [rows][depth] */
void reference_patchify(const dvk_push_patchify *push, const double *pixels, double *patches);

/* w: [depth + 1][w_stride]; out is read where residual is IN_PLACE or MULTIPLY. bound (may be NULL; indexed as out):
 * for each result, the sum of |a| |w|, |bias| and |residual| (times it, for MULTIPLY): what rounding errors are
 * relative to. */
void reference_matmul(const dvk_push_matmul *push, dvk_activation activation, dvk_residual residual, const double *a,
                      const double *w, const double *table, double *out, double *bound);

/* parameters: [2][columns]; out may be in */
void reference_layernorm(const dvk_push_layernorm *push, const double *in, const double *parameters, double *out);

void reference_attention(const dvk_push_attention *push, uint32_t images, uint32_t head_dim, const double *q,
                         const double *k, const double *v, double *out);

/* out: [images][heads][tokens] */
void reference_attention_row(const dvk_push_attention_row *push, uint32_t images, uint32_t head_dim, const double *q,
                             const double *k, double *out);

/* out: [images][columns] */
void reference_mean(const dvk_push_mean *push, uint32_t images, const double *in, double *out);

/* x in place */
void reference_rotate(const dvk_push_rotate *push, const double *table, double *x);

#endif
