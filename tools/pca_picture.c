#include "pca_picture.h"

#include <stdlib.h>
#include <string.h>

#include "principal_components.h"

#define WHAT "the PCA picture"

int pca_picture_check(const struct pca_view *view) {
    return picture_check_size((uint64_t)view->grid_width * view->patch_size,
                              (uint64_t)view->grid_height * view->patch_size, WHAT);
}

static int compare_doubles(const void *a, const void *b) {
    double first = *(const double *)a, second = *(const double *)b;
    return first < second ? -1 : first > second;
}

/* Linear between the two nearest ranks, as NumPy's default. */
static double percentile(const double *sorted, size_t count, double percent) {
    double position = percent / 100.0 * (double)(count - 1);
    size_t below = (size_t)position;
    size_t above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (sorted[above] - sorted[below]) * (position - (double)below);
}

/* scores: [count][3], one channel of it to bytes [count][3]. A component without any spread is gray. */
static void scale_channel(const double *scores, size_t count, size_t channel, double *sorted, uint8_t *colours) {
    for (size_t i = 0; i < count; i++)
        sorted[i] = scores[3 * i + channel];
    qsort(sorted, count, sizeof(*sorted), compare_doubles);
    double low = percentile(sorted, count, 1.0), high = percentile(sorted, count, 99.0);
    for (size_t i = 0; i < count; i++) {
        double value = high > low ? (scores[3 * i + channel] - low) / (high - low) : 0.5;
        value = value < 0.0 ? 0.0 : value > 1.0 ? 1.0 : value;
        colours[3 * i + channel] = (uint8_t)(255.0 * value + 0.5);
    }
}

int pca_picture_draw(const struct pca_view *view, struct picture *picture) {
    int code = picture_create(picture, view->grid_width * view->patch_size, view->grid_height * view->patch_size, WHAT);
    if (code)
        return code;
    size_t count = (size_t)view->grid_width * view->grid_height;
    double *scores = calloc(count, 3 * sizeof(*scores));
    double *sorted = calloc(count, sizeof(*sorted));
    uint8_t *colours = calloc(count, 3);
    if (scores && sorted && colours && principal_components(view->patches, count, view->size, 3, scores)) {
        for (size_t channel = 0; channel < 3; channel++)
            scale_channel(scores, count, channel, sorted, colours);
        for (uint32_t y = 0; y < picture->height; y++) {
            for (uint32_t x = 0; x < picture->width; x++) {
                size_t patch = (size_t)(y / view->patch_size) * view->grid_width + x / view->patch_size;
                memcpy(picture->pixels + 3 * ((size_t)y * picture->width + x), colours + 3 * patch, 3);
            }
        }
    } else {
        picture_free(picture);
        code = fail(EXIT_CODE_DEVICE, WHAT ": out of memory for %zu patches of %u values", count, (unsigned)view->size);
    }
    free(scores);
    free(sorted);
    free(colours);
    return code;
}
