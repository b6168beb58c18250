#version 450
#extension GL_GOOGLE_include_directive : require
// Scores of patches as an image: from their spread to 0..1, and scaled. DVK_FORMAT is the image's.

#define DVK_KERNEL_PICTURE
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    vec4 scores[];
};
layout(set = 0, binding = 1) readonly buffer Spread {
    vec2 spread[];
};
layout(set = 0, binding = 2, DVK_FORMAT) uniform writeonly image2D picture;

vec4 score(ivec2 place) {
    place = clamp(place, ivec2(0), ivec2(push.grid_width, push.grid_height) - 1);
    return scores[uint(place.y) * push.grid_width + uint(place.x)];
}

void main() {
    uint index = linear_group() * LOCAL_SIZE + lane();
    if (linear_group() >= push.group_end || index >= push.width * push.height)
        return;
    uvec2 size = uvec2(push.width, push.height), grid = uvec2(push.grid_width, push.grid_height);
    uvec2 place = uvec2(index % push.width, index / push.width);
    vec3 value;
    if (push.bilinear != 0) {
        vec2 at = (vec2(place) + 0.5) * vec2(grid) / vec2(size) - 0.5;
        ivec2 first = ivec2(floor(at));
        vec2 part = at - vec2(first);
        value = mix(mix(score(first), score(first + ivec2(1, 0)), part.x),
                    mix(score(first + ivec2(0, 1)), score(first + ivec2(1, 1)), part.x), part.y)
                    .rgb;
    } else {
        value = score(ivec2(place * grid / size)).rgb;
    }
    for (int c = 0; c < 3; c++) {
        float range = spread[c].y - spread[c].x;
        value[c] = range > 0.0 ? clamp((value[c] - spread[c].x) / range, 0.0, 1.0) : push.flat_value;
    }
    imageStore(picture, ivec2(place), vec4(value, 1.0));
}
