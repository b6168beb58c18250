#version 450
#extension GL_GOOGLE_include_directive : require
// An output into a buffer of the host's.

#define DVK_KERNEL_COPY
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    float values[];
};
layout(set = 0, binding = 1) writeonly buffer Output {
    float result[];
};

void main() {
    uint index = linear_group() * LOCAL_SIZE + lane();
    if (linear_group() >= push.group_end || index >= push.images * push.count)
        return;
    result[index] = values[push.first + index / push.count * push.stride + index % push.count];
}
