/* The command line as data. */
#ifndef OPTIONS_H_
#define OPTIONS_H_

#include "dino_vk.h"

enum command {
    COMMAND_RUN,
    COMMAND_DEVICES,
    COMMAND_INFO,
    COMMAND_FETCH,
    COMMAND_BENCH,
    COMMAND_SELFTEST,
    COMMAND_HELP,
    COMMAND_VERSION,
};

#define MAX_BATCHES 16

/* Whether images are decoded in a child process without privileges. */
enum sandbox_wish {
    SANDBOX_AUTO, /* where it can be */
    SANDBOX_REQUIRE,
    SANDBOX_OFF,
};

struct options {
    enum command command;
    const char *model;      /* as typed, or $DINO_VK_MODEL; NULL: the built-in one */
    const char *revision;   /* of `fetch` */
    const char *device;     /* as typed; NULL: the best */
    const char *classifier; /* a file; NULL: none */
    dvk_precision precision;
    uint32_t width, height; /* both 0: the preprocessor's */
    uint32_t batch;
    uint32_t jobs;                 /* threads that decode; 0: as many as there are processors */
    uint32_t batches[MAX_BATCHES]; /* of `bench` */
    size_t batch_count;
    bool batches_given;
    double bench_seconds; /* for each of them */
    dvk_output tokens;
    bool tokens_given;  /* else a model without CLS gives what it has */
    uint32_t top_count; /* --top: that many classes; 0: none */
    dvk_resize_order resize;
    bool ignore_orientation;
    enum sandbox_wish sandbox;
    bool dino_positions; /* DINO's own scale factor */
    bool no_cache;
    bool deterministic;
    const char *variants;      /* a file of pins; NULL: none */
    const char *save_variants; /* the file to write; NULL: none */
    const char *npy;           /* -o; "-" is the standard output; NULL: none */
    const char *attention;     /* the same for the pictures */
    const char *pca;
    double threshold; /* 0: no mask */
    const char *trace;
    bool profile;
    bool json;
    bool plan;
    bool verbose;
    char **images; /* what is left: images, or the argument of `info` or `fetch` */
    int image_count;
};

/* 0, or the exit code after the sentence has been printed. Reorders argv as getopt does. */
int options_parse(int argc, char **argv, struct options *options);

/* "cls", "patch", ...: how --tokens spells it. */
const char *tokens_name(dvk_output tokens);

/* "fp32" or "fp16". */
const char *precision_name(dvk_precision precision);

void print_help(void);

#endif
