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
    dvk_session_params params = {.batch = batch_size(options),
                                 .width = width,
                                 .height = height,
                                 .dino_scale_factor = options->dino_positions,
                                 .in_flight = (uint32_t)options->image_count > batch_size(options) ? MOST_LANES : 1};
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
    run->lane_count = params.in_flight;
    run->next_lane = 0;
    trace_add(run->trace, TRACK_COMMAND, start, now_ms(), "prepare %" PRIu32 "x%" PRIu32, width, height);
    return 0;
}

/* Copies one output of the last pass into memory of its own, and refuses what is not finite. */
static int read_output(const struct run *run, const struct slot *slot, dvk_output output, uint32_t shape[2],
                       uint32_t *dimensions, float **values) {
    *dimensions = dvk_session_shape(run->session, output, shape);
    size_t count = (size_t)shape[0] * (*dimensions > 1 ? shape[1] : 1);
    float *read = malloc(count * sizeof(*read));
    if (!read)
        return fail(EXIT_CODE_DEVICE, "out of memory for %zu values of %s", count,
                    run->options->images[slot->result.index]);
    dvk_error error;
    if (dvk_session_read_slot(run->session, slot->lane, output, slot->place, read, count, &error) != DVK_OK) {
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

static int rank_classes(struct run *run, struct slot *slot) {
    uint32_t shape[2], dimensions;
    float *logits;
    int code = read_output(run, slot, DVK_OUTPUT_LOGITS, shape, &dimensions, &logits);
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

static int write_attention(struct run *run, const struct slot *slot) {
    uint32_t shape[2], dimensions;
    float *attention;
    int code = read_output(run, slot, DVK_OUTPUT_ATTENTION, shape, &dimensions, &attention);
    if (code)
        return code;
    struct attention_view view = view_attention(run, slot->width, slot->height);
    view.image = slot->resized;
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

static int draw_pca(struct run *run, const struct slot *slot) {
    uint32_t shape[2], dimensions;
    float *patches;
    int code = read_output(run, slot, DVK_OUTPUT_PATCHES, shape, &dimensions, &patches);
    if (code)
        return code;
    struct pca_view view = view_patches(run, slot->width, slot->height);
    view.patches = patches;
    struct picture picture;
    code = pca_picture_draw(&view, &picture);
    free(patches);
    return code ? code : keep_picture(run, slot->pca_path, &picture);
}

static int draw_pictures(struct run *run, struct slot *slot) {
    const struct options *options = run->options;
    struct image_result *result = &slot->result;
    int index = result->index;
    double start = now_ms();
    int code = 0;
    if (options->attention) {
        slot->attention_path = picture_path(options->attention, index, options->image_count);
        code = slot->attention_path ? write_attention(run, slot)
                                    : fail(EXIT_CODE_DEVICE, "out of memory for a file's name");
    }
    if (code == 0 && options->pca) {
        slot->pca_path = picture_path(options->pca, index, options->image_count);
        code = slot->pca_path ? draw_pca(run, slot) : fail(EXIT_CODE_DEVICE, "out of memory for a file's name");
    }
    result->attention_path = slot->attention_path;
    result->pca_path = slot->pca_path;
    result->pictures_ms = now_ms() - start;
    if (options->attention || options->pca)
        trace_add(run->trace, TRACK_COMMAND, start, now_ms(), "pictures of image %d", index + 1);
    return code;
}

/* Asks the model what an image is resized to, and whether -o can hold it. Image 0 is the first to be asked about. */
static int size_slot(struct run *run, struct slot *slot) {
    const struct options *options = run->options;
    if (slot->width)
        return 0;
    dvk_preprocess_params params = {.width = options->width, .height = options->height, .order = options->resize};
    const dvk_image image = {.width = slot->result.image_width, .height = slot->result.image_height};
    dvk_preprocess_size(run->model, &params, &image, &slot->width, &slot->height);
    const uint32_t patch = run->report.model->patch_size;
    const uint64_t patches = (uint64_t)(slot->width / patch) * (slot->height / patch);
    if (slot->result.index == 0)
        run->npy_patches = patches;
    if (options->npy && patches != run->npy_patches &&
        (options->tokens == DVK_OUTPUT_PATCHES || options->tokens == DVK_OUTPUT_LAST_HIDDEN_STATE)) {
        char position[64];
        return fail(EXIT_CODE_IMAGE,
                    "%s%s has %" PRIu64 " patches where the first image has %" PRIu64
                    ", and %s can hold only one shape; give a --size, or --tokens cls",
                    image_position(options, slot->result.index, position), options->images[slot->result.index], patches,
                    run->npy_patches, options->npy);
    }
    return 0;
}

/* The first waiting image from *index on that has this size, where that matters. *slot is NULL at the end of what is
 * decoded ahead. */
static int next_waiting(struct run *run, int *index, uint32_t width, uint32_t height, struct slot **slot) {
    int code = 0;
    for (; *index < run->options->image_count; ++*index) {
        code = loader_get(&run->loader, *index, slot);
        if (code || !*slot)
            return code;
        code = size_slot(run, *slot);
        if (code)
            return code;
        if (!(*slot)->in_pass && (!width || ((*slot)->width == width && (*slot)->height == height)))
            return 0;
    }
    *slot = NULL;
    return 0;
}

/* The members of the next pass, in order: waiting images of the session's size while there are any, else those of the
 * first one's size. */
static int choose(struct run *run, uint32_t batch, struct slot **members, uint32_t *count) {
    const dvk_session_info *session = run->session ? dvk_session_get_info(run->session) : NULL;
    int index = run->loader.first;
    struct slot *slot = NULL;
    *count = 0;
    int code = session ? next_waiting(run, &index, session->width, session->height, &slot) : 0;
    if (code == 0 && !slot) {
        index = run->loader.first;
        code = next_waiting(run, &index, 0, 0, &slot);
    }
    while (code == 0 && slot && *count < batch) {
        members[(*count)++] = slot;
        index++;
        code = next_waiting(run, &index, members[0]->width, members[0]->height, &slot);
    }
    return code;
}

static int submit(struct run *run, struct lane *lane) {
    const uint32_t number = (uint32_t)(lane - run->lanes);
    const size_t values = 3 * (size_t)lane->members[0]->width * lane->members[0]->height;
    const float *pixels = lane->members[0]->pixel_values;
    dvk_error error;
    double start = now_ms();
    if (lane->count > 1) {
        for (uint32_t i = 0; i < lane->count; i++)
            memcpy(run->batch_values + i * values, lane->members[i]->pixel_values, values * sizeof(float));
        pixels = run->batch_values;
    }
    dvk_result status = dvk_session_write(run->session, number, pixels, lane->count, &error);
    double written = now_ms();
    trace_add(run->trace, TRACK_COMMAND, start, written, "upload %" PRIu32, lane->count);
    if (status == DVK_OK)
        status = dvk_session_submit(run->session, &(dvk_submit_params){.slot = number}, &error);
    lane->submitted_ms = now_ms();
    trace_add(run->trace, TRACK_COMMAND, written, lane->submitted_ms, "submit");
    if (status != DVK_OK)
        return fail_library(EXIT_CODE_DEVICE, &error);
    for (uint32_t i = 0; i < lane->count; i++) {
        free(lane->members[i]->pixel_values);
        lane->members[i]->pixel_values = NULL;
    }
    return 0;
}

/* Ends the pass in a lane. */
static int collect(struct run *run, struct lane *lane) {
    const dvk_session_info *session = dvk_session_get_info(run->session);
    const uint32_t count = lane->count;
    dvk_error error;
    double start = now_ms();
    progress("image %d of %d", lane->members[0]->result.index + 1, run->options->image_count);
    if (dvk_session_wait(run->session, (uint32_t)(lane - run->lanes), UINT64_MAX, &error) != DVK_OK)
        return fail_library(EXIT_CODE_DEVICE, &error);
    double end = now_ms();
    double begin = lane->submitted_ms > run->last_done_ms ? lane->submitted_ms : run->last_done_ms;
    run->last_done_ms = end;
    trace_add(run->trace, TRACK_COMMAND, start, end, "wait");
    trace_add(run->trace, TRACK_DEVICE, begin, end, "pass of %" PRIu32, count);
    int code = 0;
    for (uint32_t i = 0; i < count && code == 0; i++) {
        struct slot *slot = lane->members[i];
        struct image_result *result = &slot->result;
        result->session = *session;
        result->in_pass = count;
        result->pass_ms = end - begin;
        code = read_output(run, slot, run->options->tokens, result->shape, &result->dimensions, &result->values);
        if (code == 0 && run->options->top_count)
            code = rank_classes(run, slot);
        if (code == 0)
            code = draw_pictures(run, slot);
        slot->done = true;
    }
    trace_add(run->trace, TRACK_COMMAND, end, now_ms(), "download %" PRIu32, count);
    lane->count = 0;
    return code;
}

/* Ends all passes: before the session changes, and when nothing waits any more. */
static int collect_all(struct run *run) {
    int code = 0;
    for (uint32_t i = 0; i < run->lane_count && code == 0; i++) {
        struct lane *lane = &run->lanes[(run->next_lane + i) % run->lane_count];
        if (lane->count)
            code = collect(run, lane);
    }
    return code;
}

/* What a pass needs beside the session. */
static int make_lanes(struct run *run, uint32_t batch, size_t values) {
    for (int i = 0; i < MOST_LANES; i++)
        if (!run->lanes[i].members)
            run->lanes[i].members = calloc(batch, sizeof(*run->lanes[i].members));
    free(run->batch_values);
    run->batch_values = batch > 1 ? malloc(batch * values * sizeof(float)) : NULL;
    if (!run->lanes[0].members || !run->lanes[1].members || (batch > 1 && !run->batch_values))
        return fail(EXIT_CODE_DEVICE, "out of memory for a batch of %" PRIu32 " images", batch);
    return 0;
}

int run_pass(struct run *run) {
    const uint32_t batch = batch_size(run->options);
    struct slot **members = calloc(batch, sizeof(*members));
    if (!members)
        return fail(EXIT_CODE_DEVICE, "out of memory for a batch of %" PRIu32, batch);
    uint32_t count = 0;
    int code = choose(run, batch, members, &count);
    const uint32_t width = count ? members[0]->width : 0, height = count ? members[0]->height : 0;
    const dvk_session_info *session = run->session ? dvk_session_get_info(run->session) : NULL;
    if (code == 0 && (!count || !session || session->width != width || session->height != height))
        code = collect_all(run);
    if (code == 0 && count && (!session || session->width != width || session->height != height)) {
        code = run_prepare(run, width, height);
        if (code == 0)
            code = make_lanes(run, batch, 3 * (size_t)width * height);
    }
    if (code == 0 && count) {
        struct lane *lane = &run->lanes[run->next_lane];
        if (lane->count)
            code = collect(run, lane);
        for (uint32_t i = 0; i < count && code == 0; i++) {
            code = loader_take(&run->loader, members[i]);
            members[i]->in_pass = true;
            members[i]->lane = run->next_lane;
            members[i]->place = i;
        }
        memcpy(lane->members, members, count * sizeof(*members));
        lane->count = code == 0 ? count : 0;
        if (code == 0)
            code = submit(run, lane);
        run->next_lane = (run->next_lane + 1) % run->lane_count;
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
