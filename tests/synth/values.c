/* The numbers of the synthetic weights; see SYNTH.md. */
#include "synth.h"

#include <stdlib.h>
#include <string.h>

#define UNIT(x) ((int64_t)((x)*1048576)) /* a real number in units of 2^-20; exact for all that are used here */

typedef enum role {
    ROLE_TOKEN,
    ROLE_POSITION,
    ROLE_NORM_WEIGHT,
    ROLE_NORM_BIAS,
    ROLE_FINAL_NORM_WEIGHT,
    ROLE_FINAL_NORM_BIAS,
    ROLE_QUERY_KEY_WEIGHT,
    ROLE_QUERY_KEY_BIAS,
    ROLE_VALUE_WEIGHT,
    ROLE_VALUE_BIAS,
    ROLE_ATTENTION_OUTPUT_WEIGHT,
    ROLE_ATTENTION_OUTPUT_BIAS,
    ROLE_INTERMEDIATE_WEIGHT,
    ROLE_INTERMEDIATE_BIAS,
    ROLE_OUTPUT_WEIGHT,
    ROLE_OUTPUT_BIAS,
    ROLE_PATCH_WEIGHT,
    ROLE_PATCH_BIAS,
    ROLE_HEAD_WEIGHT,
    ROLE_HEAD_BIAS
} role;

typedef struct line {
    int64_t offset, scale; /* in units of 2^-20 */
} line;

uint64_t synth_fnv1a64(const void *bytes, size_t size) {
    const uint8_t *byte = bytes;
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ byte[i]) * 0x100000001b3;
    return hash;
}

static bool contains(const char *name, const char *part) {
    return strstr(name, part) != NULL;
}

/* The names of the ViT family only, so that a few substrings tell them apart. */
static role role_of(const char *name) {
    const char *last = strrchr(name, '.');
    last = last ? last + 1 : name;
    bool weight = !strcmp(last, "weight");
    if (!strcmp(last, "position_embeddings"))
        return ROLE_POSITION;
    if (!weight && strcmp(last, "bias"))
        return ROLE_TOKEN;
    if (contains(name, "layernorm_"))
        return weight ? ROLE_NORM_WEIGHT : ROLE_NORM_BIAS;
    if (contains(name, "layernorm."))
        return weight ? ROLE_FINAL_NORM_WEIGHT : ROLE_FINAL_NORM_BIAS;
    if (contains(name, ".query.") || contains(name, ".key."))
        return weight ? ROLE_QUERY_KEY_WEIGHT : ROLE_QUERY_KEY_BIAS;
    if (contains(name, ".value."))
        return weight ? ROLE_VALUE_WEIGHT : ROLE_VALUE_BIAS;
    if (contains(name, ".attention.output.dense."))
        return weight ? ROLE_ATTENTION_OUTPUT_WEIGHT : ROLE_ATTENTION_OUTPUT_BIAS;
    if (contains(name, ".intermediate.dense."))
        return weight ? ROLE_INTERMEDIATE_WEIGHT : ROLE_INTERMEDIATE_BIAS;
    if (contains(name, ".output.dense."))
        return weight ? ROLE_OUTPUT_WEIGHT : ROLE_OUTPUT_BIAS;
    if (contains(name, ".projection."))
        return weight ? ROLE_PATCH_WEIGHT : ROLE_PATCH_BIAS;
    return weight ? ROLE_HEAD_WEIGHT : ROLE_HEAD_BIAS; /* the classifier's and the pooler's */
}

static int layer_of(const char *name) {
    const char *found = strstr(name, ".layer.");
    return found ? atoi(found + strlen(".layer.")) : -1;
}

/* The floor of the square root, one bit at a time. */
static uint64_t integer_sqrt(uint64_t x) {
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 31; bit; bit >>= 1)
        if ((root | bit) * (root | bit) <= x)
            root |= bit;
    return root;
}

static line matrix_line(uint64_t gain, uint64_t fan_in) {
    return (line){0, (int64_t)integer_sqrt((3 * gain * gain << 24) / fan_in)};
}

