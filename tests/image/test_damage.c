/* Files cut at every byte, with random bytes changed, and of the wrong kind: refused with one sentence, never a crash
 * (which the address sanitizer sees best: each file lies in a block of exactly its size). */
#include "image_files.h"
#include "random.h"
#include "synth.h"
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

static const char *data_directory;

static const char *const jpegs[] = {"hopper_128_baseline420.jpg",  "hopper_gray.jpg",      "pil_sample_cmyk.jpg",
                                    "progressive_256x160_420.jpg", "testorig_227x149.jpg", "exif8_2x1.jpg"};
enum { JPEGS = sizeof(jpegs) / sizeof(jpegs[0]) };

/* Decodes a copy that has no byte to spare. */
static dvk_result decode(const uint8_t *bytes, size_t size, dvk_image *image, dvk_error *error) {
    uint8_t *copy = malloc(size ? size : 1);
    REQUIRE(copy);
    memcpy(copy, bytes, size);
    const dvk_result result = dvk_image_decode(copy, size, "the file", NULL, image, error);
    free(copy);
    return result;
}

static bool is_sentence(const dvk_error *error, dvk_result result) {
    const size_t length = strnlen(error->message, sizeof(error->message));
    return error->code == result && length > 20 && length < sizeof(error->message) - 1 &&
           !strncmp(error->message, "the file", 8) && !strchr(error->message, '\n');
}

static void check_cut(const image_file *file, size_t size) {
    dvk_image image = {0};
    dvk_error error = {0};
    const dvk_result result = decode(file->bytes, size, &image, &error);
    if (size < file->needed) {
        CHECK_MESSAGE(result == DVK_ERROR_BAD_FILE && is_sentence(&error, result), "%s cut at %zu of %zu: %d, \"%s\"",
                      file->name, size, file->size, result, error.message);
        CHECK(!image.pixels);
    } else {
        CHECK_MESSAGE(result == DVK_OK, "%s cut at %zu, in its trailer: %s", file->name, size, error.message);
    }
    dvk_image_free(&image);
}

/* Small files at every byte; larger ones at 400 places, and at each of the first 600 and last 100 bytes. */
static void test_cuts(const image_file *file) {
    for (size_t size = 0; size < file->size;) {
        check_cut(file, size);
        const bool every = file->size <= 2000 || size < 600 || size + 100 >= file->size;
        const size_t step = every ? 1 : file->size / 400 + 1;
        size += !every && size + step > file->size - 100 ? file->size - 100 - size : step;
    }
}

static void test_corruption(const image_file *file, uint64_t *state) {
    uint8_t *bytes = malloc(file->size);
    REQUIRE(bytes);
    const bool checked = strstr(file->name, "png") != NULL; /* a PNG's checksums find what is changed before its end */
    for (int i = 0; i < 24; i++) {
        memcpy(bytes, file->bytes, file->size);
        const uint32_t changes = 1 + random_below(state, 6);
        for (uint32_t k = 0; k < changes; k++) {
            /* Every other time near the start, where the headers are. */
            const uint32_t reach = (uint32_t)(i & 1 && file->size > 256 ? 256 : file->size);
            bytes[random_below(state, reach)] = (uint8_t)random_next(state);
        }
        dvk_image image = {0};
        dvk_error error = {0};
        const dvk_result result = decode(bytes, file->size, &image, &error);
        CHECK_MESSAGE(result == DVK_OK || is_sentence(&error, result), "%s: %d, \"%s\"", file->name, result,
                      error.message);
        if (result == DVK_OK && checked)
            CHECK_MESSAGE(!memcmp(bytes, file->bytes, file->needed), "%s", file->name);
        dvk_image_free(&image);
    }
    free(bytes);
}

static void check_refused(const void *bytes, size_t size, dvk_result expected, const char *words) {
    dvk_image image = {0};
    dvk_error error = {0};
    const dvk_result result = decode(bytes, size, &image, &error);
    CHECK_MESSAGE(result == expected && is_sentence(&error, result) && strstr(error.message, words),
                  "expected %s about \"%s\", found %s: \"%s\"", dvk_result_name(expected), words,
                  dvk_result_name(result), result == DVK_OK ? "" : error.message);
    dvk_image_free(&image);
}

