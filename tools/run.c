/* The main job: load -> preprocess -> run -> outputs, for any number of images in bounded memory.
 *
 * Images are decoded in windows, so that a bad file is found before the slow work where there are few of them. Within
 * a window those of one size share passes; results leave in the order of the command line. Files get their names when
 * everything has succeeded. */
#include "run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "device_input.h"
#include "image_input.h"
#include "model_input.h"
#include "npy_writer.h"

/* Classes named with --tokens logits where --top does not say. */
#define DEFAULT_TOP 5

/* A window ends at so many images or decoded bytes, but holds at least one batch. */
#define WINDOW_IMAGES 64
#define WINDOW_BYTES ((size_t)256 << 20)

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
    const char *paths[] = {options->npy, options->trace, attention, pca};
    int code = 0;
    if ((options->attention && !attention) || (options->pca && !pca))
        code = fail(EXIT_CODE_DEVICE, "out of memory for a file's name");
    for (size_t i = 2; i < sizeof(paths) / sizeof(paths[0]) && code == 0; i++) {
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
static int check_files(const struct options *options) {
    struct image_identity *identities = calloc((size_t)options->image_count + 1, sizeof(*identities));
    if (!identities)
        return fail(EXIT_CODE_DEVICE, "out of memory for a list of %d images", options->image_count);
    int code = images_check(options, identities);
    if (code == 0 && options->npy)
        code = probe_output(options, identities, options->npy);
    if (code == 0 && options->trace)
        code = probe_output(options, identities, options->trace);
    for (int index = 0; index < options->image_count && code == 0; index++)
        code = probe_pictures(options, identities, index);
    free(identities);
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

/* Decodes images until the window is full. */
static int fill_window(struct run *run) {
    const struct options *options = run->options;
    size_t bytes = 0;
    for (int i = 0; i < run->slot_count; i++)
        bytes += (size_t)run->slots[i].image.width * run->slots[i].image.height * 3;
    while (run->next_image < options->image_count && run->slot_count < run->slot_capacity &&
           (bytes < WINDOW_BYTES || (uint32_t)run->slot_count < options->batch)) {
        progress("decoding image %d of %d", run->next_image + 1, options->image_count);
        struct slot *slot = &run->slots[run->slot_count];
        *slot = (struct slot){.result.index = run->next_image};
        double start = now_ms();
        int code = image_read(options, run->next_image, &slot->image);
        if (code)
            return code;
        slot->result.decode_ms = now_ms() - start;
        trace_add(run->trace, TRACK_COMMAND, start, now_ms(), "decode image %d", run->next_image + 1);
        slot->result.image_width = slot->image.width;
        slot->result.image_height = slot->image.height;
        bytes += (size_t)slot->image.width * slot->image.height * 3;
        run->slot_count++;
        run->next_image++;
    }
    return 0;
}

/* Asks the model what each image is resized to, and whether -o can hold them all. */
static int size_window(struct run *run) {
    const struct options *options = run->options;
    dvk_preprocess_params params = {.width = options->width, .height = options->height, .order = options->resize};
    bool by_patch =
        options->npy && (options->tokens == DVK_OUTPUT_PATCHES || options->tokens == DVK_OUTPUT_LAST_HIDDEN_STATE);
    uint32_t patch = run->report.model->patch_size;
    for (int i = 0; i < run->slot_count; i++) {
        struct slot *slot = &run->slots[i];
        dvk_preprocess_size(run->model, &params, &slot->image, &slot->width, &slot->height);
        uint64_t patches = (uint64_t)(slot->width / patch) * (slot->height / patch);
        if (slot->result.index == 0)
            run->npy_patches = patches;
        if (by_patch && patches != run->npy_patches) {
            char position[64];
            return fail(EXIT_CODE_IMAGE,
                        "%s%s has %" PRIu64 " patches where the first image has %" PRIu64
                        ", and %s can hold only one shape; give a --size, or --tokens cls",
                        image_position(options, slot->result.index, position), options->images[slot->result.index],
                        patches, run->npy_patches, options->npy);
        }
    }
    return 0;
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

static void free_slot(struct slot *slot) {
    dvk_image_free(&slot->image);
    free(slot->result.values);
    free(slot->result.top);
    free(slot->attention_path);
    free(slot->pca_path);
    *slot = (struct slot){0};
}

/* Prints and writes what is done, as far as nothing before it is missing. */
static int emit(struct run *run) {
    double start = now_ms();
    int code = 0;
    int count = 0;
    for (; code == 0 && count < run->slot_count && run->slots[count].done; count++) {
        const struct image_result *result = &run->slots[count].result;
        if (run->options->npy)
            code = append_npy(run, result);
        if (code == 0)
            code = report_image(&run->report, result);
    }
    if (count)
        trace_add(run->trace, TRACK_COMMAND, start, now_ms(), "print %d", count);
    for (int i = 0; i < count; i++)
        free_slot(&run->slots[i]);
    run->slot_count -= count;
    memmove(run->slots, run->slots + count, (size_t)run->slot_count * sizeof(*run->slots));
    return code;
}

static int run_images(struct run *run) {
    const struct options *options = run->options;
    run->slot_capacity = options->batch > WINDOW_IMAGES ? (int)options->batch : WINDOW_IMAGES;
    run->slots = calloc((size_t)run->slot_capacity, sizeof(*run->slots));
    run->pictures = calloc(2 * (size_t)options->image_count, sizeof(*run->pictures));
    if (!run->slots || !run->pictures)
        return fail(EXIT_CODE_DEVICE, "out of memory for a list of %d images", options->image_count);
    int code = fill_window(run);
    if (code == 0)
        code = open_model(run);
    while (code == 0 && run->slot_count > 0) {
        code = size_window(run);
        while (code == 0 && run->slot_count > 0) {
            code = run_pass(run);
            if (code == 0)
                code = emit(run);
        }
        if (code == 0)
            code = fill_window(run);
    }
    return code;
}

static int commit(struct run *run) {
    int code = run->npy_dimensions ? output_file_finish(&run->npy) : 0;
    if (code == 0 && run->trace)
        code = output_file_open(&run->trace_file, run->options->trace);
    if (code == 0 && run->trace)
        code = trace_write(run->trace, &run->trace_file);
    if (code == 0 && run->npy_dimensions)
        code = output_file_commit(&run->npy);
    if (code == 0 && run->trace)
        code = output_file_commit(&run->trace_file);
    for (size_t i = 0; i < run->picture_count && code == 0; i++)
        code = output_file_commit(&run->pictures[i]);
    return code;
}

/* The size of the pass that --plan prints: that of the first image, where one is given. */
static int plan_size(struct run *run, uint32_t *width, uint32_t *height) {
    const struct options *options = run->options;
    const dvk_model_info *model = run->report.model;
    dvk_preprocess_params params = {.width = options->width, .height = options->height};
    *width = options->width ? options->width : model->image_width;
    *height = options->width ? options->height : model->image_height;
    if (options->image_count == 0)
        return 0;
    dvk_image image;
    int code = image_read(options, 0, &image);
    if (code)
        return code;
    dvk_preprocess_size(run->model, &params, &image, width, height);
    dvk_image_free(&image);
    return 0;
}

static int print_plan(struct run *run) {
    uint32_t width, height;
    int code = open_model(run);
    if (code == 0)
        code = plan_size(run, &width, &height);
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
    for (int i = 0; i < run->slot_count; i++)
        free_slot(&run->slots[i]);
    free(run->slots);
    for (size_t i = 0; i < run->picture_count; i++)
        output_file_discard(&run->pictures[i]);
    free(run->pictures);
    output_file_discard(&run->npy);
    output_file_discard(&run->trace_file);
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
    int code = check_files(options);
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
