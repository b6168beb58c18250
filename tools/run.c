/* The main job: load -> preprocess -> run -> outputs, for any number of images in bounded memory.
 *
 * Images are decoded ahead, so that a bad file is found before the slow work where there are few of them. Those of one
 * size share passes; results leave in the order of the command line. Files get their names when everything has
 * succeeded. */
#include "run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "device_input.h"
#include "image_input.h"
#include "model_input.h"
#include "npy_writer.h"
#include "variant_list.h"

/* Classes named with --tokens logits where --top does not say. */
#define DEFAULT_TOP 5

static int probe_output(const struct options *options, const struct image_identity *identities, const char *path) {
    int code = images_check_output(options, identities, path);
    return code ? code : output_file_probe(path);
}

/* The pictures of one image, each under a name of its own: options_parse() has compared what was typed, but a.png and
 * a-%d.png can become the same. */
static int probe_pictures(const struct options *options, const struct image_identity *identities, int index) {
    int count = options->image_count;
    char *attention = options->attention ? picture_path(options->attention, index, count) : NULL;
    char *pca = options->pca ? picture_path(options->pca, index, count) : NULL;
    const char *paths[] = {options->npy, options->trace, options->save_variants, attention, pca};
    int code = 0;
    if ((options->attention && !attention) || (options->pca && !pca))
        code = fail(EXIT_CODE_DEVICE, "out of memory for a file's name");
    for (size_t i = 3; i < sizeof(paths) / sizeof(paths[0]) && code == 0; i++) {
        for (size_t j = 0; paths[i] && j < i && code == 0; j++) {
            if (paths[j] && !strcmp(paths[i], paths[j]))
                code = fail(EXIT_CODE_USAGE, "%s would be written twice; give each output its own name", paths[i]);
        }
        if (paths[i] && code == 0)
            code = probe_output(options, identities, paths[i]);
    }
    free(attention);
    free(pca);
    return code;
}

/* Looks at every image and opens every output once before anything slow happens. */
static int check_files(struct run *run) {
    const struct options *options = run->options;
    struct image_identity *identities = calloc((size_t)options->image_count + 1, sizeof(*identities));
    run->identities = identities;
    if (!identities)
        return fail(EXIT_CODE_DEVICE, "out of memory for a list of %d images", options->image_count);
    int code = images_check(options, identities);
    if (code == 0 && options->npy)
        code = probe_output(options, identities, options->npy);
    if (code == 0 && options->trace)
        code = probe_output(options, identities, options->trace);
    if (code == 0 && options->save_variants)
        code = probe_output(options, identities, options->save_variants);
    for (int index = 0; index < options->image_count && code == 0; index++)
        code = probe_pictures(options, identities, index);
    return code;
}

/* What the model does not have, before anything slow is done for it. */
static int check_tokens(const struct options *options, const dvk_model_info *model) {
    if (options->tokens == DVK_OUTPUT_POOLED && !model->has_pooler)
        return fail(EXIT_CODE_MODEL, "%s has no pooler, so there is nothing for --tokens pooled; use --tokens %s",
                    model->name, model->has_cls ? "cls" : "mean");
    if (options->tokens == DVK_OUTPUT_CLS && !model->has_cls)
        return fail(EXIT_CODE_MODEL, "%s has no CLS token, so there is nothing for --tokens cls; use --tokens mean",
                    model->name);
    if (options->attention && !model->has_cls)
        return fail(EXIT_CODE_MODEL, "%s has no CLS token, whose attention --attention could show; use --pca",
                    model->name);
    if ((options->tokens == DVK_OUTPUT_LOGITS || options->top_count) && !model->label_count)
        return fail(EXIT_CODE_MODEL, "%s does not classify, so there is nothing for %s; ask for features", model->name,
                    options->tokens == DVK_OUTPUT_LOGITS ? "--tokens logits" : "--top");
    if (options->tokens == DVK_OUTPUT_EMBEDDING && !model->embedding_size)
        return fail(EXIT_CODE_MODEL,
                    "%s has no projection, so there is nothing for --tokens embedding; use --tokens %s", model->name,
                    model->has_cls ? "cls" : "pooled");
    return 0;
}

