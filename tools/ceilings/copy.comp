#version 450
// Reads one buffer and writes another, each invocation at steps of the whole grid.

layout(local_size_x_id = 0) in;

layout(set = 0, binding = 0) writeonly buffer Output {
    vec4 target[];
};
layout(set = 0, binding = 1) readonly buffer Input {
    vec4 source[];
};

layout(push_constant) uniform Push {
    uint count, step;
}
push;

void main() {
    for (uint i = gl_GlobalInvocationID.x; i < push.count; i += push.step)
        target[i] = source[i];
}
