/* dvk_resize against Pillow's own bytes (hashes), and against the rule written down a second time, plainly. */
#include "preprocess.h"
#include "random.h"
#include "resample.h"
#include "synth.h"
#include "test.h"

#include <math.h>

static const char *data_directory;

static uint8_t *allocate(uint32_t width, uint32_t height) {
    uint8_t *bytes = malloc((size_t)width * height * 3);
    REQUIRE(bytes);
    return bytes;
}

static int filter_number(const char *name) {
    for (int i = 0; dvk_resample_name(i); i++)
        if (!strcmp(dvk_resample_name(i), name))
            return i;
    return -1;
}

static void check_golden(uint32_t sw, uint32_t sh, uint32_t w, uint32_t h, const char *filter, dvk_resize_order order,
                         uint64_t hash) {
    uint8_t *source = allocate(sw, sh), *target = allocate(w, h);
    synth_image(sw, sh, source);
    REQUIRE(filter_number(filter) >= 0);
    dvk_error error = {0};
    CHECK(dvk_resize(NULL, source, sw, sh, target, w, h, (dvk_resample)filter_number(filter), order, &error) == DVK_OK);
    CHECK_MESSAGE(synth_fnv1a64(target, (size_t)w * h * 3) == hash, "%ux%u to %ux%u, %s, %s", sw, sh, w, h, filter,
                  order == DVK_RESIZE_CLASSIC ? "classic" : "newest");
    free(source);
    free(target);
}

static void test_goldens(void) {
    char path[1024], line[256];
    snprintf(path, sizeof(path), "%s/resize/resize.txt", data_directory);
    FILE *list = fopen(path, "r");
    REQUIRE(list);
    int count = 0, classic = 0;
    while (fgets(line, sizeof(line), list)) {
        unsigned sw, sh, w, h;
        char filter[16], order[16];
        unsigned long long hash;
        if (line[0] == '#')
            continue;
        REQUIRE(sscanf(line, "%u %u %u %u %15s %15s %llx", &sw, &sh, &w, &h, filter, order, &hash) == 7);
        const bool is_classic = !strcmp(order, "classic");
        check_golden(sw, sh, w, h, filter, is_classic ? DVK_RESIZE_CLASSIC : DVK_RESIZE_NEWEST, hash);
        count++;
        classic += is_classic;
    }
    fclose(list);
    CHECK(count == 221 && classic == 20); /* so that a list cut short does not pass */
}

/* ---- The rule a second time: no tables, no windows, one output sample at a time. */

static double sinc_pi(double x) {
    return x == 0.0 ? 1.0 : sin(x * 3.14159265358979323846) / (x * 3.14159265358979323846);
}

static double kernel(int filter, double x) {
    const double t = fabs(x);
    switch (filter) {
    case DVK_RESAMPLE_BOX:
        return x > -0.5 && x <= 0.5;
    case DVK_RESAMPLE_BILINEAR:
        return fmax(1.0 - t, 0.0);
    case DVK_RESAMPLE_HAMMING:
        return t >= 1.0 ? 0.0 : sinc_pi(t) * (0.54f + 0.46f * cos(t * 3.14159265358979323846));
    case DVK_RESAMPLE_BICUBIC:
        return t < 1.0 ? (1.5 * t - 2.5) * t * t + 1.0 : t < 2.0 ? (((t - 5.0) * t + 8.0) * t - 4.0) * -0.5 : 0.0;
    default:
        return x >= -3.0 && x < 3.0 ? sinc_pi(x) * sinc_pi(x / 3.0) : 0.0;
    }
}

static const double supports[6] = {0.0, 3.0, 1.0, 2.0, 0.5, 1.0};

