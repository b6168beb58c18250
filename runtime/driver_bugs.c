#include "driver_bugs.h"

enum { VENDOR_AMD = 0x1002, VENDOR_IMAGINATION = 0x1010, VENDOR_QUALCOMM = 0x5143 };

/* An entry needs a report that others can read. An entry may take away more than it must: the variants without the
 * feature serve. */
const dvk_driver_bug dvk_driver_bugs[] = {
    {.vendor = VENDOR_IMAGINATION,
     .driver = VK_DRIVER_ID_IMAGINATION_PROPRIETARY,
     .features = DVK_FEATURE_COOPERATIVE_MATRIX | DVK_FEATURE_COOPERATIVE_MATRIX_2 | DVK_FEATURE_INTEGER_DOT_PRODUCT,
     .why = "cooperative matrices and integer dot products give garbage or crash the firmware",
     .link = "https://github.com/ggml-org/llama.cpp/issues/28502"},
    {.vendor = VENDOR_QUALCOMM,
     .driver = VK_DRIVER_ID_QUALCOMM_PROPRIETARY,
     .features = DVK_FEATURE_COOPERATIVE_MATRIX | DVK_FEATURE_COOPERATIVE_MATRIX_2,
     .why = "cooperative matrices are miscompiled in many ways, some by the size of shared arrays",
     .link = "https://github.com/Tencent/ncnn/pull/6972"},
    {.vendor = VENDOR_AMD,
     .driver = VK_DRIVER_ID_MOLTENVK,
     .features = DVK_FEATURE_SUBGROUP_BALLOT,
     .why = "subgroup operations are reported and translated wrongly",
     .link = "https://github.com/ggml-org/llama.cpp/issues/15846"},
};
const size_t dvk_driver_bug_count = sizeof(dvk_driver_bugs) / sizeof(dvk_driver_bugs[0]);

bool dvk_driver_has_bug(const dvk_context *context, const dvk_driver_bug *bug) {
    return (!bug->vendor || bug->vendor == context->info.vendor_id) &&
           (!bug->driver || bug->driver == context->driver_id) && context->driver_version >= bug->first &&
           (!bug->last || context->driver_version <= bug->last);
}

void dvk_avoid_driver_bugs(dvk_context *context) {
    for (size_t i = 0; i < context->driver_bug_count; i++)
        if (dvk_driver_has_bug(context, &context->driver_bugs[i]))
            context->features.bits &= ~context->driver_bugs[i].features;
}

const dvk_driver_bug *dvk_find_driver_bug(const dvk_context *context, uint32_t features) {
    for (size_t i = 0; i < context->driver_bug_count; i++)
        if ((context->driver_bugs[i].features & features) && dvk_driver_has_bug(context, &context->driver_bugs[i]))
            return &context->driver_bugs[i];
    return NULL;
}
