#version 450
#extension GL_GOOGLE_include_directive : require
// Layernorm for GPUs: one workgroup a row. Two passes, mean first: the variance of centred values does not cancel.

#include "layernorm.glsl"

shared float partial[MAX_LOCAL_SIZE];

// The sum over the workgroup, in an order that depends on nothing but its size, a power of two.
float sum_over_lanes(float value) {
    barrier(); // the previous sum has been read
    partial[lane()] = value;
    barrier();
    for (uint half_size = LOCAL_SIZE / 2; half_size > 0; half_size /= 2) {
        if (lane() < half_size)
            partial[lane()] += partial[lane() + half_size];
        barrier();
    }
    return partial[0];
}

void main() {
    uint row = linear_group();
    if (row >= push.group_end)
        return;
    uint columns4 = push.columns / 4;
    uint base = row * (push.in_stride / 4);

    float sum = 0.0;
    for (uint i = lane(); i < columns4; i += LOCAL_SIZE)
        sum += sum_of(values[base + i]);
    float mean = sum_over_lanes(sum) / float(push.columns);

    float squares = 0.0;
    for (uint i = lane(); i < columns4; i += LOCAL_SIZE) {
        vec4 centred = values[base + i] - mean;
        squares += sum_of(centred * centred);
    }
    float deviation = sqrt(sum_over_lanes(squares) / float(push.columns) + push.epsilon);

    for (uint i = lane(); i < columns4; i += LOCAL_SIZE)
        result[row * columns4 + i] = (values[base + i] - mean) / deviation * parameters[i] + parameters[columns4 + i];
}
