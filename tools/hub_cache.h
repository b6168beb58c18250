/* One repository in the local Hugging Face cache, as huggingface_hub lays it out, so that both find each other's files:
 *
 *     CACHE/.locks/models--owner--name/ETAG.lock      flock()ed while a blob is made
 *     CACHE/models--owner--name/blobs/ETAG            the files, by their checksums; ETAG.incomplete until then
 *                              /snapshots/COMMIT/FILE -> ../../blobs/ETAG
 *                              /refs/REVISION         holds COMMIT
 *
 * Functions that return int return 0, or an exit code after the sentence has been printed. */
#ifndef HUB_CACHE_H_
#define HUB_CACHE_H_

#include "hub_names.h"

struct hub_cache {
    char root[HUB_PATH_SIZE];
    char folder[HUB_FOLDER_SIZE];
};

/* `name` must be one that hub_repository_folder() takes. Makes nothing yet. */
int hub_cache_open(struct hub_cache *cache, const char *name);

/* Whether the snapshot has the file (and not a link that leads nowhere). */
bool hub_cache_has(const struct hub_cache *cache, const char *commit, const char *file);

/* The commit that refs/REVISION holds; a commit's hash is itself. */
bool hub_cache_commit(const struct hub_cache *cache, const char *revision, char commit[41]);

int hub_cache_snapshot(const struct hub_cache *cache, const char *commit, char path[HUB_PATH_SIZE]);

/* "blobs/ETAG" + suffix, its directory made. */
int hub_cache_blob(const struct hub_cache *cache, const char *etag, const char *suffix, char path[HUB_PATH_SIZE]);

/* Waits until no other process makes this blob; *lock is to be closed with close(). */
int hub_cache_lock(const struct hub_cache *cache, const char *etag, int *lock);

/* snapshots/COMMIT/FILE -> the blob. */
int hub_cache_link(const struct hub_cache *cache, const char *commit, const char *file, const char *etag);

/* refs/REVISION = COMMIT; nothing where the revision is a commit. */
int hub_cache_write_ref(const struct hub_cache *cache, const char *revision, const char *commit);

#endif
