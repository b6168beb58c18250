/* `dino-vk bench`: how fast passes are on this device, where their time goes, and what the device could do at most. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ceilings/ceilings.h"
#include "commands.h"
#include "device_input.h"
#include "model_input.h"
#include "op_table.h"
#include "output_file.h"
#include "report.h"
#include "text.h"

/* As many passes of one batch size are timed at most, and at least. */
#define MOST_PASSES 2000
#define LEAST_PASSES 3
/* Of the profiled passes the one with the shortest sum counts: the others were disturbed. */
#define PROFILES 3

/* What came of one batch size. */
struct batch_result {
    uint32_t batch;
    char why_not[256]; /* not empty: it was not run */
    dvk_session_info session;
    double first_ms; /* compiles, on drivers that compile at the first dispatch */
    uint32_t passes;
    double p50_ms, p95_ms, images_per_second;
};

struct bench {
    const struct options *options;
    dvk_context *context;
    dvk_model *model;
    double device_ms, model_ms;
    struct ceilings ceilings;
    struct batch_result results[MAX_BATCHES];
    size_t result_count;
    struct op_table table; /* of the first batch size that ran */
    uint32_t table_batch;
    double times[MOST_PASSES];
};

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The nearest rank. `sorted` is not empty. */
static double percentile(const double *sorted, uint32_t count, double part) {
    uint32_t rank = (uint32_t)ceil(part * count);
    return sorted[rank ? rank - 1 : 0];
}

/* Noise as bright as a normalised photograph: zeros would be kind to some devices. */
static float *make_pixels(size_t count) {
    float *pixels = malloc(count * sizeof(*pixels));
    uint32_t state = 1;
    for (size_t i = 0; pixels && i < count; i++) {
        state = state * 1664525u + 1013904223u;
        pixels[i] = (float)(state >> 8) / 4194304.0f - 2.0f;
    }
    return pixels;
}

static int run_passes(struct bench *bench, dvk_session *session, const float *pixels, struct batch_result *result) {
    double *times = bench->times;
    dvk_error error;
    double start = now_ms();
    if (dvk_session_run(session, pixels, result->batch, &error) != DVK_OK)
        return fail_library(EXIT_CODE_DEVICE, &error);
    result->first_ms = now_ms() - start;
    const double begin = now_ms();
    while (result->passes < MOST_PASSES &&
           (result->passes < LEAST_PASSES || now_ms() - begin < 1e3 * bench->options->bench_seconds)) {
        progress("batch %" PRIu32 ", pass %" PRIu32, result->batch, result->passes + 1);
        start = now_ms();
        if (dvk_session_run(session, pixels, result->batch, &error) != DVK_OK)
            return fail_library(EXIT_CODE_DEVICE, &error);
        times[result->passes++] = now_ms() - start;
    }
    result->images_per_second = 1e3 * result->batch * result->passes / (now_ms() - begin);
    qsort(times, result->passes, sizeof(*times), by_value);
    result->p50_ms = percentile(times, result->passes, 0.50);
    result->p95_ms = percentile(times, result->passes, 0.95);
    return 0;
}

static int profile(struct bench *bench, dvk_session *session) {
    const uint32_t count = dvk_session_get_info(session)->dispatches;
    dvk_op_profile *ops = calloc(count, sizeof(*ops));
    if (!ops)
        return fail(EXIT_CODE_DEVICE, "out of memory for the times of %" PRIu32 " operations", count);
    int code = 0;
    for (int i = 0; i < PROFILES && code == 0; i++) {
        struct op_table table = {0};
        dvk_error error;
        if (dvk_session_profile(session, ops, count, &error) != DVK_OK)
            code = fail_library(EXIT_CODE_DEVICE, &error);
        else
            code = op_table_make(ops, count, &table);
        if (code == 0 && (i == 0 || table.ms < bench->table.ms)) {
            struct op_table slower = bench->table;
            bench->table = table;
            table = slower;
        }
        free(table.rows);
    }
    free(ops);
    return code;
}

/* A batch size that the device cannot hold is told and left out, like one that the user did not ask for and that would
 * take longer than all the others. */
