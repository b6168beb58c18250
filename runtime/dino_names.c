/* Names and shapes are those of facebookresearch/dino's and facebookresearch/dinov2's vision_transformer.py and of
 * transformers' ViTModel and Dinov2Model. Both originals have heads of 64 channels, an epsilon of 1e-6 (the hub's
 * copies of DINO say 1e-12) and the same evaluation transform: shortest edge to 256 (bicubic), centre crop of 224,
 * ImageNet's mean and deviation. */
#include "dino_names.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "tensor_list.h"

enum { HEAD_DIM = 64, MAX_BLOCKS = 512, MAX_NAME = 128, MAX_SIDE = 1 << 16 };

/* `dino` NULL: only DINOv2 has it. Names are whole, or stems of .weight and .bias. */
typedef struct translation {
    const char *original, *dino, *dinov2;
} translation;

static const translation model_names[] = {
    {"cls_token", "embeddings.cls_token", "embeddings.cls_token"},
    {"mask_token", NULL, "embeddings.mask_token"},
    {"register_tokens", NULL, "embeddings.register_tokens"},
    {"pos_embed", "embeddings.position_embeddings", "embeddings.position_embeddings"},
    {"patch_embed.proj", "embeddings.patch_embeddings.projection", "embeddings.patch_embeddings.projection"},
    {"norm", "layernorm", "layernorm"},
};

