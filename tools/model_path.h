/* What `--model` may name: a directory, a file, or a model in the local Hugging Face cache. */
#ifndef MODEL_PATH_H_
#define MODEL_PATH_H_

#include "dino_vk.h"

/* Writes to `path` (of `size` bytes) what dvk_model_load() takes. An existing file or directory is itself; anything
 * else is a repository's name, as "facebook/dino-vits8", and found in the cache that $HF_HUB_CACHE, $HF_HOME/hub,
 * $XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub (the first that is set) holds: the snapshot of branch
 * main, else the newest one. Nothing is downloaded. False: `error` has one sentence, with the command that fetches the
 * model where that helps. */
dvk_result model_path_resolve(const char *argument, char *path, size_t size, dvk_error *error);

#endif
