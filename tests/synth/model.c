/* Whole model directories, byte for byte as the reference implementation writes them. */
#include "model.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define IMAGENET_MEAN                                                                                                  \
    { "0.485", "0.456", "0.406" }
#define IMAGENET_STD                                                                                                   \
    { "0.229", "0.224", "0.225" }
#define CLIP_MEAN                                                                                                      \
    { "0.48145466", "0.4578275", "0.40821073" }
#define CLIP_STD                                                                                                       \
    { "0.26862954", "0.26130258", "0.27577711" }
#define HALF                                                                                                           \
    { "0.5", "0.5", "0.5" }

static const synth_model models[] = {
    {.name = "dino-vits8",
     .type = "vit",
     .architecture = "ViTModel",
     .hidden_size = 384,
     .layers = 12,
     .heads = 6,
     .patch_size = 8,
     .image_size = 224,
     .mlp_size = 1536,
     .activation = "gelu",
     .epsilon = "1e-12",
     .resample = 2,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD},
    {.name = "dino-vits16",
     .type = "vit",
     .architecture = "ViTModel",
     .hidden_size = 384,
     .layers = 12,
     .heads = 6,
     .patch_size = 16,
     .image_size = 224,
     .mlp_size = 1536,
     .activation = "gelu",
     .epsilon = "1e-12",
     .resample = 2,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD},
    {.name = "dino-vitb8",
     .type = "vit",
     .architecture = "ViTModel",
     .hidden_size = 768,
     .layers = 12,
     .heads = 12,
     .patch_size = 8,
     .image_size = 224,
     .mlp_size = 3072,
     .activation = "gelu",
     .epsilon = "1e-12",
     .resample = 2,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD},
    {.name = "dino-vitb16",
     .type = "vit",
     .architecture = "ViTModel",
     .hidden_size = 768,
     .layers = 12,
     .heads = 12,
     .patch_size = 16,
     .image_size = 224,
     .mlp_size = 3072,
     .activation = "gelu",
     .epsilon = "1e-12",
     .resample = 2,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD},
    {.name = "vit-tiny",
     .type = "vit",
     .architecture = "ViTModel",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 8,
     .image_size = 32,
     .mlp_size = 256,
     .activation = "gelu",
     .epsilon = "1e-12",
     .resample = 2,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .pooler = true},
    /* Legal but unusual values, so that a configuration that is not read shows. */
    {.name = "vit-odd-tiny",
     .type = "vit",
     .architecture = "ViTModel",
     .hidden_size = 48,
     .layers = 3,
     .heads = 3,
     .patch_size = 4,
     .image_size = 20,
     .mlp_size = 100,
     .activation = "gelu_new",
     .epsilon = "0.03125",
     .resample = 2,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .no_qkv_bias = true},
    {.name = "vit-cls-tiny",
     .type = "vit",
     .architecture = "ViTForImageClassification",
     .hidden_size = 192,
     .layers = 3,
     .heads = 3,
     .patch_size = 16,
     .image_size = 64,
     .mlp_size = 768,
     .activation = "gelu",
     .epsilon = "1e-12",
     .resample = 2,
     .mean = HALF,
     .std = HALF,
     .labels = 10,
     .prefixed = true,
     .qkv_bias_key = true,
     .processor = SYNTH_SQUARE,
     .processor_type = "ViTImageProcessor"},
    {.name = "deit-distilled-tiny",
     .type = "deit",
     .architecture = "DeiTForImageClassificationWithTeacher",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 16,
     .image_size = 64,
     .mlp_size = 256,
     .activation = "gelu",
     .epsilon = "1e-12",
     .resample = 3,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .labels = 10,
     .prefixed = true,
     .qkv_bias_key = true,
     .distillation = true,
     .processor = SYNTH_SQUARE_CROP,
     .processor_type = "DeiTImageProcessor",
     .resize = 72,
     .crop = 64},
    {.name = "ijepa-tiny",
     .type = "ijepa",
     .architecture = "IJepaModel",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 14,
     .image_size = 70,
     .mlp_size = 256,
     .activation = "gelu",
     .epsilon = "1e-06",
     .resample = 2,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .no_cls = true,
     .qkv_bias_key = true,
     .processor = SYNTH_SQUARE,
     .processor_type = "ViTImageProcessor"},
    {.name = "vitmsn-tiny",
     .type = "vit_msn",
     .architecture = "ViTMSNModel",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 16,
     .image_size = 64,
     .mlp_size = 256,
     .activation = "gelu",
     .epsilon = "1e-06",
     .resample = 2,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .qkv_bias_key = true,
     .processor = SYNTH_SQUARE,
     .processor_type = "ViTImageProcessor"},
    {.name = "dinov2-small",
     .type = "dinov2",
     .architecture = "Dinov2Model",
     .hidden_size = 384,
     .layers = 12,
     .heads = 6,
     .patch_size = 14,
     .image_size = 518,
     .mlp_size = 1536,
     .activation = "gelu",
     .epsilon = "1e-06",
     .resample = 3,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .family = SYNTH_DINOV2,
     .version = "4.31.0.dev0",
     .qkv_bias_key = true,
     .processor = SYNTH_CROP,
     .processor_type = "BitImageProcessor",
     .resize = 256,
     .crop = 224},
    {.name = "dinov2-tiny",
     .type = "dinov2",
     .architecture = "Dinov2Model",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 14,
     .image_size = 70,
     .mlp_size = 256,
     .activation = "gelu",
     .epsilon = "1e-06",
     .resample = 3,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .family = SYNTH_DINOV2,
     .version = "4.31.0.dev0",
     .qkv_bias_key = true,
     .processor = SYNTH_CROP,
     .processor_type = "BitImageProcessor",
     .resize = 64,
     .crop = 56},
    {.name = "dinov2-swiglu-tiny",
     .type = "dinov2",
     .architecture = "Dinov2Model",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 14,
     .image_size = 70,
     .mlp_size = 176,
     .activation = "gelu",
     .epsilon = "1e-06",
     .resample = 3,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .family = SYNTH_DINOV2,
     .version = "4.31.0.dev0",
     .qkv_bias_key = true,
     .processor = SYNTH_CROP,
     .processor_type = "BitImageProcessor",
     .resize = 64,
     .crop = 56,
     .gated = true},
    {.name = "dinov2-reg-tiny",
     .type = "dinov2_with_registers",
     .architecture = "Dinov2WithRegistersModel",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 14,
     .image_size = 70,
     .mlp_size = 256,
     .activation = "gelu",
     .epsilon = "1e-06",
     .resample = 3,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .family = SYNTH_DINOV2,
     .version = "4.48.0.dev0",
     .qkv_bias_key = true,
     .processor = SYNTH_CROP,
     .processor_type = "BitImageProcessor",
     .resize = 64,
     .crop = 56,
     .registers = 4},
    {.name = "dinov3-tiny",
     .type = "dinov3_vit",
     .architecture = "DINOv3ViTModel",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 16,
     .image_size = 64,
     .mlp_size = 256,
     .activation = "gelu",
     .epsilon = "1e-05",
     .resample = 2,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .family = SYNTH_DINOV3,
     .version = "4.56.0.dev0",
     .registers = 4,
     .processor = SYNTH_SQUARE,
     .processor_type = "DINOv3ViTImageProcessorFast"},
    {.name = "dinov3-gated-tiny",
     .type = "dinov3_vit",
     .architecture = "DINOv3ViTModel",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 16,
     .image_size = 64,
     .mlp_size = 160,
     .activation = "silu",
     .epsilon = "1e-05",
     .resample = 2,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .family = SYNTH_DINOV3,
     .version = "4.56.0.dev0",
     .registers = 4,
     .processor = SYNTH_SQUARE,
     .processor_type = "DINOv3ViTImageProcessorFast",
     .gated = true,
     .no_qkv_bias = true},
    {.name = "clip-tiny",
     .type = "clip_vision_model",
     .architecture = "CLIPVisionModelWithProjection",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 16,
     .image_size = 64,
     .mlp_size = 256,
     .activation = "quick_gelu",
     .epsilon = "1e-05",
     .resample = 3,
     .mean = CLIP_MEAN,
     .std = CLIP_STD,
     .family = SYNTH_CLIP,
     .version = "4.16.0.dev0",
     .prefixed = true,
     .processor = SYNTH_CROP,
     .processor_type = "CLIPImageProcessor",
     .resize = 64,
     .crop = 64},
    {.name = "siglip-tiny",
     .type = "siglip_vision_model",
     .architecture = "SiglipVisionModel",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 16,
     .image_size = 64,
     .mlp_size = 176,
     .activation = "gelu_pytorch_tanh",
     .epsilon = "1e-06",
     .resample = 3,
     .mean = HALF,
     .std = HALF,
     .family = SYNTH_SIGLIP,
     .version = "4.37.0.dev0",
     .prefixed = true,
     .processor = SYNTH_SQUARE,
     .processor_type = "SiglipImageProcessor"},
    /* Classifiers that no reference of transformers covers. */
    {.name = "dinov2-cls-tiny",
     .type = "dinov2",
     .architecture = "Dinov2ForImageClassification",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 14,
     .image_size = 70,
     .mlp_size = 256,
     .activation = "gelu",
     .epsilon = "1e-06",
     .labels = 7,
     .prefixed = true,
     .resample = 3,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .family = SYNTH_DINOV2,
     .version = "4.31.0.dev0",
     .qkv_bias_key = true,
     .processor = SYNTH_CROP,
     .processor_type = "BitImageProcessor",
     .resize = 64,
     .crop = 56},
    {.name = "ijepa-cls-tiny",
     .type = "ijepa",
     .architecture = "IJepaForImageClassification",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 14,
     .image_size = 70,
     .mlp_size = 256,
     .activation = "gelu",
     .epsilon = "1e-06",
     .labels = 7,
     .prefixed = true,
     .resample = 2,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .no_cls = true,
     .qkv_bias_key = true,
     .processor = SYNTH_SQUARE,
     .processor_type = "ViTImageProcessor"},
    /* One that says that it is untrained. */
    {.name = "untrained",
     .type = "vit",
     .architecture = "ViTModel",
     .hidden_size = 64,
     .layers = 2,
     .heads = 2,
     .patch_size = 16,
     .image_size = 224,
     .mlp_size = 256,
     .activation = "gelu",
     .epsilon = "1e-12",
     .resample = 2,
     .mean = IMAGENET_MEAN,
     .std = IMAGENET_STD,
     .untrained = true,
     .dtype = SYNTH_F16},
};

