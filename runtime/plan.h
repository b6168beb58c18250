/* A forward pass as plain data: a flat array of ops over a few numbered buffers. No Vulkan call is made here, and
 * nothing after it knows what a transformer is. */
#ifndef DVK_PLAN_H_
#define DVK_PLAN_H_

#include "choice.h"
#include "push_constants.h"
#include "source.h"
#include "weights.h"

typedef enum dvk_plan_buffer {
    DVK_PLAN_PIXELS,   /* [batch][3][height][width] */
    DVK_PLAN_TABLE,    /* [tokens][D]: CLS and the like + their positions, then patch bias + position */
    DVK_PLAN_ANGLES,   /* [patches][head_dim]: cosines and sines of rotary positions */
    DVK_PLAN_HIDDEN,   /* [batch * tokens][D]: the residual stream */
    DVK_PLAN_NORMED,   /* [batch * tokens][D]: layer norm's output, attention's output */
    DVK_PLAN_WIDE,     /* patches, then query | key | value planes, then the MLP's inner rows: never two at once */
    DVK_PLAN_RESULTS,  /* all outputs but rows of last_hidden_state; see dvk_plan.outputs */
    DVK_PLAN_RESIZE,   /* the table of dvk_source */
    DVK_PLAN_PICTURES, /* dvk_plan_target */
    DVK_PLAN_WEIGHTS,  /* this + block */
    DVK_PLAN_SOURCE = 1 << 30,                     /* this + image of the batch: the host's picture */
    DVK_PLAN_TARGET = DVK_PLAN_SOURCE + (1 << 29), /* this + target */
} dvk_plan_buffer;

/* What no op writes. */
static inline bool dvk_plan_is_weights(uint32_t buffer) {
    return buffer >= DVK_PLAN_WEIGHTS && buffer < DVK_PLAN_SOURCE;
}

/* What the host binds. */
static inline bool dvk_plan_is_external(uint32_t buffer) {
    return buffer >= DVK_PLAN_SOURCE;
}

enum { DVK_PLAN_OWN_BUFFERS = DVK_PLAN_WEIGHTS };

typedef struct dvk_binding {
    uint32_t buffer;       /* dvk_plan_buffer, DVK_PLAN_WEIGHTS + block, or DVK_PLAN_SOURCE + image */
    bool writes;           /* else only read; in-place operands are written */
    uint64_t offset, size; /* of an image: 0 and 1, so that all of it is one range */
} dvk_binding;

typedef struct dvk_op {
    char label[48]; /* "layer 3 intermediate" */
    dvk_use use;
    const dvk_variant *variant;
    dvk_specialisation specialisation;
    uint32_t images; /* that attention and means go over; 1 elsewhere */
    dvk_binding bindings[DVK_MAX_BINDINGS];
    uint32_t binding_count;
    union {
        struct {
            uint32_t first_group, group_end;
        } groups;
        dvk_push_patchify patchify;
        dvk_push_matmul matmul;
        dvk_push_layernorm layernorm;
        dvk_push_attention attention;
        dvk_push_attention_row attention_row;
        dvk_push_mean mean;
        dvk_push_rotate rotate;
        dvk_push_source source;
        dvk_push_resample resample;
        dvk_push_copy copy;
        dvk_push_attention_scores attention_scores;
        dvk_push_project project;
        dvk_push_covary covary;
        dvk_push_orthonormalise orthonormalise;
        dvk_push_align align;
        dvk_push_spread spread;
        dvk_push_picture picture;
        dvk_push_features features;
    } push;
    uint32_t push_bytes;
    uint64_t flops, bytes; /* arithmetic; the least that must be read and written */
} dvk_op;

/* An output's place after the pass. Image i's values start at offset + i * image_stride bytes. */
typedef struct dvk_plan_output {
    uint32_t buffer;
    uint64_t offset, image_stride;
    uint32_t rank, shape[2]; /* per image; rank 0: not computed */
} dvk_plan_output;

/* A target's places in PICTURES, in bytes. */
typedef struct dvk_plan_target {
    dvk_target_desc desc;
    uint64_t scores; /* [patches] vec4 */
    uint64_t spread; /* [3] vec2 */
    uint64_t basis;  /* PCA: [D] the mean, then [D] vec4 */
    uint64_t start;  /* PCA: [D] vec4 that the search for a basis begins with, never written; 0: the host gave one */
    uint64_t next;   /* PCA: [D] vec4 */
} dvk_plan_target;

typedef struct dvk_plan {
    const dvk_allocator *allocator;
    dvk_op *ops;
    uint32_t op_count, op_capacity;
    uint64_t buffer_bytes[DVK_PLAN_OWN_BUFFERS]; /* 0: not needed */
    dvk_plan_output outputs[DVK_OUTPUT_COUNT];
    uint32_t last_buffer; /* where last_hidden_state is at the end: NORMED, or HIDDEN where it is not normalised */
    uint32_t batch, width, height, grid_width, grid_height;
    uint32_t tokens, prefix; /* of an image; prefix of them stand before the patches */
    uint64_t pixel_stride;   /* bytes from image to image in PIXELS */
    uint64_t flops;
    dvk_plan_target targets[DVK_MAX_TARGETS];
    uint32_t target_count;
    dvk_source source; /* table NULL: pixel values come from the host */
} dvk_plan;

/* What a plan is made from. */
typedef struct dvk_plan_request {
    const dvk_allocator *allocator; /* must outlive the plan */
    const dvk_vit_config *config;
    const dvk_weights *weights;
    const dvk_context *context;    /* that chooses the variants */
    uint32_t batch, width, height; /* pixels */
    uint32_t outputs;              /* DVK_OUTPUT_BIT()s */
    const dvk_target_desc *targets;
    uint32_t target_count;
    uint64_t max_range;        /* bytes a binding may span */
    uint64_t offset_alignment; /* of a binding; a power of two, at most 256 */
} dvk_plan_request;

/* The workgroups that the op's variant needs for what its push constants say. */
uint32_t dvk_count_groups(const dvk_op *op);

/* *plan: zeroed but for `source`. */
dvk_result dvk_plan_create(const dvk_plan_request *request, dvk_plan *plan, dvk_error *error);
void dvk_plan_free(dvk_plan *plan);

/* As dvk_session_info.fingerprint. */
void dvk_plan_fingerprint(const dvk_plan *plan, char text[17]);

/* As dvk_session_print_variants(). */
size_t dvk_plan_print_variants(const dvk_plan *plan, char *text, size_t size);

/* As dvk_session_print_plan(). */
size_t dvk_plan_print(const dvk_plan *plan, char *text, size_t size);

#endif
