/* NumPy's .npy format, version 1.0 (numpy.lib.format): float32, little-endian, C order. */
#ifndef NPY_WRITER_H_
#define NPY_WRITER_H_

#include <stdbool.h>
#include <stdint.h>

#include "output_file.h"

/* Whether a file's name asks for this format: it ends in .npy. */
bool is_npy(const char *path);

/* `dimensions` is at most NPY_MAX_DIMENSIONS. The values follow in as many npy_write_values() as there are. */
#define NPY_MAX_DIMENSIONS 4
int npy_write_header(struct output_file *file, const uint64_t *shape, uint32_t dimensions);
int npy_write_values(struct output_file *file, const float *values, size_t count);

#endif
