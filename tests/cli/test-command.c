/* The parts of the command that need no device: components, pictures, names and number formats. */
#include <math.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attention_picture.h"
#include "colour_map.h"
#include "npy_writer.h"
#include "pca_picture.h"
#include "principal_components.h"
#include "run.h"
#include "test.h"
#include "text.h"

/* Rows that lie along three known directions, with coordinates of cosines of different frequency: over whole periods
 * those have mean zero, are orthogonal, and have the variance amplitude^2 / 2. */
enum { ROWS = 240, SIZE = 40 };

static void make_rows(float rows[ROWS][SIZE], double coordinates[ROWS][3], const double amplitude[3]) {
    static const int frequency[3] = {1, 2, 5};
    for (int r = 0; r < ROWS; r++) {
        for (int k = 0; k < 3; k++)
            coordinates[r][k] = amplitude[k] * cos(2.0 * M_PI * frequency[k] * r / ROWS);
        for (int i = 0; i < SIZE; i++)
            rows[r][i] = (float)(3.0 + 0.25 * i);
        /* Orthonormal: (4, -3)/5 in 0 and 1, the axis 7, and -(12, 5)/13 in 20 and 30, where the sign rule must turn
         * the second part. */
        rows[r][0] += (float)(0.8 * coordinates[r][0]);
        rows[r][1] -= (float)(0.6 * coordinates[r][0]);
        rows[r][7] += (float)coordinates[r][1];
        rows[r][20] -= (float)(12.0 / 13.0 * coordinates[r][2]);
        rows[r][30] -= (float)(5.0 / 13.0 * coordinates[r][2]);
    }
}

static void test_components(void) {
    static float rows[ROWS][SIZE];
    static double coordinates[ROWS][3], scores[ROWS][3], again[ROWS][3];
    static const double sign[3] = {1.0, 1.0, -1.0};
    make_rows(rows, coordinates, (double[3]){4.0, 2.0, 1.0});
    REQUIRE(principal_components(&rows[0][0], ROWS, SIZE, 3, &scores[0][0]));
    double worst = 0.0;
    for (int r = 0; r < ROWS; r++) {
        for (int k = 0; k < 3; k++)
            worst = test_worst(worst, fabs(scores[r][k] - sign[k] * coordinates[r][k]));
    }
    /* The rows hold float32 values up to 17, so each entry is off by at most 2^-20 (1e-6). That turns the directions by
     * about as much times the coordinates' size over the gap of the variances (4 to 6). */
    CHECK_MESSAGE(worst < 1e-5, "worst coordinate off by %g", worst);
    REQUIRE(principal_components(&rows[0][0], ROWS, SIZE, 3, &again[0][0]));
    CHECK(memcmp(scores, again, sizeof(scores)) == 0);
}

/* Fewer directions than asked for: the rest must be 0, not rounding noise. */
static void test_components_rank(void) {
    static float rows[ROWS][SIZE];
    static double coordinates[ROWS][3], scores[ROWS][3];
    make_rows(rows, coordinates, (double[3]){4.0, 0.0, 0.0});
    REQUIRE(principal_components(&rows[0][0], ROWS, SIZE, 3, &scores[0][0]));
    for (int r = 0; r < ROWS; r++)
        CHECK(fabs(scores[r][0] - coordinates[r][0]) < 1e-5 && scores[r][1] == 0.0 && scores[r][2] == 0.0);
    make_rows(rows, coordinates, (double[3]){0.0, 0.0, 0.0});
    REQUIRE(principal_components(&rows[0][0], ROWS, SIZE, 3, &scores[0][0]));
    for (int r = 0; r < ROWS; r++)
        CHECK(scores[r][0] == 0.0 && scores[r][1] == 0.0 && scores[r][2] == 0.0);
    REQUIRE(principal_components(&rows[0][0], 1, SIZE, 3, &scores[0][0]));
    CHECK(scores[0][0] == 0.0 && scores[0][1] == 0.0 && scores[0][2] == 0.0);
    /* Fewer dimensions than components. */
    static const float narrow[4][2] = {{1, 0}, {-1, 0}, {3, 0}, {-3, 0}};
    REQUIRE(principal_components(&narrow[0][0], 4, 2, 3, &scores[0][0]));
    static const double expected[4] = {1, -1, 3, -3};
    for (int r = 0; r < 4; r++)
        CHECK(fabs((&scores[0][0])[3 * r] - expected[r]) < 1e-12 && (&scores[0][0])[3 * r + 1] == 0.0);
}