static line line_of(role kind, int layer, uint64_t i, uint64_t rows, uint64_t fan_in, uint32_t heads) {
    static const uint64_t first_gains[6] = {128, 192, 256, 320, 384, 224};
    static const uint64_t gains[6] = {320, 512, 640, 768, 896, 448};
    const bool outlier = i % 193 == 41, large = !outlier && i % 29 == 7;
    switch (kind) {
    case ROLE_TOKEN:
        return (line){0, UNIT(1)};
    case ROLE_POSITION:
        return (line){0, UNIT(0.5)};
    case ROLE_NORM_WEIGHT:
        return outlier ? (line){UNIT(0.125), UNIT(0.0625)}
               : large ? (line){UNIT(4), UNIT(1)}
                       : (line){UNIT(1), UNIT(0.375)};
    case ROLE_NORM_BIAS:
        return (line){0, UNIT(0.375)};
    case ROLE_FINAL_NORM_WEIGHT:
        return outlier ? (line){UNIT(0.25), UNIT(0.125)}
               : large ? (line){UNIT(8), UNIT(2)}
                       : (line){UNIT(3), UNIT(1.5)};
    case ROLE_FINAL_NORM_BIAS:
        return (line){0, UNIT(1)};
    case ROLE_QUERY_KEY_WEIGHT: {
        uint64_t head = i / (rows / heads);
        return matrix_line((layer == 0 ? first_gains : gains)[head % 6], fan_in);
    }
    case ROLE_QUERY_KEY_BIAS:
        return (line){0, UNIT(0.5)};
    case ROLE_VALUE_WEIGHT:
    case ROLE_ATTENTION_OUTPUT_WEIGHT:
        return matrix_line(384, fan_in);
    case ROLE_VALUE_BIAS:
        return (line){0, UNIT(0.25)};
    case ROLE_ATTENTION_OUTPUT_BIAS:
        return (line){0, UNIT(0.125)};
    case ROLE_INTERMEDIATE_WEIGHT:
        return matrix_line(768, fan_in);
    case ROLE_INTERMEDIATE_BIAS:
        return (line){UNIT(-0.5), UNIT(1.5)};
    case ROLE_OUTPUT_WEIGHT:
        return matrix_line(outlier ? 384 : 112, fan_in);
    case ROLE_OUTPUT_BIAS:
        if (!outlier)
            return (line){0, UNIT(0.25)};
        return layer == 0 ? (line){i / 193 % 2 ? UNIT(-60) : UNIT(60), UNIT(12)} : (line){0, UNIT(4)};
    case ROLE_PATCH_WEIGHT:
        return matrix_line(192, fan_in);
    case ROLE_PATCH_BIAS:
        return (line){0, UNIT(0.25)};
    case ROLE_HEAD_WEIGHT:
        return matrix_line(128, fan_in);
    case ROLE_HEAD_BIAS:
        return (line){0, UNIT(0.5)};
    }
    return (line){0, 0};
}

static int64_t uniform(uint64_t base, uint64_t n) {
    uint64_t z = base + (n + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    return (int64_t)(z >> 40) - 8388608;
}

void synth_tensor(const char *name, uint64_t rows, uint64_t elements, uint32_t heads, float *values) {
    const uint64_t base = synth_fnv1a64(name, strlen(name)) ^ 1; /* the seed */
    const role kind = role_of(name);
    const int layer = layer_of(name);
    if (kind == ROLE_TOKEN || kind == ROLE_POSITION)
        rows = 1; /* one line for the whole tensor */
    const uint64_t fan_in = elements / rows;
    for (uint64_t row = 0; row < rows; row++) {
        const line l = line_of(kind, layer, row, rows, fan_in, heads);
        for (uint64_t n = row * fan_in; n < (row + 1) * fan_in; n++)
            values[n] = (float)((double)(l.offset * 8388608 + l.scale * uniform(base, n)) * 0x1p-43);
    }
}
