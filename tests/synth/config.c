/* config.json and preprocessor_config.json: keys in ascending order, two spaces a level, as Python's json writes them.
 */
#include "model.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KEYS = 32, MAX_TEXT = 1024 };

typedef struct entry {
    const char *key;
    char value[MAX_TEXT]; /* as it stands in the file */
} entry;

typedef struct object {
    size_t count;
    entry entries[MAX_KEYS];
} object;

__attribute__((format(printf, 3, 4))) static void put(object *o, const char *key, const char *format, ...) {
    entry *e = &o->entries[o->count++];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(e->value, sizeof(e->value), format, arguments);
    va_end(arguments);
    e->key = key;
}

static void put_bool(object *o, const char *key, bool value) {
    put(o, key, "%s", value ? "true" : "false");
}

static void put_sides(object *o, const char *key, uint32_t side) {
    put(o, key, "{\n    \"height\": %u,\n    \"width\": %u\n  }", side, side);
}

static void put_channels(object *o, const char *key, const char *const values[3]) {
    put(o, key, "[\n    %s,\n    %s,\n    %s\n  ]", values[0], values[1], values[2]);
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const entry *)a)->key, ((const entry *)b)->key);
}

static bool write_object(FILE *file, object *o) {
    qsort(o->entries, o->count, sizeof(o->entries[0]), by_key);
    for (size_t i = 0; i < o->count; i++)
        fprintf(file, "%s\n  \"%s\": %s", i ? "," : "{", o->entries[i].key, o->entries[i].value);
    fprintf(file, "\n}\n");
    free(o);
    return true;
}

static void put_labels(object *o, uint32_t count) {
    char to[MAX_TEXT] = "{", from[MAX_TEXT] = "{";
    for (uint32_t i = 0; i < count; i++) {
        const char *end = i + 1 < count ? "," : "\n  }";
        size_t length = strlen(to);
        snprintf(to + length, sizeof(to) - length, "\n    \"%u\": \"LABEL_%u\"%s", i, i, end);
        length = strlen(from);
        snprintf(from + length, sizeof(from) - length, "\n    \"LABEL_%u\": %u%s", i, i, end);
    }
    put(o, "id2label", "%s", to);
    put(o, "label2id", "%s", from);
}

/* What a family has beside the keys that all have. */
static void put_family(object *o, const synth_model *m) {
    const bool clip = m->family == SYNTH_CLIP;
    if (m->family == SYNTH_VIT || m->family == SYNTH_DINOV2) {
        put(o, "attention_probs_dropout_prob", "0.0");
        put(o, "hidden_dropout_prob", "0.0");
    } else {
        put(o, "attention_dropout", "0.0");
    }
    if (m->family != SYNTH_SIGLIP)
        put(o, "initializer_range", "0.02");
    if (m->family == SYNTH_DINOV2)
        put(o, "mlp_ratio", "4");
    else
        put(o, "intermediate_size", "%u", m->mlp_size);
    if (m->family == SYNTH_DINOV2 || m->family == SYNTH_DINOV3) {
        put(o, "drop_path_rate", "0.0");
        put(o, "layerscale_value", "1.0");
        put_bool(o, m->family == SYNTH_DINOV2 ? "use_swiglu_ffn" : "use_gated_mlp", m->gated);
    }
    if (m->registers)
        put(o, "num_register_tokens", "%u", m->registers);
    if (m->family == SYNTH_DINOV3) {
        put_bool(o, "query_bias", !m->no_qkv_bias);
        put_bool(o, "key_bias", false);
        put_bool(o, "value_bias", !m->no_qkv_bias);
        put_bool(o, "proj_bias", true);
        put_bool(o, "mlp_bias", true);
        put(o, "pos_embed_jitter", "null");
        put(o, "pos_embed_rescale", "2.0");
        put(o, "pos_embed_shift", "null");
        put(o, "rope_theta", "100.0");
    } else if (m->no_qkv_bias || m->qkv_bias_key) {
        put_bool(o, "qkv_bias", !m->no_qkv_bias);
    }
    if (clip) {
        put(o, "dropout", "0.0");
        put(o, "initializer_factor", "1.0");
        put(o, "projection_dim", "%u", m->hidden_size / 2);
    }
}

bool synth_write_config(FILE *file, const synth_tensor_list *list) {
    const synth_model *m = list->m;
    const synth_dtype dtype = list->options.dtype;
    object *o = calloc(1, sizeof(*o));
    if (!o)
        return false;
    put(o, "architectures", "[\n    \"%s\"\n  ]", m->architecture);
    if (m->untrained)
        put_bool(o, "dino_vk_untrained", true);
    put(o, "hidden_act", "\"%s\"", m->activation);
    put(o, "hidden_size", "%u", m->hidden_size);
    put(o, "image_size", "%u", m->family == SYNTH_DINOV3 ? 224 : m->image_size);
    put(o, "layer_norm_eps", "%s", m->epsilon);
    put(o, "model_type", "\"%s\"", m->type);
    put(o, "num_attention_heads", "%u", m->heads);
    put(o, "num_channels", "3");
    put(o, "num_hidden_layers", "%u", m->layers);
    put(o, "patch_size", "%u", m->patch_size);
    put(o, "torch_dtype", "\"%s\"", dtype == SYNTH_F32 ? "float32" : dtype == SYNTH_F16 ? "float16" : "bfloat16");
    put(o, "transformers_version", "\"%s\"", m->version ? m->version : "4.10.0.dev0");
    if (m->labels) {
        if (m->family == SYNTH_VIT)
            put(o, "encoder_stride", "%u", m->patch_size);
        put_labels(o, m->labels);
    }
    put_family(o, m);
    return write_object(file, o);
}

bool synth_write_preprocessor(FILE *file, const synth_tensor_list *list) {
    const synth_model *m = list->m;
    object *o = calloc(1, sizeof(*o));
    if (!o)
        return false;
    put_bool(o, "do_normalize", true);
    put_bool(o, "do_resize", true);
    put_channels(o, "image_mean", m->mean);
    put_channels(o, "image_std", m->std);
    put(o, "resample", "%u", m->resample);
    if (m->processor == SYNTH_EXTRACTOR) {
        put(o, "feature_extractor_type", "\"ViTFeatureExtractor\"");
        put(o, "size", "%u", m->image_size);
        return write_object(file, o);
    }
    put_bool(o, "do_rescale", true);
    put(o, "image_processor_type", "\"%s\"", m->processor_type);
    put(o, "rescale_factor", "0.00392156862745098");
    if (m->processor == SYNTH_SQUARE) {
        put_sides(o, "size", m->image_size);
        return write_object(file, o);
    }
    put_bool(o, "do_center_crop", true);
    put_bool(o, "do_convert_rgb", true);
    put_sides(o, "crop_size", m->crop);
    if (m->processor == SYNTH_CROP)
        put(o, "size", "{\n    \"shortest_edge\": %u\n  }", m->resize);
    else
        put_sides(o, "size", m->resize);
    return write_object(file, o);
}
