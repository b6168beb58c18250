/* Whole model directories, byte for byte as the reference implementation writes them. */
#include "synth.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_TENSORS = 256, MAX_NAME = 80 };

typedef struct model {
    const char *name;
    uint32_t hidden_size, layers, heads, patch_size, image_size, mlp_size;
    const char *activation, *epsilon;
    bool no_qkv_bias, pooler;
    uint32_t labels;   /* not 0: ViTForImageClassification, names under "vit." */
    bool untrained;    /* says so in config.json */
    synth_dtype dtype; /* as it is written where the options do not ask for another */
} model;

static const model models[] = {
    {"dino-vits8", 384, 12, 6, 8, 224, 1536, "gelu", "1e-12", false, false, 0, false, SYNTH_F32},
    {"dino-vits16", 384, 12, 6, 16, 224, 1536, "gelu", "1e-12", false, false, 0, false, SYNTH_F32},
    {"dino-vitb8", 768, 12, 12, 8, 224, 3072, "gelu", "1e-12", false, false, 0, false, SYNTH_F32},
    {"dino-vitb16", 768, 12, 12, 16, 224, 3072, "gelu", "1e-12", false, false, 0, false, SYNTH_F32},
    {"vit-tiny", 64, 2, 2, 8, 32, 256, "gelu", "1e-12", false, true, 0, false, SYNTH_F32},
    {"vit-odd-tiny", 48, 3, 3, 4, 20, 100, "gelu_new", "0.03125", true, false, 0, false, SYNTH_F32},
    {"vit-cls-tiny", 192, 3, 3, 16, 64, 768, "gelu", "1e-12", false, false, 10, false, SYNTH_F32},
    /* What models/default holds until a trained one takes its place. */
    {"default", 64, 2, 2, 16, 224, 256, "gelu", "1e-12", false, false, 0, true, SYNTH_F16},
};

const char *const synth_models[] = {"dino-vits8",   "dino-vits16",  "dino-vitb8", "dino-vitb16", "vit-tiny",
                                    "vit-odd-tiny", "vit-cls-tiny", "default",    NULL};

/* ----------------------------------------------------------------------------------------------- tensors */

typedef struct tensor {
    char seed_name[MAX_NAME]; /* as the model has it: what the values are made from */
    char name[MAX_NAME];      /* as the file has it */
    uint32_t rank;
    uint64_t shape[4];
    uint64_t elements;
    synth_dtype dtype;
} tensor;

typedef struct tensor_list {
    const model *m;
    synth_options options;
    bool prefix;
    size_t count;
    tensor tensors[MAX_TENSORS];
} tensor_list;

__attribute__((format(printf, 4, 5))) static void add(tensor_list *list, uint32_t rank, const uint64_t *shape,
                                                      const char *format, ...) {
    tensor *t = &list->tensors[list->count++];
    char name[MAX_NAME - 8];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof(name), format, arguments);
    va_end(arguments);
    const char *prefix = strncmp(name, "classifier", 10) ? "vit." : "";
    snprintf(t->seed_name, sizeof(t->seed_name), "%s%s", list->m->labels ? prefix : "", name);
    snprintf(t->name, sizeof(t->name), "%s%s", list->prefix ? prefix : "", name);
    t->rank = rank;
    t->elements = 1;
    for (uint32_t i = 0; i < rank; i++)
        t->elements *= t->shape[i] = shape[i];
    t->dtype = list->options.mixed_dtype && (rank == 1 || rank == 3) ? SYNTH_F32 : list->options.dtype;
}

static void add_linear(tensor_list *list, const char *name, uint64_t outputs, uint64_t inputs, bool bias) {
    add(list, inputs ? 2 : 1, (const uint64_t[]){outputs, inputs}, "%s.weight", name);
    if (bias)
        add(list, 1, (const uint64_t[]){outputs}, "%s.bias", name);
}

static void add_layer(tensor_list *list, uint32_t layer) {
    static const char *const projections[] = {"query", "key", "value"};
    const model *m = list->m;
    char name[MAX_NAME - 16];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "encoder.layer.%u.attention.attention.%s", layer, projections[i]);
        add_linear(list, name, m->hidden_size, m->hidden_size, !m->no_qkv_bias);
    }
    snprintf(name, sizeof(name), "encoder.layer.%u.attention.output.dense", layer);
    add_linear(list, name, m->hidden_size, m->hidden_size, true);
    snprintf(name, sizeof(name), "encoder.layer.%u.intermediate.dense", layer);
    add_linear(list, name, m->mlp_size, m->hidden_size, true);
    snprintf(name, sizeof(name), "encoder.layer.%u.output.dense", layer);
    add_linear(list, name, m->hidden_size, m->mlp_size, true);
    snprintf(name, sizeof(name), "encoder.layer.%u.layernorm_before", layer);
    add_linear(list, name, m->hidden_size, 0, true);
    snprintf(name, sizeof(name), "encoder.layer.%u.layernorm_after", layer);
    add_linear(list, name, m->hidden_size, 0, true);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const tensor *)a)->name, ((const tensor *)b)->name);
}

