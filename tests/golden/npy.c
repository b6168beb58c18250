#include "npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_header(const char *header, npy *array, bool *floats) {
    const char *shape = strstr(header, "'shape': (");
    *floats = strstr(header, "'descr': '<f4'") != NULL;
    if (!shape || !strstr(header, "'fortran_order': False") || (!*floats && !strstr(header, "'descr': '<i4'")))
        return false;
    array->count = 1;
    for (shape += strlen("'shape': ("); *shape && *shape != ')';) {
        char *end;
        size_t extent = strtoul(shape, &end, 10);
        if (end == shape || array->rank == 4)
            return false;
        array->shape[array->rank++] = extent;
        array->count *= extent;
        shape = end + strspn(end, ", ");
    }
    return *shape == ')';
}

bool npy_load(const char *path, npy *array) {
    memset(array, 0, sizeof(*array));
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    unsigned char start[10];
    char header[1024];
    bool floats = false, good = fread(start, 1, 10, file) == 10 && memcmp(start, "\x93NUMPY\x01\x00", 8) == 0;
    size_t length = good ? start[8] + 256u * start[9] : 0;
    good = good && length < sizeof(header) && fread(header, 1, length, file) == length;
    if (good) {
        header[length] = '\0';
        good = parse_header(header, array, &floats);
    }
    if (good) {
        void *values = malloc(array->count * 4);
        good = values && fread(values, 4, array->count, file) == array->count;
        if (floats)
            array->floats = values;
        else
            array->integers = values;
    }
    fclose(file);
    if (!good)
        npy_free(array);
    return good;
}

void npy_free(npy *array) {
    free(array->floats);
    free(array->integers);
    memset(array, 0, sizeof(*array));
}
