/* A model directory, mapped and validated: config.json + preprocessor_config.json + model.safetensors -> the weights of
 * a vision transformer by role. No Vulkan here. */
#ifndef DVK_CHECKPOINT_H_
#define DVK_CHECKPOINT_H_

#include "model_files.h"
#include "preprocess.h"
#include "safetensors.h"

typedef enum dvk_activation {
    DVK_ACTIVATION_NONE = 0,
    DVK_ACTIVATION_GELU = 1,      /* x/2 (1 + erf(x / sqrt 2)) */
    DVK_ACTIVATION_GELU_TANH = 2, /* "gelu_new", "gelu_pytorch_tanh" */
    DVK_ACTIVATION_TANH = 3       /* the pooler's */
} dvk_activation;

typedef struct dvk_vit_config {
    char architecture[64];
    uint32_t hidden_size, layers, heads, head_dim, mlp_size, patch_size;
    uint32_t image_width, image_height; /* the position table's: grid = image / patch */
    uint32_t grid_width, grid_height;
    float layer_norm_eps;
    dvk_activation activation;
    bool qkv_bias;
    bool untrained; /* "dino_vk_untrained": true */
} dvk_vit_config;

/* A dense layer as the file stores it: weight [out][in], bias [out] or NULL. */
typedef struct dvk_linear {
    const dvk_tensor *weight, *bias;
} dvk_linear;

typedef struct dvk_vit_layer {
    dvk_linear norm_before, norm_after; /* layer norms: weight [D], bias [D] */
    dvk_linear query, key, value, attention_output, intermediate, output;
} dvk_vit_layer;

typedef struct dvk_checkpoint {
    char name[256]; /* for messages */
    dvk_vit_config config;
    dvk_preprocess_config preprocess;

    const dvk_tensor *cls_token;           /* [1][1][D] */
    const dvk_tensor *position_embeddings; /* [1][1 + grid_height * grid_width][D] */
    dvk_linear patch_projection;           /* weight [D][3][P][P], bias [D] */
    dvk_vit_layer *layers;                 /* [config.layers] */
    dvk_linear final_norm;
    dvk_linear pooler;   /* weight NULL where the file has none */
    uint64_t parameters; /* elements of all of the above */
    dvk_dtype matrix_dtype;

    /* what holds the memory; private to checkpoint.c */
    dvk_safetensors file;
    dvk_model_files files;
} dvk_checkpoint;

/* params->path or the three memory blocks; the other fields are ignored. Finite values are the caller's business. */
dvk_result dvk_checkpoint_open(const dvk_model_params *params, dvk_checkpoint *checkpoint, dvk_error *error);
void dvk_checkpoint_close(dvk_checkpoint *checkpoint);

/* Element `first`.. of a tensor as float32, exactly; dtype must be F32, F16 or BF16. */
void dvk_tensor_to_float(const dvk_tensor *tensor, uint64_t first, uint64_t count, float *values);

/* IEEE binary16 from float32, to nearest even; overflow gives infinity. */
uint16_t dvk_float_to_half(float value);
float dvk_half_to_float(uint16_t half);

/* transformers' interpolate_pos_encoding: table [1 + rows * columns][D], row 0 (CLS) is copied, the others resized to
 * [new_rows][new_columns] by torch's bicubic (a = -0.75, no antialias, align_corners=False), in double. result:
 * [1 + new_rows * new_columns][D]. Equal grids copy bit for bit. */
void dvk_interpolate_positions(const float *table, uint32_t rows, uint32_t columns, uint32_t new_rows,
                               uint32_t new_columns, uint32_t hidden_size, float *result);

#endif
