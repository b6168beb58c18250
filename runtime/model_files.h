/* What a model is made of, found beside each other and mapped: the two configurations as text, the weights as tensors
 * by name. What they mean is checkpoint.c's business. */
#ifndef DVK_MODEL_FILES_H_
#define DVK_MODEL_FILES_H_

#include "map_file.h"
#include "safetensors.h"

typedef struct dvk_model_text {
    const void *bytes;
    size_t size;
    char path[1024]; /* for messages */
} dvk_model_text;

typedef struct dvk_model_files {
    dvk_model_text config, preprocessor; /* JSON */

    /* what holds the memory; private to model_files.c */
    dvk_mapping *mappings; /* the weights' file first; NULL where the caller holds all the memory */
    size_t mapping_count;
} dvk_model_files;

/* params->path or the three memory blocks; the other fields are ignored. `name` is what messages call a model in
 * memory. The tensors point into what `files` holds: free them with dvk_safetensors_free() and close the files after.
 */
dvk_result dvk_model_files_open(const dvk_model_params *params, const char *name, dvk_model_files *files,
                                dvk_safetensors *tensors, dvk_error *error);
void dvk_model_files_close(dvk_model_files *files);

#endif
