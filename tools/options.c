#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "npy_writer.h"

/* dvk_image_load() takes no larger images; a larger input would come from nowhere. */
#define MAX_SIDE 16384
/* Far beyond what pays; it keeps products of sizes small. */
#define MAX_BATCH 1024
#define MAX_TOP 1000
#define MAX_JOBS 64

enum {
    OPTION_PRECISION = 256,
    OPTION_CLASSIFIER,
    OPTION_SIZE,
    OPTION_BATCH,
    OPTION_TOKENS,
    OPTION_TOP,
    OPTION_RESIZE,
    OPTION_IGNORE_ORIENTATION,
    OPTION_DINO_POSITIONS,
    OPTION_NO_CACHE,
    OPTION_VARIANTS,
    OPTION_SAVE_VARIANTS,
    OPTION_DETERMINISTIC,
    OPTION_JSON,
    OPTION_ATTENTION,
    OPTION_THRESHOLD,
    OPTION_PCA,
    OPTION_PLAN,
    OPTION_REVISION,
    OPTION_TIME,
    OPTION_JOBS,
    OPTION_PROFILE,
    OPTION_TRACE,
    OPTION_SANDBOX,
    OPTION_NO_SANDBOX,
    OPTION_VERSION,
};

static const struct option long_options[] = {
    {"model", required_argument, NULL, 'm'},
    {"device", required_argument, NULL, 'd'},
    {"output", required_argument, NULL, 'o'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"precision", required_argument, NULL, OPTION_PRECISION},
    {"classifier", required_argument, NULL, OPTION_CLASSIFIER},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"batch", required_argument, NULL, OPTION_BATCH},
    {"tokens", required_argument, NULL, OPTION_TOKENS},
    {"top", required_argument, NULL, OPTION_TOP},
    {"resize", required_argument, NULL, OPTION_RESIZE},
    {"ignore-orientation", no_argument, NULL, OPTION_IGNORE_ORIENTATION},
    {"dino-positions", no_argument, NULL, OPTION_DINO_POSITIONS},
    {"no-cache", no_argument, NULL, OPTION_NO_CACHE},
    {"variants", required_argument, NULL, OPTION_VARIANTS},
    {"save-variants", required_argument, NULL, OPTION_SAVE_VARIANTS},
    {"deterministic", no_argument, NULL, OPTION_DETERMINISTIC},
    {"json", no_argument, NULL, OPTION_JSON},
    {"attention", required_argument, NULL, OPTION_ATTENTION},
    {"threshold", required_argument, NULL, OPTION_THRESHOLD},
    {"pca", required_argument, NULL, OPTION_PCA},
    {"plan", no_argument, NULL, OPTION_PLAN},
    {"revision", required_argument, NULL, OPTION_REVISION},
    {"time", required_argument, NULL, OPTION_TIME},
    {"jobs", required_argument, NULL, OPTION_JOBS},
    {"profile", no_argument, NULL, OPTION_PROFILE},
    {"trace", required_argument, NULL, OPTION_TRACE},
    {"sandbox", required_argument, NULL, OPTION_SANDBOX},
    {"no-sandbox", no_argument, NULL, OPTION_NO_SANDBOX},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

