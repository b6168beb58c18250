#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
// Matmul of half-precision factors with fp32 sums on cooperative matrices (tensor cores and the like). Slices of both
// factors go through shared memory in two buffers: while one is multiplied, the next is on its way through registers.
// Each subgroup computes SUBGROUP_ROWS * SUBGROUP_COLUMNS of the tile.
//
// In shared memory both slices have k as their fast index, eight halves in a uvec4: that is how the fragments of the
// two factors lie in the registers of all hardware we know, so that a fragment is read in 16-byte pieces. Rows are
// padded by one uvec4, which spreads them over the banks; 16 bytes are also the alignment that
// VK_KHR_cooperative_matrix asks of a row.

layout(constant_id = 1) const uint TILE_ROWS = 64;
layout(constant_id = 2) const uint TILE_COLUMNS = 64;
layout(constant_id = 3) const uint TILE_DEPTH = 32;
layout(constant_id = 4) const uint SUBGROUP_ROWS = 32;
layout(constant_id = 5) const uint SUBGROUP_COLUMNS = 32;
layout(constant_id = 6) const uint M = 16;
layout(constant_id = 7) const uint N = 16;
layout(constant_id = 8) const uint K = 16;
layout(constant_id = 9) const uint SHARED = 1280; // uvec4s; both buffers, or the staging area of all subgroups

#define DVK_WEIGHT_PAIRS
#include "matmul.glsl"
#include "matmul_input.glsl"

shared uvec4 block[SHARED];

const uint DEPTH8 = TILE_DEPTH / 8;
const uint STRIDE = DEPTH8 + 1; // of a row of either slice
const uint SLICE_A = TILE_ROWS * STRIDE;
const uint SLICE_W = TILE_COLUMNS * STRIDE;
const uint SLICES = SLICE_A + SLICE_W;

const uint ROW_FRAGMENTS = SUBGROUP_ROWS / M;
const uint COLUMN_FRAGMENTS = SUBGROUP_COLUMNS / N;
const uint FRAGMENTS = ROW_FRAGMENTS * COLUMN_FRAGMENTS;

const uint COLUMNS2 = TILE_COLUMNS / 2;

// What a lane carries from memory to shared memory: eight steps of k of one row of `a`, and of two columns of `w`.
#define ITEMS_A DIVIDE_UP(TILE_ROWS *DEPTH8, LOCAL_SIZE)
#define ITEMS_W DIVIDE_UP(COLUMNS2 *DEPTH8, LOCAL_SIZE)

// Not packHalf2x16(), whose rounding Vulkan leaves open: some drivers cut off.
uvec4 to_halves(vec4 low, vec4 high) {
    f16vec4 l = f16vec4(low), h = f16vec4(high);
    return uvec4(packFloat2x16(l.xy), packFloat2x16(l.zw), packFloat2x16(h.xy), packFloat2x16(h.zw));
}

