/* Synthetic checkpoints and test images, specified to the bit in SYNTH.md: the tests' models have the shapes, names and
 * layout of the published ones, and activations that behave like a trained network's. Integer arithmetic up to one
 * rounding, so that every compiler and every option gives the same files. */
#ifndef SYNTH_H_
#define SYNTH_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum synth_dtype {
    SYNTH_DTYPE_OF_MODEL = 0, /* F32 for all but "default" */
    SYNTH_F32,
    SYNTH_F16, /* the float32 values rounded to nearest even */
    SYNTH_BF16
} synth_dtype;

typedef enum synth_choice { SYNTH_AS_MODEL = 0, SYNTH_WITH, SYNTH_WITHOUT } synth_choice;

/* All zero: the model as SYNTH.md has it; NULL instead of the struct means the same. */
typedef struct synth_options {
    synth_dtype dtype;
    synth_choice prefix; /* the family's, as "vit.", before the names; the values stay those of the model */
    synth_choice pooler;
    bool mixed_dtype; /* vectors, tokens and positions stay F32 whatever `dtype` says */
} synth_options;

/* The models' names; NULL ends the list. */
extern const char *const synth_models[];

/* Writes config.json, preprocessor_config.json and model.safetensors into `directory`, which is made if need be (its
 * parent must exist). False: unknown model, or the files could not be written (errno tells). */
bool synth_write_model(const char *model, const char *directory, const synth_options *options);

/* One tensor's values by its name as the model has it; elements = product of the shape, rows = its first extent. */
void synth_tensor(const char *name, uint64_t rows, uint64_t elements, uint32_t heads, float *values);

/* The test image: [height][width][3] bytes. */
void synth_image(uint32_t width, uint32_t height, uint8_t *pixels);

uint64_t synth_fnv1a64(const void *bytes, size_t size);

#endif