void print_help(void) {
    /* In pieces, because C11 promises no more than 4095 characters in one string literal. */
    fputs("usage: dino-vk [options] IMAGE...\n"
          "       dino-vk devices [--json] [-v [options]]\n"
          "       dino-vk info [--json] [--size N|WxH] [--precision P] [MODEL]\n"
          "       dino-vk fetch [--revision R] NAME\n"
          "       dino-vk bench [--batch N,...] [--time SECONDS] [--json] [options]\n"
          "       dino-vk selftest [--device D] [--json] [-v]\n"
          "\n"
          "Computes the features of images with a DINO vision transformer on a Vulkan device.\n"
          "IMAGE is a PNG, JPEG, BMP, TGA or PNM file, or - for the standard input.\n"
          "\n"
          "The model and the device\n"
          "  -m, --model DIR|FILE|NAME  a directory as the Hugging Face hub lays it out, a .safetensors or .pth\n"
          "                             file, or a name such as facebook/dino-vits8 in the local Hugging\n"
          "                             Face cache, where `dino-vk fetch` puts it; else $DINO_VK_MODEL,\n"
          "                             else the built-in model\n"
          "      --classifier FILE.pth  a linear classifier of DINO or DINOv2 for the model's features\n"
          "  -d, --device INDEX|NAME|UUID\n"
          "                             a device of `dino-vk devices`; else the best: a software driver is\n"
          "                             taken only where nothing else is\n"
          "      --precision auto|fp32|fp16|int8w\n"
          "                             how the matrices are stored on the device (auto: as in the file)\n"
          "      --no-cache             keep no compiled pipelines and measurements in $XDG_CACHE_HOME/dino-vk or\n"
          "                             ~/.cache/dino-vk\n"
          "      --deterministic        measure nothing: the same kernels on every machine of a kind\n"
          "      --variants FILE        use the kernels' variants that FILE names, and measure nothing\n"
          "      --save-variants FILE   write the variants that were used, for --variants\n"
          "\n",
          stdout);
    fputs("The input\n"
          "      --size N|WxH           resize every image to N x N or W x H pixels (else: as the model's\n"
          "                             preprocessor says)\n"
          "      --resize newest|classic\n"
          "                             the bytes of Pillow 13 and later (default), or of Pillow up to 12\n"
          "      --ignore-orientation   leave the pixels as they are stored, whatever EXIF says\n"
          "      --dino-positions       interpolate positions as DINO's own code did (scale factor + 0.1), for\n"
          "                             sizes other than the model's; else as transformers does\n"
          "      --batch N              images in one pass (default 1)\n"
          "      --sandbox auto|require decode images in a process that may do nothing else: where it can be had\n"
          "                             (default, on Linux), or fail where it cannot\n"
          "      --no-sandbox           decode them in the command itself\n"
          "      --jobs N               threads that decode and preprocess (default: one a processor, up to 16)\n"
          "\n"
          "The output\n"
          "      --tokens cls|patch|all|mean|pooled|logits|embedding\n"
          "                             the CLS token (default), the patch tokens, all of them, the mean of\n"
          "                             the patch tokens; where the model has one, the pooler's output, the\n"
          "                             classifier's, or the projection's. Without CLS: pooled, else mean\n"
          "      --top N                also name the N likeliest classes, where the model classifies (with\n"
          "                             --tokens logits: 5 by default)\n"
          "  -o, --output FILE.npy      write the values as float32 [images, D] or [images, tokens, D]\n"
          "      --json                 print one JSON object a line for each image, with the values\n"
          "      --attention FILE.png   write what the CLS token attends to in the last layer: the image, a\n"
          "                             map for every head, and their mean; with FILE.npy, the numbers:\n"
          "                             float32 [heads, rows, columns]\n"
          "      --threshold X          with --attention: mark the patches that hold the largest part X of\n"
          "                             each map's mass (such as 0.6)\n"
          "      --pca FILE.png         write the first three principal components of the patch tokens as red,\n"
          "                             green and blue\n"
          "      --plan                 print the operations of one pass instead of running it; needs no IMAGE\n"
          "      --profile              also print on the standard error what each operation took\n"
          "      --trace FILE.json      write when each stage ran, for Perfetto or chrome://tracing\n"
          "      --revision R           of fetch: a branch, a tag or a commit (default main)\n"
          "      --time SECONDS         of bench: for each batch size (default 3)\n"
          "  -v, --verbose              print the library's log on the standard error; of devices: the kernels'\n"
          "                             variants that each uses for a model, and why it does not use the others\n"
          "  -h, --help                 print this text\n"
          "      --version              print the version\n"
          "\n",
          stdout);
    fputs("Without -o, --attention and --pca the values are printed: a short report on a terminal, JSON lines\n"
          "elsewhere. With them, only a report (JSON lines elsewhere) without the values, unless --json asks for\n"
          "them. FILE may be - for the standard output. With several images the pictures' FILE gets the image's\n"
          "position from 0: in place of %d (or %03d), else before the extension (FILE-0.png). Files appear\n"
          "under their names only when all of them are complete.\n"
          "\n"
          "-- ends the options. A file that is called devices, info, fetch, bench or selftest is\n"
          "reached as ./bench.\n"
          "\n"
          "Exit status: 0 done; 1 the command line; 2 an image; 3 the model; 4 the device, its driver or memory;\n"
          "5 an output. A signal ends the command with that signal's status, and leaves no file behind.\n"
          "\n"
          "Environment: DINO_VK_MODEL (see --model), DINO_VK_NO_CACHE (not empty: --no-cache), XDG_CACHE_HOME,\n"
          "DINO_VK_DISABLE (what not to use of the device: coopmat, coopmat2, fp16, int64, subgroup, dot, timeline),\n"
          "HF_HUB_CACHE, HF_HOME (where the Hugging Face cache is); for fetch also HF_ENDPOINT, HF_TOKEN,\n"
          "HF_HUB_OFFLINE, HF_HUB_DOWNLOAD_TIMEOUT, and libcurl's proxy variables.\n",
          stdout);
}

