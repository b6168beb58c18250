#include "top_labels.h"

#include <math.h>

uint32_t top_labels(const float *logits, uint32_t count, uint32_t wanted, struct top_label *top) {
    uint32_t kept = 0;
    double total = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = kept;
        while (at > 0 && logits[top[at - 1].index] < logits[i])
            at--;
        if (at == wanted)
            continue;
        if (kept < wanted)
            kept++;
        for (uint32_t j = kept - 1; j > at; j--)
            top[j] = top[j - 1];
        top[at].index = i;
    }
    for (uint32_t i = 0; i < count; i++)
        total += exp((double)logits[i] - (double)logits[top[0].index]);
    for (uint32_t i = 0; i < kept; i++)
        top[i].probability = exp((double)logits[top[i].index] - (double)logits[top[0].index]) / total;
    return kept;
}
