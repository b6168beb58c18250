/* What the classifiers read is that of facebookresearch/dino's eval_linear.py and facebookresearch/dinov2's
 * hub/classifiers.py. */
#include "classifier.h"

#include <stdio.h>

#include "torch_file.h"

enum { LAST_LAYERS = 4, MAX_CLASSES = 65536 };

static dvk_result read_file(const char *path, dvk_classifier *classifier, dvk_error *error) {
    dvk_result result = dvk_map_file(path, &classifier->mapping, error);
    if (result != DVK_OK)
        return result;
    const dvk_mapping *mapping = &classifier->mapping;
    if (!dvk_torch_detect(mapping->data, mapping->size))
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s is no classifier: expected what torch.save writes (dino_*_linearweights.pth, "
                        "dinov2_*_linear_head.pth)",
                        path);
    return dvk_torch_parse(classifier->allocator, mapping->data, mapping->size, path, &classifier->tensors, error);
}

/* `dino`: whether the names are those of DINO; else DINOv2's. DistributedDataParallel adds "module.". */
static dvk_result find_tensors(const char *path, const dvk_tensor_list *tensors, const dvk_tensor **weight,
                               const dvk_tensor **bias, bool *dino, dvk_error *error) {
    static const char *const names[][2] = {
        {"weight", "bias"}, {"linear.weight", "linear.bias"}, {"module.linear.weight", "module.linear.bias"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        *weight = dvk_tensor_list_find(tensors, names[i][0]);
        *bias = dvk_tensor_list_find(tensors, names[i][1]);
        *dino = i > 0;
        if (*weight && *bias && tensors->count == 2)
            break;
        *weight = NULL;
    }
    if (!*weight)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s is no classifier: expected two tensors, \"weight\" and \"bias\" or \"linear.weight\" and "
                        "\"linear.bias\", but it holds %zu of other names",
                        path, tensors->count);
    const uint64_t classes = (*weight)->shape[0];
    if ((*weight)->rank != 2 || (*bias)->rank != 1 || (*bias)->shape[0] != classes || !classes || classes > MAX_CLASSES)
        return dvk_fail(error, DVK_ERROR_BAD_FILE,
                        "%s: expected a weight of [classes, features] and a bias of [classes], at most %d of them, but "
                        "found a weight of %u dimension(s), %llu rows, and a bias of %u, %llu: fetch the file again",
                        path, MAX_CLASSES, (*weight)->rank, (unsigned long long)classes, (*bias)->rank,
                        (unsigned long long)(*bias)->shape[0]);
    if ((*weight)->dtype == DVK_DTYPE_OTHER || (*bias)->dtype == DVK_DTYPE_OTHER)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: the classifier is stored as %s, only F32, F16 and BF16 can be read; save it in one of "
                        "these",
                        path, (*weight)->dtype == DVK_DTYPE_OTHER ? (*weight)->dtype_name : (*bias)->dtype_name);
    return DVK_OK;
}

/* eval_linear.py stacks CLS and the mean in a last dimension, so that the file has them channel by channel. */
static dvk_result separate_pairs(dvk_classifier *classifier, dvk_error *error) {
    dvk_tensor *weight = &classifier->weight;
    const size_t features = (size_t)weight->shape[1], size = features / 2;
    if (weight->elements > SIZE_MAX / sizeof(float) - features)
        return dvk_fail_memory(error, SIZE_MAX);
    const size_t bytes = ((size_t)weight->elements + features) * sizeof(float);
    float *values = classifier->reordered = dvk_allocate(classifier->allocator, bytes);
    if (!values)
        return dvk_fail_memory(error, bytes);
    float *row = values + weight->elements;
    for (uint64_t label = 0; label < weight->shape[0]; label++, values += features) {
        dvk_tensor_to_float(weight, label * features, features, row);
        for (size_t i = 0; i < size; i++) {
            values[i] = row[2 * i];
            values[size + i] = row[2 * i + 1];
        }
    }
    weight->dtype = DVK_DTYPE_F32;
    weight->data = classifier->reordered;
    weight->bytes = weight->elements * sizeof(float);
    return DVK_OK;
}