static int run_batch(struct bench *bench, uint32_t batch) {
    const struct options *options = bench->options;
    struct batch_result *result = &bench->results[bench->result_count++];
    result->batch = batch;
    const struct batch_result *first = &bench->results[0];
    double expected_ms = first->p50_ms * batch / first->batch;
    if (!options->batches_given && (LEAST_PASSES + 1) * expected_ms > 3e3 * options->bench_seconds) {
        snprintf(result->why_not, sizeof(result->why_not),
                 "a pass would take about %.0f s; ask for it with --batch %" PRIu32, expected_ms * 1e-3, batch);
        return 0;
    }
    dvk_session_params params = {.batch = batch, .width = options->width, .height = options->height};
    dvk_session *session = NULL;
    dvk_error error;
    dvk_result status = dvk_session_create(bench->model, &params, &session, &error);
    if (status == DVK_ERROR_OUT_OF_DEVICE_MEMORY || status == DVK_ERROR_UNSUPPORTED) {
        snprintf(result->why_not, sizeof(result->why_not), "%.250s", error.message);
        return 0;
    }
    if (status != DVK_OK)
        return fail_library(EXIT_CODE_DEVICE, &error);
    result->session = *dvk_session_get_info(session);
    size_t count = 3 * (size_t)result->session.width * result->session.height * batch;
    float *pixels = make_pixels(count);
    int code = pixels ? run_passes(bench, session, pixels, result)
                      : fail(EXIT_CODE_DEVICE, "out of memory for %zu numbers of input", count);
    if (code == 0 && !bench->table.rows) {
        bench->table_batch = batch;
        code = profile(bench, session);
    }
    free(pixels);
    dvk_session_destroy(&session);
    return code;
}

static double gflops(const struct batch_result *result) {
    return (double)result->session.flops / result->p50_ms * 1e-6;
}

static void print_ceilings(const struct ceilings *ceilings) {
    printf("at most fp32 %.0f GFLOP/s", ceilings->fp32_gflops);
    if (ceilings->fp16_gflops > 0.0)
        printf(", fp16 %.0f", ceilings->fp16_gflops);
    if (ceilings->matrix_gflops > 0.0)
        printf(", cooperative matrices of %" PRIu32 "x%" PRIu32 "x%" PRIu32 " %.0f", ceilings->matrix[0],
               ceilings->matrix[1], ceilings->matrix[2], ceilings->matrix_gflops);
    printf("; copies %.1f GB/s\n", ceilings->copy_gbytes);
}

static void print_table(const struct bench *bench) {
    const dvk_device_info *device = dvk_context_device(bench->context);
    const dvk_model_info *model = dvk_model_get_info(bench->model);
    char time[24], text[256];
    printf("device  %" PRIu32 " ", device->index);
    print_plain(stdout, device->name);
    printf(" (%s), %s\n        ", device_type_name(device->type), dvk_context_tier(bench->context));
    print_plain(stdout, device->driver);
    printf("\nmodel   ");
    print_plain(stdout, model->name);
    printf("\n        ");
    print_plain(stdout, model_summary(model, text));
    printf("\n");
    print_ceilings(&bench->ceilings);
    printf("times   device %s, ", format_ms(bench->device_ms, time));
    printf("model %s\n", format_ms(bench->model_ms, time));
    printf("\n%5s %7s %10s %10s %10s %10s %10s %9s  %s\n", "batch", "passes", "prepare", "first", "p50", "p95",
           "images/s", "GFLOP/s", "of fp32");
    for (size_t i = 0; i < bench->result_count; i++) {
        const struct batch_result *result = &bench->results[i];
        printf("%5" PRIu32, result->batch);
        if (result->why_not[0]) {
            printf("  not run: ");
            print_plain(stdout, result->why_not);
            putchar('\n');
            continue;
        }
        printf(" %7" PRIu32, result->passes);
        const double times[] = {result->session.prepare_ms, result->first_ms, result->p50_ms, result->p95_ms};
        for (size_t j = 0; j < sizeof(times) / sizeof(times[0]); j++)
            printf(" %10s", format_ms(times[j], time));
        printf(" %10.2f %9.1f  %.1f %%\n", result->images_per_second, gflops(result),
               100.0 * gflops(result) / bench->ceilings.fp32_gflops);
    }
    if (bench->table.rows) {
        printf("\nbatch %" PRIu32 ", operation by operation\n", bench->table_batch);
        op_table_print(stdout, &bench->table, bench->ceilings.fp32_gflops);
    }
}

