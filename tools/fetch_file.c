#include "fetch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "digest.h"
#include "message.h"
#include "text.h"

/* Tries in a row that bring nothing much; waits of 0.25, 0.5, 1 and 2 s lie between them. */
#define MAX_TRIES 5
#define MUCH (1 << 20) /* bytes */
#define FIRST_WAIT_MS 250
#define MAX_RETRY_AFTER_MS 60000
/* Of what a server says about sizes; keeps sums of them far from overflow. */
#define MAX_FILE_SIZE ((uint64_t)1 << 46)

/* What the hub says about a file. */
struct description {
    char etag[65]; /* SHA-256 of large files, git's blob hash of small ones */
    uint64_t size;
};

struct download {
    const char *file, *path;
    int descriptor;
    uint64_t have, size; /* bytes */
    int error;           /* errno of a failed write */
    const char *wrong;   /* what is wrong with the answer, if the receiver stopped it */
    bool begun;          /* this response has been looked at */
    double start, shown; /* ms */
    uint64_t at_start;
};

static bool parse_size(const char *text, uint64_t *size) {
    if (!*text || strlen(text) > 15 || strspn(text, "0123456789") != strlen(text))
        return false;
    *size = strtoull(text, NULL, 10);
    return *size <= MAX_FILE_SIZE;
}

/* "abc", W/"abc" -> abc; false unless it is one of the two hashes that the content can be checked against. */
static bool parse_etag(const char *text, char etag[65]) {
    if (!strncmp(text, "W/", 2))
        text += 2;
    size_t length = strlen(text);
    if (length >= 2 && text[0] == '"' && text[length - 1] == '"') {
        text++;
        length -= 2;
    }
    if (length != 40 && length != 64)
        return false;
    memcpy(etag, text, length);
    etag[length] = '\0';
    return hub_is_hash(etag, length);
}

static void file_url(const struct fetch *fetch, const char *file, char url[HTTP_URL_SIZE]) {
    const char *revision = fetch->commit[0] ? fetch->commit : fetch->revision;
    int length = snprintf(url, HTTP_URL_SIZE, "%s/%s/resolve/", fetch->endpoint, fetch->name);
    for (; *revision; revision++)
        length += snprintf(url + length, HTTP_URL_SIZE - (size_t)length, *revision == '/' ? "%%2F" : "%c", *revision);
    snprintf(url + length, HTTP_URL_SIZE - (size_t)length, "/%s", file);
}

