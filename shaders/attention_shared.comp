#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Streaming attention for GPUs: one query a lane, in registers; KEYS keys and values at a time pass through shared memory.
// The softmax is rescaled once a block (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018).

layout(constant_id = 1) const uint KEYS = 16;

#include "attention.glsl"

shared vec4 block_k[KEYS * DIM4];
shared vec4 block_v[KEYS * DIM4];

void main() {
    uint group = linear_group();
    if (group >= push.group_end)
        return;
    uint tiles = divide_up(push.tokens, LOCAL_SIZE);
    uint query = group % tiles * LOCAL_SIZE + lane();
    uint head = group / tiles % push.heads;
    uint stride4 = push.row_stride / 4;
    uint base = group / tiles / push.heads * push.tokens * stride4 + head * DIM4; // the image's first token, this head

    vec4 own_q[DIM4];
    vec4 sum[DIM4];
    uint own = base + min(query, push.tokens - 1) * stride4;
    [[unroll]] for (uint i = 0; i < DIM4; i++) {
        own_q[i] = q[own + i];
        sum[i] = vec4(0.0);
    }
    float largest = LOWEST;
    float total = 0.0;

    for (uint first = 0; first < push.tokens; first += KEYS) {
        uint keys = min(KEYS, push.tokens - first);
        barrier();
        for (uint i = lane(); i < keys * DIM4; i += LOCAL_SIZE) {
            uint index = base + (first + i / DIM4) * stride4 + i % DIM4;
            block_k[i] = k[index];
            block_v[i] = v[index];
        }
        barrier();

        float score[KEYS];
        float block_largest = largest;
        [[unroll]] for (uint key = 0; key < KEYS; key++) {
            score[key] = LOWEST;
            if (key < keys) {
                vec4 product = vec4(0.0);
                [[unroll]] for (uint i = 0; i < DIM4; i++)
                    product += own_q[i] * block_k[key * DIM4 + i];
                score[key] = sum_of(product);
            }
            block_largest = max(block_largest, score[key]);
        }
        float scale = exp_accurate(largest - block_largest);
        largest = block_largest;
        total *= scale;
        [[unroll]] for (uint i = 0; i < DIM4; i++)
            sum[i] *= scale;
        [[unroll]] for (uint key = 0; key < KEYS; key++) {
            if (key < keys) {
                float weight = exp_accurate(score[key] - largest);
                total += weight;
                [[unroll]] for (uint i = 0; i < DIM4; i++)
                    sum[i] += weight * block_v[key * DIM4 + i];
            }
        }
    }

    if (query < push.tokens) {
        [[unroll]] for (uint i = 0; i < DIM4; i++)
            result[own + i] = sum[i] / total;
    }
}
