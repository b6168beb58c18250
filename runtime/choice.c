#include "choice.h"

#include "driver_bugs.h"
#include "memory.h"

#include <stdio.h>
#include <string.h>

/* The table of a context that was never opened, as an estimate's. */
static const dvk_choices nothing_known;

static const dvk_choices *choices_of(const dvk_context *context) {
    return context->choices ? context->choices : &nothing_known;
}

static const dvk_variant *table_of(const dvk_choices *choices, size_t *count) {
    *count = choices->table ? choices->table_count : dvk_variant_count;
    return choices->table ? choices->table : dvk_variants;
}

/* ------------------------------------------------------------------------------------------------- uses */

static uint32_t round_up_to_power_of_four(uint32_t count) {
    uint32_t power = 16;
    while (power < count && power < 1u << 30)
        power *= 4;
    return power;
}

bool dvk_kernel_is_tuned(dvk_kernel kernel) {
    return kernel == DVK_KERNEL_MATMUL || kernel == DVK_KERNEL_LAYERNORM || kernel == DVK_KERNEL_ATTENTION;
}

dvk_use dvk_use_class(const dvk_use *use) {
    dvk_use result = *use;
    if (!dvk_kernel_is_tuned(use->kernel)) {
        result.shape = (dvk_shape){0};
        return result;
    }
    result.shape.rows = round_up_to_power_of_four(use->shape.rows);
    if (use->kernel == DVK_KERNEL_ATTENTION) {
        result.shape.columns = round_up_to_power_of_four(use->shape.columns);
        result.shape.heads = round_up_to_power_of_four(use->shape.heads);
    }
    return result;
}

bool dvk_use_equal(const dvk_use *a, const dvk_use *b) {
    return a->kernel == b->kernel && a->weight == b->weight && a->shape.rows == b->shape.rows &&
           a->shape.columns == b->shape.columns && a->shape.depth == b->shape.depth && a->shape.heads == b->shape.heads;
}

static const char *const weight_names[] = {
    [DVK_WEIGHT_NONE] = "none", [DVK_WEIGHT_FP32] = "fp32", [DVK_WEIGHT_FP16] = "fp16", [DVK_WEIGHT_INT8] = "int8"};
enum { WEIGHT_COUNT = sizeof(weight_names) / sizeof(weight_names[0]) };

const char *dvk_use_name(const dvk_use *use, char text[DVK_USE_NAME]) {
    const dvk_use class = dvk_use_class(use);
    const char *kernel = dvk_kernel_names[use->kernel], *weight = weight_names[use->weight];
    if (!dvk_kernel_is_tuned(use->kernel))
        snprintf(text, DVK_USE_NAME, "%s/%s/-", kernel, weight);
    else if (use->kernel == DVK_KERNEL_LAYERNORM)
        snprintf(text, DVK_USE_NAME, "%s/%s/%ux%u", kernel, weight, class.shape.rows, class.shape.columns);
    else if (use->kernel == DVK_KERNEL_ATTENTION)
        snprintf(text, DVK_USE_NAME, "%s/%s/%ux%ux%ux%u", kernel, weight, class.shape.heads, class.shape.rows,
                 class.shape.columns, class.shape.depth);
    else
        snprintf(text, DVK_USE_NAME, "%s/%s/%ux%ux%u", kernel, weight, class.shape.rows, class.shape.columns,
                 class.shape.depth);
    return text;
}

/* ------------------------------------------------------------------------------------------------- pins */

static const char *skip_blanks(const char *at) {
    while (*at == ' ' || *at == '\t' || *at == '\r')
        at++;
    return at;
}

/* Copies what is at *at up to one of `ends` (or a blank, or the end of the line) and moves behind it. False: nothing
 * there, or too much. */
static bool take_word(const char **at, const char *ends, char *word, size_t size) {
    size_t length = 0;
    *at = skip_blanks(*at);
    while (**at && !strchr(" \t\r\n#", **at) && !strchr(ends, **at)) {
        if (length + 1 == size)
            return false;
        word[length++] = *(*at)++;
    }
    word[length] = '\0';
    *at = skip_blanks(*at);
    return length > 0;
}

static bool known_name(const char *name, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return strcmp(name, "*") == 0;
}

