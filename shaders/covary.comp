#version 450
#extension GL_GOOGLE_include_directive : require
// The covariance of tokens times a block of four vectors, given the tokens' products with these: never the matrix
// itself. A workgroup has some columns; SLICES lanes share each, and every one takes its part of the tokens.

#define DVK_KERNEL_COVARY
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    float values[];
};
layout(set = 0, binding = 1) readonly buffer Mean {
    float mean[];
};
layout(set = 0, binding = 2) readonly buffer Scores {
    vec4 scores[];
};
layout(set = 0, binding = 3) writeonly buffer Output {
    vec4 result[];
};

const uint SLICES = 8;

shared vec4 partial[MAX_LOCAL_SIZE];

void main() {
    uint columns = LOCAL_SIZE / SLICES;
    uint column = linear_group() * columns + lane() % columns, slice = lane() / columns;
    vec4 sum = vec4(0.0);
    if (linear_group() < push.group_end && column < push.columns)
        for (uint token = slice; token < push.tokens; token += SLICES)
            sum += (values[push.first + token * push.columns + column] - mean[column]) * scores[token];
    partial[lane()] = sum;
    barrier();
    if (slice != 0 || linear_group() >= push.group_end || column >= push.columns)
        return;
    for (uint i = 1; i < SLICES; i++)
        sum += partial[lane() + i * columns];
    result[column] = sum;
}
