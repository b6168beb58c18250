/* BMP: OS/2 1.x and Windows 3 to 5 headers; 1, 4, 8, 16, 24 and 32 bits; uncompressed or bit fields. */
#include "image.h"

#include <string.h>

enum { FILE_HEADER = 14, CORE_HEADER = 12, INFO_HEADER = 40, COMPRESSION_NONE = 0, COMPRESSION_BITFIELDS = 3 };

typedef struct bmp {
    const dvk_image_file *file;
    uint32_t width, height, bits, compression;
    bool top_down;
    uint32_t masks[3];       /* red, green, blue; 16 and 32 bits only */
    uint8_t palette[256][3]; /* RGB; what the file leaves out is black */
    const uint8_t *rows;
    size_t stride;
} bmp;

static dvk_result read_palette(bmp *b, size_t at, size_t end, uint32_t colors, uint32_t entry, dvk_error *error) {
    if (colors == 0 || colors > 1u << b->bits)
        colors = 1u << b->bits;
    if (at > end || colors > (end - at) / entry)
        return dvk_image_damaged(b->file, error, "the BMP's palette of %u colours reaches into its pixels", colors);
    for (uint32_t i = 0; i < colors; i++)
        for (uint32_t c = 0; c < 3; c++)
            b->palette[i][c] = b->file->bytes[at + (size_t)i * entry + 2 - c];
    return DVK_OK;
}

/* The masks that Pillow reads: one byte each, or 5-5-5 and 5-6-5. */
static bool masks_supported(const bmp *b) {
    if (b->bits == 16)
        return b->masks[2] == 0x1f &&
               ((b->masks[0] == 0x7c00 && b->masks[1] == 0x3e0) || (b->masks[0] == 0xf800 && b->masks[1] == 0x7e0));
    for (int c = 0; c < 3; c++)
        if (b->masks[c] != 0xff && b->masks[c] != 0xff00 && b->masks[c] != 0xff0000 && b->masks[c] != 0xff000000)
            return false;
    return true;
}

static dvk_result read_header(bmp *b, dvk_error *error) {
    const dvk_image_file *file = b->file;
    const uint8_t *bytes = file->bytes;
    if (file->size < FILE_HEADER + CORE_HEADER)
        return dvk_image_damaged(file, error, "the BMP ends at byte %zu within its header", file->size);
    const size_t offset = dvk_little32(bytes + 10);
    const uint32_t header = dvk_little32(bytes + FILE_HEADER);
    if (header != CORE_HEADER && header != INFO_HEADER && header != 52 && header != 56 && header != 64 &&
        header != 108 && header != 124)
        return dvk_image_damaged(file, error, "the BMP's header tells of a size of %u bytes, which no BMP has", header);
    if (offset > file->size || offset < FILE_HEADER + (size_t)header)
        return dvk_image_damaged(file, error, "the BMP's pixels should start at byte %zu, and the file has %zu bytes",
                                 offset, file->size);

    const uint8_t *info = bytes + FILE_HEADER;
    int64_t height;
    uint32_t colors = 0;
    if (header == CORE_HEADER) {
        b->width = dvk_little16(info + 4);
        height = dvk_little16(info + 6);
        b->bits = dvk_little16(info + 10);
    } else {
        b->width = dvk_little32(info + 4);
        height = (int32_t)dvk_little32(info + 8);
        b->bits = dvk_little16(info + 14);
        b->compression = dvk_little32(info + 16);
        colors = dvk_little32(info + 32);
    }
    b->top_down = height < 0;
    const dvk_result result = dvk_image_check_size(file, b->width, (uint64_t)(b->top_down ? -height : height), error);
    if (result != DVK_OK)
        return result;
    b->height = (uint32_t)(b->top_down ? -height : height);

    if (b->compression != COMPRESSION_NONE && b->compression != COMPRESSION_BITFIELDS)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: expected an uncompressed BMP, found compression %u; convert it to PNG", file->name,
                        b->compression);
    const bool bitfields = b->compression == COMPRESSION_BITFIELDS;
    if (b->bits == 16 || b->bits == 32) {
        const uint32_t masks16[3] = {0x7c00, 0x3e0, 0x1f}, masks32[3] = {0xff0000, 0xff00, 0xff};
        memcpy(b->masks, b->bits == 16 ? masks16 : masks32, sizeof(b->masks));
        if (bitfields) {
            /* After an INFO_HEADER, or inside the larger ones at the same place. */
            if (offset < FILE_HEADER + INFO_HEADER + 12)
                return dvk_image_damaged(file, error, "the BMP's colour masks reach into its pixels");
            for (int c = 0; c < 3; c++)
                b->masks[c] = dvk_little32(info + INFO_HEADER + 4 * c);
        }
        if (!masks_supported(b))
            return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                            "%s: expected a BMP of 8 bits a channel, 5-5-5 or 5-6-5, found the masks %08x %08x %08x; "
                            "convert it to PNG",
                            file->name, b->masks[0], b->masks[1], b->masks[2]);
    } else if (b->bits == 1 || b->bits == 4 || b->bits == 8) {
        const dvk_result palette =
            read_palette(b, FILE_HEADER + (size_t)header, offset, colors, header == CORE_HEADER ? 3 : 4, error);
        if (palette != DVK_OK)
            return palette;
    } else if (b->bits != 24) {
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s: expected a BMP of 1, 4, 8, 16, 24 or 32 bits a pixel, found %u; convert it to PNG",
                        file->name, b->bits);
    }

    b->stride = ((size_t)b->width * b->bits + 31) / 32 * 4;
    if ((file->size - offset) / b->stride < b->height)
        return dvk_image_damaged(file, error, "a BMP of %ux%u pixels at %u bits needs %llu bytes, found %zu", b->width,
                                 b->height, b->bits, (unsigned long long)offset + (uint64_t)b->stride * b->height,
                                 file->size);
    b->rows = bytes + offset;
    return DVK_OK;
}

static uint8_t field(uint32_t pixel, uint32_t mask) {
    const uint32_t lowest = mask & (~mask + 1);
    return (uint8_t)((pixel & mask) / lowest * 255 / (mask / lowest));
}

static void unpack_row(const bmp *b, const uint8_t *row, uint8_t *target) {
    for (uint32_t x = 0; x < b->width; x++, target += 3) {
        if (b->bits <= 8) {
            const uint32_t bit = x * b->bits;
            const uint32_t index = row[bit / 8] >> (8 - b->bits - bit % 8) & ((1u << b->bits) - 1);
            memcpy(target, b->palette[index], 3);
        } else if (b->bits == 24) {
            for (int c = 0; c < 3; c++)
                target[c] = row[(size_t)x * 3 + 2 - (size_t)c];
        } else {
            const uint32_t pixel =
                b->bits == 16 ? dvk_little16(row + (size_t)x * 2) : dvk_little32(row + (size_t)x * 4);
            for (int c = 0; c < 3; c++)
                target[c] = field(pixel, b->masks[c]);
        }
    }
}

dvk_result dvk_image_decode_bmp(const dvk_image_file *file, dvk_image *image, dvk_error *error) {
    bmp b = {.file = file};
    dvk_result result = read_header(&b, error);
    if (result == DVK_OK)
        result = dvk_image_allocate(file->allocator, b.width, b.height, image, error);
    if (result != DVK_OK)
        return result;
    for (uint32_t y = 0; y < b.height; y++) {
        const uint32_t row = b.top_down ? y : b.height - 1 - y;
        unpack_row(&b, b.rows + row * b.stride, image->pixels + (size_t)y * b.width * 3);
    }
    return DVK_OK;
}
