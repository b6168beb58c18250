/* What a classifier finds likeliest. */
#ifndef TOP_CLASSES_H_
#define TOP_CLASSES_H_

#include <stdint.h>

struct class_score {
    uint32_t index;
    float logit;
    double probability; /* softmax over all classes */
};

/* The `wanted` largest logits, largest first; of equal ones the lower index first. wanted is at most `count`. */
void top_classes(const float *logits, uint32_t count, uint32_t wanted, struct class_score *top);

#endif