static void test_pca_picture(void) {
    /* Two patches apart in one direction: one black, one full in red; the components without spread are gray. */
    static const float patches[2][4] = {{1, 1, 1, 1}, {1, 3, 1, 1}};
    struct pca_view view = {.patches = &patches[0][0], .grid_width = 2, .grid_height = 1, .patch_size = 3, .size = 4};
    struct picture picture;
    REQUIRE(pca_picture_draw(&view, &picture) == 0);
    CHECK(picture.width == 6 && picture.height == 3);
    static const uint8_t left[3] = {0, 128, 128}, right[3] = {255, 128, 128};
    for (int y = 0; y < 3; y++) {
        for (int x = 0; x < 6; x++)
            CHECK(memcmp(picture.pixels + 3 * (y * 6 + x), x < 3 ? left : right, 3) == 0);
    }
    picture_free(&picture);
}

static double luminance(const uint8_t colour[3]) {
    static const double weight[3] = {0.2126, 0.7152, 0.0722};
    double sum = 0.0;
    for (int c = 0; c < 3; c++)
        sum += weight[c] * pow(colour[c] / 255.0, 2.2);
    return sum;
}

static void test_colour_map(void) {
    struct colour_map map;
    colour_map_create(&map);
    for (int i = 4; i < COLOUR_MAP_SIZE; i++)
        CHECK(luminance(map.colours[i]) > luminance(map.colours[i - 4]));
    CHECK(colour_map_at(&map, -1.0f) == map.colours[0] && colour_map_at(&map, 0.0f) == map.colours[0]);
    CHECK(colour_map_at(&map, 1.0f) == map.colours[255] && colour_map_at(&map, 7.0f) == map.colours[255]);
    CHECK(colour_map_at(&map, NAN) == map.colours[0]);
}

/* The picture of one head over 2 x 2 patches of 16 pixels on a gray image. Panels: image, head 0, mean; three columns
 * in one row, each cell as wide as "head 00" (41 pixels), a label of 11 rows above, gaps of 4. */
enum { CELL = 41, GAP = 4, LABEL = 11, PANEL = 32 };

static const uint8_t *panel_pixel(const struct picture *picture, uint32_t panel, uint32_t x, uint32_t y) {
    return picture->pixels + 3 * ((size_t)(GAP + LABEL + y) * picture->width + GAP + panel * (CELL + GAP) + x);
}

