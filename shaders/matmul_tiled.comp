#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#if DVK_HALF
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif
// Matmul for GPUs: a workgroup computes a tile of the result; slices of both factors pass through shared memory, and an
// invocation keeps LANE_ROWS rows of two vec4 columns in registers. The lanes lie in a grid as wide as the tile's
// column pairs; a lane's rows are a grid height apart, so that neighbouring lanes read neighbouring rows.
//
// While one slice is multiplied, the next waits in registers; with BUFFERS = 2 it has a place of its own in shared
// memory, which saves one of two barriers a slice.
//
// With DVK_HALF the factors are half precision in shared memory, which is half of the traffic, and in the products,
// which are twice as fast where hardware packs them; HALF_SUMS of these are summed in half precision before fp32.

layout(constant_id = 1) const uint TILE_ROWS = 64;
layout(constant_id = 2) const uint TILE_COLUMNS = 64;
layout(constant_id = 3) const uint TILE_DEPTH = 16;
layout(constant_id = 4) const uint LANE_ROWS = 4;
layout(constant_id = 5) const uint BUFFERS = 1;
#if DVK_HALF
layout(constant_id = 6) const uint HALF_SUMS = 8;
#define FACTOR f16vec4
#else
#define FACTOR vec4
#endif

#include "matmul.glsl"
#include "matmul_input.glsl"

const uint DEPTH4 = TILE_DEPTH / 4;
const uint A_STRIDE = DEPTH4 + 1; // the odd stride spreads the rows over the banks
const uint W_STRIDE = TILE_COLUMNS / 4;
const uint SLICE_A = TILE_ROWS * A_STRIDE;
const uint SLICE_W = TILE_DEPTH * W_STRIDE;

shared FACTOR tile_a[BUFFERS * SLICE_A];
shared FACTOR tile_w[BUFFERS * SLICE_W];

#define ITEMS_A DIVIDE_UP(TILE_ROWS *DEPTH4, LOCAL_SIZE)
#define ITEMS_W DIVIDE_UP(SLICE_W, LOCAL_SIZE)
#define STEP_A (LOCAL_SIZE / DEPTH4)
#define STEP_W (LOCAL_SIZE / W_STRIDE)

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

    // All that a lane brings of a slice is of one column, its rows a step apart, as the slice's width divides the
    // workgroup. No compiler finds that by itself, and each address of its own is a register. Rows and columns beyond
    // the end repeat the last one: their products are never stored.
    uint own_k4 = lane() % DEPTH4;
    uint own_row = lane() / DEPTH4;
    uint own_k = lane() / W_STRIDE;
    uint column_w = min(first_weight4 + lane() % W_STRIDE, stride_w4 - 1);
    uint row_a[ITEMS_A];
    [[unroll]] for (uint i = 0; i < ITEMS_A; i++) {
        row_a[i] = input_row(min(first_row + own_row + i * STEP_A, push.rows - 1));
    }

    vec4 next_a[ITEMS_A];
    vec4 next_w[ITEMS_W];
// Steps beyond the depth repeat the first one and become zero in both factors, as nothing else vanishes for certain.
#define FETCH(first_k)                                                                                                 \
    [[unroll]] for (uint i = 0; i < ITEMS_A; i++) {                                                                    \
        uint k = (first_k) + own_k4 * 4;                                                                               \
        vec4 value = input_at(row_a[i], k < push.depth ? k : 0);                                                       \
        next_a[i] = k < push.depth ? value : vec4(0.0);                                                                \
    }                                                                                                                  \
    [[unroll]] for (uint i = 0; i < ITEMS_W; i++) {                                                                    \
        uint k = (first_k) + own_k + i * STEP_W;                                                                       \
        vec4 value = weight((k < push.depth ? k * stride_w4 : 0) + column_w);                                          \
        next_w[i] = k < push.depth ? value : vec4(0.0);                                                                \
    }
