#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_ballot : require
#if DVK_INT64
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#endif
// Matmul for software drivers whose workgroup is one subgroup, that is, one SIMD vector. What such a driver charges for
// (llvmpipe of Mesa 22.3, 25.0 and 26.2; its assembly was read):
// - A load, even of one address for all lanes, is a gather or a loop over the lanes with a bounds check each. So a lane
//   loads from rows of its own, and the others get the values by broadcast, which is a register operation.
// - What a loop carries is blended with its old value under the mask of active lanes in every turn. So a turn takes
// DEPTH
//   steps of k, and all of a sum's steps come one after another.
// - Registers are few, but memory at the stack is nearly as good; sums of ROWS x COLUMNS vec4 pay off up to some 8 KB.

layout(constant_id = 1) const uint ROWS = 16;
layout(constant_id = 2) const uint COLUMNS = 2; // vec4 a lane
layout(constant_id = 3) const uint DEPTH = 4;

#include "matmul.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    FOUR_FLOATS a[];
};

const uint LANE_ROWS = ROWS / LOCAL_SIZE;
const uint DEPTH4 = DEPTH / 4;

void main() {
    // A group beyond the end does no work, but does not return either: a lane that may have returned is one more mask.
    uint group = linear_group();
    bool live = group < push.group_end;
    uint depth = live ? push.depth : 0;

    // Neighbouring groups share their columns: their weights stay in the cache.
    uint row_tiles = divide_up(push.rows, ROWS);
    uint first_row = group % row_tiles * ROWS;
    uint column4 = group / row_tiles * COLUMNS * LOCAL_SIZE + gl_SubgroupInvocationID;
    uint stride_a4 = push.a_stride / 4;
    uint stride_w4 = push.w_stride / 4;
    uint column_w[COLUMNS];
    [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
        column_w[c] = min(push.first_column / 4 + column4 + c * LOCAL_SIZE, stride_w4 - 1);
    }
    uint row_a[LANE_ROWS];
    [[unroll]] for (uint j = 0; j < LANE_ROWS; j++) {
        row_a[j] = min(first_row + j * LOCAL_SIZE + gl_SubgroupInvocationID, push.rows - 1) * stride_a4;
    }

    vec4 sum[ROWS][COLUMNS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
            sum[r][c] = vec4(0.0);
        }
    }

    for (uint k = 0; k < depth; k += DEPTH) {
        vec4 factor[DEPTH][COLUMNS];
        [[unroll]] for (uint n = 0; n < DEPTH; n++) {
            [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
                factor[n][c] = weight(column_w[c] + (DEPTH > 4 ? min(k + n, depth - 1) : k + n) * stride_w4);
            }
        }
        [[unroll]] for (uint j = 0; j < LANE_ROWS; j++) {
            vec4 own[DEPTH4];
            [[unroll]] for (uint n = 0; n < DEPTH4; n++) {
                own[n] = unpack_four(a[row_a[j] + (n > 0 ? min(k / 4 + n, depth / 4 - 1) : k / 4)]);
                if (n > 0 && k + 4 * n >= depth)
                    own[n] = vec4(0.0);
            }
// A macro, because the lane of a broadcast must be a literal before SPIR-V 1.5.
#define ROW_OF_LANE(i)                                                                                                 \
    if (i < LOCAL_SIZE) {                                                                                              \
        [[unroll]] for (uint n = 0; n < DEPTH4; n++) {                                                                 \
            vec4 value = subgroupBroadcast(own[n], i);                                                                 \
            [[unroll]] for (uint c = 0; c < COLUMNS; c++) {                                                            \
                sum[j * LOCAL_SIZE + i][c] += value.x * factor[4 * n][c];                                              \
                sum[j * LOCAL_SIZE + i][c] += value.y * factor[4 * n + 1][c];                                          \
                sum[j * LOCAL_SIZE + i][c] += value.z * factor[4 * n + 2][c];                                          \
                sum[j * LOCAL_SIZE + i][c] += value.w * factor[4 * n + 3][c];                                          \
            }                                                                                                          \
        }                                                                                                              \
    }
            ROW_OF_LANE(0)
            ROW_OF_LANE(1)
            ROW_OF_LANE(2)
            ROW_OF_LANE(3)
            ROW_OF_LANE(4)
            ROW_OF_LANE(5)
            ROW_OF_LANE(6)
            ROW_OF_LANE(7)
        }
    }

    uint first[COLUMNS];
    vec4 factor[COLUMNS], addend[COLUMNS];
    [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
        first[c] = first_result(column4 + c * LOCAL_SIZE);
        factor[c] = scale(column_w[c]);
        addend[c] = bias(column_w[c]);
    }
    // Row by row, each moving up to the front: the drivers take seconds to compile an unrolled epilogue, and keep
    // arrays that are indexed by a variable in slow memory.
    uint rows = live ? min(push.rows - first_row, ROWS) : 0;
    [[dont_unroll]] for (uint r = 0; r < rows; r++) {
        [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
            if (4 * (column4 + c * LOCAL_SIZE) < push.columns)
                store_finished(first_row + r, column4 + c * LOCAL_SIZE, first[c], sum[0][c], factor[c], addend[c]);
            [[unroll]] for (uint n = 0; n + 1 < ROWS; n++) {
                sum[n][c] = sum[n + 1][c];
            }
        }
    }
}
