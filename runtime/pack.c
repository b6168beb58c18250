#include "pack.h"

#include <math.h>
#include <string.h>

/* So many zero columns that a 64-wide tile never reads beyond a row's end. */
enum { COLUMN_PADDING = 64 };

enum {
    LINE_BYTES = 64,
    /* A block's height by the bytes of a weight. Constants, for which compilers make better code of the turning. */
    FP32_ROWS = DVK_PACK_FLOATS / (LINE_BYTES / 4),
    FP16_ROWS = DVK_PACK_FLOATS / (LINE_BYTES / 2),
    INT8_ROWS = DVK_PACK_FLOATS / LINE_BYTES,
    COLUMNS_AHEAD = 4
};

uint32_t dvk_matrix_depth(const dvk_matrix *matrix) {
    return (matrix->parts[0]->inputs + 3) / 4 * 4;
}

uint32_t dvk_matrix_stride(const dvk_matrix *matrix) {
    return (matrix->parts[0]->outputs * matrix->count + COLUMN_PADDING - 1) / COLUMN_PADDING * COLUMN_PADDING;
}

static uint32_t weight_bytes(const dvk_matrix *matrix) {
    static const uint32_t bytes[] = {[DVK_WEIGHT_FP32] = 4, [DVK_WEIGHT_FP16] = 2, [DVK_WEIGHT_INT8] = 1};
    return bytes[matrix->type];
}

uint32_t dvk_matrix_block_rows(const dvk_matrix *matrix) {
    static const uint32_t rows[] = {
        [DVK_WEIGHT_FP32] = FP32_ROWS, [DVK_WEIGHT_FP16] = FP16_ROWS, [DVK_WEIGHT_INT8] = INT8_ROWS};
    return rows[matrix->type];
}

size_t dvk_matrix_row_bytes(const dvk_matrix *matrix) {
    return (size_t)dvk_matrix_stride(matrix) * weight_bytes(matrix);
}

size_t dvk_matrix_bias_bytes(const dvk_matrix *matrix) {
    return (size_t)dvk_matrix_stride(matrix) * 4;
}

uint64_t dvk_matrix_bytes(const dvk_matrix *matrix) {
    uint32_t float_rows = matrix->type == DVK_WEIGHT_INT8 ? 2 : 1;
    return (uint64_t)dvk_matrix_row_bytes(matrix) * dvk_matrix_depth(matrix) +
           float_rows * dvk_matrix_bias_bytes(matrix);
}

