#include "bind.h"

#include <stdio.h>
#include <string.h>

#include "json.h"

/* Finds tensors by name and checks them; remembers the first failure and which tensors were asked for. */
typedef struct binder {
    dvk_checkpoint *checkpoint;
    const char *prefix; /* the family's, or "" */
    bool *used;         /* [file.count] */
    dvk_result result;
    dvk_error *error;
} binder;

/* Room for a name that the tables make up. */
typedef struct name {
    char text[160];
} name;

static void print_shape(char *text, size_t size, uint32_t rank, const uint64_t *shape) {
    size_t length = (size_t)snprintf(text, size, "[");
    for (uint32_t i = 0; i < rank && length < size; i++)
        length += (size_t)snprintf(text + length, size - length, "%s%llu", i ? ", " : "", (unsigned long long)shape[i]);
    if (length < size)
        snprintf(text + length, size - length, "]");
}

static name join(const char *first, const char *second) {
    name joined;
    snprintf(joined.text, sizeof(joined.text), "%.100s%.59s", first, second); /* all of ours are shorter */
    return joined;
}

static name layer_name(const binder *b, uint32_t layer, const char *part) {
    name joined;
    const dvk_architecture *family = b->checkpoint->config.family;
    snprintf(joined.text, sizeof(joined.text), "%s%s.%u.%s", b->prefix, family->layer->list, layer, part);
    return joined;
}

/* `full`: with its prefix. */
static const dvk_tensor *bind(binder *b, const char *full, uint32_t rank, const uint64_t *shape) {
    if (b->result != DVK_OK)
        return NULL;
    const char *path = b->checkpoint->name;
    const dvk_tensor *tensor = dvk_tensor_list_find(&b->checkpoint->file, full);
    char expected[96], found[8 * 24];
    print_shape(expected, sizeof(expected), rank, shape);
    if (!tensor) {
        b->result = dvk_fail(b->error, DVK_ERROR_BAD_FILE,
                             "%s: tensor \"%s\" is missing, expected one of shape %s as config.json says", path, full,
                             expected);
        return NULL;
    }
    if (tensor->rank != rank || memcmp(tensor->shape, shape, rank * sizeof(shape[0]))) {
        print_shape(found, sizeof(found), tensor->rank, tensor->shape);
        b->result =
            dvk_fail(b->error, DVK_ERROR_BAD_FILE, "%s: tensor \"%s\" has shape %s, expected %s as config.json says",
                     path, tensor->name, found, expected);
        return NULL;
    }
    if (tensor->dtype == DVK_DTYPE_OTHER) {
        b->result = dvk_fail(b->error, DVK_ERROR_UNSUPPORTED,
                             "%s: tensor \"%s\" is stored as %s, only F32, F16 and BF16 weights can be read; save the "
                             "model in one of these",
                             path, tensor->name, tensor->dtype_name);
        return NULL;
    }
    b->used[tensor - b->checkpoint->file.tensors] = true;
    b->checkpoint->parameters += tensor->elements;
    return tensor;
}

static const dvk_tensor *bind_vector(binder *b, const char *full, uint64_t elements) {
    return bind(b, full, 1, (const uint64_t[]){elements});
}

static bool exists(const binder *b, const char *full) {
    return dvk_tensor_list_find(&b->checkpoint->file, full) != NULL;
}

/* NAME.weight [outputs][inputs] and NAME.bias [outputs]. */
static dvk_linear bind_linear(binder *b, name stem, bool has_bias, uint32_t outputs, uint32_t inputs) {
    dvk_linear linear = {.outputs = outputs, .inputs = inputs};
    linear.weight = bind(b, join(stem.text, ".weight").text, 2, (const uint64_t[]){outputs, inputs});
    if (has_bias)
        linear.bias = bind_vector(b, join(stem.text, ".bias").text, outputs);
    return linear;
}

