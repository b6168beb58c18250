/* The likeliest classes of a row of logits. */
#ifndef TOP_LABELS_H_
#define TOP_LABELS_H_

#include <stddef.h>
#include <stdint.h>

struct top_label {
    uint32_t index;
    double probability; /* softmax over all logits */
};

/* The `wanted` largest (fewer where there are fewer), largest first, of equal ones the first; returns how many. */
uint32_t top_labels(const float *logits, uint32_t count, uint32_t wanted, struct top_label *top);

#endif
