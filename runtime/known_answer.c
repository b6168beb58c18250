#include "known_answer.h"

#include "cache_file.h"
#include "trial.h"

#include <stdio.h>
#include <string.h>

/* The problem's answers, `repeats` of them, into a verdict. */
static dvk_result judge(const dvk_problem *problem, const float *answers, uint32_t repeats, dvk_verdict *verdict,
                        dvk_error *error) {
    const size_t bytes = problem->array_bytes[problem->out], count = bytes / sizeof(float);
    dvk_result status = dvk_problem_check(problem, answers, verdict->wrong, sizeof(verdict->wrong), error);
    for (uint32_t i = 1; i < repeats && status == DVK_OK && !verdict->wrong[0]; i++)
        if (memcmp(answers, answers + i * count, bytes) != 0)
            snprintf(verdict->wrong, sizeof(verdict->wrong), "run %u of %u gave other bits than the first", i + 1,
                     repeats);
    return status;
}

static dvk_result try_pipeline(dvk_context *context, const dvk_problem *problem, uint32_t repeats, dvk_verdict *verdict,
                               dvk_error *error) {
    dvk_error reason = {0};
    const dvk_pipeline *pipeline;
    dvk_result status = dvk_pipeline_get(context, problem->op.variant, problem->op.specialisation, &pipeline, &reason);
    if (status == DVK_ERROR_VULKAN) {
        /* What the driver means by VK_ERROR_UNKNOWN and the like may be over when the next process asks. */
        verdict->passing = 1;
        snprintf(verdict->wrong, sizeof(verdict->wrong), "it does not compile: %.60s", reason.message);
        return DVK_OK;
    }
    if (status != DVK_OK) {
        if (error)
            *error = reason;
        return status;
    }
    dvk_trial trial;
    const float *answers;
    status = dvk_trial_open(context, problem, repeats, &trial, error);
    if (status != DVK_OK)
        return status;
    status = dvk_trial_answers(&trial, &answers, error);
    if (status == DVK_OK)
        status = judge(problem, answers, repeats, verdict, error);
    dvk_trial_close(&trial);
    return status;
}

bool dvk_kernel_is_proved(dvk_kernel kernel) {
    return kernel < DVK_KERNEL_SOURCE_IMAGE;
}

static dvk_verdict begin_verdict(const dvk_context *context, const dvk_variant *variant,
                                 dvk_specialisation specialisation) {
    dvk_verdict verdict;
    memset(&verdict, 0, sizeof(verdict)); /* it goes to a file as it lies in memory */
    verdict.variant = (uint32_t)(variant - context->choices->table);
    verdict.specialisation = specialisation;
    return verdict;
}

dvk_result dvk_note_lost(dvk_context *context, const dvk_variant *variant, dvk_specialisation specialisation,
                         dvk_result status) {
    if (status != DVK_ERROR_DEVICE_LOST)
        return status;
    dvk_verdict verdict = begin_verdict(context, variant, specialisation);
    snprintf(verdict.wrong, sizeof(verdict.wrong), "the device was lost while it ran");
    if (dvk_choices_add_verdict(context, &verdict, NULL) == DVK_OK) {
        dvk_choices_store(context);
        dvk_cache_save(context);
    }
    return status;
}

/* Without a look at what is known. */
static dvk_result prove_anew(dvk_context *context, const dvk_variant *variant, dvk_specialisation specialisation,
                             uint32_t repeats, bool *right, dvk_error *error) {
    dvk_verdict verdict = begin_verdict(context, variant, specialisation);
    dvk_problem problem;
    dvk_result status = dvk_problem_create(&context->allocator, variant, specialisation, NULL, &problem, error);
    if (status != DVK_OK)
        return status;
    status = try_pipeline(context, &problem, repeats, &verdict, error);
    dvk_problem_destroy(&problem);
    if (status != DVK_OK)
        return dvk_note_lost(context, variant, specialisation, status);
    if (verdict.wrong[0])
        dvk_log_message(&context->log, DVK_LOG_WARNING, "the variant %s is not used on this device: %s", variant->name,
                        verdict.wrong);
    if (right)
        *right = !verdict.wrong[0];
    return dvk_choices_add_verdict(context, &verdict, error);
}

