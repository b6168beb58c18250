#include "pack.h"

#include <math.h>
#include <string.h>

/* So many zero columns that a 64-wide tile never reads beyond a row's end. */
enum { COLUMN_PADDING = 64 };

uint32_t dvk_matrix_depth(const dvk_matrix *matrix) {
    return (matrix->inputs + 3) / 4 * 4;
}

uint32_t dvk_matrix_stride(const dvk_matrix *matrix) {
    return (matrix->outputs * matrix->count + COLUMN_PADDING - 1) / COLUMN_PADDING * COLUMN_PADDING;
}

size_t dvk_matrix_row_bytes(const dvk_matrix *matrix) {
    return (size_t)dvk_matrix_stride(matrix) * (matrix->type == DVK_WEIGHT_FP16 ? 2 : 4);
}

size_t dvk_matrix_bias_bytes(const dvk_matrix *matrix) {
    return (size_t)dvk_matrix_stride(matrix) * 4;
}

uint64_t dvk_matrix_bytes(const dvk_matrix *matrix) {
    return (uint64_t)dvk_matrix_row_bytes(matrix) * dvk_matrix_depth(matrix) + dvk_matrix_bias_bytes(matrix);
}

static dvk_result refuse_value(const char *file, const dvk_tensor *tensor, uint64_t element, float value,
                               dvk_error *error) {
    if (isfinite(value))
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: tensor %s holds %g at element %llu, beyond fp16's 65504: use fp32 precision", file,
                        tensor->name, (double)value, (unsigned long long)element);
    return dvk_fail(error, DVK_ERROR_BAD_FILE,
                    "%s: tensor %s holds %s at element %llu, weights must be finite: the checkpoint is damaged, fetch "
                    "or export it again",
                    file, tensor->name, isnan(value) ? "NaN" : "infinity", (unsigned long long)element);
}

dvk_result dvk_pack_rows(const dvk_matrix *matrix, uint32_t first_row, uint32_t rows, float *scratch, void *packed,
                         dvk_error *error) {
    uint32_t stride = dvk_matrix_stride(matrix);
    bool half = matrix->type == DVK_WEIGHT_FP16;
    /* Half the largest step beyond 65504 still rounds to it. */
    float limit = half ? 65519.996f : INFINITY;
    float *floats = packed;
    uint16_t *halves = packed;
    memset(packed, 0, dvk_matrix_row_bytes(matrix) * rows);
    uint32_t present = first_row < matrix->inputs ? matrix->inputs - first_row : 0;
    if (present > rows)
        present = rows;
    for (uint32_t part = 0; part < matrix->count; part++) {
        const dvk_tensor *tensor = matrix->weights[part];
        float scale = matrix->scales[part];
        for (uint32_t output = 0; output < matrix->outputs; output++) {
            uint64_t first = (uint64_t)output * matrix->inputs + first_row;
            size_t column = (size_t)part * matrix->outputs + output;
            dvk_tensor_to_float(tensor, first, present, scratch);
            for (uint32_t row = 0; row < present; row++) {
                float value = scratch[row] * scale;
                if (!(fabsf(value) < limit)) /* also NaN */
                    return refuse_value(matrix->file, tensor, first + row, scratch[row], error);
                if (half)
                    halves[(size_t)row * stride + column] = dvk_float_to_half(value);
                else
                    floats[(size_t)row * stride + column] = value;
            }
        }
    }
    return DVK_OK;
}

dvk_result dvk_pack_bias(const dvk_matrix *matrix, float *packed, dvk_error *error) {
    memset(packed, 0, dvk_matrix_bias_bytes(matrix));
    for (uint32_t part = 0; part < matrix->count; part++) {
        if (!matrix->biases[part])
            continue;
        float *values = packed + (size_t)part * matrix->outputs;
        dvk_result status = dvk_unpack_tensor(matrix->file, matrix->biases[part], values, error);
        if (status != DVK_OK)
            return status;
        for (uint32_t i = 0; i < matrix->outputs; i++)
            values[i] *= matrix->scales[part];
    }
    return DVK_OK;
}

dvk_result dvk_unpack_tensor(const char *file, const dvk_tensor *tensor, float *values, dvk_error *error) {
    dvk_tensor_to_float(tensor, 0, tensor->elements, values);
    for (uint64_t i = 0; i < tensor->elements; i++)
        if (!isfinite(values[i]))
            return refuse_value(file, tensor, i, values[i], error);
    return DVK_OK;
}