/* Output o of an axis of n samples, `step` bytes apart, resized to `size`. */
static uint8_t plain_sample(const uint8_t *in, size_t step, uint32_t n, uint32_t size, uint32_t o, int filter) {
    const double scale = (double)n / size;
    if (n == size)
        return in[o * step];
    if (filter == DVK_RESAMPLE_NEAREST) {
        double position = scale * 0.5; /* added up as Pillow does: (o + 0.5) * scale differs where it hits an integer */
        for (uint32_t i = 0; i < o; i++)
            position += scale;
        return in[(uint32_t)position * step];
    }
    const double stretch = fmax(scale, 1.0), support = supports[filter] * stretch, center = (o + 0.5) * scale;
    const int low = (int)fmax((int)(center - support + 0.5), 0), high = (int)fmin((int)(center + support + 0.5), n);
    double total = 0.0;
    for (int i = low; i < high; i++)
        total += kernel(filter, (i - center + 0.5) * (1.0 / stretch));
    int64_t sum = 1 << 21;
    for (int i = low; i < high; i++) {
        const double weight = kernel(filter, (i - center + 0.5) * (1.0 / stretch)) / total;
        sum += (int64_t)(weight * 4194304.0 + (weight < 0 ? -0.5 : 0.5)) * in[(size_t)i * step];
    }
    sum >>= 22;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void plain_pass(bool vertical, const uint8_t *in, uint32_t w, uint32_t h, uint32_t size, int filter,
                       uint8_t *out) {
    const uint32_t out_w = vertical ? w : size, out_h = vertical ? size : h;
    for (uint32_t y = 0; y < out_h; y++)
        for (uint32_t x = 0; x < out_w; x++)
            for (uint32_t c = 0; c < 3; c++)
                *out++ = vertical ? plain_sample(in + (size_t)x * 3 + c, (size_t)w * 3, h, size, y, filter)
                                  : plain_sample(in + (size_t)y * w * 3 + c, 3, w, size, x, filter);
}

static void plain_resize(const uint8_t *in, uint32_t sw, uint32_t sh, uint8_t *out, uint32_t w, uint32_t h, int filter,
                         dvk_resize_order order) {
    const int64_t narrower = (int64_t)sw - w > 0 ? (int64_t)sw - w : 0;
    if (order == DVK_RESIZE_NEWEST && (int64_t)sh - h > 2 * narrower) {
        uint8_t *between = allocate(sw, h);
        plain_pass(true, in, sw, sh, h, filter, between);
        plain_pass(false, between, sw, h, w, filter, out);
        free(between);
    } else {
        uint8_t *between = allocate(w, sh);
        plain_pass(false, in, sw, sh, w, filter, between);
        plain_pass(true, between, w, sh, h, filter, out);
        free(between);
    }
}

/* Mostly small, with some long thin ones: what a pass does depends on its own two sizes only. */
static uint32_t random_size(uint64_t *state) {
    return 1 + random_below(state, random_below(state, 8) ? 48 : 400);
}

static void test_random(void) {
    uint64_t state = 1;
    int vertical_first = 0;
    for (int i = 0; i < 2400; i++) {
        const uint32_t sw = random_size(&state), sh = random_size(&state);
        const uint32_t w = random_below(&state, 8) ? random_size(&state) : sw;
        const uint32_t h = random_below(&state, 8) ? random_size(&state) : sh;
        const int filter = i % 6;
        const dvk_resize_order order = i / 6 % 4 == 3 ? DVK_RESIZE_CLASSIC : DVK_RESIZE_NEWEST;
        uint8_t *source = allocate(sw, sh), *expected = allocate(w, h), *found = allocate(w, h);
        /* Half of the images are only black and white, so that overshoot is clipped. */
        for (size_t k = 0; k < (size_t)sw * sh * 3; k++)
            source[k] = i & 1 ? (uint8_t)random_next(&state) : random_next(&state) & 1 ? 255 : 0;
        plain_resize(source, sw, sh, expected, w, h, filter, order);
        dvk_error error = {0};
        CHECK(dvk_resize(NULL, source, sw, sh, found, w, h, (dvk_resample)filter, order, &error) == DVK_OK);
        CHECK_MESSAGE(!memcmp(expected, found, (size_t)w * h * 3), "case %d: %ux%u to %ux%u, %s, %s", i, sw, sh, w, h,
                      dvk_resample_name(filter), order == DVK_RESIZE_CLASSIC ? "classic" : "newest");

        /* A window of it is that window. */
        const dvk_window window = {.x = random_below(&state, w), .y = random_below(&state, h)};
        dvk_window part = window;
        part.width = 1 + random_below(&state, w - window.x);
        part.height = 1 + random_below(&state, h - window.y);
        CHECK(dvk_resize_window(NULL, source, sw, sh, found, w, h, &part, (dvk_resample)filter, order, &error) ==
              DVK_OK);
        bool same = true;
        for (uint32_t y = 0; y < part.height; y++)
            same &= !memcmp(found + (size_t)y * part.width * 3, expected + ((size_t)(part.y + y) * w + part.x) * 3,
                            (size_t)part.width * 3);
        CHECK_MESSAGE(same, "case %d: window %u,%u %ux%u of %ux%u", i, part.x, part.y, part.width, part.height, w, h);
        vertical_first += (int64_t)sh - h > 2 * (sw > w ? (int64_t)sw - w : 0);
        free(source);
        free(expected);
        free(found);
    }
    CHECK(vertical_first > 300); /* both orders were exercised */
}

static void test_arguments(void) {
    uint8_t pixel[3] = {1, 2, 3}, result[3] = {0};
    dvk_error error;
    CHECK(dvk_resize(NULL, pixel, 0, 1, result, 1, 1, DVK_RESAMPLE_BOX, DVK_RESIZE_NEWEST, &error) ==
          DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_resize(NULL, pixel, 1, 1, result, 1, 0, DVK_RESAMPLE_BOX, DVK_RESIZE_NEWEST, &error) ==
          DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_resize(NULL, pixel, 1, 1, result, 1, 1, (dvk_resample)6, DVK_RESIZE_NEWEST, NULL) ==
          DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_resize(NULL, pixel, 1, 1, result, UINT32_MAX, UINT32_MAX, DVK_RESAMPLE_LANCZOS, DVK_RESIZE_NEWEST,
                     &error) != DVK_OK);
    CHECK(!dvk_resample_name(-1) && !dvk_resample_name(6));
    CHECK(!strcmp(dvk_resample_name(2), "bilinear") && !strcmp(dvk_resample_name(3), "bicubic"));
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2);
    data_directory = argv[1];
    test_goldens();
    test_random();
    test_arguments();
    return FINISH();
}
