#include "npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    enum npy_type type;
    size_t bytes;
} types[] = {{"'<f4'", NPY_FLOAT32, 4},
             {"'|u1'", NPY_UINT8, 1},
             {"'<i4'", NPY_INT32, 4},
             {"'<i8'", NPY_INT64, 8},
             {"'<f8'", NPY_FLOAT64, 8}};

/* The header is a Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */
static bool parse_header(const char *text, struct npy *out, size_t *element_bytes) {
    const char *descr = strstr(text, "'descr':"), *order = strstr(text, "'fortran_order': False");
    const char *shape = strstr(text, "'shape': (");
    if (!descr || !order || !shape)
        return false;
    *element_bytes = 0;
    descr += strlen("'descr':");
    descr += strspn(descr, " ");
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (!strncmp(descr, types[i].name, 5)) {
            out->type = types[i].type;
            *element_bytes = types[i].bytes;
        }
    }
    if (!*element_bytes)
        return false;

    out->rank = 0;
    out->count = 1;
    shape += strlen("'shape': (");
    while (*shape != ')') {
        char *end;
        const unsigned long long extent = strtoull(shape, &end, 10);
        if (end == shape || out->rank == NPY_MAX_RANK || (extent && out->count > SIZE_MAX / 8 / extent))
            return false;
        out->shape[out->rank++] = (size_t)extent;
        out->count *= (size_t)extent;
        shape = end + strspn(end, ", ");
    }
    return true;
}

static bool read_array(FILE *file, struct npy *out) {
    uint8_t start[12];
    if (fread(start, 1, 10, file) != 10 || memcmp(start, "\x93NUMPY", 6) || start[6] < 1 || start[6] > 2)
        return false;
    size_t header = start[8] | (size_t)start[9] << 8;
    if (start[6] == 2) {
        if (fread(start + 10, 1, 2, file) != 2)
            return false;
        header |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    }
    char text[4096];
    size_t element_bytes;
    if (header >= sizeof(text) || fread(text, 1, header, file) != header)
        return false;
    text[header] = '\0';
    if (!parse_header(text, out, &element_bytes))
        return false;
    out->data = malloc(out->count * element_bytes + 1);
    return out->data && fread(out->data, element_bytes, out->count, file) == out->count && fgetc(file) == EOF;
}

bool npy_load(const char *path, struct npy *out) {
    memset(out, 0, sizeof(*out));
    FILE *file = fopen(path, "rb");
    const bool read = file && read_array(file, out);
    if (file)
        fclose(file);
    if (!read) {
        printf("%s: %s\n", path, file ? "not an .npy file of a known kind" : "cannot be opened");
        npy_free(out);
    }
    return read;
}

void npy_free(struct npy *array) {
    free(array->data);
    memset(array, 0, sizeof(*array));
}
