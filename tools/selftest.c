/* `dino-vk selftest`: whether this device and its driver compute what they should, as one report to paste. */
#include "selftest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "device_input.h"
#include "model_input.h"
#include "output_file.h"
#include "selftest_reference.h"

/* Some drivers are wrong now and then only (executorch#22327: in a quarter of the runs). */
#define REPEATS 64
/* Of a whole pass; the median of their times is told. */
#define LEAST_PASSES 3
#define MOST_PASSES 50
#define SECONDS 1.0

/* What the CLS features may be away from float64's (docs/accuracy.md): fp32 by rounding alone, fp16 where products
 * round their factors, too, and int8 by its steps. */
static const struct {
    dvk_precision precision;
    double bar;
} kinds[SELFTEST_KINDS] = {{DVK_PRECISION_FP32, 5e-6}, {DVK_PRECISION_FP16, 2e-3}, {DVK_PRECISION_INT8, 4.5e-2}};

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void note_failure(struct selftest *test, const dvk_error *error) {
    if (!test->failed[0])
        snprintf(test->failed, sizeof(test->failed), "%s", error->message);
}

/* ---------------------------------------------------------------------------------------------- the variants */

static int prove(struct selftest *test) {
    dvk_error error;
    uint32_t count = 1;
    for (uint32_t i = 0; i < count && !test->failed[0]; i++) {
        dvk_proof proof;
        if (dvk_context_prove(test->context, i, REPEATS, &proof, &error) != DVK_OK) {
            note_failure(test, &error);
            break;
        }
        count = proof.variants;
        if (!test->proofs && !(test->proofs = calloc(count, sizeof(*test->proofs))))
            return fail(EXIT_CODE_DEVICE, "out of memory for the proofs of %u variants", count);
        progress("variant %u of %u: %s", i + 1, count, proof.variant);
        test->programs += proof.programs;
        test->wrong += proof.wrong[0] != '\0';
        test->refused += proof.refused[0] != '\0';
        test->right += proof.programs && !proof.wrong[0];
        test->proofs[test->proof_count++].proof = proof;
    }
    return 0;
}

static int note_used(struct selftest *test) {
    dvk_error error;
    uint32_t count = 0;
    if (dvk_context_variants(test->context, NULL, &count, &error) != DVK_OK)
        return fail_library(EXIT_CODE_DEVICE, &error);
    dvk_variant_info *infos = calloc(count ? count : 1, sizeof(*infos));
    if (!infos)
        return fail(EXIT_CODE_DEVICE, "out of memory for a list of %u variants", count);
    int code = 0;
    if (dvk_context_variants(test->context, infos, &count, &error) != DVK_OK)
        code = fail_library(EXIT_CODE_DEVICE, &error);
    for (uint32_t i = 0; i < count && code == 0; i++)
        for (uint32_t j = 0; j < test->proof_count; j++)
            test->proofs[j].used |= infos[i].chosen && !strcmp(infos[i].variant, test->proofs[j].proof.variant);
    free(infos);
    return code;
}

/* ---------------------------------------------------------------------------------------------- whole passes */

static double distance(const float *features) {
    double difference = 0.0, norm = 0.0;
    for (int i = 0; i < SELFTEST_FEATURES; i++) {
        difference += pow((double)features[i] - (double)selftest_reference[i], 2.0);
        norm += pow((double)selftest_reference[i], 2.0);
    }
    return sqrt(difference / norm);
}

