#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Streaming attention for software drivers, without barriers: a lane owns QUERIES queries, and all lanes read the same
// keys and values, KEYS at a time. There a load costs as much as several products: each one serves QUERIES of them.

layout(constant_id = 1) const uint QUERIES = 4;
layout(constant_id = 2) const uint KEYS = 2;

#include "attention.glsl"

void main() {
    // A group beyond the end does no work, but does not return either: see matmul_rows.comp.
    uint group = linear_group();
    bool live = group < push.group_end;
    uint tokens = live ? push.tokens : 0;
    uint tiles = divide_up(push.queries, LOCAL_SIZE * QUERIES);
    uint first_query = group % tiles * LOCAL_SIZE * QUERIES + lane();
    uint head = group / tiles % push.heads;
    uint image = live ? group / tiles / push.heads : 0;
    uint stride4 = push.row_stride / 4;
    uint base = image * push.tokens * stride4 + head * DIM4; // the image's first key, this head
    uint first_q = image * push.query_step * stride4 + head * DIM4;
    uint first_result = image * push.queries * stride4 + head * DIM4;

    vec4 query[QUERIES][DIM4];
    vec4 sum[QUERIES][DIM4];
    float largest[QUERIES];
    float total[QUERIES];
    [[unroll]] for (uint j = 0; j < QUERIES; j++) {
        uint row = first_q + min(first_query + j * LOCAL_SIZE, push.queries - 1) * stride4;
        [[unroll]] for (uint i = 0; i < DIM4; i++) {
            query[j][i] = q[row + i];
            sum[j][i] = vec4(0.0);
        }
        largest[j] = LOWEST;
        total[j] = 0.0;
    }

    for (uint first = 0; first < tokens; first += KEYS) {
        // The last block repeats the last key, with weight zero.
        uint row[KEYS];
        float score[QUERIES][KEYS];
        [[unroll]] for (uint key = 0; key < KEYS; key++) {
            row[key] = base + min(first + key, tokens - 1) * stride4;
            [[unroll]] for (uint j = 0; j < QUERIES; j++) {
                score[j][key] = 0.0;
            }
        }
        [[unroll]] for (uint i = 0; i < DIM4; i++) {
            [[unroll]] for (uint key = 0; key < KEYS; key++) {
                vec4 value = k[row[key] + i];
                [[unroll]] for (uint j = 0; j < QUERIES; j++) {
                    score[j][key] += query[j][i].x * value.x;
                    score[j][key] += query[j][i].y * value.y;
                    score[j][key] += query[j][i].z * value.z;
                    score[j][key] += query[j][i].w * value.w;
                }
            }
        }

        // Online softmax: Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
        float scale[QUERIES];
        [[unroll]] for (uint j = 0; j < QUERIES; j++) {
            float before = largest[j];
            [[unroll]] for (uint key = 0; key < KEYS; key++) {
                largest[j] = max(largest[j], score[j][key]);
            }
            scale[j] = exp_accurate(before - largest[j]);
            total[j] *= scale[j];
            [[unroll]] for (uint key = 0; key < KEYS; key++) {
                score[j][key] = first + key < tokens ? exp_accurate(score[j][key] - largest[j]) : 0.0;
                total[j] += score[j][key];
            }
        }

        [[unroll]] for (uint i = 0; i < DIM4; i++) {
            [[unroll]] for (uint j = 0; j < QUERIES; j++) {
                sum[j][i] *= scale[j];
            }
            [[unroll]] for (uint key = 0; key < KEYS; key++) {
                vec4 value = v[row[key] + i];
                [[unroll]] for (uint j = 0; j < QUERIES; j++) {
                    sum[j][i] += score[j][key] * value;
                }
            }
        }
    }

    [[unroll]] for (uint j = 0; j < QUERIES; j++) {
        uint token = first_query + j * LOCAL_SIZE;
        if (live && token < push.queries) {
            [[unroll]] for (uint i = 0; i < DIM4; i++) {
                result[first_result + token * stride4 + i] = sum[j][i] / total[j];
            }
        }
    }
}
