#version 450
#extension GL_GOOGLE_include_directive : require
// Layernorm for software drivers: one invocation a row, no barrier. Two passes, mean first: the variance of centred
// values does not cancel.

#include "layernorm.glsl"

void main() {
    uint group = linear_group();
    uint row = group * LOCAL_SIZE + lane();
    if (group >= push.group_end || row >= push.rows)
        return;
    uint columns4 = push.columns / 4;
    uint base = row * (push.in_stride / 4);

    vec4 sum = vec4(0.0);
    for (uint i = 0; i < columns4; i++)
        sum += values[base + i];
    float mean = sum_of(sum) / float(push.columns);

    vec4 squares = vec4(0.0);
    for (uint i = 0; i < columns4; i++) {
        vec4 centred = values[base + i] - mean;
        squares += centred * centred;
    }
    float deviation = sqrt(sum_of(squares) / float(push.columns) + push.epsilon);

    for (uint i = 0; i < columns4; i++)
        result[row * columns4 + i] = (values[base + i] - mean) / deviation * parameters[i] + parameters[columns4 + i];
}