void main() {
    uint group = linear_group();
    if (group >= push.group_end)
        return;
    uint column_tiles = divide_up(push.columns, TILE_COLUMNS);
    uint first_row = group / column_tiles * TILE_ROWS;
    uint first_column = group % column_tiles * TILE_COLUMNS;
    uint stride_w2 = push.w_stride / 2;

    // Rows and columns beyond the end repeat the last one: their products are never stored. Steps beyond the depth, a
    // multiple of 4, repeat the first ones and are then masked to zero in both factors.
    uint row_a[ITEMS_A];
    uint column_w[ITEMS_W];
    [[unroll]] for (uint i = 0; i < ITEMS_A; i++) {
        row_a[i] = input_row(min(first_row + (lane() + i * LOCAL_SIZE) / DEPTH8, push.rows - 1));
    }
    [[unroll]] for (uint i = 0; i < ITEMS_W; i++) {
        uint column2 = (lane() + i * LOCAL_SIZE) % COLUMNS2;
        column_w[i] = min((push.first_column + first_column) / 2 + column2, stride_w2 - 1);
    }

    vec4 next_a[ITEMS_A][2];
    uint next_w[ITEMS_W][8];
// All that a lane brings of A is of the same steps, as DEPTH8 divides the workgroup; no compiler finds that by itself.
#define STEP_A(first_k) ((first_k) + lane() % DEPTH8 * 8)
#define STEP_W(first_k, i) ((first_k) + (lane() + (i)*LOCAL_SIZE) / COLUMNS2 * 8)
#define FETCH(first_k)                                                                                                 \
    [[unroll]] for (uint i = 0; i < ITEMS_A; i++) {                                                                    \
        [[unroll]] for (uint j = 0; j < 2; j++) {                                                                      \
            uint k = STEP_A(first_k) + 4 * j;                                                                          \
            next_a[i][j] = input_at(row_a[i], k < push.depth ? k : 0);                                                 \
        }                                                                                                              \
    }                                                                                                                  \
    [[unroll]] for (uint i = 0; i < ITEMS_W; i++) {                                                                    \
        [[unroll]] for (uint j = 0; j < 2; j++) {                                                                      \
            uint k = STEP_W(first_k, i) + 4 * j;                                                                       \
            uint index = (k < push.depth ? k * stride_w2 : 0) + column_w[i];                                           \
            next_w[i][4 * j] = w[index];                                                                               \
            next_w[i][4 * j + 1] = w[index + stride_w2];                                                               \
            next_w[i][4 * j + 2] = w[index + 2 * stride_w2];                                                           \
            next_w[i][4 * j + 3] = w[index + 3 * stride_w2];                                                           \
        }                                                                                                              \
    }
#define MASK(k) uvec4(uvec2((k) < push.depth ? ~0u : 0u), uvec2((k) + 4 < push.depth ? ~0u : 0u))
#define KEEP(slices, first_k)                                                                                          \
    [[unroll]] for (uint i = 0; i < ITEMS_A; i++) {                                                                    \
        uint item = lane() + i * LOCAL_SIZE;                                                                           \
        uvec4 halves = to_halves(next_a[i][0], next_a[i][1]) & MASK(STEP_A(first_k));                                  \
        if (item < TILE_ROWS * DEPTH8)                                                                                 \
            block[(slices) + item / DEPTH8 * STRIDE + item % DEPTH8] = halves;                                         \
    }                                                                                                                  \
    [[unroll]] for (uint i = 0; i < ITEMS_W; i++) {                                                                    \
        uint item = lane() + i * LOCAL_SIZE;                                                                           \
        uint target = (slices) + SLICE_A + item % COLUMNS2 * (2 * STRIDE) + item / COLUMNS2;                           \
        uvec4 even = uvec4(next_w[i][0], next_w[i][2], next_w[i][4], next_w[i][6]) & MASK(STEP_W(first_k, i));         \
        uvec4 odd = uvec4(next_w[i][1], next_w[i][3], next_w[i][5], next_w[i][7]) & MASK(STEP_W(first_k, i));          \
        if (item < COLUMNS2 * DEPTH8) {                                                                                \
            block[target] = (even & 0xffff) | (odd << 16);                                                             \
            block[target + STRIDE] = (even >> 16) | (odd & 0xffff0000);                                                \
        }                                                                                                              \
    }

    coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> sum[FRAGMENTS];
    [[unroll]] for (uint i = 0; i < FRAGMENTS; i++) {
        sum[i] = coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>(0.0);
    }
    const uint subgroup_columns = TILE_COLUMNS / SUBGROUP_COLUMNS;
    uint own_row = gl_SubgroupID / subgroup_columns * SUBGROUP_ROWS;
    uint own_column = gl_SubgroupID % subgroup_columns * SUBGROUP_COLUMNS;

    uint slices = 0;
    FETCH(0)
    KEEP(slices, 0)
    barrier();
    for (uint first_k = 0; first_k < push.depth; first_k += TILE_DEPTH) {
        bool more = first_k + TILE_DEPTH < push.depth;
        if (more) {
            FETCH(first_k + TILE_DEPTH)
        }
        [[unroll]] for (uint k8 = 0; k8 < DEPTH8; k8 += K / 8) {
            coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> rows[ROW_FRAGMENTS];
            [[unroll]] for (uint r = 0; r < ROW_FRAGMENTS; r++) {
                coopMatLoad(rows[r], block, slices + (own_row + r * M) * STRIDE + k8, STRIDE,
                            gl_CooperativeMatrixLayoutRowMajor);
            }
            [[unroll]] for (uint c = 0; c < COLUMN_FRAGMENTS; c++) {
                coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> columns;
                coopMatLoad(columns, block, slices + SLICE_A + (own_column + c * N) * STRIDE + k8, STRIDE,
                            gl_CooperativeMatrixLayoutColumnMajor);
                [[unroll]] for (uint r = 0; r < ROW_FRAGMENTS; r++) {
                    sum[r * COLUMN_FRAGMENTS + c] = coopMatMulAdd(rows[r], columns, sum[r * COLUMN_FRAGMENTS + c]);
                }
            }
        }
        slices = SLICES - slices;
        if (more) {
            KEEP(slices, first_k + TILE_DEPTH)
        }
        barrier();
    }

    // The sums leave through shared memory, M rows of a subgroup at a time: only there is it known which is which. The
    // loop is not unrolled, so that the epilogue's code is there once, and arrays of matrices are indexed by constants.
    const uint columns4 = SUBGROUP_COLUMNS / 4;
    const uint staging_stride = columns4 + 1;
    uint staging = gl_SubgroupID * M * staging_stride;
    [[dont_unroll]] for (uint r = 0; r < ROW_FRAGMENTS; r++) {
        [[unroll]] for (uint i = 0; i < FRAGMENTS; i++) {
            if (i / COLUMN_FRAGMENTS == r)
                coopMatStore(sum[i], block, staging + i % COLUMN_FRAGMENTS * (N / 4), staging_stride,
                             gl_CooperativeMatrixLayoutRowMajor);
        }
        subgroupBarrier();
        [[dont_unroll]] for (uint i = gl_SubgroupInvocationID; i < M * columns4; i += gl_SubgroupSize) {
            uint row = first_row + own_row + r * M + i / columns4;
            uint column4 = (first_column + own_column) / 4 + i % columns4;
            if (row < push.rows && 4 * column4 < push.columns)
                store(row, column4, uintBitsToFloat(block[staging + i / columns4 * staging_stride + i % columns4]));
        }
        subgroupBarrier();
    }
}
