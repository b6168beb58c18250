/* Orientation: all eight, in JPEG and PNG, both byte orders, XMP; and bytes that mean harm. */
#include "image.h"
#include "image_files.h"
#include "random.h"
#include "test.h"

static const char *data_directory;

/* ---- What the eight values mean, said with mirrors and a transposition only. */

static void mirror(const dvk_image *in, dvk_image *out) {
    *out = (dvk_image){.width = in->width, .height = in->height, .pixels = malloc((size_t)in->width * in->height * 3)};
    REQUIRE(out->pixels);
    for (uint32_t y = 0; y < in->height; y++)
        for (uint32_t x = 0; x < in->width; x++)
            memcpy(out->pixels + ((size_t)y * in->width + x) * 3,
                   in->pixels + ((size_t)y * in->width + in->width - 1 - x) * 3, 3);
}

static void transpose(const dvk_image *in, dvk_image *out) {
    *out = (dvk_image){.width = in->height, .height = in->width, .pixels = malloc((size_t)in->width * in->height * 3)};
    REQUIRE(out->pixels);
    for (uint32_t y = 0; y < in->height; y++)
        for (uint32_t x = 0; x < in->width; x++)
            memcpy(out->pixels + ((size_t)x * in->height + y) * 3, in->pixels + ((size_t)y * in->width + x) * 3, 3);
}

static void apply(dvk_image *image, void (*step)(const dvk_image *, dvk_image *)) {
    dvk_image result;
    step(image, &result);
    dvk_image_free(image);
    *image = result;
}

/* EXIF 2.3, 4.6.4: which side of the scene row 0 and column 0 are. */
static void turn_as_exif_says(dvk_image *image, int orientation) {
    /* m: mirror left and right, t: transpose; applied from left to right. Turning clockwise is "tm". */
    static const char *const steps[9] = {"", "", "m", "tmtm", "tmt", "t", "tm", "tmtmt", "mt"};
    for (const char *step = steps[orientation]; *step; step++)
        apply(image, *step == 'm' ? mirror : transpose);
}

static void check_same(const dvk_image *a, const dvk_image *b, const char *what, int orientation) {
    CHECK_MESSAGE(a->width == b->width && a->height == b->height &&
                      !memcmp(a->pixels, b->pixels, (size_t)a->width * a->height * 3),
                  "%s, orientation %d", what, orientation);
}

/* Decodes twice, ignoring the orientation and not, and compares. */
static void check_orientation(const uint8_t *bytes, size_t size, int orientation, const char *what) {
    dvk_image stored = {0}, upright = {0};
    dvk_error error = {0};
    CHECK(dvk_image_decode(bytes, size, what, &(dvk_image_params){.flags = DVK_IMAGE_IGNORE_ORIENTATION}, &stored,
                           &error) == DVK_OK);
    CHECK(dvk_image_decode(bytes, size, what, NULL, &upright, &error) == DVK_OK);
    REQUIRE(stored.pixels && upright.pixels);
    turn_as_exif_says(&stored, orientation);
    check_same(&stored, &upright, what, orientation);
    dvk_image_free(&stored);
    dvk_image_free(&upright);
}

/* ---- Building blocks of files. */

static size_t put32(uint8_t *p, uint32_t value, bool big) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (big ? 24 - 8 * i : 8 * i));
    return 4;
}

static size_t put16(uint8_t *p, uint32_t value, bool big) {
    p[big ? 1 : 0] = (uint8_t)value;
    p[big ? 0 : 1] = (uint8_t)(value >> 8);
    return 2;
}