static const translation block_names[] = {
    {"norm1", "layernorm_before", "norm1"},       {"attn.proj", "attention.output.dense", "attention.output.dense"},
    {"ls1.gamma", NULL, "layer_scale1.lambda1"},  {"norm2", "layernorm_after", "norm2"},
    {"mlp.fc1", "intermediate.dense", "mlp.fc1"}, {"mlp.fc2", "output.dense", "mlp.fc2"},
    {"mlp.w12", NULL, "mlp.weights_in"},          {"mlp.w3", NULL, "mlp.weights_out"},
    {"ls2.gamma", NULL, "layer_scale2.lambda1"},
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

typedef struct original {
    const char *path;
    const dvk_tensor_list *source;
    dvk_tensor_list renamed;
    char *names;           /* where the next name goes */
    bool module, backbone; /* which wrappers' prefixes the names have */
    bool dinov2;
    uint32_t blocks;
    dvk_error *error;
} original;

/* --------------------------------------------------------------------------------------------------- names */

static const char *after(const char *name, const char *prefix) {
    size_t length = strlen(prefix);
    return strncmp(name, prefix, length) ? NULL : name + length;
}

/* The name below "module." (DistributedDataParallel) and "backbone." (DINO's MultiCropWrapper); NULL for what lies
 * beside the backbone: the projection heads of training. */
static const char *own_name(const original *o, const char *name) {
    if (o->module && after(name, "module."))
        name = after(name, "module.");
    return o->backbone ? after(name, "backbone.") : name;
}

/* "blocks.3.attn.qkv.weight" or, as sharded training has it, "blocks.0.3.attn...": the number and what follows. */
static const char *block_of(const char *name, uint32_t *block) {
    const char *rest = after(name, "blocks.");
    if (!rest)
        return NULL;
    for (int i = 0; i < 2 && *rest >= '0' && *rest <= '9'; i++) {
        uint32_t number = 0;
        for (; *rest >= '0' && *rest <= '9'; rest++)
            if (number < MAX_BLOCKS)
                number = number * 10 + (uint32_t)(*rest - '0');
        if (*rest++ != '.')
            return NULL;
        *block = number;
        if (i == 1 || *rest < '0' || *rest > '9')
            return *block < MAX_BLOCKS ? rest : NULL;
    }
    return NULL;
}

static bool translate(const translation *table, size_t count, bool dinov2, const char *name, const char **stem,
                      const char **suffix) {
    for (size_t i = 0; i < count; i++) {
        const char *rest = after(name, table[i].original);
        *stem = dinov2 ? table[i].dinov2 : table[i].dino;
        *suffix = rest;
        if (rest && *stem && (!*rest || !strcmp(rest, ".weight") || !strcmp(rest, ".bias")))
            return true;
    }
    return false;
}

DVK_PRINTF(3, 4) static void add(original *o, const dvk_tensor *tensor, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(o->names, MAX_NAME, format, arguments);
    va_end(arguments);
    dvk_tensor *added = &o->renamed.tensors[o->renamed.count++];
    *added = *tensor;
    added->name = o->names;
    o->names += length + 1;
}

/* attn.qkv stacks the rows of query, key and value, so its thirds are the three tensors. */
static dvk_result add_qkv(original *o, const dvk_tensor *tensor, uint32_t block, const char *suffix) {
    static const char *const parts[] = {"query", "key", "value"};
    if (tensor->rank < 1 || tensor->shape[0] % 3)
        return dvk_fail(o->error, DVK_ERROR_BAD_FILE,
                        "%s: tensor \"%s\" must have query, key and value in its rows, but their number is no "
                        "multiple of 3",
                        o->path, dvk_quote(tensor->name).text);
    dvk_tensor third = *tensor;
    third.shape[0] /= 3;
    third.elements /= 3;
    third.bytes /= 3;
    for (uint64_t i = 0; i < 3; i++) {
        third.data = (const uint8_t *)tensor->data + i * third.bytes;
        add(o, &third, "encoder.layer.%u.attention.attention.%s%s", block, parts[i], suffix);
    }
    return DVK_OK;
}

static dvk_result rename_tensor(original *o, const dvk_tensor *tensor) {
    const char *name = own_name(o, tensor->name), *stem, *suffix;
    uint32_t block = 0;
    if (!name)
        return DVK_OK;
    const char *inner = block_of(name, &block);
    if (inner && block >= o->blocks)
        o->blocks = block + 1;
    if (inner && (!strcmp(inner, "attn.qkv.weight") || !strcmp(inner, "attn.qkv.bias")))
        return add_qkv(o, tensor, block, inner + strlen("attn.qkv"));
    if (inner && translate(block_names, LENGTH(block_names), o->dinov2, inner, &stem, &suffix))
        add(o, tensor, "encoder.layer.%u.%s%s", block, stem, suffix);
    else if (translate(model_names, LENGTH(model_names), o->dinov2, name, &stem, &suffix))
        add(o, tensor, "%s%s", stem, suffix);
    else
        return dvk_fail(
            o->error, DVK_ERROR_UNSUPPORTED,
            "%s: tensor \"%s\" belongs to no %s backbone; of the checkpoints that come without config.json, "
            "only those of DINO and DINOv2 can be read",
            o->path, dvk_quote(tensor->name).text, o->dinov2 ? "DINOv2" : "DINO");
    return DVK_OK;
}

/* ------------------------------------------------------------------------------------------------- shapes */

typedef struct sizes {
    uint64_t width, mlp, patch, grid, registers;
    bool qkv_bias, swiglu;
} sizes;

static const dvk_tensor *find(const original *o, const char *name, uint32_t rank) {
    const dvk_tensor *tensor = dvk_tensor_list_find(&o->renamed, name);
    return tensor && tensor->rank == rank ? tensor : NULL;
}

static dvk_result underivable(const original *o, const char *what) {
    return dvk_fail(o->error, DVK_ERROR_BAD_FILE, "%s: the model's sizes cannot be derived from its tensors: %s",
                    o->path, what);
}

/* Only what the sizes need; the binder checks every shape against them. */
static dvk_result derive(const original *o, sizes *s) {
    const dvk_tensor *patch = find(o, "embeddings.patch_embeddings.projection.weight", 4);
    const dvk_tensor *positions = find(o, "embeddings.position_embeddings", 3);
    const dvk_tensor *registers = find(o, "embeddings.register_tokens", 3);
    const char *mlp_name = o->dinov2 ? "encoder.layer.0.mlp.fc1.weight" : "encoder.layer.0.intermediate.dense.weight";
    const dvk_tensor *mlp = find(o, mlp_name, 2);
    const dvk_tensor *gated = find(o, "encoder.layer.0.mlp.weights_in.weight", 2);
    if (!patch || !positions || (!mlp && !gated))
        return underivable(o, "patch_embed.proj.weight, pos_embed or the first block's MLP are missing or have "
                              "unexpected dimensions");
    s->width = patch->shape[0];
    s->patch = patch->shape[2];
    s->swiglu = gated != NULL;
    s->mlp = gated ? gated->shape[0] / 2 : mlp->shape[0];
    s->registers = registers ? registers->shape[1] : 0;
    s->qkv_bias = find(o, "encoder.layer.0.attention.attention.query.bias", 1) != NULL;
    if (!s->width || s->width > MAX_SIDE || s->width % HEAD_DIM)
        return underivable(o, "DINO's heads have 64 channels, of which its width is no multiple");
    if (!s->patch || s->patch > MAX_SIDE || s->mlp > MAX_SIDE || s->registers > MAX_SIDE)
        return underivable(o, "they are larger than those of any model");
    while (s->grid < 1024 && (s->grid + 1) * (s->grid + 1) < positions->shape[1])
        s->grid++;
    if (!s->grid || s->grid * s->grid + 1 != positions->shape[1])
        return underivable(o, "pos_embed is no square of patches and one class token");
    return DVK_OK;
}

/* transformers' Dinov2SwiGLUFFN: two thirds of the usual width, rounded up to a multiple of 8. */
static uint64_t gated_width(uint64_t width, uint64_t ratio) {
    return (width * ratio * 2 / 3 + 7) / 8 * 8;
}

static dvk_result find_mlp_ratio(const original *o, const sizes *s, uint64_t *ratio) {
    for (*ratio = 1; *ratio <= 16; ++*ratio)
        if ((s->swiglu ? gated_width(s->width, *ratio) : s->width * *ratio) == s->mlp)
            return DVK_OK;
    return underivable(o, "the MLP's width is no multiple of the model's");
}

/* -------------------------------------------------------------------------------------------------- texts */

DVK_PRINTF(2, 3) static char *print_text(const dvk_allocator *allocator, const char *format, ...) {
    enum { TEXT_SIZE = 1024 };
    char *text = dvk_allocate(allocator, TEXT_SIZE);
    va_list arguments;
    va_start(arguments, format);
    if (text)
        vsnprintf(text, TEXT_SIZE, format, arguments);
    va_end(arguments);
    return text;
}

static dvk_result print_texts(const original *o, dvk_dino_texts *texts) {
    sizes s = {0};
    uint64_t ratio = 4;
    dvk_result result = derive(o, &s);
    if (result == DVK_OK && o->dinov2)
        result = find_mlp_ratio(o, &s, &ratio);
    if (result != DVK_OK)
        return result;
    const unsigned width = (unsigned)s.width, patch = (unsigned)s.patch, image = (unsigned)(s.grid * s.patch);
    char common[256];
    snprintf(common, sizeof(common),
             "\"hidden_size\": %u, \"num_hidden_layers\": %u, \"num_attention_heads\": %u, \"patch_size\": %u, "
             "\"image_size\": %u, \"layer_norm_eps\": 1e-6, \"hidden_act\": \"gelu\", \"qkv_bias\": %s",
             width, o->blocks, width / HEAD_DIM, patch, image, s.qkv_bias ? "true" : "false");
    if (!o->dinov2)
        texts->config = print_text(texts->allocator,
                                   "{\"architectures\": [\"ViTModel\"], \"model_type\": \"vit\", "
                                   "\"intermediate_size\": %u, %s}",
                                   (unsigned)s.mlp, common);
    else
        texts->config = print_text(texts->allocator,
                                   "{\"architectures\": [\"Dinov2%sModel\"], \"model_type\": \"dinov2%s\", "
                                   "\"num_register_tokens\": %u, \"mlp_ratio\": %u, \"use_swiglu_ffn\": %s, %s}",
                                   s.registers ? "WithRegisters" : "", s.registers ? "_with_registers" : "",
                                   (unsigned)s.registers, (unsigned)ratio, s.swiglu ? "true" : "false", common);
    /* DINOv2's position tables are those of 518 pixels, but it is evaluated at 224 as well. */
    const unsigned crop = o->dinov2 && image > 224 ? 224 : image;
    texts->preprocessor = print_text(texts->allocator,
                                     "{\"image_processor_type\": \"BitImageProcessor\", \"do_resize\": true, "
                                     "\"size\": {\"shortest_edge\": %u}, \"resample\": 3, \"do_center_crop\": true, "
                                     "\"crop_size\": {\"height\": %u, \"width\": %u}, \"do_rescale\": true, "
                                     "\"rescale_factor\": 0.00392156862745098, \"do_normalize\": true, "
                                     "\"image_mean\": [0.485, 0.456, 0.406], \"image_std\": [0.229, 0.224, 0.225]}",
                                     crop * 8 / 7, crop, crop);
    return texts->config && texts->preprocessor ? DVK_OK : dvk_fail_memory(o->error, 1024);
}

/* ------------------------------------------------------------------------------------------------- kinds */

static bool has(const original *o, const char *name) {
    for (size_t i = 0; i < o->source->count; i++) {
        const char *own = own_name(o, o->source->tensors[i].name);
        if (own && !strcmp(own, name))
            return true;
    }
    return false;
}

/* Tries the wrappers from none to both; true for a backbone. */
static bool find_wrappers(original *o) {
    for (int i = 0; i < 4; i++) {
        o->module = i & 1;
        o->backbone = i & 2;
        if (has(o, "patch_embed.proj.weight") && has(o, "cls_token") && has(o, "pos_embed"))
            return true;
    }
    return false;
}

/* dino_*_linearweights.pth and dinov2_*_linear_head.pth */
static dvk_result check_classifier(original *o) {
    o->module = true;
    o->backbone = false;
    const bool dino = has(o, "linear.weight") && has(o, "linear.bias");
    const bool dinov2 = has(o, "weight") && has(o, "bias");
    if (o->source->count != 2 || (!dino && !dinov2))
        return DVK_OK;
    const dvk_tensor *weight = &o->source->tensors[1]; /* behind the bias */
    return dvk_fail(o->error, DVK_ERROR_UNSUPPORTED,
                    "%s holds a linear classifier (%llu classes from %llu features) without its backbone; load the "
                    "backbone's file (dino_*_pretrain.pth) and give this one as its classifier",
                    o->path, (unsigned long long)weight->shape[0],
                    (unsigned long long)(weight->rank > 1 ? weight->shape[1] : 0));
}

dvk_result dvk_dino_names(const char *path, dvk_tensor_list *tensors, dvk_dino_texts *texts, dvk_error *error) {
    original o = {.path = path, .source = tensors, .error = error};
    if (!find_wrappers(&o))
        return check_classifier(&o);
    size_t blocks = 0; /* DINOv2 scales the output of its layers, DINO does not */
    for (size_t i = 0; i < tensors->count; i++) {
        const char *name = own_name(&o, tensors->tensors[i].name);
        uint32_t block;
        const char *inner = name ? block_of(name, &block) : NULL;
        o.dinov2 = o.dinov2 || (inner && !strcmp(inner, "ls1.gamma"));
        blocks += inner != NULL;
    }
    if (!blocks)
        return underivable(&o, "it has no blocks");
    /* A fused tensor becomes three. */
    dvk_result result = dvk_tensor_list_allocate(tensors->allocator, tensors->count * 3, tensors->count * 3 * MAX_NAME,
                                                 &o.renamed, &o.names, error);
    o.renamed.count = 0;
    for (size_t i = 0; i < tensors->count && result == DVK_OK; i++)
        result = rename_tensor(&o, &tensors->tensors[i]);
    if (result == DVK_OK)
        result = dvk_tensor_list_sort(&o.renamed, path, error);
    dvk_dino_texts printed = {.allocator = tensors->allocator};
    if (result == DVK_OK)
        result = print_texts(&o, &printed);
    if (result != DVK_OK) {
        dvk_dino_texts_free(&printed);
        dvk_tensor_list_free(&o.renamed);
        return result;
    }
    dvk_tensor_list_free(tensors);
    *tensors = o.renamed;
    *texts = printed;
    return DVK_OK;
}

void dvk_dino_texts_free(dvk_dino_texts *texts) {
    dvk_release(texts->allocator, texts->config);
    dvk_release(texts->allocator, texts->preprocessor);
    memset(texts, 0, sizeof(*texts));
}
