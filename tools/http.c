#include "http.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "dino_vk.h"

#define CONNECT_SECONDS 10L
#define MAX_REDIRECTS 10
/* An error's page is read to keep the connection, unless it is long. */
#define MAX_DISCARDED 65536

/* "https://host:port"; false if `url` is no http or https address. */
static bool find_origin(const char *url, char origin[300]) {
    bool good = false;
    char *scheme = NULL, *host = NULL, *port = NULL;
    CURLU *parts = curl_url();
    if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
        good = (!strcmp(scheme, "http") || !strcmp(scheme, "https")) &&
               snprintf(origin, 300, "%s://%s:%s", scheme, host, port) < 300;
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return good;
}

static void take(char *field, size_t size, const char *value, size_t length) {
    field[0] = '\0';
    if (length < size && !memchr(value, '\0', length)) {
        memcpy(field, value, length);
        field[length] = '\0';
    }
}

static size_t on_header(char *line, size_t one, size_t size, void *user) {
    struct http_response *response = &((struct http *)user)->response;
    const struct {
        const char *name;
        char *field;
        size_t size;
    } wanted[] = {
#define FIELD(name, field) {name ":", response->field, sizeof(response->field)}
        FIELD("ETag", etag),
        FIELD("X-Linked-Etag", linked_etag),
        FIELD("X-Repo-Commit", commit),
        FIELD("X-Linked-Size", linked_size),
        FIELD("Content-Length", length),
        FIELD("Content-Range", content_range),
        FIELD("X-Error-Code", error_code),
        FIELD("Retry-After", retry_after),
        FIELD("Location", location),
#undef FIELD
    };
    size_t end = size * one;
    if (end >= 5 && !memcmp(line, "HTTP/", 5)) { /* the next response: after a redirect, or after "100 Continue" */
        memset(response, 0, sizeof(*response));
        return size * one;
    }
    while (end > 0 && strchr(" \t\r\n", line[end - 1]))
        end--;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        size_t from = strlen(wanted[i].name);
        if (end < from || strncasecmp(line, wanted[i].name, from) != 0)
            continue;
        while (from < end && (line[from] == ' ' || line[from] == '\t'))
            from++;
        take(wanted[i].field, wanted[i].size, line + from, end - from);
    }
    return size * one;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *user) {
    struct http *http = user;
    size *= one;
    curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &http->response.status);
    if ((http->response.status != 200 && http->response.status != 206) || !http->receiver) {
        http->discarded += size;
        return http->discarded > MAX_DISCARDED ? 0 : size;
    }
    if (http->receiver(http->user, &http->response, bytes, size))
        return size;
    http->stopped = true;
    return 0;
}

bool http_open(struct http *http, const char *endpoint, const char *token, long stall_seconds) {
    memset(http, 0, sizeof(*http));
    http->easy = curl_easy_init();
    if (!http->easy || !find_origin(endpoint, http->origin))
        return false;
    struct curl_slist *list = curl_slist_append(NULL, "Accept-Encoding: identity"); /* the ETag is of plain bytes */
    http->headers = list;
    http->headers_with_token = curl_slist_append(NULL, "Accept-Encoding: identity");
    if (!http->headers || !http->headers_with_token)
        return false;
    if (token) {
        char header[600];
        if (snprintf(header, sizeof(header), "Authorization: Bearer %s", token) >= (int)sizeof(header))
            return false;
        list = curl_slist_append(http->headers_with_token, header);
        if (!list)
            return false;
        http->headers_with_token = list;
    }
    char agent[64];
    snprintf(agent, sizeof(agent), "dino-vk/%s", dvk_version());
    CURL *easy = http->easy;
    return curl_easy_setopt(easy, CURLOPT_USERAGENT, agent) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, stall_seconds) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->problem) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, http) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, http) == CURLE_OK;
}

void http_close(struct http *http) {
    curl_easy_cleanup(http->easy);
    curl_slist_free_all(http->headers);
    curl_slist_free_all(http->headers_with_token);
    memset(http, 0, sizeof(*http));
}

static bool may_pass(CURLcode code) {
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static enum http_outcome perform(struct http *http, const char *url) {
    char origin[300];
    if (!find_origin(url, origin)) {
        snprintf(http->problem, sizeof(http->problem), "an address is neither http nor https");
        return HTTP_REFUSED;
    }
    /* Tokens and weights that were asked for over TLS travel over nothing else. */
    if (!strncmp(http->origin, "https:", 6) && strncmp(origin, "https:", 6) != 0) {
        snprintf(http->problem, sizeof(http->problem), "it redirects to an address without TLS");
        return HTTP_REFUSED;
    }
    memset(&http->response, 0, sizeof(http->response));
    http->problem[0] = '\0';
    http->discarded = 0;
    http->stopped = false;
    curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER,
                     strcmp(origin, http->origin) ? http->headers : http->headers_with_token);
    if (curl_easy_setopt(http->easy, CURLOPT_URL, url) != CURLE_OK) {
        snprintf(http->problem, sizeof(http->problem), "out of memory");
        return HTTP_REFUSED;
    }
    CURLcode code = curl_easy_perform(http->easy);
    curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &http->response.status);
    if (http->stopped)
        return HTTP_STOPPED;
    if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && http->discarded > MAX_DISCARDED))
        return HTTP_ANSWERED;
    if (!http->problem[0])
        snprintf(http->problem, sizeof(http->problem), "%s", curl_easy_strerror(code));
    return may_pass(code) ? HTTP_CUT : HTTP_REFUSED;
}

/* "/path", but not "//host/path". */
static bool stays_on_site(const char *location) {
    return location[0] == '/' && location[1] != '/';
}

static enum http_outcome follow(struct http *http, const char *url, bool everywhere) {
    char next[HTTP_URL_SIZE];
    for (int redirects = 0;; redirects++) {
        enum http_outcome outcome = perform(http, url);
        long status = http->response.status;
        if (outcome != HTTP_ANSWERED || status < 300 || status > 399 || !http->response.location[0] ||
            !(everywhere || stays_on_site(http->response.location)))
            return outcome;
        char *target = NULL;
        curl_easy_getinfo(http->easy, CURLINFO_REDIRECT_URL, &target);
        if (redirects == MAX_REDIRECTS || !target || strlen(target) >= sizeof(next)) {
            snprintf(http->problem, sizeof(http->problem), "it redirects %s",
                     redirects == MAX_REDIRECTS ? "more than ten times" : "to no address");
            return HTTP_REFUSED;
        }
        strcpy(next, target); /* libcurl's copy lives until the next request */
        url = next;
    }
}

enum http_outcome http_head(struct http *http, const char *url) {
    http->receiver = NULL;
    curl_easy_setopt(http->easy, CURLOPT_RANGE, NULL);
    curl_easy_setopt(http->easy, CURLOPT_NOBODY, 1L);
    return follow(http, url, false);
}

enum http_outcome http_get(struct http *http, const char *url, uint64_t first, http_receiver receiver, void *user) {
    char range[32];
    snprintf(range, sizeof(range), "%" PRIu64 "-", first);
    http->receiver = receiver;
    http->user = user;
    curl_easy_setopt(http->easy, CURLOPT_NOBODY, 0L);
    curl_easy_setopt(http->easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(http->easy, CURLOPT_RANGE, first ? range : NULL);
    return follow(http, url, true);
}