static dvk_norm bind_norm(binder *b, name stem) {
    const uint32_t width = b->checkpoint->config.hidden_size;
    dvk_norm norm;
    norm.weight = bind_vector(b, join(stem.text, ".weight").text, width);
    norm.bias = bind_vector(b, join(stem.text, ".bias").text, width);
    return norm;
}

/* One of several layers that the file holds as one matrix. */
static dvk_linear slice_outputs(dvk_linear whole, uint32_t first, uint32_t count) {
    whole.first_output += first;
    whole.outputs = count;
    return whole;
}

static dvk_linear slice_inputs(dvk_linear whole, uint32_t first, uint32_t count) {
    if (first)
        whole.bias = NULL; /* the first slice adds it */
    whole.first_input += first;
    whole.inputs = count;
    return whole;
}

static void bind_mlp(binder *b, uint32_t i, dvk_vit_layer *layer) {
    const dvk_vit_config *c = &b->checkpoint->config;
    const dvk_layer_names *names = c->family->layer;
    const uint32_t width = c->hidden_size, mlp = c->mlp_size;
    const bool packed = c->gated && names->packed_gate;
    if (packed) {
        dvk_linear both = bind_linear(b, layer_name(b, i, names->packed_gate), c->mlp_bias, 2 * mlp, width);
        layer->gate = slice_outputs(both, 0, mlp);
        layer->intermediate = slice_outputs(both, mlp, mlp);
    } else {
        if (c->gated)
            layer->gate = bind_linear(b, layer_name(b, i, names->gate), c->mlp_bias, mlp, width);
        layer->intermediate = bind_linear(b, layer_name(b, i, names->intermediate), c->mlp_bias, mlp, width);
    }
    layer->output =
        bind_linear(b, layer_name(b, i, packed ? names->packed_output : names->output), c->mlp_bias, width, mlp);
    if (names->output_scale)
        layer->output.scale = bind_vector(b, layer_name(b, i, names->output_scale).text, width);
}

static void bind_layer(binder *b, uint32_t i, dvk_vit_layer *layer) {
    const dvk_vit_config *c = &b->checkpoint->config;
    const dvk_layer_names *names = c->family->layer;
    const uint32_t width = c->hidden_size;
    layer->norm_before = bind_norm(b, layer_name(b, i, names->norm_before));
    layer->query = bind_linear(b, layer_name(b, i, names->query), c->query_bias, width, width);
    layer->key = bind_linear(b, layer_name(b, i, names->key), c->key_bias, width, width);
    layer->value = bind_linear(b, layer_name(b, i, names->value), c->value_bias, width, width);
    layer->attention_output =
        bind_linear(b, layer_name(b, i, names->attention_output), c->attention_output_bias, width, width);
    if (names->attention_scale)
        layer->attention_output.scale = bind_vector(b, layer_name(b, i, names->attention_scale).text, width);
    layer->norm_after = bind_norm(b, layer_name(b, i, names->norm_after));
    bind_mlp(b, i, layer);
}

/* A token or a table of tokens: [rows][D] behind an extent of 1, or bare, and then a single row is [D]. */
static const dvk_tensor *bind_tokens(binder *b, const char *part, uint64_t rows, bool table) {
    const dvk_vit_config *c = &b->checkpoint->config;
    const uint64_t shape[] = {1, rows, c->hidden_size};
    name full = join(b->prefix, part);
    if (!c->family->bare_tables)
        return bind(b, full.text, 3, shape);
    return table ? bind(b, full.text, 2, shape + 1) : bind(b, full.text, 1, shape + 2);
}

