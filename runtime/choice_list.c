/* What a context knows of its variants, for people. */
#include "choice.h"

#include <stdio.h>
#include <string.h>

typedef struct variant_list {
    dvk_variant_info *infos;
    uint32_t count, capacity;
} variant_list;

static dvk_variant_info *add(variant_list *list, const dvk_variant *variant) {
    static dvk_variant_info beyond;
    dvk_variant_info *info = list->count < list->capacity ? &list->infos[list->count] : NULL;
    list->count++;
    if (!info)
        return NULL;
    *info = beyond;
    snprintf(info->kernel, sizeof(info->kernel), "%s", dvk_kernel_names[variant->kernel]);
    snprintf(info->variant, sizeof(info->variant), "%s", variant->name);
    return info;
}

/* The variant that a session of this context chose for the class; NULL: there was none. */
static const dvk_variant *chosen_for(const dvk_choices *choices, const dvk_use *class) {
    for (size_t i = 0; i < choices->decision_count; i++)
        if (dvk_use_equal(&choices->decisions[i].use, class))
            return &choices->table[choices->decisions[i].variant];
    return NULL;
}

static bool is_measured(const dvk_choices *choices, const dvk_decision *decision) {
    for (size_t i = 0; i < choices->measurement_count; i++)
        if (choices->measurements[i].variant == decision->variant &&
            dvk_use_equal(&choices->measurements[i].use, &decision->use))
            return true;
    return false;
}

static void add_uses(variant_list *list, const dvk_choices *choices, const dvk_variant *variant) {
    for (size_t i = 0; i < choices->measurement_count; i++) {
        const dvk_measurement *measurement = &choices->measurements[i];
        if (&choices->table[measurement->variant] != variant)
            continue;
        dvk_variant_info *info = add(list, variant);
        if (!info)
            continue;
        const dvk_variant *chosen = chosen_for(choices, &measurement->use);
        dvk_use_name(&measurement->use, info->use);
        info->chosen = chosen ? chosen == variant : measurement->chosen && choices->measure;
        info->gflops = (double)measurement->gflops;
    }
    /* Of a kernel whose variants are not compared, the only candidate, pinned, or untuned. */
    for (size_t i = 0; i < choices->decision_count; i++) {
        const dvk_decision *decision = &choices->decisions[i];
        if (&choices->table[decision->variant] != variant || is_measured(choices, decision))
            continue;
        dvk_variant_info *info = add(list, variant);
        if (!info)
            continue;
        dvk_use_name(&decision->use, info->use);
        info->chosen = true;
    }
}

static void add_variant(variant_list *list, const dvk_context *context, const dvk_variant *variant) {
    char why[DVK_REFUSAL];
    const uint32_t before = list->count;
    const dvk_use any = {variant->kernel, variant->weight, {0}};
    const char *refusal = dvk_variant_refusal(context, variant, &any, why);
    if (!refusal)
        add_uses(list, context->choices, variant);
    if (list->count != before)
        return;
    dvk_variant_info *info = add(list, variant);
    if (!info)
        return;
    if (refusal)
        snprintf(info->refused, sizeof(info->refused), "%s", refusal);
    else if (variant->device_class != context->device_class)
        snprintf(info->refused, sizeof(info->refused), "%s",
                 variant->device_class == DVK_CLASS_SOFTWARE ? "it is for software drivers" : "it is for GPUs");
    else if (variant->fallback)
        snprintf(info->refused, sizeof(info->refused), "it is for devices that cannot use the others");
}

dvk_result dvk_context_variants(const dvk_context *context, dvk_variant_info *infos, uint32_t *count,
                                dvk_error *error) {
    if (!context || !count || (*count && !infos))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT, "dvk_context_variants: context, count or infos is NULL");
    variant_list list = {.infos = infos, .capacity = *count};
    for (size_t i = 0; i < context->choices->table_count; i++)
        add_variant(&list, context, &context->choices->table[i]);
    *count = list.count;
    return DVK_OK;
}
