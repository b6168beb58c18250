#version 450
#extension GL_GOOGLE_include_directive : require
// The mean of an image's patch tokens, one vec4 column an invocation.

#define DVK_KERNEL_MEAN
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    vec4 values[];
};
layout(set = 0, binding = 1) writeonly buffer Output {
    vec4 result[];
};

// Sums of sums: the rounding error grows with BLOCK + tokens / BLOCK, not with tokens.
const uint BLOCK = 64;

void main() {
    uint group = linear_group();
    uint columns4 = push.columns / 4;
    uint column_blocks = divide_up(columns4, LOCAL_SIZE);
    uint image = group / column_blocks;
    uint column4 = group % column_blocks * LOCAL_SIZE + lane();
    if (group >= push.group_end || column4 >= columns4)
        return;

    vec4 sum = vec4(0.0);
    for (uint first = push.first; first < push.tokens; first += BLOCK) {
        vec4 block = vec4(0.0);
        for (uint token = first; token < min(first + BLOCK, push.tokens); token++)
            block += values[(image * push.tokens + token) * columns4 + column4];
        sum += block;
    }
    result[image * columns4 + column4] = sum / float(push.tokens - push.first);
}
