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
    ROLE_HEAD_BIAS,
    ROLE_IN_WEIGHT,
    ROLE_IN_BIAS,
    ROLE_LAYER_SCALE
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

/* A name's last four parts between dots; empty where it has fewer. */
typedef struct parts {
    char text[4][48]; /* the last one first */
} parts;

static parts split(const char *name) {
    parts p = {0};
    const char *end = name + strlen(name);
    for (int i = 0; i < 4 && end > name; i++) {
        const char *start = end;
        while (start > name && start[-1] != '.')
            start--;
        size_t length = (size_t)(end - start) < sizeof(p.text[i]) ? (size_t)(end - start) : sizeof(p.text[i]) - 1;
        memcpy(p.text[i], start, length);
        end = start > name ? start - 1 : name;
    }
    return p;
}

static bool is_one_of(const char *text, const char *const *words) {
    for (; *words; words++)
        if (!strcmp(text, *words))
            return true;
    return false;
}
#define IS_ONE_OF(text, ...) is_one_of((text), (const char *const[]){__VA_ARGS__, NULL})

/* The number behind "layer." or "layers."; -1 where there is none. */
static int layer_of(const char *name) {
    for (const char *part = name; part; part = strchr(part, '.') ? strchr(part, '.') + 1 : NULL) {
        size_t length = !strncmp(part, "layers.", 7) ? 7 : !strncmp(part, "layer.", 6) ? 6 : 0;
        if (length && part[length] >= '0' && part[length] <= '9')
            return atoi(part + length);
    }
    return -1;
}

/* The table of SYNTH.md, line by line. */
static role role_of(const char *name) {
    const parts p = split(name);
    const char *last = p.text[0], *module = p.text[1], *parent = p.text[2], *grandparent = p.text[3];
    const bool weight = !strcmp(last, "weight"), dense = !strcmp(module, "dense");
    if (!strcmp(last, "lambda1"))
        return ROLE_LAYER_SCALE;
    if (!strcmp(last, "in_proj_weight"))
        return ROLE_IN_WEIGHT;
    if (!strcmp(last, "in_proj_bias"))
        return ROLE_IN_BIAS;
    if (!strcmp(last, "position_embeddings") || (weight && !strcmp(module, "position_embedding")))
        return ROLE_POSITION;
    if (!weight && strcmp(last, "bias"))
        return ROLE_TOKEN;
    if (strstr(module, "norm")) {
        bool final =
            IS_ONE_OF(module, "layernorm", "post_layernorm", "norm") && layer_of(name) < 0 && strcmp(parent, "head");
        if (final)
            return weight ? ROLE_FINAL_NORM_WEIGHT : ROLE_FINAL_NORM_BIAS;
        return weight ? ROLE_NORM_WEIGHT : ROLE_NORM_BIAS;
    }
    if (IS_ONE_OF(module, "query", "key", "q_proj", "k_proj"))
        return weight ? ROLE_QUERY_KEY_WEIGHT : ROLE_QUERY_KEY_BIAS;
    if (IS_ONE_OF(module, "value", "v_proj"))
        return weight ? ROLE_VALUE_WEIGHT : ROLE_VALUE_BIAS;
    if (IS_ONE_OF(module, "out_proj", "o_proj") ||
        (dense && !strcmp(parent, "output") && !strcmp(grandparent, "attention")))
        return weight ? ROLE_ATTENTION_OUTPUT_WEIGHT : ROLE_ATTENTION_OUTPUT_BIAS;
    if (IS_ONE_OF(module, "fc1", "up_proj", "gate_proj", "weights_in") || (dense && !strcmp(parent, "intermediate")))
        return weight ? ROLE_INTERMEDIATE_WEIGHT : ROLE_INTERMEDIATE_BIAS;
    if (IS_ONE_OF(module, "fc2", "down_proj", "weights_out") || (dense && !strcmp(parent, "output")))
        return weight ? ROLE_OUTPUT_WEIGHT : ROLE_OUTPUT_BIAS;
    if (IS_ONE_OF(module, "projection", "patch_embedding", "patch_embeddings"))
        return weight ? ROLE_PATCH_WEIGHT : ROLE_PATCH_BIAS;
    return weight ? ROLE_HEAD_WEIGHT : ROLE_HEAD_BIAS; /* classifiers, projections, the pooler */
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
    case ROLE_IN_WEIGHT: { /* query, key, value */
        static const uint64_t thirds[3] = {512, 256, 128};
        return matrix_line(thirds[i / (rows / 3)], fan_in);
    }
    case ROLE_IN_BIAS:
        return (line){0, UNIT(0.25)};
    case ROLE_LAYER_SCALE:
        return outlier ? (line){UNIT(1), 0} : (line){UNIT(0.5), UNIT(0.5)};
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
