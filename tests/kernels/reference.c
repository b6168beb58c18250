#include "reference.h"

#include <math.h>
#include <stdlib.h>

double reference_activation(dvk_activation activation, double x) {
    const double sqrt_half = 0.70710678118654752440, sqrt_2_over_pi = 0.79788456080286535588;
    switch (activation) {
    case DVK_ACTIVATION_NONE:
        return x;
    case DVK_ACTIVATION_GELU:
        return 0.5 * x * (1.0 + erf(x * sqrt_half));
    case DVK_ACTIVATION_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(sqrt_2_over_pi * (x + 0.044715 * x * x * x)));
    case DVK_ACTIVATION_TANH:
        return tanh(x);
    case DVK_ACTIVATION_QUICK_GELU:
        return x / (1.0 + exp(-1.702 * x));
    case DVK_ACTIVATION_SILU:
        return x / (1.0 + exp(-x));
    }
    return NAN;
}

void reference_patchify(const dvk_push_patchify *push, const double *pixels, double *patches) {
    const uint32_t size = push->patch_size;
    for (uint32_t row = 0; row < push->rows; row++) {
        double *patch = patches + (size_t)row * push->depth;
        uint32_t image = row / push->tokens, token = row % push->tokens;
        for (uint32_t column = 0; column < push->depth; column++)
            patch[column] = 0.0;
        if (token < push->prefix)
            continue;
        uint32_t place = token - push->prefix;
        uint32_t top = place / push->grid_width * size, left = place % push->grid_width * size;
        for (uint32_t channel = 0; channel < 3; channel++)
            for (uint32_t y = 0; y < size; y++)
                for (uint32_t x = 0; x < size; x++)
                    patch[(channel * size + y) * size + x] =
                        pixels[(((size_t)image * 3 + channel) * push->height + top + y) * push->width + left + x];
    }
}

void reference_matmul(const dvk_push_matmul *push, dvk_activation activation, dvk_residual residual, const double *a,
                      const double *w, const double *table, double *out, double *bound) {
    double *sum = malloc(push->columns * sizeof(*sum)), *size = malloc(push->columns * sizeof(*size));
    if (!sum || !size)
        abort();
    const double *bias = w + (size_t)push->depth * push->w_stride + push->first_column;
    for (uint32_t r = 0; r < push->rows; r++) {
        for (uint32_t c = 0; c < push->columns; c++) {
            sum[c] = bias[c];
            size[c] = fabs(bias[c]);
        }
        for (uint32_t k = 0; k < push->depth; k++) {
            const double left = a[(size_t)r * push->a_stride + k];
            const double *row = w + (size_t)k * push->w_stride + push->first_column;
            for (uint32_t c = 0; c < push->columns; c++)
                sum[c] += left * row[c];
            if (bound)
                for (uint32_t c = 0; c < push->columns; c++)
                    size[c] += fabs(left * row[c]);
        }
        for (uint32_t c = 0; c < push->columns; c++) {
            size_t index = (size_t)(c / push->plane_columns) * push->plane_stride + (size_t)r * push->out_stride +
                           c % push->plane_columns;
            double before = 0.0;
            if (residual == DVK_RESIDUAL_IN_PLACE || residual == DVK_RESIDUAL_MULTIPLY)
                before = out[index];
            if (residual == DVK_RESIDUAL_TABLE)
                before = table[(size_t)((push->first_row + r) % push->table_rows) * push->out_stride + c];
            const double result = reference_activation(activation, sum[c]);
            const bool multiply = residual == DVK_RESIDUAL_MULTIPLY;
            out[index] = multiply ? before * result : before + result;
            if (bound)
                bound[index] = multiply ? size[c] * fabs(before) : size[c] + fabs(before);
        }
    }
    free(sum);
    free(size);
}

