/* The synthetic models as a table, and the lists of their tensors; private to the generator. */
#ifndef SYNTH_MODEL_H_
#define SYNTH_MODEL_H_

#include <stdio.h>

#include "synth.h"

typedef enum synth_family {
    SYNTH_VIT, /* and all that share its names: DeiT, I-JEPA, ViT-MSN */
    SYNTH_DINOV2,
    SYNTH_DINOV3,
    SYNTH_CLIP,
    SYNTH_SIGLIP
} synth_family;

/* What preprocessor_config.json looks like. */
typedef enum synth_processor {
    SYNTH_EXTRACTOR, /* ViTFeatureExtractor, as in 2021: ImageNet's mean and deviation */
    SYNTH_SQUARE,    /* height and width */
    SYNTH_CROP,      /* shortest edge, centre crop */
    SYNTH_SQUARE_CROP
} synth_processor;

typedef struct synth_model {
    const char *name;
    synth_family family;
    const char *type, *architecture; /* config.json's model_type and architectures[0] */
    uint32_t hidden_size, layers, heads, patch_size, image_size, mlp_size;
    const char *activation, *epsilon;
    const char *version; /* of transformers; NULL: 4.10.0.dev0 */

    bool no_qkv_bias, qkv_bias_key; /* the key is written where either is true */
    bool pooler, prefixed;
    bool no_cls, distillation;
    uint32_t labels, registers;
    bool gated;
    bool untrained;    /* says so in config.json */
    synth_dtype dtype; /* as it is written where the options do not ask for another; 0: F32 */

    synth_processor processor;
    const char *processor_type; /* not for SYNTH_EXTRACTOR */
    const char *mean[3], *std[3];
    uint32_t resample, resize, crop; /* resize: the shortest edge or the side before the crop */
} synth_model;

enum { SYNTH_MAX_TENSORS = 256, SYNTH_MAX_NAME = 112 };

typedef struct synth_tensor_info {
    char seed_name[SYNTH_MAX_NAME]; /* as the model has it: what the values are made from */
    char name[SYNTH_MAX_NAME];      /* as the file has it */
    uint32_t rank;
    uint64_t shape[4];
    uint64_t elements;
    synth_dtype dtype;
} synth_tensor_info;

typedef struct synth_tensor_list {
    const synth_model *m;
    synth_options options;
    size_t count;
    synth_tensor_info tensors[SYNTH_MAX_TENSORS];
} synth_tensor_list;

/* In ascending order of their names. */
void synth_list_tensors(synth_tensor_list *list);

/* Both as Python's json.dumps(..., indent=2, sort_keys=True) with a newline at the end. */
bool synth_write_config(FILE *file, const synth_tensor_list *list);
bool synth_write_preprocessor(FILE *file, const synth_tensor_list *list);

#endif
