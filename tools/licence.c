#include "licence.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "hub_names.h"
#include "json_file.h"

/* Front matter comes first; whoever writes more of it than this goes without. */
#define MAX_LINES 1000

/* The rest of a "key: value" line without quotes, comment and spaces. */
static bool take_value(const char *line, const char *key, char value[LICENCE_SIZE]) {
    size_t length = strlen(key);
    if (strncmp(line, key, length) != 0)
        return false;
    line += length;
    line += strspn(line, " \t\"'");
    length = strcspn(line, "#\"'\r\n");
    while (length > 0 && strchr(" \t", line[length - 1]))
        length--;
    return hub_print(value, LICENCE_SIZE, "%.*s", (int)(length < LICENCE_SIZE ? length : LICENCE_SIZE - 1), line);
}

static bool find_in_card(const char *path, char licence[LICENCE_SIZE]) {
    char line[1024], name[LICENCE_SIZE] = "";
    FILE *file = fopen(path, "rb");
    licence[0] = '\0';
    if (!file)
        return false;
    bool inside = fgets(line, sizeof(line), file) && !strncmp(line, "---", 3), in_list = false;
    for (int i = 0; inside && i < MAX_LINES && fgets(line, sizeof(line), file) && strncmp(line, "---", 3) != 0; i++) {
        const char *item = line + strspn(line, " ");
        if (in_list && take_value(item, "-", licence)) { /* "license:" and a list: the first of them */
            in_list = false;
            continue;
        }
        in_list = take_value(line, "license:", licence) && !licence[0];
        take_value(line, "license_name:", name);
    }
    fclose(file);
    if (name[0] && (!licence[0] || !strcmp(licence, "other")))
        strcpy(licence, name);
    return licence[0] != '\0';
}

static bool find_in_config(const char *path, char licence[LICENCE_SIZE]) {
    dvk_json *root = json_file_read(path);
    const char *value = dvk_json_text(dvk_json_get(root, "license"));
    bool found = value && *value && hub_print(licence, LICENCE_SIZE, "%s", value);
    dvk_release(NULL, root);
    return found;
}

bool licence_find(const char *path, char licence[LICENCE_SIZE]) {
    char file[HUB_PATH_SIZE];
    struct stat status;
    int length = (int)strlen(path);
    if (stat(path, &status) != 0)
        return false;
    if (!S_ISDIR(status.st_mode)) {
        const char *slash = strrchr(path, '/');
        length = slash ? (int)(slash - path) : 1;
        path = slash ? path : ".";
    }
    return (hub_print(file, sizeof(file), "%.*s/README.md", length, path) && find_in_card(file, licence)) ||
           (hub_print(file, sizeof(file), "%.*s/config.json", length, path) && find_in_config(file, licence));
}
