#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_cooperative_matrix : require
#include "ceiling.glsl"

layout(constant_id = 2) const uint M = 16;
layout(constant_id = 3) const uint N = 16;
layout(constant_id = 4) const uint K = 16;

// Each subgroup multiplies one matrix of halves by CHAINS others and adds to as many matrices of floats. The factors
// change from step to step and differ from chain to chain: a compiler that builds the product of simpler instructions
// would otherwise find that it is always the same.
void main() {
    coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> term =
        coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>(float16_t(push.term));
    coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> a =
        coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>(float16_t(0.5 * push.term));
    coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> b[CHAINS];
    coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> x[CHAINS];
    [[unroll]] for (uint c = 0; c < CHAINS; c++) {
        b[c] = coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB>(float16_t(push.term + 0.01 * float(c)));
        x[c] = coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>(float(c));
    }
    for (uint round = 0; round < push.rounds; round++)
        [[unroll]] for (uint step = 0; step < STEPS; step++) {
            [[unroll]] for (uint c = 0; c < CHAINS; c++) x[c] = coopMatMulAdd(a, b[c], x[c]);
            a = term - a;
        }
    [[unroll]] for (uint c = 1; c < CHAINS; c++) x[0] += x[c];
    uint subgroup = gl_WorkGroupID.x * gl_NumSubgroups + gl_SubgroupID;
    coopMatStore(x[0], result, subgroup * M * N, N, gl_CooperativeMatrixLayoutRowMajor);
}