static int open_model(struct run *run) {
    const struct options *options = run->options;
    double start = now_ms();
    int code = device_open(options, &run->context);
    if (code)
        return code;
    run->report.device = dvk_context_device(run->context);
    run->report.tier = dvk_context_tier(run->context);
    run->report.device_ms = now_ms() - start;
    trace_add(run->trace, TRACK_COMMAND, start, now_ms(), "open the device");

    progress("loading %s", options->model ? options->model : "the built-in model");
    start = now_ms();
    code = model_read(options->model, options->classifier, options->precision, run->context, &run->model);
    if (code)
        return code;
    run->report.model = dvk_model_get_info(run->model);
    run->report.labels = run->model;
    run->report.model_ms = now_ms() - start;
    trace_add(run->trace, TRACK_COMMAND, start, now_ms(), "load the model");
    const dvk_model_info *info = run->report.model;
    if (!options->tokens_given && !info->has_cls)
        run->own.tokens = info->has_pooler ? DVK_OUTPUT_POOLED : DVK_OUTPUT_MEAN;
    if (options->tokens == DVK_OUTPUT_LOGITS && !options->top_count)
        run->own.top_count = DEFAULT_TOP;
    return check_tokens(options, info);
}

static int append_npy(struct run *run, const struct image_result *result) {
    const struct options *options = run->options;
    if (run->npy_dimensions == 0) {
        run->npy_dimensions = 1 + result->dimensions;
        run->npy_shape[0] = (uint64_t)options->image_count;
        for (uint32_t i = 0; i < result->dimensions; i++)
            run->npy_shape[1 + i] = result->shape[i];
        int code = output_file_open(&run->npy, options->npy);
        if (code == 0)
            code = npy_write_header(&run->npy, run->npy_shape, run->npy_dimensions);
        if (code)
            return code;
    }
    size_t count = (size_t)result->shape[0] * (result->dimensions > 1 ? result->shape[1] : 1);
    return npy_write_values(&run->npy, result->values, count);
}

/* Prints and writes what is done, as far as nothing before it is missing. */
static int emit(struct run *run) {
    double start = now_ms();
    int code = 0;
    int count = 0;
    while (code == 0 && run->loader.first < run->options->image_count) {
        const struct slot *slot = &run->loader.slots[run->loader.first % run->loader.capacity];
        if (!slot->done)
            break;
        if (run->options->npy)
            code = append_npy(run, &slot->result);
        if (code == 0)
            code = report_image(&run->report, &slot->result);
        loader_drop_first(&run->loader);
        count++;
    }
    if (count)
        trace_add(run->trace, TRACK_COMMAND, start, now_ms(), "print %d", count);
    return code;
}

/* Waits for all that is decoded before the model is there. */
static int check_images(struct run *run) {
    struct slot *slot;
    int code = 0;
    for (int i = 0; code == 0 && i < run->options->image_count; i++) {
        code = loader_get(&run->loader, i, &slot);
        if (!slot)
            break;
    }
    return code;
}

static int run_images(struct run *run) {
    const struct options *options = run->options;
    run->pictures = calloc(2 * (size_t)options->image_count, sizeof(*run->pictures));
    if (!run->pictures)
        return fail(EXIT_CODE_DEVICE, "out of memory for a list of %d images", options->image_count);
    int code = loader_start(&run->loader, options, run->identities, run->trace);
    if (code == 0)
        code = check_images(run);
    if (code == 0)
        code = open_model(run);
    if (code == 0)
        loader_set_model(&run->loader, run->model);
    while (code == 0 && run->loader.first < options->image_count) {
        code = run_pass(run);
        if (code == 0)
            code = emit(run);
    }
    return code;
}

