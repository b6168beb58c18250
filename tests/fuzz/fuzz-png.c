/* PNG behind its checksums, which no mutation would get right, and EXIF. The first byte chooses what the rest is:
 *
 *     0  the chunks of a PNG, of which every CRC and the zlib stream's checksum are put right
 *     1  width and height (16 bits each), depth, colour type, interlacing; a palette of 48 bytes; and the filtered
 *        rows, which are stored in the file as deflate's uncompressed blocks
 *     2  EXIF, given to the reader of orientations
 *     3  XMP, the same */
#include "fuzz.h"
#include "image.h"

static void decode(const uint8_t *bytes, size_t size) {
    fuzz_memory memory;
    const dvk_allocator allocator = fuzz_allocator(&memory, 4 << 20);
    const dvk_image_params params = {.allocator = &allocator};
    dvk_image image = {0};
    dvk_error error = {0};
    const dvk_result result = dvk_image_decode(bytes, size, "fuzz", &params, &image, &error);
    if (result != DVK_OK)
        fuzz_check_refusal(result, &error);
    dvk_image_free(&image);
    REQUIRE_ALWAYS(memory.blocks == 0);
}

/* ------------------------------------------------------------------------------------------------- checksums */

static void put_big32(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t crc32_of(const uint8_t *bytes, size_t size) {
    static uint32_t table[256];
    for (uint32_t i = 0; i < 256 && !table[255]; i++) {
        table[i] = i;
        for (int k = 0; k < 8; k++)
            table[i] = table[i] & 1 ? table[i] >> 1 ^ 0xedb88320 : table[i] >> 1;
    }
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++)
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 255];
    return ~crc;
}

static uint32_t adler32_of(const uint8_t *bytes, size_t size) {
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < size; i++) {
        a = (a + bytes[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

/* Puts the checksum of what the joined data inflate to at their end, which lies in the last of the IDAT chunks where
 * that is long enough. For pictures of up to 64 KiB that are not interlaced. */
static void repair_stream(uint8_t *file, size_t size) {
    static uint8_t joined[1 << 16], inflated[1 << 16];
    size_t used = 0;
    uint8_t *last = NULL;
    uint32_t last_length = 0;
    for (size_t at = 8; size - at >= 12;) {
        const uint32_t length = dvk_big32(file + at);
        if (length > size - at - 12)
            break;
        if (!memcmp(file + at + 4, "IDAT", 4) && length <= sizeof(joined) - used) {
            memcpy(joined + used, file + at + 8, length);
            used += length;
            last = file + at + 8;
            last_length = length;
        }
        at += 12 + (size_t)length;
    }
    if (used < 6 || last_length < 4 || size < 29)
        return;
    const uint32_t width = dvk_big32(file + 16), height = dvk_big32(file + 20), depth = file[24];
    static const uint8_t channels[8] = {1, 1, 3, 1, 2, 1, 4, 1};
    const uint64_t row = ((uint64_t)width * channels[file[25] & 7] * depth + 7) / 8 + 1;
    if (row > sizeof(inflated) || height > sizeof(inflated) || row * height > sizeof(inflated))
        return;
    if (dvk_stb_inflate(joined, (int)used, inflated, (int)(row * height)))
        put_big32(last + last_length - 4, adler32_of(inflated, (size_t)(row * height)));
}

static void repair(uint8_t *file, size_t size) {
    repair_stream(file, size);
    for (size_t at = 8; at <= size && size - at >= 12;) {
        const uint32_t length = dvk_big32(file + at);
        if (length > size - at - 12)
            break;
        put_big32(file + at + 8 + length, crc32_of(file + at + 4, (size_t)length + 4));
        at += 12 + (size_t)length;
    }
}

/* ------------------------------------------------------------------------------------------------- made-up files */

static uint8_t *put_chunk(uint8_t *at, const char *type, const uint8_t *body, uint32_t length) {
    put_big32(at, length);
    memcpy(at + 4, type, 4);
    if (length)
        memmove(at + 8, body, length);
    put_big32(at + 8 + length, crc32_of(at + 4, (size_t)length + 4));
    return at + 12 + length;
}

static void decode_rows(const uint8_t *data, size_t size) {
    enum { HEAD = 7, PALETTE = 48, MOST_ROWS = 60000 };
    if (size < HEAD + PALETTE)
        return;
    const uint8_t *rows = data + HEAD + PALETTE;
    const size_t bytes = size - HEAD - PALETTE < MOST_ROWS ? size - HEAD - PALETTE : MOST_ROWS;
    uint8_t *file = malloc(bytes + 256);
    REQUIRE_ALWAYS(file);
    memcpy(file, "\x89PNG\r\n\x1a\n", 8);
    const uint8_t header[13] = {0, 0, data[0], data[1], 0, 0, data[2], data[3], data[4], data[5], 0, 0, data[6]};
    uint8_t *at = put_chunk(file + 8, "IHDR", header, sizeof(header));
    at = put_chunk(at, "PLTE", data + HEAD, PALETTE);
    uint8_t *stream = at + 8;
    const uint8_t start[] = {0x78,
                             0x01,
                             0x01,
                             (uint8_t)bytes,
                             (uint8_t)(bytes >> 8),
                             (uint8_t)~bytes,
                             (uint8_t)(~bytes >> 8)}; /* zlib, and one last block of so many bytes */
    memcpy(stream, start, sizeof(start));
    memcpy(stream + sizeof(start), rows, bytes);
    put_big32(stream + sizeof(start) + bytes, adler32_of(rows, bytes));
    at = put_chunk(at, "IDAT", stream, (uint32_t)(sizeof(start) + bytes + 4));
    at = put_chunk(at, "IEND", NULL, 0);
    uint8_t *exact = fuzz_copy(file, (size_t)(at - file));
    decode(exact, (size_t)(at - file));
    free(exact);
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    uint8_t *rest = fuzz_copy(data + 1, size - 1);
    switch (data[0] & 3) {
    case 0:
        if (size - 1 >= 33)
            repair(rest, size - 1);
        decode(rest, size - 1);
        break;
    case 1:
        decode_rows(rest, size - 1);
        break;
    default: {
        const int orientation =
            (data[0] & 3) == 2 ? dvk_exif_orientation(rest, size - 1) : dvk_xmp_orientation(rest, size - 1);
        REQUIRE_ALWAYS(orientation >= 0 && orientation <= 8);
    }
    }
    free(rest);
    return 0;
}