const char *tokens_name(dvk_output tokens) {
    switch (tokens) {
    case DVK_OUTPUT_LAST_HIDDEN_STATE:
        return "all";
    case DVK_OUTPUT_PATCHES:
        return "patch";
    case DVK_OUTPUT_MEAN:
        return "mean";
    case DVK_OUTPUT_POOLED:
        return "pooled";
    case DVK_OUTPUT_LOGITS:
        return "logits";
    case DVK_OUTPUT_EMBEDDING:
        return "embedding";
    default:
        return "cls";
    }
}

struct choice {
    const char *name;
    int value;
};

static const struct choice precisions[] = {{"auto", DVK_PRECISION_AUTO},
                                           {"fp32", DVK_PRECISION_FP32},
                                           {"fp16", DVK_PRECISION_FP16},
                                           {"int8w", DVK_PRECISION_INT8},
                                           {NULL, 0}};

const char *precision_name(dvk_precision precision) {
    for (size_t i = 0; precisions[i].name; i++)
        if (precisions[i].value == (int)precision)
            return precisions[i].name;
    return "auto";
}

/* Digits alone: strtoul would also take signs and spaces. *rest is what follows them. */
static bool parse_number(const char *text, uint32_t *number, const char **rest) {
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (uint64_t)(*at - '0');
        if (value > UINT32_MAX)
            return false;
    }
    *number = (uint32_t)value;
    *rest = at;
    return at != text;
}

static int parse_size(const char *text, struct options *options) {
    const char *rest;
    uint32_t width, height;
    bool good = parse_number(text, &width, &rest);
    height = width;
    if (good && (*rest == 'x' || *rest == 'X'))
        good = parse_number(rest + 1, &height, &rest);
    if (!good || *rest || width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
        return fail(EXIT_CODE_USAGE, "--size expects pixels as N or WxH, each from 1 to %d, but '%s' was given",
                    MAX_SIDE, text);
    options->width = width;
    options->height = height;
    return 0;
}

static int parse_count(const char *option, const char *text, uint32_t most, uint32_t *count) {
    const char *rest;
    if (!parse_number(text, count, &rest) || *rest || *count < 1 || *count > most)
        return fail(EXIT_CODE_USAGE, "%s expects a whole number from 1 to %u, but '%s' was given", option, most, text);
    return 0;
}

/* "8" or "1,8,32". */
static int parse_batches(const char *text, struct options *options) {
    const char *rest = text;
    options->batch_count = 0;
    options->batches_given = true;
    do {
        uint32_t *batch = &options->batches[options->batch_count];
        if (options->batch_count == MAX_BATCHES || !parse_number(rest, batch, &rest) || *batch < 1 ||
            *batch > MAX_BATCH || (*rest && *rest != ','))
            return fail(EXIT_CODE_USAGE,
                        "--batch of `dino-vk bench` expects up to %d whole numbers from 1 to %d with commas between "
                        "them, but '%s' was given",
                        MAX_BATCHES, MAX_BATCH, text);
        options->batch_count++;
    } while (*rest++ == ',');
    return 0;
}

static int parse_seconds(const char *text, struct options *options) {
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    /* Written so that a NaN is refused. */
    if (end == text || *end || errno || !(value > 0.0 && value <= 3600.0))
        return fail(EXIT_CODE_USAGE, "--time expects seconds above 0 and up to 3600, but '%s' was given", text);
    options->bench_seconds = value;
    return 0;
}

static int parse_threshold(const char *text, struct options *options) {
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    /* Written so that a NaN is refused. */
    if (end == text || *end || errno || !(value > 0.0 && value <= 1.0))
        return fail(EXIT_CODE_USAGE,
                    "--threshold expects a number above 0 and up to 1, such as 0.6, but '%s' was given", text);
    options->threshold = value;
    return 0;
}

/* `choices` ends with a NULL name. */
static int parse_choice(const char *option, const char *text, const struct choice *choices, int *value) {
    for (const struct choice *c = choices; c->name; c++) {
        if (!strcmp(c->name, text)) {
            *value = c->value;
            return 0;
        }
    }
    char names[128] = "";
    for (const struct choice *c = choices; c->name; c++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof(names) - used, "%s%s", c == choices ? "" : c[1].name ? ", " : " or ", c->name);
    }
    return fail(EXIT_CODE_USAGE, "%s expects %s, but '%s' was given", option, names, text);
}

