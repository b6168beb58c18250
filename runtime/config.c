#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "json.h"

/* Far beyond every published vision transformer (ViT-22B: 6144 wide, 24576 MLP, 48 layers, 48 heads), and small enough
 * that no product of two of them, nor 3 * patch^2 * width, leaves 32 bits. */
enum {
    MAX_HIDDEN_SIZE = 16384,
    MAX_MLP_SIZE = 65536,
    MAX_LAYERS = 512,
    MAX_HEADS = 1024,
    MAX_HEAD_DIM = 128, /* what the attention kernels keep in registers */
    MAX_PATCH_SIZE = 128,
    MAX_IMAGE_SIZE = 16384,
    MAX_GRID = 1024, /* patches a side of the stored position table */
    MAX_REGISTERS = 64,
    MAX_LABELS = 65536
};

/* `key`: a number, or a list of two: height, width. */
static dvk_result get_pair(const dvk_json *object, const char *key, uint32_t maximum, const char *path,
                           uint32_t *height, uint32_t *width, dvk_error *error) {
    const dvk_json *item = dvk_json_get(object, key);
    if (!item)
        return DVK_OK;
    if (!dvk_json_is(item, DVK_JSON_LIST)) {
        dvk_result result = dvk_json_to_uint(item, key, 1, maximum, path, height, error);
        if (result == DVK_OK)
            *width = *height;
        return result;
    }
    if (dvk_json_count(item) != 2)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be a number or a list of two, found a list of %u",
                        path, key, dvk_json_count(item));
    dvk_result result = dvk_json_to_uint(dvk_json_item(item, 0), key, 1, maximum, path, height, error);
    if (result == DVK_OK)
        result = dvk_json_to_uint(dvk_json_item(item, 1), key, 1, maximum, path, width, error);
    return result;
}

static dvk_result read_family(const dvk_json *root, const char *path, dvk_vit_config *config, dvk_error *error) {
    const dvk_json *type = dvk_json_get(root, "model_type");
    if (!dvk_json_is(type, DVK_JSON_STRING))
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"model_type\" must be a string such as \"vit\", found %s",
                        path, dvk_json_type_name(type));
    config->family = dvk_architecture_find(dvk_json_text(type));
    if (config->family)
        return DVK_OK;
    char known[256] = "";
    for (uint32_t i = 0; i < dvk_architecture_count; i++) {
        size_t length = strlen(known);
        snprintf(known + length, sizeof(known) - length, "%s%s", i ? ", " : "", dvk_architectures[i].model_type);
    }
    return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "%s: \"model_type\" is \"%s\", this version runs %s", path,
                    dvk_quote(dvk_json_text(type)).text, known);
}

static dvk_result read_class(const dvk_json *root, const char *path, dvk_vit_config *config, dvk_error *error) {
    const dvk_model_class *classes = config->family->classes;
    const size_t limit = sizeof(config->family->classes) / sizeof(classes[0]);
    const dvk_json *names = dvk_json_get(root, "architectures");
    const char *name = classes[0].name;
    if (names && !dvk_json_is(names, DVK_JSON_NULL)) {
        const dvk_json *first = dvk_json_item(names, 0);
        if (!dvk_json_is(first, DVK_JSON_STRING))
            return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"architectures\" must be a list of strings, found %s",
                            path,
                            dvk_json_is(names, DVK_JSON_LIST) ? "something else in it" : dvk_json_type_name(names));
        name = dvk_json_text(first);
    }
    char expected[256] = "";
    for (size_t i = 0; i < limit && classes[i].name; i++) {
        if (!strcmp(name, classes[i].name)) {
            snprintf(config->architecture, sizeof(config->architecture), "%s", name);
            config->head = classes[i].head;
            return DVK_OK;
        }
        size_t length = strlen(expected);
        snprintf(expected + length, sizeof(expected) - length, "%s%s", i ? " or " : "", classes[i].name);
    }
    return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "%s: \"architectures\" names \"%s\", expected %s", path,
                    dvk_quote(name).text, expected);
}

