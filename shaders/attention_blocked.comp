#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Streaming attention for GPUs with 32 KiB of shared memory: both products are blocked in registers. A workgroup has
// QUERIES queries and goes through the keys in blocks of 4 * COLUMNS; the lanes lie in a grid of COLUMNS columns. A
// lane computes the scores of LANE_ROWS queries with four keys, then, of the same queries, every COLUMNS-th vec4 of the
// sums. Its queries are a grid height apart, so that neighbouring lanes read neighbouring rows. Online softmax: Milakov
// and Gimelshein, "Online normalizer calculation for softmax", 2018.

layout(constant_id = 1) const uint QUERIES = 64;
layout(constant_id = 2) const uint LANE_ROWS = 4;
layout(constant_id = 3) const uint COLUMNS = 8;
layout(constant_id = 4) const uint PREFETCH = 1; // 0: the next keys do not wait in registers, of which there are fewer

#include "attention.glsl"

const uint KEYS = 4 * COLUMNS;
const uint ROWS = QUERIES / LANE_ROWS; // of the grid
const uint STRIDE = DIM4 + 1;          // odd where it matters: it spreads the rows over the banks
const uint STRIDE_WEIGHT = COLUMNS + 1;

shared vec4 queries[QUERIES * STRIDE];
shared vec4 keys[KEYS * STRIDE]; // key i of the block in row i % 4 * COLUMNS + i / 4: a lane's four are COLUMNS apart
shared vec4 values[KEYS * DIM4];
shared vec4 weights[QUERIES * STRIDE_WEIGHT];
shared float partial[QUERIES * COLUMNS];

// Without PREFETCH: vec4 of keys, and of values, that a lane has on their way to shared memory at a time.
const uint IN_FLIGHT = 4;

#define ITEMS DIVIDE_UP(KEYS *DIM4, LOCAL_SIZE)
#define SUMS DIVIDE_UP(DIM4, COLUMNS)

void main() {
    uint group = linear_group();
    if (group >= push.group_end)
        return;
    uint tiles = divide_up(push.queries, QUERIES);
    uint first_query = group % tiles * QUERIES;
    uint head = group / tiles % push.heads;
    uint image = group / tiles / push.heads;
    uint stride4 = push.row_stride / 4;
    uint base = image * push.tokens * stride4 + head * DIM4; // the image's first key, this head
    uint column = lane() % COLUMNS;
    uint grid_row = lane() / COLUMNS;

    for (uint i = lane(); i < QUERIES * DIM4; i += LOCAL_SIZE) {
        uint row = image * push.query_step + min(first_query + i / DIM4, push.queries - 1);
        queries[i / DIM4 * STRIDE + i % DIM4] = q[row * stride4 + head * DIM4 + i % DIM4];
    }

    vec4 sum[LANE_ROWS][SUMS];
    float largest[LANE_ROWS]; // of all keys so far
    float total[LANE_ROWS];   // of this lane's keys
    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        [[unroll]] for (uint i = 0; i < SUMS; i++) {
            sum[r][i] = vec4(0.0);
        }
        largest[r] = LOWEST;
        total[r] = 0.0;
    }

    vec4 next_key[ITEMS];
    vec4 next_value[ITEMS];