static const struct choice resizes[] = {{"newest", DVK_RESIZE_NEWEST}, {"classic", DVK_RESIZE_CLASSIC}, {NULL, 0}};
static const struct choice sandboxes[] = {{"auto", SANDBOX_AUTO}, {"require", SANDBOX_REQUIRE}, {NULL, 0}};
static const struct choice subcommands[] = {{"devices", COMMAND_DEVICES},   {"info", COMMAND_INFO},
                                            {"fetch", COMMAND_FETCH},       {"bench", COMMAND_BENCH},
                                            {"selftest", COMMAND_SELFTEST}, {NULL, 0}};
static const struct choice tokens[] = {{"cls", DVK_OUTPUT_CLS},
                                       {"patch", DVK_OUTPUT_PATCHES},
                                       {"all", DVK_OUTPUT_LAST_HIDDEN_STATE},
                                       {"mean", DVK_OUTPUT_MEAN},
                                       {"pooled", DVK_OUTPUT_POOLED},
                                       {"logits", DVK_OUTPUT_LOGITS},
                                       {"embedding", DVK_OUTPUT_EMBEDDING},
                                       {NULL, 0}};

static const char *option_name(int option) {
    for (const struct option *o = long_options; o->name; o++) {
        if (o->val == option)
            return o->name;
    }
    return "";
}

/* What getopt_long() returned '?' or ':' for. */
static int fail_option(int returned, char **argv) {
    const char *typed = argv[optind - 1];
    if (returned == ':')
        return fail(EXIT_CODE_USAGE, "--%s needs a value; `dino-vk --help` says which", option_name(optopt));
    if (optopt >= OPTION_PRECISION || (optopt && !strncmp(typed, "--", 2)))
        return fail(EXIT_CODE_USAGE, "--%s takes no value, but '%s' was given", option_name(optopt), typed);
    if (optopt)
        return fail(EXIT_CODE_USAGE, "there is no option -%c; `dino-vk --help` lists the options", optopt);
    return fail(EXIT_CODE_USAGE,
                "there is no option %s, or it is the beginning of several; `dino-vk --help` lists them", typed);
}

/* Which options a subcommand takes besides --help and --version. */
static bool belongs_to(int option, enum command command) {
    switch (command) {
    case COMMAND_DEVICES:
        return option == 'm' || option == 'v' || option == OPTION_PRECISION || option == OPTION_SIZE ||
               option == OPTION_BATCH || option == OPTION_NO_CACHE || option == OPTION_VARIANTS ||
               option == OPTION_DETERMINISTIC || option == OPTION_JSON;
    case COMMAND_INFO:
        return option == OPTION_JSON || option == OPTION_SIZE || option == OPTION_PRECISION;
    case COMMAND_FETCH:
        return option == OPTION_REVISION;
    case COMMAND_BENCH:
        return option == 'm' || option == 'd' || option == 'v' || option == OPTION_PRECISION || option == OPTION_SIZE ||
               option == OPTION_BATCH || option == OPTION_TIME || option == OPTION_NO_CACHE ||
               option == OPTION_VARIANTS || option == OPTION_DETERMINISTIC || option == OPTION_JSON;
    case COMMAND_SELFTEST:
        return option == 'd' || option == 'v' || option == OPTION_JSON;
    default:
        return option != OPTION_REVISION && option != OPTION_TIME;
    }
}

