/* A file's bytes to an upright RGB image: what format it is, decoding, orientation. */
#include "image.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

dvk_result dvk_image_check_size(const dvk_image_file *file, uint64_t width, uint64_t height, dvk_error *error) {
    if (width == 0 || height == 0)
        return dvk_fail(error, DVK_ERROR_BAD_FILE,
                        "%s: expected an image of at least 1x1 pixels, found %llux%llu; use another file", file->name,
                        (unsigned long long)width, (unsigned long long)height);
    if (width > DVK_IMAGE_MAX_EDGE || height > DVK_IMAGE_MAX_EDGE)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: expected an image of at most %d pixels a side, found %llux%llu; make it smaller",
                        file->name, DVK_IMAGE_MAX_EDGE, (unsigned long long)width, (unsigned long long)height);
    return DVK_OK;
}

dvk_result dvk_image_allocate(const dvk_allocator *allocator, uint32_t width, uint32_t height, dvk_image *image,
                              dvk_error *error) {
    const size_t bytes = (size_t)width * height * 3; /* at most 3 * 2^28 */
    uint8_t *pixels = dvk_allocate(allocator, bytes);
    if (!pixels)
        return dvk_fail_memory(error, bytes);
    *image = (dvk_image){.width = width, .height = height, .pixels = pixels};
    if (allocator)
        image->allocator = *allocator;
    return DVK_OK;
}

dvk_result dvk_image_damaged(const dvk_image_file *file, dvk_error *error, const char *format, ...) {
    char detail[256];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s is damaged or truncated: %s; use an intact copy", file->name,
                    length < 0 ? "" : detail);
}

void dvk_image_free(dvk_image *image) {
    if (!image)
        return;
    dvk_release(&image->allocator, image->pixels);
    *image = (dvk_image){0};
}

typedef enum format { PNG, JPEG, BMP, PNM, TGA, FOREIGN, UNKNOWN } format;

/* Formats that people have and that we do not read, by the bytes at an offset. */
static const char *foreign_format(const uint8_t *bytes, size_t size) {
    static const struct {
        const char *name;
        size_t offset, length;
        const char *magic;
    } formats[] = {
        {"a GIF", 0, 4, "GIF8"},
        {"a WebP", 8, 4, "WEBP"},
        {"a TIFF", 0, 4, "II*\0"},
        {"a TIFF", 0, 4, "MM\0*"},
        {"an AVIF", 4, 8, "ftypavif"},
        {"an HEIC", 4, 7, "ftyphei"},
        {"an HEIF", 4, 8, "ftypmif1"},
        {"a JPEG XL", 0, 2, "\xff\x0a"},
        {"a JPEG XL", 0, 8, "\0\0\0\x0cJXL "},
        {"a JPEG 2000", 0, 8, "\0\0\0\x0cjP  "},
        {"a Photoshop", 0, 4, "8BPS"},
        {"a QOI", 0, 4, "qoif"},
        {"an OpenEXR", 0, 4, "v/1\x01"},
        {"a Radiance HDR", 0, 2, "#?"},
        {"a PFM", 0, 3, "PF\n"},
        {"a PFM", 0, 3, "Pf\n"},
        {"a PAM", 0, 3, "P7\n"},
        {"a DDS", 0, 4, "DDS "},
        {"a KTX", 1, 4, "KTX "},
        {"a PDF", 0, 5, "%PDF-"},
        {"an SVG", 0, 4, "<svg"},
        {"an MP4 or other video", 4, 4, "ftyp"},
    };
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (size >= formats[i].offset + formats[i].length &&
            !memcmp(bytes + formats[i].offset, formats[i].magic, formats[i].length))
            return formats[i].name;
    return NULL;
}

