#include "colours.h"

#include <math.h>

enum { CHANNELS = 3, ITERATIONS = 8 };

static float dot(const float *a, const float *b, size_t length) {
    float sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add_scaled(float *to, const float *from, float factor, size_t length) {
    for (size_t i = 0; i < length; i++)
        to[i] += factor * from[i];
}

static void centre(float *patches, size_t count, size_t length) {
    for (size_t i = 0; i < length; i++) {
        float mean = 0;
        for (size_t p = 0; p < count; p++)
            mean += patches[p * length + i] / (float)count;
        for (size_t p = 0; p < count; p++)
            patches[p * length + i] -= mean;
    }
}

/* direction = X^T X direction, without what the directions before it have; of length 1. */
static void iterate(const float *patches, size_t count, size_t length, float *basis, size_t channel) {
    float *direction = basis + channel * length;
    float next[4096] = {0};
    for (size_t p = 0; p < count; p++)
        add_scaled(next, patches + p * length, dot(patches + p * length, direction, length), length);
    for (size_t c = 0; c < channel; c++)
        add_scaled(next, basis + c * length, -dot(next, basis + c * length, length), length);
    const float norm = sqrtf(dot(next, next, length));
    for (size_t i = 0; i < length; i++)
        direction[i] = norm > 0 ? next[i] / norm : 0;
}

static void scale_scores(const float *patches, size_t count, size_t length, const float *direction, uint8_t *colours) {
    float least = INFINITY, most = -INFINITY;
    for (size_t p = 0; p < count; p++) {
        const float score = dot(patches + p * length, direction, length);
        least = fminf(least, score);
        most = fmaxf(most, score);
    }
    for (size_t p = 0; p < count; p++) {
        const float score = dot(patches + p * length, direction, length);
        colours[p * CHANNELS] = most > least ? (uint8_t)(255 * (score - least) / (most - least)) : 0;
    }
}

void patch_colours(float *patches, size_t count, size_t length, float *basis, uint8_t *colours) {
    centre(patches, count, length);
    for (size_t c = 0; c < CHANNELS; c++) {
        if (dot(basis + c * length, basis + c * length, length) == 0)
            for (size_t i = 0; i < length; i++)
                basis[c * length + i] = i % CHANNELS == c ? 1 : 0;
    }
    for (int i = 0; i < ITERATIONS; i++)
        for (size_t c = 0; c < CHANNELS; c++)
            iterate(patches, count, length, basis, c);
    for (size_t c = 0; c < CHANNELS; c++)
        scale_scores(patches, count, length, basis + c * length, colours + c);
}