static int fail_foreign_option(int option, enum command command) {
    static const struct choice options[] = {{"--json, --verbose, --model, --precision, --size, --batch, --no-cache, "
                                             "--variants, --deterministic",
                                             COMMAND_DEVICES},
                                            {"--json, --size, --precision", COMMAND_INFO},
                                            {"--revision", COMMAND_FETCH},
                                            {"--model, --device, --precision, --size, --batch, --time, --no-cache, "
                                             "--variants, --deterministic, --json, --verbose",
                                             COMMAND_BENCH},
                                            {"--device, --json, --verbose", COMMAND_SELFTEST},
                                            {NULL, 0}};
    for (size_t i = 0; options[i].name; i++) {
        if (options[i].value == (int)command)
            return fail(EXIT_CODE_USAGE, "`dino-vk %s` takes no option but %s and --help, but --%s was given",
                        subcommands[i].name, options[i].name, option_name(option));
    }
    return fail(EXIT_CODE_USAGE, "--%s belongs to `dino-vk %s`", option_name(option),
                option == OPTION_TIME ? "bench" : "fetch");
}

static int apply(int option, const char *value, struct options *options) {
    int choice;
    int code;
    switch (option) {
    case 'm':
        options->model = value;
        return 0;
    case 'd':
        options->device = value;
        return 0;
    case 'o':
        options->npy = value;
        return 0;
    case 'v':
        options->verbose = true;
        return 0;
    case OPTION_PRECISION:
        if ((code = parse_choice("--precision", value, precisions, &choice)) == 0)
            options->precision = (dvk_precision)choice;
        return code;
    case OPTION_CLASSIFIER:
        options->classifier = value;
        return 0;
    case OPTION_SIZE:
        return parse_size(value, options);
    case OPTION_BATCH:
        if (options->command == COMMAND_BENCH)
            return parse_batches(value, options);
        return parse_count("--batch", value, MAX_BATCH, &options->batch);
    case OPTION_TOKENS:
        if ((code = parse_choice("--tokens", value, tokens, &choice)) == 0)
            options->tokens = (dvk_output)choice;
        options->tokens_given = true;
        return code;
    case OPTION_TOP:
        return parse_count("--top", value, MAX_TOP, &options->top_count);
    case OPTION_RESIZE:
        if ((code = parse_choice("--resize", value, resizes, &choice)) == 0)
            options->resize = (dvk_resize_order)choice;
        return code;
    case OPTION_IGNORE_ORIENTATION:
        options->ignore_orientation = true;
        return 0;
    case OPTION_DINO_POSITIONS:
        options->dino_positions = true;
        return 0;
    case OPTION_NO_CACHE:
        options->no_cache = true;
        return 0;
    case OPTION_VARIANTS:
        options->variants = value;
        return 0;
    case OPTION_SAVE_VARIANTS:
        options->save_variants = value;
        return 0;
    case OPTION_DETERMINISTIC:
        options->deterministic = true;
        return 0;
    case OPTION_JSON:
        options->json = true;
        return 0;
    case OPTION_ATTENTION:
        options->attention = value;
        return 0;
    case OPTION_THRESHOLD:
        return parse_threshold(value, options);
    case OPTION_PCA:
        options->pca = value;
        return 0;
    case OPTION_PLAN:
        options->plan = true;
        return 0;
    case OPTION_REVISION:
        options->revision = value;
        return 0;
    case OPTION_TIME:
        return parse_seconds(value, options);
    case OPTION_JOBS:
        return parse_count("--jobs", value, MAX_JOBS, &options->jobs);
    case OPTION_PROFILE:
        options->profile = true;
        return 0;
    case OPTION_TRACE:
        options->trace = value;
        return 0;
    case OPTION_SANDBOX:
        if ((code = parse_choice("--sandbox", value, sandboxes, &choice)) == 0)
            options->sandbox = (enum sandbox_wish)choice;
        return code;
    case OPTION_NO_SANDBOX:
        options->sandbox = SANDBOX_OFF;
        return 0;
    default:
        return fail(EXIT_CODE_USAGE, "an option that is declared but not handled: %d", option);
    }
}

