#version 450
#extension GL_GOOGLE_include_directive : require
// Tokens in a basis of four vectors: one workgroup a token.

#define DVK_KERNEL_PROJECT
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    float values[];
};
layout(set = 0, binding = 1) readonly buffer Basis {
    vec4 basis[]; // the mean, four columns a word; then one for each column
};
layout(set = 0, binding = 2) writeonly buffer Output {
    vec4 scores[];
};

shared vec4 partial[MAX_LOCAL_SIZE];

void main() {
    uint token = linear_group();
    if (token >= push.group_end)
        return;
    uint columns4 = push.columns / 4;
    vec4 sum = vec4(0.0);
    for (uint i = lane(); i < push.columns; i += LOCAL_SIZE)
        sum += (values[push.first + token * push.columns + i] - basis[i / 4][i % 4]) * basis[columns4 + i];
    partial[lane()] = sum;
    barrier();
    if (lane() != 0)
        return;
    sum = vec4(0.0);
    for (uint i = 0; i < LOCAL_SIZE; i++)
        sum += partial[i];
    scores[token] = sum;
}
