/* JPEG (ITU-T T.81): the structure is checked here from the first marker to the last, because stb_image fills what a
 * truncated file lacks with gray; then stb_image decodes. JPEG has no checksum: damage inside the entropy-coded data
 * that still decodes cannot be noticed by anybody. */
#include "image.h"

#include <limits.h>
#include <string.h>

enum {
    SOF0 = 0xC0, /* baseline */
    SOF2 = 0xC2, /* progressive */
    SOF15 = 0xCF,
    DHT = 0xC4,
    JPG = 0xC8,
    DAC = 0xCC,
    RST0 = 0xD0,
    RST7 = 0xD7,
    SOI = 0xD8,
    EOI = 0xD9,
    SOS = 0xDA,
    APP1 = 0xE1,
    APP14 = 0xEE,
    TEM = 0x01
};

typedef struct jpeg_info {
    uint32_t width, height, components;
    uint8_t ids[4];
    uint32_t scanned;    /* bit i: a scan holds component i */
    int adobe_transform; /* -1: no Adobe segment */
    int exif, xmp;
} jpeg_info;

static const char xmp_prefix[] = "http://ns.adobe.com/xap/1.0/"; /* with its NUL */

static dvk_result read_frame(const dvk_image_file *file, int marker, const uint8_t *body, size_t length,
                             jpeg_info *info, dvk_error *error) {
    if (marker > SOF2)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: expected a baseline or progressive JPEG, found %s one (SOF%d); convert it, for example "
                        "with `jpegtran` or to PNG",
                        file->name,
                        marker == 0xC3                     ? "a lossless"
                        : marker >= 0xC9 && marker != 0xCB ? "an arithmetic-coded"
                                                           : "a hierarchical or lossless",
                        marker - SOF0);
    if (info->components)
        return dvk_image_damaged(file, error, "the JPEG has more than one frame header");
    if (length < 6 || length < 6 + 3 * (size_t)body[5])
        return dvk_image_damaged(file, error, "the JPEG's frame header is too short");
    if (body[0] != 8)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: expected a JPEG of 8 bits a sample, found %u bits; convert it to PNG", file->name,
                        body[0]);
    info->height = dvk_big16(body + 1);
    info->width = dvk_big16(body + 3);
    const dvk_result result = dvk_image_check_size(file, info->width, info->height, error);
    if (result != DVK_OK)
        return result;
    info->components = body[5];
    if (info->components != 1 && info->components != 3 && info->components != 4)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: expected a JPEG of 1, 3 or 4 components, found %u; convert it to RGB", file->name,
                        info->components);
    for (uint32_t i = 0; i < info->components; i++)
        info->ids[i] = body[6 + 3 * i];
    return DVK_OK;
}

static dvk_result read_scan(const dvk_image_file *file, const uint8_t *body, size_t length, jpeg_info *info,
                            dvk_error *error) {
    if (!info->components)
        return dvk_image_damaged(file, error, "the JPEG has image data before its frame header");
    if (length < 1 || length < 4 + 2 * (size_t)body[0])
        return dvk_image_damaged(file, error, "the JPEG has a scan header that is too short");
    for (uint32_t k = 0; k < body[0]; k++)
        for (uint32_t i = 0; i < info->components; i++)
            if (body[1 + 2 * k] == info->ids[i])
                info->scanned |= 1u << i;
    return DVK_OK;
}

static void read_application(int marker, const uint8_t *body, size_t length, jpeg_info *info) {
    if (marker == APP14 && length >= 12 && !memcmp(body, "Adobe", 5))
        info->adobe_transform = body[11];
    else if (marker == APP1 && length >= 6 && !memcmp(body, "Exif\0\0", 6) && !info->exif)
        info->exif = dvk_exif_orientation(body, length);
    else if (marker == APP1 && length > sizeof(xmp_prefix) && !memcmp(body, xmp_prefix, sizeof(xmp_prefix)) &&
             !info->xmp)
        info->xmp = dvk_xmp_orientation(body + sizeof(xmp_prefix), length - sizeof(xmp_prefix));
}

