#include "tune.h"

#include "clock.h"
#include "known_answer.h"
#include "sort.h"
#include "trial.h"

#include <string.h>

/* A timed batch lasts about so long: submitting and waiting, which count where there are no timestamps, vary by a few
 * per cent of it. */
static const double batch_ms = 2.0;

enum {
    MAX_CANDIDATES = 32,
    MAX_USES = 64,
    MAX_RUNS = 64,
    ROUNDS = 3,
    /* Rows (or queries and tokens) of a measured problem: enough to fill a large GPU, and little enough for a slow one
     * to finish long before its watchdog. A software driver has no more lanes than it fills with this. */
    GPU_ROWS = 4096,
    GPU_TOKENS = 1024,
    GPU_HEADS = 32,
    SOFTWARE_ROWS = 256,
    SOFTWARE_HEADS = 4
};

typedef struct candidate {
    const dvk_variant *variant;
    double ms; /* the best so far; 0: not measured */
    bool out;  /* hopeless or wrong */
} candidate;

typedef struct planned_use {
    const dvk_op *op; /* one of them */
    dvk_use class;
    uint64_t flops; /* of all of them */
} planned_use;

static uint32_t at_most(uint32_t value, uint32_t limit) {
    return value < limit ? value : limit;
}

static dvk_shape measured_shape(const dvk_context *context, const dvk_use *use) {
    const bool software = context->device_class == DVK_CLASS_SOFTWARE;
    dvk_shape shape = use->shape;
    if (use->kernel == DVK_KERNEL_ATTENTION) {
        shape.rows = at_most(shape.rows, software ? SOFTWARE_ROWS : GPU_TOKENS);
        shape.columns = at_most(shape.columns, software ? SOFTWARE_ROWS : GPU_TOKENS);
        shape.heads = at_most(shape.heads, software ? SOFTWARE_HEADS : GPU_HEADS);
    } else {
        shape.rows = at_most(shape.rows, software ? SOFTWARE_ROWS : GPU_ROWS);
    }
    return shape;
}

/* Epilogues cost all variants alike, and every pipeline has to be compiled: so the plain one stands for all. */
static dvk_specialisation measured_specialisation(const dvk_op *op) {
    dvk_specialisation specialisation = op->specialisation;
    specialisation.activation = specialisation.residual = 0;
    return specialisation;
}

static bool over_budget(const dvk_context *context, double start) {
    return context->choices->measured_ms + dvk_now_ms() - start > context->choices->budget_ms;
}

/* One run of each, which sorts out the hopeless; then rounds of batches, in turns, so that a clock that rises or falls
 * favours none. The rounds end at the budget. */
static dvk_result measure(dvk_trial *trial, dvk_problem *problem, candidate *candidates, size_t count, double start,
                          dvk_error *error) {
    double best = 0.0;
    dvk_result status = DVK_OK;
    for (size_t round = 0; round <= ROUNDS; round++) {
        for (size_t i = 0; i < count; i++) {
            candidate *one = &candidates[i];
            if (one->out || (round && one->ms > 1.5 * best))
                continue;
            if (round && over_budget(trial->context, start))
                return DVK_OK;
            double ms = 0.0, runs = round ? batch_ms / one->ms : 1.0;
            dvk_problem_set_variant(problem, one->variant);
            status = dvk_trial_prepare(trial, error);
            if (status == DVK_OK && !round) /* what a driver puts off to the first run is no property of the op */
                status = dvk_trial_time(trial, 1, &ms, error);
            if (status == DVK_OK && !(round == 0 && best > 0.0 && ms > 20.0 * best))
                status = dvk_trial_time(trial,
                                        runs < 1.0        ? 1
                                        : runs > MAX_RUNS ? MAX_RUNS
                                                          : (uint32_t)runs,
                                        &ms, error);
            if (status != DVK_OK)
                return status;
            if (ms > 0.0 && (one->ms == 0.0 || ms < one->ms))
                one->ms = ms;
            if (best == 0.0 || one->ms < best)
                best = one->ms;
        }
    }
    return DVK_OK;
}

