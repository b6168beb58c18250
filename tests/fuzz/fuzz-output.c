/* What the command writes: a picture as PNG, which must decode to the same pixels, and the header of an .npy file,
 * which must be a dictionary of a multiple of 64 bytes. Width and height (a byte each) and pixels; a shape of four
 * extents. */
#include "fuzz.h"
#include "npy_writer.h"
#include "picture.h"

static void write_picture(const uint8_t *data, size_t size) {
    const uint32_t width = 1 + data[0] % 64u, height = 1 + data[1] % 64u;
    const size_t bytes = (size_t)width * height * 3;
    uint8_t *pixels = calloc(1, bytes);
    REQUIRE_ALWAYS(pixels);
    memcpy(pixels, data + 2, size - 2 < bytes ? size - 2 : bytes);
    int file_size = 0;
    uint8_t *file = png_encode(pixels, (int)width, (int)height, &file_size);
    REQUIRE_ALWAYS(file && file_size > 0);
    dvk_image image = {0};
    dvk_error error = {0};
    REQUIRE_ALWAYS(dvk_image_decode(file, (size_t)file_size, "fuzz", NULL, &image, &error) == DVK_OK);
    REQUIRE_ALWAYS(image.width == width && image.height == height && !memcmp(image.pixels, pixels, bytes));
    dvk_image_free(&image);
    free(file);
    free(pixels);
}

static void write_shape(const uint8_t *data, size_t size) {
    uint64_t shape[NPY_MAX_DIMENSIONS] = {0};
    memcpy(shape, data, size < sizeof(shape) ? size : sizeof(shape));
    const uint32_t dimensions = (uint32_t)(size % (NPY_MAX_DIMENSIONS + 1));
    char text[512];
    struct output_file file = {.stream = fmemopen(text, sizeof(text), "wb")};
    REQUIRE_ALWAYS(file.stream && npy_write_header(&file, shape, dimensions) == 0);
    const long end = ftell(file.stream);
    REQUIRE_ALWAYS(end > 64 && end % 64 == 0 && fclose(file.stream) == 0);
    const size_t length = (size_t)(uint8_t)text[8] | (size_t)(uint8_t)text[9] << 8;
    REQUIRE_ALWAYS(!memcmp(text, "\x93NUMPY\x01\x00", 8) && length + 10 == (size_t)end && text[end - 1] == '\n');
    text[end - 1] = '\0';
    const char *at = strstr(text + 10, "'shape': (");
    REQUIRE_ALWAYS(at && strchr(at, '}'));
    at += strlen("'shape': (");
    for (uint32_t i = 0; i < dimensions; i++) {
        char *after;
        REQUIRE_ALWAYS(strtoull(at, &after, 10) == shape[i] && (*after == ',' || *after == ')'));
        at = after + strspn(after, ", ");
    }
    REQUIRE_ALWAYS(*at == ')');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3)
        return 0;
    write_picture(data, size);
    write_shape(data, size);
    return 0;
}
