/* The model in models/dino-vk-tiny, embedded by tools/embed.py into whatever links models/meson.build's
 * `default_model_source`. The words hold the files' bytes; the sizes are in bytes. */
#ifndef DVK_DEFAULT_MODEL_H_
#define DVK_DEFAULT_MODEL_H_

#include <stddef.h>
#include <stdint.h>

/* As its model card has it. */
#define DEFAULT_MODEL_LICENCE "mit"

extern const uint64_t dvk_default_model_config[];
extern const size_t dvk_default_model_config_size;
extern const uint64_t dvk_default_model_preprocessor[];
extern const size_t dvk_default_model_preprocessor_size;
extern const uint64_t dvk_default_model_safetensors[];
extern const size_t dvk_default_model_safetensors_size;

#endif
