/* Which tensors a model has, by the names of the published files. */
#include "model.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *prefix_of(const synth_model *m) {
    if (m->family == SYNTH_CLIP || m->family == SYNTH_SIGLIP)
        return "vision_model.";
    if (m->family == SYNTH_DINOV2)
        return m->registers ? "dinov2_with_registers." : "dinov2.";
    return m->distillation ? "deit." : m->no_cls ? "ijepa." : "vit.";
}

static bool is_head(const char *name) {
    return strstr(name, "classifier") || !strncmp(name, "visual_projection", 17);
}

static bool chosen(synth_choice choice, bool as_model) {
    return choice == SYNTH_AS_MODEL ? as_model : choice == SYNTH_WITH;
}

__attribute__((format(printf, 4, 5))) static void add(synth_tensor_list *list, uint32_t rank, const uint64_t *shape,
                                                      const char *format, ...) {
    synth_tensor_info *t = &list->tensors[list->count++];
    char name[SYNTH_MAX_NAME - 32];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof(name), format, arguments);
    va_end(arguments);
    const char *prefix = is_head(name) ? "" : prefix_of(list->m);
    bool prefixed = chosen(list->options.prefix, list->m->prefixed);
    snprintf(t->seed_name, sizeof(t->seed_name), "%s%s", list->m->prefixed ? prefix : "", name);
    snprintf(t->name, sizeof(t->name), "%s%s", prefixed ? prefix : "", name);
    t->rank = rank;
    t->elements = 1;
    for (uint32_t i = 0; i < rank; i++)
        t->elements *= t->shape[i] = shape[i];
    t->dtype = list->options.mixed_dtype && (rank == 1 || rank == 3) ? SYNTH_F32 : list->options.dtype;
}

static void add_vector(synth_tensor_list *list, const char *name, uint64_t size) {
    add(list, 1, (const uint64_t[]){size}, "%s", name);
}

static void add_matrix(synth_tensor_list *list, const char *name, uint64_t outputs, uint64_t inputs) {
    add(list, 2, (const uint64_t[]){outputs, inputs}, "%s", name);
}

static void add_linear(synth_tensor_list *list, const char *name, uint64_t outputs, uint64_t inputs, bool bias) {
    add(list, 2, (const uint64_t[]){outputs, inputs}, "%s.weight", name);
    if (bias)
        add(list, 1, (const uint64_t[]){outputs}, "%s.bias", name);
}

static void add_norm(synth_tensor_list *list, const char *name) {
    add(list, 1, (const uint64_t[]){list->m->hidden_size}, "%s.weight", name);
    add(list, 1, (const uint64_t[]){list->m->hidden_size}, "%s.bias", name);
}

/* [1][rows][D] */
static void add_tokens(synth_tensor_list *list, const char *name, uint64_t rows) {
    add(list, 3, (const uint64_t[]){1, rows, list->m->hidden_size}, "%s", name);
}

static void add_patches(synth_tensor_list *list, const char *name, bool bias) {
    const uint64_t width = list->m->hidden_size, patch = list->m->patch_size;
    add(list, 4, (const uint64_t[]){width, 3, patch, patch}, "%s.weight", name);
    if (bias)
        add(list, 1, (const uint64_t[]){width}, "%s.bias", name);
}

static uint64_t patches_of(const synth_model *m) {
    const uint64_t side = m->image_size / m->patch_size;
    return side * side;
}

/* The parts of a layer's name, joined. */
typedef struct layer_name {
    char text[SYNTH_MAX_NAME - 48];
} layer_name;

static layer_name in_layer(const char *stem, uint32_t layer, const char *part) {
    layer_name name;
    snprintf(name.text, sizeof(name.text), "%.16s.%u.%.40s", stem, layer, part);
    return name;
}
#define IN_LAYER(part) in_layer(stem, layer, part).text

static void add_vit_attention(synth_tensor_list *list, const char *stem, uint32_t layer) {
    const uint64_t width = list->m->hidden_size;
    const bool bias = !list->m->no_qkv_bias;
    add_linear(list, IN_LAYER("attention.attention.query"), width, width, bias);
    add_linear(list, IN_LAYER("attention.attention.key"), width, width, bias);
    add_linear(list, IN_LAYER("attention.attention.value"), width, width, bias);
    add_linear(list, IN_LAYER("attention.output.dense"), width, width, true);
}

static void list_vit(synth_tensor_list *list) {
    const synth_model *m = list->m;
    const uint64_t width = m->hidden_size;
    const char *stem = "encoder.layer";
    if (!m->no_cls)
        add_tokens(list, "embeddings.cls_token", 1);
    if (m->distillation)
        add_tokens(list, "embeddings.distillation_token", 1);
    add_tokens(list, "embeddings.position_embeddings", patches_of(m) + (m->no_cls ? 0 : 1) + (m->distillation ? 1 : 0));
    add_patches(list, "embeddings.patch_embeddings.projection", true);
    for (uint32_t layer = 0; layer < m->layers; layer++) {
        add_vit_attention(list, stem, layer);
        add_linear(list, IN_LAYER("intermediate.dense"), m->mlp_size, width, true);
        add_linear(list, IN_LAYER("output.dense"), width, m->mlp_size, true);
        add_norm(list, IN_LAYER("layernorm_before"));
        add_norm(list, IN_LAYER("layernorm_after"));
    }
    add_norm(list, "layernorm");
    if (chosen(list->options.pooler, m->pooler))
        add_linear(list, "pooler.dense", width, width, true);
    if (m->labels && m->distillation) {
        add_linear(list, "cls_classifier", m->labels, width, true);
        add_linear(list, "distillation_classifier", m->labels, width, true);
    } else if (m->labels) {
        add_linear(list, "classifier", m->labels, width, true);
    }
}

