/* The test image: a formula, so that any size of it can be made anywhere, bit for bit. It has smooth parts, pixel
 * noise, saturated areas and hard diagonal edges. */
#ifndef DVK_TEST_SYNTH_IMAGE_H_
#define DVK_TEST_SYNTH_IMAGE_H_

#include <stdint.h>

/* The top left w x h pixels of one endless image. rgb: [h][w][3]. */
void synth_image(uint32_t w, uint32_t h, uint8_t *rgb);

#endif