static void test_kinds(void) {
    check_refused("", 0, DVK_ERROR_BAD_FILE, "empty");
    check_refused("hello, this is a text", 21, DVK_ERROR_BAD_FILE, "something else");
    static const uint8_t zeros[4096];
    check_refused(zeros, sizeof(zeros), DVK_ERROR_BAD_FILE, "something else");
    const image_file gif = load_image_file(data_directory, "hopper_128.gif");
    check_refused(gif.bytes, gif.size, DVK_ERROR_UNSUPPORTED, "found a GIF file; convert it to PNG");
    const image_file webp = load_image_file(data_directory, "hopper.webp");
    check_refused(webp.bytes, webp.size, DVK_ERROR_UNSUPPORTED, "found a WebP file; convert it to PNG");
    const image_file arithmetic = load_image_file(data_directory, "arith_sof9_227x149.jpg");
    check_refused(arithmetic.bytes, arithmetic.size, DVK_ERROR_UNSUPPORTED, "arithmetic-coded");
    const image_file cut = load_image_file(data_directory, "progressive_truncated_100.jpg");
    check_refused(cut.bytes, cut.size, DVK_ERROR_BAD_FILE, "without an end marker");
    static const char *const broken[] = {"pngsuite_xcrn0g04.png", "pngsuite_xdtn0g01.png", "pngsuite_xhdn0g08.png",
                                         "pngsuite_xs1n0g01.png"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        const image_file file = load_image_file(data_directory, broken[i]);
        check_refused(file.bytes, file.size, DVK_ERROR_BAD_FILE, "");
        free(file.bytes);
    }
    free(gif.bytes);
    free(webp.bytes);
    free(arithmetic.bytes);
    free(cut.bytes);
}

/* Where the body of the first baseline frame header starts. */
static size_t frame_offset(const image_file *file) {
    for (size_t i = 0; i + 1 < file->size; i++)
        if (file->bytes[i] == 0xff && file->bytes[i + 1] == 0xc0)
            return i + 4;
    REQUIRE(false);
    return 0;
}

static void test_jpeg_kinds(void) {
    image_file file = load_image_file(data_directory, "hopper_128_baseline420.jpg");
    uint8_t *frame = file.bytes + frame_offset(&file);
    frame[0] = 12;
    check_refused(file.bytes, file.size, DVK_ERROR_UNSUPPORTED, "found 12 bits");
    frame[0] = 8;
    frame[1] = frame[3] = 20000 >> 8;
    frame[2] = frame[4] = 20000 & 255;
    check_refused(file.bytes, file.size, DVK_ERROR_UNSUPPORTED, "20000x20000");
    frame[1] = frame[3] = 16384 >> 8;
    frame[2] = frame[4] = 0;
    check_refused(file.bytes, file.size, DVK_ERROR_BAD_FILE, "cannot fit");
    frame[1] = frame[2] = 0;
    check_refused(file.bytes, file.size, DVK_ERROR_BAD_FILE, "16384x0");
    frame[5] = 2;
    frame[1] = 1;
    check_refused(file.bytes, file.size, DVK_ERROR_UNSUPPORTED, "found 2");
    free(file.bytes);

    file = load_image_file(data_directory, "pil_sample_cmyk.jpg");
    uint8_t *adobe = NULL;
    for (size_t i = 0; i + 9 < file.size; i++) /* the last: the others are the thumbnails' */
        if (!memcmp(file.bytes + i,
                    "\xff\xee\0\x0e"
                    "Adobe",
                    9))
            adobe = file.bytes + i + 4;
    REQUIRE(adobe);
    adobe[0] = 'X';
    check_refused(file.bytes, file.size, DVK_ERROR_UNSUPPORTED, "CMYK");
    free(file.bytes);

    /* Huffman tables of more codes than there are symbols, which stb_image 2.27 writes beyond its arrays. */
    file = load_image_file(data_directory, "hopper_gray.jpg");
    uint8_t *table = NULL;
    for (size_t i = 0; i + 3 < file.size && !table; i++)
        if (!memcmp(file.bytes + i, "\xff\xc4", 2))
            table = file.bytes + i + 4;
    REQUIRE(table);
    memset(table + 1, 0xff, 16);
    check_refused(file.bytes, file.size, DVK_ERROR_BAD_FILE, "Huffman");
    free(file.bytes);
}

/* 256 codes in one Huffman table: stb_image 2.27 reads beyond its arrays for the last of them. */
static void test_huffman_table(void) {
    const image_file file = load_image_file(data_directory, "hopper_gray.jpg");
    uint8_t *bytes = calloc(1, file.size + 277);
    REQUIRE(bytes);
    memcpy(bytes, file.bytes, 2);
    memcpy(bytes + 2, "\xff\xc4\x01\x13\x11", 5); /* 275 bytes: table AC 1 */
    bytes[7 + 8] = 254;                           /* of 9 bits */
    bytes[7 + 9] = 1;                             /* of 10 bits */
    memcpy(bytes + 2 + 276, file.bytes + 2, file.size - 2);
    dvk_image image = {0};
    bytes[5] = 0x12; /* 255 codes are fine */
    CHECK(decode(bytes, file.size + 276, &image, NULL) == DVK_OK);
    dvk_image_free(&image);
    bytes[5] = 0x13;
    bytes[7 + 9] = 2;
    memmove(bytes + 2 + 277, bytes + 2 + 276, file.size - 2);
    check_refused(bytes, file.size + 277, DVK_ERROR_BAD_FILE, "Huffman");
    free(bytes);
    free(file.bytes);
}

