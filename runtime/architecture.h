/* What tells the members of the vision transformer family apart, as data: one table entry for every "model_type" of
 * Hugging Face's transformers. A new member is a new entry; nothing that comes after config.json knows names. */
#ifndef DVK_ARCHITECTURE_H_
#define DVK_ARCHITECTURE_H_

#include <stdbool.h>
#include <stdint.h>

typedef enum dvk_activation {
    DVK_ACTIVATION_NONE = 0,
    DVK_ACTIVATION_GELU = 1,       /* x/2 (1 + erf(x / sqrt 2)) */
    DVK_ACTIVATION_GELU_TANH = 2,  /* "gelu_new", "gelu_pytorch_tanh" */
    DVK_ACTIVATION_TANH = 3,       /* the pooler's */
    DVK_ACTIVATION_QUICK_GELU = 4, /* x / (1 + exp(-1.702 x)) */
    DVK_ACTIVATION_SILU = 5        /* x / (1 + exp(-x)) */
} dvk_activation;

/* Where a patch's place comes from. Learned tables are resized where the grid is another one than theirs. */
typedef enum dvk_position_kind {
    DVK_POSITIONS_BICUBIC,           /* torch's bicubic: a = -0.75, no antialiasing */
    DVK_POSITIONS_BICUBIC_ANTIALIAS, /* torch's antialiased bicubic, as Pillow's: a = -0.5 */
    DVK_POSITIONS_ROTARY             /* no table: queries and keys of patches are rotated (RoPE) */
} dvk_position_kind;

/* What transformers calls pooler_output. */
typedef enum dvk_pooled_kind {
    DVK_POOLED_NONE,
    DVK_POOLED_DENSE,    /* tanh(dense(CLS)), where the file has "pooler.dense" */
    DVK_POOLED_CLS,      /* the CLS token itself */
    DVK_POOLED_NORM,     /* final norm of the CLS token alone; last_hidden_state is not normalised */
    DVK_POOLED_ATTENTION /* one learned query attends to all tokens, then an MLP (SigLIP) */
} dvk_pooled_kind;

/* What a class of transformers' adds behind the encoder. */
typedef enum dvk_head {
    DVK_HEAD_NONE,
    DVK_HEAD_CLS,       /* "classifier" of the CLS token */
    DVK_HEAD_MEAN,      /* "classifier" of the mean of the patch tokens */
    DVK_HEAD_CLS_MEAN,  /* "classifier" of CLS and the mean, one after the other */
    DVK_HEAD_DISTILLED, /* the mean of "cls_classifier" of CLS and "distillation_classifier" of the next token */
    DVK_HEAD_PROJECTION /* "visual_projection" of the pooled output */
} dvk_head;

typedef struct dvk_model_class {
    const char *name; /* in config.json's "architectures" */
    dvk_head head;
} dvk_model_class;

/* Names of a layer's tensors, without ".weight" and ".bias". */
typedef struct dvk_layer_names {
    const char *list; /* "encoder.layer": layer i is under "encoder.layer.i." */
    const char *norm_before, *query, *key, *value, *attention_output, *norm_after, *intermediate, *output;
    const char *attention_scale, *output_scale; /* LayerScale; NULL: none */
    const char *gate;                           /* of a gated MLP, beside intermediate and output; NULL: none */
    const char *packed_gate, *packed_output;    /* a gated MLP's, gate first, then intermediate; NULL: none */
} dvk_layer_names;

/* The keys of config.json that say whether biases exist; NULL: they do. */
typedef struct dvk_bias_keys {
    const char *query, *key, *value, *attention_output, *mlp;
} dvk_bias_keys;

/* What transformers' configuration class assumes where the file is silent. */
typedef struct dvk_config_defaults {
    uint32_t hidden_size, layers, heads, mlp_size, patch_size, registers, projection_size;
    double layer_norm_eps;
    dvk_activation activation;
    bool no_key_bias;
} dvk_config_defaults;

typedef struct dvk_architecture {
    const char *model_type;
    const char *nested;        /* in config.json: the object that describes the vision half; NULL: config.json itself */
    const char *other_half[3]; /* beginnings of names of tensors that belong to the text half */
    const char *prefix;        /* may stand before all names but the head's: "vit." */
    dvk_model_class classes[4]; /* the first is assumed where "architectures" is missing */

    /* Tokens before the patches, in this order; NULL: none. The first two have positions, registers have not. */
    const char *cls_token, *distillation_token, *registers;
    const char *positions;
    dvk_position_kind position_kind;
    bool bare_tables; /* the CLS token is [D] and positions are [n][D]; else both begin with an extent of 1 */
    const char *patches;
    bool no_patch_bias;
    const char *first_norm; /* between embeddings and layers; NULL: none */
    const dvk_layer_names *layer;
    const char *final_norm;
    dvk_pooled_kind pooled;
    dvk_bias_keys biases;

    const char *gated_key; /* in config.json: whether the MLP is gated */
    bool mlp_by_ratio;     /* MLP size = hidden_size * "mlp_ratio"; a gated one's 2/3 of it, rounded up to 8 */
    dvk_config_defaults defaults;
} dvk_architecture;

extern const dvk_architecture dvk_architectures[];
extern const uint32_t dvk_architecture_count;

/* NULL where there is none. */
const dvk_architecture *dvk_architecture_find(const char *model_type);

/* Left alone wherever they stand: training's mask token, and the numbers 0, 1, 2, ... as old CLIP files have them. */
extern const char *const dvk_ignored_tensors[2];

#endif
