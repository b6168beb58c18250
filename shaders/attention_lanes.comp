#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Streaming attention for software drivers: one query a lane, no barrier. All lanes read the same keys and values, four at a
// time, so that the query and the sums, which live in memory there, are touched once for four products.

#include "attention.glsl"

void main() {
    uint group = linear_group();
    bool live = group < push.group_end;
    uint tiles = divide_up(push.tokens, LOCAL_SIZE);
    uint query = group % tiles * LOCAL_SIZE + lane();
    uint head = group / tiles % push.heads;
    uint stride4 = push.row_stride / 4;
    uint image = live ? group / tiles / push.heads : 0;
    uint base = image * push.tokens * stride4 + head * DIM4; // the image's first token, this head

    vec4 own_q[DIM4];
    vec4 sum[DIM4];
    uint own = base + min(query, push.tokens - 1) * stride4;
    [[unroll]] for (uint i = 0; i < DIM4; i++) {
        own_q[i] = q[own + i];
        sum[i] = vec4(0.0);
    }
    float largest = LOWEST;
    float total = 0.0;

    uint tokens = live ? push.tokens : 0;
    for (uint first = 0; first < tokens; first += 4) {
        // The last block repeats the last key with weight zero.
        uvec4 key = base + min(uvec4(first, first + 1, first + 2, first + 3), tokens - 1) * stride4;
        vec4 s0 = vec4(0.0), s1 = vec4(0.0), s2 = vec4(0.0), s3 = vec4(0.0);
        [[unroll]] for (uint i = 0; i < DIM4; i++) {
            s0 += own_q[i] * k[key.x + i];
            s1 += own_q[i] * k[key.y + i];
            s2 += own_q[i] * k[key.z + i];
            s3 += own_q[i] * k[key.w + i];
        }
        vec4 score = vec4(sum_of(s0), sum_of(s1), sum_of(s2), sum_of(s3));
        float block_largest = max(largest, max(max(score.x, score.y), max(score.z, score.w)));
        float scale = exp_accurate(largest - block_largest);
        largest = block_largest;
        vec4 weight = vec4(exp_accurate(score.x - largest), exp_accurate(score.y - largest),
                           exp_accurate(score.z - largest), exp_accurate(score.w - largest));
        weight *= vec4(lessThan(uvec4(first, first + 1, first + 2, first + 3), uvec4(tokens)));
        total = total * scale + sum_of(weight);
        [[unroll]] for (uint i = 0; i < DIM4; i++)
            sum[i] = sum[i] * scale + weight.x * v[key.x + i] + weight.y * v[key.y + i] + weight.z * v[key.z + i] +
                     weight.w * v[key.w + i];
    }

    if (live && query < push.tokens) {
        [[unroll]] for (uint i = 0; i < DIM4; i++)
            result[own + i] = sum[i] / total;
    }
}