static bool chosen(synth_choice choice, bool as_model) {
    return choice == SYNTH_AS_MODEL ? as_model : choice == SYNTH_WITH;
}

static void list_tensors(tensor_list *list) {
    const model *m = list->m;
    const uint64_t width = m->hidden_size, patch = m->patch_size, grid = m->image_size / m->patch_size;
    list->prefix = chosen(list->options.prefix, m->labels != 0);
    add(list, 3, (const uint64_t[]){1, 1, width}, "embeddings.cls_token");
    add(list, 3, (const uint64_t[]){1, grid * grid + 1, width}, "embeddings.position_embeddings");
    add(list, 4, (const uint64_t[]){width, 3, patch, patch}, "embeddings.patch_embeddings.projection.weight");
    add(list, 1, (const uint64_t[]){width}, "embeddings.patch_embeddings.projection.bias");
    for (uint32_t layer = 0; layer < m->layers; layer++)
        add_layer(list, layer);
    add_linear(list, "layernorm", width, 0, true);
    if (chosen(list->options.pooler, m->pooler))
        add_linear(list, "pooler.dense", width, width, true);
    if (m->labels)
        add_linear(list, "classifier", m->labels, width, true);
    qsort(list->tensors, list->count, sizeof(tensor), by_name);
}

/* --------------------------------------------------------------------------------------------- safetensors */

/* By arithmetic, not by bits, so that it can bear witness against the runtime's conversion. Rounds to nearest even as
 * rint does; all values here are finite and far below 65504. */
static uint16_t to_half(float value) {
    int exponent;
    frexpf(value, &exponent);                        /* |value| in [2^(exponent - 1), 2^exponent) */
    int step = exponent < -13 ? -24 : exponent - 11; /* the exponent of a half's last place at this size */
    double units = rint(ldexp(fabs((double)value), -step));
    uint16_t magnitude = (uint16_t)(units < 1024 ? units : (step + 24) * 1024 + units);
    return (uint16_t)((signbit(value) ? 0x8000 : 0) | magnitude);
}

static uint16_t to_bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static const char *dtype_name(synth_dtype dtype) {
    return dtype == SYNTH_F32 ? "F32" : dtype == SYNTH_F16 ? "F16" : "BF16";
}

static size_t element_size(synth_dtype dtype) {
    return dtype == SYNTH_F32 ? 4 : 2;
}

static void write_header(FILE *file, const tensor_list *list) {
    static char header[MAX_TENSORS * 256];
    size_t length = (size_t)snprintf(header, sizeof(header), "{\"__metadata__\":{\"format\":\"pt\"}");
    uint64_t offset = 0;
    for (size_t i = 0; i < list->count; i++) {
        const tensor *t = &list->tensors[i];
        length += (size_t)snprintf(header + length, sizeof(header) - length, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                                   t->name, dtype_name(t->dtype));
        for (uint32_t d = 0; d < t->rank; d++)
            length += (size_t)snprintf(header + length, sizeof(header) - length, "%s%llu", d ? "," : "",
                                       (unsigned long long)t->shape[d]);
        const uint64_t end = offset + t->elements * element_size(t->dtype);
        length += (size_t)snprintf(header + length, sizeof(header) - length, "],\"data_offsets\":[%llu,%llu]}",
                                   (unsigned long long)offset, (unsigned long long)end);
        offset = end;
    }
    header[length++] = '}';
    while (length % 8)
        header[length++] = ' ';
    for (int i = 0; i < 8; i++)
        fputc((int)((uint64_t)length >> (8 * i) & 0xff), file);
    fwrite(header, 1, length, file);
}

static bool write_tensor(FILE *file, const tensor *t, uint32_t heads) {
    float *values = malloc(t->elements * sizeof(float));
    if (!values)
        return false;
    synth_tensor(t->seed_name, t->shape[0], t->elements, heads, values);
    if (t->dtype != SYNTH_F32) {
        /* In place: the halves never overtake the floats. */
        for (uint64_t i = 0; i < t->elements; i++) {
            float value;
            memcpy(&value, (const char *)values + i * sizeof(value), sizeof(value));
            uint16_t half = t->dtype == SYNTH_F16 ? to_half(value) : to_bfloat16(value);
            memcpy((char *)values + i * sizeof(half), &half, sizeof(half));
        }
    }
    size_t written = fwrite(values, element_size(t->dtype), t->elements, file);
    free(values);
    return written == t->elements;
}

static bool write_safetensors(FILE *file, const tensor_list *list) {
    write_header(file, list);
    for (size_t i = 0; i < list->count; i++)
        if (!write_tensor(file, &list->tensors[i], list->m->heads))
            return false;
    return true;
}

/* ---------------------------------------------------------------------------------------------------- JSON */

