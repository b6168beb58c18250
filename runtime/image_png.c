/* PNG (W3C Recommendation, third edition), strict: every chunk's CRC, the order of the critical chunks, the zlib
 * stream's length and checksum. The pixels are Pillow's convert("RGB"): alpha and tRNS are dropped without blending,
 * 16-bit colour keeps its high byte, and 16-bit gray is clipped at 255 (not scaled), because that is what transformers
 * sees. */
#include "image.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { GRAY = 0, RGB = 2, PALETTE = 3, GRAY_ALPHA = 4, RGB_ALPHA = 6 };

typedef struct png {
    const dvk_image_file *file;
    uint32_t width, height, depth, color, channels;
    bool interlaced;
    uint8_t palette[256][3]; /* what the file leaves out is black */
    bool has_palette;
    size_t data_begin, data_end; /* the IDAT chunks, headers and all */
    size_t data_bytes;           /* of them without headers */
    int exif, xmp;
} png;

static uint32_t crc32_of(const uint8_t *bytes, size_t size) {
    /* Four bits at a time: the table is small enough to be written down. */
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static uint32_t adler32_of(const uint8_t *bytes, size_t size) {
    uint32_t a = 1, b = 0;
    while (size) {
        const size_t piece = size < 5552 ? size : 5552; /* the most that cannot overflow 32 bits */
        for (size_t i = 0; i < piece; i++) {
            a += bytes[i];
            b += a;
        }
        a %= 65521;
        b %= 65521;
        bytes += piece;
        size -= piece;
    }
    return b << 16 | a;
}

static dvk_result read_header(png *p, const uint8_t *body, uint32_t length, dvk_error *error) {
    if (length != 13)
        return dvk_image_damaged(p->file, error, "the PNG's header has %u bytes instead of 13", length);
    p->width = dvk_big32(body);
    p->height = dvk_big32(body + 4);
    p->depth = body[8];
    p->color = body[9];
    const dvk_result result = dvk_image_check_size(p->file, p->width, p->height, error);
    if (result != DVK_OK)
        return result;

    bool valid;
    switch (p->color) {
    case GRAY:
        valid = p->depth == 1 || p->depth == 2 || p->depth == 4 || p->depth == 8 || p->depth == 16;
        p->channels = 1;
        break;
    case PALETTE:
        valid = p->depth == 1 || p->depth == 2 || p->depth == 4 || p->depth == 8;
        p->channels = 1;
        break;
    case RGB:
    case GRAY_ALPHA:
    case RGB_ALPHA:
        valid = p->depth == 8 || p->depth == 16;
        p->channels = p->color == RGB ? 3 : p->color == GRAY_ALPHA ? 2 : 4;
        break;
    default:
        valid = false;
    }
    if (!valid || body[10] != 0 || body[11] != 0 || body[12] > 1)
        return dvk_image_damaged(p->file, error,
                                 "the PNG's header tells of colour type %u, depth %u, compression %u, filter %u, "
                                 "interlace %u, which no PNG has",
                                 p->color, p->depth, body[10], body[11], body[12]);
    p->interlaced = body[12] != 0;
    return DVK_OK;
}

static dvk_result read_palette(png *p, const uint8_t *body, uint32_t length, dvk_error *error) {
    if (p->has_palette || p->data_bytes || length == 0 || length % 3 || length > 768)
        return dvk_image_damaged(p->file, error, "the PNG's palette of %u bytes is misplaced or has a wrong size",
                                 length);
    memcpy(p->palette, body, length);
    p->has_palette = true;
    return DVK_OK;
}

/* iTXt: keyword, NUL, compression flag and method, language, NUL, translated keyword, NUL, text. */
static void read_text(png *p, const uint8_t *body, uint32_t length) {
    static const char keyword[] = "XML:com.adobe.xmp";
    if (!p->xmp && length > sizeof(keyword) && !memcmp(body, keyword, sizeof(keyword)) && body[sizeof(keyword)] == 0)
        p->xmp = dvk_xmp_orientation(body + sizeof(keyword), length - sizeof(keyword));
}

static dvk_result read_chunk(png *p, const uint8_t *chunk, uint32_t length, size_t at, bool first, dvk_error *error) {
    const uint8_t *type = chunk + 4, *body = chunk + 8;
    if (first != !memcmp(type, "IHDR", 4))
        return dvk_image_damaged(p->file, error, "the PNG has %s", first ? "no header chunk" : "two header chunks");
    if (first)
        return read_header(p, body, length, error);
    if (!memcmp(type, "PLTE", 4))
        return read_palette(p, body, length, error);
    if (!memcmp(type, "IDAT", 4)) {
        if (!p->data_begin)
            p->data_begin = at;
        else if (p->data_end != at)
            return dvk_image_damaged(p->file, error, "the PNG's image data is in two places");
        p->data_end = at + 12 + length;
        p->data_bytes += length;
        return DVK_OK;
    }
    if (!memcmp(type, "eXIf", 4) && !p->exif)
        p->exif = dvk_exif_orientation(body, length);
    else if (!memcmp(type, "iTXt", 4))
        read_text(p, body, length);
    else if (!(type[0] & 0x20) && memcmp(type, "IEND", 4)) /* bit 5 clear: a critical chunk */
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: expected a standard PNG, found an unknown critical chunk (%02x%02x%02x%02x) at byte %zu; "
                        "save it anew with another program",
                        p->file->name, type[0], type[1], type[2], type[3], at);
    return DVK_OK;
}

