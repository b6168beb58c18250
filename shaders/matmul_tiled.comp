#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Matmul for GPUs: a workgroup computes a tile of the result; slices of both factors pass through shared memory, and an
// invocation keeps LANE_ROWS rows of two vec4 columns in registers. The lanes lie in a grid as wide as the tile's
// column pairs; a lane's rows are a grid height apart, so that neighbouring lanes read neighbouring rows.

layout(constant_id = 1) const uint TILE_ROWS = 64;
layout(constant_id = 2) const uint TILE_COLUMNS = 64;
layout(constant_id = 3) const uint TILE_DEPTH = 16;
layout(constant_id = 4) const uint LANE_ROWS = 4;

#include "matmul.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    vec4 a[];
};

const uint DEPTH4 = TILE_DEPTH / 4;
const uint A_STRIDE = DEPTH4 + 1; // the odd stride spreads the rows over the banks
const uint W_STRIDE = TILE_COLUMNS / 4;

shared vec4 tile_a[TILE_ROWS * A_STRIDE];
shared vec4 tile_w[TILE_DEPTH * W_STRIDE];

void main() {
    uint group = linear_group();
    if (group >= push.group_end)
        return;
    uint column_tiles = divide_up(push.columns, TILE_COLUMNS);
    uint first_row = group / column_tiles * TILE_ROWS;
    uint first_column4 = group % column_tiles * W_STRIDE;
    uint first_weight4 = push.first_column / 4 + first_column4;
    uint stride_w4 = push.w_stride / 4;

    const uint grid_columns = W_STRIDE / 2;
    const uint grid_rows = TILE_ROWS / LANE_ROWS;
    uint lane_column = lane() % grid_columns;
    uint lane_row = lane() / grid_columns;

    vec4 sum[LANE_ROWS][2];
    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        sum[r][0] = vec4(0.0);
        sum[r][1] = vec4(0.0);
    }

    for (uint first_k = 0; first_k < push.depth; first_k += TILE_DEPTH) {
        for (uint i = lane(); i < TILE_ROWS * DEPTH4; i += LOCAL_SIZE) {
            uint row = i / DEPTH4;
            uint k4 = i % DEPTH4;
            bool inside = first_row + row < push.rows && first_k + 4 * k4 < push.depth;
            vec4 value = vec4(0.0);
            if (inside)
                value = a[(first_row + row) * (push.a_stride / 4) + first_k / 4 + k4];
            tile_a[row * A_STRIDE + k4] = value;
        }
        for (uint i = lane(); i < TILE_DEPTH * W_STRIDE; i += LOCAL_SIZE) {
            uint k = i / W_STRIDE;
            uint column4 = i % W_STRIDE;
            bool inside = first_k + k < push.depth && first_weight4 + column4 < stride_w4;
            vec4 value = vec4(0.0);
            if (inside)
                value = weight((first_k + k) * stride_w4 + first_weight4 + column4);
            tile_w[i] = value;
        }
        barrier();
        [[unroll]] for (uint k4 = 0; k4 < DEPTH4; k4++) {
            vec4 row_a[LANE_ROWS];
            [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
                row_a[r] = tile_a[(lane_row + r * grid_rows) * A_STRIDE + k4];
            }
#define STEP(k, component)                                                                                             \
    {                                                                                                                  \
        vec4 w0 = tile_w[(4 * k4 + k) * W_STRIDE + lane_column];                                                       \
        vec4 w1 = tile_w[(4 * k4 + k) * W_STRIDE + lane_column + grid_columns];                                        \
        [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {                                                              \
            sum[r][0] += row_a[r].component * w0;                                                                      \
            sum[r][1] += row_a[r].component * w1;                                                                      \
        }                                                                                                              \
    }
            STEP(0, x)
            STEP(1, y)
            STEP(2, z)
            STEP(3, w)
        }
        barrier();
    }

    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        uint row = first_row + lane_row + r * grid_rows;
        uint column4 = first_column4 + lane_column;
        if (row < push.rows) {
            if (4 * column4 < push.columns)
                store(row, column4, sum[r][0]);
            if (4 * (column4 + grid_columns) < push.columns)
                store(row, column4 + grid_columns, sum[r][1]);
        }
    }
}
