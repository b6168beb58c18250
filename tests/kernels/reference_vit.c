#include "reference_vit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference.h"

static void *allocate_doubles(size_t count) {
    double *values = calloc(count, sizeof(*values));
    if (!values)
        abort();
    return values;
}

/* A tensor's elements; NULL stands for a bias that is not there. */
static double *read_tensor(const dvk_tensor *tensor, size_t count) {
    double *values = allocate_doubles(count);
    if (!tensor)
        return values;
    float *floats = malloc(count * sizeof(*floats));
    if (!floats)
        abort();
    dvk_tensor_to_float(tensor, 0, count, floats);
    for (size_t i = 0; i < count; i++)
        values[i] = (double)floats[i];
    free(floats);
    return values;
}

/* weight [out][in] and bias [out] -> the kernels' [in + 1][out] */
static double *read_linear(const dvk_linear *linear, uint32_t in, uint32_t out) {
    double *weight = read_tensor(linear->weight, (size_t)in * out), *bias = read_tensor(linear->bias, out);
    double *packed = allocate_doubles((size_t)(in + 1) * out);
    for (uint32_t i = 0; i < in; i++)
        for (uint32_t o = 0; o < out; o++)
            packed[(size_t)i * out + o] = weight[(size_t)o * in + i];
    memcpy(packed + (size_t)in * out, bias, out * sizeof(*bias));
    free(weight);
    free(bias);
    return packed;
}

/* out = activation(a w + b), or out += that */
static void apply_linear(const dvk_linear *linear, uint32_t rows, uint32_t in, uint32_t out_columns,
                         dvk_activation activation, dvk_residual residual, const double *a, double *out) {
    const dvk_push_matmul push = {.rows = rows,
                                  .columns = out_columns,
                                  .depth = in,
                                  .a_stride = in,
                                  .w_stride = out_columns,
                                  .out_stride = out_columns,
                                  .plane_columns = out_columns,
                                  .table_rows = 1};
    double *w = read_linear(linear, in, out_columns);
    reference_matmul(&push, activation, residual, a, w, NULL, out, NULL);
    free(w);
}

static void apply_norm(const dvk_norm *norm, uint32_t rows, uint32_t columns, float epsilon, const double *in,
                       double *out) {
    const dvk_push_layernorm push = {.rows = rows, .columns = columns, .in_stride = columns, .epsilon = epsilon};
    double *weight = read_tensor(norm->weight, columns), *bias = read_tensor(norm->bias, columns);
    double *parameters = allocate_doubles(2 * (size_t)columns);
    memcpy(parameters, weight, columns * sizeof(*weight));
    memcpy(parameters + columns, bias, columns * sizeof(*bias));
    reference_layernorm(&push, in, parameters, out);
    free(parameters);
    free(weight);
    free(bias);
}

/* Keys' cubic convolution with torch's a = -0.75. */
static double cubic(double x) {
    const double a = -0.75;
    x = fabs(x);
    if (x < 1.0)
        return (a + 2.0) * x * x * x - (a + 3.0) * x * x + 1.0;
    return x < 2.0 ? a * (x * x * x - 5.0 * x * x + 8.0 * x - 4.0) : 0.0;
}

static uint32_t clamp_index(double index, uint32_t count) {
    return index < 0.0 ? 0 : index > count - 1.0 ? count - 1 : (uint32_t)index;
}

/* The position of the patch at (x, y) of a grid of width * height, bicubic from the table's grid; added to row. */
static void add_position(const dvk_vit_config *config, const double *table, uint32_t x, uint32_t y, uint32_t width,
                         uint32_t height, double excess, double *row) {
    const double from_x = (x + 0.5) * config->grid_width / (width + excess) - 0.5;
    const double from_y = (y + 0.5) * config->grid_height / (height + excess) - 0.5;
    for (int j = -1; j <= 2; j++) {
        for (int i = -1; i <= 2; i++) {
            double at_x = floor(from_x) + i, at_y = floor(from_y) + j;
            double weight = cubic(from_x - at_x) * cubic(from_y - at_y);
            size_t token = 1 + (size_t)clamp_index(at_y, config->grid_height) * config->grid_width +
                           clamp_index(at_x, config->grid_width);
            for (uint32_t c = 0; c < config->hidden_size; c++)
                row[c] += weight * table[token * config->hidden_size + c];
        }
    }
}

