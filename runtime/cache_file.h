/* One VkPipelineCache blob on disk, with a header that says whose it is. Whatever is wrong with it, it is a cache miss,
 * never an error. */
#ifndef DVK_CACHE_FILE_H_
#define DVK_CACHE_FILE_H_

#include "context.h"

/* Sets context->cache_path from the directory (created when something is saved; NULL or "": no file) and
 * context->pipeline_cache from the file there. */
dvk_result dvk_pipeline_cache_open(dvk_context *context, const char *directory, dvk_error *error);

/* Writes the cache if it changed since it was read or written: call it after the first run of new pipelines, as some
 * drivers compile at the first dispatch. Failing is logged, not reported. */
void dvk_pipeline_cache_save(dvk_context *context);

#endif