static void bind_embeddings(binder *b) {
    dvk_checkpoint *checkpoint = b->checkpoint;
    const dvk_vit_config *c = &checkpoint->config;
    const dvk_architecture *family = c->family;
    const uint64_t width = c->hidden_size, patch = c->patch_size;
    if (family->cls_token)
        checkpoint->cls_token = bind_tokens(b, family->cls_token, 1, false);
    if (family->distillation_token)
        checkpoint->distillation_token = bind_tokens(b, family->distillation_token, 1, false);
    if (c->registers)
        checkpoint->registers = bind_tokens(b, family->registers, c->registers, true);
    if (family->positions)
        checkpoint->position_embeddings = bind_tokens(
            b, family->positions, c->prefix_tokens - c->registers + (uint64_t)c->grid_width * c->grid_height, true);
    name stem = join(b->prefix, family->patches);
    checkpoint->patch_projection = (dvk_linear){.outputs = c->hidden_size, .inputs = 3 * c->patch_size * c->patch_size};
    checkpoint->patch_projection.weight =
        bind(b, join(stem.text, ".weight").text, 4, (const uint64_t[]){width, 3, patch, patch});
    if (!family->no_patch_bias)
        checkpoint->patch_projection.bias = bind_vector(b, join(stem.text, ".bias").text, width);
    if (family->first_norm)
        checkpoint->first_norm = bind_norm(b, join(b->prefix, family->first_norm));
}

static void bind_pool(binder *b) {
    dvk_checkpoint *checkpoint = b->checkpoint;
    const dvk_vit_config *c = &checkpoint->config;
    const uint32_t width = c->hidden_size;
    dvk_attention_pool *pool = &checkpoint->pool;
    pool->probe = bind(b, join(b->prefix, "head.probe").text, 3, (const uint64_t[]){1, 1, width});
    dvk_linear all = {.outputs = 3 * width, .inputs = width};
    all.weight =
        bind(b, join(b->prefix, "head.attention.in_proj_weight").text, 2, (const uint64_t[]){3 * width, width});
    all.bias = bind_vector(b, join(b->prefix, "head.attention.in_proj_bias").text, 3 * width);
    pool->query = slice_outputs(all, 0, width);
    pool->key = slice_outputs(all, width, width);
    pool->value = slice_outputs(all, 2 * width, width);
    pool->attention_output = bind_linear(b, join(b->prefix, "head.attention.out_proj"), true, width, width);
    pool->norm = bind_norm(b, join(b->prefix, "head.layernorm"));
    pool->intermediate = bind_linear(b, join(b->prefix, "head.mlp.fc1"), true, c->mlp_size, width);
    pool->output = bind_linear(b, join(b->prefix, "head.mlp.fc2"), true, width, c->mlp_size);
}

static void add_head(dvk_checkpoint *checkpoint, dvk_head_input input, dvk_linear linear, float factor) {
    checkpoint->head[checkpoint->head_parts++] = (dvk_head_part){.input = input, .linear = linear, .factor = factor};
}

/* Names of heads stand outside the prefix. */
static void bind_head(binder *b) {
    dvk_checkpoint *checkpoint = b->checkpoint;
    const dvk_vit_config *c = &checkpoint->config;
    const uint32_t width = c->hidden_size, labels = c->label_count;
    switch (c->head) {
    case DVK_HEAD_NONE:
        break;
    case DVK_HEAD_CLS:
        add_head(checkpoint, DVK_INPUT_CLS, bind_linear(b, join("classifier", ""), true, labels, width), 1);
        break;
    case DVK_HEAD_MEAN:
        add_head(checkpoint, DVK_INPUT_MEAN, bind_linear(b, join("classifier", ""), true, labels, width), 1);
        break;
    case DVK_HEAD_CLS_MEAN: {
        dvk_linear both = bind_linear(b, join("classifier", ""), true, labels, 2 * width);
        add_head(checkpoint, DVK_INPUT_CLS, slice_inputs(both, 0, width), 1);
        add_head(checkpoint, DVK_INPUT_MEAN, slice_inputs(both, width, width), 1);
        break;
    }
    case DVK_HEAD_DISTILLED: /* factor: the mean of two */
        add_head(checkpoint, DVK_INPUT_CLS, bind_linear(b, join("cls_classifier", ""), true, labels, width), 0.5f);
        add_head(checkpoint, DVK_INPUT_DISTILLATION,
                 bind_linear(b, join("distillation_classifier", ""), true, labels, width), 0.5f);
        break;
    case DVK_HEAD_PROJECTION:
        add_head(checkpoint, DVK_INPUT_POOLED,
                 bind_linear(b, join("visual_projection", ""), false, c->projection_size, width), 1);
        break;
    }
}

