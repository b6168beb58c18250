/* config.json and preprocessor_config.json -> plain structs. */
#ifndef DVK_CONFIG_H_
#define DVK_CONFIG_H_

#include "checkpoint.h"

/* Keys that are missing have the value that transformers' configuration class gives them. `path` is for messages. */
dvk_result dvk_config_parse(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                            dvk_vit_config *config, dvk_error *error);

/* Frees the labels. */
void dvk_config_free(const dvk_allocator *allocator, dvk_vit_config *config);

/* All forms since 2021: `size` as a number, {height, width} or {shortest_edge}; missing keys, and those that are null,
 * as the image processor class has them that the file names. */
dvk_result dvk_preprocess_config_parse(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                                       dvk_preprocess_config *config, dvk_error *error);

#endif