const char *const synth_models[] = {"dino-vits8",
                                    "dino-vits16",
                                    "dino-vitb8",
                                    "dino-vitb16",
                                    "vit-tiny",
                                    "vit-odd-tiny",
                                    "vit-cls-tiny",
                                    "deit-distilled-tiny",
                                    "ijepa-tiny",
                                    "vitmsn-tiny",
                                    "dinov2-tiny",
                                    "dinov2-swiglu-tiny",
                                    "dinov2-reg-tiny",
                                    "dinov3-tiny",
                                    "dinov3-gated-tiny",
                                    "clip-tiny",
                                    "siglip-tiny",
                                    "dinov2-cls-tiny",
                                    "ijepa-cls-tiny",
                                    "untrained",
                                    NULL};

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

static void write_header(FILE *file, const synth_tensor_list *list) {
    static char header[SYNTH_MAX_TENSORS * 256];
    size_t length = (size_t)snprintf(header, sizeof(header), "{\"__metadata__\":{\"format\":\"pt\"}");
    uint64_t offset = 0;
    for (size_t i = 0; i < list->count; i++) {
        const synth_tensor_info *t = &list->tensors[i];
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

static bool write_tensor(FILE *file, const synth_tensor_info *t, uint32_t heads) {
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

static bool write_safetensors(FILE *file, const synth_tensor_list *list) {
    write_header(file, list);
    for (size_t i = 0; i < list->count; i++)
        if (!write_tensor(file, &list->tensors[i], list->m->heads))
            return false;
    return true;
}

/* --------------------------------------------------------------------------------------------------- files */

static bool write_file(const char *directory, const char *name, const synth_tensor_list *list,
                       bool (*write)(FILE *file, const synth_tensor_list *list)) {
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
    synth_tensor_list *list = calloc(1, sizeof(*list));
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
            list->options.dtype = list->m->dtype ? list->m->dtype : SYNTH_F32;
        synth_list_tensors(list);
        written = make_directory(directory) && write_file(directory, "config.json", list, synth_write_config) &&
                  write_file(directory, "preprocessor_config.json", list, synth_write_preprocessor) &&
                  write_file(directory, "model.safetensors", list, write_safetensors);
    } else {
        errno = EINVAL;
    }
    free(list);
    return written;
}
