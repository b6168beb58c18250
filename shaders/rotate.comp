#version 450
#extension GL_GOOGLE_include_directive : require
// Rotary positions (Su et al., "RoFormer", 2021) of the patch tokens' queries or keys, four pairs an invocation.

#define DVK_KERNEL_ROTATE
#include "common.glsl"

layout(set = 0, binding = 0) buffer Rows {
    vec4 x[];
};
layout(set = 0, binding = 1) readonly buffer Table {
    vec4 table[]; // of each patch: cosines, then sines
};

void main() {
    uint group = linear_group();
    uint half4 = push.head_dim / 8; // vec4s of half a head
    uint patches = push.tokens - push.prefix;
    uint index = group * LOCAL_SIZE + lane();
    if (group >= push.group_end || index >= push.images * patches * push.heads * half4)
        return;
    uint i = index % half4;
    uint head = index / half4 % push.heads;
    uint patch_index = index / half4 / push.heads % patches;
    uint image = index / half4 / push.heads / patches;

    uint angle = patch_index * 2 * half4 + i;
    vec4 cosine = table[angle];
    vec4 sine = table[angle + half4];
    uint first = (image * push.tokens + push.prefix + patch_index) * (push.row_stride / 4) + head * 2 * half4 + i;
    vec4 a = x[first];
    vec4 b = x[first + half4];
    x[first] = a * cosine - b * sine;
    x[first + half4] = b * cosine + a * sine;
}
