#include "synth_image.h"

static uint32_t lattice(uint32_t ix, uint32_t iy, uint32_t channel, uint32_t octave) {
    uint32_t h = ix * 0x8da6b343u ^ iy * 0xd8163841u;
    h ^= 0xcb1ab31fu * (channel + 1) + 0x165667b1u * (octave + 1);
    h ^= h >> 16;
    h *= 0x7feb352du;
    h ^= h >> 15;
    h *= 0x846ca68bu;
    h ^= h >> 16;
    return h >> 24;
}

static uint8_t synth_sample(uint32_t x, uint32_t y, uint32_t channel) {
    static const struct { uint32_t log2_period, weight; } octaves[4] = {{6, 8}, {4, 4}, {2, 2}, {0, 1}};

    uint32_t sum = 0;
    for (uint32_t o = 0; o < 4; o++) {
        const uint32_t shift = octaves[o].log2_period, period = 1u << shift;
        const uint32_t ix = x >> shift, iy = y >> shift, fx = x & (period - 1), fy = y & (period - 1);
        const uint32_t top = lattice(ix, iy, channel, o) * (period - fx) + lattice(ix + 1, iy, channel, o) * fx;
        const uint32_t bottom =
            lattice(ix, iy + 1, channel, o) * (period - fx) + lattice(ix + 1, iy + 1, channel, o) * fx;
        sum += octaves[o].weight * ((top * (period - fy) + bottom * fy) >> (2 * shift));
    }
    int32_t value = (int32_t)((2 * sum + 1920) / 15) - 256;
    value = value < 0 ? 0 : value > 255 ? 255 : value;
    return (uint8_t)((5 * x + 3 * y) >> (6 + channel) & 1 ? 255 - value : value);
}

void synth_image(uint32_t w, uint32_t h, uint8_t *rgb) {
    for (uint32_t y = 0; y < h; y++)
        for (uint32_t x = 0; x < w; x++)
            for (uint32_t channel = 0; channel < 3; channel++)
                *rgb++ = synth_sample(x, y, channel);
}
