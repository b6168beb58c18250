#include "architecture.h"

#include <string.h>

const char *const dvk_ignored_tensors[2] = {"embeddings.mask_token", "embeddings.position_ids"};

static const dvk_layer_names vit_layer = {
    .list = "encoder.layer",
    .norm_before = "layernorm_before",
    .query = "attention.attention.query",
    .key = "attention.attention.key",
    .value = "attention.attention.value",
    .attention_output = "attention.output.dense",
    .norm_after = "layernorm_after",
    .intermediate = "intermediate.dense",
    .output = "output.dense",
};

static const dvk_layer_names dinov2_layer = {
    .list = "encoder.layer",
    .norm_before = "norm1",
    .query = "attention.attention.query",
    .key = "attention.attention.key",
    .value = "attention.attention.value",
    .attention_output = "attention.output.dense",
    .attention_scale = "layer_scale1.lambda1",
    .norm_after = "norm2",
    .intermediate = "mlp.fc1",
    .output = "mlp.fc2",
    .packed_gate = "mlp.weights_in",
    .packed_output = "mlp.weights_out",
    .output_scale = "layer_scale2.lambda1",
};

static const dvk_layer_names dinov3_layer = {
    .list = "layer",
    .norm_before = "norm1",
    .query = "attention.q_proj",
    .key = "attention.k_proj",
    .value = "attention.v_proj",
    .attention_output = "attention.o_proj",
    .attention_scale = "layer_scale1.lambda1",
    .norm_after = "norm2",
    .gate = "mlp.gate_proj",
    .intermediate = "mlp.up_proj",
    .output = "mlp.down_proj",
    .output_scale = "layer_scale2.lambda1",
};

static const dvk_layer_names clip_layer = {
    .list = "encoder.layers",
    .norm_before = "layer_norm1",
    .query = "self_attn.q_proj",
    .key = "self_attn.k_proj",
    .value = "self_attn.v_proj",
    .attention_output = "self_attn.out_proj",
    .norm_after = "layer_norm2",
    .intermediate = "mlp.fc1",
    .output = "mlp.fc2",
};

