#version 450
#extension GL_GOOGLE_include_directive : require
// Rayleigh-Ritz: turns scores within their block of four so that the first has the largest variance, and so on; each
// direction with the sign that makes its largest component positive. One workgroup; cyclic Jacobi on a matrix of 4 x 4.

#define DVK_KERNEL_ALIGN
#include "common.glsl"

layout(set = 0, binding = 0) readonly buffer Basis {
    vec4 basis[]; // a mean before it, four columns a word
};
layout(set = 0, binding = 1) buffer Scores {
    vec4 scores[];
};

shared vec4 partial[MAX_LOCAL_SIZE];

vec4 sum_over_lanes(vec4 value) {
    barrier();
    partial[lane()] = value;
    barrier();
    vec4 sum = vec4(0.0);
    for (uint i = 0; i < LOCAL_SIZE; i++)
        sum += partial[i];
    return sum;
}

// Of each component the one furthest from zero, over the workgroup.
vec4 furthest_over_lanes(vec4 value) {
    barrier();
    partial[lane()] = value;
    barrier();
    vec4 furthest = vec4(0.0);
    for (uint i = 0; i < LOCAL_SIZE; i++)
        furthest = mix(furthest, partial[i], greaterThan(abs(partial[i]), abs(furthest)));
    return furthest;
}

void turn(inout mat4 matrix, inout mat4 vectors, int p, int q) {
    if (matrix[p][q] == 0.0)
        return;
    float theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
    float t = (theta >= 0.0 ? 1.0 : -1.0) / (abs(theta) + sqrt(theta * theta + 1.0));
    float c = inversesqrt(t * t + 1.0);
    mat4 rotation = mat4(1.0);
    rotation[p][p] = c;
    rotation[q][q] = c;
    rotation[p][q] = -t * c;
    rotation[q][p] = t * c;
    matrix = transpose(rotation) * matrix * rotation;
    matrix[p][q] = 0.0;
    matrix[q][p] = 0.0;
    vectors = vectors * rotation;
}

void main() {
    if (linear_group() >= push.group_end)
        return;
    mat4 matrix = mat4(0.0), vectors = mat4(1.0);
    for (int column = 0; column < 4; column++) {
        vec4 sum = vec4(0.0);
        for (uint i = lane(); i < push.tokens; i += LOCAL_SIZE)
            sum += scores[i] * scores[i][column];
        matrix[column] = sum_over_lanes(sum);
    }
    for (int sweep = 0; sweep < 8; sweep++) {
        for (int p = 0; p < 3; p++) {
            for (int q = p + 1; q < 4; q++)
                turn(matrix, vectors, p, q);
        }
    }
    for (int i = 0; i < 3; i++) { // the largest variance first
        for (int j = 0; j < 3 - i; j++) {
            if (matrix[j][j] < matrix[j + 1][j + 1]) {
                float variance = matrix[j][j];
                matrix[j][j] = matrix[j + 1][j + 1];
                matrix[j + 1][j + 1] = variance;
                vec4 vector = vectors[j];
                vectors[j] = vectors[j + 1];
                vectors[j + 1] = vector;
            }
        }
    }
    vec4 furthest = vec4(0.0);
    for (uint i = lane(); i < push.columns; i += LOCAL_SIZE) {
        vec4 component = basis[push.columns / 4 + i] * vectors;
        furthest = mix(furthest, component, greaterThan(abs(component), abs(furthest)));
    }
    furthest = furthest_over_lanes(furthest);
    vec4 signs = mix(vec4(1.0), vec4(-1.0), lessThan(furthest, vec4(0.0)));
    for (uint i = lane(); i < push.tokens; i += LOCAL_SIZE)
        scores[i] = scores[i] * vectors * signs;
}
