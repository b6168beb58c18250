/* One file of a repository on the hub -> the local cache. */
#ifndef FETCH_FILE_H_
#define FETCH_FILE_H_

#include "http.h"
#include "hub_cache.h"

struct fetch {
    struct http http;
    struct hub_cache cache;
    const char *endpoint; /* without a slash at its end */
    const char *name;     /* of the repository */
    const char *revision; /* as asked for */
    bool has_token;
    char commit[41]; /* what the revision is; "" before the first file, and the same for all */
};

/* Brings the file, unless it is there. *missing: the repository has no such file; that is no failure. Returns 0, or an
 * exit code after the sentence has been printed. What was received stays in blobs/ETAG.incomplete, and the next try,
 * or another run, asks for the rest. */
int fetch_file(struct fetch *fetch, const char *file, bool *missing);

#endif
