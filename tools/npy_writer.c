#include "npy_writer.h"

#include <inttypes.h>
#include <string.h>

bool is_npy(const char *path) {
    size_t length = strlen(path);
    return length > 4 && !strcmp(path + length - 4, ".npy");
}

int npy_write_header(struct output_file *file, const uint64_t *shape, uint32_t dimensions) {
    /* "\x93NUMPY", version 1.0, then a little-endian 16-bit length and that much text: a Python dictionary padded with
     * spaces and ended by a newline so that the values begin at a multiple of 64 bytes. 128 bytes hold four extents of
     * 20 digits. */
    enum { PREFIX = 10, SIZE = 192 };
    char header[SIZE];
    memcpy(header, "\x93NUMPY\x01\x00", 8); /* NOLINT(bugprone-not-null-terminated-result): it is no string */
    char extents[24 * NPY_MAX_DIMENSIONS + 1] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < dimensions && i < NPY_MAX_DIMENSIONS; i++)
        used += (size_t)snprintf(extents + used, sizeof(extents) - used,
                                 i + 1 < dimensions ? "%" PRIu64 ", " : "%" PRIu64, shape[i]);
    int text = snprintf(header + PREFIX, SIZE - PREFIX, "{'descr': '<f4', 'fortran_order': False, 'shape': (%s%s), }",
                        extents, dimensions == 1 ? "," : "");
    size_t end = PREFIX + (size_t)text;
    size_t total = (end + 1 + 63) / 64 * 64;
    memset(header + end, ' ', total - end);
    header[total - 1] = '\n';
    header[8] = (char)((total - PREFIX) & 0xff);
    header[9] = (char)((total - PREFIX) >> 8);
    return output_file_write(file, header, total);
}

int npy_write_values(struct output_file *file, const float *values, size_t count) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, 4);
        bits = __builtin_bswap32(bits);
        int code = output_file_write(file, &bits, 4);
        if (code)
            return code;
    }
    return 0;
#else
    return output_file_write(file, values, count * sizeof(float));
#endif
}
