#include "top_classes.h"

#include <math.h>

void top_classes(const float *logits, uint32_t count, uint32_t wanted, struct class_score *top) {
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = used;
        while (place > 0 && logits[i] > top[place - 1].logit)
            place--;
        if (place == wanted)
            continue;
        used += used < wanted;
        for (uint32_t j = used - 1; j > place; j--)
            top[j] = top[j - 1];
        top[place] = (struct class_score){.index = i, .logit = logits[i]};
    }
    double sum = 0.0;
    for (uint32_t i = 0; i < count; i++)
        sum += exp((double)logits[i] - top[0].logit);
    for (uint32_t i = 0; i < used; i++)
        top[i].probability = exp((double)top[i].logit - top[0].logit) / sum;
}
