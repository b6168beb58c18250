#version 450
#extension GL_GOOGLE_include_directive : require
#include "ceiling.glsl"

void main() {
    float x[CHAINS];
    [[unroll]] for (uint c = 0; c < CHAINS; c++) x[c] = start(c);
    // Not fma(): where a driver has no such instruction it must imitate one exactly.
    for (uint round = 0; round < push.rounds; round++)
        [[unroll]] for (uint step = 0; step < STEPS; step++) [[unroll]] for (uint c = 0; c < CHAINS; c++) x[c] =
            x[c] * x[c] + push.term;
    float sum = 0.0;
    [[unroll]] for (uint c = 0; c < CHAINS; c++) sum += x[c];
    result[gl_GlobalInvocationID.x] = sum;
}
