#include "colour_map.h"

#include <math.h>
#include <stdbool.h>

/* Oklab to linear sRGB, by the matrices of its definition: Bjoern Ottosson, "A perceptual color space for image
 * processing" (2020). Returns whether the colour lies inside sRGB. */
static bool oklab_to_linear(double lightness, double a, double b, double rgb[3]) {
    double l = lightness + 0.3963377774 * a + 0.2158037573 * b;
    double m = lightness - 0.1055613458 * a - 0.0638541728 * b;
    double s = lightness - 0.0894841775 * a - 1.2914855480 * b;
    l = l * l * l;
    m = m * m * m;
    s = s * s * s;
    rgb[0] = 4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s;
    rgb[1] = -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s;
    rgb[2] = -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s;
    for (int i = 0; i < 3; i++) {
        if (rgb[i] < 0.0 || rgb[i] > 1.0)
            return false;
    }
    return true;
}

/* IEC 61966-2-1. */
static uint8_t encode_srgb(double linear) {
    double value = linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1.0 / 2.4) - 0.055;
    value = value < 0.0 ? 0.0 : value > 1.0 ? 1.0 : value;
    return (uint8_t)lround(255.0 * value);
}

void colour_map_create(struct colour_map *map) {
    const double radian = 3.14159265358979323846 / 180.0;
    for (int i = 0; i < COLOUR_MAP_SIZE; i++) {
        double t = (double)i / (COLOUR_MAP_SIZE - 1);
        double lightness = 0.22 + 0.72 * t;
        double hue = (315.0 - 210.0 * t) * radian;
        /* The most colourful that sRGB can show at this lightness and hue, but no more than 0.17; by bisection. */
        double low = 0.0, high = 0.17;
        double rgb[3];
        for (int step = 0; step < 30; step++) {
            double chroma = 0.5 * (low + high);
            if (oklab_to_linear(lightness, chroma * cos(hue), chroma * sin(hue), rgb))
                low = chroma;
            else
                high = chroma;
        }
        oklab_to_linear(lightness, low * cos(hue), low * sin(hue), rgb);
        for (int channel = 0; channel < 3; channel++)
            map->colours[i][channel] = encode_srgb(rgb[channel]);
    }
}

const uint8_t *colour_map_at(const struct colour_map *map, float value) {
    float position = value * (COLOUR_MAP_SIZE - 1) + 0.5f;
    int index = position >= (float)COLOUR_MAP_SIZE ? COLOUR_MAP_SIZE - 1 : position > 0.0f ? (int)position : 0;
    return map->colours[index];
}
