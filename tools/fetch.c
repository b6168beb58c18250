/* `dino-vk fetch NAME` */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "commands.h"
#include "fetch_file.h"
#include "json_file.h"
#include "output_file.h"
#include "text.h"

#define ENDPOINT "https://huggingface.co"
#define ENDPOINT_SIZE 1024
#define TOKEN_SIZE 512
#define MAX_SHARDS 1000
#define STALL_SECONDS 10 /* huggingface_hub's default */

static bool is_offline(void) {
    static const char *const yes[] = {"1", "ON", "YES", "TRUE"};
    const char *value = hub_environment("HF_HUB_OFFLINE");
    if (!value)
        value = hub_environment("TRANSFORMERS_OFFLINE");
    for (size_t i = 0; value && i < sizeof(yes) / sizeof(yes[0]); i++)
        if (strcasecmp(value, yes[i]) == 0)
            return true;
    return false;
}

static int find_endpoint(char endpoint[ENDPOINT_SIZE]) {
    const char *value = hub_environment("HF_ENDPOINT");
    bool fits = hub_print(endpoint, ENDPOINT_SIZE, "%s", value ? value : ENDPOINT);
    size_t length = fits ? strlen(endpoint) : 0;
    while (length > 0 && endpoint[length - 1] == '/')
        endpoint[--length] = '\0';
    if (!fits || (strncmp(endpoint, "https://", 8) != 0 && strncmp(endpoint, "http://", 7) != 0) ||
        strpbrk(endpoint, " \t\r\n?#@"))
        return fail(EXIT_CODE_USAGE, "HF_ENDPOINT is '%.200s', expected an address like %s", value, ENDPOINT);
    return 0;
}

/* The token that huggingface_hub would take; "" where there is none. */
static int find_token(char token[TOKEN_SIZE]) {
    char path[HUB_PATH_SIZE];
    const char *value = hub_environment("HF_TOKEN");
    token[0] = '\0';
    if (!value)
        value = hub_environment("HUGGING_FACE_HUB_TOKEN"); /* its older name */
    if (value) {
        if (!hub_print(token, TOKEN_SIZE, "%s", value))
            return fail(EXIT_CODE_USAGE, "HF_TOKEN has more than %d characters, so it is no token", TOKEN_SIZE - 1);
    } else {
        value = hub_environment("HF_TOKEN_PATH");
        if (value ? !hub_print(path, sizeof(path), "%s", value) : !hub_home("/token", path, sizeof(path)))
            return 0;
        FILE *file = fopen(path, "rb");
        if (!file)
            return 0;
        size_t length = fread(token, 1, TOKEN_SIZE - 1, file);
        fclose(file);
        token[length] = '\0';
    }
    size_t begin = strspn(token, " \t\r\n"), end = strlen(token);
    while (end > begin && strchr(" \t\r\n", token[end - 1]))
        end--;
    memmove(token, token + begin, end - begin);
    token[end - begin] = '\0';
    for (const char *c = token; *c; c++)
        if (*c <= ' ' || *c > '~')
            return fail(EXIT_CODE_USAGE, "the token of HF_TOKEN or the token file holds characters that no token has");
    return 0;
}

static long stall_seconds(void) {
    const char *value = hub_environment("HF_HUB_DOWNLOAD_TIMEOUT");
    long seconds = value ? strtol(value, NULL, 10) : 0;
    return seconds > 0 && seconds < 86400 ? seconds : STALL_SECONDS;
}

/* A shard's name comes from a file of the repository: a plain name, so that it cannot lead out of the snapshot. */
static bool is_shard(const char *name, const char *suffix) {
    size_t length = name ? strlen(name) : 0, end = strlen(suffix);
    return length > end && length <= 100 && !strcmp(name + length - end, suffix) && hub_is_plain_name(name, length);
}

static bool is_seen(const char *const *seen, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(seen[i], name))
            return true;
    return false;
}

