#include <stdlib.h>
#include <string.h>

#include "run.h"

/* "%d" or "%0Nd" with one digit N: its length, and N (0: as short as possible); else 0. */
static size_t placeholder(const char *text, int *digits) {
    *digits = 0;
    if (!strncmp(text, "%d", 2))
        return 2;
    if (text[0] == '%' && text[1] == '0' && text[2] >= '1' && text[2] <= '9' && text[3] == 'd') {
        *digits = text[2] - '0';
        return 4;
    }
    return 0;
}

/* Where the extension begins: the last dot of the last component, unless the component begins with it. */
static size_t extension(const char *file) {
    const char *slash = strrchr(file, '/');
    const char *name = slash ? slash + 1 : file;
    const char *dot = strrchr(name, '.');
    return dot && dot != name ? (size_t)(dot - file) : strlen(file);
}

char *picture_path(const char *file, int index, int image_count) {
    size_t at = 0, length = 0;
    int digits = 0;
    for (; file[at] && !(length = placeholder(file + at, &digits)); at++)
        ;
    size_t size = strlen(file) + 24;
    char *path = malloc(size);
    if (!path)
        return NULL;
    if (length) {
        snprintf(path, size, "%.*s%0*d%s", (int)at, file, digits, index, file + at + length);
    } else if (image_count > 1) {
        at = extension(file);
        snprintf(path, size, "%.*s-%d%s", (int)at, file, index, file + at);
    } else {
        snprintf(path, size, "%s", file);
    }
    return path;
}
