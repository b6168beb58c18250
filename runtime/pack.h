/* The layout of a matrix on the device, made row by row from the file's tensors. */
#ifndef DVK_PACK_H_
#define DVK_PACK_H_

#include "checkpoint.h"
#include "variants.h"

/* Matrices are turned in blocks of so many floats, 24 KB, which fit the nearest cache. A block is as wide as a cache
 * line of the result (or what a write-combining buffer holds), and so high that what it reads of a row of the file is a
 * long piece: of pieces of 256 bytes each one waits for memory. */
enum { DVK_PACK_FLOATS = 6144, DVK_MATRIX_PARTS = 3 };

/* One or several dense layers of equal shape side by side, as query, key and value are. LayerScale and the factors are
 * multiplied into weights and biases. */
typedef struct dvk_matrix {
    const char *file; /* for messages */
    const dvk_linear *parts[DVK_MATRIX_PARTS];
    float factors[DVK_MATRIX_PARTS];
    uint32_t count;
    dvk_weight_type type;
} dvk_matrix;

uint32_t dvk_matrix_depth(const dvk_matrix *matrix);  /* inputs rounded up to 4: rows without the bias row */
uint32_t dvk_matrix_stride(const dvk_matrix *matrix); /* columns rounded up to 64 */
/* Bytes of one row, and of a row of floats, which are the bias and int8's scales. */
size_t dvk_matrix_row_bytes(const dvk_matrix *matrix);
size_t dvk_matrix_bias_bytes(const dvk_matrix *matrix);
uint64_t dvk_matrix_bytes(const dvk_matrix *matrix);
uint32_t dvk_matrix_block_rows(const dvk_matrix *matrix); /* 384 of fp32, 192 of fp16, 96 of int8 */

/* int8 alone: for each column the scale that makes its largest magnitude 127; 0 for a column of zeros. */
void dvk_pack_scales(const dvk_matrix *matrix, float *scratch, float *scales);

/* Rows first_row .. first_row + rows - 1 (at most dvk_matrix_block_rows(), all below depth) into `packed`. `scratch`
 * holds DVK_PACK_FLOATS; `scales` is read for int8 only. Refuses what is not finite, or is beyond
 * fp16 where that is the type. */
dvk_result dvk_pack_rows(const dvk_matrix *matrix, uint32_t first_row, uint32_t rows, float *scratch,
                         const float *scales, void *packed, dvk_error *error);
dvk_result dvk_pack_bias(const dvk_matrix *matrix, float *packed, dvk_error *error);

/* The sentence for a value that is not finite, or that fp16 cannot hold. */
dvk_result dvk_refuse_value(const char *file, const dvk_tensor *tensor, uint64_t element, float value,
                            dvk_error *error);

/* A whole tensor as floats, finite ones only. */
dvk_result dvk_unpack_tensor(const char *file, const dvk_tensor *tensor, float *values, dvk_error *error);

#endif