static int fetch_shards(struct fetch *fetch, const char *index, const char *suffix) {
    char snapshot[HUB_PATH_SIZE], path[HUB_PATH_SIZE];
    int code = hub_cache_snapshot(&fetch->cache, fetch->commit, snapshot);
    if (code)
        return code;
    dvk_json *root = hub_print(path, sizeof(path), "%s/%s", snapshot, index) ? json_file_read(path) : NULL;
    const dvk_json *map = dvk_json_get(root, "weight_map");
    const char *seen[MAX_SHARDS];
    size_t count = 0;
    if (!dvk_json_is(map, DVK_JSON_OBJECT)) {
        dvk_release(NULL, root);
        return fail(EXIT_CODE_MODEL, "%s of %s is no index of shards: expected JSON with a \"weight_map\"", index,
                    fetch->name);
    }
    const dvk_json *tensor = map + 1;
    for (uint32_t i = 0; i < map->count && !code; i++, tensor = dvk_json_next_key(tensor)) {
        const char *name = dvk_json_text(tensor + 1);
        bool missing = false;
        if (!is_shard(name, suffix))
            code = fail(EXIT_CODE_MODEL, "%s of %s: \"%.100s\" is not in a file with a plain name ending in %s", index,
                        fetch->name, tensor->text, suffix);
        else if (is_seen(seen, count, name))
            continue;
        else if (count == MAX_SHARDS)
            code = fail(EXIT_CODE_MODEL, "%s of %s names more than %d shards", index, fetch->name, MAX_SHARDS);
        else
            code = fetch_file(fetch, seen[count++] = name, &missing);
        if (code == 0 && missing)
            code = fail(EXIT_CODE_MODEL, "%s has no %s, which its %s names", fetch->name, name, index);
    }
    dvk_release(NULL, root);
    return code;
}

/* One file or one set of shards, in the order in which the model's loader looks for them. */
static int fetch_weights(struct fetch *fetch) {
    static const struct {
        const char *file, *shards; /* shards: how the names end that an index lists */
    } forms[] = {
        {"model.safetensors", NULL},
        {"model.safetensors.index.json", ".safetensors"},
        {"pytorch_model.bin", NULL},
        {"pytorch_model.bin.index.json", ".bin"},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        bool missing;
        int code = fetch_file(fetch, forms[i].file, &missing);
        if (code)
            return code;
        if (!missing)
            return forms[i].shards ? fetch_shards(fetch, forms[i].file, forms[i].shards) : 0;
    }
    return fail(EXIT_CODE_MODEL,
                "%s has no model.safetensors, no pytorch_model.bin and no index of either's shards, so it is no model "
                "that dino-vk could read",
                fetch->name);
}

static int fetch_repository(struct fetch *fetch) {
    bool missing;
    int code = fetch_file(fetch, "config.json", &missing);
    if (code)
        return code;
    if (missing)
        return fail(EXIT_CODE_MODEL, "%s has no config.json at %s, so it is no model that dino-vk could read",
                    fetch->name, fetch->endpoint);
    code = fetch_file(fetch, "preprocessor_config.json", &missing);
    if (code)
        return code;
    if (missing)
        note("%s has no preprocessor_config.json, which says how to prepare images", fetch->name);
    code = fetch_file(fetch, "README.md", &missing); /* for its licence */
    if (code == 0)
        code = fetch_weights(fetch);
    return code ? code : hub_cache_write_ref(&fetch->cache, fetch->revision, fetch->commit);
}

static int print_snapshot(const struct fetch *fetch) {
    char path[HUB_PATH_SIZE];
    int code = hub_cache_snapshot(&fetch->cache, fetch->commit, path);
    if (code)
        return code;
    progress_clear();
    print_plain(stdout, path);
    putchar('\n');
    return flush_stdout();
}

int command_fetch(const struct options *options) {
    char endpoint[ENDPOINT_SIZE], token[TOKEN_SIZE];
    struct fetch fetch = {.endpoint = endpoint, .name = options->images[0], .revision = options->revision};
    int code = hub_cache_open(&fetch.cache, fetch.name);
    if (code)
        return code;
    if (!hub_is_revision(fetch.revision))
        return fail(EXIT_CODE_USAGE, "'%.200s' is no revision, expected a branch, a tag or a commit", fetch.revision);
    if (hub_is_hash(fetch.revision, 40))
        strcpy(fetch.commit, fetch.revision);
    if (is_offline()) {
        if (hub_cache_commit(&fetch.cache, fetch.revision, fetch.commit) &&
            hub_cache_has(&fetch.cache, fetch.commit, "config.json"))
            return print_snapshot(&fetch);
        return fail(EXIT_CODE_MODEL, "%s is not in the Hugging Face cache %s, and HF_HUB_OFFLINE forbids to fetch it",
                    fetch.name, fetch.cache.root);
    }
    if ((code = find_endpoint(endpoint)) || (code = find_token(token)))
        return code;
    fetch.has_token = token[0] != '\0';
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        !http_open(&fetch.http, endpoint, fetch.has_token ? token : NULL, stall_seconds()))
        code = fail(EXIT_CODE_DEVICE, "libcurl cannot be used: out of memory, or it lacks http or https");
    else
        code = fetch_repository(&fetch);
    http_close(&fetch.http);
    curl_global_cleanup();
    return code ? code : print_snapshot(&fetch);
}