static dvk_result walk(png *p, dvk_error *error) {
    const dvk_image_file *file = p->file;
    for (size_t at = 8;;) {
        if (file->size - at < 12)
            return dvk_image_damaged(file, error, "the PNG ends at byte %zu without its end chunk", file->size);
        const uint8_t *chunk = file->bytes + at;
        const uint32_t length = dvk_big32(chunk);
        if (length > file->size - at - 12)
            return dvk_image_damaged(file, error, "the PNG's chunk at byte %zu should have %u bytes, and %zu are left",
                                     at, length, file->size - at - 12);
        if (crc32_of(chunk + 4, (size_t)length + 4) != dvk_big32(chunk + 8 + length))
            return dvk_image_damaged(file, error, "the checksum of the PNG's chunk at byte %zu is wrong", at);
        const dvk_result result = read_chunk(p, chunk, length, at, at == 8, error);
        if (result != DVK_OK)
            return result;
        if (!memcmp(chunk + 4, "IEND", 4))
            break;
        at += 12 + (size_t)length;
    }
    if (!p->data_begin)
        return dvk_image_damaged(file, error, "the PNG has no image data");
    if (p->color == PALETTE && !p->has_palette)
        return dvk_image_damaged(file, error, "the PNG's palette is missing");
    return DVK_OK;
}

/* Adam7; a picture that is not interlaced is one pass of step 1. */
typedef struct pass {
    uint32_t x, y, step_x, step_y;
} pass;

