#version 450
#extension GL_EXT_control_flow_attributes : require
// How fast the device multiplies and adds fp32: chains that do not depend on each other, as many as hide the latency of
// an instruction and as few as stay in registers. factor and term come from outside, so nothing can be folded; with
// 0.5 and 1 every chain stays near 2, away from infinities and denormals.

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint CHAINS = 12;
const uint STEPS = 32; // of a round, so that the loop itself costs little

layout(set = 0, binding = 0) writeonly buffer Output {
    float result[];
};

layout(push_constant) uniform Push {
    float factor, term;
    uint rounds;
}
push;

void main() {
    float chain[CHAINS];
    [[unroll]] for (uint c = 0; c < CHAINS; c++)
        chain[c] = float(gl_LocalInvocationID.x + c);
    for (uint round = 0; round < push.rounds; round++)
        [[unroll]] for (uint step = 0; step < STEPS; step++)
            [[unroll]] for (uint c = 0; c < CHAINS; c++)
                chain[c] = fma(chain[c], push.factor, push.term);
    float sum = 0.0;
    [[unroll]] for (uint c = 0; c < CHAINS; c++)
        sum += chain[c];
    result[gl_GlobalInvocationID.x] = sum;
}