static bool is_busy(long status) {
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/* Waits before the next try; false: there is none. *tries counts those that were made. */
static bool may_retry(const struct fetch *fetch, const char *file, int *tries) {
    if (++*tries >= MAX_TRIES)
        return false;
    long wait_ms = FIRST_WAIT_MS << (*tries - 1);
    uint64_t seconds;
    if (parse_size(fetch->http.response.retry_after, &seconds) && fetch->http.response.status != 200)
        wait_ms = seconds * 1000 < MAX_RETRY_AFTER_MS ? (long)seconds * 1000 : MAX_RETRY_AFTER_MS;
    progress("fetching %s: interrupted, next try in %.1f s", file, (double)wait_ms * 1e-3);
    nanosleep(&(struct timespec){.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000}, NULL);
    return true;
}

static int fail_request(const struct fetch *fetch, const char *file, enum http_outcome outcome) {
    if (outcome == HTTP_CUT)
        return fail(EXIT_CODE_MODEL, "%s of %s: %s: %s, %d times; type the same again to continue", file, fetch->name,
                    fetch->endpoint, fetch->http.problem, MAX_TRIES);
    return fail(EXIT_CODE_MODEL, "%s of %s: %s: %s", file, fetch->name, fetch->endpoint, fetch->http.problem);
}

static int fail_status(const struct fetch *fetch, const char *file) {
    const struct http_response *response = &fetch->http.response;
    if (!strcmp(response->error_code, "GatedRepo"))
        return fail(EXIT_CODE_MODEL,
                    "%s is gated (%ld): accept its terms at %s/%s, and set HF_TOKEN to a token of that account",
                    fetch->name, response->status, fetch->endpoint, fetch->name);
    if (!strcmp(response->error_code, "RevisionNotFound"))
        return fail(EXIT_CODE_MODEL, "%s has no revision '%s' at %s; leave --revision out for its main branch",
                    fetch->name, fetch->revision, fetch->endpoint);
    if (!strcmp(response->error_code, "RepoNotFound") || (response->status == 401 && !fetch->has_token))
        return fail(
            EXIT_CODE_MODEL, "there is no model %s at %s, or it is private (%ld): check the name, or set HF_TOKEN%s",
            fetch->name, fetch->endpoint, response->status, fetch->has_token ? " to a token that may read it" : "");
    if (response->status == 401 || response->status == 403)
        return fail(EXIT_CODE_MODEL,
                    "%s does not let this token read %s of %s (%ld): check HF_TOKEN, or the token file",
                    fetch->endpoint, file, fetch->name, response->status);
    return fail(EXIT_CODE_MODEL, "%s answers %ld to the request for %s of %s; try again later", fetch->endpoint,
                response->status, file, fetch->name);
}

/* HEAD: what the file is, and at which commit. */
static int describe(struct fetch *fetch, const char *file, struct description *description, bool *missing) {
    char url[HTTP_URL_SIZE];
    const struct http_response *response = &fetch->http.response;
    file_url(fetch, file, url);
    enum http_outcome outcome;
    int tries = 0;
    do
        outcome = http_head(&fetch->http, url);
    while ((outcome == HTTP_CUT || (outcome == HTTP_ANSWERED && is_busy(response->status))) &&
           may_retry(fetch, file, &tries));
    if (outcome != HTTP_ANSWERED)
        return fail_request(fetch, file, outcome);
    *missing = response->status == 404 && (!response->error_code[0] || !strcmp(response->error_code, "EntryNotFound"));
    if (*missing)
        return 0;
    if (response->status < 200 || response->status > 399)
        return fail_status(fetch, file);
    if (!hub_is_hash(response->commit, 40) || (fetch->commit[0] && strcmp(response->commit, fetch->commit) != 0))
        return fail(EXIT_CODE_MODEL,
                    "%s does not answer as a Hugging Face hub: for %s of %s it names no commit, or another one; check "
                    "HF_ENDPOINT",
                    fetch->endpoint, file, fetch->name);
    bool redirected = response->status >= 300;
    const char *etag = response->linked_etag[0] || redirected ? response->linked_etag : response->etag;
    const char *size = response->linked_size[0] || redirected ? response->linked_size : response->length;
    if (!parse_etag(etag, description->etag) || !parse_size(size, &description->size))
        return fail(EXIT_CODE_MODEL,
                    "%s does not answer as a Hugging Face hub: for %s of %s it tells no size or no checksum; check "
                    "HF_ENDPOINT",
                    fetch->endpoint, file, fetch->name);
    strcpy(fetch->commit, response->commit);
    return 0;
}

static void show(struct download *download) {
    double now = now_ms();
    if (now - download->shown < 100.0)
        return;
    download->shown = now;
    char bar[21], total[24], speed[24];
    int part = download->size ? (int)(100 * download->have / download->size) : 100;
    for (int i = 0; i < 20; i++)
        bar[i] = i < part / 5 ? '#' : '-';
    bar[20] = '\0';
    double seconds = (now - download->start) * 1e-3;
    uint64_t got = download->have > download->at_start ? download->have - download->at_start : 0;
    progress("%.32s [%s] %d %% of %s, %s/s", download->file, bar, part, format_bytes(download->size, total),
             format_bytes(seconds > 0.0 ? (uint64_t)((double)got / seconds) : 0, speed));
}

/* Where the body begins in the file; false: this is not what was asked for. */
static bool begin(struct download *download, const struct http_response *response) {
    if (response->status == 200) { /* all of it, whether a part was asked for or not */
        download->have = 0;
        if (ftruncate(download->descriptor, 0) != 0)
            download->error = errno;
        return !download->error;
    }
    uint64_t first;
    if (sscanf(response->content_range, "bytes %" SCNu64 "-", &first) == 1 && first == download->have)
        return true;
    download->wrong = "sends another part of the file than was asked for";
    return false;
}

static bool receive(void *user, const struct http_response *response, const char *bytes, size_t size) {
    struct download *download = user;
    if (!download->begun && !begin(download, response))
        return false;
    download->begun = true;
    if (size > download->size - download->have) {
        download->wrong = "sends more than the size that it told";
        return false;
    }
    while (size > 0) {
        ssize_t written = pwrite(download->descriptor, bytes, size, (off_t)download->have);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            download->error = written < 0 ? errno : EIO;
            return false;
        }
        bytes += written;
        size -= (size_t)written;
        download->have += (uint64_t)written;
    }
    show(download);
    return true;
}

