#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_ballot : require
#if DVK_INT64
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#endif
// Streaming attention for software drivers whose workgroup is one subgroup; see matmul_broadcast.comp for what is dear
// there. A lane owns QUERIES queries, so that softmax needs no exchange between lanes. KEYS keys and values are taken
// at a time: a lane loads some of their elements, and the others get them by broadcast. Online softmax: Milakov and
// Gimelshein, "Online normalizer calculation for softmax", 2018. The running maximum may lag behind by SLACK: the
// weights are then up to e^SLACK, which is no less accurate, and sums are rescaled in few turns only.

layout(constant_id = 1) const uint QUERIES = 6;
layout(constant_id = 2) const uint KEYS = 1;

#include "attention.glsl"

const float SLACK = 8.0;
const uint PARTS = (DIM4 + LOCAL_SIZE - 1) / LOCAL_SIZE; // of a head, one vec4 a lane

// A macro, because the lane of a broadcast must be a literal before SPIR-V 1.5.
#define FOR_EACH_LANE(work) work(0) work(1) work(2) work(3) work(4) work(5) work(6) work(7)

// exp_accurate() for x up to SLACK, in fewer instructions: adding 1.5 * 2^23 rounds to an integer, which is then in the
// lowest bits. `precise` keeps the compiler from cancelling the sum.
float exp_of_score(float x) {
    x = max(x, -87.0);
    precise float shifted = x * 1.44269504 + 12582912.0;
    precise float n = shifted - 12582912.0;
    float r = (x - n * 0.693145751953125) - n * 1.42860682e-6;
    return exp_polynomial(r) * uintBitsToFloat((floatBitsToUint(shifted) << 23) + 0x3f800000u);
}

void main() {
    // A group beyond the end does no work, but does not return either: see matmul_broadcast.comp.
    uint group = linear_group();
    bool live = group < push.group_end;
    uint tokens = live ? push.tokens : 0;
    uint tiles = divide_up(push.queries, LOCAL_SIZE * QUERIES);
    uint first_query = group % tiles * LOCAL_SIZE * QUERIES + gl_SubgroupInvocationID;
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
    // Loads enter at the end and move to the front, as the results leave below: see matmul_broadcast.comp.
    [[dont_unroll]] for (uint i = 0; i < DIM4; i++) {
        [[unroll]] for (uint j = 0; j < QUERIES; j++) {
            [[unroll]] for (uint n = 0; n + 1 < DIM4; n++) {
                query[j][n] = query[j][n + 1];
            }
            query[j][DIM4 - 1] = unpack_four(q[row[j] + i]);
        }
    }

    for (uint token = 0; token < tokens; token += KEYS) {
        uint key[KEYS];
        float score[KEYS][QUERIES];
        [[unroll]] for (uint n = 0; n < KEYS; n++) {
            key[n] = base + min(token + n, tokens - 1) * stride4;
            [[unroll]] for (uint j = 0; j < QUERIES; j++) {
                score[n][j] = 0.0;
            }
        }
        [[unroll]] for (uint part = 0; part < PARTS; part++) {
            uint own = min(part * LOCAL_SIZE + gl_SubgroupInvocationID, DIM4 - 1);
            vec4 element[KEYS];
            [[unroll]] for (uint n = 0; n < KEYS; n++) {
                element[n] = unpack_four(k[key[n] + own]);
            }
#define ADD_TO_SCORES(i)                                                                                               \
    if (i < LOCAL_SIZE && part * LOCAL_SIZE + i < DIM4) {                                                              \
        [[unroll]] for (uint n = 0; n < KEYS; n++) {                                                                   \
            vec4 value = subgroupBroadcast(element[n], i);                                                             \
            [[unroll]] for (uint j = 0; j < QUERIES; j++) {                                                            \
                score[n][j] = fma(query[j][part * LOCAL_SIZE + i].x, value.x, score[n][j]);                            \
                score[n][j] = fma(query[j][part * LOCAL_SIZE + i].y, value.y, score[n][j]);                            \
                score[n][j] = fma(query[j][part * LOCAL_SIZE + i].z, value.z, score[n][j]);                            \
                score[n][j] = fma(query[j][part * LOCAL_SIZE + i].w, value.w, score[n][j]);                            \
            }                                                                                                          \
        }                                                                                                              \
    }
            FOR_EACH_LANE(ADD_TO_SCORES)
        }

        bool grown = false;
        float most[QUERIES];
        [[unroll]] for (uint j = 0; j < QUERIES; j++) {
            most[j] = score[0][j];
            [[unroll]] for (uint n = 1; n < KEYS; n++) {
                most[j] = max(most[j], score[n][j]);
            }
            grown = grown || most[j] > largest[j] + SLACK;
        }
        if (grown) {
            [[unroll]] for (uint j = 0; j < QUERIES; j++) {
                float before = largest[j];
                largest[j] = max(before, most[j]);
                float scale = exp_of_score(before - largest[j]);
                total[j] *= scale;
                [[unroll]] for (uint i = 0; i < DIM4; i++) {
                    sum[j][i] *= scale;
                }
            }
        }
        [[unroll]] for (uint j = 0; j < QUERIES; j++) {
            [[unroll]] for (uint n = 0; n < KEYS; n++) {
                // The last keys may be the last one repeated.
                score[n][j] = token + n < tokens ? exp_of_score(score[n][j] - largest[j]) : 0.0;
                total[j] += score[n][j];
            }
        }

        [[unroll]] for (uint part = 0; part < PARTS; part++) {
            uint own = min(part * LOCAL_SIZE + gl_SubgroupInvocationID, DIM4 - 1);
            vec4 element[KEYS];
            [[unroll]] for (uint n = 0; n < KEYS; n++) {
                element[n] = unpack_four(v[key[n] + own]);
            }
#define ADD_TO_SUMS(i)                                                                                                 \
    if (i < LOCAL_SIZE && part * LOCAL_SIZE + i < DIM4) {                                                              \
        [[unroll]] for (uint n = 0; n < KEYS; n++) {                                                                   \
            vec4 value = subgroupBroadcast(element[n], i);                                                             \
            [[unroll]] for (uint j = 0; j < QUERIES; j++) {                                                            \
                sum[j][part * LOCAL_SIZE + i] = fma(vec4(score[n][j]), value, sum[j][part * LOCAL_SIZE + i]);          \
            }                                                                                                          \
        }                                                                                                              \
    }
            FOR_EACH_LANE(ADD_TO_SUMS)
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
