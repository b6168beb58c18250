#include "reference_vit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Everything here is small and short-lived, so running out of memory ends the test program. */
static double *allocate(size_t count) {
    double *values = calloc(count, sizeof(*values));
    if (!values)
        abort();
    return values;
}

static double *load(const dvk_tensor *tensor) {
    double *values = allocate(tensor->elements);
    for (uint64_t i = 0; i < tensor->elements; i++) {
        float value;
        dvk_tensor_to_float(tensor, i, 1, &value);
        values[i] = value;
    }
    return values;
}

/* out[row] = weight in[row] + bias; weight [outputs][inputs], as the file has it. */
static void linear(const dvk_linear *layer, const double *in, size_t rows, size_t inputs, size_t outputs, double *out) {
    double *weight = load(layer->weight), *bias = layer->bias ? load(layer->bias) : allocate(outputs);
    for (size_t row = 0; row < rows; row++)
        for (size_t output = 0; output < outputs; output++) {
            /* Four sums, so that the additions need not wait for each other. */
            double sum[4] = {0};
            const double *w = weight + output * inputs, *x = in + row * inputs;
            size_t i = 0;
            for (; i + 4 <= inputs; i += 4)
                for (int j = 0; j < 4; j++)
                    sum[j] += w[i + j] * x[i + j];
            for (; i < inputs; i++)
                sum[0] += w[i] * x[i];
            out[row * outputs + output] = sum[0] + sum[1] + sum[2] + sum[3] + bias[output];
        }
    free(weight);
    free(bias);
}

static void layer_norm(const dvk_norm *norm, double epsilon, const double *in, size_t rows, size_t size, double *out) {
    double *weight = load(norm->weight), *bias = load(norm->bias);
    for (size_t row = 0; row < rows; row++) {
        const double *x = in + row * size;
        double mean = 0, variance = 0;
        for (size_t i = 0; i < size; i++)
            mean += x[i] / (double)size;
        for (size_t i = 0; i < size; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)size;
        for (size_t i = 0; i < size; i++)
            out[row * size + i] = (x[i] - mean) / sqrt(variance + epsilon) * weight[i] + bias[i];
    }
    free(weight);
    free(bias);
}

static double activate(dvk_activation activation, double x) {
    switch (activation) {
    case DVK_ACTIVATION_GELU:
        return x / 2 * (1 + erf(x / sqrt(2)));
    case DVK_ACTIVATION_GELU_TANH:
        return x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case DVK_ACTIVATION_TANH:
        return tanh(x);
    case DVK_ACTIVATION_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case DVK_ACTIVATION_SILU:
        return x / (1 + exp(-x));
    case DVK_ACTIVATION_NONE:
        break;
    }
    return x;
}

/* Softmax of one query's scores against all keys of a head. */
static void attention_row(const double *query, const double *keys, size_t tokens, size_t size, size_t head_dim,
                          double *row) {
    double largest = -INFINITY, total = 0;
    for (size_t t = 0; t < tokens; t++) {
        row[t] = 0;
        for (size_t i = 0; i < head_dim; i++)
            row[t] += query[i] * keys[t * size + i];
        row[t] /= sqrt((double)head_dim);
        largest = fmax(largest, row[t]);
    }
    for (size_t t = 0; t < tokens; t++)
        total += row[t] = exp(row[t] - largest);
    for (size_t t = 0; t < tokens; t++)
        row[t] /= total;
}

/* cls_rows: [heads][tokens] */
static void attention(const dvk_vit_config *config, const double *q, const double *k, const double *v, size_t tokens,
                      double *out, double *cls_rows) {
    size_t size = config->hidden_size, dim = config->head_dim;
    double *row = allocate(tokens);
    for (size_t head = 0; head < config->heads; head++)
        for (size_t t = 0; t < tokens; t++) {
            attention_row(q + t * size + head * dim, k + head * dim, tokens, size, dim, row);
            if (t == 0)
                memcpy(cls_rows + head * tokens, row, tokens * sizeof(*row));
            double *target = out + t * size + head * dim;
            memset(target, 0, dim * sizeof(*target));
            for (size_t other = 0; other < tokens; other++)
                for (size_t i = 0; i < dim; i++)
                    target[i] += row[other] * v[other * size + head * dim + i];
        }
    free(row);
}

static void add(double *sum, const double *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        sum[i] += values[i];
}