// Keys beyond the end repeat the last one; their weights are zero.
#define KEY(first, item) min((first) + (item) / DIM4 % COLUMNS * 4 + (item) / DIM4 / COLUMNS, push.tokens - 1)
#define VALUE(first, item) min((first) + (item) / DIM4, push.tokens - 1)
#define FETCH(first)                                                                                                   \
    [[unroll]] for (uint i = 0; i < ITEMS; i++) {                                                                      \
        uint item = lane() + i * LOCAL_SIZE;                                                                           \
        next_key[i] = k[base + KEY(first, item) * stride4 + item % DIM4];                                              \
        next_value[i] = v[base + VALUE(first, item) * stride4 + item % DIM4];                                          \
    }

    if (PREFETCH != 0) {
        FETCH(0)
    }
    for (uint first = 0; first < push.tokens; first += KEYS) {
        barrier(); // the block before has been used
        if (PREFETCH != 0) {
            [[unroll]] for (uint i = 0; i < ITEMS; i++) {
                uint item = lane() + i * LOCAL_SIZE;
                if (item < KEYS * DIM4) {
                    keys[item / DIM4 * STRIDE + item % DIM4] = next_key[i];
                    values[item] = next_value[i];
                }
            }
        } else {
            [[dont_unroll]] for (uint i = 0; i < ITEMS; i += IN_FLIGHT) {
                vec4 key[IN_FLIGHT];
                vec4 value[IN_FLIGHT];
                [[unroll]] for (uint j = 0; j < IN_FLIGHT; j++) {
                    uint item = lane() + (i + j) * LOCAL_SIZE;
                    key[j] = k[base + KEY(first, item) * stride4 + item % DIM4];
                    value[j] = v[base + VALUE(first, item) * stride4 + item % DIM4];
                }
                [[unroll]] for (uint j = 0; j < IN_FLIGHT; j++) {
                    uint item = lane() + (i + j) * LOCAL_SIZE;
                    if (item < KEYS * DIM4) {
                        keys[item / DIM4 * STRIDE + item % DIM4] = key[j];
                        values[item] = value[j];
                    }
                }
            }
        }
        barrier();

        vec4 score[LANE_ROWS];
        [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
            score[r] = vec4(0.0);
        }
        [[dont_unroll]] for (uint i = 0; i < DIM4; i++) {
            vec4 key[4];
            [[unroll]] for (uint j = 0; j < 4; j++) {
                key[j] = keys[(j * COLUMNS + column) * STRIDE + i];
            }
            [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
                vec4 query = queries[(grid_row + r * ROWS) * STRIDE + i];
                score[r].x += dot(query, key[0]);
                score[r].y += dot(query, key[1]);
                score[r].z += dot(query, key[2]);
                score[r].w += dot(query, key[3]);
            }
        }
        [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
            partial[(grid_row + r * ROWS) * COLUMNS + column] =
                max(max(score[r].x, score[r].y), max(score[r].z, score[r].w));
        }
        barrier();

        uvec4 inside = uvec4(lessThan(first + 4 * column + uvec4(0, 1, 2, 3), uvec4(push.tokens)));
        [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
            float before = largest[r];
            [[unroll]] for (uint i = 0; i < COLUMNS; i++) {
                largest[r] = max(largest[r], partial[(grid_row + r * ROWS) * COLUMNS + i]);
            }
            float scale = exp_accurate(before - largest[r]);
            vec4 weight = vec4(exp_accurate(score[r].x - largest[r]), exp_accurate(score[r].y - largest[r]),
                               exp_accurate(score[r].z - largest[r]), exp_accurate(score[r].w - largest[r])) *
                          vec4(inside);
            weights[(grid_row + r * ROWS) * STRIDE_WEIGHT + column] = weight;
            total[r] = total[r] * scale + sum_of(weight);
            [[unroll]] for (uint i = 0; i < SUMS; i++) {
                sum[r][i] *= scale;
            }
        }
        barrier();

        if (PREFETCH != 0 && first + KEYS < push.tokens) {
            FETCH(first + KEYS)
        }
        [[dont_unroll]] for (uint key4 = 0; key4 < COLUMNS; key4++) {
            vec4 weight[LANE_ROWS];
            [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
                weight[r] = weights[(grid_row + r * ROWS) * STRIDE_WEIGHT + key4];
            }
            [[unroll]] for (uint i = 0; i < SUMS; i++) {
                uint dimension4 = min(column + i * COLUMNS, DIM4 - 1);
                [[unroll]] for (uint j = 0; j < 4; j++) {
                    vec4 value = values[(4 * key4 + j) * DIM4 + dimension4];
                    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
                        sum[r][i] += weight[r][j] * value;
                    }
                }
            }
        }
    }

    barrier();
    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        partial[(grid_row + r * ROWS) * COLUMNS + column] = total[r];
    }
    barrier();
    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        uint query = first_query + grid_row + r * ROWS;
        float whole = 0.0;
        [[unroll]] for (uint i = 0; i < COLUMNS; i++) {
            whole += partial[(grid_row + r * ROWS) * COLUMNS + i];
        }
        [[unroll]] for (uint i = 0; i < SUMS; i++) {
            uint dimension4 = column + i * COLUMNS;
            if (query < push.queries && dimension4 < DIM4)
                result[(image * push.queries + query) * stride4 + head * DIM4 + dimension4] = sum[r][i] / whole;
        }
    }
}
