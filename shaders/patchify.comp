#version 450
#extension GL_GOOGLE_include_directive : require
// Pixels to rows of patches, one vec4 an invocation: what turns the patch embedding's convolution into a matmul.

#define DVK_KERNEL_PATCHIFY
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    float pixels[];
};
layout(set = 0, binding = 1) writeonly buffer Output {
    vec4 patches[];
};

float pixel(uint image, uint patch_y, uint patch_x, uint column) {
    uint area = push.patch_size * push.patch_size;
    uint channel = column / area;
    uint y = patch_y * push.patch_size + column % area / push.patch_size;
    uint x = patch_x * push.patch_size + column % push.patch_size;
    if (channel >= 3)
        return 0.0;
    return pixels[((image * 3 + channel) * push.height + y) * push.width + x];
}

void main() {
    uint group = linear_group();
    uint columns4 = push.depth / 4;
    uint index = group * LOCAL_SIZE + lane();
    if (group >= push.group_end || index >= push.rows * columns4)
        return;
    uint row = index / columns4;
    uint column = index % columns4 * 4;
    uint image = row / push.tokens;
    uint token = row % push.tokens;

    vec4 value = vec4(0.0);
    if (token >= push.prefix) {
        uint y = (token - push.prefix) / push.grid_width;
        uint x = (token - push.prefix) % push.grid_width;
        value = vec4(pixel(image, y, x, column), pixel(image, y, x, column + 1), pixel(image, y, x, column + 2),
                     pixel(image, y, x, column + 3));
    }
    patches[index] = value;
}
