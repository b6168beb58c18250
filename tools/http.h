/* One HTTP request at a time, through libcurl, as the hub wants them. */
#ifndef HTTP_H_
#define HTTP_H_

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_URL_SIZE 8192 /* signed addresses have one or two thousand characters */

/* What of a response matters here; "" where there was no such header, or one too long to be right. */
struct http_response {
    long status;
    char etag[160], linked_etag[160];
    char commit[80];
    char linked_size[24], length[24];
    char content_range[80];
    char error_code[64];
    char retry_after[16];
    char location[HTTP_URL_SIZE];
};

enum http_outcome {
    HTTP_ANSWERED, /* whatever the status is */
    HTTP_CUT,      /* no answer, or not all of it: may be tried again; `problem` says why */
    HTTP_REFUSED,  /* not to be tried again: a bad certificate, a redirect that is not followed; `problem` says why */
    HTTP_STOPPED   /* the receiver wanted no more */
};

/* Takes the body of a response with status 200 or 206. False ends the request with HTTP_STOPPED. */
typedef bool (*http_receiver)(void *user, const struct http_response *response, const char *bytes, size_t size);

struct http {
    CURL *easy;
    struct curl_slist *headers, *headers_with_token;
    char origin[300]; /* "https://host:port": the only one that sees the token */
    struct http_response response;
    char problem[CURL_ERROR_SIZE + 160];
    http_receiver receiver;
    void *user;
    size_t discarded; /* bytes of a body that nobody wants */
    bool stopped;
};

/* `token` may be NULL. A transfer that stands still for `stall_seconds` is cut. False: out of memory. */
bool http_open(struct http *http, const char *endpoint, const char *token, long stall_seconds);
void http_close(struct http *http);

/* HEAD, following redirects within the site alone: one that leads elsewhere is the answer. */
enum http_outcome http_head(struct http *http, const char *url);

/* GET from byte `first` on, following every redirect; http->response is the last response. */
enum http_outcome http_get(struct http *http, const char *url, uint64_t first, http_receiver receiver, void *user);

#endif
