#include "attention_picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "colour_map.h"

#define WHAT "the attention picture"

static const uint8_t background[3] = {20, 20, 23};
static const uint8_t outline_colour[3] = {235, 235, 240};
static const uint8_t label_colour[3] = {205, 205, 210};

/* Where the panels lie, in pixels. */
struct layout {
    uint32_t panels, columns, rows;
    uint32_t panel_width, panel_height;
    uint32_t cell_width;   /* at least as wide as the longest label */
    uint32_t label_height; /* above each panel */
    uint32_t gap;
    uint32_t text_scale;
    uint32_t outline;
    uint64_t width, height;
};

/* Wider than high, as screens and pages are, and as few empty cells as possible: 5 x 1, 4 x 2 and 7 x 2 for the 3, 6
 * and 12 heads of the published models. */
static uint32_t choose_columns(uint32_t panels) {
    uint32_t first = (uint32_t)ceil(sqrt((double)panels));
    uint32_t last = (uint32_t)ceil(2.0 * sqrt((double)panels));
    uint32_t best = first;
    for (uint32_t columns = first; columns <= last; columns++) {
        uint32_t empty = (columns - panels % columns) % columns;
        if (empty < (best - panels % best) % best)
            best = columns;
    }
    return best;
}

static struct layout lay_out(const struct attention_view *view) {
    struct layout l = {.panels = view->heads + 2};
    l.columns = choose_columns(l.panels);
    l.rows = (l.panels + l.columns - 1) / l.columns;
    l.panel_width = view->grid_width * view->patch_size;
    l.panel_height = view->grid_height * view->patch_size;
    uint32_t side = l.panel_width < l.panel_height ? l.panel_width : l.panel_height;
    l.text_scale = side < 224 ? 1 : side / 112;
    l.outline = view->patch_size < 16 ? 1 : view->patch_size / 8;
    l.gap = side < 224 ? 4 : side / 28;
    l.label_height = (FONT_HEIGHT + 2) * l.text_scale;
    uint32_t label = picture_text_width(l.text_scale, view->heads > 100 ? "head 000" : "head 00");
    l.cell_width = l.panel_width > label ? l.panel_width : label;
    l.width = (uint64_t)l.columns * (l.cell_width + l.gap) + l.gap;
    l.height = (uint64_t)l.rows * (l.panel_height + l.label_height + l.gap) + l.gap;
    return l;
}

int attention_picture_check(const struct attention_view *view) {
    struct layout l = lay_out(view);
    return picture_check_size(l.width, l.height, WHAT);
}

struct mass {
    float value;
    uint32_t patch;
};

/* Ascending; equal values by their place, so that the order never depends on the sort. */
static int compare_mass(const void *a, const void *b) {
    const struct mass *first = a, *second = b;
    if (first->value != second->value)
        return first->value < second->value ? -1 : 1;
    return first->patch < second->patch ? -1 : first->patch > second->patch;
}

/* keep[patch] = 1 where the sum of all smaller masses and its own exceeds 1 - threshold of the whole. */
static void keep_mass(const float *map, uint32_t patches, double threshold, struct mass *sorted, uint8_t *keep) {
    double total = 0.0;
    for (uint32_t i = 0; i < patches; i++) {
        sorted[i] = (struct mass){map[i], i};
        total += (double)map[i];
    }
    qsort(sorted, patches, sizeof(*sorted), compare_mass);
    double sum = 0.0;
    for (uint32_t i = 0; i < patches; i++) {
        sum += (double)sorted[i].value;
        keep[sorted[i].patch] = sum > (1.0 - threshold) * total;
    }
}

static uint8_t mix(double a, double b, double part_of_b) {
    return (uint8_t)(a + (b - a) * part_of_b + 0.5);
}

/* Whether pixel (x, y) of a kept patch lies within `width` pixels of a patch, inside the picture, that is dropped. */
static bool is_outline(const struct attention_view *view, const uint8_t *keep, uint32_t x, uint32_t y, uint32_t width) {
    uint32_t size = view->patch_size, column = x / size, row = y / size;
    uint32_t from_left = x % size, from_top = y % size;
    const uint8_t *patch = keep + (size_t)row * view->grid_width + column;
    return (column > 0 && from_left < width && !patch[-1]) ||
           (column + 1 < view->grid_width && size - 1 - from_left < width && !patch[1]) ||
           (row > 0 && from_top < width && !patch[-(ptrdiff_t)view->grid_width]) ||
           (row + 1 < view->grid_height && size - 1 - from_top < width && !patch[view->grid_width]);
}