#define KEEP(buffer_a, buffer_w)                                                                                       \
    [[unroll]] for (uint i = 0; i < ITEMS_A; i++) {                                                                    \
        uint row = own_row + i * STEP_A;                                                                               \
        if (row < TILE_ROWS)                                                                                           \
            tile_a[(buffer_a) + row * A_STRIDE + own_k4] = FACTOR(next_a[i]);                                          \
    }                                                                                                                  \
    [[unroll]] for (uint i = 0; i < ITEMS_W; i++) {                                                                    \
        uint item = lane() + i * LOCAL_SIZE;                                                                           \
        if (item < SLICE_W)                                                                                            \
            tile_w[(buffer_w) + item] = FACTOR(next_w[i]);                                                             \
    }

    vec4 sum[LANE_ROWS][2];
    [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        sum[r][0] = vec4(0.0);
        sum[r][1] = vec4(0.0);
    }

    uint buffer_a = 0;
    uint buffer_w = 0;
    FETCH(0)
    KEEP(0, 0)
    barrier();
    for (uint first_k = 0; first_k < push.depth; first_k += TILE_DEPTH) {
        bool more = first_k + TILE_DEPTH < push.depth;
        if (more) {
            FETCH(first_k + TILE_DEPTH)
        }
#if DVK_HALF
        f16vec4 part[LANE_ROWS][2];
#define PART(r, i) part[r][i]
#else
#define PART(r, i) sum[r][i]
#endif
        [[unroll]] for (uint k4 = 0; k4 < DEPTH4; k4++) {
            FACTOR row_a[LANE_ROWS];
            [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
                row_a[r] = tile_a[buffer_a + (lane_row + r * grid_rows) * A_STRIDE + k4];
            }
#if DVK_HALF
            [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
                if (k4 % (HALF_SUMS / 4) == 0) {
                    part[r][0] = f16vec4(0.0);
                    part[r][1] = f16vec4(0.0);
                }
            }
#endif
#define STEP(k, component)                                                                                             \
    {                                                                                                                  \
        FACTOR w0 = tile_w[buffer_w + (4 * k4 + k) * W_STRIDE + lane_column];                                          \
        FACTOR w1 = tile_w[buffer_w + (4 * k4 + k) * W_STRIDE + lane_column + grid_columns];                           \
        [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {                                                              \
            PART(r, 0) += row_a[r].component * w0;                                                                     \
            PART(r, 1) += row_a[r].component * w1;                                                                     \
        }                                                                                                              \
    }
            STEP(0, x)
            STEP(1, y)
            STEP(2, z)
            STEP(3, w)
#if DVK_HALF
            [[unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
                if (k4 % (HALF_SUMS / 4) == HALF_SUMS / 4 - 1) {
                    sum[r][0] += vec4(part[r][0]);
                    sum[r][1] += vec4(part[r][1]);
                }
            }
#endif
        }
        if (BUFFERS == 1) {
            barrier();
        } else {
            buffer_a = SLICE_A - buffer_a;
            buffer_w = SLICE_W - buffer_w;
        }
        if (more) {
            KEEP(buffer_a, buffer_w)
        }
        barrier();
    }

    // Row by row, each moving up to the front, so that the epilogue's code is there once.
    [[dont_unroll]] for (uint r = 0; r < LANE_ROWS; r++) {
        uint row = first_row + lane_row + r * grid_rows;
        uint column4 = first_column4 + lane_column;
        if (row < push.rows) {
            if (4 * column4 < push.columns)
                store(row, column4, sum[0][0]);
            if (4 * (column4 + grid_columns) < push.columns)
                store(row, column4 + grid_columns, sum[0][1]);
        }
        [[unroll]] for (uint n = 0; n + 1 < LANE_ROWS; n++) {
            sum[n][0] = sum[n + 1][0];
            sum[n][1] = sum[n + 1][1];
        }
    }
}