static double *embed(const dvk_checkpoint *checkpoint, const float *pixels, uint32_t width, uint32_t height,
                     double excess) {
    const dvk_vit_config *config = &checkpoint->config;
    const uint32_t size = config->hidden_size, patch = config->patch_size;
    const uint32_t columns = width / patch, rows = height / patch, tokens = 1 + columns * rows;
    const dvk_push_patchify push = {.rows = tokens,
                                    .tokens = tokens,
                                    .prefix = 1,
                                    .grid_width = columns,
                                    .width = width,
                                    .height = height,
                                    .patch_size = patch,
                                    .depth = 3 * patch * patch};
    const size_t pixel_count = (size_t)3 * width * height;
    double *values = allocate_doubles(pixel_count), *patches = allocate_doubles((size_t)tokens * push.depth),
           *hidden = allocate_doubles((size_t)tokens * size);
    for (size_t i = 0; i < pixel_count; i++)
        values[i] = (double)pixels[i];
    reference_patchify(&push, values, patches);
    apply_linear(&checkpoint->patch_projection, tokens, push.depth, size, DVK_ACTIVATION_NONE, DVK_RESIDUAL_NONE,
                 patches, hidden);

    double *cls = read_tensor(checkpoint->cls_token, size);
    double *table =
        read_tensor(checkpoint->position_embeddings, (1 + (size_t)config->grid_width * config->grid_height) * size);
    for (uint32_t c = 0; c < size; c++)
        hidden[c] = cls[c] + table[c];
    for (uint32_t token = 1; token < tokens; token++)
        add_position(config, table, (token - 1) % columns, (token - 1) / columns, columns, rows, excess,
                     hidden + (size_t)token * size);
    free(values);
    free(patches);
    free(cls);
    free(table);
    return hidden;
}

/* hidden += layer(hidden). attention: where the CLS token's row goes, or NULL. */
static void run_layer(const dvk_vit_config *config, const dvk_vit_layer *layer, uint32_t tokens, double *hidden,
                      double *attention) {
    const uint32_t size = config->hidden_size;
    const size_t count = (size_t)tokens * size;
    double *normed = allocate_doubles(count), *q = allocate_doubles(count), *k = allocate_doubles(count),
           *v = allocate_doubles(count), *inner = allocate_doubles((size_t)tokens * config->mlp_size);

    apply_norm(&layer->norm_before, tokens, size, config->layer_norm_eps, hidden, normed);
    apply_linear(&layer->query, tokens, size, size, DVK_ACTIVATION_NONE, DVK_RESIDUAL_NONE, normed, q);
    apply_linear(&layer->key, tokens, size, size, DVK_ACTIVATION_NONE, DVK_RESIDUAL_NONE, normed, k);
    apply_linear(&layer->value, tokens, size, size, DVK_ACTIVATION_NONE, DVK_RESIDUAL_NONE, normed, v);
    for (size_t i = 0; i < count; i++)
        q[i] /= sqrt(config->head_dim);
    const dvk_push_attention push = {
        .tokens = tokens, .heads = config->heads, .row_stride = size, .queries = tokens, .query_step = tokens};
    const dvk_push_attention_row row = {.tokens = tokens, .heads = config->heads, .row_stride = size};
    reference_attention(&push, 1, config->head_dim, q, k, v, normed);
    if (attention)
        reference_attention_row(&row, 1, config->head_dim, q, k, attention);
    apply_linear(&layer->attention_output, tokens, size, size, DVK_ACTIVATION_NONE, DVK_RESIDUAL_IN_PLACE, normed,
                 hidden);

    apply_norm(&layer->norm_after, tokens, size, config->layer_norm_eps, hidden, normed);
    apply_linear(&layer->intermediate, tokens, size, config->mlp_size, config->activation, DVK_RESIDUAL_NONE, normed,
                 inner);
    apply_linear(&layer->output, tokens, config->mlp_size, size, DVK_ACTIVATION_NONE, DVK_RESIDUAL_IN_PLACE, inner,
                 hidden);
    free(normed);
    free(q);
    free(k);
    free(v);
    free(inner);
}

reference_vit reference_vit_run(const dvk_checkpoint *checkpoint, const float *pixels, uint32_t width, uint32_t height,
                                double excess) {
    const dvk_vit_config *config = &checkpoint->config;
    const uint32_t size = config->hidden_size;
    reference_vit vit = {.tokens = 1 + (width / config->patch_size) * (height / config->patch_size),
                         .hidden_count = config->layers + 1};
    const size_t count = (size_t)vit.tokens * size;
    vit.hidden = calloc(vit.hidden_count, sizeof(*vit.hidden));
    if (!vit.hidden)
        abort();
    vit.attention = allocate_doubles((size_t)config->heads * vit.tokens);
    vit.hidden[0] = embed(checkpoint, pixels, width, height, excess);
    for (uint32_t i = 0; i < config->layers; i++) {
        vit.hidden[i + 1] = allocate_doubles(count);
        memcpy(vit.hidden[i + 1], vit.hidden[i], count * sizeof(double));
        run_layer(config, &checkpoint->layers[i], vit.tokens, vit.hidden[i + 1],
                  i + 1 == config->layers ? vit.attention : NULL);
    }
    vit.last_hidden_state = allocate_doubles(count);
    apply_norm(&checkpoint->final_norm, vit.tokens, size, config->layer_norm_eps, vit.hidden[config->layers],
               vit.last_hidden_state);
    if (checkpoint->pooler.weight) {
        vit.pooled = allocate_doubles(size);
        apply_linear(&checkpoint->pooler, 1, size, size, DVK_ACTIVATION_TANH, DVK_RESIDUAL_NONE, vit.last_hidden_state,
                     vit.pooled);
    }
    return vit;
}

void reference_vit_free(reference_vit *vit) {
    for (uint32_t i = 0; i < vit->hidden_count; i++)
        free(vit->hidden[i]);
    free(vit->hidden);
    free(vit->last_hidden_state);
    free(vit->pooled);
    free(vit->attention);
    *vit = (reference_vit){0};
}