static dvk_result parse_pin(const dvk_choices *choices, const char *line, unsigned number, dvk_pin *pin,
                            dvk_error *error) {
    char kernel[DVK_USE_NAME / 4], weight[DVK_USE_NAME / 4], shape[DVK_USE_NAME / 2 - 4], name[64];
    const char *at = line;
    bool good = take_word(&at, "/", kernel, sizeof(kernel)) && *at++ == '/';
    good = good && take_word(&at, "/", weight, sizeof(weight)) && *at++ == '/';
    good = good && take_word(&at, "=", shape, sizeof(shape)) && *at++ == '=';
    good = good && take_word(&at, "", name, sizeof(name)) && (!*at || *at == '\n' || *at == '#');
    if (!good)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "line %u of the pinned variants is not \"kernel/weight/shape = variant\"", number);
    if (!known_name(kernel, dvk_kernel_names, DVK_KERNEL_COUNT) || !known_name(weight, weight_names, WEIGHT_COUNT))
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "line %u of the pinned variants: there is no kernel %s with weights %s", number, kernel,
                        weight);
    snprintf(pin->use, sizeof(pin->use), "%s/%s/%s", kernel, weight, shape);
    size_t count;
    const dvk_variant *table = table_of(choices, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0) {
            pin->variant = (uint32_t)i;
            if (strcmp(kernel, dvk_kernel_names[table[i].kernel]) != 0 ||
                (table[i].weight && strcmp(weight, weight_names[table[i].weight]) != 0 && strcmp(weight, "*") != 0))
                return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                                "line %u of the pinned variants: %s is a variant of %s/%s, not of %s/%s", number, name,
                                dvk_kernel_names[table[i].kernel], weight_names[table[i].weight], kernel, weight);
            return DVK_OK;
        }
    return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                    "line %u of the pinned variants: this build has no variant %s; `dino-vk devices -v` lists them",
                    number, name);
}

static dvk_result parse_pins(const dvk_allocator *allocator, dvk_choices *choices, const char *text, dvk_error *error) {
    unsigned number = 1;
    for (const char *line = text; *line; number++) {
        const char *first = skip_blanks(line), *end = strchr(line, '\n');
        if (*first && *first != '\n' && *first != '#') {
            dvk_pin *pins = dvk_reallocate(allocator, choices->pins, choices->pin_count * sizeof(*pins),
                                           (choices->pin_count + 1) * sizeof(*pins));
            if (!pins)
                return dvk_fail_memory(error, (choices->pin_count + 1) * sizeof(*pins));
            choices->pins = pins;
            dvk_result status = parse_pin(choices, first, number, &pins[choices->pin_count], error);
            if (status != DVK_OK)
                return status;
            choices->pin_count++;
        }
        line = end ? end + 1 : line + strlen(line);
    }
    return DVK_OK;
}

/* "a/b/c" against a pattern whose parts may be "*". */
static bool matches(const char *pattern, const char *name) {
    while (*pattern && *name) {
        if (*pattern == '*') {
            pattern++;
            name += strcspn(name, "/");
        } else if (*pattern++ != *name++) {
            return false;
        }
    }
    return !*pattern && !*name;
}

/* The last one that fits: later lines overrule earlier ones. */
static const dvk_pin *find_pin(const dvk_choices *choices, const dvk_use *use) {
    char name[DVK_USE_NAME];
    if (!choices->pin_count)
        return NULL;
    dvk_use_name(use, name);
    const dvk_variant *table;
    size_t count;
    table = table_of(choices, &count);
    for (size_t i = choices->pin_count; i-- > 0;)
        if (dvk_variant_serves(&table[choices->pins[i].variant], use->kernel, use->weight) &&
            matches(choices->pins[i].use, name))
            return &choices->pins[i];
    return NULL;
}

bool dvk_use_is_pinned(const dvk_context *context, const dvk_use *use) {
    return find_pin(choices_of(context), use) != NULL;
}

/* ---------------------------------------------------------------------------------------------- choices */