const dvk_architecture dvk_architectures[] = {
    {
        .model_type = "vit", /* ViT, and DINO; also DeiT without distillation */
        .prefix = "vit.",
        .classes = {{"ViTModel", DVK_HEAD_NONE}, {"ViTForImageClassification", DVK_HEAD_CLS}},
        .cls_token = "embeddings.cls_token",
        .positions = "embeddings.position_embeddings",
        .patches = "embeddings.patch_embeddings.projection",
        .layer = &vit_layer,
        .final_norm = "layernorm",
        .pooled = DVK_POOLED_DENSE,
        .biases = {"qkv_bias", "qkv_bias", "qkv_bias", NULL, NULL},
        .defaults = {768, 12, 12, 3072, 16, 0, 0, 1e-12, DVK_ACTIVATION_GELU, false},
    },
    {
        .model_type = "deit",
        .prefix = "deit.",
        .classes = {{"DeiTModel", DVK_HEAD_NONE},
                    {"DeiTForImageClassification", DVK_HEAD_CLS},
                    {"DeiTForImageClassificationWithTeacher", DVK_HEAD_DISTILLED}},
        .cls_token = "embeddings.cls_token",
        .distillation_token = "embeddings.distillation_token",
        .positions = "embeddings.position_embeddings",
        .patches = "embeddings.patch_embeddings.projection",
        .layer = &vit_layer,
        .final_norm = "layernorm",
        .pooled = DVK_POOLED_DENSE,
        .biases = {"qkv_bias", "qkv_bias", "qkv_bias", NULL, NULL},
        .defaults = {768, 12, 12, 3072, 16, 0, 0, 1e-12, DVK_ACTIVATION_GELU, false},
    },
    {
        .model_type = "vit_msn",
        .prefix = "vit.",
        .classes = {{"ViTMSNModel", DVK_HEAD_NONE}, {"ViTMSNForImageClassification", DVK_HEAD_CLS}},
        .cls_token = "embeddings.cls_token",
        .positions = "embeddings.position_embeddings",
        .patches = "embeddings.patch_embeddings.projection",
        .layer = &vit_layer,
        .final_norm = "layernorm",
        .biases = {"qkv_bias", "qkv_bias", "qkv_bias", NULL, NULL},
        .defaults = {768, 12, 12, 3072, 16, 0, 0, 1e-6, DVK_ACTIVATION_GELU, false},
    },
    {
        .model_type = "ijepa", /* no CLS token */
        .prefix = "ijepa.",
        .classes = {{"IJepaModel", DVK_HEAD_NONE}, {"IJepaForImageClassification", DVK_HEAD_MEAN}},
        .positions = "embeddings.position_embeddings",
        .patches = "embeddings.patch_embeddings.projection",
        .layer = &vit_layer,
        .final_norm = "layernorm",
        .biases = {"qkv_bias", "qkv_bias", "qkv_bias", NULL, NULL},
        .defaults = {768, 12, 12, 3072, 16, 0, 0, 1e-6, DVK_ACTIVATION_GELU, false},
    },
    {
        .model_type = "dinov2",
        .prefix = "dinov2.",
        .classes = {{"Dinov2Model", DVK_HEAD_NONE}, {"Dinov2ForImageClassification", DVK_HEAD_CLS_MEAN}},
        .cls_token = "embeddings.cls_token",
        .positions = "embeddings.position_embeddings",
        .patches = "embeddings.patch_embeddings.projection",
        .layer = &dinov2_layer,
        .final_norm = "layernorm",
        .pooled = DVK_POOLED_CLS,
        .biases = {"qkv_bias", "qkv_bias", "qkv_bias", NULL, NULL},
        .gated_key = "use_swiglu_ffn",
        .mlp_by_ratio = true,
        .defaults = {768, 12, 12, 0, 14, 0, 0, 1e-6, DVK_ACTIVATION_GELU, false},
    },
    {
        .model_type = "dinov2_with_registers",
        .prefix = "dinov2_with_registers.",
        .classes = {{"Dinov2WithRegistersModel", DVK_HEAD_NONE},
                    {"Dinov2WithRegistersForImageClassification", DVK_HEAD_CLS_MEAN}},
        .cls_token = "embeddings.cls_token",
        .registers = "embeddings.register_tokens",
        .positions = "embeddings.position_embeddings",
        .position_kind = DVK_POSITIONS_BICUBIC_ANTIALIAS,
        .patches = "embeddings.patch_embeddings.projection",
        .layer = &dinov2_layer,
        .final_norm = "layernorm",
        .pooled = DVK_POOLED_CLS,
        .biases = {"qkv_bias", "qkv_bias", "qkv_bias", NULL, NULL},
        .gated_key = "use_swiglu_ffn",
        .mlp_by_ratio = true,
        .defaults = {768, 12, 12, 0, 16, 4, 0, 1e-6, DVK_ACTIVATION_GELU, false},
    },
    {
        .model_type = "dinov3_vit",
        .classes = {{"DINOv3ViTModel", DVK_HEAD_NONE}},
        .cls_token = "embeddings.cls_token",
        .registers = "embeddings.register_tokens",
        .position_kind = DVK_POSITIONS_ROTARY,
        .patches = "embeddings.patch_embeddings",
        .layer = &dinov3_layer,
        .final_norm = "norm",
        .pooled = DVK_POOLED_CLS,
        .biases = {"query_bias", "key_bias", "value_bias", "proj_bias", "mlp_bias"},
        .gated_key = "use_gated_mlp",
        .defaults = {384, 12, 6, 1536, 16, 0, 0, 1e-5, DVK_ACTIVATION_GELU, true},
    },
    {
        .model_type = "clip_vision_model",
        .prefix = "vision_model.",
        .classes = {{"CLIPVisionModel", DVK_HEAD_NONE}, {"CLIPVisionModelWithProjection", DVK_HEAD_PROJECTION}},
        .cls_token = "embeddings.class_embedding",
        .positions = "embeddings.position_embedding.weight",
        .bare_tables = true,
        .patches = "embeddings.patch_embedding",
        .no_patch_bias = true,
        .first_norm = "pre_layrnorm", /* as it is spelt in the files */
        .layer = &clip_layer,
        .final_norm = "post_layernorm",
        .pooled = DVK_POOLED_NORM,
        .defaults = {768, 12, 12, 3072, 32, 0, 512, 1e-5, DVK_ACTIVATION_QUICK_GELU, false},
    },
    {
        .model_type = "siglip_vision_model", /* no CLS token */
        .prefix = "vision_model.",
        .classes = {{"SiglipVisionModel", DVK_HEAD_NONE}},
        .positions = "embeddings.position_embedding.weight",
        .bare_tables = true,
        .patches = "embeddings.patch_embedding",
        .layer = &clip_layer,
        .final_norm = "post_layernorm",
        .pooled = DVK_POOLED_ATTENTION,
        .defaults = {768, 12, 12, 3072, 16, 0, 0, 1e-6, DVK_ACTIVATION_GELU_TANH, false},
    },
    {
        .model_type = "clip", /* both halves, of which the vision one is run */
        .nested = "vision_config",
        .other_half = {"text_model.", "text_projection.", "logit_scale"},
        .prefix = "vision_model.",
        .classes = {{"CLIPModel", DVK_HEAD_PROJECTION}},
        .cls_token = "embeddings.class_embedding",
        .positions = "embeddings.position_embedding.weight",
        .bare_tables = true,
        .patches = "embeddings.patch_embedding",
        .no_patch_bias = true,
        .first_norm = "pre_layrnorm",
        .layer = &clip_layer,
        .final_norm = "post_layernorm",
        .pooled = DVK_POOLED_NORM,
        .defaults = {768, 12, 12, 3072, 32, 0, 512, 1e-5, DVK_ACTIVATION_QUICK_GELU, false},
    },
    {
        .model_type = "siglip",
        .nested = "vision_config",
        .other_half = {"text_model.", "logit_scale", "logit_bias"},
        .prefix = "vision_model.",
        .classes = {{"SiglipModel", DVK_HEAD_NONE}},
        .positions = "embeddings.position_embedding.weight",
        .bare_tables = true,
        .patches = "embeddings.patch_embedding",
        .layer = &clip_layer,
        .final_norm = "post_layernorm",
        .pooled = DVK_POOLED_ATTENTION,
        .defaults = {768, 12, 12, 3072, 16, 0, 0, 1e-6, DVK_ACTIVATION_GELU_TANH, false},
    },
};

const uint32_t dvk_architecture_count = sizeof(dvk_architectures) / sizeof(dvk_architectures[0]);

const dvk_architecture *dvk_architecture_find(const char *model_type) {
    for (uint32_t i = 0; i < dvk_architecture_count; i++)
        if (!strcmp(dvk_architectures[i].model_type, model_type))
            return &dvk_architectures[i];
    return NULL;
}