static void bind_all(binder *b) {
    dvk_checkpoint *checkpoint = b->checkpoint;
    const dvk_vit_config *c = &checkpoint->config;
    bind_embeddings(b);
    for (uint32_t i = 0; i < c->layers && b->result == DVK_OK; i++)
        bind_layer(b, i, &checkpoint->layers[i]);
    checkpoint->final_norm = bind_norm(b, join(b->prefix, c->family->final_norm));
    if (c->family->pooled == DVK_POOLED_DENSE && (exists(b, join(b->prefix, "pooler.dense.weight").text) ||
                                                  exists(b, join(b->prefix, "pooler.dense.bias").text)))
        checkpoint->pooler = bind_linear(b, join(b->prefix, "pooler.dense"), true, c->hidden_size, c->hidden_size);
    if (c->family->pooled == DVK_POOLED_ATTENTION)
        bind_pool(b);
    bind_head(b);
}

static bool is_ignored(const binder *b, const char *tensor) {
    const dvk_architecture *family = b->checkpoint->config.family;
    for (size_t i = 0; i < sizeof(dvk_ignored_tensors) / sizeof(dvk_ignored_tensors[0]); i++)
        if (!strcmp(tensor, join(b->prefix, dvk_ignored_tensors[i]).text))
            return true;
    for (size_t i = 0; i < sizeof(family->other_half) / sizeof(family->other_half[0]); i++)
        if (family->other_half[i] && !strncmp(tensor, family->other_half[i], strlen(family->other_half[i])))
            return true;
    return false;
}

/* A tensor that nothing asked for means that the model is another one than config.json says. */
static void check_unused(binder *b) {
    const dvk_tensor_list *file = &b->checkpoint->file;
    const dvk_vit_config *c = &b->checkpoint->config;
    for (size_t i = 0; i < file->count && b->result == DVK_OK; i++) {
        const char *tensor = file->tensors[i].name;
        if (b->used[i] || is_ignored(b, tensor))
            continue;
        char shape[8 * 24];
        print_shape(shape, sizeof(shape), file->tensors[i].rank, file->tensors[i].shape);
        b->result = dvk_fail(b->error, DVK_ERROR_BAD_FILE,
                             "%s: unexpected tensor \"%s\" of shape %s: config.json describes a %s of %u layers%s "
                             "without it",
                             b->checkpoint->name, dvk_quote(tensor).text, shape, c->architecture, c->layers,
                             c->query_bias ? "" : " without query bias");
    }
}

dvk_result dvk_bind_tensors(dvk_checkpoint *checkpoint, dvk_error *error) {
    /* Any tensor under the prefix tells that this model was saved inside a larger one. */
    const char *prefix = checkpoint->config.family->prefix;
    bool prefixed = false;
    for (size_t i = 0; prefix && i < checkpoint->file.count && !prefixed; i++)
        prefixed = !strncmp(checkpoint->file.tensors[i].name, prefix, strlen(prefix));
    checkpoint->layers = dvk_allocate_zeroed(checkpoint->allocator, checkpoint->config.layers, sizeof(dvk_vit_layer));
    bool *used = dvk_allocate_zeroed(checkpoint->allocator, checkpoint->file.count + 1, sizeof(bool));
    dvk_result result = DVK_ERROR_OUT_OF_HOST_MEMORY;
    if (!checkpoint->layers || !used) {
        dvk_fail_memory(error, checkpoint->config.layers * sizeof(dvk_vit_layer) + checkpoint->file.count);
    } else {
        binder b = {checkpoint, prefixed ? prefix : "", used, DVK_OK, error};
        bind_all(&b);
        check_unused(&b);
        result = b.result;
        if (result == DVK_OK)
            checkpoint->matrix_dtype = checkpoint->layers[0].query.weight->dtype;
    }
    dvk_release(checkpoint->allocator, used);
    return result;
}
