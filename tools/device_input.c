#include "device_input.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "disabled.h"
#include "message.h"
#include "variant_list.h"

#ifndef PATH_MAX
#define PATH_MAX 4096
#endif

/* Where compiled pipelines are kept: NULL for nowhere. */
static const char *cache_directory(const struct options *options, char path[PATH_MAX]) {
    if (options->no_cache)
        return NULL;
    const char *base = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int length;
    if (base && base[0] == '/') /* the XDG base directory specification: relative paths are to be ignored */
        length = snprintf(path, PATH_MAX, "%s/dino-vk", base);
    else if (home && home[0] == '/')
        length = snprintf(path, PATH_MAX, "%s/.cache/dino-vk", home);
#ifdef _WIN32
    else if (getenv("LOCALAPPDATA"))
        length = snprintf(path, PATH_MAX, "%s/dino-vk", getenv("LOCALAPPDATA"));
#endif
    else
        return NULL;
    return length > 0 && length < PATH_MAX ? path : NULL;
}

static void print_log(void *user, dvk_log_level level, const char *message) {
    (void)user;
    (void)level;
    note("%s", message);
}

int device_open(const struct options *options, dvk_context **context) {
    char cache[PATH_MAX];
    dvk_context_params params = {.device = options->device, .cache_dir = cache_directory(options, cache)};
    int code = disabled_features(&params.disabled_features);
    if (code)
        return code;
    if (options->verbose) {
        params.log = print_log;
        params.log_level = DVK_LOG_DEBUG;
    }
    char *variants = NULL;
    if (options->variants && (code = variants_read(options->variants, &variants)) != 0)
        return code;
    params.variants = variants;
    if (options->deterministic)
        params.tuning = DVK_TUNING_OFF;
    progress("opening the device");
    dvk_error error;
    dvk_result result = dvk_context_create(&params, context, &error);
    free(variants);
    if (result == DVK_ERROR_INVALID_ARGUMENT && options->variants)
        return fail(EXIT_CODE_USAGE, "%s: %s", options->variants, error.message);
    return result == DVK_OK ? 0 : fail_library(EXIT_CODE_DEVICE, &error);
}
