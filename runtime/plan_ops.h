/* The ops that plans are made of: what each kernel needs to know, sized and split to the device's limits. */
#ifndef DVK_PLAN_OPS_H_
#define DVK_PLAN_OPS_H_

#include "plan.h"

/* Ops fail inside deep loops, so the builder keeps the first failure and turns the later steps into nothing. */
typedef struct dvk_plan_builder {
    const dvk_plan_request *request;
    dvk_plan *plan;
    dvk_result status;
    dvk_error *error;
    uint32_t rows;         /* batch * tokens */
    uint32_t hidden_size;  /* D */
    uint64_t plane_stride; /* floats from the query plane to the key plane to the value plane */
} dvk_plan_builder;

/* A new op, or NULL when something has failed. */
dvk_op *dvk_add_op(dvk_plan_builder *build, dvk_kernel kernel, dvk_shape shape, dvk_specialisation specialisation,
                   const char *label);
/* Its next binding, and what is left to say about it. */
void dvk_bind(dvk_plan_builder *build, dvk_op *op, uint32_t buffer, bool writes, uint64_t offset, uint64_t size);
void dvk_finish_op(dvk_plan_builder *build, dvk_op *op, size_t push_bytes, uint64_t flops);
uint32_t dvk_tiles(uint32_t count, uint32_t tile);

/* The host's pictures to PIXELS. Between the passes they are in WIDE. */
void dvk_add_sources(dvk_plan_builder *build);
/* What the outputs that are there by now become on the device. */
void dvk_add_targets(dvk_plan_builder *build);
/* The pixels' layout, for patches of `depth` numbers. */
void dvk_place_pixels(dvk_plan_builder *build, uint32_t depth);

typedef struct dvk_matmul_op {
    const char *label;
    const dvk_slice *weights;
    uint32_t a_buffer, out_buffer;
    uint64_t a_offset, out_offset; /* bytes */
    uint32_t rows, columns, depth, a_stride, out_stride;
    uint32_t plane_columns; /* 0: one plane */
    dvk_activation activation;
    dvk_residual residual;
    uint32_t patch_size; /* 0; else rows are patches of PIXELS, and a_stride is from line to line of an image */
} dvk_matmul_op;

void dvk_add_matmul(dvk_plan_builder *build, const dvk_matmul_op *product);
/* The product of all patches, which it expects in WIDE. Where its variant can, it reads PIXELS instead, and nothing
 * writes the patches out. */
void dvk_add_patch_product(dvk_plan_builder *build, const dvk_matmul_op *product);

/* Rows of D; out is dense. */
typedef struct dvk_layernorm_op {
    const char *label;
    const dvk_slice *parameters;
    uint32_t in_buffer, out_buffer;
    uint64_t in_offset, out_offset; /* bytes */
    uint32_t rows, in_stride;
} dvk_layernorm_op;

void dvk_add_layernorm(dvk_plan_builder *build, const dvk_layernorm_op *norm);

/* Self-attention of the planes in WIDE, into NORMED. */
void dvk_add_attention(dvk_plan_builder *build, const char *label);
/* One query, the same for all images, and the key and value planes in WIDE; one row an image at the start of
 * `out_buffer`. */
void dvk_add_pool_attention(dvk_plan_builder *build, const char *label, const dvk_slice *query, uint32_t out_buffer);
/* The CLS row of the last layer's attention, an output. */
void dvk_add_attention_row(dvk_plan_builder *build);
/* Rotary positions of plane 0 (queries) or 1 (keys). */
void dvk_add_rotate(dvk_plan_builder *build, const char *label, uint32_t plane);
/* The mean of the patch tokens, an output. */
void dvk_add_mean(dvk_plan_builder *build);

/* Room in RESULTS for `floats` of each image, either dense or image by image at bindable offsets. */
uint64_t dvk_place_result(dvk_plan *plan, dvk_output output, uint64_t floats, bool dense);

uint64_t dvk_round_up(uint64_t value, uint64_t multiple);

#endif
