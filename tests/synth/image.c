/* The pixels of the synthetic test image; see SYNTH.md. */
#include "synth.h"

static uint32_t lattice(uint32_t x, uint32_t y, uint32_t channel, uint32_t octave) {
    uint32_t h = x * 0x8da6b343 ^ y * 0xd8163841;
    h ^= 0xcb1ab31fu * (channel + 1) + 0x165667b1u * (octave + 1);
    h = (h ^ h >> 16) * 0x7feb352d;
    h = (h ^ h >> 15) * 0x846ca68b;
    return (h ^ h >> 16) >> 24;
}

static uint8_t pixel(uint32_t x, uint32_t y, uint32_t channel) {
    static const uint32_t shifts[4] = {6, 4, 2, 0}, weights[4] = {8, 4, 2, 1};
    uint32_t sum = 0;
    for (uint32_t octave = 0; octave < 4; octave++) {
        const uint32_t shift = shifts[octave], period = 1u << shift;
        const uint32_t ix = x >> shift, iy = y >> shift, fx = x & (period - 1), fy = y & (period - 1);
        const uint32_t top =
            lattice(ix, iy, channel, octave) * (period - fx) + lattice(ix + 1, iy, channel, octave) * fx;
        const uint32_t bottom =
            lattice(ix, iy + 1, channel, octave) * (period - fx) + lattice(ix + 1, iy + 1, channel, octave) * fx;
        sum += weights[octave] * ((top * (period - fy) + bottom * fy) >> (2 * shift));
    }
    int32_t value = (int32_t)((2 * sum + 1920) / 15) - 256;
    value = value < 0 ? 0 : value > 255 ? 255 : value;
    return (uint8_t)((5 * x + 3 * y) >> (6 + channel) & 1 ? 255 - value : value);
}

void synth_image(uint32_t width, uint32_t height, uint8_t *pixels) {
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t channel = 0; channel < 3; channel++)
                *pixels++ = pixel(x, y, channel);
}
