/* A renderer that asks a DINO model what it looks at, on the renderer's own device, in the renderer's own command
 * buffer, a slice a frame: share-device MODEL_DIR OUT_DIR [FRAMES [BUDGET_US]]
 *
 * Nothing passes through host memory: the model reads a VkImage of the renderer, and leaves its attention in another
 * one that the renderer draws over the scene. For whoever wants to look, OUT_DIR gets the frames, and each picture that
 * the model was given with the map that it made of it. */
#include "renderer.h"

#include <dino_vk.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 320, HEIGHT = 192 }; /* of the screen */

typedef struct watcher {
    dvk_context *context;
    dvk_model *model;
    dvk_session *session;
    picture seen; /* what the pass under way looks at: the scene moves on, this stays */
    /* A pass of slot i writes maps[i]: one is written over several frames while the other, complete, is shown. */
    picture maps[2];
    uint32_t slot;          /* of the pass under way */
    dvk_position first, at; /* of this frame's slice; where it ends */
    uint32_t slices, passes;
    bool has_map;
} watcher;

static dvk_error error;

static void must(dvk_result result) {
    if (result == DVK_OK)
        return;
    fprintf(stderr, "share-device: %s\n", error.message);
    exit(1);
}

static void open_model(watcher *w, const renderer *r, const char *path) {
    /* Nothing was turned on when the device was created, so nothing is attested in .features. No other thread uses the
     * queue; else .lock_queue would say how to take turns. */
    const dvk_import import = {
        .get_instance_proc_addr = (dvk_function)vkGetInstanceProcAddr,
        .instance = r->instance,
        .api_version = r->api_version,
        .physical_device = r->physical_device,
        .device = r->device,
        .queue = r->queue,
        .queue_family = r->queue_family,
    };
    must(dvk_context_import(&import, NULL, &w->context, &error));
    must(dvk_model_load(w->context, &(dvk_model_params){.path = path}, &w->model, &error));
}

/* Half the screen's size, in whole patches. */
static void open_session(watcher *w, renderer *r) {
    const uint32_t patch = dvk_model_get_info(w->model)->patch_size, columns = WIDTH / 2 / patch,
                   rows = HEIGHT / 2 / patch;
    w->seen = picture_create(r, r->scene.format, 0, WIDTH, HEIGHT);
    for (int i = 0; i < 2; i++)
        w->maps[i] = picture_create(r, VK_FORMAT_R8G8B8A8_UNORM, VK_IMAGE_USAGE_STORAGE_BIT, columns, rows);

    const dvk_source_desc source = {
        .kind = DVK_SOURCE_IMAGE, .format = (uint32_t)w->seen.format, .width = WIDTH, .height = HEIGHT};
    const dvk_target_desc target = {.kind = DVK_TARGET_ATTENTION, .format = (uint32_t)w->maps[0].format};
    const dvk_session_params params = {.width = columns * patch,
                                       .height = rows * patch,
                                       .source = &source,
                                       .targets = &target,
                                       .target_count = 1,
                                       .in_flight = 2};
    must(dvk_session_create(w->model, &params, &w->session, &error));
    for (uint32_t slot = 0; slot < 2; slot++) {
        const dvk_source_binding from = {.view = (uint64_t)w->seen.view};
        const dvk_target_binding to = {.view = (uint64_t)w->maps[slot].view,
                                       .image = (uint64_t)w->maps[slot].image,
                                       .final_layout = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL};
        const dvk_bindings bindings = {.sources = &from, .source_count = 1, .targets = &to, .target_count = 1};
        must(dvk_session_bind(w->session, slot, &bindings, &error));
    }
    /* While the player still sees the loading screen: how long the ops take here, which is what slices go by. */
    must(dvk_session_run(w->session, NULL, 1, &error));
    must(dvk_session_profile(w->session, NULL, 0, &error));
}

static void close_watcher(watcher *w, renderer *r) {
    dvk_session_destroy(&w->session);
    dvk_model_destroy(&w->model);
    dvk_context_destroy(&w->context);
    picture_destroy(r, &w->seen);
    for (int i = 0; i < 2; i++)
        picture_destroy(r, &w->maps[i]);
}

/* One slice of the pass under way; true if it was the last one. */
static bool record_slice(watcher *w, renderer *r, VkCommandBuffer commands, uint32_t budget_us) {
    const dvk_position end = dvk_session_get_info(w->session)->end;
    if (w->slices == 0)
        picture_copy(commands, &r->scene, &w->seen);
    dvk_record_params record = {.command_buffer = commands, .slot = w->slot, .first = w->at};
    record.last = w->at = dvk_session_slice(w->session, w->at, budget_us);
    renderer_stamp(r, 0);
    must(dvk_session_record(w->session, &record, &error));
    renderer_stamp(r, 1);
    w->first = record.first;
    w->slices++;
    return w->at.op == end.op;
}

static void save_pass(watcher *w, renderer *r, const char *directory, uint32_t frame) {
    char path[1024];
    printf("frame %u: map %u is done, in %u slices\n", frame, w->passes, w->slices);
    snprintf(path, sizeof(path), "%s/seen-%03u.ppm", directory, w->passes);
    picture_save_ppm(r, &w->seen, path);
    snprintf(path, sizeof(path), "%s/map-%03u.pgm", directory, w->passes);
    picture_save_pgm(r, &w->maps[w->slot], path);
}

static void draw_frame(watcher *w, renderer *r, const char *directory, uint32_t frame, uint32_t budget_us) {
    VkCommandBuffer commands = renderer_begin_frame(r, (float)frame / 30);
    const bool complete = record_slice(w, r, commands, budget_us);
    w->has_map |= complete;
    const uint32_t shown = complete ? w->slot : !w->slot;
    renderer_end_frame(r, &w->maps[shown], w->has_map ? 1 : 0);
    const uint32_t took_us = renderer_stamped_us(r);
    if (took_us) /* the next slices will fill the budget better */
        must(dvk_session_learn(w->session, w->first, w->at, took_us, &error));

    char path[1024];
    snprintf(path, sizeof(path), "%s/frame-%03u.ppm", directory, frame);
    picture_save_ppm(r, &r->screen, path);
    if (complete) {
        save_pass(w, r, directory, frame);
        w->slot = !w->slot;
        w->at = (dvk_position){0, 0};
        w->slices = 0;
        w->passes++;
    }
}

int main(int argc, char **argv) {
    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: share-device MODEL_DIR OUT_DIR [FRAMES [BUDGET_US]]\n");
        return 1;
    }
    const uint32_t frames = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 60;
    const uint32_t budget_us = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 4000;
    renderer r;
    watcher w = {0};
    renderer_open(&r, WIDTH, HEIGHT);
    open_model(&w, &r, argv[1]);
    open_session(&w, &r);
    for (uint32_t frame = 0; frame < frames; frame++)
        draw_frame(&w, &r, argv[2], frame, budget_us);
    close_watcher(&w, &r);
    renderer_close(&r);
    return 0;
}
