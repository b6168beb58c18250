#version 450
#extension GL_GOOGLE_include_directive : require
// The second pass of the preprocessing: to normalised planes.

#define DVK_KERNEL_RESAMPLE
#include "common.glsl"
#include "resample.glsl"

layout(set = 0, binding = 0) readonly buffer Between {
    uint between[];
};
layout(set = 0, binding = 2) writeonly buffer Output {
    float pixels[];
};

uint index_of(ivec2 place) {
    return uint(place.y) * push.in_width + uint(place.x);
}

ivec3 level(ivec2 place) {
    uint packed = between[index_of(place)];
    return ivec3(packed & 255, packed >> 8 & 255, packed >> 16);
}

vec3 value(ivec2 place) {
    uint first = 3 * index_of(place);
    return uintBitsToFloat(uvec3(between[first], between[first + 1], between[first + 2]));
}

void main() {
    uint index = linear_group() * LOCAL_SIZE + lane(), count = push.width * push.height;
    if (linear_group() >= push.group_end || index >= count)
        return;
    taps t = taps_of(index % push.width, index / push.width);
    vec3 normalised;
    if (push.floats != 0) {
        vec3 mean = vec3(push.mean[0], push.mean[1], push.mean[2]);
        vec3 deviation = vec3(push.deviation[0], push.deviation[1], push.deviation[2]);
        normalised = (sum_of_values(t) * push.scale - mean) / deviation;
    } else {
        ivec3 sum = sum_of_levels(t) + DVK_RESIZE_LEVELS + ivec3(0, 256, 512);
        normalised = uintBitsToFloat(uvec3(table[sum.r], table[sum.g], table[sum.b]));
    }
    uint target = push.out_first + index;
    pixels[target] = normalised.r;
    pixels[target + count] = normalised.g;
    pixels[target + 2 * count] = normalised.b;
}