/* Every chunk's CRC is right, the zlib stream's Adler-32 is not. */
static void test_adler(void) {
    static const uint8_t png[] = {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
                                  0x44, 0x52, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00,
                                  0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x44, 0x41, 0x54, 0x78,
                                  0x01, 0x01, 0x02, 0x00, 0xfd, 0xff, 0x00, 0x55, 0x00, 0x57, 0x00, 0x57, 0x66, 0x89,
                                  0x55, 0xf3, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
    check_refused(png, sizeof(png), DVK_ERROR_BAD_FILE, "checksum of the PNG's image data");
}

/* Headers that promise too much, or nothing. */
static void test_sizes(void) {
    static const uint8_t png[] = "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x4e\x20\0\0\x4e\x20\x08\2\0\0\0\x6c\x12\xd1\x6e";
    check_refused(png, sizeof(png) - 1, DVK_ERROR_UNSUPPORTED, "20000x20000");
    uint8_t bmp[54] = {'B', 'M', [10] = 54, [14] = 40, [26] = 1, [28] = 24};
    bmp[18] = bmp[22] = 20000 & 255;
    bmp[19] = bmp[23] = 20000 >> 8;
    check_refused(bmp, sizeof(bmp), DVK_ERROR_UNSUPPORTED, "20000x20000");
    bmp[18] = bmp[19] = 0;
    bmp[23] = 1;
    check_refused(bmp, sizeof(bmp), DVK_ERROR_BAD_FILE, "0x288");
    bmp[18] = 1;
    bmp[30] = 1;
    check_refused(bmp, sizeof(bmp), DVK_ERROR_UNSUPPORTED, "compression 1");
    memset(bmp + 22, 0xff, 4); /* one row, top down */
    bmp[25] = 0x80;            /* the most negative but 2^23 - 1 */
    check_refused(bmp, sizeof(bmp), DVK_ERROR_UNSUPPORTED, "at most 16384");
    uint8_t tga[18] = {[2] = 2, [12] = 20000 & 255, [13] = 20000 >> 8, [14] = 1, [16] = 24};
    check_refused(tga, sizeof(tga), DVK_ERROR_UNSUPPORTED, "20000x1");
    tga[12] = tga[13] = 0;
    check_refused(tga, sizeof(tga), DVK_ERROR_BAD_FILE, "0x1");
    check_refused("P6 20000 20000 255\n", 19, DVK_ERROR_UNSUPPORTED, "20000x20000");
    check_refused("P6 16384 16384 255\n", 19, DVK_ERROR_BAD_FILE, "needs at least 805306368 bytes");
    check_refused("P5 0 5 255\n", 11, DVK_ERROR_BAD_FILE, "0x5");
    check_refused("P5 1 1 65536\n\0\0", 15, DVK_ERROR_BAD_FILE, "found 65536");
    check_refused("P5 1 1 0\n\0\0", 11, DVK_ERROR_BAD_FILE, "found 0");
    check_refused("P5 99999999999 1 1\n\0\0", 21, DVK_ERROR_BAD_FILE, "number");
    check_refused("P2 2 1 255 1 256\n", 17, DVK_ERROR_BAD_FILE, "0 to 255");
    check_refused("P1 2 1 1 2\n", 11, DVK_ERROR_BAD_FILE, "0 or 1");
}

static void check_not_loaded(const char *path, dvk_result expected, const char *words) {
    dvk_image image = {0};
    dvk_error error = {0};
    const dvk_result result = dvk_image_load(path, NULL, &image, &error);
    CHECK_MESSAGE(result == expected && strstr(error.message, words) && strstr(error.message, path), "%s: %s, \"%s\"",
                  path, dvk_result_name(result), error.message);
    dvk_image_free(&image);
}

static void test_paths(void) {
    check_not_loaded("/nonexistent/photo.png", DVK_ERROR_IO, "No such file");
    check_not_loaded(data_directory, DVK_ERROR_IO, "directory");
    check_not_loaded("/dev/null", DVK_ERROR_BAD_FILE, "empty");
    char path[] = "dvk-unreadable-XXXXXX";
    const int descriptor = mkstemp(path);
    REQUIRE(descriptor >= 0);
    close(descriptor);
    check_not_loaded(path, DVK_ERROR_BAD_FILE, "empty");
    if (geteuid() != 0) { /* root may read everything */
        REQUIRE(chmod(path, 0) == 0);
        check_not_loaded(path, DVK_ERROR_IO, "Permission denied");
    }
    unlink(path);
    CHECK(dvk_image_load("/nonexistent", NULL, &(dvk_image){0}, NULL) == DVK_ERROR_IO);
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2);
    data_directory = argv[1];
    test_kinds();
    test_jpeg_kinds();
    test_huffman_table();
    test_adler();
    test_sizes();
    test_paths();
    size_t count;
    image_file *files = load_lossless_files(data_directory, &count);
    uint64_t state = 7;
    for (size_t i = 0; i < count; i++) {
        test_cuts(&files[i]);
        test_corruption(&files[i], &state);
    }
    for (size_t i = 0; i < JPEGS; i++) {
        const image_file file = load_image_file(data_directory, jpegs[i]);
        test_cuts(&file);
        for (int k = 0; k < 8; k++)
            test_corruption(&file, &state);
        free(file.bytes);
    }
    return FINISH();
}
