/* One pass: preprocess, run, read, draw. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention_picture.h"
#include "image_input.h"
#include "npy_writer.h"
#include "op_table.h"
#include "pca_picture.h"
#include "run.h"

/* The largest number of images in one pass. */
static uint32_t batch_size(const struct options *options) {
    uint32_t count = (uint32_t)options->image_count;
    return count > 0 && count < options->batch ? count : options->batch;
}

static struct attention_view view_attention(const struct run *run, uint32_t width, uint32_t height) {
    const dvk_model_info *model = run->report.model;
    return (struct attention_view){.width = width,
                                   .height = height,
                                   .grid_width = width / model->patch_size,
                                   .grid_height = height / model->patch_size,
                                   .patch_size = model->patch_size,
                                   .heads = model->heads,
                                   .prefix_tokens = model->prefix_tokens,
                                   .threshold = run->options->threshold};
}

static struct pca_view view_patches(const struct run *run, uint32_t width, uint32_t height) {
    const dvk_model_info *model = run->report.model;
    return (struct pca_view){.grid_width = width / model->patch_size,
                             .grid_height = height / model->patch_size,
                             .patch_size = model->patch_size,
                             .size = model->hidden_size};
}

int run_prepare(struct run *run, uint32_t width, uint32_t height) {
    const struct options *options = run->options;
    if (run->session) {
        const dvk_session_info *session = dvk_session_get_info(run->session);
        if (session->width == width && session->height == height)
            return 0;
        dvk_session_destroy(&run->session);
    }
    uint32_t patch = run->report.model->patch_size;
    if (width < patch || height < patch)
        return fail(EXIT_CODE_USAGE,
                    "%" PRIu32 "x%" PRIu32 " pixels are less than one %" PRIu32 "x%" PRIu32
                    " patch of %s; give a larger --size",
                    width, height, patch, patch, run->report.model->name);
    struct attention_view attention = view_attention(run, width, height);
    struct pca_view patches = view_patches(run, width, height);
    int code = options->attention && !is_npy(options->attention) ? attention_picture_check(&attention) : 0;
    if (code == 0 && options->pca)
        code = pca_picture_check(&patches);
    if (code)
        return code;
    progress("preparing %" PRIu32 "x%" PRIu32, width, height);
    double start = now_ms();
    dvk_session_params params = {
        .batch = batch_size(options), .width = width, .height = height, .dino_scale_factor = options->dino_positions};
    params.outputs = DVK_OUTPUT_BIT(options->tokens);
    if (options->attention)
        params.outputs |= DVK_OUTPUT_BIT(DVK_OUTPUT_ATTENTION);
    if (options->pca)
        params.outputs |= DVK_OUTPUT_BIT(DVK_OUTPUT_PATCHES);
    if (options->top_count)
        params.outputs |= DVK_OUTPUT_BIT(DVK_OUTPUT_LOGITS);
    dvk_error error;
    if (dvk_session_create(run->model, &params, &run->session, &error) != DVK_OK)
        return fail_library(EXIT_CODE_DEVICE, &error);
    trace_add(run->trace, TRACK_COMMAND, start, now_ms(), "prepare %" PRIu32 "x%" PRIu32, width, height);
    return 0;
}

/* Copies one output of the last pass into memory of its own, and refuses what is not finite. */
static int read_output(const struct run *run, const struct slot *slot, dvk_output output, uint32_t in_pass,
                       uint32_t shape[2], uint32_t *dimensions, float **values) {
    *dimensions = dvk_session_shape(run->session, output, shape);
    size_t count = (size_t)shape[0] * (*dimensions > 1 ? shape[1] : 1);
    float *read = malloc(count * sizeof(*read));
    if (!read)
        return fail(EXIT_CODE_DEVICE, "out of memory for %zu values of %s", count,
                    run->options->images[slot->result.index]);
    dvk_error error;
    if (dvk_session_read(run->session, output, in_pass, read, count, &error) != DVK_OK) {
        free(read);
        return fail_library(EXIT_CODE_DEVICE, &error);
    }
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(read[i])) {
            free(read);
            return fail(
                EXIT_CODE_MODEL,
                "%s: the model %s gives values that are no finite numbers; try --precision fp32 or another --device",
                run->options->images[slot->result.index], run->report.model->name);
        }
    }
    *values = read;
    return 0;
}

/* Writes a drawn picture to a file that waits for its name, and frees the picture. */
static int keep_picture(struct run *run, const char *path, struct picture *picture) {
    struct output_file *file = &run->pictures[run->picture_count];
    int code = output_file_open(file, path);
    if (code == 0) {
        run->picture_count++;
        code = picture_write_png(picture, file);
        if (code == 0)
            code = output_file_finish(file);
    }
    picture_free(picture);
    return code;
}