dvk_result dvk_choices_create(const dvk_allocator *allocator, const char *text, dvk_choices **choices_out,
                              dvk_error *error) {
    dvk_choices *choices = dvk_allocate_zeroed(allocator, 1, sizeof(*choices));
    if (!choices)
        return dvk_fail_memory(error, sizeof(*choices));
    choices->budget_ms = 1500.0; /* of the 2 s that a first session may take longer on a GPU */
    choices->table = dvk_variants;
    choices->table_count = dvk_variant_count;
    dvk_result status = text ? parse_pins(allocator, choices, text, error) : DVK_OK;
    if (status != DVK_OK) {
        dvk_choices_destroy(allocator, choices);
        return status;
    }
    *choices_out = choices;
    return DVK_OK;
}

void dvk_choices_destroy(const dvk_allocator *allocator, dvk_choices *choices) {
    if (!choices)
        return;
    dvk_release(allocator, choices->verdicts);
    dvk_release(allocator, choices->measurements);
    dvk_release(allocator, choices->decisions);
    dvk_release(allocator, choices->pins);
    dvk_release(allocator, choices);
}

dvk_result dvk_choices_add_verdict(dvk_context *context, const dvk_verdict *verdict, dvk_error *error) {
    dvk_choices *choices = context->choices;
    for (size_t i = 0; i < choices->verdict_count; i++) {
        dvk_verdict *known = &choices->verdicts[i];
        if (known->variant != verdict->variant ||
            memcmp(&known->specialisation, &verdict->specialisation, sizeof(known->specialisation)) != 0)
            continue;
        choices->changed |= memcmp(known, verdict, sizeof(*known)) != 0;
        *known = *verdict;
        return DVK_OK;
    }
    size_t bytes = choices->verdict_count * sizeof(*verdict);
    dvk_verdict *verdicts = dvk_reallocate(&context->allocator, choices->verdicts, bytes, bytes + sizeof(*verdict));
    if (!verdicts)
        return dvk_fail_memory(error, bytes);
    verdicts[choices->verdict_count++] = *verdict;
    choices->verdicts = verdicts;
    choices->changed = true;
    return DVK_OK;
}

dvk_result dvk_choices_add_measurement(dvk_context *context, const dvk_measurement *measurement, dvk_error *error) {
    dvk_choices *choices = context->choices;
    size_t bytes = choices->measurement_count * sizeof(*measurement);
    dvk_measurement *measurements =
        dvk_reallocate(&context->allocator, choices->measurements, bytes, bytes + sizeof(*measurement));
    if (!measurements)
        return dvk_fail_memory(error, bytes);
    measurements[choices->measurement_count++] = *measurement;
    choices->measurements = measurements;
    choices->changed = true;
    return DVK_OK;
}

dvk_result dvk_choices_decide(dvk_context *context, const dvk_use *use, const dvk_variant *variant, dvk_error *error) {
    dvk_choices *choices = context->choices;
    const dvk_decision decision = {dvk_use_class(use), (uint32_t)(variant - choices->table)};
    for (size_t i = 0; i < choices->decision_count; i++)
        if (dvk_use_equal(&choices->decisions[i].use, &decision.use)) {
            choices->decisions[i] = decision;
            return DVK_OK;
        }
    size_t bytes = choices->decision_count * sizeof(decision);
    dvk_decision *decisions = dvk_reallocate(&context->allocator, choices->decisions, bytes, bytes + sizeof(decision));
    if (!decisions)
        return dvk_fail_memory(error, bytes + sizeof(decision));
    decisions[choices->decision_count++] = decision;
    choices->decisions = decisions;
    return DVK_OK;
}

const dvk_verdict *dvk_choices_find_verdict(const dvk_choices *choices, const dvk_variant *variant,
                                            dvk_specialisation specialisation) {
    for (size_t i = 0; i < choices->verdict_count; i++)
        if (&choices->table[choices->verdicts[i].variant] == variant &&
            memcmp(&choices->verdicts[i].specialisation, &specialisation, sizeof(specialisation)) == 0)
            return &choices->verdicts[i];
    return NULL;
}

/* A pipeline that is wrong casts its whole variant into doubt. */
static const dvk_verdict *find_wrong(const dvk_choices *choices, const dvk_variant *variant) {
    for (size_t i = 0; i < choices->verdict_count; i++)
        if (choices->verdicts[i].wrong[0] && &choices->table[choices->verdicts[i].variant] == variant)
            return &choices->verdicts[i];
    return NULL;
}

