#include "image_files.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILES = 256 };

/* Without its data no test can say anything. */
static void require(bool condition, const char *what) {
    if (!condition) {
        printf("%s: cannot be read\n", what);
        exit(1);
    }
}

static FILE *open_data(const char *data_directory, const char *name) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/images/%s", data_directory, name);
    FILE *file = fopen(path, "rb");
    require(file, path);
    return file;
}

image_file load_image_file(const char *data_directory, const char *name) {
    image_file result = {0};
    snprintf(result.name, sizeof(result.name), "%s", name);
    FILE *file = open_data(data_directory, name);
    require(fseek(file, 0, SEEK_END) == 0, name);
    result.size = result.needed = (size_t)ftell(file);
    rewind(file);
    result.bytes = malloc(result.size);
    require(result.bytes && fread(result.bytes, 1, result.size, file) == result.size, name);
    fclose(file);
    return result;
}

image_file *load_lossless_files(const char *data_directory, size_t *count) {
    static image_file files[MAX_FILES];
    size_t n = 0;
    char line[256], name[128];
    unsigned width, height;
    unsigned long long hash;
    size_t bytes;

    FILE *list = open_data(data_directory, "decode.txt");
    while (fgets(line, sizeof(line), list)) {
        if (line[0] == '#')
            continue;
        require(n < MAX_FILES && sscanf(line, "%127s %u %u %zu %llx", name, &width, &height, &bytes, &hash) == 5, line);
        files[n] = load_image_file(data_directory, name);
        files[n].width = width;
        files[n].height = height;
        files[n].needed = bytes;
        files[n].hash = hash;
        n++;
    }
    fclose(list);

    FILE *pack = open_data(data_directory, "variants.bin");
    while (fgets(line, sizeof(line), pack)) {
        require(n < MAX_FILES && sscanf(line, "%127s %zu %u %u %llx", name, &bytes, &width, &height, &hash) == 5, line);
        image_file *file = &files[n++];
        *file = (image_file){.size = bytes, .needed = bytes, .width = width, .height = height, .hash = hash};
        snprintf(file->name, sizeof(file->name), "variants.bin: %s", name);
        file->bytes = malloc(bytes);
        require(file->bytes && fread(file->bytes, 1, bytes, pack) == bytes, name);
    }
    fclose(pack);
    *count = n;
    return files;
}