/* The fastest; an earlier one of the table where the difference is within what a measurement is worth. */
static candidate *fastest(candidate *candidates, size_t count) {
    candidate *best = NULL;
    for (size_t i = 0; i < count; i++)
        if (!candidates[i].out && candidates[i].ms > 0.0 && (!best || candidates[i].ms < 0.97 * best->ms))
            best = &candidates[i];
    return best;
}

/* Some faults show at full size only (executorch#22327: 384x384 by 1500 rows, wrong in a quarter of the runs): the
 * winner's answer to the measured problem is looked at, too. */
static dvk_result check_winner(dvk_trial *trial, dvk_problem *problem, candidate *winner, dvk_error *error) {
    dvk_choices *choices = trial->context->choices;
    const float *answers;
    dvk_verdict verdict;
    memset(&verdict, 0, sizeof(verdict));
    dvk_problem_set_variant(problem, winner->variant);
    dvk_result status = dvk_trial_prepare(trial, error);
    if (status == DVK_OK)
        status = dvk_trial_answers(trial, &answers, error);
    if (status == DVK_OK)
        status = dvk_problem_check(problem, answers, verdict.wrong, sizeof(verdict.wrong), error);
    if (status != DVK_OK || !verdict.wrong[0])
        return status;
    winner->out = true;
    verdict.variant = (uint32_t)(winner->variant - choices->table);
    verdict.specialisation = problem->op.specialisation;
    dvk_log_message(&trial->context->log, DVK_LOG_WARNING, "the variant %s is not used on this device: %s",
                    winner->variant->name, verdict.wrong);
    return dvk_choices_add_verdict(trial->context, &verdict, error);
}

static dvk_result note_measurements(dvk_context *context, const planned_use *planned, const dvk_problem *problem,
                                    const candidate *candidates, size_t count, const candidate *winner,
                                    dvk_error *error) {
    char name[DVK_USE_NAME];
    dvk_result status = DVK_OK;
    for (size_t i = 0; i < count && status == DVK_OK; i++) {
        dvk_measurement measurement;
        if (candidates[i].out)
            continue;
        memset(&measurement, 0, sizeof(measurement));
        measurement.use = planned->class;
        measurement.variant = (uint32_t)(candidates[i].variant - context->choices->table);
        measurement.chosen = &candidates[i] == winner;
        measurement.gflops =
            candidates[i].ms > 0.0 ? (float)((double)problem->op.flops / candidates[i].ms * 1e-6) : 0.0f;
        dvk_log_message(&context->log, DVK_LOG_INFO, "%s: %s %.1f GFLOP/s%s", dvk_use_name(&planned->class, name),
                        candidates[i].variant->name, (double)measurement.gflops, measurement.chosen ? ", chosen" : "");
        status = dvk_choices_add_measurement(context, &measurement, error);
    }
    return status;
}

static dvk_result contest(dvk_context *context, const planned_use *planned, candidate *candidates, size_t count,
                          double start, dvk_error *error) {
    const dvk_shape shape = measured_shape(context, &planned->op->use);
    dvk_problem problem;
    dvk_trial trial;
    dvk_result status = dvk_problem_create(&context->allocator, candidates[0].variant,
                                           measured_specialisation(planned->op), &shape, &problem, error);
    if (status != DVK_OK)
        return status;
    status = dvk_trial_open(context, &problem, 1, &trial, error);
    if (status != DVK_OK) {
        dvk_problem_destroy(&problem);
        return status;
    }
    const float *answers;
    status = dvk_trial_answers(&trial, &answers, error); /* for its upload of the operands */
    if (status == DVK_OK)
        status = measure(&trial, &problem, candidates, count, start, error);
    candidate *winner = NULL;
    while (status == DVK_OK && (winner = fastest(candidates, count)) != NULL) {
        status = check_winner(&trial, &problem, winner, error);
        if (!winner->out)
            break;
    }
    if (status == DVK_OK && winner)
        status = note_measurements(context, planned, &problem, candidates, count, winner, error);
    dvk_trial_close(&trial);
    status = dvk_note_lost(context, problem.op.variant, problem.op.specialisation, status);
    dvk_problem_destroy(&problem);
    return status;
}

