#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
// Streaming attention on cooperative matrices: both products in half precision with fp32 sums, the softmax in fp32.
// Each subgroup has M queries; all of a workgroup share blocks of KEYS keys and values, which wait in registers while
// the block before is used. Online softmax: Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
//
// Where an element of a cooperative matrix lies is not known, so the scores pass through shared memory, once, on their
// way to being weights; and running sums are rescaled by a matrix that holds a row's factor in all of its columns. For
// the layout in shared memory see matmul_cooperative.comp.

layout(constant_id = 1) const uint SUBGROUPS = 4;
layout(constant_id = 2) const uint KEYS = 32;
layout(constant_id = 3) const uint M = 16;
layout(constant_id = 4) const uint N = 16;
layout(constant_id = 5) const uint K = 16;

#define DVK_VALUE_PAIRS
#include "attention.glsl"

const uint DIM8 = HEAD_DIM / 8;
const uint STRIDE_KEY = DIM8 + 1;       // of a key's row and of a query's, in uvec4s of eight halves
const uint STRIDE_VALUE = KEYS / 8 + 1; // of a row of one dimension's values, and of a query's weights
const uint STRIDE_SCORE = KEYS / 4 + 1; // of a query's scores, in uvec4s of four floats
const uint SLICE_KEYS = KEYS * STRIDE_KEY;
const uint SLICE_VALUES = HEAD_DIM * STRIDE_VALUE;
const uint SCORES = M * STRIDE_SCORE;
const uint WEIGHTS = M * STRIDE_VALUE;

shared uvec4 keys[SLICE_KEYS];
shared uvec4 values[SLICE_VALUES];
shared uvec4 scores[SUBGROUPS * SCORES]; // also the queries before the loop, the factors in it, the sums after it
shared uvec4 weights[SUBGROUPS * WEIGHTS];
shared float partial[SUBGROUPS * 128]; // a lane's own; no subgroup has more

#define SUBGROUP_SIZE (LOCAL_SIZE / SUBGROUPS)
// A row of scores belongs to several lanes, or a lane has several rows.
#define PARTS (SUBGROUP_SIZE > M ? SUBGROUP_SIZE / M : 1)
#define LANE_ROWS (SUBGROUP_SIZE > M ? 1 : M / SUBGROUP_SIZE)
#define PART_SCORES4 (KEYS / 4 / PARTS)

#define ITEMS_KEY DIVIDE_UP(KEYS *DIM8, LOCAL_SIZE)
#define ITEMS_VALUE DIVIDE_UP(KEYS / 8 * (HEAD_DIM / 2), LOCAL_SIZE)

uvec2 to_halves(vec4 value) {
    f16vec4 halves = f16vec4(value);
    return uvec2(packFloat2x16(halves.xy), packFloat2x16(halves.zw));
}

uint to_halves(float low, float high) {
    return packFloat2x16(f16vec2(low, high));
}

void main() {
    uint group = linear_group();
    if (group >= push.group_end)
        return;
    uint tiles = divide_up(push.queries, SUBGROUPS * M);
    uint first_query = (group % tiles * SUBGROUPS + gl_SubgroupID) * M;
    uint head = group / tiles % push.heads;
    uint image = group / tiles / push.heads;
    uint stride4 = push.row_stride / 4;
    uint base4 = image * push.tokens * stride4 + head * DIM4; // the image's first key, this head

    uint own_scores = gl_SubgroupID * SCORES;
    uint own_weights = gl_SubgroupID * WEIGHTS;
    uint own_partial = gl_SubgroupID * 128;
    uint sublane = gl_SubgroupInvocationID;

    // The subgroup's queries, K dimensions at a time.
    const uint QUERY_FRAGMENTS = HEAD_DIM / K;
    coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> query[QUERY_FRAGMENTS];
    [[unroll]] for (uint f = 0; f < QUERY_FRAGMENTS; f++) {
        for (uint i = sublane; i < M * (K / 8); i += SUBGROUP_SIZE) {
            uint row = min(first_query + i / (K / 8), push.queries - 1);
            uint index = (image * push.query_step + row) * stride4 + head * DIM4 + f * (K / 4) + i % (K / 8) * 2;
            scores[own_scores + i / (K / 8) * STRIDE_SCORE + i % (K / 8)] =
                uvec4(to_halves(q[index]), to_halves(q[index + 1]));
        }
        subgroupBarrier();
        coopMatLoad(query[f], scores, own_scores, STRIDE_SCORE, gl_CooperativeMatrixLayoutRowMajor);
        subgroupBarrier();
    }

    const uint SUM_FRAGMENTS = HEAD_DIM / N;
    coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> sum[SUM_FRAGMENTS];
    [[unroll]] for (uint f = 0; f < SUM_FRAGMENTS; f++) {
        sum[f] = coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>(0.0);
    }
    uint part = sublane / M % PARTS;
    float largest[LANE_ROWS]; // of a whole row
    float total[LANE_ROWS];   // of this lane's part
    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        largest[r] = LOWEST;
        total[r] = 0.0;
    }
