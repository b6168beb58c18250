/* PNM (netpbm): P1 to P6, plain and binary, any maximum value. Samples are scaled to 0..255 (gray with a maximum above
 * 255: to 0..65535) and rounded half to even; gray above 255 is then clipped, not scaled: Pillow's convert("RGB").
 *
 * In a plain file nothing tells whether the last number lost digits: such a cut cannot be noticed. */
#include "image.h"

#include <math.h>
#include <string.h>

typedef struct reader {
    const uint8_t *at, *end;
} reader;

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* White space and comments, which reach from '#' to the end of the line. */
static void skip_space(reader *r) {
    while (r->at < r->end) {
        if (*r->at == '#') {
            while (r->at < r->end && *r->at != '\n' && *r->at != '\r')
                r->at++;
        } else if (is_space(*r->at)) {
            r->at++;
        } else {
            break;
        }
    }
}

/* A decimal number that white space, a comment or the end follows; false if there is none or it has more than 9 digits.
 */
static bool read_number(reader *r, uint32_t *value) {
    skip_space(r);
    uint32_t number = 0;
    int digits = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9' && digits < 10; r->at++, digits++)
        number = number * 10 + (*r->at - '0');
    if (digits == 0 || digits > 9 || (r->at < r->end && !is_space(*r->at) && *r->at != '#'))
        return false;
    *value = number;
    return true;
}

typedef struct pnm {
    const dvk_image_file *file;
    int kind; /* the digit after P */
    uint32_t width, height, channels, maximum;
    reader data;
} pnm;

static dvk_result read_header(pnm *p, dvk_error *error) {
    const dvk_image_file *file = p->file;
    p->kind = file->bytes[1] - '0';
    p->channels = p->kind == 3 || p->kind == 6 ? 3 : 1;
    p->maximum = 1;
    reader r = {file->bytes + 2, file->bytes + file->size};
    const bool bitmap = p->kind == 1 || p->kind == 4;
    if (!read_number(&r, &p->width) || !read_number(&r, &p->height) || (!bitmap && !read_number(&r, &p->maximum)))
        return dvk_image_damaged(file, error, "the PNM's header at byte %zu should hold a number",
                                 (size_t)(r.at - file->bytes));
    if (p->maximum < 1 || p->maximum > 65535)
        return dvk_image_damaged(file, error, "the PNM's largest value should be 1 to 65535, found %u", p->maximum);
    if (r.at < r.end && is_space(*r.at))
        r.at++; /* exactly one: binary data may begin with bytes that look like white space */
    p->data = r;
    return dvk_image_check_size(file, p->width, p->height, error);
}

/* The fewest bytes that the samples can take. */
static uint64_t least_bytes(const pnm *p) {
    const uint64_t samples = (uint64_t)p->width * p->height * p->channels;
    switch (p->kind) {
    case 1:
        return samples;
    case 2:
    case 3:
        return samples * 2 - 1;
    case 4:
        return (uint64_t)(p->width + 7) / 8 * p->height;
    default:
        return samples * (p->maximum > 255 ? 2 : 1);
    }
}

static void fill_table(const pnm *p, uint8_t *table) {
    const double scale = p->channels == 1 && p->maximum > 255 ? 65535.0 : 255.0;
    for (uint32_t v = 0; v <= p->maximum; v++) {
        const double value = rint((double)v / p->maximum * scale); /* half to even, as Python's round() */
        table[v] = (uint8_t)(value > 255.0 ? 255.0 : value);
    }
}

static dvk_result unpack_bits(pnm *p, dvk_image *image, dvk_error *error) {
    uint8_t *target = image->pixels;
    const size_t stride = ((size_t)p->width + 7) / 8;
    for (uint32_t y = 0; y < p->height; y++) {
        for (uint32_t x = 0; x < p->width; x++, target += 3) {
            uint32_t black;
            if (p->kind == 4) {
                black = p->data.at[y * stride + x / 8] >> (7 - x % 8) & 1;
            } else {
                skip_space(&p->data); /* which is optional here */
                if (p->data.at >= p->data.end || (*p->data.at != '0' && *p->data.at != '1'))
                    return dvk_image_damaged(p->file, error, "the PNM should hold a 0 or 1 at byte %zu",
                                             (size_t)(p->data.at - p->file->bytes));
                black = *p->data.at++ == '1';
            }
            memset(target, black ? 0 : 255, 3);
        }
    }
    return DVK_OK;
}

static dvk_result unpack_samples(pnm *p, const uint8_t *table, dvk_image *image, dvk_error *error) {
    const size_t samples = (size_t)p->width * p->height * p->channels;
    uint8_t *target = image->pixels;
    for (size_t i = 0; i < samples; i++) {
        uint32_t value;
        if (p->kind <= 3) {
            if (!read_number(&p->data, &value) || value > p->maximum)
                return dvk_image_damaged(p->file, error, "the PNM should hold a number of 0 to %u before byte %zu",
                                         p->maximum, (size_t)(p->data.at - p->file->bytes));
        } else if (p->maximum > 255) {
            value = dvk_big16(p->data.at + i * 2);
        } else {
            value = p->data.at[i];
        }
        const uint8_t byte = table[value < p->maximum ? value : p->maximum];
        memset(target, byte, p->channels == 1 ? 3 : 1);
        target += p->channels == 1 ? 3 : 1;
    }
    return DVK_OK;
}

dvk_result dvk_image_decode_pnm(const dvk_image_file *file, dvk_image *image, dvk_error *error) {
    pnm p = {.file = file};
    dvk_result result = read_header(&p, error);
    if (result != DVK_OK)
        return result;
    const size_t left = (size_t)(p.data.end - p.data.at);
    if (left < least_bytes(&p))
        return dvk_image_damaged(file, error, "a P%d of %ux%u pixels needs at least %llu bytes of samples, found %zu",
                                 p.kind, p.width, p.height, (unsigned long long)least_bytes(&p), left);

    uint8_t *table = dvk_allocate(file->allocator, (size_t)p.maximum + 1);
    if (!table)
        return dvk_fail_memory(error, (size_t)p.maximum + 1);
    dvk_image decoded = {0};
    result = dvk_image_allocate(file->allocator, p.width, p.height, &decoded, error);
    if (result == DVK_OK) {
        fill_table(&p, table);
        result =
            p.kind == 1 || p.kind == 4 ? unpack_bits(&p, &decoded, error) : unpack_samples(&p, table, &decoded, error);
    }
    dvk_release(file->allocator, table);
    if (result == DVK_OK)
        *image = decoded;
    else
        dvk_image_free(&decoded);
    return result;
}
