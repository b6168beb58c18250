#include "hub_names.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool hub_print(char *text, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, size, format, arguments);
    va_end(arguments);
    return length >= 0 && (size_t)length < size;
}

/* "--" would be ambiguous in the cache, where it stands for '/'. */
bool hub_is_plain_name(const char *name, size_t length) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    if (length == 0 || name[0] == '.' || name[0] == '-' || name[length - 1] == '.' || name[length - 1] == '-')
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!memchr(allowed, name[i], sizeof(allowed) - 1))
            return false;
        if (i > 0 && (name[i] == '.' || name[i] == '-') && name[i] == name[i - 1])
            return false;
    }
    return true;
}

bool hub_is_revision(const char *revision) {
    if (strlen(revision) > 200)
        return false;
    for (const char *part = revision;; part++) {
        size_t length = strcspn(part, "/");
        if (!hub_is_plain_name(part, length))
            return false;
        part += length;
        if (!*part)
            return true;
    }
}

bool hub_is_hash(const char *text, size_t digits) {
    return strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

bool hub_repository_folder(const char *name, char folder[HUB_FOLDER_SIZE]) {
    if (strlen(name) > HUB_NAME_LIMIT)
        return false;
    const char *slash = strchr(name, '/');
    if (!slash) {
        snprintf(folder, HUB_FOLDER_SIZE, "models--%.*s", HUB_NAME_LIMIT, name);
        return hub_is_plain_name(name, strlen(name));
    }
    /* Precisions, because compilers do not carry the limit above into what they check here. */
    snprintf(folder, HUB_FOLDER_SIZE, "models--%.*s--%.*s", (int)(slash - name), name, HUB_NAME_LIMIT, slash + 1);
    return hub_is_plain_name(name, (size_t)(slash - name)) && hub_is_plain_name(slash + 1, strlen(slash + 1));
}

const char *hub_environment(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool expand(const char *value, const char *rest, char *path, size_t size) {
    const char *home = hub_environment("HOME");
#ifdef _WIN32
    if (!home)
        home = hub_environment("USERPROFILE");
#endif
    if (value[0] == '~' && (value[1] == '/' || !value[1]))
        return home && hub_print(path, size, "%s%s%s", home, value + 1, rest);
    return hub_print(path, size, "%s%s", value, rest);
}

bool hub_home(const char *rest, char *path, size_t size) {
    char below[64];
    const char *value = hub_environment("HF_HOME");
    if (value)
        return expand(value, rest, path, size);
    value = hub_environment("XDG_CACHE_HOME");
    return hub_print(below, sizeof(below), "/huggingface%s", rest) &&
           expand(value ? value : "~/.cache", below, path, size);
}

bool hub_cache_directory(char *path, size_t size) {
    const char *value = hub_environment("HF_HUB_CACHE");
    if (!value)
        value = hub_environment("HUGGINGFACE_HUB_CACHE");
    return value ? expand(value, "", path, size) : hub_home("/hub", path, size);
}