static void test_attention_picture(void) {
    static uint8_t image[PANEL * PANEL * 3];
    memset(image, 100, sizeof(image));
    /* The first is the CLS token's own and must not matter. The rest: 0.05 + 0.10 + 0.15 + 0.20 = 0.5 of mass. */
    static const float attention[5] = {0.5f, 0.05f, 0.20f, 0.10f, 0.15f};
    struct attention_view view = {.prefix_tokens = 1,
                                  .image = image,
                                  .width = PANEL,
                                  .height = PANEL,
                                  .grid_width = 2,
                                  .grid_height = 2,
                                  .patch_size = 16,
                                  .heads = 1,
                                  .attention = attention};
    struct picture picture;
    CHECK(attention_picture_check(&view) == 0);
    REQUIRE(attention_picture_draw(&view, &picture) == 0);
    CHECK(picture.width == 3 * (CELL + GAP) + GAP && picture.height == GAP + LABEL + PANEL + GAP);
    CHECK(panel_pixel(&picture, 0, 5, 5)[0] == 100);
    struct colour_map map;
    colour_map_create(&map);
    static const float scaled[4] = {0.0f, 1.0f, 1.0f / 3.0f, 2.0f / 3.0f};
    for (uint32_t panel = 1; panel < 3; panel++) {
        for (uint32_t patch = 0; patch < 4; patch++) {
            const uint8_t *pixel = panel_pixel(&picture, panel, patch % 2 * 16 + 15, patch / 2 * 16);
            for (int c = 0; c < 3; c++)
                /* Within two steps: one of the colour map's, one of the rounding. */
                CHECK(fabs(pixel[c] - (35.0 + 0.65 * colour_map_at(&map, scaled[patch])[c])) <= 2.0);
        }
    }
    picture_free(&picture);

    /* In rising order the sums are 0.1, 0.3, 0.6 and 1 of the mass: 0.5 keeps what exceeds 0.5, the last two. */
    static const struct {
        double threshold;
        bool kept[4];
    } cases[] = {{0.5, {false, true, false, true}},
                 {0.39, {false, true, false, false}},
                 {0.75, {false, true, true, true}},
                 {1.0, {true, true, true, true}}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        view.threshold = cases[i].threshold;
        REQUIRE(attention_picture_draw(&view, &picture) == 0);
        for (uint32_t patch = 0; patch < 4; patch++) {
            const uint8_t *pixel = panel_pixel(&picture, 1, patch % 2 * 16 + 8, patch / 2 * 16 + 8);
            bool dimmed = pixel[0] == 30 && pixel[1] == 30 && pixel[2] == 30;
            CHECK_MESSAGE(dimmed != cases[i].kept[patch], "threshold %g, patch %u", cases[i].threshold, patch);
        }
        /* The outline: the top right patch is kept always, the bottom right one not at 0.39. */
        bool outlined = panel_pixel(&picture, 1, 24, 15)[0] == 235;
        CHECK_MESSAGE(outlined != cases[i].kept[3], "threshold %g", cases[i].threshold);
        picture_free(&picture);
    }

    /* More pixels than a PNG of ours may have. */
    view.grid_width = view.grid_height = 1024;
    CHECK(attention_picture_check(&view) == EXIT_CODE_USAGE);
}

static void test_picture_path(void) {
    static const struct {
        const char *file;
        int index, count;
        const char *expected;
    } cases[] = {
        {"a.png", 0, 1, "a.png"},         {"a.png", 0, 2, "a-0.png"},
        {"a.png", 11, 12, "a-11.png"},    {"x.y/a", 1, 2, "x.y/a-1"},
        {"x.y/.a", 1, 2, "x.y/.a-1"},     {"a%d.png", 3, 9, "a3.png"},
        {"a%03d.png", 3, 9, "a003.png"},  {"a%d.png", 0, 1, "a0.png"},
        {"a%d%d.png", 1, 2, "a1%d.png"},  {"a%s%n.png", 1, 2, "a%s%n-1.png"},
        {"100%.png", 0, 2, "100%-0.png"}, {"%", 0, 2, "%-0"},
        {"%0d%00d", 0, 2, "%0d%00d-0"},   {"%09d", 1234567890, 2, "1234567890"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *path = picture_path(cases[i].file, cases[i].index, cases[i].count);
        REQUIRE(path);
        CHECK_MESSAGE(!strcmp(path, cases[i].expected), "%s gave %s", cases[i].file, path);
        free(path);
    }
}

static void check_text(void (*print)(FILE *, const char *), const char *text, const char *expected) {
    char *printed = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&printed, &size);
    REQUIRE(stream);
    print(stream, text);
    fclose(stream);
    CHECK_MESSAGE(!strcmp(printed, expected), "expected %s, found %s", expected, printed);
    free(printed);
}

