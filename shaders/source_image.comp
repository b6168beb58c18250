#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_samplerless_texture_functions : require
// From a sampled image of any format that is read as floats; a view in an sRGB format gives linear values.

#include "source.glsl"

layout(set = 0, binding = 0) uniform texture2D source;

vec3 texel(ivec2 place) {
    return texelFetch(source, place, 0).rgb;
}
