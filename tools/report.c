#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "model_input.h"
#include "output_file.h"
#include "text.h"

#define FIRST_VALUES 6

bool report_is_silent(const struct options *options) {
    const char *files[] = {options->npy, options->attention, options->pca, options->trace, options->save_variants};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (files[i] && !strcmp(files[i], "-"))
            return true;
    }
    return false;
}

bool report_is_json(const struct options *options) {
    return options->json || !isatty(STDOUT_FILENO);
}

const char *device_type_name(dvk_device_type type) {
    switch (type) {
    case DVK_DEVICE_INTEGRATED:
        return "integrated GPU";
    case DVK_DEVICE_DISCRETE:
        return "discrete GPU";
    case DVK_DEVICE_VIRTUAL:
        return "virtual GPU";
    case DVK_DEVICE_CPU:
        return "software driver";
    default:
        return "other device";
    }
}

static double norm(const float *values, size_t count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    return sqrt(sum);
}

static size_t value_count(const struct image_result *result) {
    return (size_t)result->shape[0] * (result->dimensions > 1 ? result->shape[1] : 1);
}

static void print_heading(const struct report *report, const struct image_result *result) {
    const dvk_session_info *session = &result->session;
    char text[256], bytes[24], more[24], time[24];
    printf("device  %" PRIu32 " ", report->device->index);
    print_plain(stdout, report->device->name);
    printf(" (%s), %s\n", device_type_name(report->device->type), report->tier);
    printf("model   ");
    print_plain(stdout, report->model->name);
    printf("\n        ");
    print_plain(stdout, model_summary(report->model, text));
    if (report->model->untrained)
        printf("\n        UNTRAINED: its weights are random and its features mean nothing");
    printf("\nkernels %s", session->fingerprint);
    printf("\npass    %" PRIu32 "x%" PRIu32 " pixels, %" PRIu32 "x%" PRIu32 " patches, %" PRIu32
           " tokens, batch %" PRIu32 ": %" PRIu32 " dispatches, %.1f GFLOP\n",
           session->width, session->height, session->grid_width, session->grid_height, session->tokens, session->batch,
           session->dispatches, (double)session->flops * 1e-9);
    printf("memory  %s of weights, %s for the pass\n", format_bytes(report->model->device_bytes, bytes),
           format_bytes(session->device_bytes, more));
    printf("times   device %s, ", format_ms(report->device_ms, time));
    printf("model %s, ", format_ms(report->model_ms, time));
    printf("preparing the pass %s\n", format_ms(session->prepare_ms, time));
}

static void print_top(const struct report *report, const struct image_result *result) {
    for (uint32_t i = 0; i < result->top_count; i++) {
        const struct class_score *score = &result->top[i];
        const char *label = dvk_model_label(report->labels, score->index);
        printf("        %5.1f %%  %" PRIu32 "  ", 100.0 * score->probability, score->index);
        print_plain(stdout, label ? label : "");
        putchar('\n');
    }
}

static void print_result(const struct report *report, const struct image_result *result) {
    const dvk_session_info *session = &result->session;
    char time[24];
    putchar('\n');
    print_plain(stdout, report->options->images[result->index]);
    printf("\n        %" PRIu32 "x%" PRIu32 " -> %" PRIu32 "x%" PRIu32 "\n", result->image_width, result->image_height,
           session->width, session->height);
    printf("        decode %s, ", format_ms(result->decode_ms, time));
    printf("preprocess %s, ", format_ms(result->preprocess_ms, time));
    printf("pass %s", format_ms(result->pass_ms, time));
    if (result->in_pass > 1)
        printf(" for %" PRIu32 " images", result->in_pass);
    if (result->attention_path || result->pca_path)
        printf(", pictures %s", format_ms(result->pictures_ms, time));
    printf("\n        %s [%" PRIu32, tokens_name(report->options->tokens), result->shape[0]);
    if (result->dimensions > 1)
        printf(", %" PRIu32, result->shape[1]);
    printf("] ");
    size_t count = value_count(result);
    for (size_t i = 0; i < count && i < FIRST_VALUES; i++)
        printf(" %.5g", (double)result->values[i]);
    printf("%s\n        norm %.6g\n", count > FIRST_VALUES ? " ..." : "", norm(result->values, count));
    print_top(report, result);
}

static void print_json_top(const struct report *report, const struct image_result *result) {
    printf(", \"top\": [");
    for (uint32_t i = 0; i < result->top_count; i++) {
        const struct class_score *score = &result->top[i];
        const char *label = dvk_model_label(report->labels, score->index);
        printf("%s{\"index\": %" PRIu32 ", \"label\": ", i ? ", " : "", score->index);
        if (label)
            print_json_string(stdout, label);
        else
            fputs("null", stdout);
        printf(", \"logit\": ");
        print_json_float(stdout, score->logit);
        printf(", \"probability\": ");
        print_json_float(stdout, (float)score->probability);
        putchar('}');
    }
    putchar(']');
}

