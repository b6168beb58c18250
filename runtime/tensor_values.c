/* The numbers inside tensors: float32, IEEE binary16 and bfloat16, which is the upper half of a float32. */
#include "checkpoint.h"

#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors data is little-endian and is read in place; this host is not"
#endif

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

float dvk_half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
    if (exponent == 31)
        return float_of(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24f; /* zero and subnormal halves; exact */
        return sign ? -magnitude : magnitude;
    }
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t dvk_float_to_half(float value) {
    uint32_t bits = bits_of(value);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) /* a NaN stays one: keep its upper bits, and make it quiet */
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00);
    uint32_t kept, rest, tie;
    if (magnitude < 0x38800000) { /* below 2^-14: counted in units of 2^-24 */
        if (magnitude < 0x33000000)
            return (uint16_t)sign; /* below 2^-25, half of the least */
        uint32_t shift = 126 - (magnitude >> 23), fraction = (magnitude & 0x7fffff) | 0x800000;
        kept = fraction >> shift;
        rest = fraction & ((1u << shift) - 1);
        tie = 1u << (shift - 1);
    } else {
        kept = (magnitude - 0x38000000) >> 13;
        rest = magnitude & 0x1fff;
        tie = 0x1000;
    }
    /* To nearest, ties to even, without a branch that nobody could predict. A carry into the exponent is what rounding
     * up to the next power of two is. */
    kept += rest + (kept & 1) > tie;
    return (uint16_t)(sign | kept);
}

void dvk_tensor_to_float(const dvk_tensor *tensor, uint64_t first, uint64_t count, float *values) {
    const uint8_t *bytes = tensor->data;
    if (count == 0)
        return;
    if (tensor->dtype == DVK_DTYPE_F32) {
        memcpy(values, bytes + first * 4, count * 4);
        return;
    }
    bytes += first * 2;
    for (uint64_t i = 0; i < count; i++) {
        uint16_t stored;
        memcpy(&stored, bytes + i * 2, sizeof(stored)); /* tensors may be unaligned */
        values[i] = tensor->dtype == DVK_DTYPE_F16 ? dvk_half_to_float(stored) : float_of((uint32_t)stored << 16);
    }
}
