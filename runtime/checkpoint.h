/* A model directory, mapped and validated: config.json + preprocessor_config.json + model.safetensors -> the weights of
 * a vision transformer by role. No Vulkan here. */
#ifndef DVK_CHECKPOINT_H_
#define DVK_CHECKPOINT_H_

#include "architecture.h"
#include "model_files.h"
#include "preprocess.h"
#include "safetensors.h"

typedef struct dvk_vit_config {
    const dvk_architecture *family;
    char architecture[64]; /* the class, one of family->classes */
    dvk_head head;
    uint32_t hidden_size, layers, heads, head_dim, mlp_size, patch_size;
    uint32_t image_width, image_height; /* the position table's: grid = image / patch */
    uint32_t grid_width, grid_height;
    uint32_t registers;
    uint32_t prefix_tokens; /* before the patches: CLS, distillation, registers */
    uint32_t projection_size;
    float layer_norm_eps;
    dvk_activation activation; /* of the MLP; a gated one's gate has it */
    bool gated;                /* MLP: output(activation(gate(x)) * intermediate(x)) */
    bool query_bias, key_bias, value_bias, attention_output_bias, mlp_bias;
    double rope_theta; /* base of the rotary positions' periods */
    bool untrained;    /* "dino_vk_untrained": true */
    uint32_t label_count;
    char **labels; /* [label_count]; NULL where the file names none. One allocation, owned */
} dvk_vit_config;

/* A dense layer as the file stores it: rows first_output .. of weight [..][row length] and of bias [..], of each row
 * the inputs from first_input. */
typedef struct dvk_linear {
    const dvk_tensor *weight, *bias; /* bias NULL: zeros */
    const dvk_tensor *scale;         /* [outputs], multiplies the result (LayerScale); NULL: none */
    uint32_t outputs, inputs;
    uint32_t first_output, first_input;
} dvk_linear;

typedef struct dvk_norm {
    const dvk_tensor *weight, *bias; /* [D] */
} dvk_norm;

typedef struct dvk_vit_layer {
    dvk_norm norm_before, norm_after;
    dvk_linear query, key, value, attention_output, intermediate, output;
    dvk_linear gate; /* weight NULL where the MLP has none */
} dvk_vit_layer;

/* SigLIP's pooling: a learned query's attention over all tokens, and an MLP with a residual. */
typedef struct dvk_attention_pool {
    const dvk_tensor *probe; /* [D]; NULL where the model pools otherwise */
    dvk_linear query, key, value, attention_output, intermediate, output;
    dvk_norm norm;
} dvk_attention_pool;

/* What a classifier or projection reads. */
typedef enum dvk_head_input {
    DVK_INPUT_CLS,
    DVK_INPUT_DISTILLATION,
    DVK_INPUT_MEAN,
    DVK_INPUT_POOLED,
    DVK_INPUT_LAYER_CLS /* the final norm of the CLS token behind an earlier layer; these come first */
} dvk_head_input;

/* One term of the sum that a head's output is. */
typedef struct dvk_head_part {
    dvk_head_input input;
    dvk_linear linear;
    float factor;
    uint32_t layer; /* of DVK_INPUT_LAYER_CLS */
} dvk_head_part;

enum { DVK_MAX_HEAD_PARTS = 5 };

struct dvk_classifier; /* classifier.h */

typedef struct dvk_checkpoint {
    const dvk_allocator *allocator;
    char name[256]; /* for messages */
    dvk_vit_config config;
    dvk_preprocess_config preprocess;

    const dvk_tensor *cls_token, *distillation_token; /* [D]; NULL where the family has none */
    const dvk_tensor *registers;                      /* [registers][D] or NULL */
    const dvk_tensor *position_embeddings;            /* [CLS, distillation, grid][D]; NULL where they are rotary */
    dvk_linear patch_projection;                      /* weight [D][3][P][P] */
    dvk_norm first_norm;                              /* weight NULL where there is none */
    dvk_vit_layer *layers;                            /* [config.layers] */
    dvk_norm final_norm;
    dvk_linear pooler; /* weight NULL where the file has none */
    dvk_attention_pool pool;
    dvk_head_part head[DVK_MAX_HEAD_PARTS];
    uint32_t head_parts;
    uint64_t parameters; /* elements of all of the above */
    dvk_dtype matrix_dtype;

    /* what holds the memory; private to checkpoint.c */
    dvk_tensor_list file;
    dvk_model_files files;
    struct dvk_classifier *classifier; /* what params->classifier_path named; holds the head's tensors. NULL: none */
} dvk_checkpoint;

/* params->path or the three memory blocks, classifier_path, and the allocator, which must outlive the checkpoint; the
 * other fields are ignored. Finite values are the caller's business. */
dvk_result dvk_checkpoint_open(const dvk_model_params *params, dvk_checkpoint *checkpoint, dvk_error *error);
void dvk_checkpoint_close(dvk_checkpoint *checkpoint);

/* Element `first`.. of a tensor as float32, exactly; dtype must be F32, F16 or BF16. */
void dvk_tensor_to_float(const dvk_tensor *tensor, uint64_t first, uint64_t count, float *values);

/* IEEE binary16 from float32, to nearest even; overflow gives infinity. */
uint16_t dvk_float_to_half(float value);
float dvk_half_to_float(uint16_t half);

/* How a table of positions is resized to another grid. */
typedef struct dvk_position_resize {
    bool antialias;         /* torch's antialiased bicubic (a = -0.5), else its plain one (a = -0.75) */
    bool dino_scale_factor; /* see dvk_session_params */
} dvk_position_resize;

/* transformers' interpolate_pos_encoding: table [rows * columns][D] to [new_rows * new_columns][D], in double. Equal
 * grids copy bit for bit. */
dvk_result dvk_interpolate_positions(const dvk_allocator *allocator, const float *table, uint32_t rows,
                                     uint32_t columns, uint32_t new_rows, uint32_t new_columns, uint32_t hidden_size,
                                     dvk_position_resize resize, float *result, dvk_error *error);

/* DINOv3's rotary positions: angles [rows * columns][head_dim], of each patch the cosines of head_dim / 4 angles from
 * its row and as many from its column, then the sines. Coordinates run from -1 to 1 over the image, periods are
 * theta^(4 i / head_dim) of that range's half. */
void dvk_rotary_angles(uint32_t rows, uint32_t columns, uint32_t head_dim, double theta, float *angles);

#endif
