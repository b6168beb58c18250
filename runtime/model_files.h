/* What a model is made of, found beside each other and mapped: the two configurations as text, the weights as tensors
 * by name, whatever container holds them. What they mean is checkpoint.c's business. */
#ifndef DVK_MODEL_FILES_H_
#define DVK_MODEL_FILES_H_

#include "dino_names.h"
#include "map_file.h"
#include "safetensors.h"

enum { DVK_MODEL_PATH_LIMIT = 4096 };

typedef struct dvk_model_text {
    const void *bytes;
    size_t size;
    char path[DVK_MODEL_PATH_LIMIT]; /* for messages */
} dvk_model_text;

typedef struct dvk_model_files {
    const dvk_allocator *allocator;      /* must outlive it */
    dvk_model_text config, preprocessor; /* JSON */

    /* what holds the memory; private to model_files.c */
    dvk_mapping *mappings; /* the weights' file first; NULL where the caller holds all the memory */
    size_t mapping_count;
    dvk_dino_texts texts; /* made up where the weights come without configuration */
} dvk_model_files;

/* params->path or the three memory blocks, and the allocator; the other fields are ignored. A directory's weights are
 * the first of model.safetensors, model.safetensors.index.json, pytorch_model.bin and pytorch_model.bin.index.json.
 * `name` is what messages call a model in memory. The tensors point into what `files` holds: free them with
 * dvk_tensor_list_free() and close the files after.
 */
dvk_result dvk_model_files_open(const dvk_model_params *params, const char *name, dvk_model_files *files,
                                dvk_tensor_list *tensors, dvk_error *error);
void dvk_model_files_close(dvk_model_files *files);

#endif