static void print_result_json(const struct batch_result *result) {
    printf("{\"batch\": %" PRIu32, result->batch);
    if (result->why_not[0]) {
        printf(", \"not_run\": ");
        print_json_string(stdout, result->why_not);
        putchar('}');
        return;
    }
    const dvk_session_info *session = &result->session;
    printf(", \"width\": %" PRIu32 ", \"height\": %" PRIu32 ", \"tokens\": %" PRIu32 ", \"dispatches\": %" PRIu32
           ", \"submissions\": %" PRIu32 ", \"flops\": %" PRIu64 ", \"device_bytes\": %" PRIu64,
           session->width, session->height, session->tokens, session->dispatches, session->submissions, session->flops,
           session->device_bytes);
    printf(", \"prepare_ms\": %.6g, \"first_ms\": %.6g, \"passes\": %" PRIu32
           ", \"p50_ms\": %.6g, \"p95_ms\": %.6g, \"images_per_second\": %.6g, \"gflops\": %.6g}",
           session->prepare_ms, result->first_ms, result->passes, result->p50_ms, result->p95_ms,
           result->images_per_second, gflops(result));
}

static void print_json(const struct bench *bench) {
    const dvk_device_info *device = dvk_context_device(bench->context);
    const dvk_model_info *model = dvk_model_get_info(bench->model);
    const struct ceilings *ceilings = &bench->ceilings;
    printf("{\"version\": \"%s\", \"device\": ", dvk_version());
    print_json_string(stdout, device->name);
    printf(", \"driver\": ");
    print_json_string(stdout, device->driver);
    printf(", \"tier\": ");
    print_json_string(stdout, dvk_context_tier(bench->context));
    printf(", \"model\": ");
    print_json_string(stdout, model->name);
    printf(", \"precision\": \"%s\", \"device_ms\": %.6g, \"model_ms\": %.6g", precision_name(model->precision),
           bench->device_ms, bench->model_ms);
    printf(", \"ceilings\": {\"fp32_gflops\": %.6g, \"fp16_gflops\": %.6g, \"matrix_gflops\": %.6g, "
           "\"matrix\": [%" PRIu32 ", %" PRIu32 ", %" PRIu32 "], \"copy_gbytes\": %.6g, \"copy_working_set\": %" PRIu64
           "}",
           ceilings->fp32_gflops, ceilings->fp16_gflops, ceilings->matrix_gflops, ceilings->matrix[0],
           ceilings->matrix[1], ceilings->matrix[2], ceilings->copy_gbytes, ceilings->copy_working_set);
    printf(", \"batches\": [");
    for (size_t i = 0; i < bench->result_count; i++) {
        printf("%s", i ? ", " : "");
        print_result_json(&bench->results[i]);
    }
    printf("], \"profile_batch\": %" PRIu32 ", \"profile_ms\": %.6g, \"profile\": ", bench->table_batch,
           bench->table.ms);
    op_table_print_json(stdout, &bench->table);
    printf("}\n");
}

static int measure(struct bench *bench) {
    const struct options *options = bench->options;
    dvk_error error;
    double start = now_ms();
    int code = device_open(options, &bench->context);
    bench->device_ms = now_ms() - start;
    if (code)
        return code;
    start = now_ms();
    code = model_read(options->model, options->classifier, options->precision, bench->context, &bench->model);
    bench->model_ms = now_ms() - start;
    if (code)
        return code;
    progress("measuring what the device can do");
    if (ceilings_measure(bench->context, &bench->ceilings, &error) != DVK_OK)
        return fail_library(EXIT_CODE_DEVICE, &error);
    for (size_t i = 0; i < options->batch_count && code == 0; i++)
        code = run_batch(bench, options->batches[i]);
    return code;
}

int command_bench(const struct options *options) {
    struct bench *bench = calloc(1, sizeof(*bench));
    if (!bench)
        return fail(EXIT_CODE_DEVICE, "out of memory for the results");
    bench->options = options;
    int code = measure(bench);
    progress_clear();
    if (code == 0) {
        if (options->json)
            print_json(bench);
        else
            print_table(bench);
        code = flush_stdout();
    }
    free(bench->table.rows);
    dvk_model_destroy(&bench->model);
    dvk_context_destroy(&bench->context);
    free(bench);
    return code;
}