static int rank_classes(struct run *run, struct slot *slot, uint32_t in_pass) {
    uint32_t shape[2], dimensions;
    float *logits;
    int code = read_output(run, slot, DVK_OUTPUT_LOGITS, in_pass, shape, &dimensions, &logits);
    if (code)
        return code;
    uint32_t wanted = run->options->top_count < shape[0] ? run->options->top_count : shape[0];
    slot->result.top = calloc(wanted, sizeof(*slot->result.top));
    if (slot->result.top) {
        top_classes(logits, shape[0], wanted, slot->result.top);
        slot->result.top_count = wanted;
    } else {
        code = fail(EXIT_CODE_DEVICE, "out of memory for %" PRIu32 " classes", wanted);
    }
    free(logits);
    return code;
}

/* The maps as numbers: the columns before the patches are left out, as they are in the picture. */
static int keep_attention(struct run *run, const char *path, const struct attention_view *view) {
    struct output_file *file = &run->pictures[run->picture_count];
    int code = output_file_open(file, path);
    if (code)
        return code;
    run->picture_count++;
    size_t patches = (size_t)view->grid_width * view->grid_height, row = view->prefix_tokens + patches;
    code = npy_write_header(file, (uint64_t[]){view->heads, view->grid_height, view->grid_width}, 3);
    for (uint32_t head = 0; head < view->heads && code == 0; head++)
        code = npy_write_values(file, view->attention + head * row + view->prefix_tokens, patches);
    return code ? code : output_file_finish(file);
}

static int write_attention(struct run *run, const struct slot *slot, uint32_t in_pass, const uint8_t *resized) {
    uint32_t shape[2], dimensions;
    float *attention;
    int code = read_output(run, slot, DVK_OUTPUT_ATTENTION, in_pass, shape, &dimensions, &attention);
    if (code)
        return code;
    struct attention_view view = view_attention(run, slot->width, slot->height);
    view.image = resized;
    view.attention = attention;
    if (is_npy(slot->attention_path)) {
        code = keep_attention(run, slot->attention_path, &view);
    } else {
        struct picture picture;
        code = attention_picture_draw(&view, &picture);
        if (code == 0)
            code = keep_picture(run, slot->attention_path, &picture);
    }
    free(attention);
    return code;
}

static int draw_pca(struct run *run, const struct slot *slot, uint32_t in_pass) {
    uint32_t shape[2], dimensions;
    float *patches;
    int code = read_output(run, slot, DVK_OUTPUT_PATCHES, in_pass, shape, &dimensions, &patches);
    if (code)
        return code;
    struct pca_view view = view_patches(run, slot->width, slot->height);
    view.patches = patches;
    struct picture picture;
    code = pca_picture_draw(&view, &picture);
    free(patches);
    return code ? code : keep_picture(run, slot->pca_path, &picture);
}

static int draw_pictures(struct run *run, struct slot *slot, uint32_t in_pass, const uint8_t *resized) {
    const struct options *options = run->options;
    struct image_result *result = &slot->result;
    int index = result->index;
    double start = now_ms();
    int code = 0;
    if (options->attention) {
        slot->attention_path = picture_path(options->attention, index, options->image_count);
        code = slot->attention_path ? write_attention(run, slot, in_pass, resized)
                                    : fail(EXIT_CODE_DEVICE, "out of memory for a file's name");
    }
    if (code == 0 && options->pca) {
        slot->pca_path = picture_path(options->pca, index, options->image_count);
        code =
            slot->pca_path ? draw_pca(run, slot, in_pass) : fail(EXIT_CODE_DEVICE, "out of memory for a file's name");
    }
    result->attention_path = slot->attention_path;
    result->pca_path = slot->pca_path;
    result->pictures_ms = now_ms() - start;
    if (options->attention || options->pca)
        trace_add(run->trace, TRACK_COMMAND, start, now_ms(), "pictures of image %d", index + 1);
    return code;
}

/* The waiting slots of the next pass, in order: those of the session's size while there are any, else those of the
 * first one's size. Returns how many; members holds a batch. */
static uint32_t choose(const struct run *run, uint32_t batch, struct slot **members) {
    const struct slot *model = NULL;
    const dvk_session_info *session = run->session ? dvk_session_get_info(run->session) : NULL;
    for (int i = 0; i < run->slot_count; i++) {
        const struct slot *slot = &run->slots[i];
        if (slot->done)
            continue;
        if (!model)
            model = slot;
        if (session && slot->width == session->width && slot->height == session->height) {
            model = slot;
            break;
        }
    }
    uint32_t count = 0;
    for (int i = 0; model && i < run->slot_count && count < batch; i++) {
        struct slot *slot = &run->slots[i];
        if (!slot->done && slot->width == model->width && slot->height == model->height)
            members[count++] = slot;
    }
    return count;
}

static int preprocess(const struct run *run, struct slot *slot, float *pixel_values, uint8_t *resized) {
    dvk_preprocess_params params = {
        .width = run->options->width, .height = run->options->height, .order = run->options->resize};
    dvk_error error;
    double start = now_ms();
    if (dvk_preprocess(run->model, &params, &slot->image, pixel_values, resized, &error) != DVK_OK)
        return fail_library(EXIT_CODE_DEVICE, &error);
    slot->result.preprocess_ms = now_ms() - start;
    trace_add(run->trace, TRACK_COMMAND, start, now_ms(), "preprocess image %d", slot->result.index + 1);
    dvk_image_free(&slot->image);
    return 0;
}