static void encoder_layer(const dvk_vit_config *config, const dvk_vit_layer *layer, size_t tokens, double *hidden,
                          double *cls_rows) {
    size_t size = config->hidden_size, mlp = config->mlp_size, count = tokens * size;
    double *normed = allocate(count), *q = allocate(count), *k = allocate(count), *v = allocate(count);
    double *out = allocate(count), *inner = allocate(tokens * mlp);
    layer_norm(&layer->norm_before, config->layer_norm_eps, hidden, tokens, size, normed);
    linear(&layer->query, normed, tokens, size, size, q);
    linear(&layer->key, normed, tokens, size, size, k);
    linear(&layer->value, normed, tokens, size, size, v);
    attention(config, q, k, v, tokens, normed, cls_rows);
    linear(&layer->attention_output, normed, tokens, size, size, out);
    add(hidden, out, count);
    layer_norm(&layer->norm_after, config->layer_norm_eps, hidden, tokens, size, normed);
    linear(&layer->intermediate, normed, tokens, size, mlp, inner);
    for (size_t i = 0; i < tokens * mlp; i++)
        inner[i] = activate(config->activation, inner[i]);
    linear(&layer->output, inner, tokens, mlp, size, out);
    add(hidden, out, count);
    free(normed);
    free(q);
    free(k);
    free(v);
    free(out);
    free(inner);
}

/* CLS and its position; then each patch's projection and its position. */
static void embed(const dvk_checkpoint *checkpoint, const float *pixels, size_t width, size_t height,
                  dvk_position_resize resize, double *hidden) {
    const dvk_vit_config *config = &checkpoint->config;
    size_t size = config->hidden_size, patch = config->patch_size, depth = 3 * patch * patch;
    size_t columns = width / patch, rows = height / patch;
    float *stored = malloc(checkpoint->position_embeddings->elements * sizeof(float));
    float *positions = malloc((1 + rows * columns) * size * sizeof(float));
    double *cls = load(checkpoint->cls_token), *flat = allocate(rows * columns * depth);
    if (!stored || !positions)
        abort();
    dvk_tensor_to_float(checkpoint->position_embeddings, 0, checkpoint->position_embeddings->elements, stored);
    memcpy(positions, stored, size * sizeof(float));
    if (dvk_interpolate_positions(stored + size, config->grid_height, config->grid_width, (uint32_t)rows,
                                  (uint32_t)columns, (uint32_t)size, resize, positions + size, NULL) != DVK_OK)
        abort();
    for (size_t p = 0; p < rows * columns; p++)
        for (size_t i = 0; i < depth; i++) {
            size_t channel = i / (patch * patch), y = i / patch % patch, x = i % patch;
            y += p / columns * patch;
            x += p % columns * patch;
            flat[p * depth + i] = pixels[(channel * height + y) * width + x];
        }
    memcpy(hidden, cls, size * sizeof(*hidden));
    linear(&checkpoint->patch_projection, flat, rows * columns, depth, size, hidden + size);
    for (size_t i = 0; i < (1 + rows * columns) * size; i++)
        hidden[i] += positions[i];
    free(stored);
    free(positions);
    free(cls);
    free(flat);
}

void reference_vit_run(const dvk_checkpoint *checkpoint, const float *pixels, uint32_t width, uint32_t height,
                       dvk_position_resize resize, reference_vit *result) {
    const dvk_vit_config *config = &checkpoint->config;
    size_t size = config->hidden_size,
           tokens = 1 + (size_t)(width / config->patch_size) * (height / config->patch_size);
    double *hidden = allocate(tokens * size);
    result->tokens = (uint32_t)tokens;
    result->size = config->hidden_size;
    result->heads = config->heads;
    result->attention = allocate(config->heads * tokens);
    result->last_hidden_state = allocate(tokens * size);
    result->pooler_output = NULL;
    embed(checkpoint, pixels, width, height, resize, hidden);
    for (uint32_t i = 0; i < config->layers; i++)
        encoder_layer(config, &checkpoint->layers[i], tokens, hidden, result->attention);
    layer_norm(&checkpoint->final_norm, config->layer_norm_eps, hidden, tokens, size, result->last_hidden_state);
    if (checkpoint->pooler.weight) {
        result->pooler_output = allocate(size);
        linear(&checkpoint->pooler, result->last_hidden_state, 1, size, size, result->pooler_output);
        for (size_t i = 0; i < size; i++)
            result->pooler_output[i] = tanh(result->pooler_output[i]);
    }
    free(hidden);
}

void reference_vit_free(reference_vit *result) {
    free(result->last_hidden_state);
    free(result->attention);
    free(result->pooler_output);
    memset(result, 0, sizeof(*result));
}