static dvk_result read_activation(const dvk_json *root, const char *path, dvk_vit_config *config, dvk_error *error) {
    static const struct {
        const char *name;
        dvk_activation activation;
    } activations[] = {
        {"gelu", DVK_ACTIVATION_GELU},
        {"gelu_new", DVK_ACTIVATION_GELU_TANH},
        {"gelu_pytorch_tanh", DVK_ACTIVATION_GELU_TANH},
        {"quick_gelu", DVK_ACTIVATION_QUICK_GELU},
        {"silu", DVK_ACTIVATION_SILU},
        {"swish", DVK_ACTIVATION_SILU},
    };
    const dvk_json *item = dvk_json_get(root, "hidden_act");
    config->activation = config->family->defaults.activation;
    if (!item)
        return DVK_OK;
    if (!dvk_json_is(item, DVK_JSON_STRING))
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"hidden_act\" must be a string, found %s", path,
                        dvk_json_type_name(item));
    for (size_t i = 0; i < sizeof(activations) / sizeof(activations[0]); i++)
        if (!strcmp(dvk_json_text(item), activations[i].name)) {
            config->activation = activations[i].activation;
            return DVK_OK;
        }
    return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                    "%s: \"hidden_act\" is \"%s\", only gelu, gelu_new, gelu_pytorch_tanh, quick_gelu and silu can be "
                    "computed",
                    path, dvk_quote(dvk_json_text(item)).text);
}

/* Limits between values: what the kernels need, and what a transformer is. */
static dvk_result check_widths(const char *path, dvk_vit_config *config, dvk_error *error) {
    if (config->hidden_size % config->heads)
        return dvk_fail(error, DVK_ERROR_BAD_FILE,
                        "%s: \"hidden_size\" %u is no multiple of \"num_attention_heads\" %u", path,
                        config->hidden_size, config->heads);
    config->head_dim = config->hidden_size / config->heads;
    if (config->head_dim > MAX_HEAD_DIM || config->head_dim % 4)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: attention heads have %u channels (%u / %u), expected a multiple of 4 up to %d", path,
                        config->head_dim, config->hidden_size, config->heads, MAX_HEAD_DIM);
    if (config->mlp_size % 4)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "%s: \"intermediate_size\" is %u, expected a multiple of 4", path,
                        config->mlp_size);
    return DVK_OK;
}

static dvk_result read_geometry(const dvk_json *root, const char *path, dvk_vit_config *config, dvk_error *error) {
    uint32_t channels = 3, patch_width = config->family->defaults.patch_size;
    config->patch_size = patch_width;
    config->image_width = config->image_height = 224;
    dvk_result result = dvk_json_get_uint(root, "num_channels", 1, 1024, path, &channels, error);
    if (result == DVK_OK)
        result = get_pair(root, "patch_size", MAX_PATCH_SIZE, path, &config->patch_size, &patch_width, error);
    if (result == DVK_OK)
        result = get_pair(root, "image_size", MAX_IMAGE_SIZE, path, &config->image_height, &config->image_width, error);
    if (result != DVK_OK)
        return result;
    if (channels != 3)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "%s: \"num_channels\" is %u, only 3 (RGB) can be run", path,
                        channels);
    if (config->patch_size != patch_width)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "%s: \"patch_size\" is [%u, %u], only square patches can be run",
                        path, config->patch_size, patch_width);
    config->grid_width = config->image_width / config->patch_size;
    config->grid_height = config->image_height / config->patch_size;
    if (!config->grid_width || !config->grid_height)
        return dvk_fail(error, DVK_ERROR_BAD_FILE,
                        "%s: \"image_size\" (%u wide, %u high) is smaller than one patch of %u pixels", path,
                        config->image_width, config->image_height, config->patch_size);
    if (config->grid_width > MAX_GRID || config->grid_height > MAX_GRID)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: \"image_size\" and \"patch_size\" give %u x %u patches, at most %d a side can be run",
                        path, config->grid_width, config->grid_height, MAX_GRID);
    return DVK_OK;
}

/* Whether the MLP is gated, and how wide it is. */
static dvk_result read_mlp(const dvk_json *root, const char *path, dvk_vit_config *config, dvk_error *error) {
    const dvk_architecture *family = config->family;
    dvk_result result = read_activation(root, path, config, error);
    if (result == DVK_OK && family->gated_key)
        result = dvk_json_get_bool(root, family->gated_key, path, &config->gated, error);
    if (result != DVK_OK)
        return result;
    bool packed = config->gated && family->layer->packed_gate;
    if (packed)
        config->activation = DVK_ACTIVATION_SILU; /* whatever "hidden_act" says */
    if (!family->mlp_by_ratio) {
        config->mlp_size = family->defaults.mlp_size;
        return dvk_json_get_uint(root, "intermediate_size", 1, MAX_MLP_SIZE, path, &config->mlp_size, error);
    }
    double ratio = 4;
    result = dvk_json_get_double(root, "mlp_ratio", 1.0 / 64, 64, path, &ratio, error);
    if (result != DVK_OK)
        return result;
    double size = floor(config->hidden_size * ratio);
    if (packed)
        size = floor((floor(size * 2 / 3) + 7) / 8) * 8;
    if (size < 1 || size > MAX_MLP_SIZE)
        return dvk_fail(error, DVK_ERROR_BAD_FILE,
                        "%s: \"mlp_ratio\" %g of \"hidden_size\" %u gives an MLP of %.0f, "
                        "expected 1 to %d",
                        path, ratio, config->hidden_size, size, MAX_MLP_SIZE);
    config->mlp_size = (uint32_t)size;
    return DVK_OK;
}

