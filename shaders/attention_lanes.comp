#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#if DVK_INT64
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#endif
// Streaming attention for software drivers, without barriers: a lane owns QUERIES queries, and all lanes read the same
// keys and values. There a load costs as much as several products: each one serves QUERIES of them. Online softmax:
// Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
//
// Measured on llvmpipe of Mesa 22.3 and 25.0, 785 tokens, 6 heads of 64, two cores: 23 and 15 GFLOP/s. One query a
// lane: 6 and 4; four: 21 and 12; eight: 22 and 17, but more of them idle in short sequences.

layout(constant_id = 1) const uint QUERIES = 6;

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

    uint row[QUERIES];
    vec4 query[QUERIES][DIM4];
    vec4 sum[QUERIES][DIM4];
    float largest[QUERIES];
    float total[QUERIES];
    [[unroll]] for (uint j = 0; j < QUERIES; j++) {
        row[j] = first_q + min(first_query + j * LOCAL_SIZE, push.queries - 1) * stride4;
        [[unroll]] for (uint i = 0; i < DIM4; i++) {
            query[j][i] = vec4(0.0);
            sum[j][i] = vec4(0.0);
        }
        largest[j] = LOWEST;
        total[j] = 0.0;
    }
    // Loads enter at the end and move to the front, as the results leave below: see matmul_rows.comp.
    [[dont_unroll]] for (uint i = 0; i < DIM4; i++) {
        [[unroll]] for (uint j = 0; j < QUERIES; j++) {
            [[unroll]] for (uint n = 0; n + 1 < DIM4; n++) {
                query[j][n] = query[j][n + 1];
            }
            query[j][DIM4 - 1] = unpack_four(q[row[j] + i]);
        }
    }

    for (uint token = 0; token < tokens; token++) {
        uint key = base + token * stride4;
        float score[QUERIES];
        [[unroll]] for (uint j = 0; j < QUERIES; j++) {
            score[j] = 0.0;
        }
        [[unroll]] for (uint i = 0; i < DIM4; i++) {
            vec4 value = unpack_four(k[key + i]);
            [[unroll]] for (uint j = 0; j < QUERIES; j++) {
                score[j] += query[j][i].x * value.x;
                score[j] += query[j][i].y * value.y;
                score[j] += query[j][i].z * value.z;
                score[j] += query[j][i].w * value.w;
            }
        }

        float scale[QUERIES];
        float weight[QUERIES];
        [[unroll]] for (uint j = 0; j < QUERIES; j++) {
            float before = largest[j];
            largest[j] = max(before, score[j]);
            scale[j] = exp_accurate(before - largest[j]);
            weight[j] = exp_accurate(score[j] - largest[j]);
            total[j] = total[j] * scale[j] + weight[j];
        }

        [[unroll]] for (uint i = 0; i < DIM4; i++) {
            vec4 value = unpack_four(v[key + i]);
            [[unroll]] for (uint j = 0; j < QUERIES; j++) {
                sum[j][i] = sum[j][i] * scale[j] + weight[j] * value;
            }
        }
    }

    [[dont_unroll]] for (uint i = 0; i < DIM4; i++) {
        [[unroll]] for (uint j = 0; j < QUERIES; j++) {
            uint token = first_query + j * LOCAL_SIZE;
            if (live && token < push.queries)
                result[first_result + token * stride4 + i] = sum[j][0] / total[j];
            [[unroll]] for (uint n = 0; n + 1 < DIM4; n++) {
                sum[j][n] = sum[j][n + 1];
            }
        }
    }
}
