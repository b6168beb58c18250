#version 450
#extension GL_GOOGLE_include_directive : require
// From a storage buffer: packed bytes or planes of floats.

#include "source.glsl"

layout(set = 0, binding = 0) readonly buffer Source {
    uint words[];
};

// dvk_source_kind
const uint RGBA8 = 2;
const uint BGRA8 = 3;
const uint RGB8 = 4;

float byte_at(uint place) {
    return float(words[place / 4] >> (place % 4 * 8) & 255) / 255.0;
}

vec3 texel(ivec2 place) {
    uint row = uint(place.y) * push.row_pitch;
    if (push.packing == RGBA8 || push.packing == BGRA8) {
        vec3 colour = unpackUnorm4x8(words[row / 4 + uint(place.x)]).rgb;
        return push.packing == BGRA8 ? colour.bgr : colour;
    }
    if (push.packing == RGB8) {
        uint first = row + 3 * uint(place.x);
        return vec3(byte_at(first), byte_at(first + 1), byte_at(first + 2));
    }
    uint first = row / 4 + uint(place.x), plane = push.plane_pitch / 4;
    return vec3(uintBitsToFloat(words[first]), uintBitsToFloat(words[first + plane]),
                uintBitsToFloat(words[first + 2 * plane]));
}
