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
    DQT = 0xDB,
    DRI = 0xDD,
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
    uint8_t sampling[4]; /* horizontal << 4 | vertical */
    uint8_t quantisation[4];
    bool progressive;
    uint32_t dc_tables, ac_tables, quantisation_tables; /* bit i: table i was defined */
    uint32_t restart_interval;                          /* in MCUs; 0: none */
    uint32_t scanned;                                   /* bit i: a scan holds component i */
    int adobe_transform;                                /* -1: no Adobe segment */
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
    for (uint32_t i = 0; i < info->components; i++) {
        info->ids[i] = body[6 + 3 * i];
        info->sampling[i] = body[7 + 3 * i];
        info->quantisation[i] = body[8 + 3 * i];
        const int horizontal = info->sampling[i] >> 4, vertical = info->sampling[i] & 15;
        if (horizontal < 1 || horizontal > 4 || vertical < 1 || vertical > 4)
            return dvk_image_damaged(file, error, "the JPEG's sampling factors should be 1 to 4, found %dx%d",
                                     horizontal, vertical);
    }
    info->progressive = marker == SOF2;
    return DVK_OK;
}

static uint32_t divide_up(uint64_t a, uint32_t b) {
    return (uint32_t)((a + b - 1) / b);
}

static void largest_sampling(const jpeg_info *info, uint32_t *horizontal, uint32_t *vertical) {
    *horizontal = *vertical = 1;
    for (uint32_t i = 0; i < info->components; i++) {
        const uint32_t h = info->sampling[i] >> 4, v = info->sampling[i] & 15;
        *horizontal = h > *horizontal ? h : *horizontal;
        *vertical = v > *vertical ? v : *vertical;
    }
}

/* The minimum coded units of a scan of several components, or of one, which then counts its own blocks (T.81, A.2). */
static uint64_t count_units(const jpeg_info *info, uint32_t scan_components, uint32_t component) {
    uint32_t widest, tallest;
    largest_sampling(info, &widest, &tallest);
    if (scan_components > 1)
        return (uint64_t)divide_up(info->width, 8 * widest) * divide_up(info->height, 8 * tallest);
    const uint32_t columns = divide_up((uint64_t)info->width * (info->sampling[component] >> 4), widest);
    const uint32_t rows = divide_up((uint64_t)info->height * (info->sampling[component] & 15), tallest);
    return (uint64_t)divide_up(columns, 8) * divide_up(rows, 8);
}

/* `markers` is how many restart markers lie in the scan's data. stb_image trusts that the tables it needs exist, that
 * the first scan of a progressive component is its DC, and it stops silently where a restart marker is missing. */
static dvk_result read_scan(const dvk_image_file *file, const uint8_t *body, size_t length, uint64_t markers,
                            jpeg_info *info, dvk_error *error) {
    if (!info->components)
        return dvk_image_damaged(file, error, "the JPEG has image data before its frame header");
    const uint32_t count = length ? body[0] : 0;
    if (count < 1 || count > info->components || length < 4 + 2 * (size_t)count)
        return dvk_image_damaged(file, error, "the JPEG has a scan header that cannot be");
    const uint8_t *spectrum = body + 1 + 2 * count; /* first and last coefficient, successive approximation */
    const bool has_dc = spectrum[0] == 0, refines = spectrum[2] >> 4 != 0;
    const bool needs_dc = !info->progressive || (has_dc && !refines), needs_ac = !info->progressive || !has_dc;
    uint32_t component = 0;
    for (uint32_t k = 0; k < count; k++) {
        const uint32_t dc = body[2 + 2 * k] >> 4, ac = body[2 + 2 * k] & 15;
        for (component = 0; component < info->components && body[1 + 2 * k] != info->ids[component];)
            component++;
        if (component == info->components)
            return dvk_image_damaged(file, error, "the JPEG has a scan of a component that it does not have");
        if ((needs_dc && (dc > 3 || !(info->dc_tables >> dc & 1))) ||
            (needs_ac && (ac > 3 || !(info->ac_tables >> ac & 1))) || info->quantisation[component] > 3 ||
            !(info->quantisation_tables >> info->quantisation[component] & 1))
            return dvk_image_damaged(file, error, "the JPEG has a scan whose tables are missing");
        if (needs_dc)
            info->scanned |= 1u << component;
        else if (!(info->scanned >> component & 1))
            return dvk_image_damaged(file, error, "the JPEG's scans are out of order");
    }
    const uint64_t units = count_units(info, count, component);
    if (info->restart_interval && markers < (units - 1) / info->restart_interval)
        return dvk_image_damaged(file, error, "the JPEG has %llu restart markers in a scan that needs %llu",
                                 (unsigned long long)markers,
                                 (unsigned long long)((units - 1) / info->restart_interval));
    return DVK_OK;
}

