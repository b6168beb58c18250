#include "model_input.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "default_model.h"
#include "model_path.h"

#ifndef PATH_MAX
#define PATH_MAX 4096
#endif

int model_read(const char *argument, const char *classifier, dvk_precision precision, dvk_context *context,
               dvk_model **model) {
    dvk_error error;
    char path[PATH_MAX];
    dvk_model_params params = {.precision = precision, .classifier_path = classifier};
    if (argument) {
        if (model_path_resolve(argument, path, sizeof(path), &error) != DVK_OK)
            return fail_library(EXIT_CODE_MODEL, &error);
        params.path = path;
        params.name = argument;
    } else {
        params.config_json = dvk_default_model_config;
        params.config_json_size = dvk_default_model_config_size;
        params.preprocessor_json = dvk_default_model_preprocessor;
        params.preprocessor_json_size = dvk_default_model_preprocessor_size;
        params.safetensors = dvk_default_model_safetensors;
        params.safetensors_size = dvk_default_model_safetensors_size;
        params.name = "the built-in model";
    }
    if (dvk_model_load(context, &params, model, &error) != DVK_OK)
        return fail_library(EXIT_CODE_MODEL, &error);
    return 0;
}

char *model_summary(const dvk_model_info *info, char text[256]) {
    snprintf(text, 256,
             "%s, %" PRIu32 " layers, %" PRIu32 " heads, D %" PRIu32 ", patch %" PRIu32
             ", %.1f M parameters, %s (stored as %s)",
             info->architecture, info->layers, info->heads, info->hidden_size, info->patch_size,
             (double)info->parameters * 1e-6, precision_name(info->precision), info->stored_dtype);
    return text;
}
