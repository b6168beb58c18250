/* Patch tokens as colours: their first three principal components, which change little from picture to picture. */
#ifndef COLOURS_H_
#define COLOURS_H_

#include <stddef.h>
#include <stdint.h>

/* patches: [count][length], centred in place. basis: [3][length], zeros at first, then what the last call left there:
 * so the iteration begins where it ended, and colours stay. colours: [count][3], each channel from 0 to 255. */
void patch_colours(float *patches, size_t count, size_t length, float *basis, uint8_t *colours);

#endif