static dvk_result run_passes(dvk_session *session, const float *pixels, struct selftest_pass *pass, dvk_error *error) {
    float first[SELFTEST_FEATURES], again[SELFTEST_FEATURES];
    double times[MOST_PASSES];
    dvk_result result = dvk_session_run(session, pixels, 1, error); /* some drivers compile at the first dispatch */
    if (result == DVK_OK)
        result = dvk_session_read(session, DVK_OUTPUT_CLS, 0, first, SELFTEST_FEATURES, error);
    if (result != DVK_OK)
        return result;
    pass->error = distance(first);
    const double begin = now_ms();
    while (pass->passes < MOST_PASSES && (pass->passes < LEAST_PASSES || now_ms() - begin < 1e3 * SECONDS)) {
        progress("%s, pass %u", precision_name(pass->precision), pass->passes + 1);
        const double start = now_ms();
        if ((result = dvk_session_run(session, pixels, 1, error)) != DVK_OK)
            return result;
        times[pass->passes++] = now_ms() - start;
        if ((result = dvk_session_read(session, DVK_OUTPUT_CLS, 0, again, SELFTEST_FEATURES, error)) != DVK_OK)
            return result;
        pass->unsteady |= memcmp(first, again, sizeof(first)) != 0;
    }
    qsort(times, pass->passes, sizeof(*times), by_value);
    pass->ms = times[pass->passes / 2];
    return DVK_OK;
}

/* A pass that the device cannot do is told, and the others are still tried. */
static int run_kind(struct selftest *test, const float *pixels, struct selftest_pass *pass) {
    const dvk_session_params params = {
        .width = SELFTEST_SIDE, .height = SELFTEST_SIDE, .outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_CLS)};
    dvk_model *model = NULL;
    dvk_session *session = NULL;
    dvk_error error;
    int code = model_read(NULL, NULL, pass->precision, test->context, &model);
    if (code)
        return code;
    dvk_result result = dvk_session_create(model, &params, &session, &error);
    if (result == DVK_OK) {
        pass->session = *dvk_session_get_info(session);
        result = run_passes(session, pixels, pass, &error);
    }
    if (result != DVK_OK)
        snprintf(pass->failed, sizeof(pass->failed), "%s", error.message);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    return 0;
}

static int run_kinds(struct selftest *test) {
    float *pixels = malloc(3 * SELFTEST_SIDE * SELFTEST_SIDE * sizeof(*pixels));
    if (!pixels)
        return fail(EXIT_CODE_DEVICE, "out of memory for an image");
    selftest_make_pixels(pixels);
    int code = 0;
    for (int i = 0; i < SELFTEST_KINDS && code == 0; i++) {
        struct selftest_pass *pass = &test->passes[i];
        pass->precision = kinds[i].precision;
        pass->bar = kinds[i].bar;
        if (test->failed[0])
            snprintf(pass->failed, sizeof(pass->failed), "not run, as the proofs failed");
        else
            code = run_kind(test, pixels, pass);
        pass->wrong = pass->failed[0] || pass->unsteady || !(pass->error <= pass->bar); /* also where it is no number */
        test->wrong_passes += pass->wrong;
    }
    free(pixels);
    return code;
}

/* ------------------------------------------------------------------------------------------------- as a whole */

static int run(struct selftest *test, const struct options *options) {
    struct options own = *options;
    own.no_cache = true; /* what was found out before does not count */
    int code = device_open(&own, &test->context);
    if (code == 0)
        code = prove(test);
    if (code == 0)
        code = run_kinds(test);
    if (code == 0)
        code = note_used(test);
    progress_clear();
    return code;
}

int command_selftest(const struct options *options) {
    struct selftest *test = calloc(1, sizeof(*test));
    if (!test)
        return fail(EXIT_CODE_DEVICE, "out of memory for the results");
    test->repeats = REPEATS;
    int code = run(test, options);
    if (code == 0) {
        if (options->json)
            selftest_print_json(test);
        else
            selftest_print(test);
        code = flush_stdout();
    }
    if (code == 0 && selftest_found_fault(test))
        code = fail(EXIT_CODE_DEVICE,
                    "this device or its driver is not right: %u of %u variants gave wrong answers, %u "
                    "of %u kinds of passes are wrong%s%s",
                    test->wrong, test->proof_count, test->wrong_passes, SELFTEST_KINDS, test->failed[0] ? "; " : "",
                    test->failed);
    dvk_context_destroy(&test->context);
    free(test->proofs);
    free(test);
    return code;
}
