// The element types of buffers whose loads dominate. A driver that loads lane by lane pays by the load, however wide,
// so DVK_INT64 makes each load fetch two words. It needs GL_EXT_shader_explicit_arithmetic_types_int64.

#if DVK_INT64
#define TWO_WORDS uint64_t
#define FOUR_FLOATS u64vec2

uvec2 unpack_two(uint64_t word) {
    return unpackUint2x32(word);
}

vec4 unpack_four(u64vec2 words) {
    return uintBitsToFloat(uvec4(unpackUint2x32(words.x), unpackUint2x32(words.y)));
}
#else
#define TWO_WORDS uvec2
#define FOUR_FLOATS vec4

uvec2 unpack_two(uvec2 words) {
    return words;
}

vec4 unpack_four(vec4 values) {
    return values;
}
#endif
