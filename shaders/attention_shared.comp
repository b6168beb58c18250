#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Streaming attention for GPUs: one query a lane, in registers; KEYS keys and values at a time pass through shared
// memory and are used four by four. Online softmax: Milakov and Gimelshein, "Online normalizer calculation for
// softmax", 2018.

layout(constant_id = 1) const uint KEYS = 16;

#include "attention.glsl"

shared vec4 block_k[KEYS * DIM4];
shared vec4 block_v[KEYS * DIM4];

void main() {
    uint group = linear_group();
    if (group >= push.group_end)
        return;
    uint tiles = divide_up(push.queries, LOCAL_SIZE);
    uint token = group % tiles * LOCAL_SIZE + lane();
    uint head = group / tiles % push.heads;
    uint stride4 = push.row_stride / 4;
    uint image = group / tiles / push.heads;
    uint base = image * push.tokens * stride4 + head * DIM4; // the image's first key, this head

    vec4 query[DIM4];
    vec4 sum[DIM4];
    uint own = (image * push.query_step + min(token, push.queries - 1)) * stride4 + head * DIM4;
    [[unroll]] for (uint i = 0; i < DIM4; i++) {
        query[i] = q[own + i];
        sum[i] = vec4(0.0);
    }
    float largest = LOWEST;
    float total = 0.0;

    for (uint first = 0; first < push.tokens; first += KEYS) {
        barrier(); // the previous block has been used
        for (uint i = lane(); i < KEYS * DIM4; i += LOCAL_SIZE) {
            // The last block repeats the last key, with weight zero.
            uint index = base + min(first + i / DIM4, push.tokens - 1) * stride4 + i % DIM4;
            block_k[i] = k[index];
            block_v[i] = v[index];
        }
        barrier();

        uint keys = min(KEYS, push.tokens - first);
        for (uint key = 0; key < keys; key += 4) {
            uint row = key * DIM4;
            vec4 score = vec4(0.0);
            [[unroll]] for (uint i = 0; i < DIM4; i++) {
                score.x += dot(query[i], block_k[row + i]);
                score.y += dot(query[i], block_k[row + i + DIM4]);
                score.z += dot(query[i], block_k[row + i + 2 * DIM4]);
                score.w += dot(query[i], block_k[row + i + 3 * DIM4]);
            }
            float before = largest;
            largest = max(largest, max(max(score.x, score.y), max(score.z, score.w)));
            float scale = exp_accurate(before - largest);
            vec4 weight = vec4(exp_accurate(score.x - largest), exp_accurate(score.y - largest),
                               exp_accurate(score.z - largest), exp_accurate(score.w - largest));
            weight = mix(vec4(0.0), weight, lessThan(key + uvec4(0, 1, 2, 3), uvec4(keys)));
            total = total * scale + sum_of(weight);
            [[unroll]] for (uint i = 0; i < DIM4; i++) {
                sum[i] = sum[i] * scale + weight.x * block_v[row + i] + weight.y * block_v[row + i + DIM4] +
                         weight.z * block_v[row + i + 2 * DIM4] + weight.w * block_v[row + i + 3 * DIM4];
            }
        }
    }

    if (token < push.queries) {
        uint target = (image * push.queries + token) * stride4 + head * DIM4;
        [[unroll]] for (uint i = 0; i < DIM4; i++) {
            result[target + i] = sum[i] / total;
        }
    }
}
