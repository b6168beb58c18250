/* Reads numpy's .npy files, as far as the tests need it: version 1 or 2, little-endian, C order. */
#ifndef DVK_TEST_NPY_H_
#define DVK_TEST_NPY_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NPY_MAX_RANK 4

enum npy_type { NPY_FLOAT32, NPY_UINT8, NPY_INT32, NPY_INT64, NPY_FLOAT64 };

struct npy {
    enum npy_type type;
    uint32_t rank;
    size_t shape[NPY_MAX_RANK];
    size_t count; /* elements */
    void *data;   /* aligned for any type; free with npy_free() */
};

/* False, with a line on stdout that says why, if the file cannot be read. */
bool npy_load(const char *path, struct npy *out);
void npy_free(struct npy *array);

#endif
