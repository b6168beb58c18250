/* Whole files, and safetensors built from a header and some data, for the tests of the readers. */
#ifndef FILES_H_
#define FILES_H_

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

typedef struct blob {
    uint8_t *bytes;
    size_t size;
} blob;

static inline blob read_blob(const char *directory, const char *name) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    REQUIRE(file);
    REQUIRE(fseek(file, 0, SEEK_END) == 0);
    blob result = {NULL, (size_t)ftell(file)};
    rewind(file);
    result.bytes = malloc(result.size + 1);
    REQUIRE(result.bytes && fread(result.bytes, 1, result.size, file) == result.size);
    fclose(file);
    result.bytes[result.size] = 0;
    return result;
}

static inline void write_blob(const char *directory, const char *name, const void *bytes, size_t size) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    REQUIRE(file);
    REQUIRE(fwrite(bytes, 1, size, file) == size);
    REQUIRE(fclose(file) == 0);
}

static inline void free_blob(blob *b) {
    free(b->bytes);
    b->bytes = NULL;
}

/* The length, the header's text, and data_size zero bytes; exactly as large as that, so that a sanitizer sees any read
 * beyond it. */
static inline blob make_safetensors(const char *header, size_t header_size, size_t data_size) {
    blob result = {NULL, 8 + header_size + data_size};
    result.bytes = calloc(1, result.size);
    REQUIRE(result.bytes);
    for (int i = 0; i < 8; i++)
        result.bytes[i] = (uint8_t)((uint64_t)header_size >> (8 * i));
    memcpy(result.bytes + 8, header, header_size);
    return result;
}

/* A copy of `text` with the first `old` replaced; `old` must occur. The caller frees it. */
static inline char *replaced(const char *text, const char *old, const char *new) {
    const char *found = strstr(text, old);
    if (!found) {
        printf("no \"%s\" in the text to change\n", old);
        exit(1);
    }
    size_t before = (size_t)(found - text);
    char *result = malloc(strlen(text) + strlen(new) + 1);
    REQUIRE(result);
    memcpy(result, text, before);
    sprintf(result + before, "%s%s", new, found + strlen(old));
    return result;
}

#endif
