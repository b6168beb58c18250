#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "ceiling.glsl"

// Two halves at once, as the instructions of most GPUs take them.
void main() {
    f16vec2 x[CHAINS];
    f16vec2 term = f16vec2(float16_t(push.term));
    [[unroll]] for (uint c = 0; c < CHAINS; c++) x[c] = f16vec2(float16_t(start(2 * c)), float16_t(start(2 * c + 1)));
    for (uint round = 0; round < push.rounds; round++)
        [[unroll]] for (uint step = 0; step < STEPS; step++) [[unroll]] for (uint c = 0; c < CHAINS; c++) x[c] =
            x[c] * x[c] + term;
    f16vec2 sum = f16vec2(0.0);
    [[unroll]] for (uint c = 0; c < CHAINS; c++) sum += x[c];
    result[gl_GlobalInvocationID.x] = float(sum.x + sum.y);
}