#define ROW(r) ((sublane + (r)*SUBGROUP_SIZE) % M)

    vec4 next_key[ITEMS_KEY][2];     // eight dimensions of a key
    vec2 next_value[ITEMS_VALUE][8]; // two dimensions of eight values
// Keys beyond the end repeat the last one; their weights are zero.
#define FETCH(first)                                                                                                   \
    [[unroll]] for (uint i = 0; i < ITEMS_KEY; i++) {                                                                  \
        uint item = lane() + i * LOCAL_SIZE;                                                                           \
        uint index = base4 + min((first) + item / DIM8, push.tokens - 1) * stride4 + item % DIM8 * 2;                  \
        next_key[i][0] = k[index];                                                                                     \
        next_key[i][1] = k[index + 1];                                                                                 \
    }                                                                                                                  \
    [[unroll]] for (uint i = 0; i < ITEMS_VALUE; i++) {                                                                \
        uint item = lane() + i * LOCAL_SIZE;                                                                           \
        [[unroll]] for (uint j = 0; j < 8; j++) {                                                                      \
            uint token = min((first) + item / (HEAD_DIM / 2) * 8 + j, push.tokens - 1);                                \
            next_value[i][j] = v[2 * (base4 + token * stride4) + item % (HEAD_DIM / 2)];                               \
        }                                                                                                              \
    }
