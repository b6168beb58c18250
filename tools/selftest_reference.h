/* What the built-in model makes of a made-up image, as float64 arithmetic has it. */
#ifndef SELFTEST_REFERENCE_H_
#define SELFTEST_REFERENCE_H_

enum { SELFTEST_SIDE = 224, SELFTEST_FEATURES = 192 };

/* [3][SELFTEST_SIDE][SELFTEST_SIDE], every value exact in a float. */
void selftest_make_pixels(float *pixels);

/* The CLS features. tests/kernels/test_selftest_reference.c computes them anew, and prints this table for another
 * model. */
extern const float selftest_reference[SELFTEST_FEATURES];

#endif
