/* Speed of a variant at the shapes of dino-vits8 on a 224 x 224 image. */
#ifndef DVK_TEST_BENCH_H_
#define DVK_TEST_BENCH_H_

#include "harness.h"

void bench_variant(test_device *device, const dvk_variant *variant);

#endif
