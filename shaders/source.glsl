// The first pass of the preprocessing, from a picture of the host's. The including shader defines texel(): red, green
// and blue of a place, from 0 to 1.

#define DVK_KERNEL_SOURCE
#include "common.glsl"
#include "resample.glsl"

layout(set = 0, binding = 2) writeonly buffer Between {
    uint between[];
};

vec3 texel(ivec2 place);

// The nearest byte. What is not a number becomes 0, as what is below it.
int byte_of(float value) {
    return int((value > 0.0 ? min(value, 1.0) : 0.0) * 255.0 + 0.5);
}

// The byte of the sRGB encoding (IEC 61966-2-1) of a linear value: the formula gives it or, with a driver's pow(), a
// neighbour; the exact thresholds decide.
int encoded_byte_of(float value) {
    float linear = value > 0.0 ? min(value, 1.0) : 0.0;
    float encoded = linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1.0 / 2.4) - 0.055;
    int byte = byte_of(encoded);
    if (byte > 0 && linear < uintBitsToFloat(table[DVK_RESIZE_THRESHOLDS + byte]))
        byte--;
    else if (byte < 255 && linear >= uintBitsToFloat(table[DVK_RESIZE_THRESHOLDS + byte + 1]))
        byte++;
    return byte;
}

ivec3 level(ivec2 place) {
    vec3 colour = texel(place);
    if (push.linear != 0)
        return ivec3(encoded_byte_of(colour.r), encoded_byte_of(colour.g), encoded_byte_of(colour.b));
    return ivec3(byte_of(colour.r), byte_of(colour.g), byte_of(colour.b));
}

vec3 value(ivec2 place) {
    return vec3(level(place));
}

void main() {
    uint index = linear_group() * LOCAL_SIZE + lane();
    if (linear_group() >= push.group_end || index >= push.width * push.height)
        return;
    taps t = taps_of(index % push.width, index / push.width);
    if (push.floats != 0) {
        vec3 sum = sum_of_values(t);
        between[3 * index] = floatBitsToUint(sum.r);
        between[3 * index + 1] = floatBitsToUint(sum.g);
        between[3 * index + 2] = floatBitsToUint(sum.b);
    } else {
        ivec3 sum = sum_of_levels(t);
        between[index] = uint(sum.r | sum.g << 8 | sum.b << 16);
    }
}