static int fail_write(const struct download *download) {
    return fail(EXIT_CODE_OUTPUT, "%s: cannot be written: %s; what is there stays: %s", download->path,
                strerror(download->error),
                download->error == ENOSPC || download->error == EDQUOT
                    ? "free some space and type the same again to continue"
                    : "type the same again to continue, or set HF_HUB_CACHE to another directory");
}

/* Requests until the file has its size. */
static int transfer(struct fetch *fetch, struct download *download) {
    char url[HTTP_URL_SIZE];
    file_url(fetch, download->file, url);
    int tries = 0;
    while (download->have < download->size) {
        uint64_t before = download->have;
        download->begun = false;
        download->wrong = NULL;
        enum http_outcome outcome = http_get(&fetch->http, url, download->have, receive, download);
        long status = fetch->http.response.status;
        if (download->error)
            return fail_write(download);
        if (download->wrong)
            return fail(EXIT_CODE_MODEL, "%s: for %s of %s it %s; try again later", fetch->endpoint, download->file,
                        fetch->name, download->wrong);
        if (download->have == download->size)
            break;
        if (outcome == HTTP_REFUSED)
            return fail_request(fetch, download->file, outcome);
        if (outcome == HTTP_ANSWERED && status != 200 && status != 206 && !is_busy(status))
            return fail_status(fetch, download->file);
        if (download->have >= before + MUCH)
            tries = 0;
        if (may_retry(fetch, download->file, &tries))
            continue;
        if (outcome == HTTP_ANSWERED && is_busy(status))
            return fail_status(fetch, download->file);
        if (outcome == HTTP_ANSWERED)
            snprintf(fetch->http.problem, sizeof(fetch->http.problem),
                     "the file ends after %" PRIu64 " of %" PRIu64 " bytes", download->have, download->size);
        return fail_request(fetch, download->file, HTTP_CUT);
    }
    return 0;
}

