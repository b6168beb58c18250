#version 450
#extension GL_GOOGLE_include_directive : require
// Two percentiles of the scores, linear between the two nearest ranks, one channel a workgroup. The value of a rank is
// found bit by bit, from the highest: it is the largest number that not more than `rank` scores are below.

#define DVK_KERNEL_SPREAD
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    vec4 scores[];
};
layout(set = 0, binding = 1) writeonly buffer Output {
    vec2 spread[]; // low, high
};

shared uint below[4];

// Unsigned integers in the order of the floats.
uint key_of(float value) {
    uint bits = floatBitsToUint(value);
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

float value_of(uint key) {
    return uintBitsToFloat((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key);
}

void main() {
    uint channel = linear_group();
    if (channel >= push.group_end)
        return;
    uvec4 rank = uvec4(push.low_rank, min(push.low_rank + 1, push.count - 1), push.high_rank,
                       min(push.high_rank + 1, push.count - 1));
    uvec4 key = uvec4(0);
    for (int bit = 31; bit >= 0; bit--) {
        if (lane() < 4)
            below[lane()] = 0;
        barrier();
        uvec4 candidate = key | uvec4(1u << bit);
        uvec4 count = uvec4(0);
        for (uint i = lane(); i < push.count; i += LOCAL_SIZE)
            count += uvec4(lessThan(uvec4(key_of(scores[i][channel])), candidate));
        for (int i = 0; i < 4; i++)
            atomicAdd(below[i], count[i]);
        barrier();
        for (int i = 0; i < 4; i++) {
            if (below[i] <= rank[i])
                key[i] = candidate[i];
        }
        barrier();
    }
    if (lane() == 0)
        spread[channel] = vec2(mix(value_of(key.x), value_of(key.y), push.low_fraction),
                               mix(value_of(key.z), value_of(key.w), push.high_fraction));
}
