/* How the Hugging Face hub names things, and where its local cache is, as the Python library huggingface_hub has it. */
#ifndef HUB_NAMES_H_
#define HUB_NAMES_H_

#include <stdbool.h>
#include <stddef.h>

#include "message.h"

#define HUB_PATH_SIZE 4096
#define HUB_NAME_LIMIT 96 /* characters of a repository's name */
#define HUB_FOLDER_SIZE (HUB_NAME_LIMIT + 16)

/* As snprintf; false where the result does not fit, so that no path is ever used cut off. */
bool hub_print(char *text, size_t size, const char *format, ...) MESSAGE_PRINTF(3, 4);

/* One part of a repository's name or of a revision, or a file's name: characters that the hub allows, and nothing that
 * leads elsewhere in a file system. */
bool hub_is_plain_name(const char *name, size_t length);

/* Branches, tags, commits and "refs/pr/1": plain names between slashes. */
bool hub_is_revision(const char *revision);

/* Exactly `digits` lower-case hexadecimal digits. */
bool hub_is_hash(const char *text, size_t digits);

/* "name" or "owner/name" -> "models--name" or "models--owner--name"; false if it is no such name. */
bool hub_repository_folder(const char *name, char folder[HUB_FOLDER_SIZE]);

/* The variable's value; NULL where it is not set or empty. */
const char *hub_environment(const char *name);

/* $HF_HOME, else $XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface; with `rest` behind it. False: no home. */
bool hub_home(const char *rest, char *path, size_t size);

/* $HF_HUB_CACHE, else $HUGGINGFACE_HUB_CACHE (its older name), else hub_home("/hub"): the first that is set counts,
 * whether it exists or not. */
bool hub_cache_directory(char *path, size_t size);

#endif