static int commit(struct run *run) {
    int code = run->npy_dimensions ? output_file_finish(&run->npy) : 0;
    if (code == 0 && run->trace)
        code = output_file_open(&run->trace_file, run->options->trace);
    if (code == 0 && run->trace)
        code = trace_write(run->trace, &run->trace_file);
    if (code == 0 && run->options->save_variants)
        code = variants_save(run->context, &run->variants_file, run->options->save_variants);
    if (code == 0 && run->npy_dimensions)
        code = output_file_commit(&run->npy);
    if (code == 0 && run->trace)
        code = output_file_commit(&run->trace_file);
    if (code == 0 && run->options->save_variants)
        code = output_file_commit(&run->variants_file);
    for (size_t i = 0; i < run->picture_count && code == 0; i++)
        code = output_file_commit(&run->pictures[i]);
    return code;
}

/* The size of the pass that --plan prints: that of the first image, where one is given. */
static int plan_size(struct run *run, struct sandbox *sandbox, uint32_t *width, uint32_t *height) {
    const struct options *options = run->options;
    const dvk_model_info *model = run->report.model;
    dvk_preprocess_params params = {.width = options->width, .height = options->height};
    *width = options->width ? options->width : model->image_width;
    *height = options->width ? options->height : model->image_height;
    if (options->image_count == 0)
        return 0;
    dvk_image image;
    dvk_error error;
    int code = image_read(options, 0, sandbox, &image, &error);
    if (code)
        return fail_library(code, &error);
    dvk_preprocess_size(run->model, &params, &image, width, height);
    dvk_image_free(&image);
    return 0;
}

static int print_plan(struct run *run) {
    uint32_t width, height;
    struct sandbox sandbox = {0};
    int code = run->options->image_count ? image_sandbox_open(run->options, &sandbox) : 0;
    if (code == 0)
        code = open_model(run);
    if (code == 0)
        code = plan_size(run, &sandbox, &width, &height);
    sandbox_close(&sandbox);
    if (code == 0)
        code = run_prepare(run, width, height);
    if (code)
        return code;
    size_t length = dvk_session_print_plan(run->session, NULL, 0);
    char *text = malloc(length + 1);
    if (!text)
        return fail(EXIT_CODE_DEVICE, "out of memory for %zu characters of the plan", length);
    dvk_session_print_plan(run->session, text, length + 1);
    fputs(text, stdout);
    free(text);
    return flush_stdout();
}

static void close_run(struct run *run) {
    loader_stop(&run->loader);
    free(run->identities);
    for (int i = 0; i < MOST_LANES; i++)
        free(run->lanes[i].members);
    free(run->batch_values);
    for (size_t i = 0; i < run->picture_count; i++)
        output_file_discard(&run->pictures[i]);
    free(run->pictures);
    output_file_discard(&run->npy);
    output_file_discard(&run->trace_file);
    output_file_discard(&run->variants_file);
    trace_close(run->trace);
    dvk_session_destroy(&run->session);
    dvk_model_destroy(&run->model);
    dvk_context_destroy(&run->context);
}

int command_run(const struct options *options) {
    struct run run = {.own = *options, .report = {.start = now_ms()}};
    run.options = run.report.options = &run.own;
    if (options->trace) {
        run.trace = &run.own_trace;
        trace_open(run.trace, run.report.start);
    }
    int code = check_files(&run);
    if (code == 0 && options->plan) {
        code = print_plan(&run);
    } else if (code == 0) {
        code = run_images(&run);
        if (code == 0 && (options->profile || options->trace))
            code = run_profile(&run);
        if (code == 0)
            code = commit(&run);
        if (code == 0)
            code = report_end(&run.report, run.npy_shape, run.npy_dimensions);
    }
    close_run(&run);
    return code;
}
