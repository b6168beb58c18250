#include "disabled.h"

#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "variants.h"

static const struct {
    const char *name;
    uint32_t bits;
} names[] = {
    {"coopmat", DVK_FEATURE_COOPERATIVE_MATRIX | DVK_FEATURE_COOPERATIVE_MATRIX_2},
    {"coopmat2", DVK_FEATURE_COOPERATIVE_MATRIX_2},
    {"fp16", DVK_FEATURE_FP16_STORAGE | DVK_FEATURE_FP16_ARITHMETIC},
    {"int64", DVK_FEATURE_INT64},
    {"subgroup", DVK_FEATURE_SUBGROUP_BALLOT | DVK_FEATURE_SUBGROUP_SIZE_CONTROL},
    {"dot", DVK_FEATURE_INTEGER_DOT_PRODUCT},
    {"timeline", DVK_FEATURE_TIMELINE_SEMAPHORE},
};

int disabled_features(uint32_t *bits) {
    const char *text = getenv("DINO_VK_DISABLE");
    *bits = 0;
    while (text && *text) {
        const size_t length = strcspn(text, ",");
        uint32_t found = 0;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (strlen(names[i].name) == length && strncmp(names[i].name, text, length) == 0)
                found = names[i].bits;
        if (!found && length)
            return fail(
                EXIT_CODE_USAGE,
                "DINO_VK_DISABLE names \"%.*s\"; it takes coopmat, coopmat2, fp16, int64, subgroup, dot and timeline, "
                "with commas between them",
                (int)length, text);
        *bits |= found;
        text += length + (text[length] == ',');
    }
    return EXIT_CODE_OK;
}
