// What the kernels that measure a device share: chains of multiply-adds that do not depend on each other, enough to
// hide the latency of an instruction and few enough to stay in registers; CHAINS is tried out on the device. Every link
// is x = x * x + term, which takes one register beside the chains. term comes from outside, so nothing can be folded;
// with 0.2, and from starts between 0 and 0.5, every x tends to 0.28: no infinity, no denormal.

#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint CHAINS = 8;
const uint STEPS = 32; // of a round, so that the loop costs little; also in ceilings.c

layout(set = 0, binding = 0) writeonly buffer Output {
    float result[];
};

layout(push_constant) uniform Push {
    float term;
    uint rounds;
}
push;

float start(uint chain) {
    return float((gl_GlobalInvocationID.x + chain) % 32) / 64.0;
}
