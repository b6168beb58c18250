// The buffers of the layernorm kernels.

#define DVK_KERNEL_LAYERNORM
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    vec4 values[];
};
layout(set = 0, binding = 1) readonly buffer Parameters {
    vec4 parameters[]; // weight, then bias
};
layout(set = 0, binding = 2) writeonly buffer Output {
    vec4 result[];
};