/* Several tables may share a segment. stb_image before 2.28 writes beyond its arrays if one has more than 256 codes,
 * and reads beyond them at 256; no coefficient needs more than 176. */
static dvk_result read_huffman_tables(const dvk_image_file *file, const uint8_t *body, size_t length, jpeg_info *info,
                                      dvk_error *error) {
    while (length) {
        size_t codes = 0;
        for (size_t i = 1; i <= 16 && length >= 17; i++)
            codes += body[i];
        if (length < 17 || codes > 255 || codes > length - 17 || (body[0] & 15) > 3 || body[0] >> 4 > 1)
            return dvk_image_damaged(file, error, "the JPEG has a Huffman table that cannot be");
        if (body[0] >> 4)
            info->ac_tables |= 1u << (body[0] & 15);
        else
            info->dc_tables |= 1u << (body[0] & 15);
        body += 17 + codes;
        length -= 17 + codes;
    }
    return DVK_OK;
}

static dvk_result read_quantisation_tables(const dvk_image_file *file, const uint8_t *body, size_t length,
                                           jpeg_info *info, dvk_error *error) {
    while (length) {
        const size_t bytes = 1 + (body[0] >> 4 ? 128 : 64);
        if (length < bytes || (body[0] & 15) > 3 || body[0] >> 4 > 1)
            return dvk_image_damaged(file, error, "the JPEG has a quantisation table that cannot be");
        info->quantisation_tables |= 1u << (body[0] & 15);
        body += bytes;
        length -= bytes;
    }
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

/* How many restart markers there are in the entropy-coded data that begins at `at`. */
static uint64_t count_restarts(const dvk_image_file *file, size_t at) {
    const size_t end = next_marker(file, at);
    uint64_t count = 0;
    for (; at + 1 < end; at++)
        count += file->bytes[at] == 0xFF && file->bytes[at + 1] >= RST0 && file->bytes[at + 1] <= RST7;
    return count;
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
            result = read_scan(file, body, length, count_restarts(file, at), info, error);
        else if (marker == DHT)
            result = read_huffman_tables(file, body, length, info, error);
        else if (marker == DQT)
            result = read_quantisation_tables(file, body, length, info, error);
        else if (marker == DRI && length >= 2)
            info->restart_interval = dvk_big16(body);
        else
            read_application(marker, body, length, info);
        if (result != DVK_OK)
            return result;
    }
    if (!info->components || info->scanned != (1u << info->components) - 1)
        return dvk_image_damaged(file, error, "the JPEG ends at byte %zu before all of its image data", at);
    return DVK_OK;
}

/* What the image data takes at least: a block of 8x8 samples has one code of at least one bit for its DC coefficient
 * and, unless it is progressive, another one for the rest. A header that promises more blocks than that is not worth
 * gigabytes of memory. */
static uint64_t least_bits(const jpeg_info *info) {
    uint32_t widest, tallest;
    largest_sampling(info, &widest, &tallest);
    uint64_t blocks = 0;
    for (uint32_t i = 0; i < info->components; i++) {
        const uint32_t horizontal = info->sampling[i] >> 4, vertical = info->sampling[i] & 15;
        blocks += (uint64_t)(info->width * horizontal / widest / 8) * (info->height * vertical / tallest / 8);
    }
    return info->progressive ? blocks : 2 * blocks;
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
    if (least_bits(&info) > (uint64_t)file->size * 8)
        return dvk_image_damaged(file, error, "a JPEG of %ux%u pixels cannot fit in %zu bytes", info.width, info.height,
                                 file->size);

    int width, height;
    const char *reason;
    uint8_t *pixels = dvk_stb_jpeg(file->allocator, file->bytes, (int)file->size, &width, &height, &reason);
    if (!pixels && reason && !strcmp(reason, "outofmem"))
        return dvk_fail_memory(error, (size_t)info.width * info.height * 3);
    if (!pixels)
        return dvk_image_damaged(file, error, "the JPEG's data cannot be decoded (%s)", reason ? reason : "unknown");
    *image = (dvk_image){.width = (uint32_t)width, .height = (uint32_t)height, .pixels = pixels};
    if (file->allocator)
        image->allocator = *file->allocator;
    *orientation = info.exif ? info.exif : info.xmp ? info.xmp : 1;
    return DVK_OK;
}
