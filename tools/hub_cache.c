#include "hub_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "message.h"

static int fail_path(const char *path, const char *what) {
    int error = errno;
    return fail(EXIT_CODE_OUTPUT, "%s: %s: %s; %s", path, what, strerror(error),
                error == ENOSPC || error == EDQUOT ? "free some space, or set HF_HUB_CACHE to a directory elsewhere"
                                                   : "make the directory writable, or set HF_HUB_CACHE to one that is");
}

static int fail_long(void) {
    return fail(EXIT_CODE_OUTPUT, "the Hugging Face cache's path is longer than %d bytes; set HF_HUB_CACHE to another",
                HUB_PATH_SIZE - 1);
}

/* Makes the directories that `path`, a file's, lies in. */
static int make_parents(const char *path) {
    char part[HUB_PATH_SIZE];
    if (!hub_print(part, sizeof(part), "%s", path))
        return fail_long();
    for (char *slash = part; (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        /* The exists-answer differs on read-only file systems, so look first. */
        if (access(part, F_OK) != 0 && mkdir(part, 0777) != 0 && errno != EEXIST)
            return fail_path(part, "cannot be made");
        *slash = '/';
    }
    return 0;
}

int hub_cache_open(struct hub_cache *cache, const char *name) {
    if (!hub_repository_folder(name, cache->folder))
        return fail(EXIT_CODE_USAGE, "'%s' is no name on the hub, expected one like facebook/dino-vits8", name);
    if (!hub_cache_directory(cache->root, sizeof(cache->root)))
        return fail(EXIT_CODE_OUTPUT, "there is no place for the Hugging Face cache; set HF_HUB_CACHE to a directory");
    return 0;
}

int hub_cache_snapshot(const struct hub_cache *cache, const char *commit, char path[HUB_PATH_SIZE]) {
    return hub_print(path, HUB_PATH_SIZE, "%s/%s/snapshots/%s", cache->root, cache->folder, commit) ? 0 : fail_long();
}

bool hub_cache_has(const struct hub_cache *cache, const char *commit, const char *file) {
    char path[HUB_PATH_SIZE];
    struct stat status;
    return hub_print(path, sizeof(path), "%s/%s/snapshots/%s/%s", cache->root, cache->folder, commit, file) &&
           stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

bool hub_cache_commit(const struct hub_cache *cache, const char *revision, char commit[41]) {
    char path[HUB_PATH_SIZE];
    if (hub_is_hash(revision, 40)) {
        strcpy(commit, revision);
        return true;
    }
    if (!hub_print(path, sizeof(path), "%s/%s/refs/%s", cache->root, cache->folder, revision))
        return false;
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    size_t length = fread(commit, 1, 40, file);
    fclose(file);
    commit[length] = '\0';
    return hub_is_hash(commit, 40);
}

int hub_cache_blob(const struct hub_cache *cache, const char *etag, const char *suffix, char path[HUB_PATH_SIZE]) {
    if (!hub_print(path, HUB_PATH_SIZE, "%s/%s/blobs/%s%s", cache->root, cache->folder, etag, suffix))
        return fail_long();
    return make_parents(path);
}

int hub_cache_lock(const struct hub_cache *cache, const char *etag, int *lock) {
    char path[HUB_PATH_SIZE];
    if (!hub_print(path, sizeof(path), "%s/.locks/%s/%s.lock", cache->root, cache->folder, etag))
        return fail_long();
    int code = make_parents(path);
    if (code)
        return code;
    for (;;) {
        int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (file < 0)
            return fail_path(path, "cannot be made");
        while (flock(file, LOCK_EX | LOCK_NB) != 0) {
            if (errno != EWOULDBLOCK && errno != EINTR) {
                close(file);
                return fail_path(path, "cannot be locked");
            }
            progress("waiting for another program that fetches the same file");
            nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        }
        /* Whoever held it may have removed it: then it keeps nobody out. */
        struct stat status;
        if (fstat(file, &status) == 0 && status.st_nlink > 0) {
            *lock = file;
            return 0;
        }
        close(file);
    }
}

int hub_cache_link(const struct hub_cache *cache, const char *commit, const char *file, const char *etag) {
    char path[HUB_PATH_SIZE], target[128], found[128];
    if (!hub_print(path, sizeof(path), "%s/%s/snapshots/%s/%s", cache->root, cache->folder, commit, file) ||
        !hub_print(target, sizeof(target), "../../blobs/%s", etag))
        return fail_long();
    int code = make_parents(path);
    if (code || symlink(target, path) == 0)
        return code;
    if (errno != EEXIST)
        return fail_path(path, "cannot be linked to its blob");
    ssize_t length = readlink(path, found, sizeof(found) - 1);
    if (length >= 0) {
        found[length] = '\0';
        if (!strcmp(found, target)) /* another fetch was faster */
            return 0;
    }
    if (unlink(path) != 0 || symlink(target, path) != 0)
        return fail_path(path, "cannot be linked to its blob");
    return 0;
}

int hub_cache_write_ref(const struct hub_cache *cache, const char *revision, const char *commit) {
    char path[HUB_PATH_SIZE], temporary[HUB_PATH_SIZE], present[41];
    if (hub_is_hash(revision, 40) || (hub_cache_commit(cache, revision, present) && !strcmp(present, commit)))
        return 0;
    if (!hub_print(path, sizeof(path), "%s/%s/refs/%s", cache->root, cache->folder, revision) ||
        !hub_print(temporary, sizeof(temporary), "%s/%s/ref.%ld", cache->root, cache->folder, (long)getpid()))
        return fail_long();
    int code = make_parents(path);
    if (code)
        return code;
    FILE *file = fopen(temporary, "wb");
    if (!file)
        return fail_path(temporary, "cannot be made");
    bool good = fputs(commit, file) >= 0;
    good = fclose(file) == 0 && good;
    if (good && rename(temporary, path) == 0)
        return 0;
    code = fail_path(path, "cannot be written");
    unlink(temporary);
    return code;
}