/* What only the whole command line can show. */
static int check(const struct options *options) {
    if (options->command == COMMAND_DEVICES) {
        if (options->image_count > 0)
            return fail(EXIT_CODE_USAGE,
                        "`dino-vk devices` takes no argument, but '%s' was given; an image called devices "
                        "is reached as ./devices",
                        options->images[0]);
        if (!options->verbose && (options->width || options->batches_given || options->precision || options->variants ||
                                  options->deterministic))
            return fail(EXIT_CODE_USAGE, "`dino-vk devices` takes --size, --batch, --precision, --variants and "
                                         "--deterministic only with -v, which shows the variants for a pass");
        return 0;
    }
    if (options->command == COMMAND_FETCH) {
        if (options->image_count != 1)
            return fail(EXIT_CODE_USAGE,
                        "`dino-vk fetch` takes one name, such as facebook/dino-vits8, but %d arguments "
                        "were given",
                        options->image_count);
        return 0;
    }
    if (options->command == COMMAND_BENCH) {
        if (options->image_count > 0)
            return fail(EXIT_CODE_USAGE,
                        "`dino-vk bench` takes no image, since it makes its own input, but '%s' was given",
                        options->images[0]);
        return 0;
    }
    if (options->command == COMMAND_SELFTEST) {
        if (options->image_count > 0)
            return fail(EXIT_CODE_USAGE, "`dino-vk selftest` takes no image, but '%s' was given", options->images[0]);
        return 0;
    }
    if (options->command == COMMAND_INFO) {
        if (options->image_count > 1)
            return fail(EXIT_CODE_USAGE, "`dino-vk info` takes one model, but %d arguments were given",
                        options->image_count);
        return 0;
    }

    if (options->image_count == 0 && !options->plan)
        return fail(EXIT_CODE_USAGE, "no image was given; `dino-vk IMAGE...` or `dino-vk --help`");
    if (options->plan && options->profile)
        return fail(EXIT_CODE_USAGE, "--plan runs nothing, so --profile has nothing to tell; leave one of them out");
    if (options->threshold > 0.0 && !options->attention)
        return fail(EXIT_CODE_USAGE, "--threshold belongs to --attention FILE.png, which was not given");
    if (options->threshold > 0.0 && is_npy(options->attention))
        return fail(EXIT_CODE_USAGE, "--threshold marks patches in a picture, but '%s' gets the numbers; leave it out",
                    options->attention);
    const char *files[] = {options->npy, options->trace, options->save_variants, options->attention, options->pca};
    const char *names[] = {"-o", "--trace", "--save-variants", "--attention", "--pca"};
    bool stdout_taken = false;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (!files[i])
            continue;
        if (options->plan)
            return fail(EXIT_CODE_USAGE, "--plan runs nothing, so %s has nothing to write; leave one of them out",
                        names[i]);
        if (!files[i][0])
            return fail(EXIT_CODE_USAGE, "%s needs the name of a file, but the name given is empty", names[i]);
        for (size_t j = 0; j < i; j++) {
            if (files[j] && !strcmp(files[i], files[j]))
                return fail(EXIT_CODE_USAGE, "%s and %s both write to '%s'; give each its own file", names[j], names[i],
                            files[i]);
        }
        if (strcmp(files[i], "-") != 0)
            continue;
        if (i > 2 && options->image_count > 1)
            return fail(EXIT_CODE_USAGE, "%s - writes one picture to the standard output, but %d images were given",
                        names[i], options->image_count);
        stdout_taken = true;
    }
    if (stdout_taken && options->json)
        return fail(EXIT_CODE_USAGE, "--json prints to the standard output, which a FILE given as - takes already");
    return 0;
}

int options_parse(int argc, char **argv, struct options *options) {
    *options = (struct options){.tokens = DVK_OUTPUT_CLS,
                                .batch = 1,
                                .revision = "main",
                                .batches = {1, 8, 32, 64},
                                .batch_count = 4,
                                .bench_seconds = 3.0};
    const char *model = getenv("DINO_VK_MODEL");
    if (model && *model)
        options->model = model;
    const char *no_cache = getenv("DINO_VK_NO_CACHE");
    options->no_cache = no_cache && *no_cache;

    for (const struct choice *c = subcommands; argc > 1 && c->name; c++) {
        if (strcmp(c->name, argv[1]) != 0)
            continue;
        options->command = (enum command)c->value;
        argc--;
        argv++;
        break;
    }

    opterr = 0;
    int option;
    while ((option = getopt_long(argc, argv, ":m:d:o:vh", long_options, NULL)) != -1) {
        if (option == '?' || option == ':')
            return fail_option(option, argv);
        if (option == 'h' || option == OPTION_VERSION) {
            options->command = option == 'h' ? COMMAND_HELP : COMMAND_VERSION;
            return 0;
        }
        if (!belongs_to(option, options->command))
            return fail_foreign_option(option, options->command);
        int code = apply(option, optarg, options);
        if (code)
            return code;
    }
    options->images = argv + optind;
    options->image_count = argc - optind;
    return check(options);
}
