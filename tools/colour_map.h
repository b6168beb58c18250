/* A colour scale for attention: dark violet over blue and green to bright yellow, its lightness rising in even steps,
 * so that it also reads in gray and to most colour-blind eyes. */
#ifndef COLOUR_MAP_H_
#define COLOUR_MAP_H_

#include <stdint.h>

#define COLOUR_MAP_SIZE 256

struct colour_map {
    uint8_t colours[COLOUR_MAP_SIZE][3]; /* sRGB */
};

void colour_map_create(struct colour_map *map);

/* value in 0..1; what lies outside is clamped. */
const uint8_t *colour_map_at(const struct colour_map *map, float value);

#endif