const char *dvk_variant_refusal(const dvk_context *context, const dvk_variant *variant, const dvk_use *use,
                                char text[DVK_REFUSAL]) {
    const uint32_t head_dim = variant->max_head_dim ? use->shape.depth : 0;
    const dvk_verdict *wrong = find_wrong(choices_of(context), variant);
    const char *needs = dvk_variant_needs(variant, &context->features, &context->limits, head_dim);
    const dvk_driver_bug *bug = needs ? dvk_find_driver_bug(context, variant->features) : NULL;
    if (bug)
        return snprintf(text, DVK_REFUSAL, "on this driver %s (%s)", bug->why, bug->link), text;
    if (needs)
        return snprintf(text, DVK_REFUSAL, "it needs %s%s", needs,
                        variant->features & context->disabled_features ? ", and that is disabled" : ""),
               text;
    if (wrong)
        return snprintf(text, DVK_REFUSAL, "%s", wrong->wrong), text;
    return NULL;
}

static bool is_small(const dvk_context *context) {
    return context->limits.maxComputeSharedMemorySize < DVK_LARGE_SHARED_BYTES;
}

size_t dvk_variant_candidates(const dvk_context *context, const dvk_use *use, const dvk_variant **candidates,
                              size_t capacity) {
    char why[DVK_REFUSAL];
    size_t count, found = 0;
    const dvk_variant *table = table_of(choices_of(context), &count);
    const bool small = is_small(context);
    for (int other_class = 0; other_class < 2 && !found; other_class++)
        for (int large = 0; large <= small; large++)
            for (size_t i = 0; i < count && found < capacity; i++) {
                const dvk_variant *variant = &table[i];
                if (dvk_variant_serves(variant, use->kernel, use->weight) && !(variant->fallback && found) &&
                    (variant->device_class != context->device_class) == other_class &&
                    (small && variant->large) == large && !dvk_variant_refusal(context, variant, use, why))
                    candidates[found++] = variant;
            }
    return found;
}

static const dvk_variant *find_measured(const dvk_choices *choices, const dvk_use *use) {
    const dvk_use class = dvk_use_class(use);
    if (!choices->measure)
        return NULL;
    for (size_t i = 0; i < choices->measurement_count; i++)
        if (choices->measurements[i].chosen && dvk_use_equal(&choices->measurements[i].use, &class))
            return &choices->table[choices->measurements[i].variant];
    return NULL;
}

/* What to say when nothing is left: the reason of the first of the table. */
static dvk_result fail_choice(const dvk_context *context, const dvk_use *use, dvk_error *error) {
    char why[DVK_REFUSAL], name[DVK_USE_NAME];
    size_t count;
    const dvk_variant *table = table_of(choices_of(context), &count);
    for (int other_class = 0; other_class < 2; other_class++)
        for (size_t i = 0; i < count; i++)
            if (dvk_variant_serves(&table[i], use->kernel, use->weight) &&
                (table[i].device_class != context->device_class) == other_class &&
                dvk_variant_refusal(context, &table[i], use, why))
                return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                                "no variant of the kernel %s serves on the device %s (%s: %s): try another driver or "
                                "device",
                                dvk_kernel_names[use->kernel], context->info.name, table[i].name, why);
    return dvk_fail(error, DVK_ERROR_UNSUPPORTED, "this build has no variant for %s", dvk_use_name(use, name));
}

dvk_result dvk_variant_choose(const dvk_context *context, const dvk_use *use, const dvk_variant **chosen,
                              dvk_error *error) {
    const dvk_choices *choices = choices_of(context);
    char why[DVK_REFUSAL], name[DVK_USE_NAME];
    const dvk_pin *pin = find_pin(choices, use);
    const dvk_variant *variant = pin ? &choices->table[pin->variant] : find_measured(choices, use);
    if (variant && !dvk_variant_refusal(context, variant, use, why)) {
        *chosen = variant;
        return DVK_OK;
    }
    if (pin)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "the variant %s is pinned for %s and cannot serve on the device %s: %s", variant->name,
                        dvk_use_name(use, name), context->info.name, why);
    if (dvk_variant_candidates(context, use, &variant, 1) == 0)
        return fail_choice(context, use, error);
    *chosen = variant;
    return DVK_OK;
}
