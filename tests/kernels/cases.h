/* The checks of each kernel: random shapes with every edge residue, and the properties that the runtime relies on. */
#ifndef DVK_TEST_CASES_H_
#define DVK_TEST_CASES_H_

#include "harness.h"

void check_patchify(test_device *device, const dvk_variant *variant);
void check_matmul(test_device *device, const dvk_variant *variant);
void check_layernorm(test_device *device, const dvk_variant *variant);
void check_attention(test_device *device, const dvk_variant *variant);
void check_attention_row(test_device *device, const dvk_variant *variant);
void check_mean(test_device *device, const dvk_variant *variant);
void check_rotate(test_device *device, const dvk_variant *variant);

#endif