/* A TIFF header and a directory of two entries, the second of which is the orientation. */
static size_t make_exif(uint8_t *p, uint32_t orientation, bool big, bool as_long) {
    size_t n = 0;
    memcpy(p, big ? "MM" : "II", 2);
    n += 2;
    n += put16(p + n, 42, big);
    n += put32(p + n, 10, big); /* the directory does not follow at once */
    n += put16(p + n, 0, big);
    n += put16(p + n, 2, big);
    n += put16(p + n, 0x0100, big);
    n += put16(p + n, 4, big);
    n += put32(p + n, 1, big);
    n += put32(p + n, 3, big);
    n += put16(p + n, 0x0112, big);
    n += put16(p + n, as_long ? 4 : 3, big);
    n += put32(p + n, 1, big);
    memset(p + n, 0, 4);
    if (as_long)
        put32(p + n, orientation, big);
    else
        put16(p + n, orientation, big);
    n += 4;
    n += put32(p + n, 0, big);
    return n;
}

static size_t put_chunk(uint8_t *p, const char *type, const uint8_t *body, size_t size) {
    put32(p, (uint32_t)size, true);
    memcpy(p + 4, type, 4);
    memcpy(p + 8, body, size);
    uint32_t crc = 0xffffffff;
    for (size_t i = 4; i < 8 + size; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    put32(p + 8 + size, ~crc, true);
    return size + 12;
}

/* A 3x2 PNG of six gray values, stored, with one more chunk before or after its data. */
static size_t make_png(uint8_t *p, const char *type, const uint8_t *body, size_t size, bool after) {
    static const uint8_t header[13] = {0, 0, 0, 3, 0, 0, 0, 2, 8, 0, 0, 0, 0};
    /* zlib header; one stored block of 8 bytes: two rows, each a filter byte and three samples; its Adler-32 */
    static const uint8_t data[] = {0x78, 0x01, 0x01, 8,  0,  0xf7, 0xff, 0,    10,  20,
                                   30,   0,    40,   50, 60, 0x02, 0x74, 0x00, 0xd3};
    size_t n = 8;
    memcpy(p, "\x89PNG\r\n\x1a\n", 8);
    n += put_chunk(p + n, "IHDR", header, sizeof(header));
    if (!after)
        n += put_chunk(p + n, type, body, size);
    n += put_chunk(p + n, "IDAT", data, sizeof(data));
    if (after)
        n += put_chunk(p + n, type, body, size);
    return n + put_chunk(p + n, "IEND", header, 0);
}

/* ---- Tests. */

static void test_png(void) {
    uint8_t exif[128], file[512];
    for (int orientation = 0; orientation <= 9; orientation++) {
        for (int k = 0; k < 8; k++) {
            const size_t size = make_exif(exif, (uint32_t)orientation, k & 1, k & 2);
            const size_t bytes = make_png(file, "eXIf", exif, size, k & 4);
            check_orientation(file, bytes, orientation > 8 ? 1 : orientation, "PNG eXIf");
        }
        char xmp[256] = "XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation=\"0\"/>";
        const size_t prefix = 22;
        REQUIRE(xmp[prefix] == '<');
        *strchr(xmp + prefix, '0') = (char)('0' + orientation);
        const size_t bytes = make_png(file, "iTXt", (const uint8_t *)xmp, prefix + strlen(xmp + prefix), false);
        check_orientation(file, bytes, orientation > 8 ? 1 : orientation, "PNG XMP");
    }
}

static void test_jpeg(void) {
    image_file file = load_image_file(data_directory, "hopper_gray.jpg");
    uint8_t *bytes = malloc(file.size + 512);
    REQUIRE(bytes && file.bytes[0] == 0xff && file.bytes[1] == 0xd8);
    for (int orientation = 1; orientation <= 8; orientation++) {
        for (int kind = 0; kind < 3; kind++) {
            uint8_t body[256];
            size_t size;
            if (kind < 2) {
                memcpy(body, "Exif\0\0", 6);
                size = 6 + make_exif(body + 6, (uint32_t)orientation, kind, false);
            } else {
                static const char start[] = "http://ns.adobe.com/xap/1.0/";
                memcpy(body, start, sizeof(start));
                size = sizeof(start) + (size_t)snprintf((char *)body + sizeof(start), sizeof(body) - sizeof(start),
                                                        "<tiff:Orientation>%d</tiff:Orientation>", orientation);
            }
            memcpy(bytes, file.bytes, 2);
            bytes[2] = 0xff;
            bytes[3] = 0xe1;
            put16(bytes + 4, (uint32_t)size + 2, true);
            memcpy(bytes + 6, body, size);
            memcpy(bytes + 6 + size, file.bytes + 2, file.size - 2);
            check_orientation(bytes, file.size + 4 + size, orientation, kind < 2 ? "JPEG EXIF" : "JPEG XMP");
        }
    }
    free(bytes);
    free(file.bytes);
    file = load_image_file(data_directory, "exif8_2x1.jpg");
    check_orientation(file.bytes, file.size, 8, "exif8_2x1.jpg");
    dvk_image image = {0};
    CHECK(dvk_image_decode(file.bytes, file.size, NULL, NULL, &image, NULL) == DVK_OK);
    CHECK(image.width == 1 && image.height == 2);
    dvk_image_free(&image);
    free(file.bytes);
}

/* Each in a block of exactly its size, for the address sanitizer. */
static int orientation_of(const uint8_t *bytes, size_t size, int (*reader)(const uint8_t *, size_t)) {
    uint8_t *copy = malloc(size ? size : 1);
    REQUIRE(copy);
    memcpy(copy, bytes, size);
    const int orientation = reader(copy, size);
    free(copy);
    return orientation;
}

static void test_hostile(void) {
    uint8_t exif[128];
    const size_t size = make_exif(exif, 6, true, false);
    CHECK(orientation_of(exif, size, dvk_exif_orientation) == 6);
    for (size_t cut = 0; cut < size - 4; cut++) /* the last four bytes only say that no directory follows */
        CHECK_MESSAGE(orientation_of(exif, cut, dvk_exif_orientation) == 0, "cut at %zu", cut);

    uint64_t state = 3;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[64];
        const size_t n = random_below(&state, sizeof(bytes) + 1);
        for (size_t k = 0; k < n; k++)
            bytes[k] = (uint8_t)random_next(&state);
        if (n >= 12 && i & 1) { /* a sound header, and nonsense behind it */
            make_exif(exif, 6, i & 2, i & 4);
            memcpy(bytes, exif, 8 + random_below(&state, 5));
        }
        const int found = orientation_of(bytes, n, dvk_exif_orientation);
        CHECK(found >= 0 && found <= 8);
    }

    /* A directory beyond the end, one that starts at the last byte, and one with more entries than there are. */
    make_exif(exif, 6, false, false);
    put32(exif + 4, 0xffffffff, false);
    CHECK(orientation_of(exif, size, dvk_exif_orientation) == 0);
    put32(exif + 4, (uint32_t)size - 1, false);
    CHECK(orientation_of(exif, size, dvk_exif_orientation) == 0);
    put32(exif + 4, 10, false);
    put16(exif + 10, 0xffff, false);
    CHECK(orientation_of(exif, size, dvk_exif_orientation) == 6);
    exif[24] = 0x13; /* another tag in place of the orientation's */
    CHECK(orientation_of(exif, size, dvk_exif_orientation) == 0);

    static const char xmp[] = "tiff:Orientatio tiff:Orientation tiff:Orientation= tiff:Orientation=\"9\" "
                              "tiff:Orientation=\"3\"";
    const size_t length = sizeof(xmp) - 1;
    CHECK(orientation_of((const uint8_t *)xmp, length, dvk_xmp_orientation) == 3);
    for (size_t cut = 0; cut < length - 1; cut++)
        CHECK(orientation_of((const uint8_t *)xmp, cut, dvk_xmp_orientation) == 0);
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2);
    data_directory = argv[1];
    test_png();
    test_jpeg();
    test_hostile();
    return FINISH();
}
