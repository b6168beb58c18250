#include "checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "bind.h"
#include "classifier.h"
#include "config.h"

dvk_result dvk_checkpoint_open(const dvk_model_params *params, dvk_checkpoint *checkpoint, dvk_error *error) {
    bool all_blocks = params && params->config_json && params->preprocessor_json && params->safetensors;
    bool any_block = params && (params->config_json || params->preprocessor_json || params->safetensors);
    if (!params || (params->path ? any_block : !all_blocks))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "a model needs either a path or all three of config_json, preprocessor_json and safetensors");
    dvk_checkpoint opened = {.allocator = params->allocator};
    const char *name = params->name ? params->name : params->path ? params->path : "memory";
    snprintf(opened.name, sizeof(opened.name), "%s", name);
    dvk_model_files *files = &opened.files;
    dvk_result result = dvk_model_files_open(params, opened.name, files, &opened.file, error);
    if (result == DVK_OK)
        result = dvk_config_parse(opened.allocator, files->config.bytes, files->config.size, files->config.path,
                                  &opened.config, error);
    if (result == DVK_OK)
        result = dvk_preprocess_config_parse(opened.allocator, files->preprocessor.bytes, files->preprocessor.size,
                                             files->preprocessor.path, &opened.preprocess, error);
    if (result == DVK_OK)
        result = dvk_bind_tensors(&opened, error);
    if (result == DVK_OK && params->classifier_path)
        result = dvk_classifier_open(params->classifier_path, &opened, error);
    if (result != DVK_OK) {
        dvk_checkpoint_close(&opened);
        return result;
    }
    *checkpoint = opened;
    return DVK_OK;
}

void dvk_checkpoint_close(dvk_checkpoint *checkpoint) {
    dvk_classifier_close(&checkpoint->classifier);
    dvk_tensor_list_free(&checkpoint->file);
    dvk_model_files_close(&checkpoint->files);
    dvk_config_free(checkpoint->allocator, &checkpoint->config);
    dvk_release(checkpoint->allocator, checkpoint->layers);
    memset(checkpoint, 0, sizeof(*checkpoint));
}