static void list_dinov2(synth_tensor_list *list) {
    const synth_model *m = list->m;
    const uint64_t width = m->hidden_size;
    const char *stem = "encoder.layer";
    add_tokens(list, "embeddings.cls_token", 1);
    add_matrix(list, "embeddings.mask_token", 1, width);
    add_tokens(list, "embeddings.position_embeddings", patches_of(m) + 1);
    if (m->registers)
        add_tokens(list, "embeddings.register_tokens", m->registers);
    add_patches(list, "embeddings.patch_embeddings.projection", true);
    for (uint32_t layer = 0; layer < m->layers; layer++) {
        add_norm(list, IN_LAYER("norm1"));
        add_vit_attention(list, stem, layer);
        add_vector(list, IN_LAYER("layer_scale1.lambda1"), width);
        add_norm(list, IN_LAYER("norm2"));
        add_linear(list, IN_LAYER(m->gated ? "mlp.weights_in" : "mlp.fc1"), (m->gated ? 2 : 1) * m->mlp_size, width,
                   true);
        add_linear(list, IN_LAYER(m->gated ? "mlp.weights_out" : "mlp.fc2"), width, m->mlp_size, true);
        add_vector(list, IN_LAYER("layer_scale2.lambda1"), width);
    }
    add_norm(list, "layernorm");
    if (m->labels)
        add_linear(list, "classifier", m->labels, 2 * width, true);
}

static void list_dinov3(synth_tensor_list *list) {
    const synth_model *m = list->m;
    const uint64_t width = m->hidden_size;
    const char *stem = "layer";
    add_tokens(list, "embeddings.cls_token", 1);
    add_tokens(list, "embeddings.mask_token", 1);
    add_tokens(list, "embeddings.register_tokens", m->registers);
    add_patches(list, "embeddings.patch_embeddings", true);
    for (uint32_t layer = 0; layer < m->layers; layer++) {
        add_norm(list, IN_LAYER("norm1"));
        add_linear(list, IN_LAYER("attention.q_proj"), width, width, !m->no_qkv_bias);
        add_linear(list, IN_LAYER("attention.k_proj"), width, width, false);
        add_linear(list, IN_LAYER("attention.v_proj"), width, width, !m->no_qkv_bias);
        add_linear(list, IN_LAYER("attention.o_proj"), width, width, true);
        add_vector(list, IN_LAYER("layer_scale1.lambda1"), width);
        add_norm(list, IN_LAYER("norm2"));
        if (m->gated)
            add_linear(list, IN_LAYER("mlp.gate_proj"), m->mlp_size, width, true);
        add_linear(list, IN_LAYER("mlp.up_proj"), m->mlp_size, width, true);
        add_linear(list, IN_LAYER("mlp.down_proj"), width, m->mlp_size, true);
        add_vector(list, IN_LAYER("layer_scale2.lambda1"), width);
    }
    add_norm(list, "norm");
}

static void list_clip(synth_tensor_list *list) {
    const synth_model *m = list->m;
    const bool clip = m->family == SYNTH_CLIP;
    const uint64_t width = m->hidden_size;
    const char *stem = "encoder.layers";
    if (clip)
        add_vector(list, "embeddings.class_embedding", width);
    add_patches(list, "embeddings.patch_embedding", !clip);
    add_matrix(list, "embeddings.position_embedding.weight", patches_of(m) + clip, width);
    if (clip)
        add_norm(list, "pre_layrnorm");
    for (uint32_t layer = 0; layer < m->layers; layer++) {
        add_linear(list, IN_LAYER("self_attn.q_proj"), width, width, true);
        add_linear(list, IN_LAYER("self_attn.k_proj"), width, width, true);
        add_linear(list, IN_LAYER("self_attn.v_proj"), width, width, true);
        add_linear(list, IN_LAYER("self_attn.out_proj"), width, width, true);
        add_norm(list, IN_LAYER("layer_norm1"));
        add_norm(list, IN_LAYER("layer_norm2"));
        add_linear(list, IN_LAYER("mlp.fc1"), m->mlp_size, width, true);
        add_linear(list, IN_LAYER("mlp.fc2"), width, m->mlp_size, true);
    }
    add_norm(list, "post_layernorm");
    if (clip) {
        add_linear(list, "visual_projection", width / 2, width, false);
        return;
    }
    add_tokens(list, "head.probe", 1);
    add_matrix(list, "head.attention.in_proj_weight", 3 * width, width);
    add_vector(list, "head.attention.in_proj_bias", 3 * width);
    add_linear(list, "head.attention.out_proj", width, width, true);
    add_norm(list, "head.layernorm");
    add_linear(list, "head.mlp.fc1", m->mlp_size, width, true);
    add_linear(list, "head.mlp.fc2", width, m->mlp_size, true);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const synth_tensor_info *)a)->name, ((const synth_tensor_info *)b)->name);
}

void synth_list_tensors(synth_tensor_list *list) {
    switch (list->m->family) {
    case SYNTH_VIT:
        list_vit(list);
        break;
    case SYNTH_DINOV2:
        list_dinov2(list);
        break;
    case SYNTH_DINOV3:
        list_dinov3(list);
        break;
    case SYNTH_CLIP:
    case SYNTH_SIGLIP:
        list_clip(list);
        break;
    }
    qsort(list->tensors, list->count, sizeof(list->tensors[0]), by_name);
}
