#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// The CLS token's attention: one softmax row an (image, head), one workgroup each. A lane comes back only to scores
// that it wrote itself, so that no barrier on memory is needed.

#define DVK_KERNEL_ATTENTION_ROW
#include "common.glsl"
#include "math.glsl"

layout(constant_id = 18) const uint HEAD_DIM = 64;

layout(set = 0, binding = 0) readonly buffer Query {
    vec4 q[];
};
layout(set = 0, binding = 1) readonly buffer Key {
    vec4 k[];
};
layout(set = 0, binding = 2) buffer Output {
    float result[];
};

shared float partial[MAX_LOCAL_SIZE];

void main() {
    uint group = linear_group();
    if (group >= push.group_end)
        return;
    uint image = group / push.heads;
    uint head = group % push.heads;
    uint stride4 = push.row_stride / 4;
    uint query = image * push.tokens * stride4 + head * (HEAD_DIM / 4);

    float largest = LOWEST;
    for (uint token = lane(); token < push.tokens; token += LOCAL_SIZE) {
        vec4 score = vec4(0.0);
        [[dont_unroll]] for (uint i = 0; i < HEAD_DIM / 4; i++) { // else some drivers keep all of q in registers
            score += q[query + i] * k[query + token * stride4 + i];
        }
        result[group * push.tokens + token] = sum_of(score);
        largest = max(largest, sum_of(score));
    }
    partial[lane()] = largest;
    barrier();
    for (uint i = 0; i < LOCAL_SIZE; i++)
        largest = max(largest, partial[i]);
    barrier();

    float sum = 0.0;
    for (uint token = lane(); token < push.tokens; token += LOCAL_SIZE) {
        float value = exp_accurate(result[group * push.tokens + token] - largest);
        result[group * push.tokens + token] = value;
        sum += value;
    }
    partial[lane()] = sum;
    barrier();
    sum = 0.0;
    for (uint i = 0; i < LOCAL_SIZE; i++)
        sum += partial[i];

    for (uint token = lane(); token < push.tokens; token += LOCAL_SIZE)
        result[group * push.tokens + token] /= sum;
}