/* Lets the candidates for a use compete, those that give the known answer. */
static dvk_result tune_use(dvk_context *context, const planned_use *planned, dvk_error *error) {
    const dvk_variant *variants[MAX_CANDIDATES];
    candidate candidates[MAX_CANDIDATES];
    const double start = dvk_now_ms();
    const size_t found = dvk_variant_candidates(context, &planned->op->use, variants, MAX_CANDIDATES);
    size_t count = 0;
    dvk_result status = DVK_OK;
    if (found < 2)
        return DVK_OK;
    for (size_t i = 0; i < found && status == DVK_OK; i++) {
        bool right = false;
        status =
            dvk_prove(context, variants[i], measured_specialisation(planned->op), DVK_PROOF_REPEATS, &right, error);
        if (status == DVK_OK && right)
            candidates[count++] = (candidate){.variant = variants[i]};
    }
    if (status == DVK_OK && count > 1)
        status = contest(context, planned, candidates, count, start, error);
    if (status == DVK_ERROR_OUT_OF_DEVICE_MEMORY) /* the session may fit all the same */
        status = DVK_OK;
    context->choices->measured_ms += dvk_now_ms() - start;
    return status;
}

static bool is_measured(const dvk_choices *choices, const dvk_use *class) {
    for (size_t i = 0; i < choices->measurement_count; i++)
        if (dvk_use_equal(&choices->measurements[i].use, class))
            return true;
    return false;
}

static int by_flops(const void *a, const void *b, const void *unused) {
    (void)unused;
    const planned_use *left = a, *right = b;
    return left->flops < right->flops ? 1 : left->flops > right->flops ? -1 : 0;
}

/* The plan's uses that are worth measuring, the heaviest first. */
static size_t list_uses(const dvk_context *context, const dvk_plan *plan, planned_use uses[MAX_USES]) {
    size_t count = 0, kept = 0;
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const dvk_op *op = &plan->ops[i];
        const dvk_use class = dvk_use_class(&op->use);
        size_t at = 0;
        if (!dvk_kernel_is_tuned(op->use.kernel) || dvk_use_is_pinned(context, &op->use))
            continue;
        while (at < count && !dvk_use_equal(&uses[at].class, &class))
            at++;
        if (at == MAX_USES)
            continue;
        if (at == count)
            uses[count++] = (planned_use){.op = op, .class = class};
        uses[at].flops += op->flops;
    }
    for (size_t i = 0; i < count; i++)
        if (uses[i].flops >= plan->flops / 1000 && !is_measured(context->choices, &uses[i].class))
            uses[kept++] = uses[i];
    dvk_sort(uses, kept, sizeof(uses[0]), by_flops, NULL);
    return kept;
}

static dvk_result settle(dvk_context *context, const dvk_plan *plan, bool *again, dvk_error *error) {
    planned_use uses[MAX_USES];
    dvk_result status = DVK_OK;
    const size_t measurements = context->choices->measurement_count;
    *again = false;
    const bool worth = context->choices->measure && plan->flops >= context->choices->least_flops;
    const size_t count = worth ? list_uses(context, plan, uses) : 0;
    for (size_t i = 0; i < count && status == DVK_OK && context->choices->measured_ms < context->choices->budget_ms;
         i++)
        status = tune_use(context, &uses[i], error);
    if (context->choices->measurement_count != measurements) {
        *again = true;
        return status;
    }
    for (uint32_t i = 0; i < plan->op_count && status == DVK_OK; i++) {
        bool right = true;
        status =
            dvk_prove(context, plan->ops[i].variant, plan->ops[i].specialisation, DVK_PROOF_REPEATS, &right, error);
        *again |= !right;
    }
    for (uint32_t i = 0; i < plan->op_count && status == DVK_OK && !*again; i++)
        status = dvk_choices_decide(context, &plan->ops[i].use, plan->ops[i].variant, error);
    return status;
}

dvk_result dvk_settle(dvk_context *context, const dvk_plan *plan, bool *again, dvk_error *error) {
    dvk_result status = settle(context, plan, again, error);
    dvk_choices_store(context);
    return status;
}
