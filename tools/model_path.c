#include "model_path.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "hub_names.h"

static dvk_result refuse(dvk_error *error, dvk_result code, const char *format, ...) MESSAGE_PRINTF(3, 4);

static dvk_result refuse(dvk_error *error, dvk_result code, const char *format, ...) {
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof(error->message), format, arguments);
        va_end(arguments);
        error->code = code;
    }
    return code;
}

static bool exists(const char *path) {
    struct stat status;
    return stat(path, &status) == 0;
}

/* refs/main holds the commit that names its snapshot. */
static bool main_snapshot(const char *repository, char *path, size_t size) {
    char file_name[HUB_PATH_SIZE], commit[128] = "";
    if (!hub_print(file_name, sizeof(file_name), "%s/refs/main", repository))
        return false;
    FILE *file = fopen(file_name, "rb");
    if (!file)
        return false;
    size_t length = fread(commit, 1, sizeof(commit) - 1, file);
    fclose(file);
    while (length > 0 && strchr(" \t\r\n", commit[length - 1]))
        length--;
    commit[length] = '\0';
    return hub_is_plain_name(commit, length) && hub_print(path, size, "%s/snapshots/%s", repository, commit) &&
           exists(path);
}

static bool newest_snapshot(const char *repository, char *path, size_t size) {
    char directory[HUB_PATH_SIZE], candidate[HUB_PATH_SIZE];
    if (!hub_print(directory, sizeof(directory), "%s/snapshots", repository))
        return false;
    DIR *list = opendir(directory);
    if (!list)
        return false;
    bool found = false;
    time_t newest = 0;
    for (struct dirent *entry; (entry = readdir(list));) {
        struct stat status;
        if (entry->d_name[0] == '.' || !hub_print(candidate, sizeof(candidate), "%s/%s", directory, entry->d_name) ||
            stat(candidate, &status) != 0 || !S_ISDIR(status.st_mode) || (found && status.st_mtime < newest))
            continue;
        if (!hub_print(path, size, "%s", candidate))
            continue;
        newest = status.st_mtime;
        found = true;
    }
    closedir(list);
    return found;
}

dvk_result model_path_resolve(const char *argument, char *path, size_t size, dvk_error *error) {
    char folder[HUB_FOLDER_SIZE], cache[HUB_PATH_SIZE], repository[HUB_PATH_SIZE];
    if (!argument || !*argument)
        return refuse(error, DVK_ERROR_INVALID_ARGUMENT,
                      "the model's name is empty, expected a directory, a .safetensors or .pth file, or a name like "
                      "facebook/dino-vits8");
    if (exists(argument)) {
        if (!hub_print(path, size, "%s", argument))
            return refuse(error, DVK_ERROR_INVALID_ARGUMENT, "the model's path has %zu bytes, at most %zu are possible",
                          strlen(argument), size - 1);
        return DVK_OK;
    }
    if (!hub_repository_folder(argument, folder))
        return refuse(error, DVK_ERROR_IO,
                      "%.200s does not exist, expected a model directory, a .safetensors or .pth file, or a name like "
                      "facebook/dino-vits8",
                      argument);
    if (!hub_cache_directory(cache, sizeof(cache)) ||
        !hub_print(repository, sizeof(repository), "%s/%s", cache, folder))
        return refuse(
            error, DVK_ERROR_IO,
            "%s is no path, and there is no place to look it up as a name: set HF_HUB_CACHE to the Hugging Face "
            "cache's directory",
            argument);
    if (main_snapshot(repository, path, size) || newest_snapshot(repository, path, size))
        return DVK_OK;
    return refuse(
        error, DVK_ERROR_IO,
        "%s is neither a path nor in the Hugging Face cache %.120s; fetch it with: dino-vk fetch %s, or with: hf "
        "download %s",
        argument, cache, argument, argument);
}
