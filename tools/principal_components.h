/* Principal component analysis in double precision, the same on every machine that computes IEEE doubles. */
#ifndef PRINCIPAL_COMPONENTS_H_
#define PRINCIPAL_COMPONENTS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The `wanted` (at most PRINCIPAL_MAX) directions of largest variance of rows [count][size], and the rows' coordinates
 * along them after their mean has been taken off: scores [count][wanted]. A direction's sign makes its entry of largest
 * magnitude (the first of equal ones) positive. Directions along which the rows do not differ by more
 * than float32 rounding (2^-23 of their root mean square) give scores of 0.
 * Returns false when out of memory. */
#define PRINCIPAL_MAX 4
bool principal_components(const float *rows, size_t count, size_t size, size_t wanted, double *scores);

#endif
