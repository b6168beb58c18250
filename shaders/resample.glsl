// One pass of Pillow's separable resampling (runtime/resample.c): integer arithmetic, so that every device gives the
// same bytes as the CPU. The including shader defines level() and value(), a pixel of the pass's input as bytes and as
// floats.

layout(set = 0, binding = 1) readonly buffer Table {
    uint table[];
};

ivec3 level(ivec2 place);
vec3 value(ivec2 place);

const int PRECISION_BITS = 22;

struct taps {
    ivec2 first, step;
    uint count, weights;
};

taps taps_of(uint x, uint y) {
    uint along = push.vertical != 0 ? y : x;
    int first = int(table[push.pairs + 2 * along]);
    taps t;
    t.first = push.vertical != 0 ? ivec2(push.across + x, first) : ivec2(first, push.across + y);
    t.step = push.vertical != 0 ? ivec2(0, 1) : ivec2(1, 0);
    t.count = table[push.pairs + 2 * along + 1];
    t.weights = push.weights + along * push.stride;
    return t;
}

// Without taps, as where a crop is larger than the picture: 0, black.
ivec3 sum_of_levels(taps t) {
    ivec3 sum = ivec3(1 << (PRECISION_BITS - 1));
    for (uint k = 0; k < t.count; k++)
        sum += int(table[t.weights + k]) * level(t.first + int(k) * t.step);
    return clamp(sum >> PRECISION_BITS, 0, 255);
}

vec3 sum_of_values(taps t) {
    vec3 sum = vec3(0.0);
    for (uint k = 0; k < t.count; k++)
        sum += uintBitsToFloat(table[t.weights + k]) * value(t.first + int(k) * t.step);
    return sum;
}
