/* The tests' few macros. A test is a function; main() runs them and returns FINISH(). A failed check prints where, what
 * was expected and what was found, and the test goes on, so that one run tells everything. */
#ifndef DVK_TEST_H_
#define DVK_TEST_H_

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A test of several files is compiled with -DTEST_OF_SEVERAL_FILES; the one with main() defines the two counters. */
#ifdef TEST_OF_SEVERAL_FILES
extern int test_failures_;
extern int test_checks_;
#else
static int test_failures_;
static int test_checks_;
#endif

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        test_checks_++;                                                                                                \
        if (!(condition)) {                                                                                            \
            test_failures_++;                                                                                          \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                             \
        }                                                                                                              \
    } while (0)

/* Like CHECK, with a printf-style text about the case at hand. */
#define CHECK_MESSAGE(condition, ...)                                                                                  \
    do {                                                                                                               \
        test_checks_++;                                                                                                \
        if (!(condition)) {                                                                                            \
            test_failures_++;                                                                                          \
            printf("%s:%d: failed: %s: ", __FILE__, __LINE__, #condition);                                             \
            printf(__VA_ARGS__);                                                                                       \
            printf("\n");                                                                                              \
        }                                                                                                              \
    } while (0)

/* For what the rest of the test cannot do without. */
#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        test_checks_++;                                                                                                \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: required: %s\n", __FILE__, __LINE__, #condition);                                           \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* meson's code for a skipped test; the reason goes to its log. */
#define SKIP(...)                                                                                                      \
    do {                                                                                                               \
        printf("skipped: ");                                                                                           \
        printf(__VA_ARGS__);                                                                                           \
        printf("\n");                                                                                                  \
        exit(77);                                                                                                      \
    } while (0)

/* fmax() of two errors would forget the one that is no number, which is the worst of all. */
static inline double test_worst(double worst, double error) {
    return isnan(error) || error > worst ? error : worst;
}

#define FINISH() (printf("%d checks, %d failed\n", test_checks_, test_failures_), test_failures_ != 0)

#endif
