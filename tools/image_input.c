#include "image_input.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"

/* 16384 x 16384 pixels of 3 bytes: no image that can be decoded needs more. */
#define STDIN_MAX ((size_t)3 << 28)

char *image_position(const struct options *options, int index, char text[64]) {
    text[0] = '\0';
    if (options->image_count > 1)
        snprintf(text, 64, "image %d of %d: ", index + 1, options->image_count);
    return text;
}

int images_check(const struct options *options, struct image_identity *identities) {
    bool stdin_taken = false;
    for (int i = 0; i < options->image_count; i++) {
        const char *path = options->images[i];
        char position[64];
        image_position(options, i, position);
        if (!strcmp(path, "-")) {
            if (stdin_taken)
                return fail(EXIT_CODE_USAGE, "%sthe standard input (-) can be read only once; name files", position);
            stdin_taken = true;
            continue;
        }
        struct stat status;
        if (stat(path, &status) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
            if (!strcmp(path, "devices") || !strcmp(path, "info"))
                return fail(EXIT_CODE_IMAGE,
                            "%s%s: there is no such image; the subcommand must come first: `dino-vk %s`", position,
                            path, path);
            return fail(EXIT_CODE_IMAGE, "%s%s: there is no such file; name a PNG, JPEG, BMP, TGA or PNM image",
                        position, *path ? path : "''");
        }
        if (access(path, R_OK) != 0)
            return fail(EXIT_CODE_IMAGE, "%s%s: cannot be read: %s", position, path, strerror(errno));
        if (S_ISDIR(status.st_mode))
            return fail(EXIT_CODE_IMAGE,
                        "%s%s: an image file was expected, but this is a directory; name the files in it", position,
                        path);
        identities[i] = (struct image_identity){status.st_dev, status.st_ino, S_ISREG(status.st_mode)};
    }
    return 0;
}

int images_check_output(const struct options *options, const struct image_identity *identities, const char *path) {
    struct stat status;
    if (stat(path, &status) != 0)
        return 0;
    for (int i = 0; i < options->image_count; i++) {
        if (identities[i].regular && identities[i].device == status.st_dev && identities[i].file == status.st_ino)
            return fail(EXIT_CODE_USAGE, "%s: the output would replace the image %s; write it to another file", path,
                        options->images[i]);
    }
    return 0;
}

static int explain(dvk_error *error, const char *format, ...) MESSAGE_PRINTF(2, 3);

static int explain(dvk_error *error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    error->code = DVK_ERROR_IO;
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    return EXIT_CODE_IMAGE;
}

/* All of the standard input, as malloc()ed memory. */
static int read_stdin(uint8_t **bytes, size_t *size, dvk_error *error) {
    size_t capacity = 0, used = 0;
    uint8_t *buffer = NULL;
    for (;;) {
        if (used == capacity) {
            capacity = capacity ? 2 * capacity : (size_t)1 << 20;
            uint8_t *larger = capacity <= 2 * STDIN_MAX ? realloc(buffer, capacity) : NULL;
            if (!larger) {
                free(buffer);
                return explain(error, "the standard input holds more than %zu bytes, too many for an image", used);
            }
            buffer = larger;
        }
        size_t got = fread(buffer + used, 1, capacity - used, stdin);
        used += got;
        if (got == 0)
            break;
    }
    if (ferror(stdin)) {
        free(buffer);
        return explain(error, "the standard input cannot be read: %s", strerror(errno));
    }
    *bytes = buffer;
    *size = used;
    return 0;
}

int image_sandbox_open(const struct options *options, struct sandbox *sandbox) {
    const char *why = NULL;
    *sandbox = (struct sandbox){0};
    if (options->sandbox == SANDBOX_OFF)
        return 0;
    const bool open = sandbox_open(sandbox, dvk_image_decode, SANDBOX_MEMORY, &why);
    if (open && !sandbox->filtered)
        why = "system calls cannot be filtered here";
    if (why && options->sandbox == SANDBOX_REQUIRE) {
        sandbox_close(sandbox);
        return fail(EXIT_CODE_USAGE,
                    "--sandbox=require: images cannot be decoded in a process without privileges: %s; decode on "
                    "another system, or trust the images and leave the option out",
                    why);
    }
    if (why && options->verbose)
        note(open ? "images are decoded in a process with limits only: %s" : "images are decoded without a sandbox: %s",
             why);
    return 0;
}

static dvk_result decode(const char *name, const uint8_t *bytes, size_t size, uint32_t flags, struct sandbox *sandbox,
                         dvk_image *image, dvk_error *error) {
    if (sandbox->process || sandbox->lost)
        return sandbox_decode(sandbox, bytes, size, name, flags, image, error);
    return dvk_image_decode(bytes, size, name, &(dvk_image_params){.flags = flags}, image, error);
}

int image_read(const struct options *options, int index, struct sandbox *sandbox, dvk_image *image, dvk_error *error) {
    const char *path = options->images[index];
    const uint32_t flags = options->ignore_orientation ? DVK_IMAGE_IGNORE_ORIENTATION : 0;
    dvk_error found;
    dvk_result result = DVK_OK;
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (strcmp(path, "-") != 0) {
        result = dvk_image_read_file(NULL, path, &bytes, &size, &found);
    } else {
        int code = read_stdin(&bytes, &size, error);
        if (code)
            return code;
        path = "the standard input";
    }
    if (result == DVK_OK)
        result = decode(path, bytes, size, flags, sandbox, image, &found);
    free(bytes);
    if (result == DVK_OK)
        return 0;
    char position[64];
    error->code = found.code;
    snprintf(error->message, sizeof(error->message), "%s%.440s", image_position(options, index, position),
             found.message);
    return EXIT_CODE_IMAGE;
}
