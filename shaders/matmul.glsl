// What all matmul kernels share: the buffers but the first, the kinds of weights, and the epilogue.
// DVK_WEIGHT chooses the weights: 0 float, 1 half, 2 signed byte. With DVK_WEIGHT_PAIRS they are half and come two by
// two; that kernel reads them itself.

#define DVK_KERNEL_MATMUL
#include "common.glsl"
#include "math.glsl"
#include "words.glsl"

layout(constant_id = 16) const uint ACTIVATION = 0;
layout(constant_id = 17) const uint RESIDUAL = 0;

const uint ACTIVATION_GELU = 1;
const uint ACTIVATION_GELU_TANH = 2;
const uint ACTIVATION_TANH = 3;
const uint ACTIVATION_QUICK_GELU = 4;
const uint ACTIVATION_SILU = 5;
const uint RESIDUAL_IN_PLACE = 1;
const uint RESIDUAL_TABLE = 2;
const uint RESIDUAL_MULTIPLY = 3;

layout(set = 0, binding = 2) readonly buffer Table {
    vec4 table[];
};
layout(set = 0, binding = 3) buffer Output {
    vec4 result[];
};

// Each kind of weights has three functions: weight(), the four at index k * w_stride / 4 + column / 4; and what is left
// to do to the sums of four columns: times scale(), plus bias().
#ifdef DVK_WEIGHT_PAIRS
layout(set = 0, binding = 1) readonly buffer Weights {
    uint w[]; // two halves
};

vec4 scale(uint column4) {
    return vec4(1.0);
}

vec4 bias(uint column4) {
    uint index = push.depth * (push.w_stride / 2) + 4 * column4;
    return uintBitsToFloat(uvec4(w[index], w[index + 1], w[index + 2], w[index + 3]));
}
#elif DVK_WEIGHT == 1
layout(set = 0, binding = 1) readonly buffer Weights {
    TWO_WORDS w[];
};

vec4 weight(uint index) {
    uvec2 halves = unpack_two(w[index]);
    return vec4(unpackHalf2x16(halves.x), unpackHalf2x16(halves.y));
}

vec4 scale(uint column4) {
    return vec4(1.0);
}

vec4 bias(uint column4) {
    uint index = push.depth * (push.w_stride / 4) + 2 * column4;
    return uintBitsToFloat(uvec4(unpack_two(w[index]), unpack_two(w[index + 1])));
}
#elif DVK_WEIGHT == 2
layout(set = 0, binding = 1) readonly buffer Weights {
    uint w[];
};

vec4 weight(uint index) {
    int bytes = int(w[index]);
    return vec4(ivec4(bytes << 24, bytes << 16, bytes << 8, bytes) >> 24);
}

vec4 four_floats(uint index) {
    return uintBitsToFloat(uvec4(w[index], w[index + 1], w[index + 2], w[index + 3]));
}

// It is common to a column, so it multiplies the sum.
vec4 scale(uint column4) {
    return four_floats(push.depth * (push.w_stride / 4) + 4 * column4);
}

vec4 bias(uint column4) {
    return four_floats(push.depth * (push.w_stride / 4) + push.w_stride + 4 * column4);
}
#else
layout(set = 0, binding = 1) readonly buffer Weights {
    FOUR_FLOATS w[];
};

vec4 weight(uint index) {
    return unpack_four(w[index]);
}

vec4 scale(uint column4) {
    return vec4(1.0);
}

vec4 bias(uint column4) {
    return unpack_four(w[push.depth * (push.w_stride / 4) + column4]);
}
#endif

float activate(float x) {
    if (ACTIVATION == ACTIVATION_GELU)
        return 0.5 * x * (1.0 + erf(x * 0.707106781));
    if (ACTIVATION == ACTIVATION_GELU_TANH)
        return 0.5 * x * (1.0 + tanh_accurate(0.797884561 * (x + 0.044715 * x * x * x)));
    if (ACTIVATION == ACTIVATION_TANH)
        return tanh_accurate(x);
    if (ACTIVATION == ACTIVATION_QUICK_GELU)
        return x / (1.0 + exp_accurate(-1.702 * x));
    if (ACTIVATION == ACTIVATION_SILU)
        return x / (1.0 + exp_accurate(-x));
    return x;
}

// Where the four results of row 0 and the columns from 4 * column4 go, in vec4; other rows are out_stride apart.
uint first_result(uint column4) {
    uint columns4 = push.plane_columns / 4;
    uint plane = column4 / columns4;
    return plane * (push.plane_stride / 4) + column4 - plane * columns4;
}

// Finishes four sums and stores them; `first` is first_result(column4), `factor` and `addend` are scale() and bias(),
// so that the columns' own work can be done once for many rows. The caller has checked row and column.
void store_finished(uint row, uint column4, uint first, vec4 sum, vec4 factor, vec4 addend) {
    vec4 value = sum * factor + addend;
    value = vec4(activate(value.x), activate(value.y), activate(value.z), activate(value.w));

    uint index = first + row * (push.out_stride / 4);
    if (RESIDUAL == RESIDUAL_IN_PLACE)
        value += result[index];
    if (RESIDUAL == RESIDUAL_MULTIPLY)
        value *= result[index];
    if (RESIDUAL == RESIDUAL_TABLE)
        value += table[(push.first_row + row) % push.table_rows * (push.out_stride / 4) + column4];
    result[index] = value;
}

void store(uint row, uint column4, vec4 sum) {
    uint weights4 = push.first_column / 4 + column4;
    store_finished(row, column4, first_result(column4), sum, scale(weights4), bias(weights4));
}
