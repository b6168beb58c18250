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

dvk_result dvk_prove(dvk_context *context, const dvk_variant *variant, dvk_specialisation specialisation,
                     uint32_t repeats, bool *right, dvk_error *error) {
    if (right)
        *right = true;
    if (!dvk_kernel_is_proved(variant->kernel))
        return DVK_OK;
    const dvk_verdict *known = dvk_choices_find_verdict(context->choices, variant, specialisation);
    if (right && known)
        *right = !known->wrong[0];
    if (known)
        return DVK_OK;
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
