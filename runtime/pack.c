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
    static const size_t bytes[] = {[DVK_WEIGHT_FP32] = 4, [DVK_WEIGHT_FP16] = 2, [DVK_WEIGHT_INT8] = 1};
    return dvk_matrix_stride(matrix) * bytes[matrix->type];
}

size_t dvk_matrix_bias_bytes(const dvk_matrix *matrix) {
    return (size_t)dvk_matrix_stride(matrix) * 4;
}

uint64_t dvk_matrix_bytes(const dvk_matrix *matrix) {
    uint32_t float_rows = matrix->type == DVK_WEIGHT_INT8 ? 2 : 1;
    return (uint64_t)dvk_matrix_row_bytes(matrix) * dvk_matrix_depth(matrix) +
           float_rows * dvk_matrix_bias_bytes(matrix);
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

void dvk_pack_scales(const dvk_matrix *matrix, float *scratch, float *scales) {
    memset(scales, 0, dvk_matrix_bias_bytes(matrix));
    for (uint32_t part = 0; part < matrix->count; part++)
        for (uint32_t output = 0; output < matrix->outputs; output++) {
            float largest = 0;
            for (uint32_t row = 0; row < matrix->inputs; row += DVK_PACK_ROWS) {
                uint32_t rows = matrix->inputs - row < DVK_PACK_ROWS ? matrix->inputs - row : DVK_PACK_ROWS;
                dvk_tensor_to_float(matrix->weights[part], (uint64_t)output * matrix->inputs + row, rows, scratch);
                for (uint32_t i = 0; i < rows; i++)
                    largest = fmaxf(largest, fabsf(scratch[i])); /* a NaN is passed over here and refused later */
            }
            scales[(size_t)part * matrix->outputs + output] = largest * matrix->scales[part] / 127;
        }
}

static int8_t quantise(float value, float scale) {
    return scale > 0 ? (int8_t)lrintf(fmaxf(-127, fminf(127, value / scale))) : 0;
}

dvk_result dvk_pack_rows(const dvk_matrix *matrix, uint32_t first_row, uint32_t rows, float *scratch,
                         const float *scales, void *packed, dvk_error *error) {
    uint32_t stride = dvk_matrix_stride(matrix);
    bool half = matrix->type == DVK_WEIGHT_FP16;
    /* Half the largest step beyond 65504 still rounds to it. */
    float limit = half ? 65519.996f : INFINITY;
    float *floats = packed;
    uint16_t *halves = packed;
    int8_t *bytes = packed;
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
                else if (matrix->type == DVK_WEIGHT_INT8)
                    bytes[(size_t)row * stride + column] = quantise(value, scales[column]);
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