static dvk_result check_model(const char *path, const dvk_checkpoint *checkpoint, dvk_error *error) {
    const dvk_vit_config *config = &checkpoint->config;
    if (checkpoint->head_parts)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s (%s) has a head of its own, so it cannot take the classifier %s: load a model of features "
                        "alone",
                        checkpoint->name, config->architecture, path);
    if (!config->family->cls_token)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s (%s) has no CLS token, which the classifier %s reads: load the backbone that it belongs to",
                        checkpoint->name, config->architecture, path);
    if (config->family->pooled == DVK_POOLED_NORM)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s (%s) has no final norm of all tokens, which the classifier %s reads: load the backbone "
                        "that it belongs to",
                        checkpoint->name, config->architecture, path);
    return DVK_OK;
}

static void add_part(dvk_checkpoint *checkpoint, const dvk_tensor *bias, dvk_head_input input, uint32_t layer) {
    const uint32_t size = checkpoint->config.hidden_size, index = checkpoint->head_parts++;
    const dvk_tensor *weight = &checkpoint->classifier->weight;
    checkpoint->head[index] = (dvk_head_part){.input = input,
                                              .layer = layer,
                                              .factor = 1,
                                              .linear = {.weight = weight,
                                                         .bias = index ? NULL : bias,
                                                         .outputs = (uint32_t)weight->shape[0],
                                                         .inputs = size,
                                                         .first_input = index * size}};
}

dvk_result dvk_classifier_open(const char *path, dvk_checkpoint *checkpoint, dvk_error *error) {
    dvk_vit_config *config = &checkpoint->config;
    const dvk_tensor *weight = NULL, *bias = NULL;
    bool dino = false;
    dvk_result result = check_model(path, checkpoint, error);
    if (result != DVK_OK)
        return result;
    dvk_classifier *classifier = checkpoint->classifier =
        dvk_allocate_zeroed(checkpoint->allocator, 1, sizeof(*classifier));
    if (!classifier)
        return dvk_fail_memory(error, sizeof(*classifier));
    classifier->allocator = checkpoint->allocator;
    snprintf(classifier->name, sizeof(classifier->name), "%s", path);
    result = read_file(path, classifier, error);
    if (result == DVK_OK)
        result = find_tensors(path, &classifier->tensors, &weight, &bias, &dino, error);
    if (result != DVK_OK)
        return result;
    const uint64_t features = weight->shape[1], pieces = features / config->hidden_size;
    if (features % config->hidden_size || (pieces != 1 && pieces != 2 && pieces != 4 && pieces != 5))
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s reads %llu features, but %s has %u channels, and a classifier reads 1, 2, 4 or 5 times as "
                        "many: load the backbone that it belongs to",
                        path, (unsigned long long)features, checkpoint->name, config->hidden_size);
    if (pieces >= LAST_LAYERS && config->layers < LAST_LAYERS)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s reads the last %d layers, but %s has %u: load the backbone that it belongs to", path,
                        LAST_LAYERS, checkpoint->name, config->layers);
    classifier->weight = *weight;
    if (dino && pieces == 2)
        result = separate_pairs(classifier, error);
    if (result != DVK_OK)
        return result;
    if (pieces >= LAST_LAYERS)
        for (uint32_t i = LAST_LAYERS; i > 1; i--)
            add_part(checkpoint, bias, DVK_INPUT_LAYER_CLS, config->layers - i);
    add_part(checkpoint, bias, DVK_INPUT_CLS, 0);
    if (pieces == 2 || pieces == 5)
        add_part(checkpoint, bias, DVK_INPUT_MEAN, 0);
    config->label_count = (uint32_t)classifier->weight.shape[0];
    checkpoint->parameters += weight->elements + bias->elements;
    return DVK_OK;
}

void dvk_classifier_close(dvk_classifier **classifier) {
    if (!*classifier)
        return;
    dvk_tensor_list_free(&(*classifier)->tensors);
    dvk_unmap_file(&(*classifier)->mapping);
    dvk_release((*classifier)->allocator, (*classifier)->reordered);
    dvk_release((*classifier)->allocator, *classifier);
    *classifier = NULL;
}
