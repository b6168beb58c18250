/* Reads the .npy files of the reference outputs. */
#ifndef NPY_H_
#define NPY_H_

#include <stdbool.h>
#include <stddef.h>

typedef struct npy {
    size_t shape[4], rank, count;
    float *floats; /* of a "<f4" file, else NULL */
    int *integers; /* of a "<i4" file, else NULL */
} npy;

/* False: there is no such file, or it is not a version 1.0 array of one of the two types. */
bool npy_load(const char *path, npy *array);
void npy_free(npy *array);

#endif