dvk_result dvk_refuse_value(const char *file, const dvk_tensor *tensor, uint64_t element, float value,
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

/* What the results of output `output` are multiplied with. */
static float scale_of(const dvk_linear *linear, float factor, uint32_t output) {
    float scale = 1;
    if (linear->scale)
        dvk_tensor_to_float(linear->scale, output, 1, &scale);
    return scale * factor;
}

void dvk_pack_scales(const dvk_matrix *matrix, float *scratch, float *scales) {
    const uint32_t inputs = matrix->parts[0]->inputs, outputs = matrix->parts[0]->outputs;
    memset(scales, 0, dvk_matrix_bias_bytes(matrix));
    for (uint32_t part = 0; part < matrix->count; part++) {
        const dvk_linear *linear = matrix->parts[part];
        const uint64_t row_length = linear->weight->elements / linear->weight->shape[0];
        for (uint32_t output = 0; output < outputs; output++) {
            const uint64_t first = (linear->first_output + (uint64_t)output) * row_length + linear->first_input;
            float largest = 0;
            for (uint32_t row = 0; row < inputs; row += DVK_PACK_FLOATS) {
                uint32_t rows = inputs - row < DVK_PACK_FLOATS ? inputs - row : DVK_PACK_FLOATS;
                dvk_tensor_to_float(linear->weight, first + row, rows, scratch);
                for (uint32_t i = 0; i < rows; i++) /* a NaN is passed over here and refused later */
                    largest = fabsf(scratch[i]) > largest ? fabsf(scratch[i]) : largest;
            }
            scales[(size_t)part * outputs + output] =
                largest * fabsf(scale_of(linear, matrix->factors[part], output)) / 127;
        }
    }
}

/* Adding and taking away 1.5 * 2^23 rounds what is far smaller to the nearest whole number, ties to even, as rintf()
 * does, but in a loop that compilers can vectorise. */
static int8_t quantise(float value, float scale) {
    const float steps = value / (scale > 0 ? scale : 1);
    const float clamped = steps > 127 ? 127 : steps < -127 ? -127 : steps;
    return scale > 0 ? (int8_t)(clamped + 0x1.8p23f - 0x1.8p23f) : 0;
}

/* Multiplies; false where a result is `limit` or more, or no number. */
static bool scale_values(float *values, uint32_t count, float scale, float limit) {
    int beyond = 0;
    for (uint32_t i = 0; i < count; i++) {
        values[i] *= scale;
        beyond |= !(fabsf(values[i]) < limit);
    }
    return !beyond;
}

/* The first element of those that scale_values() did not like. */
static dvk_result refuse_one_of(const dvk_matrix *matrix, const dvk_tensor *tensor, uint64_t first, uint32_t count,
                                float scale, float limit, dvk_error *error) {
    for (uint32_t i = 0; i < count; i++) {
        float value;
        dvk_tensor_to_float(tensor, first + i, 1, &value);
        if (!(fabsf(value * scale) < limit))
            return dvk_refuse_value(matrix->file, tensor, first + i, value, error);
    }
    return DVK_OK;
}

/* Asks for elements that are read soon: processors fetch ahead by themselves only within a page. */
static void prefetch(const dvk_tensor *tensor, uint64_t first, uint32_t count) {
#ifdef __GNUC__
    const size_t element = tensor->dtype == DVK_DTYPE_F32 ? 4 : 2;
    const uint8_t *bytes = (const uint8_t *)tensor->data + first * element;
    for (size_t at = 0; at < count * element; at += LINE_BYTES)
        __builtin_prefetch(bytes + at);
#else
    (void)tensor, (void)first, (void)count;
#endif
}

/* Elements first_row .. first_row + rows - 1 of `columns` outputs, scaled, as [columns][dvk_matrix_block_rows()]. */
static dvk_result read_columns(const dvk_matrix *matrix, uint32_t part, uint32_t first_output, uint32_t columns,
                               uint32_t first_row, uint32_t rows, float *scratch, dvk_error *error) {
    const dvk_linear *linear = matrix->parts[part];
    const uint64_t row_length = linear->weight->elements / linear->weight->shape[0];
    /* Half the largest step beyond 65504 still rounds to it. */
    const float limit = matrix->type == DVK_WEIGHT_FP16 ? 65519.996f : INFINITY;
    for (uint32_t i = 0; i < columns; i++) {
        const uint32_t output = first_output + i;
        const uint64_t first = (linear->first_output + (uint64_t)output) * row_length + linear->first_input + first_row;
        const float scale = scale_of(linear, matrix->factors[part], output);
        if (!isfinite(scale))
            return dvk_refuse_value(matrix->file, linear->scale, output, scale, error);
        float *values = scratch + (size_t)i * dvk_matrix_block_rows(matrix);
        if (output + COLUMNS_AHEAD < linear->outputs)
            prefetch(linear->weight, first + COLUMNS_AHEAD * row_length, rows);
        dvk_tensor_to_float(linear->weight, first, rows, values);
        if (!scale_values(values, rows, scale, limit))
            return refuse_one_of(matrix, linear->weight, first, rows, scale, limit, error);
    }
    return DVK_OK;
}

/* One row of [columns][dvk_matrix_block_rows()] as `columns` weights. */
static void write_row(dvk_weight_type type, const float *scratch, uint32_t columns, const float *scales,
                      uint8_t *packed) {
    if (type == DVK_WEIGHT_FP16)
        for (uint32_t i = 0; i < columns; i++)
            ((uint16_t *)packed)[i] = dvk_float_to_half(scratch[(size_t)i * FP16_ROWS]);
    else if (type == DVK_WEIGHT_INT8)
        for (uint32_t i = 0; i < columns; i++)
            ((int8_t *)packed)[i] = quantise(scratch[(size_t)i * INT8_ROWS], scales[i]);
    else
        for (uint32_t i = 0; i < columns; i++)
            ((float *)packed)[i] = scratch[(size_t)i * FP32_ROWS];
}

dvk_result dvk_pack_rows(const dvk_matrix *matrix, uint32_t first_row, uint32_t rows, float *scratch,
                         const float *scales, void *packed, dvk_error *error) {
    const size_t row_bytes = dvk_matrix_row_bytes(matrix), bytes = weight_bytes(matrix);
    const uint32_t inputs = matrix->parts[0]->inputs, outputs = matrix->parts[0]->outputs;
    const uint32_t line = LINE_BYTES / weight_bytes(matrix);
    const size_t used = bytes * outputs * matrix->count;
    uint32_t present = first_row < inputs ? inputs - first_row : 0;
    if (present > rows)
        present = rows;
    for (uint32_t part = 0; part < matrix->count; part++)
        for (uint32_t output = 0; output < outputs; output += line) {
            const uint32_t columns = outputs - output < line ? outputs - output : line;
            const size_t column = (size_t)part * outputs + output;
            dvk_result status = read_columns(matrix, part, output, columns, first_row, present, scratch, error);
            if (status != DVK_OK)
                return status;
            for (uint32_t row = 0; row < present; row++)
                write_row(matrix->type, scratch + row, columns, scales + column,
                          (uint8_t *)packed + row * row_bytes + column * bytes);
        }
    for (uint32_t row = 0; row < present; row++)
        memset((uint8_t *)packed + row * row_bytes + used, 0, row_bytes - used);
    memset((uint8_t *)packed + present * row_bytes, 0, (rows - present) * row_bytes);
    return DVK_OK;
}

dvk_result dvk_pack_bias(const dvk_matrix *matrix, float *packed, dvk_error *error) {
    memset(packed, 0, dvk_matrix_bias_bytes(matrix));
    const uint32_t outputs = matrix->parts[0]->outputs;
    for (uint32_t part = 0; part < matrix->count; part++) {
        const dvk_linear *linear = matrix->parts[part];
        if (!linear->bias)
            continue;
        float *values = packed + (size_t)part * outputs;
        dvk_tensor_to_float(linear->bias, linear->first_output, outputs, values);
        for (uint32_t i = 0; i < outputs; i++) {
            if (!isfinite(values[i]))
                return dvk_refuse_value(matrix->file, linear->bias, linear->first_output + (uint64_t)i, values[i],
                                        error);
            values[i] *= scale_of(linear, matrix->factors[part], i);
        }
    }
    return DVK_OK;
}

dvk_result dvk_unpack_tensor(const char *file, const dvk_tensor *tensor, float *values, dvk_error *error) {
    dvk_tensor_to_float(tensor, 0, tensor->elements, values);
    for (uint64_t i = 0; i < tensor->elements; i++)
        if (!isfinite(values[i]))
            return dvk_refuse_value(file, tensor, i, values[i], error);
    return DVK_OK;
}