static dvk_result read_bias(const dvk_json *root, const char *key, bool fallback, const char *path, bool *value,
                            dvk_error *error) {
    *value = fallback;
    return key ? dvk_json_get_bool(root, key, path, value, error) : DVK_OK;
}

static dvk_result read_biases(const dvk_json *root, const char *path, dvk_vit_config *config, dvk_error *error) {
    const dvk_bias_keys *keys = &config->family->biases;
    bool key_bias = !config->family->defaults.no_key_bias;
    dvk_result result = read_bias(root, keys->query, true, path, &config->query_bias, error);
    if (result == DVK_OK)
        result = read_bias(root, keys->key, key_bias, path, &config->key_bias, error);
    if (result == DVK_OK)
        result = read_bias(root, keys->value, true, path, &config->value_bias, error);
    if (result == DVK_OK)
        result = read_bias(root, keys->attention_output, true, path, &config->attention_output_bias, error);
    if (result == DVK_OK)
        result = read_bias(root, keys->mlp, true, path, &config->mlp_bias, error);
    return result;
}

static dvk_result read_tokens(const dvk_json *root, const char *path, dvk_vit_config *config, dvk_error *error) {
    const dvk_architecture *family = config->family;
    if (family->registers) {
        config->registers = family->defaults.registers;
        dvk_result result =
            dvk_json_get_uint(root, "num_register_tokens", 0, MAX_REGISTERS, path, &config->registers, error);
        if (result != DVK_OK)
            return result;
    }
    config->prefix_tokens = (family->cls_token ? 1u : 0u) + (family->distillation_token ? 1u : 0u) + config->registers;
    if (family->position_kind != DVK_POSITIONS_ROTARY)
        return DVK_OK;
    /* transformers 5 writes {"rope_parameters": {"rope_theta": ...}}, before that it was a key of its own. */
    const dvk_json *nested = dvk_json_get(root, "rope_parameters");
    config->rope_theta = 100;
    if (config->head_dim % 8)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: attention heads have %u channels, rotary positions need a multiple of 8", path,
                        config->head_dim);
    return dvk_json_get_double(dvk_json_is(nested, DVK_JSON_OBJECT) ? nested : root, "rope_theta", 1.0, 1e9, path,
                               &config->rope_theta, error);
}

static dvk_result check_pooler(const dvk_json *root, const char *path, dvk_error *error) {
    const dvk_json *item = dvk_json_get(root, "pooler_act");
    if (dvk_json_is(item, DVK_JSON_STRING) && strcmp(dvk_json_text(item), "tanh"))
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "%s: \"pooler_act\" is \"%s\", only tanh can be computed", path,
                        dvk_quote(dvk_json_text(item)).text);
    return DVK_OK;
}

/* "id2label": {"0": "tench", ...} as one block: the pointers, then the texts. */
static dvk_result read_labels(const dvk_allocator *allocator, const dvk_json *root, const char *path,
                              dvk_vit_config *config, dvk_error *error) {
    const dvk_json *map = dvk_json_get(root, "id2label");
    config->label_count = 2; /* as transformers assumes */
    if (!dvk_json_is(map, DVK_JSON_OBJECT))
        return dvk_json_get_uint(root, "num_labels", 1, MAX_LABELS, path, &config->label_count, error);
    const uint32_t count = dvk_json_count(map);
    size_t bytes = count * sizeof(char *);
    if (count < 1 || count > MAX_LABELS)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"id2label\" has %u labels, expected 1 to %d", path, count,
                        MAX_LABELS);
    config->label_count = count;
    for (uint32_t i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%u", i);
        const dvk_json *label = dvk_json_get(map, key);
        if (!dvk_json_is(label, DVK_JSON_STRING))
            return dvk_fail(error, DVK_ERROR_BAD_FILE,
                            "%s: \"id2label\" must name the labels \"0\" to \"%u\", found "
                            "%s at \"%s\"",
                            path, count - 1, dvk_json_type_name(label), key);
        bytes += strlen(label->text) + 1;
    }
    config->labels = dvk_allocate(allocator, bytes);
    if (!config->labels)
        return dvk_fail_memory(error, bytes);
    char *text = (char *)(config->labels + count);
    for (uint32_t i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%u", i);
        const char *label = dvk_json_get(map, key)->text;
        size_t size = strlen(label) + 1;
        memcpy(text, label, size);
        config->labels[i] = text;
        text += size;
    }
    return DVK_OK;
}