/* The position of the next marker's code byte after entropy-coded data or padding; file->size if there is none. */
static size_t next_marker(const dvk_image_file *file, size_t at) {
    while (at + 1 < file->size) {
        const uint8_t *found = memchr(file->bytes + at, 0xFF, file->size - 1 - at);
        if (!found)
            break;
        at = (size_t)(found - file->bytes) + 1;
        const uint8_t code = file->bytes[at];
        if (code != 0x00 && code != 0xFF && !(code >= RST0 && code <= RST7) && code != TEM)
            return at;
    }
    return file->size;
}

/* From SOI to EOI. What follows EOI (a second picture, a camera's trailer) is not ours. */
static dvk_result walk(const dvk_image_file *file, jpeg_info *info, dvk_error *error) {
    size_t at = 2;
    for (;;) {
        at = next_marker(file, at);
        if (at >= file->size)
            return dvk_image_damaged(file, error, "the JPEG ends at byte %zu without an end marker", file->size);
        const int marker = file->bytes[at++];
        if (marker == EOI)
            break;
        if (marker == SOI)
            return dvk_image_damaged(file, error, "the JPEG starts anew at byte %zu", at - 2);
        if (file->size - at < 2 || dvk_big16(file->bytes + at) < 2 || dvk_big16(file->bytes + at) > file->size - at)
            return dvk_image_damaged(file, error, "the JPEG's segment at byte %zu is cut off", at - 2);
        const size_t length = dvk_big16(file->bytes + at) - 2;
        const uint8_t *body = file->bytes + at + 2;
        at += 2 + length;

        dvk_result result = DVK_OK;
        if (marker >= SOF0 && marker <= SOF15 && marker != DHT && marker != JPG && marker != DAC)
            result = read_frame(file, marker, body, length, info, error);
        else if (marker == SOS)
            result = read_scan(file, body, length, info, error);
        else
            read_application(marker, body, length, info);
        if (result != DVK_OK)
            return result;
    }
    if (!info->components || info->scanned != (1u << info->components) - 1)
        return dvk_image_damaged(file, error, "the JPEG ends at byte %zu before all of its image data", at);
    return DVK_OK;
}

dvk_result dvk_image_decode_jpeg(const dvk_image_file *file, dvk_image *image, int *orientation, dvk_error *error) {
    jpeg_info info = {.adobe_transform = -1};
    const dvk_result result = walk(file, &info, error);
    if (result != DVK_OK)
        return result;
    if (file->size > INT_MAX)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "%s: expected a JPEG of less than 2 GiB, found %zu bytes",
                        file->name, file->size);
    /* Pillow takes every CMYK file for Adobe's, whose samples are inverted; stb_image reads only those that say so. */
    if (info.components == 4 && info.adobe_transform != 0 && info.adobe_transform != 2)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: expected a CMYK JPEG with Adobe's marker, found four components without it; convert it "
                        "to RGB",
                        file->name);
    /* Each block of 64 samples takes at least one bit, and the component with the most blocks has no fewer than a
     * quarter of the image's: a header that promises more than that is not worth gigabytes of memory. */
    if ((uint64_t)info.width * info.height / 64 / 4 > (uint64_t)file->size * 8)
        return dvk_image_damaged(file, error, "a JPEG of %ux%u pixels cannot fit in %zu bytes", info.width, info.height,
                                 file->size);

    int width, height;
    const char *reason;
    uint8_t *pixels = dvk_stb_jpeg(file->bytes, (int)file->size, &width, &height, &reason);
    if (!pixels && reason && !strcmp(reason, "outofmem"))
        return dvk_fail_memory(error, (size_t)info.width * info.height * 3);
    if (!pixels)
        return dvk_image_damaged(file, error, "the JPEG's data cannot be decoded (%s)", reason ? reason : "unknown");
    *image = (dvk_image){.width = (uint32_t)width, .height = (uint32_t)height, .pixels = pixels};
    *orientation = info.exif ? info.exif : info.xmp ? info.xmp : 1;
    return DVK_OK;
}
