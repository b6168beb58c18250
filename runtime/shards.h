/* Weights in several files: NAME.index.json maps every tensor's name to its file. */
#ifndef DVK_SHARDS_H_
#define DVK_SHARDS_H_

#include "json.h"
#include "safetensors.h"

typedef struct dvk_shards {
    const dvk_allocator *allocator; /* must outlive it */
    char **files;                   /* the shards' names without directory, each once, ascending; one allocation */
    size_t count;

    dvk_json *root; /* private: the index, and in it the map */
    const dvk_json *map;
} dvk_shards;

/* Shard names must be plain file names: an index reaches no other directory. `path` is for messages. */
dvk_result dvk_shards_parse(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                            dvk_shards *shards, dvk_error *error);
void dvk_shards_free(dvk_shards *shards);

/* One list of all shards' tensors (parts[shards->count], in the order of the files): exactly those of the index, each
 * in the file that it names. The parts may be freed afterwards. */
dvk_result dvk_shards_join(const dvk_shards *shards, const dvk_tensor_list *parts, const char *path,
                           dvk_tensor_list *tensors, dvk_error *error);

#endif