static const pass adam7[7] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                              {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
static const pass whole = {0, 0, 1, 1};

static const pass *get_passes(const png *p, int *count) {
    *count = p->interlaced ? 7 : 1;
    return p->interlaced ? adam7 : &whole;
}

static uint32_t steps(uint32_t size, uint32_t first, uint32_t step) {
    return size > first ? (size - first + step - 1) / step : 0;
}

static size_t row_bytes(const png *p, uint32_t columns) {
    return ((size_t)columns * p->channels * p->depth + 7) / 8;
}

/* What the zlib stream must give: each row of each pass that has columns, with its filter byte. At most 2^31 + 2^14. */
static uint64_t filtered_bytes(const png *p) {
    int count;
    const pass *passes = get_passes(p, &count);
    uint64_t bytes = 0;
    for (int i = 0; i < count; i++) {
        const uint32_t columns = steps(p->width, passes[i].x, passes[i].step_x);
        const uint32_t rows = steps(p->height, passes[i].y, passes[i].step_y);
        if (columns)
            bytes += (uint64_t)rows * (1 + row_bytes(p, columns));
    }
    return bytes;
}

static dvk_result inflate_data(const png *p, uint8_t *filtered, size_t bytes, dvk_error *error) {
    if (p->data_bytes < 6) /* two bytes of header, four of checksum */
        return dvk_image_damaged(p->file, error, "the PNG has only %zu bytes of image data", p->data_bytes);
    uint8_t *joined = dvk_allocate(p->file->allocator, p->data_bytes);
    if (!joined)
        return dvk_fail_memory(error, p->data_bytes);
    size_t size = 0;
    for (size_t at = p->data_begin; at < p->data_end;) {
        const uint32_t length = dvk_big32(p->file->bytes + at);
        memcpy(joined + size, p->file->bytes + at + 8, length);
        size += length;
        at += 12 + (size_t)length;
    }

    dvk_result result = DVK_OK;
    if (!dvk_stb_inflate(joined, (int)size, filtered, (int)bytes))
        result = dvk_image_damaged(p->file, error, "the PNG's image data does not decompress to %zu bytes", bytes);
    else if (adler32_of(filtered, bytes) != dvk_big32(joined + size - 4))
        result = dvk_image_damaged(p->file, error, "the checksum of the PNG's image data is wrong");
    dvk_release(p->file->allocator, joined);
    return result;
}

static uint8_t paeth(int a, int b, int c) {
    const int p = a + b - c;
    const int pa = abs(p - a), pb = abs(p - b), pc = abs(p - c);
    return (uint8_t)(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
}

/* `above` is the unfiltered row before, NULL for the first of a pass; `distance` the bytes of one pixel, at least 1. */
static bool unfilter(uint8_t filter, uint8_t *row, const uint8_t *above, size_t bytes, size_t distance) {
    switch (filter) {
    case 0:
        return true;
    case 1:
        for (size_t i = distance; i < bytes; i++)
            row[i] = (uint8_t)(row[i] + row[i - distance]);
        return true;
    case 2:
        for (size_t i = 0; above && i < bytes; i++)
            row[i] = (uint8_t)(row[i] + above[i]);
        return true;
    case 3:
        for (size_t i = 0; i < bytes; i++) {
            const int left = i >= distance ? row[i - distance] : 0, up = above ? above[i] : 0;
            row[i] = (uint8_t)(row[i] + (left + up) / 2);
        }
        return true;
    case 4:
        for (size_t i = 0; i < bytes; i++) {
            const int left = i >= distance ? row[i - distance] : 0, up = above ? above[i] : 0;
            const int corner = above && i >= distance ? above[i - distance] : 0;
            row[i] = (uint8_t)(row[i] + paeth(left, up, corner));
        }
        return true;
    default:
        return false;
    }
}

/* `columns` pixels of an unfiltered row, written `step` pixels apart. */
static void expand(const png *p, const uint8_t *row, uint32_t columns, uint8_t *target, uint32_t step) {
    const uint32_t sample_bytes = p->depth == 16 ? 2 : 1;
    const uint32_t maximum = p->depth < 8 ? (1u << p->depth) - 1 : 255;
    for (uint32_t x = 0; x < columns; x++, target += (size_t)step * 3) {
        if (p->color == RGB || p->color == RGB_ALPHA) {
            for (uint32_t c = 0; c < 3; c++)
                target[c] = row[((size_t)x * p->channels + c) * sample_bytes];
            continue;
        }
        if (p->depth < 8) {
            const uint32_t bit = x * p->depth;
            const uint32_t sample = row[bit / 8] >> (8 - p->depth - bit % 8) & maximum;
            if (p->color == PALETTE)
                memcpy(target, p->palette[sample], 3);
            else
                memset(target, (int)(sample * (255 / maximum)), 3);
            continue;
        }
        const uint8_t *sample = row + (size_t)x * p->channels * sample_bytes;
        if (p->color == PALETTE)
            memcpy(target, p->palette[*sample], 3);
        else if (p->color == GRAY && p->depth == 16)
            memset(target, sample[0] ? 255 : sample[1], 3);
        else
            memset(target, sample[0], 3);
    }
}

static dvk_result unpack(const png *p, uint8_t *filtered, dvk_image *image, dvk_error *error) {
    const uint32_t pixel_bits = p->channels * p->depth;
    int count;
    const pass *passes = get_passes(p, &count);
    for (int i = 0; i < count; i++) {
        const pass *q = &passes[i];
        const uint32_t columns = steps(p->width, q->x, q->step_x), rows = steps(p->height, q->y, q->step_y);
        const size_t bytes = row_bytes(p, columns);
        const uint8_t *above = NULL;
        for (uint32_t y = 0; columns && y < rows; y++, filtered += 1 + bytes) {
            uint8_t *row = filtered + 1;
            if (!unfilter(filtered[0], row, above, bytes, pixel_bits < 8 ? 1 : pixel_bits / 8))
                return dvk_image_damaged(p->file, error, "the PNG has a row with the unknown filter %u", filtered[0]);
            const size_t target = (size_t)(q->y + y * q->step_y) * p->width + q->x;
            expand(p, row, columns, image->pixels + target * 3, q->step_x);
            above = row;
        }
    }
    return DVK_OK;
}

dvk_result dvk_image_decode_png(const dvk_image_file *file, dvk_image *image, int *orientation, dvk_error *error) {
    png p = {.file = file};
    dvk_result result = walk(&p, error);
    if (result != DVK_OK)
        return result;

    /* Deflate shrinks to no less than 1/1032: a header that promises more is not worth gigabytes of memory. */
    const uint64_t bytes = filtered_bytes(&p);
    if (bytes > (uint64_t)p.data_bytes * 1032)
        return dvk_image_damaged(file, error, "a PNG of %ux%u pixels cannot fit in %zu bytes of image data", p.width,
                                 p.height, p.data_bytes);
    if (bytes > INT_MAX || p.data_bytes > INT_MAX)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: expected a PNG that unpacks to less than 2 GiB, found %llu bytes; make it smaller",
                        file->name, (unsigned long long)bytes);

    uint8_t *filtered = dvk_allocate(file->allocator, (size_t)bytes);
    if (!filtered)
        return dvk_fail_memory(error, (size_t)bytes);
    dvk_image decoded = {0};
    result = inflate_data(&p, filtered, (size_t)bytes, error);
    if (result == DVK_OK)
        result = dvk_image_allocate(file->allocator, p.width, p.height, &decoded, error);
    if (result == DVK_OK)
        result = unpack(&p, filtered, &decoded, error);
    dvk_release(file->allocator, filtered);
    if (result != DVK_OK) {
        dvk_image_free(&decoded);
        return result;
    }
    *image = decoded;
    *orientation = p.exif ? p.exif : p.xmp ? p.xmp : 1;
    return DVK_OK;
}
