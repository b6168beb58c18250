#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Matmul for software drivers, where a workgroup's lanes are one SIMD vector and a barrier costs more than memory: no
// shared memory. The lanes lie over the columns, two vec4 each; all of them read the same ROWS rows of `a`.
//
// Measured on llvmpipe of Mesa 22.3 and 25.0, 785 x 1536 x 384, two cores: 24 and 34 GFLOP/s. `a` as vec4, four steps
// of k at once: 27 and 12. 12 rows of 4 vec4: 31 and 26.

layout(constant_id = 1) const uint ROWS = 16;

#include "matmul.glsl"

layout(set = 0, binding = 0) readonly buffer Input {
    float a[];
};

void main() {
    // A group beyond the end does no work, but does not return either: llvmpipe loads what all lanes share by one
    // scalar instruction only where no lane can have been masked off.
    uint group = linear_group();
    bool live = group < push.group_end;
    uint depth = live ? push.depth : 0;

    uint column_tiles = divide_up(push.columns, 8 * LOCAL_SIZE);
    uint first_row = group / column_tiles * ROWS;
    uint column4 = group % column_tiles * (2 * LOCAL_SIZE) + lane();
    uint stride_w4 = push.w_stride / 4;
    uint w0 = min(push.first_column / 4 + column4, stride_w4 - 1);
    uint w1 = min(push.first_column / 4 + column4 + LOCAL_SIZE, stride_w4 - 1);

    uint row_a[ROWS];
    vec4 sum[ROWS][2];
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        row_a[r] = min(first_row + r, push.rows - 1) * push.a_stride;
        sum[r][0] = vec4(0.0);
        sum[r][1] = vec4(0.0);
    }

    for (uint k = 0; k < depth; k++) {
        vec4 v0 = weight(w0 + k * stride_w4);
        vec4 v1 = weight(w1 + k * stride_w4);
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            float value = a[row_a[r] + k];
            sum[r][0] += value * v0;
            sum[r][1] += value * v1;
        }
    }

    // Row by row, each moving up to the front: the drivers take seconds to compile an unrolled epilogue, and keep
    // arrays that are indexed by a variable in slow memory.
    uint rows = live ? min(push.rows - first_row, ROWS) : 0;
    [[dont_unroll]] for (uint r = 0; r < rows; r++) {
        if (4 * column4 < push.columns)
            store(first_row + r, column4, sum[0][0]);
        if (4 * (column4 + LOCAL_SIZE) < push.columns)
            store(first_row + r, column4 + LOCAL_SIZE, sum[0][1]);
        [[unroll]] for (uint n = 0; n + 1 < ROWS; n++) {
            sum[n][0] = sum[n + 1][0];
            sum[n][1] = sum[n + 1][1];
        }
    }
}
