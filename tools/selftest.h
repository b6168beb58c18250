/* What `dino-vk selftest` finds out, and the report of it. */
#ifndef SELFTEST_H_
#define SELFTEST_H_

#include "options.h"

enum { SELFTEST_KINDS = 3 };

struct selftest_variant {
    dvk_proof proof;
    bool used; /* by one of the passes */
};

/* The built-in model with one kind of weights. */
struct selftest_pass {
    dvk_precision precision;
    char failed[512]; /* not empty: it could not be run */
    dvk_session_info session;
    double error, bar; /* relative L2 of the CLS features from float64's, and what it may be */
    bool unsteady;     /* not all passes gave the same bits */
    bool wrong;
    uint32_t passes;
    double ms; /* the median */
};

struct selftest {
    dvk_context *context;
    uint32_t repeats;
    char failed[512]; /* not empty: the proofs ended early */
    struct selftest_variant *proofs;
    uint32_t proof_count, programs, right, refused, wrong;
    struct selftest_pass passes[SELFTEST_KINDS];
    uint32_t wrong_passes;
};

static inline bool selftest_found_fault(const struct selftest *test) {
    return test->wrong || test->wrong_passes || test->failed[0];
}

void selftest_print(const struct selftest *test);
void selftest_print_json(const struct selftest *test);

#endif