#define KEEP                                                                                                           \
    [[unroll]] for (uint i = 0; i < ITEMS_KEY; i++) {                                                                  \
        uint item = lane() + i * LOCAL_SIZE;                                                                           \
        if (item < KEYS * DIM8)                                                                                        \
            keys[item / DIM8 * STRIDE_KEY + item % DIM8] =                                                             \
                uvec4(to_halves(next_key[i][0]), to_halves(next_key[i][1]));                                           \
    }                                                                                                                  \
    [[unroll]] for (uint i = 0; i < ITEMS_VALUE; i++) {                                                                \
        uint item = lane() + i * LOCAL_SIZE;                                                                           \
        uint target = item % (HEAD_DIM / 2) * 2 * STRIDE_VALUE + item / (HEAD_DIM / 2);                                \
        if (item < KEYS / 8 * (HEAD_DIM / 2)) {                                                                        \
            values[target] = uvec4(                                                                                    \
                to_halves(next_value[i][0].x, next_value[i][1].x), to_halves(next_value[i][2].x, next_value[i][3].x),  \
                to_halves(next_value[i][4].x, next_value[i][5].x), to_halves(next_value[i][6].x, next_value[i][7].x)); \
            values[target + STRIDE_VALUE] = uvec4(                                                                     \
                to_halves(next_value[i][0].y, next_value[i][1].y), to_halves(next_value[i][2].y, next_value[i][3].y),  \
                to_halves(next_value[i][4].y, next_value[i][5].y), to_halves(next_value[i][6].y, next_value[i][7].y)); \
        }                                                                                                              \
    }

    FETCH(0)
    for (uint first = 0; first < push.tokens; first += KEYS) {
        barrier(); // the block before has been used
        KEEP barrier();
        if (first + KEYS < push.tokens) {
            FETCH(first + KEYS)
        }

        [[unroll]] for (uint c = 0; c < KEYS / N; c++) {
            coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> score =
                coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>(0.0);
            [[unroll]] for (uint f = 0; f < QUERY_FRAGMENTS; f++) {
                coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> key;
                coopMatLoad(key, keys, c * N * STRIDE_KEY + f * (K / 8), STRIDE_KEY,
                            gl_CooperativeMatrixLayoutColumnMajor);
                score = coopMatMulAdd(query[f], key, score);
            }
            coopMatStore(score, scores, own_scores + c * (N / 4), STRIDE_SCORE, gl_CooperativeMatrixLayoutRowMajor);
        }
        subgroupBarrier();

        vec4 weight[LANE_ROWS][PART_SCORES4];
        [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
            vec4 most = vec4(LOWEST);
            [[unroll]] for (uint i = 0; i < PART_SCORES4; i++) {
                weight[r][i] = uintBitsToFloat(scores[own_scores + ROW(r) * STRIDE_SCORE + part * PART_SCORES4 + i]);
                most = max(most, weight[r][i]);
            }
            partial[own_partial + ROW(r) * PARTS + part] = max(max(most.x, most.y), max(most.z, most.w));
        }
        subgroupBarrier(); // and the scores have been read: their place is free
        [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
            float before = largest[r];
            [[unroll]] for (uint i = 0; i < PARTS; i++) {
                largest[r] = max(largest[r], partial[own_partial + ROW(r) * PARTS + i]);
            }
            float factor = exp(before - largest[r]);
            total[r] *= factor;
            for (uint i = part; i < N / 4; i += PARTS)
                scores[own_scores + ROW(r) * STRIDE_SCORE + i] = floatBitsToUint(vec4(factor));
            [[unroll]] for (uint i = 0; i < PART_SCORES4; i++) {
                uint key = first + (part * PART_SCORES4 + i) * 4;
                weight[r][i] = exp(weight[r][i] - largest[r]);
                weight[r][i] = mix(vec4(0.0), weight[r][i], lessThan(key + uvec4(0, 1, 2, 3), uvec4(push.tokens)));
                weight[r][i] = vec4(f16vec4(weight[r][i])); // what is multiplied is also what is divided by
                total[r] += sum_of(weight[r][i]);
            }
            [[unroll]] for (uint i = 0; i < PART_SCORES4; i += 2) {
                weights[own_weights + ROW(r) * STRIDE_VALUE + (part * PART_SCORES4 + i) / 2] =
                    uvec4(to_halves(weight[r][i]), to_halves(weight[r][i + 1]));
            }
        }
        subgroupBarrier();

        coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> factors;
        coopMatLoad(factors, scores, own_scores, STRIDE_SCORE, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint f = 0; f < SUM_FRAGMENTS; f++) {
            sum[f] = sum[f] * factors;
        }
        [[unroll]] for (uint c = 0; c < KEYS / K; c++) {
            coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> row;
            coopMatLoad(row, weights, own_weights + c * (K / 8), STRIDE_VALUE, gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint f = 0; f < SUM_FRAGMENTS; f++) {
                coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> value;
                coopMatLoad(value, values, f * N * STRIDE_VALUE + c * (K / 8), STRIDE_VALUE,
                            gl_CooperativeMatrixLayoutColumnMajor);
                sum[f] = coopMatMulAdd(row, value, sum[f]);
            }
        }
    }

    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        partial[own_partial + ROW(r) * PARTS + part] = total[r];
    }
    [[dont_unroll]] for (uint n = 0; n < SUM_FRAGMENTS; n++) {
        subgroupBarrier();
        [[unroll]] for (uint f = 0; f < SUM_FRAGMENTS; f++) {
            if (f == n)
                coopMatStore(sum[f], scores, own_scores, STRIDE_SCORE, gl_CooperativeMatrixLayoutRowMajor);
        }
        subgroupBarrier();
        for (uint i = sublane; i < M * (N / 4); i += SUBGROUP_SIZE) {
            uint row = i / (N / 4);
            float whole = 0.0;
            [[unroll]] for (uint j = 0; j < PARTS; j++) {
                whole += partial[own_partial + row * PARTS + j];
            }
            uint target =
                (image * push.queries + first_query + row) * stride4 + head * DIM4 + n * (N / 4) + i % (N / 4);
            if (first_query + row < push.queries)
                result[target] = uintBitsToFloat(scores[own_scores + row * STRIDE_SCORE + i % (N / 4)]) / whole;
        }
    }
}