/* The map over the image. keep may be NULL: everything. */
static void draw_map(const struct attention_view *view, const struct colour_map *colours, const float *map,
                     const uint8_t *keep, uint32_t outline, uint8_t *panel) {
    uint32_t patches = view->grid_width * view->grid_height;
    float least = map[0], largest = map[0];
    for (uint32_t i = 1; i < patches; i++) {
        least = map[i] < least ? map[i] : least;
        largest = map[i] > largest ? map[i] : largest;
    }
    float scale = largest > least ? 1.0f / (largest - least) : 0.0f;
    uint32_t width = view->grid_width * view->patch_size, height = view->grid_height * view->patch_size;
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            uint32_t patch = y / view->patch_size * view->grid_width + x / view->patch_size;
            const uint8_t *pixel = view->image + 3 * ((size_t)y * view->width + x);
            uint8_t *out = panel + 3 * ((size_t)y * width + x);
            double gray = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
            const uint8_t *colour = colour_map_at(colours, (map[patch] - least) * scale);
            if (keep && keep[patch] && is_outline(view, keep, x, y, outline)) {
                memcpy(out, outline_colour, 3);
                continue;
            }
            for (int c = 0; c < 3; c++)
                out[c] = keep && !keep[patch] ? mix(0.0, gray, 0.3) : mix(gray, colour[c], 0.65);
        }
    }
}

static void place(const struct layout *l, uint32_t index, const char *label, const uint8_t *pixels, uint32_t stride,
                  struct picture *picture) {
    uint32_t x = l->gap + index % l->columns * (l->cell_width + l->gap);
    uint32_t y = l->gap + index / l->columns * (l->panel_height + l->label_height + l->gap);
    picture_text(picture, x, y + l->text_scale, l->text_scale, label, label_colour);
    picture_copy(picture, x, y + l->label_height, pixels, l->panel_width, l->panel_height, stride);
}

static void draw_panels(const struct attention_view *view, const struct layout *l, float *mean, struct mass *sorted,
                        uint8_t *keep, uint8_t *panel, struct picture *picture) {
    uint32_t patches = view->grid_width * view->grid_height;
    struct colour_map colours;
    colour_map_create(&colours);
    picture_fill(picture, background);
    place(l, 0, "image", view->image, view->width, picture);
    for (uint32_t head = 0; head <= view->heads; head++) {
        const float *map = mean;
        char label[24] = "mean";
        if (head < view->heads) {
            map = view->attention + (size_t)head * (view->prefix_tokens + patches) + view->prefix_tokens;
            for (uint32_t i = 0; i < patches; i++)
                mean[i] += map[i] / (float)view->heads;
            snprintf(label, sizeof(label), "head %u", (unsigned)head);
        }
        if (view->threshold > 0.0)
            keep_mass(map, patches, view->threshold, sorted, keep);
        draw_map(view, &colours, map, view->threshold > 0.0 ? keep : NULL, l->outline, panel);
        place(l, head + 1, label, panel, l->panel_width, picture);
    }
}

int attention_picture_draw(const struct attention_view *view, struct picture *picture) {
    struct layout l = lay_out(view);
    int code = picture_create(picture, (uint32_t)l.width, (uint32_t)l.height, WHAT);
    if (code)
        return code;
    size_t patches = (size_t)view->grid_width * view->grid_height;
    float *mean = calloc(patches, sizeof(*mean));
    struct mass *sorted = calloc(patches, sizeof(*sorted));
    uint8_t *keep = calloc(patches, 1);
    uint8_t *panel = calloc((size_t)l.panel_width * l.panel_height, 3);
    if (mean && sorted && keep && panel) {
        draw_panels(view, &l, mean, sorted, keep, panel, picture);
    } else {
        picture_free(picture);
        code = fail(EXIT_CODE_DEVICE, WHAT ": out of memory for %zu patches", patches);
    }
    free(mean);
    free(sorted);
    free(keep);
    free(panel);
    return code;
}
