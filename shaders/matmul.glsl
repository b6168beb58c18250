// What all matmul kernels share: the buffers but the first, the two kinds of weights, and the epilogue.
// DVK_WEIGHT chooses the weights: 0 float, 1 half, 2 signed byte. With DVK_WEIGHT_PAIRS they are half and come two by
// two.

#define DVK_KERNEL_MATMUL
#include "common.glsl"
#include "math.glsl"

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

#ifdef DVK_WEIGHT_PAIRS
layout(set = 0, binding = 1) readonly buffer Weights {
    uint w[]; // two halves
};

vec4 finish(vec4 sum, uint column4) {
    uint index = push.depth * (push.w_stride / 2) + 4 * column4;
    return sum + uintBitsToFloat(uvec4(w[index], w[index + 1], w[index + 2], w[index + 3]));
}
#elif DVK_WEIGHT == 1
layout(set = 0, binding = 1) readonly buffer Weights {
    uvec2 w[];
};

// Four weights; the index is k * w_stride / 4 + column / 4.
vec4 weight(uint index) {
    uvec2 halves = w[index];
    return vec4(unpackHalf2x16(halves.x), unpackHalf2x16(halves.y));
}

vec4 finish(vec4 sum, uint column4) {
    uint index = push.depth * (push.w_stride / 4) + 2 * column4;
    return sum + uintBitsToFloat(uvec4(w[index], w[index + 1]));
}
#elif DVK_WEIGHT == 2
layout(set = 0, binding = 1) readonly buffer Weights {
    uint w[];
};

// The scale is common to a column, so it multiplies the sum.
vec4 weight(uint index) {
    int bytes = int(w[index]);
    return vec4(ivec4(bytes << 24, bytes << 16, bytes << 8, bytes) >> 24);
}

vec4 four_floats(uint index) {
    return uintBitsToFloat(uvec4(w[index], w[index + 1], w[index + 2], w[index + 3]));
}

vec4 finish(vec4 sum, uint column4) {
    uint index = push.depth * (push.w_stride / 4) + 4 * column4;
    return sum * four_floats(index) + four_floats(index + push.w_stride);
}
#else
layout(set = 0, binding = 1) readonly buffer Weights {
    vec4 w[];
};

vec4 weight(uint index) {
    return w[index];
}

// What is left to do to a sum: the bias of its four columns.
vec4 finish(vec4 sum, uint column4) {
    return sum + w[push.depth * (push.w_stride / 4) + column4];
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

// Stores the four products at `row` and the columns from 4 * column4; the caller has checked both.
void store(uint row, uint column4, vec4 sum) {
    vec4 value = finish(sum, push.first_column / 4 + column4);
    value = vec4(activate(value.x), activate(value.y), activate(value.z), activate(value.w));

    uint columns4 = push.plane_columns / 4;
    uint plane = column4 / columns4;
    uint index = (plane * push.plane_stride + row * push.out_stride) / 4 + column4 - plane * columns4;
    if (RESIDUAL == RESIDUAL_IN_PLACE)
        value += result[index];
    if (RESIDUAL == RESIDUAL_MULTIPLY)
        value *= result[index];
    if (RESIDUAL == RESIDUAL_TABLE)
        value += table[(push.first_row + row) % push.table_rows * (push.out_stride / 4) + column4];
    result[index] = value;
}