static format identify(const uint8_t *bytes, size_t size) {
    if (size >= 8 && !memcmp(bytes, "\x89PNG\r\n\x1a\n", 8))
        return PNG;
    if (size >= 3 && !memcmp(bytes, "\xff\xd8\xff", 3))
        return JPEG;
    if (size >= 2 && !memcmp(bytes, "BM", 2))
        return BMP;
    if (size >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
        (bytes[2] == '#' || bytes[2] == ' ' || (bytes[2] >= '\t' && bytes[2] <= '\r')))
        return PNM;
    if (foreign_format(bytes, size))
        return FOREIGN;
    return dvk_image_is_tga(bytes, size) ? TGA : UNKNOWN;
}

/* Fails for everything that no decoder takes. */
static dvk_result check_format(const uint8_t *bytes, size_t size, const char *name, dvk_error *error) {
    if (size == 0)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: expected an image, found an empty file; use another file",
                        name);
    const format found = identify(bytes, size);
    if (found == FOREIGN)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: expected a PNG, JPEG, BMP, TGA or PNM image, found %s file; convert it to PNG", name,
                        foreign_format(bytes, size));
    if (found == UNKNOWN)
        return dvk_fail(error, DVK_ERROR_BAD_FILE,
                        "%s: expected a PNG, JPEG, BMP, TGA or PNM image, found something else or a damaged start; use "
                        "an image file",
                        name);
    return DVK_OK;
}

/* Turns the image as EXIF says. A result pixel (x, y) comes from the source pixel origin + x * step_x + y * step_y. */
static dvk_result turn(dvk_image *image, int orientation, dvk_error *error) {
    const ptrdiff_t w = (ptrdiff_t)image->width, h = (ptrdiff_t)image->height;
    const struct {
        ptrdiff_t origin, step_x, step_y;
    } maps[9] = {
        [2] = {w - 1, -1, w},       /* mirrored */
        [3] = {w * h - 1, -1, -w},  /* upside down */
        [4] = {w * (h - 1), 1, -w}, /* both */
        [5] = {0, w, 1},            /* transposed */
        [6] = {w * (h - 1), -w, 1}, /* to be turned clockwise */
        [7] = {w * h - 1, -w, -1},  /* transposed along the other diagonal */
        [8] = {w - 1, w, -1},       /* to be turned counter-clockwise */
    };
    if (orientation < 2 || orientation > 8)
        return DVK_OK;

    dvk_image turned;
    const bool swap = orientation >= 5;
    const dvk_result result = dvk_image_allocate(&image->allocator, swap ? image->height : image->width,
                                                 swap ? image->width : image->height, &turned, error);
    if (result != DVK_OK)
        return result;
    /* In squares, so that both the rows read and the rows written stay in the cache. */
    const ptrdiff_t square = 64, width = (ptrdiff_t)turned.width, height = (ptrdiff_t)turned.height;
    for (ptrdiff_t top = 0; top < height; top += square)
        for (ptrdiff_t left = 0; left < width; left += square)
            for (ptrdiff_t y = top; y < height && y < top + square; y++)
                for (ptrdiff_t x = left; x < width && x < left + square; x++)
                    memcpy(turned.pixels + (y * width + x) * 3,
                           image->pixels + (maps[orientation].origin + x * maps[orientation].step_x +
                                            y * maps[orientation].step_y) *
                                               3,
                           3);
    dvk_image_free(image);
    *image = turned;
    return DVK_OK;
}

static const dvk_image_params defaults;

static dvk_result check_arguments(const char *function, bool source, const dvk_image_params *params,
                                  const dvk_image *image, dvk_error *error) {
    if (!source || !image)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "%s: the source or image is NULL", function);
    if (params->flags & ~(uint32_t)DVK_IMAGE_IGNORE_ORIENTATION)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "%s: unknown flags in 0x%x", function, params->flags);
    dvk_result status = DVK_CHECK_RESERVED(params, function, "image_params", error);
    return status == DVK_OK ? dvk_check_allocator(params->allocator, function, error) : status;
}

