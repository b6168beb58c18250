/* A fuzz target as an ordinary test, with any compiler: feeds it every file that is named, and every file of the
 * folders that are, whole, cut short and with a byte changed here and there. */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static size_t files, runs;

static void feed(const uint8_t *bytes, size_t size) {
    uint8_t *copy = fuzz_copy(bytes, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    runs++;
}

static void feed_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        printf("%s cannot be read\n", path);
        exit(1);
    }
    const size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(size + 1);
    if (!bytes || fread(bytes, 1, size, file) != size) {
        printf("%s cannot be read\n", path);
        exit(1);
    }
    fclose(file);
    files++;
    printf("%s\n", path); /* the last line names what ended the process */
    fflush(stdout);
    feed(bytes, size);
    for (size_t i = 1; i < 8; i++)
        feed(bytes, size * i / 8);
    uint32_t state = (uint32_t)size;
    for (size_t i = 0; i < 24 && size; i++) {
        state = state * 1664525u + 1013904223u;
        const size_t at = (size_t)((uint64_t)state * size >> 32);
        const uint8_t kept = bytes[at];
        bytes[at] = i & 1 ? bytes[at] ^ (uint8_t)(1u << (state & 7)) : (uint8_t)state;
        feed(bytes, size);
        bytes[at] = kept;
    }
    free(bytes);
}

static void feed_path(const char *path) {
    DIR *directory = opendir(path);
    if (!directory) {
        feed_file(path);
        return;
    }
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        char name[4096];
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        struct stat status;
        if (entry->d_name[0] != '.' && stat(name, &status) == 0 && S_ISREG(status.st_mode))
            feed_file(name);
    }
    closedir(directory);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        feed_path(argv[i]);
    printf("%zu inputs from %zu files\n", runs, files);
    return files ? 0 : 1;
}