/* Whether the file is what its name says: its SHA-256, or git's hash of it as a blob. */
static int verify(const struct download *download, const char *etag, bool *good) {
    enum { PIECE = 1 << 16 };
    char hex[DIGEST_HEX_SIZE], head[32];
    struct digest digest;
    uint8_t *bytes = malloc(PIECE);
    if (!bytes)
        return fail(EXIT_CODE_DEVICE, "%s: cannot be checked: out of memory", download->path);
    digest_begin(&digest, strlen(etag) == 64 ? DIGEST_SHA256 : DIGEST_SHA1);
    if (digest.kind == DIGEST_SHA1)
        digest_update(&digest, head, (size_t)snprintf(head, sizeof(head), "blob %" PRIu64, download->size) + 1);
    uint64_t at = 0;
    while (at < download->size) {
        ssize_t got = pread(download->descriptor, bytes, PIECE, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        digest_update(&digest, bytes, (size_t)got);
        at += (uint64_t)got;
        progress("checking %s", download->file);
    }
    free(bytes);
    if (at < download->size)
        return fail(EXIT_CODE_OUTPUT, "%s: cannot be read back: %s", download->path, strerror(errno));
    digest_end(&digest, hex);
    *good = !strcmp(hex, etag);
    return 0;
}

static int check_space(const struct download *download) {
    struct statvfs room;
    char need[24], have[24];
    if (fstatvfs(download->descriptor, &room) != 0)
        return 0; /* writing will tell */
    uint64_t bytes = (uint64_t)room.f_bavail * room.f_frsize;
    if (download->size - download->have <= bytes)
        return 0;
    return fail(
        EXIT_CODE_OUTPUT,
        "%s needs %s and %s are free where %s is; free some space, or set HF_HUB_CACHE to a directory elsewhere",
        download->file, format_bytes(download->size - download->have, need), format_bytes(bytes, have), download->path);
}

/* Takes up what an earlier run left. */
static int open_incomplete(struct download *download) {
    struct stat status;
    download->descriptor = open(download->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (download->descriptor < 0 || fstat(download->descriptor, &status) != 0) {
        download->error = errno;
        return fail_write(download);
    }
    download->have = (uint64_t)status.st_size <= download->size ? (uint64_t)status.st_size : 0;
    if ((uint64_t)status.st_size > download->size && ftruncate(download->descriptor, 0) != 0) {
        download->error = errno;
        return fail_write(download);
    }
    return 0;
}

static int download_blob(struct fetch *fetch, struct download *download, const char *etag, const char *blob) {
    int code = open_incomplete(download);
    bool good = false;
    if (code == 0)
        code = check_space(download);
    bool resumed = download->have > 0;
    download->start = now_ms();
    download->at_start = download->have;
    if (code == 0)
        code = transfer(fetch, download);
    if (code == 0)
        code = verify(download, etag, &good);
    if (code == 0 && !good && resumed) { /* perhaps only what an earlier run left is bad */
        download->have = 0;
        if (ftruncate(download->descriptor, 0) != 0)
            return fail_write(download);
        code = transfer(fetch, download);
        if (code == 0)
            code = verify(download, etag, &good);
    }
    if (code)
        return code;
    if (!good) {
        unlink(download->path);
        return fail(EXIT_CODE_MODEL,
                    "%s of %s came damaged: its checksum is not %s, so it was removed; try again, or ask who runs %s",
                    download->file, fetch->name, etag, fetch->endpoint);
    }
    if (fsync(download->descriptor) != 0 || rename(download->path, blob) != 0) {
        download->error = errno;
        return fail_write(download);
    }
    return 0;
}

static int make_blob(struct fetch *fetch, const char *file, const struct description *description) {
    char blob[HUB_PATH_SIZE], incomplete[HUB_PATH_SIZE];
    int lock;
    int code = hub_cache_blob(&fetch->cache, description->etag, "", blob);
    if (code || access(blob, F_OK) == 0)
        return code;
    code = hub_cache_blob(&fetch->cache, description->etag, ".incomplete", incomplete);
    if (code == 0)
        code = hub_cache_lock(&fetch->cache, description->etag, &lock);
    if (code)
        return code;
    if (access(blob, F_OK) != 0) { /* else another fetch has just made it */
        struct download download = {.file = file, .path = incomplete, .descriptor = -1, .size = description->size};
        code = download_blob(fetch, &download, description->etag, blob);
        if (download.descriptor >= 0)
            close(download.descriptor);
    }
    close(lock);
    return code;
}

int fetch_file(struct fetch *fetch, const char *file, bool *missing) {
    struct description description;
    *missing = false;
    /* Snapshots never change. */
    if (fetch->commit[0] && hub_cache_has(&fetch->cache, fetch->commit, file))
        return 0;
    int code = describe(fetch, file, &description, missing);
    if (code || *missing || hub_cache_has(&fetch->cache, fetch->commit, file))
        return code;
    code = make_blob(fetch, file, &description);
    return code ? code : hub_cache_link(&fetch->cache, fetch->commit, file, description.etag);
}
