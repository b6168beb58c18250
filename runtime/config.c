#include "config.h"

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
    MAX_GRID = 1024 /* patches a side of the stored position table */
};

/* `key`: a number, or a list of two: height, width. */
static dvk_result get_pair(const json_t *object, const char *key, uint32_t maximum, const char *path, uint32_t *height,
                           uint32_t *width, dvk_error *error) {
    const json_t *item = json_object_get(object, key);
    if (!item)
        return DVK_OK;
    if (!json_is_array(item)) {
        dvk_result result = dvk_json_to_uint(item, key, 1, maximum, path, height, error);
        if (result == DVK_OK)
            *width = *height;
        return result;
    }
    if (json_array_size(item) != 2)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be a number or a list of two, found a list of %zu",
                        path, key, json_array_size(item));
    dvk_result result = dvk_json_to_uint(json_array_get(item, 0), key, 1, maximum, path, height, error);
    if (result == DVK_OK)
        result = dvk_json_to_uint(json_array_get(item, 1), key, 1, maximum, path, width, error);
    return result;
}

static dvk_result check_kind(const json_t *root, const char *path, dvk_vit_config *config, dvk_error *error) {
    const json_t *type = json_object_get(root, "model_type");
    if (!json_is_string(type))
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"model_type\" must be \"vit\", found %s", path,
                        dvk_json_type_name(type));
    if (strcmp(json_string_value(type), "vit"))
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: \"model_type\" is \"%s\", only \"vit\" (DINO and ViT) can be run by this version", path,
                        dvk_quote(json_string_value(type)).text);
    const json_t *names = json_object_get(root, "architectures");
    const char *architecture = "ViTModel";
    if (names && !json_is_null(names)) {
        const json_t *first = json_array_get(names, 0);
        if (!json_is_string(first))
            return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"architectures\" must be a list of strings, found %s",
                            path, json_is_array(names) ? "something else in it" : dvk_json_type_name(names));
        architecture = json_string_value(first);
    }
    if (strcmp(architecture, "ViTModel") && strcmp(architecture, "ViTForImageClassification"))
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: \"architectures\" names \"%s\", expected ViTModel or ViTForImageClassification", path,
                        dvk_quote(architecture).text);
    memcpy(config->architecture, architecture, strlen(architecture) + 1);
    return DVK_OK;
}

static dvk_result read_activation(const json_t *root, const char *path, dvk_vit_config *config, dvk_error *error) {
    static const struct {
        const char *name;
        dvk_activation activation;
    } activations[] = {
        {"gelu", DVK_ACTIVATION_GELU},
        {"gelu_new", DVK_ACTIVATION_GELU_TANH},
        {"gelu_pytorch_tanh", DVK_ACTIVATION_GELU_TANH},
    };
    const json_t *item = json_object_get(root, "hidden_act");
    config->activation = DVK_ACTIVATION_GELU;
    if (!item)
        return DVK_OK;
    if (!json_is_string(item))
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"hidden_act\" must be a string, found %s", path,
                        dvk_json_type_name(item));
    for (size_t i = 0; i < sizeof(activations) / sizeof(activations[0]); i++)
        if (!strcmp(json_string_value(item), activations[i].name)) {
            config->activation = activations[i].activation;
            return DVK_OK;
        }
    return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                    "%s: \"hidden_act\" is \"%s\", only gelu, gelu_new and gelu_pytorch_tanh can be computed", path,
                    dvk_quote(json_string_value(item)).text);
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

static dvk_result read_geometry(const json_t *root, const char *path, dvk_vit_config *config, dvk_error *error) {
    uint32_t channels = 3, patch_width = 16;
    config->patch_size = 16;
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

static dvk_result check_pooler(const json_t *root, const char *path, dvk_error *error) {
    const json_t *item = json_object_get(root, "pooler_act");
    if (json_is_string(item) && strcmp(json_string_value(item), "tanh"))
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "%s: \"pooler_act\" is \"%s\", only tanh can be computed", path,
                        dvk_quote(json_string_value(item)).text);
    return DVK_OK;
}

static dvk_result read_config(const json_t *root, const char *path, dvk_vit_config *config, dvk_error *error) {
    double epsilon = 1e-12;
    config->hidden_size = 768;
    config->layers = 12;
    config->heads = 12;
    config->mlp_size = 3072;
    config->qkv_bias = true;
    dvk_result result = check_kind(root, path, config, error);
    if (result == DVK_OK)
        result = dvk_json_get_uint(root, "hidden_size", 1, MAX_HIDDEN_SIZE, path, &config->hidden_size, error);
    if (result == DVK_OK)
        result = dvk_json_get_uint(root, "num_hidden_layers", 1, MAX_LAYERS, path, &config->layers, error);
    if (result == DVK_OK)
        result = dvk_json_get_uint(root, "num_attention_heads", 1, MAX_HEADS, path, &config->heads, error);
    if (result == DVK_OK)
        result = dvk_json_get_uint(root, "intermediate_size", 1, MAX_MLP_SIZE, path, &config->mlp_size, error);
    if (result == DVK_OK)
        result = check_widths(path, config, error);
    if (result == DVK_OK)
        result = read_geometry(root, path, config, error);
    /* The lower bound keeps the epsilon a normal float32. */
    if (result == DVK_OK)
        result = dvk_json_get_double(root, "layer_norm_eps", 1e-30, 1.0, path, &epsilon, error);
    if (result == DVK_OK)
        result = read_activation(root, path, config, error);
    if (result == DVK_OK)
        result = dvk_json_get_bool(root, "qkv_bias", path, &config->qkv_bias, error);
    if (result == DVK_OK)
        result = dvk_json_get_bool(root, "dino_vk_untrained", path, &config->untrained, error);
    if (result == DVK_OK)
        result = check_pooler(root, path, error);
    config->layer_norm_eps = (float)epsilon;
    return result;
}

dvk_result dvk_config_parse(const void *bytes, size_t size, const char *path, dvk_vit_config *config,
                            dvk_error *error) {
    json_t *root = NULL;
    dvk_vit_config parsed = {0};
    dvk_result result = dvk_json_parse_object(bytes, size, path, &root, error);
    if (result != DVK_OK)
        return result;
    result = read_config(root, path, &parsed, error);
    json_decref(root);
    if (result == DVK_OK)
        *config = parsed;
    return result;
}
