#version 450
#extension GL_GOOGLE_include_directive : require
// Patch tokens as an array of images as large as the grid, four columns a layer. DVK_FORMAT is the image's.

#define DVK_KERNEL_FEATURES
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    vec4 values[];
};
layout(set = 0, binding = 1, DVK_FORMAT) uniform writeonly image2DArray features;

void main() {
    uint index = linear_group() * LOCAL_SIZE + lane(), columns4 = push.columns / 4;
    if (linear_group() >= push.group_end || index >= push.patches * columns4)
        return;
    uint token = index / columns4, layer = index % columns4;
    imageStore(features, ivec3(token % push.grid_width, token / push.grid_width, layer),
               values[push.first / 4 + index]);
}
