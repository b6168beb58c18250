/* What a context learned, in one file for each device: the driver's compiled pipelines, which variants were right and
 * which the fastest, and what else asks for a section. Whatever is wrong with the file, it is a cache miss, never an
 * error. */
#ifndef DVK_CACHE_FILE_H_
#define DVK_CACHE_FILE_H_

#include "context.h"

/* Tags of the sections: four letters, as they stand in the file. Each section's owner checks its contents. */
enum {
    DVK_CACHE_PIPELINES = 0x45504950, /* "PIPE": VkPipelineCache's blob; not for dvk_cache_get_section() */
    DVK_CACHE_CHOICES = 0x454e5554,   /* "TUNE": choice_store.c */
    DVK_CACHE_COSTS = 0x54534f43      /* "COST": cost_store.c */
};

typedef struct dvk_cache_section dvk_cache_section;

/* Sets context->cache_path from the directory (created when something is saved; NULL or "": no file), and from the file
 * there context->pipeline_cache and the sections. */
dvk_result dvk_cache_open(dvk_context *context, const char *directory, dvk_error *error);
/* Frees the sections and the path; saves nothing. */
void dvk_cache_close(dvk_context *context);

/* Writes the file if anything changed since it was read or written: call it after the first run of new pipelines, as
 * some drivers compile at the first dispatch. Of several processes that write, the last one wins. Failing is logged,
 * not reported. */
void dvk_cache_save(dvk_context *context);

/* NULL: there is none. Aligned to 8 bytes; valid until the section is put, or the context destroyed. */
const void *dvk_cache_get_section(const dvk_context *context, uint32_t tag, size_t *size);
/* Copies `bytes` for the next save. False: no memory, and the section is gone. */
bool dvk_cache_put_section(dvk_context *context, uint32_t tag, const void *bytes, size_t size);

#endif