static void test_text(void) {
    check_text(print_json_string, "a\"b\\c\n\x1b\x7f", "\"a\\\"b\\\\c\\u000a\\u001b\\u007f\"");
    check_text(print_json_string, "\xc3\xa9 \xe2\x82\xac \xf0\x9f\xa6\x95",
               "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\xa6\x95\"");
    /* A lone byte, a cut sequence, an overlong slash, a surrogate, and beyond U+10FFFF. */
    check_text(print_json_string, "\xff", "\"\\ufffd\"");
    check_text(print_json_string, "\xe2\x82", "\"\\ufffd\\ufffd\"");
    check_text(print_json_string, "\xc0\xaf", "\"\\ufffd\\ufffd\"");
    check_text(print_json_string, "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");
    check_text(print_json_string, "\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    check_text(print_plain, "a\nb\x1b[31m\xc2\x9b\xff\xc3\xa9", "a?b?[31m??\xc3\xa9");
}

/* Every finite float32 must come back from its text: a few million bit patterns spread over all of them. */
static void test_float_text(void) {
    uint32_t wrong = 0;
    for (uint64_t bits = 0; bits < UINT64_C(0x100000000); bits += 99991) {
        uint32_t word = (uint32_t)bits;
        float value, back;
        memcpy(&value, &word, 4);
        if (!isfinite(value))
            continue;
        char text[32];
        FILE *stream = fmemopen(text, sizeof(text), "w");
        REQUIRE(stream);
        print_json_float(stream, value);
        fclose(stream);
        back = strtof(text, NULL);
        wrong += memcmp(&back, &value, 4) != 0;
    }
    CHECK_MESSAGE(wrong == 0, "%u values", wrong);
}

static void test_npy_header(void) {
    static const uint64_t shape[2] = {3, 384};
    struct output_file file;
    REQUIRE(output_file_open(&file, "header.npy") == 0);
    CHECK(access("header.npy", F_OK) != 0);
    CHECK(npy_write_header(&file, shape, 2) == 0);
    CHECK(npy_write_values(&file, (const float[1]){1.0f}, 1) == 0);
    CHECK(output_file_finish(&file) == 0 && output_file_commit(&file) == 0);
    output_file_discard(&file);
    FILE *stream = fopen("header.npy", "rb");
    REQUIRE(stream);
    char bytes[256];
    size_t size = fread(bytes, 1, sizeof(bytes), stream);
    fclose(stream);
    CHECK(size == 128 + 4);
    CHECK(
        !memcmp(bytes, "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 384), }  ", 72));
    CHECK(bytes[127] == '\n' && !memcmp(bytes + 128, "\x00\x00\x80\x3f", 4));

    REQUIRE(output_file_open(&file, "header.npy") == 0);
    CHECK(npy_write_header(&file, shape, 1) == 0);
    output_file_discard(&file);
    stream = fopen("header.npy", "rb");
    REQUIRE(stream);
    CHECK(fread(bytes, 1, sizeof(bytes), stream) == size); /* what was discarded has changed nothing */
    fclose(stream);
    unlink("header.npy");
}

/* Memory that ends anywhere within the compression is NULL, not a crash. In processes of their own, whose address space
 * may grow by 256 KiB more each; noise, so that the compressor needs much. A sanitizer needs terabytes of it. */
#if defined(__has_feature) && !defined(__SANITIZE_ADDRESS__)
#if __has_feature(address_sanitizer) /* clang's name for it */
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if !defined(__SANITIZE_ADDRESS__)
enum { ENCODED = 0, REFUSED = 1, FAILED = 2, NO_LIMIT = 3 };

static int encode_within(size_t extra) {
    enum { SIDE = 160 };
    static uint8_t pixels[SIDE * SIDE * 3];
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof(pixels); i++)
        pixels[i] = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu", &pages) != 1)
        return FAILED;
    fclose(file);
    struct rlimit limit = {.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + extra, .rlim_max = RLIM_INFINITY};
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        return FAILED;
    if (mmap(NULL, limit.rlim_cur, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        return NO_LIMIT; /* an emulator whose own memory the limit would be */
    int size = 0;
    return png_encode(pixels, SIDE, SIDE, &size) ? ENCODED : REFUSED;
}

static void test_png_without_memory(void) {
    int status = -1, refused = 0;
    for (size_t i = 0; i < 40 && status != ENCODED; i++) {
        fflush(stdout);
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0)
            _exit(encode_within(i << 18));
        REQUIRE(waitpid(child, &status, 0) == child);
        CHECK_MESSAGE(WIFEXITED(status), "%zu KiB: killed by signal %d", i << 8, WTERMSIG(status));
        status = WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
        if (status == NO_LIMIT) {
            printf("skipped: compressing where memory ends: the system keeps no limit of memory\n");
            return;
        }
        refused += status == REFUSED;
    }
    CHECK_MESSAGE(refused > 1 && status == ENCODED, "refused %d times, then %d", refused, status);
}
#endif

int main(void) {
    test_components();
    test_components_rank();
    test_pca_picture();
    test_colour_map();
    test_attention_picture();
    test_picture_path();
    test_text();
    test_float_text();
    test_npy_header();
#if !defined(__SANITIZE_ADDRESS__)
    test_png_without_memory();
#endif
    return FINISH();
}