void reference_layernorm(const dvk_push_layernorm *push, const double *in, const double *parameters, double *out) {
    const uint32_t n = push->columns;
    for (uint32_t r = 0; r < push->rows; r++) {
        const double *x = in + (size_t)r * push->in_stride;
        double mean = 0.0, variance = 0.0;
        for (uint32_t c = 0; c < n; c++)
            mean += x[c] / n;
        for (uint32_t c = 0; c < n; c++)
            variance += (x[c] - mean) * (x[c] - mean) / n;
        double deviation = sqrt(variance + (double)push->epsilon);
        for (uint32_t c = 0; c < n; c++)
            out[(size_t)r * n + c] = (x[c] - mean) / deviation * parameters[c] + parameters[n + c];
    }
}

/* weights[key] = softmax over the keys of query . key */
static void softmax_row(const double *query, const double *keys, uint32_t count, uint32_t stride, uint32_t head_dim,
                        double *weights) {
    double largest = -INFINITY, total = 0.0;
    for (uint32_t key = 0; key < count; key++) {
        weights[key] = 0.0;
        for (uint32_t d = 0; d < head_dim; d++)
            weights[key] += query[d] * keys[(size_t)key * stride + d];
        largest = fmax(largest, weights[key]);
    }
    for (uint32_t key = 0; key < count; key++) {
        weights[key] = exp(weights[key] - largest);
        total += weights[key];
    }
    for (uint32_t key = 0; key < count; key++)
        weights[key] /= total;
}

void reference_attention(const dvk_push_attention *push, uint32_t images, uint32_t head_dim, const double *q,
                         const double *k, const double *v, double *out) {
    double *weights = malloc(push->tokens * sizeof(*weights));
    if (!weights)
        abort();
    for (uint32_t i = 0; i < images * push->heads; i++) {
        const size_t image = i / push->heads, head = (size_t)(i % push->heads) * head_dim;
        const size_t base = image * push->tokens * push->row_stride + head;
        for (uint32_t query = 0; query < push->queries; query++) {
            size_t row = (image * push->queries + query) * push->row_stride + head;
            softmax_row(q + (image * push->query_step + query) * push->row_stride + head, k + base, push->tokens,
                        push->row_stride, head_dim, weights);
            for (uint32_t d = 0; d < head_dim; d++)
                out[row + d] = 0.0;
            for (uint32_t key = 0; key < push->tokens; key++)
                for (uint32_t d = 0; d < head_dim; d++)
                    out[row + d] += weights[key] * v[base + (size_t)key * push->row_stride + d];
        }
    }
    free(weights);
}

void reference_attention_row(const dvk_push_attention_row *push, uint32_t images, uint32_t head_dim, const double *q,
                             const double *k, double *out) {
    for (uint32_t i = 0; i < images * push->heads; i++) {
        size_t base =
            (size_t)(i / push->heads) * push->tokens * push->row_stride + (size_t)(i % push->heads) * head_dim;
        softmax_row(q + base, k + base, push->tokens, push->row_stride, head_dim, out + (size_t)i * push->tokens);
    }
}

void reference_mean(const dvk_push_mean *push, uint32_t images, const double *in, double *out) {
    const uint32_t n = push->columns;
    for (uint32_t image = 0; image < images; image++)
        for (uint32_t c = 0; c < n; c++) {
            double sum = 0.0;
            for (uint32_t token = push->first; token < push->tokens; token++)
                sum += in[((size_t)image * push->tokens + token) * n + c];
            out[(size_t)image * n + c] = sum / (push->tokens - push->first);
        }
}

void reference_rotate(const dvk_push_rotate *push, const double *table, double *x) {
    const uint32_t half = push->head_dim / 2;
    for (uint32_t image = 0; image < push->images; image++)
        for (uint32_t token = push->prefix; token < push->tokens; token++)
            for (uint32_t head = 0; head < push->heads; head++)
                for (uint32_t i = 0; i < half; i++) {
                    const double *angle = table + (size_t)(token - push->prefix) * push->head_dim + i;
                    double *pair =
                        x + ((size_t)image * push->tokens + token) * push->row_stride + head * push->head_dim + i;
                    const double a = pair[0], b = pair[half];
                    pair[0] = a * angle[0] - b * angle[half];
                    pair[half] = a * angle[half] + b * angle[0];
                }
}