dvk_result dvk_prove(dvk_context *context, const dvk_variant *variant, dvk_specialisation specialisation,
                     uint32_t repeats, bool *right, dvk_error *error) {
    if (right)
        *right = true;
    if (!dvk_kernel_is_proved(variant->kernel))
        return DVK_OK;
    const dvk_verdict *known = dvk_choices_find_verdict(context->choices, variant, specialisation);
    if (right && known)
        *right = !known->wrong[0];
    return known ? DVK_OK : prove_anew(context, variant, specialisation, repeats, right, error);
}

/* ------------------------------------------------------------------------------------------- a variant as a whole */

/* What sessions specialise their variants with: each is a program of its own to a driver's compiler. */
static const dvk_specialisation products[] = {
    {.activation = DVK_ACTIVATION_NONE, .residual = DVK_RESIDUAL_NONE},
    {.activation = DVK_ACTIVATION_NONE, .residual = DVK_RESIDUAL_IN_PLACE},
    {.activation = DVK_ACTIVATION_NONE, .residual = DVK_RESIDUAL_TABLE},
    {.activation = DVK_ACTIVATION_GELU, .residual = DVK_RESIDUAL_NONE},
    {.activation = DVK_ACTIVATION_SILU, .residual = DVK_RESIDUAL_MULTIPLY},
    {.residual = DVK_RESIDUAL_TABLE, .patch_size = 8}, /* the last one: of those that read pixels */
};
static const dvk_specialisation heads[] = {{.head_dim = 32}, {.head_dim = 64}, {.head_dim = 128}};
static const dvk_specialisation plain;

static size_t list_programs(const dvk_variant *variant, const dvk_specialisation **programs) {
    if (variant->kernel == DVK_KERNEL_MATMUL)
        return *programs = products, sizeof(products) / sizeof(products[0]) - !variant->reads_pixels;
    if (variant->max_head_dim)
        return *programs = heads, sizeof(heads) / sizeof(heads[0]);
    return *programs = &plain, 1;
}

dvk_result dvk_context_prove(dvk_context *context, uint32_t index, uint32_t repeats, dvk_proof *proof,
                             dvk_error *error) {
    enum { MOST_REPEATS = 1024 };
    if (!context || !proof || index >= context->choices->table_count || !repeats || repeats > MOST_REPEATS)
        return dvk_fail(error, DVK_ERROR_INVALID_ARGUMENT,
                        "dvk_context_prove: context or proof is NULL, there is no variant %u, or %u repeats are not 1 "
                        "to %d",
                        index, repeats, MOST_REPEATS);
    const dvk_variant *variant = &context->choices->table[index];
    const dvk_specialisation *programs;
    const size_t count = list_programs(variant, &programs);
    char refusal[DVK_REFUSAL];
    *proof = (dvk_proof){.variants = (uint32_t)context->choices->table_count};
    snprintf(proof->kernel, sizeof(proof->kernel), "%s", dvk_kernel_names[variant->kernel]);
    snprintf(proof->variant, sizeof(proof->variant), "%s", variant->name);
    for (size_t i = 0; i < count && !proof->wrong[0]; i++) {
        const dvk_use use = {variant->kernel, variant->weight, {.depth = programs[i].head_dim}};
        bool right = true;
        if (dvk_variant_refusal(context, variant, &use, refusal)) {
            snprintf(proof->refused, sizeof(proof->refused), "%s", refusal);
            continue; /* other heads may fit */
        }
        if (!dvk_kernel_is_proved(variant->kernel))
            return DVK_OK;
        dvk_result status = prove_anew(context, variant, programs[i], repeats, &right, error);
        if (status != DVK_OK)
            return status;
        proof->programs++;
        if (!right)
            snprintf(proof->wrong, sizeof(proof->wrong), "%s",
                     dvk_choices_find_verdict(context->choices, variant, programs[i])->wrong);
    }
    if (proof->programs)
        proof->refused[0] = '\0';
    return DVK_OK;
}
