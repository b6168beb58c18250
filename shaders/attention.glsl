// The buffers of the attention kernels and where a workgroup's queries lie.

#define DVK_KERNEL_ATTENTION
#include "common.glsl"
#include "math.glsl"
#include "words.glsl"

layout(constant_id = 18) const uint HEAD_DIM = 64;

layout(set = 0, binding = 0) readonly buffer Query {
    FOUR_FLOATS q[];
};
layout(set = 0, binding = 1) readonly buffer Key {
    FOUR_FLOATS k[];
};
layout(set = 0, binding = 2) readonly buffer Value {
#ifdef DVK_VALUE_PAIRS
    vec2 v[];
#else
    FOUR_FLOATS v[];
#endif
};
layout(set = 0, binding = 3) writeonly buffer Output {
    vec4 result[];
};

const uint DIM4 = HEAD_DIM / 4;