static dvk_result read_head(const dvk_allocator *allocator, const dvk_json *root, const char *path,
                            dvk_vit_config *config, dvk_error *error) {
    if (config->head == DVK_HEAD_NONE)
        return DVK_OK;
    if (config->head != DVK_HEAD_PROJECTION)
        return read_labels(allocator, root, path, config, error);
    config->projection_size = config->family->defaults.projection_size;
    return dvk_json_get_uint(root, "projection_dim", 1, MAX_HIDDEN_SIZE, path, &config->projection_size, error);
}

/* What describes the encoder itself. */
static dvk_result read_encoder(const dvk_json *root, const char *path, dvk_vit_config *config, dvk_error *error) {
    const dvk_config_defaults *defaults = &config->family->defaults;
    double epsilon = defaults->layer_norm_eps;
    config->hidden_size = defaults->hidden_size;
    config->layers = defaults->layers;
    config->heads = defaults->heads;
    dvk_result result = dvk_json_get_uint(root, "hidden_size", 1, MAX_HIDDEN_SIZE, path, &config->hidden_size, error);
    if (result == DVK_OK)
        result = dvk_json_get_uint(root, "num_hidden_layers", 1, MAX_LAYERS, path, &config->layers, error);
    if (result == DVK_OK)
        result = dvk_json_get_uint(root, "num_attention_heads", 1, MAX_HEADS, path, &config->heads, error);
    if (result == DVK_OK)
        result = read_mlp(root, path, config, error);
    if (result == DVK_OK)
        result = check_widths(path, config, error);
    if (result == DVK_OK)
        result = read_geometry(root, path, config, error);
    /* The lower bound keeps the epsilon a normal float32. */
    if (result == DVK_OK)
        result = dvk_json_get_double(root, "layer_norm_eps", 1e-30, 1.0, path, &epsilon, error);
    if (result == DVK_OK)
        result = read_biases(root, path, config, error);
    if (result == DVK_OK)
        result = read_tokens(root, path, config, error);
    if (result == DVK_OK && config->family->pooled == DVK_POOLED_DENSE)
        result = check_pooler(root, path, error);
    config->layer_norm_eps = (float)epsilon;
    return result;
}

static dvk_result read_config(const dvk_allocator *allocator, const dvk_json *root, const char *path,
                              dvk_vit_config *config, dvk_error *error) {
    dvk_result result = read_family(root, path, config, error);
    if (result == DVK_OK)
        result = read_class(root, path, config, error);
    if (result != DVK_OK)
        return result;
    const char *nested = config->family->nested;
    const dvk_json *encoder = nested ? dvk_json_get(root, nested) : root;
    if (!dvk_json_is(encoder, DVK_JSON_OBJECT))
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be an object, found %s", path, nested,
                        dvk_json_type_name(encoder));
    result = read_encoder(encoder, path, config, error);
    if (result == DVK_OK)
        result = dvk_json_get_bool(root, "dino_vk_untrained", path, &config->untrained, error);
    return result == DVK_OK ? read_head(allocator, root, path, config, error) : result;
}

dvk_result dvk_config_parse(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                            dvk_vit_config *config, dvk_error *error) {
    dvk_json *root = NULL;
    dvk_vit_config parsed = {0};
    dvk_result result = dvk_json_parse_object(allocator, bytes, size, path, &root, error);
    if (result != DVK_OK)
        return result;
    result = read_config(allocator, root, path, &parsed, error);
    dvk_release(allocator, root);
    if (result == DVK_OK)
        *config = parsed;
    else
        dvk_config_free(allocator, &parsed);
    return result;
}

void dvk_config_free(const dvk_allocator *allocator, dvk_vit_config *config) {
    dvk_release(allocator, config->labels);
    config->labels = NULL;
}