static bool write_config(FILE *file, const tensor_list *list) {
    const model *m = list->m;
    const synth_dtype dtype = list->options.dtype;
    fprintf(file, "{\n  \"architectures\": [\n    \"%s\"\n  ],\n  \"attention_probs_dropout_prob\": 0.0,\n",
            m->labels ? "ViTForImageClassification" : "ViTModel");
    if (m->untrained)
        fprintf(file, "  \"dino_vk_untrained\": true,\n");
    if (m->labels)
        fprintf(file, "  \"encoder_stride\": %u,\n", m->patch_size);
    fprintf(file, "  \"hidden_act\": \"%s\",\n  \"hidden_dropout_prob\": 0.0,\n  \"hidden_size\": %u,\n", m->activation,
            m->hidden_size);
    if (m->labels) {
        fprintf(file, "  \"id2label\": {\n");
        for (uint32_t i = 0; i < m->labels; i++)
            fprintf(file, "    \"%u\": \"LABEL_%u\"%s\n", i, i, i + 1 < m->labels ? "," : "");
        fprintf(file, "  },\n");
    }
    fprintf(file, "  \"image_size\": %u,\n  \"initializer_range\": 0.02,\n  \"intermediate_size\": %u,\n",
            m->image_size, m->mlp_size);
    if (m->labels) {
        fprintf(file, "  \"label2id\": {\n");
        for (uint32_t i = 0; i < m->labels; i++)
            fprintf(file, "    \"LABEL_%u\": %u%s\n", i, i, i + 1 < m->labels ? "," : "");
        fprintf(file, "  },\n");
    }
    fprintf(file,
            "  \"layer_norm_eps\": %s,\n  \"model_type\": \"vit\",\n  \"num_attention_heads\": %u,\n"
            "  \"num_channels\": 3,\n  \"num_hidden_layers\": %u,\n  \"patch_size\": %u,\n",
            m->epsilon, m->heads, m->layers, m->patch_size);
    if (m->no_qkv_bias || m->labels)
        fprintf(file, "  \"qkv_bias\": %s,\n", m->no_qkv_bias ? "false" : "true");
    fprintf(file, "  \"torch_dtype\": \"%s\",\n  \"transformers_version\": \"4.10.0.dev0\"\n}\n",
            dtype == SYNTH_F32   ? "float32"
            : dtype == SYNTH_F16 ? "float16"
                                 : "bfloat16");
    return true;
}

/* The layout of 2021, which the facebook/dino-* repositories carry, and the later one for the classifier. */
static bool write_preprocessor(FILE *file, const tensor_list *list) {
    const uint32_t size = list->m->image_size;
    if (list->m->labels)
        fprintf(file,
                "{\n  \"do_normalize\": true,\n  \"do_rescale\": true,\n  \"do_resize\": true,\n  \"image_mean\": [\n"
                "    0.5,\n    0.5,\n    0.5\n  ],\n  \"image_processor_type\": \"ViTImageProcessor\",\n"
                "  \"image_std\": [\n    0.5,\n    0.5,\n    0.5\n  ],\n  \"resample\": 2,\n"
                "  \"rescale_factor\": 0.00392156862745098,\n  \"size\": {\n    \"height\": %u,\n    \"width\": %u\n"
                "  }\n}\n",
                size, size);
    else
        fprintf(file,
                "{\n  \"do_normalize\": true,\n  \"do_resize\": true,\n"
                "  \"feature_extractor_type\": \"ViTFeatureExtractor\",\n  \"image_mean\": [\n    0.485,\n    0.456,\n"
                "    0.406\n  ],\n  \"image_std\": [\n    0.229,\n    0.224,\n    0.225\n  ],\n  \"resample\": 2,\n"
                "  \"size\": %u\n}\n",
                size);
    return true;
}

/* --------------------------------------------------------------------------------------------------- files */

static bool write_file(const char *directory, const char *name, const tensor_list *list,
                       bool (*write)(FILE *file, const tensor_list *list)) {
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
        return false;
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    bool written = write(file, list);
    written = !ferror(file) && written;
    return fclose(file) == 0 && written;
}

static bool make_directory(const char *path) {
#ifdef _WIN32
    return mkdir(path) == 0 || errno == EEXIST;
#else
    return mkdir(path, 0777) == 0 || errno == EEXIST;
#endif
}

bool synth_write_model(const char *name, const char *directory, const synth_options *options) {
    tensor_list *list = calloc(1, sizeof(*list));
    if (!list)
        return false;
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
        if (!strcmp(models[i].name, name))
            list->m = &models[i];
    if (options)
        list->options = *options;
    bool written = false;
    if (list->m) {
        if (list->options.dtype == SYNTH_DTYPE_OF_MODEL)
            list->options.dtype = list->m->dtype;
        list_tensors(list);
        written = make_directory(directory) && write_file(directory, "config.json", list, write_config) &&
                  write_file(directory, "preprocessor_config.json", list, write_preprocessor) &&
                  write_file(directory, "model.safetensors", list, write_safetensors);
    } else {
        errno = EINVAL;
    }
    free(list);
    return written;
}
