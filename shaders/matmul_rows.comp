#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// Matmul for software drivers, where a workgroup's lanes are one SIMD vector and a barrier costs more than memory: no
// shared memory. The lanes lie over the columns, two vec4 each; all of them read the same ROWS rows of `a`.

layout(constant_id = 1) const uint ROWS = 12;

#include "matmul.glsl"

void main() {
    // A group beyond the end does no work, but does not return either: the drivers load what all lanes share by one
    // scalar instruction only where no lane can be masked off.
    uint group = linear_group();
    bool live = group < push.group_end;
    uint depth4 = live ? push.depth / 4 : 0;

    uint column_tiles = divide_up(push.columns, 8 * LOCAL_SIZE);
    uint first_row = group / column_tiles * ROWS;
    uint column4 = group % column_tiles * (2 * LOCAL_SIZE) + lane();
    uint stride_w4 = push.w_stride / 4;
    uint w0 = min(push.first_column / 4 + column4, stride_w4 - 1);
    uint w1 = min(push.first_column / 4 + column4 + LOCAL_SIZE, stride_w4 - 1);

    uint row_a[ROWS];
    vec4 sum[ROWS][2];
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        row_a[r] = min(first_row + r, push.rows - 1) * (push.a_stride / 4);
        sum[r][0] = vec4(0.0);
        sum[r][1] = vec4(0.0);
    }

    for (uint k4 = 0; k4 < depth4; k4++) {
        vec4 value[ROWS];
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            value[r] = a[row_a[r] + k4];
        }
#define STEP(component)                                                                                                \
    {                                                                                                                  \
        vec4 v0 = weight(w0);                                                                                          \
        vec4 v1 = weight(w1);                                                                                          \
        [[unroll]] for (uint r = 0; r < ROWS; r++) {                                                                   \
            sum[r][0] += value[r].component * v0;                                                                      \
            sum[r][1] += value[r].component * v1;                                                                      \
        }                                                                                                              \
        w0 += stride_w4;                                                                                               \
        w1 += stride_w4;                                                                                               \
    }
        STEP(x)
        STEP(y)
        STEP(z)
        STEP(w)
    }

    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        if (live && first_row + r < push.rows) {
            if (4 * column4 < push.columns)
                store(first_row + r, column4, sum[r][0]);
            if (4 * (column4 + LOCAL_SIZE) < push.columns)
                store(first_row + r, column4 + LOCAL_SIZE, sum[r][1]);
        }
    }
}