dvk_result dvk_image_decode(const void *bytes, size_t size, const char *name, const dvk_image_params *params,
                            dvk_image *image, dvk_error *error) {
    if (!params)
        params = &defaults;
    const dvk_image_file file = {params->allocator, bytes, size, name ? name : "image"};
    dvk_result result = check_arguments("dvk_image_decode", bytes || !size, params, image, error);
    if (result == DVK_OK)
        result = check_format(file.bytes, size, file.name, error);
    if (result != DVK_OK)
        return result;

    dvk_image decoded = {0};
    int orientation = 1;
    switch (identify(file.bytes, size)) {
    case PNG:
        result = dvk_image_decode_png(&file, &decoded, &orientation, error);
        break;
    case JPEG:
        result = dvk_image_decode_jpeg(&file, &decoded, &orientation, error);
        break;
    case BMP:
        result = dvk_image_decode_bmp(&file, &decoded, error);
        break;
    case PNM:
        result = dvk_image_decode_pnm(&file, &decoded, error);
        break;
    default:
        result = dvk_image_decode_tga(&file, &decoded, error);
        break;
    }
    if (result == DVK_OK && !(params->flags & DVK_IMAGE_IGNORE_ORIENTATION))
        result = turn(&decoded, orientation, error);
    if (result != DVK_OK) {
        dvk_image_free(&decoded);
        return result;
    }
    *image = decoded;
    return DVK_OK;
}

#define MAX_FILE_BYTES                                                                                                 \
    ((size_t)INT_MAX) /* what the decoders can count; larger than any image within the limits needs */

static dvk_result fail_read(const char *path, int number, dvk_error *error) {
    return dvk_fail(error, DVK_ERROR_IO, "%s: cannot be read (%s); check the path and its permissions", path,
                    strerror(number));
}

/* The whole stream, which need not be a regular file. Its start is judged before the rest is read. */
static dvk_result read_stream(const dvk_allocator *allocator, FILE *stream, const char *path, uint8_t **bytes,
                              size_t *size, dvk_error *error) {
    size_t capacity = 64 * 1024, used = 0;
    uint8_t *buffer = NULL;
    dvk_result result = DVK_OK;
    for (;;) {
        uint8_t *larger = dvk_reallocate(allocator, buffer, used, capacity);
        if (!larger) {
            result = dvk_fail_memory(error, capacity);
            break;
        }
        buffer = larger;
        errno = 0;
        const bool start = used == 0;
        used += fread(buffer + used, 1, capacity - used, stream);
        if (ferror(stream)) {
            result = fail_read(path, errno, error);
            break;
        }
        if (start)
            result = check_format(buffer, used, path, error);
        if (result != DVK_OK || used < capacity)
            break;
        if (capacity >= MAX_FILE_BYTES) {
            result =
                dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                         "%s: expected an image file of less than 2 GiB, found a larger one; make it smaller", path);
            break;
        }
        capacity = capacity > MAX_FILE_BYTES / 2 ? MAX_FILE_BYTES : capacity * 2;
    }
    if (result != DVK_OK) {
        dvk_release(allocator, buffer);
        return result;
    }
    *bytes = buffer;
    *size = used;
    return DVK_OK;
}

dvk_result dvk_image_read_file(const dvk_allocator *allocator, const char *path, uint8_t **bytes, size_t *size,
                               dvk_error *error) {
    struct stat status;
    if (stat(path, &status))
        return fail_read(path, errno, error);
    if ((status.st_mode & S_IFMT) == S_IFDIR)
        return dvk_fail(error, DVK_ERROR_IO, "%s: expected an image file, found a directory; name a file in it", path);
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return fail_read(path, errno, error);
    const dvk_result result = read_stream(allocator, stream, path, bytes, size, error);
    fclose(stream);
    return result;
}

dvk_result dvk_image_load(const char *path, const dvk_image_params *params, dvk_image *image, dvk_error *error) {
    if (!params)
        params = &defaults;
    uint8_t *bytes;
    size_t size;
    dvk_result result = check_arguments("dvk_image_load", path, params, image, error);
    if (result == DVK_OK)
        result = dvk_image_read_file(params->allocator, path, &bytes, &size, error);
    if (result != DVK_OK)
        return result;
    result = dvk_image_decode(bytes, size, path, params, image, error);
    dvk_release(params->allocator, bytes);
    return result;
}