static void print_json_values(const struct image_result *result) {
    size_t row = result->dimensions > 1 ? result->shape[1] : result->shape[0];
    size_t rows = value_count(result) / row;
    printf(", \"values\": [");
    for (size_t r = 0; r < rows; r++) {
        if (result->dimensions > 1)
            printf("%s[", r ? ", " : "");
        for (size_t i = 0; i < row; i++) {
            if (i)
                fputs(", ", stdout);
            print_json_float(stdout, result->values[r * row + i]);
        }
        if (result->dimensions > 1)
            putchar(']');
    }
    putchar(']');
}

static void print_json_member(const char *name, const char *value) {
    if (!value)
        return;
    printf(", \"%s\": ", name);
    print_json_string(stdout, value);
}

/* No times, so that equal runs print equal lines. */
static void print_json_result(const struct report *report, const struct image_result *result) {
    const struct options *options = report->options;
    const dvk_session_info *session = &result->session;
    printf("{\"image\": ");
    print_json_string(stdout, options->images[result->index]);
    printf(", \"index\": %d", result->index);
    print_json_member("model", report->model->name);
    printf(", \"untrained\": %s", report->model->untrained ? "true" : "false");
    print_json_member("device", report->device->name);
    printf(", \"device_index\": %" PRIu32 ", \"software\": %s", report->device->index,
           report->device->type == DVK_DEVICE_CPU ? "true" : "false");
    print_json_member("tier", report->tier);
    print_json_member("fingerprint", session->fingerprint);
    printf(", \"precision\": \"%s\"", precision_name(report->model->precision));
    printf(", \"image_size\": [%" PRIu32 ", %" PRIu32 "], \"input_size\": [%" PRIu32 ", %" PRIu32
           "], \"grid\": [%" PRIu32 ", %" PRIu32 "]",
           result->image_width, result->image_height, session->width, session->height, session->grid_width,
           session->grid_height);
    printf(", \"tokens\": \"%s\", \"shape\": [%" PRIu32, tokens_name(options->tokens), result->shape[0]);
    if (result->dimensions > 1)
        printf(", %" PRIu32, result->shape[1]);
    putchar(']');
    if (options->top_count)
        print_json_top(report, result);
    print_json_member("npy", options->npy);
    print_json_member("attention", result->attention_path);
    print_json_member("pca", result->pca_path);
    if (options->json || !(options->npy || options->attention || options->pca))
        print_json_values(result);
    printf("}\n");
}

int report_image(struct report *report, const struct image_result *result) {
    bool first = !report->begun;
    report->begun = true;
    if (report_is_silent(report->options))
        return 0;
    progress_clear();
    if (report_is_json(report->options)) {
        print_json_result(report, result);
    } else {
        if (first)
            print_heading(report, result);
        print_result(report, result);
    }
    /* Now, so that a reader gets every image as it is done and a broken pipe ends the work. */
    return flush_stdout();
}

static void print_wrote(const char *path) {
    printf("wrote   ");
    print_plain(stdout, path);
}

int report_end(struct report *report, const uint64_t *npy_shape, uint32_t npy_dimensions) {
    const struct options *options = report->options;
    bool silent = report_is_silent(options);
    if (!silent && !report_is_json(options)) {
        char time[24];
        putchar('\n');
        if (npy_dimensions) {
            print_wrote(options->npy);
            printf(", float32 [");
            for (uint32_t i = 0; i < npy_dimensions; i++)
                printf("%s%" PRIu64, i ? ", " : "", npy_shape[i]);
            printf("]\n");
        }
        const char *pictures[] = {options->attention, options->pca};
        for (size_t i = 0; i < 2; i++) {
            if (pictures[i]) {
                print_wrote(pictures[i]);
                printf(options->image_count > 1 ? ", numbered for %d images\n" : "\n", options->image_count);
            }
        }
        printf("total   %s\n", format_ms(now_ms() - report->start, time));
        int code = flush_stdout();
        if (code)
            return code;
    }
    progress_clear();
    if (report->device->type == DVK_DEVICE_CPU && !options->device)
        note("no GPU was found, so %s, a software driver, did the work", report->device->name);
    else if (silent)
        note("device %" PRIu32 ", %s, did the work", report->device->index, report->device->name);
    if (silent && report->model->untrained)
        note("%s is untrained: its features mean nothing", report->model->name);
    return 0;
}