static int run_session(struct run *run, const float *pixel_values, uint32_t count) {
    dvk_error error;
    double start = now_ms();
    dvk_result status = dvk_session_write(run->session, 0, pixel_values, count, &error);
    double written = now_ms();
    trace_add(run->trace, TRACK_COMMAND, start, written, "upload %" PRIu32, count);
    if (status == DVK_OK)
        status = dvk_session_submit(run->session, NULL, &error);
    double submitted = now_ms();
    trace_add(run->trace, TRACK_COMMAND, written, submitted, "submit");
    if (status == DVK_OK)
        status = dvk_session_wait(run->session, 0, UINT64_MAX, &error);
    trace_add(run->trace, TRACK_COMMAND, submitted, now_ms(), "wait");
    trace_add(run->trace, TRACK_DEVICE, written, now_ms(), "pass of %" PRIu32, count);
    return status == DVK_OK ? 0 : fail_library(EXIT_CODE_DEVICE, &error);
}

static int run_members(struct run *run, struct slot **members, uint32_t count, float *pixel_values, uint8_t *resized) {
    const dvk_session_info *session = dvk_session_get_info(run->session);
    size_t pixels = (size_t)session->width * session->height;
    for (uint32_t i = 0; i < count; i++) {
        int code =
            preprocess(run, members[i], pixel_values + 3 * pixels * i, resized ? resized + 3 * pixels * i : NULL);
        if (code)
            return code;
    }
    int first = members[0]->result.index;
    progress("image %d of %d", first + 1, run->options->image_count);
    double start = now_ms();
    int code = run_session(run, pixel_values, count);
    if (code)
        return code;
    double pass_ms = now_ms() - start, download = now_ms();
    for (uint32_t i = 0; i < count; i++) {
        struct slot *slot = members[i];
        struct image_result *result = &slot->result;
        result->session = *session;
        result->in_pass = count;
        result->pass_ms = pass_ms;
        code = read_output(run, slot, run->options->tokens, i, result->shape, &result->dimensions, &result->values);
        if (code == 0 && run->options->top_count)
            code = rank_classes(run, slot, i);
        if (code == 0)
            code = draw_pictures(run, slot, i, resized ? resized + 3 * pixels * i : NULL);
        if (code)
            return code;
        slot->done = true;
    }
    trace_add(run->trace, TRACK_COMMAND, download, now_ms(), "download %" PRIu32, count);
    return 0;
}

int run_pass(struct run *run) {
    uint32_t batch = batch_size(run->options);
    struct slot **members = calloc(batch, sizeof(*members));
    if (!members)
        return fail(EXIT_CODE_DEVICE, "out of memory for a batch of %" PRIu32, batch);
    uint32_t count = choose(run, batch, members);
    int code = count ? run_prepare(run, members[0]->width, members[0]->height) : 0;
    if (code == 0 && count) {
        size_t pixels = (size_t)members[0]->width * members[0]->height;
        float *pixel_values = calloc(count * pixels, 3 * sizeof(*pixel_values));
        uint8_t *resized = run->options->attention ? calloc(count * pixels, 3) : NULL;
        if (pixel_values && (resized || !run->options->attention))
            code = run_members(run, members, count, pixel_values, resized);
        else
            code = fail(EXIT_CODE_DEVICE, "out of memory for %" PRIu32 " images of %" PRIu32 "x%" PRIu32 " pixels",
                        count, members[0]->width, members[0]->height);
        free(pixel_values);
        free(resized);
    }
    free(members);
    return code;
}

int run_profile(struct run *run) {
    const uint32_t count = dvk_session_get_info(run->session)->dispatches;
    dvk_op_profile *ops = calloc(count, sizeof(*ops));
    if (!ops)
        return fail(EXIT_CODE_DEVICE, "out of memory for the times of %" PRIu32 " operations", count);
    progress("profiling");
    dvk_error error;
    struct op_table table = {0};
    double start = now_ms();
    int code = dvk_session_profile(run->session, ops, count, &error) == DVK_OK ? op_table_make(ops, count, &table)
                                                                               : fail_library(EXIT_CODE_DEVICE, &error);
    double end = now_ms();
    trace_add(run->trace, TRACK_DEVICE, start, end, "profiled pass");
    /* The device's clock is not the host's: its last operation is drawn as if it ended when the host knew that. */
    for (uint32_t i = 0; i < count && code == 0; i++) {
        double from = end - (double)(ops[count - 1].start_ns + ops[count - 1].ns - ops[i].start_ns) * 1e-6;
        trace_add(run->trace, TRACK_OPERATIONS, from, from + (double)ops[i].ns * 1e-6, "%s", ops[i].label);
    }
    if (code == 0 && run->options->profile) {
        progress_clear();
        op_table_print(stderr, &table, 0.0);
    }
    free(table.rows);
    free(ops);
    return code;
}
