#version 450
#extension GL_GOOGLE_include_directive : require
// Gram-Schmidt of four vectors, each twice (Parlett, "The Symmetric Eigenvalue Problem", 6.9: "twice is enough"), by
// one workgroup. A vector that vanishes becomes zero.

#define DVK_KERNEL_ORTHONORMALISE
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    vec4 values[];
};
layout(set = 0, binding = 1) buffer Output {
    vec4 basis[]; // a mean before it, four columns a word
};

shared vec4 partial[MAX_LOCAL_SIZE];

// The sum over the workgroup, the same for all.
vec4 sum_over_lanes(vec4 value) {
    barrier();
    partial[lane()] = value;
    barrier();
    vec4 sum = vec4(0.0);
    for (uint i = 0; i < LOCAL_SIZE; i++)
        sum += partial[i];
    return sum;
}

void main() {
    if (linear_group() >= push.group_end)
        return;
    uint first = push.columns / 4;
    // Lanes come back only to what they wrote themselves.
    for (uint i = lane(); i < push.columns; i += LOCAL_SIZE)
        basis[first + i] = values[i];
    for (uint k = 0; k < 4; k++) {
        float before = 0.0, after = 0.0;
        for (uint pass = 0; pass < 2; pass++) {
            vec4 products = vec4(0.0);
            for (uint i = lane(); i < push.columns; i += LOCAL_SIZE)
                products += basis[first + i] * basis[first + i][k];
            products = sum_over_lanes(products);
            if (pass == 0)
                before = products[k];
            for (uint l = 0; l < 4; l++) { // the earlier ones are of length 1, or zero
                if (l >= k)
                    products[l] = 0.0;
            }
            for (uint i = lane(); i < push.columns; i += LOCAL_SIZE)
                basis[first + i][k] -= dot(products, basis[first + i]);
        }
        vec4 square = vec4(0.0);
        for (uint i = lane(); i < push.columns; i += LOCAL_SIZE)
            square.x += basis[first + i][k] * basis[first + i][k];
        after = sum_over_lanes(square).x;
        float scale = after > 1e-10 * before && after > 0.0 ? inversesqrt(after) : 0.0;
        for (uint i = lane(); i < push.columns; i += LOCAL_SIZE)
            basis[first + i][k] *= scale;
    }
}
