#version 450
#extension GL_GOOGLE_include_directive : require
// The CLS token's attention to each patch: of one head, or the mean of all. A picture of three equal channels.

#define DVK_KERNEL_ATTENTION_SCORES
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    float attention[];
};
layout(set = 0, binding = 1) writeonly buffer Output {
    vec4 scores[];
};

void main() {
    uint patch_index = linear_group() * LOCAL_SIZE + lane();
    if (linear_group() >= push.group_end || patch_index >= push.patches)
        return;
    float sum = 0.0;
    for (uint head = 0; head < push.heads; head++)
        sum += attention[push.first + head * push.stride + patch_index];
    scores[patch_index] = vec4(sum / float(push.heads));
}
