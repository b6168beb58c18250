/* A checkpoint's weights as the kernels read them: folded, transposed, padded, converted, on the device. */
#ifndef DVK_WEIGHTS_H_
#define DVK_WEIGHTS_H_

#include "buffer.h"
#include "checkpoint.h"

/* A piece of one of the weight blocks. */
typedef struct dvk_slice {
    uint32_t block;
    uint32_t stride; /* matrices: columns with padding, the kernel's w_stride; else 0 */
    VkDeviceSize offset, size;
} dvk_slice;

typedef struct dvk_layer_weights {
    dvk_slice norm_before, norm_after;                     /* [2][D]: weight, bias */
    dvk_slice qkv, attention_output, intermediate, output; /* [depth + 1][stride], see push_constants.h */
    dvk_slice gate;                                        /* size 0 without one */
} dvk_layer_weights;

typedef struct dvk_pool_weights {
    dvk_slice query; /* [D]: the probe's query, scaled; size 0 where the model pools otherwise */
    dvk_slice key_value, attention_output, norm, intermediate, output;
} dvk_pool_weights;

typedef struct dvk_head_weights {
    dvk_head_input input;
    uint32_t layer; /* of DVK_INPUT_LAYER_CLS */
    uint32_t outputs;
    dvk_slice matrix;
} dvk_head_weights;

typedef struct dvk_weights {
    dvk_weight_type type; /* of the matrices */
    dvk_buffer *blocks;
    uint32_t block_count;
    uint64_t device_bytes;
    uint64_t packed_bytes[DVK_WEIGHT_INT8 + 1]; /* what they take with matrices of each type, whatever `type` is */

    dvk_slice patch;      /* its bias row is zero: the bias is in the session's token table */
    dvk_slice first_norm; /* size 0 without one */
    dvk_layer_weights *layers;
    uint32_t layer_count;
    dvk_slice final_norm;
    dvk_slice pooler; /* size 0 without one */
    dvk_pool_weights pool;
    dvk_head_weights head[DVK_MAX_HEAD_PARTS]; /* the output is the sum of these */
    uint32_t head_parts;

    /* What a session needs to make the token table of its resolution; on the host. */
    float *prefix;     /* [prefix tokens][D], their positions added */
    float *patch_bias; /* [D]; zeros where the model has none */
    float *positions;  /* [grid][D]; NULL where they are rotary */
} dvk_weights;

/* With the checkpoint's allocator. context NULL: no device memory; only checks that every number is finite and
 * representable in `type`. */
dvk_result dvk_weights_create(dvk_context *context, const dvk_checkpoint *checkpoint, dvk_weight_type type,
                              dvk_weights *weights, dvk_error *error);
void dvk_weights_destroy(dvk_context *context, const dvk_allocator *allocator, dvk_weights *weights);

#endif
