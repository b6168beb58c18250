/* Which variant an op gets: the one that the caller pinned, else the fastest that was measured on this device, else the
 * first of the table (or of what is not too large for it). None that was found wrong here. */
#ifndef DVK_CHOICE_H_
#define DVK_CHOICE_H_

#include "pipeline.h"

/* What the speed of an op depends on; 0 where a number means nothing.
 *     matmul         rows, columns and depth of the product
 *     layernorm      rows, columns
 *     attention      queries, tokens, head_dim; heads of all images together
 *     attention_row  head_dim as depth */
typedef struct dvk_shape {
    uint32_t rows, columns, depth, heads;
} dvk_shape;

/* An op, as far as the choice of its variant goes. */
typedef struct dvk_use {
    dvk_kernel kernel;
    dvk_weight_type weight; /* of the session's matrices, for every kernel */
    dvk_shape shape;
} dvk_use;

/* Uses of one class share a choice: counts of rows, tokens and heads are rounded up to a power of four, at least 16.
 * The other numbers belong to the model and stay as they are. */
dvk_use dvk_use_class(const dvk_use *use);
bool dvk_use_equal(const dvk_use *a, const dvk_use *b);

/* "matmul/fp32/1024x1152x384": the class's kernel, weights and shape. The shape is "-" for kernels whose variants are
 * not compared. Returns text. */
enum { DVK_USE_NAME = 64 };
const char *dvk_use_name(const dvk_use *use, char text[DVK_USE_NAME]);

/* Whether variants of this kernel are compared by speed: the others take too little time for it to matter. */
bool dvk_kernel_is_tuned(dvk_kernel kernel);

/* What is known of a variant with one set of specialisation constants, whose pipeline is a program of its own. */
typedef struct dvk_verdict {
    uint32_t variant; /* index in the table */
    dvk_specialisation specialisation;
    uint32_t passing; /* 1: not for the cache file, for it may be of the moment; else 0 */
    char wrong[100];  /* in what way; "": it gave the known answer */
} dvk_verdict;

typedef struct dvk_measurement {
    dvk_use use; /* a class */
    uint32_t variant;
    uint32_t chosen; /* 0 or 1 */
    float gflops;    /* 0: its first run was hopeless, or the only candidate was not measured */
} dvk_measurement;

/* What a session of the context got. */
typedef struct dvk_decision {
    dvk_use use; /* a class */
    uint32_t variant;
} dvk_decision;

typedef struct dvk_pin {
    char use[DVK_USE_NAME]; /* as dvk_use_name() writes it; parts may be "*" */
    uint32_t variant;
} dvk_pin;

/* What a context knows of its variants. Zero-initialised: nothing. */
struct dvk_choices {
    const dvk_variant *table; /* dvk_variants; tests plant others */
    size_t table_count;
    dvk_verdict *verdicts;
    size_t verdict_count;
    dvk_measurement *measurements;
    size_t measurement_count;
    dvk_decision *decisions; /* one a class */
    size_t decision_count;
    dvk_pin *pins;
    size_t pin_count;
    bool measure;         /* else the order of the table decides */
    uint64_t least_flops; /* of a plan: what does less is not measured */
    double budget_ms;     /* once so much was spent, the measuring of no further use begins */
    double measured_ms;   /* spent on it so far */
    bool changed;         /* since it was read from, or written to, the cache */
};

/* Takes pins from the lines of `text` (NULL: none): "kernel/weight/shape = variant"; empty lines and what follows a #
 * mean nothing. INVALID_ARGUMENT with the line's number for what is unknown. */
dvk_result dvk_choices_create(const dvk_allocator *allocator, const char *text, dvk_choices **choices,
                              dvk_error *error);
void dvk_choices_destroy(const dvk_allocator *allocator, dvk_choices *choices);

/* Replaces an older one of the same variant and constants. */
dvk_result dvk_choices_add_verdict(dvk_context *context, const dvk_verdict *verdict, dvk_error *error);
dvk_result dvk_choices_add_measurement(dvk_context *context, const dvk_measurement *measurement, dvk_error *error);
/* Replaces the class's decision. */
dvk_result dvk_choices_decide(dvk_context *context, const dvk_use *use, const dvk_variant *variant, dvk_error *error);
const dvk_verdict *dvk_choices_find_verdict(const dvk_choices *choices, const dvk_variant *variant,
                                            dvk_specialisation specialisation);

/* Of all that decides what the variant computes. */
uint64_t dvk_variant_hash(const dvk_variant *variant);
/* Of the table with its SPIR-V, and of how choices are stored: what is in a cache file of another build means nothing.
 */
uint64_t dvk_choices_build_id(const dvk_choices *choices);
/* To the cache's section, where they changed, and back. */
void dvk_choices_store(dvk_context *context);
dvk_result dvk_choices_restore(dvk_context *context, dvk_error *error);

/* Why the context does not use the variant so, written to `text`; NULL: nothing speaks against it. */
enum { DVK_REFUSAL = 192 };
const char *dvk_variant_refusal(const dvk_context *context, const dvk_variant *variant, const dvk_use *use,
                                char text[DVK_REFUSAL]);

/* Fails with UNSUPPORTED where nothing is left to choose, or what is pinned cannot serve. */
dvk_result dvk_variant_choose(const dvk_context *context, const dvk_use *use, const dvk_variant **chosen,
                              dvk_error *error);

/* The variants that may be chosen for the use, in order of preference, at most `capacity`: those meant for the
 * device's class, or all where none of these is left; a fallback only where it would be the first. */
size_t dvk_variant_candidates(const dvk_context *context, const dvk_use *use, const dvk_variant **candidates,
                              size_t capacity);

/* True where the caller decided on this use. */
bool dvk_use_is_pinned(const dvk_context *context, const dvk_use *use);

#endif
