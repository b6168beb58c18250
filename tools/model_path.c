#include "model_path.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define PATH_LIMIT 4096
#define NAME_LIMIT 96 /* of a repository's name on the hub */

#if defined(__GNUC__)
#define PRINTF_LIKE __attribute__((format(printf, 3, 4)))
#else
#define PRINTF_LIKE
#endif

PRINTF_LIKE static dvk_result fail(dvk_error *error, dvk_result code, const char *format, ...) {
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof(error->message), format, arguments);
        va_end(arguments);
        error->code = code;
    }
    return code;
}

/* False where the result does not fit. */
PRINTF_LIKE static bool print(char *text, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, size, format, arguments);
    va_end(arguments);
    return length >= 0 && (size_t)length < size;
}

static bool exists(const char *path) {
    struct stat status;
    return stat(path, &status) == 0;
}

/* One part of a repository's name, or a revision: characters that the hub allows, and nothing that leads elsewhere in a
 * file system. "--" would be ambiguous in the cache, where it stands for '/'. */
static bool is_plain_name(const char *name, size_t length) {
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

/* "name" or "owner/name" -> "models--name" or "models--owner--name". */
static bool repository_folder(const char *name, char folder[NAME_LIMIT + 16]) {
    if (strlen(name) > NAME_LIMIT)
        return false;
    const char *slash = strchr(name, '/');
    if (!slash) {
        snprintf(folder, NAME_LIMIT + 16, "models--%s", name);
        return is_plain_name(name, strlen(name));
    }
    snprintf(folder, NAME_LIMIT + 16, "models--%.*s--%s", (int)(slash - name), name, slash + 1);
    return is_plain_name(name, (size_t)(slash - name)) && is_plain_name(slash + 1, strlen(slash + 1));
}

static const char *environment(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* As huggingface_hub decides it; the first that is set counts, whether it exists or not. */
static bool cache_directory(char *path, size_t size) {
    const char *value = environment("HF_HUB_CACHE");
    if (!value)
        value = environment("HUGGINGFACE_HUB_CACHE"); /* its older name, still honoured */
    const char *home = environment("HOME");
#ifdef _WIN32
    if (!home)
        home = environment("USERPROFILE");
#endif
    const char *rest = "";
    if (!value && (value = environment("HF_HOME")))
        rest = "/hub";
    if (!value && (value = environment("XDG_CACHE_HOME")))
        rest = "/huggingface/hub";
    if (!value)
        value = "~/.cache/huggingface/hub";
    if (value[0] == '~' && (value[1] == '/' || !value[1]))
        return home && print(path, size, "%s%s%s", home, value + 1, rest);
    return print(path, size, "%s%s", value, rest);
}

/* refs/main holds the commit that names its snapshot. */
static bool main_snapshot(const char *repository, char *path, size_t size) {
    char file_name[PATH_LIMIT], commit[128] = "";
    if (!print(file_name, sizeof(file_name), "%s/refs/main", repository))
        return false;
    FILE *file = fopen(file_name, "rb");
    if (!file)
        return false;
    size_t length = fread(commit, 1, sizeof(commit) - 1, file);
    fclose(file);
    while (length > 0 && strchr(" \t\r\n", commit[length - 1]))
        length--;
    commit[length] = '\0';
    return is_plain_name(commit, length) && print(path, size, "%s/snapshots/%s", repository, commit) && exists(path);
}

static bool newest_snapshot(const char *repository, char *path, size_t size) {
    char directory[PATH_LIMIT], candidate[PATH_LIMIT];
    if (!print(directory, sizeof(directory), "%s/snapshots", repository))
        return false;
    DIR *list = opendir(directory);
    if (!list)
        return false;
    bool found = false;
    time_t newest = 0;
    for (struct dirent *entry; (entry = readdir(list));) {
        struct stat status;
        if (entry->d_name[0] == '.' || !print(candidate, sizeof(candidate), "%s/%s", directory, entry->d_name) ||
            stat(candidate, &status) != 0 || !S_ISDIR(status.st_mode) || (found && status.st_mtime < newest))
            continue;
        if (!print(path, size, "%s", candidate))
            continue;
        newest = status.st_mtime;
        found = true;
    }
    closedir(list);
    return found;
}

dvk_result model_path_resolve(const char *argument, char *path, size_t size, dvk_error *error) {
    char folder[NAME_LIMIT + 16], cache[PATH_LIMIT], repository[PATH_LIMIT];
    if (!argument || !*argument)
        return fail(error, DVK_ERROR_INVALID_ARGUMENT,
                    "the model's name is empty, expected a directory, a .safetensors file or a name like "
                    "facebook/dino-vits8");
    if (exists(argument)) {
        if (!print(path, size, "%s", argument))
            return fail(error, DVK_ERROR_INVALID_ARGUMENT, "the model's path has %zu bytes, at most %zu are possible",
                        strlen(argument), size - 1);
        return DVK_OK;
    }
    if (!repository_folder(argument, folder))
        return fail(error, DVK_ERROR_IO,
                    "%.200s does not exist, expected a model directory, a .safetensors file or a name like "
                    "facebook/dino-vits8",
                    argument);
    if (!cache_directory(cache, sizeof(cache)) || !print(repository, sizeof(repository), "%s/%s", cache, folder))
        return fail(
            error, DVK_ERROR_IO,
            "%s is no path, and there is no place to look it up as a name: set HF_HUB_CACHE to the Hugging Face "
            "cache's directory",
            argument);
    if (main_snapshot(repository, path, size) || newest_snapshot(repository, path, size))
        return DVK_OK;
    return fail(error, DVK_ERROR_IO,
                "%s is neither a path nor in the Hugging Face cache %.200s; fetch it with: hf download %s", argument,
                cache, argument);
}
