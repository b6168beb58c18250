#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_ballot : require
#if DVK_INT64
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#endif
// Matmul for software drivers whose workgroup is one subgroup, that is, one SIMD vector. What such a driver charges for
// (llvmpipe of Mesa 22.3, 25.0 and 26.2; its assembly was read):
// - A load inside a loop, also of one address for all lanes, is a gather or a branch and a bounds check for each lane.
//   So a lane loads from rows of its own, and the others get the values by broadcast, which is a register operation.
// - What a loop carries is blended with its old value under the mask of active lanes in every turn. So a turn takes
//   DVK_DEPTH steps of k.
// - Registers are few, but the stack is nearly as good: sums of ROWS x COLUMNS vec4 pay off as long as the loop's code
//   stays in the instruction cache.

layout(constant_id = 1) const uint ROWS = 16;
layout(constant_id = 2) const uint COLUMNS = 3; // vec4 a lane

#include "matmul.glsl"

#if DVK_DEPTH == 2
#define ELEMENTS vec2
#define load_elements(index) uintBitsToFloat(unpack_two(a[index]))
layout(set = 0, binding = 0) readonly buffer Input {
    TWO_WORDS a[];
};
#else
#define ELEMENTS vec4
#define load_elements(index) unpack_four(a[index])
layout(set = 0, binding = 0) readonly buffer Input {
    FOUR_FLOATS a[];
};
#endif

const uint LANE_ROWS = ROWS / LOCAL_SIZE;

void main() {
    // A group beyond the end does no work, but does not return either: a lane that may have returned is one more mask.
    uint group = linear_group();
    bool live = group < push.group_end;
    uint depth = live ? push.depth : 0;

    // Neighbouring groups share their columns: their weights stay in the cache.
    uint row_tiles = divide_up(push.rows, ROWS);
    uint first_row = group % row_tiles * ROWS;
    uint column4 = group / row_tiles * COLUMNS * LOCAL_SIZE + gl_SubgroupInvocationID;
    uint stride_w4 = push.w_stride / 4;
    uint column_w[COLUMNS];
    [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
        column_w[c] = min(push.first_column / 4 + column4 + c * LOCAL_SIZE, stride_w4 - 1);
    }
    uint row_a[LANE_ROWS];
    [[unroll]] for (uint j = 0; j < LANE_ROWS; j++) {
        row_a[j] =
            min(first_row + j * LOCAL_SIZE + gl_SubgroupInvocationID, push.rows - 1) * (push.a_stride / DVK_DEPTH);
    }

    vec4 sum[ROWS][COLUMNS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
            sum[r][c] = vec4(0.0);
        }
    }

    for (uint k = 0; k < depth; k += DVK_DEPTH) {
        vec4 factor[DVK_DEPTH][COLUMNS];
        [[unroll]] for (uint n = 0; n < DVK_DEPTH; n++) {
            [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
                factor[n][c] = weight(column_w[c] + (k + n) * stride_w4);
            }
        }
        [[unroll]] for (uint j = 0; j < LANE_ROWS; j++) {
            ELEMENTS own = load_elements(row_a[j] + k / DVK_DEPTH);
// Macros, because the lane of a broadcast must be a literal before SPIR-V 1.5.
#define ADD(i, count)                                                                                                  \
    [[unroll]] for (uint c = 0; c < COLUMNS; c++) {                                                                    \
        [[unroll]] for (uint n = 0; n < DVK_DEPTH; n++) {                                                              \
            [[unroll]] for (uint r = 0; r < count; r++) {                                                              \
                uint t = j * LOCAL_SIZE + i + r;                                                                       \
                sum[t][c] = fma(vec4(row[r][n]), factor[n][c], sum[t][c]);                                             \
            }                                                                                                          \
        }                                                                                                              \
    }
#if DVK_DEPTH == 2
#define ADD_ROW(i)                                                                                                     \
    if (i < LOCAL_SIZE) {                                                                                              \
        ELEMENTS row[1];                                                                                               \
        row[0] = subgroupBroadcast(own, i);                                                                            \
        ADD(i, 1)                                                                                                      \
    }
#define ADD_FOUR_ROWS(i) ADD_ROW(i) ADD_ROW(i + 1) ADD_ROW(i + 2) ADD_ROW(i + 3)
#else // more factors than registers: four rows share each one that comes back from the stack
#define ADD_FOUR_ROWS(i)                                                                                               \
    if (i < LOCAL_SIZE) {                                                                                              \
        ELEMENTS row[4];                                                                                               \
        row[0] = subgroupBroadcast(own, i);                                                                            \
        row[1] = subgroupBroadcast(own, i + 1);                                                                        \
        row[2] = subgroupBroadcast(own, i + 2);                                                                        \
        row[3] = subgroupBroadcast(own, i + 3);                                                                        \
        ADD(i, 4)                                                                                                      \
    }
#endif
            ADD_FOUR_ROWS(0)
            ADD_FOUR_ROWS(4)
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
