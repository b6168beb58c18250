/* A window that shows a stream of pictures and what a DINO model makes of them:
 *
 *     ffmpeg -i VIDEO -vf scale=640:-2 -f image2pipe -c:v ppm - | viewer MODEL_DIR
 *     cat frame-*.ppm | viewer MODEL_DIR
 *
 * The window does not wait for the model: each pass takes the newest picture, and the window shows the newest map.
 *
 *     space         the picture, its attention over it, or the patch tokens' colours
 *     left, right   the attention of one head, or the mean of all
 *     q, Escape     end
 *
 * viewer MODEL_DIR FILE.bmp [picture|attention|colours] saves the window after the last picture, and ends. */
#include "colours.h"

#include <SDL.h>
#include <dino_vk.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRAPH_FRAMES = 120, GRAPH_HEIGHT = 50, GRAPH_MS = 100, LONGER_SIDE = 14 /* patches */, FRAME_MS = 33 };

typedef enum view { VIEW_PICTURE, VIEW_ATTENTION, VIEW_COLOURS, VIEW_COUNT } view;

typedef struct viewer {
    dvk_context *context;
    dvk_model *model;
    dvk_session *session;
    uint32_t columns, rows;
    float *pixels, *attention, *patches, *basis;
    uint8_t *map, *colours; /* [rows][columns][3], the newest pass's */
    uint32_t passes;

    SDL_Window *window;
    SDL_Renderer *renderer;
    SDL_Texture *picture, *overlay;
    dvk_image image; /* the newest picture; its pixels are ours */
    view shown;
    uint32_t head; /* 0: the mean of all, n: head n - 1 */
    uint32_t frames;
    float frame_ms[GRAPH_FRAMES];
} viewer;

static dvk_error error;

static void must(dvk_result result) {
    if (result == DVK_OK)
        return;
    fprintf(stderr, "viewer: %s\n", error.message);
    exit(1);
}

static void require(bool condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "viewer: %s\n", what);
    exit(1);
}

static void require_sdl(bool condition) {
    require(condition, SDL_GetError());
}

/* ------------------------------------------------------------------------------------------------------ model */

static void open_session(viewer *v) {
    const dvk_model_info *info = dvk_model_get_info(v->model);
    const uint32_t width = v->image.width, height = v->image.height, longer = width > height ? width : height;
    v->columns = (LONGER_SIDE * width + longer - 1) / longer;
    v->rows = (LONGER_SIDE * height + longer - 1) / longer;
    const dvk_session_params params = {
        .width = v->columns * info->patch_size,
        .height = v->rows * info->patch_size,
        .outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_ATTENTION) | DVK_OUTPUT_BIT(DVK_OUTPUT_PATCHES),
    };
    must(dvk_session_create(v->model, &params, &v->session, &error));
    const size_t count = (size_t)v->columns * v->rows;
    v->pixels = malloc(sizeof(float) * 3 * params.width * params.height);
    v->attention = malloc(sizeof(float) * info->heads * (info->prefix_tokens + count));
    v->patches = malloc(sizeof(float) * info->hidden_size * count);
    v->basis = calloc(3 * (size_t)info->hidden_size, sizeof(float));
    v->map = calloc(count, 3);
    v->colours = calloc(count, 3);
    require(v->pixels && v->attention && v->patches && v->basis && v->map && v->colours, "out of memory");
}

/* Least 0, largest 255. */
static void scale_attention(viewer *v) {
    const dvk_model_info *info = dvk_model_get_info(v->model);
    const size_t count = (size_t)v->columns * v->rows, tokens = info->prefix_tokens + count;
    const uint32_t first = v->head ? v->head - 1 : 0, last = v->head ? v->head : info->heads;
    float *sums = v->pixels; /* the pass has them already */
    float least = 1e9f, most = 0;
    for (size_t p = 0; p < count; p++) {
        sums[p] = 0;
        for (uint32_t head = first; head < last; head++)
            sums[p] += v->attention[head * tokens + info->prefix_tokens + p];
        least = sums[p] < least ? sums[p] : least;
        most = sums[p] > most ? sums[p] : most;
    }
    for (size_t p = 0; p < count; p++)
        memset(v->map + 3 * p, most > least ? (int)(255 * (sums[p] - least) / (most - least)) : 0, 3);
}

static void read_pass(viewer *v) {
    const dvk_model_info *info = dvk_model_get_info(v->model);
    const size_t count = (size_t)v->columns * v->rows;
    must(dvk_session_read(v->session, DVK_OUTPUT_ATTENTION, 0, v->attention,
                          info->heads * (info->prefix_tokens + count), &error));
    must(dvk_session_read(v->session, DVK_OUTPUT_PATCHES, 0, v->patches, info->hidden_size * count, &error));
    scale_attention(v);
    patch_colours(v->patches, count, info->hidden_size, v->basis, v->colours);
}

/* Takes the results of the last pass, if it is done, and gives the newest picture to the next. */
static void step_model(viewer *v, uint64_t timeout_ns) {
    const dvk_model_info *info = dvk_model_get_info(v->model);
    const dvk_result done = dvk_session_wait(v->session, 0, timeout_ns, &error);
    if (done == DVK_TIMEOUT)
        return;
    must(done);
    if (v->passes++ > 0)
        read_pass(v);
    const dvk_preprocess_params exact = {.width = v->columns * info->patch_size, .height = v->rows * info->patch_size};
    must(dvk_preprocess(v->model, &exact, &v->image, v->pixels, NULL, &error));
    must(dvk_session_write(v->session, 0, v->pixels, 1, &error));
    must(dvk_session_submit(v->session, NULL, &error));
}

/* ----------------------------------------------------------------------------------------------------- window */

/* The next picture of a stream of PPM files, as ffmpeg's image2pipe writes them; false at its end. */
static bool read_picture(viewer *v) {
    unsigned width, height;
    if (scanf(" P6 %u %u 255", &width, &height) != 2 || getchar() == EOF)
        return false;
    require(width > 0 && height > 0 && width <= 16384 && height <= 16384, "the picture's size is not 1 to 16384");
    if (!v->image.pixels) {
        v->image = (dvk_image){.width = width, .height = height, .pixels = malloc((size_t)3 * width * height)};
        require(v->image.pixels != NULL, "out of memory");
    }
    require(width == v->image.width && height == v->image.height, "all pictures must have one size");
    return fread(v->image.pixels, 3 * (size_t)width, height, stdin) == height;
}

static SDL_Texture *create_texture(viewer *v, uint32_t width, uint32_t height, const char *filter) {
    SDL_SetHint(SDL_HINT_RENDER_SCALE_QUALITY, filter);
    SDL_Texture *texture =
        SDL_CreateTexture(v->renderer, SDL_PIXELFORMAT_RGB24, SDL_TEXTUREACCESS_STREAMING, (int)width, (int)height);
    require_sdl(texture != NULL);
    return texture;
}

static void open_window(viewer *v) {
    require_sdl(SDL_Init(SDL_INIT_VIDEO) == 0);
    v->window = SDL_CreateWindow("DINO", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, (int)v->image.width,
                                 (int)v->image.height, SDL_WINDOW_RESIZABLE);
    require_sdl(v->window != NULL);
    v->renderer = SDL_CreateRenderer(v->window, -1, 0);
    require_sdl(v->renderer != NULL);
    v->picture = create_texture(v, v->image.width, v->image.height, "linear");
    v->overlay = create_texture(v, v->columns, v->rows, "linear");
}

/* One bar a frame, the newest at the right; the line is FRAME_MS. */
static void draw_graph(viewer *v) {
    const int top = 10, left = 10, bottom = top + GRAPH_HEIGHT;
    SDL_SetRenderDrawBlendMode(v->renderer, SDL_BLENDMODE_BLEND);
    SDL_SetRenderDrawColor(v->renderer, 0, 0, 0, 160);
    SDL_RenderFillRect(v->renderer, &(SDL_Rect){left, top, GRAPH_FRAMES, GRAPH_HEIGHT});
    for (uint32_t i = 0; i < GRAPH_FRAMES; i++) {
        const float ms = v->frame_ms[(v->frames + i) % GRAPH_FRAMES];
        const int height = (int)((ms < GRAPH_MS ? ms : GRAPH_MS) * GRAPH_HEIGHT / GRAPH_MS);
        SDL_SetRenderDrawColor(v->renderer, ms > FRAME_MS + 1 ? 255 : 90, ms > FRAME_MS + 1 ? 120 : 220, 90, 255);
        SDL_RenderDrawLine(v->renderer, left + (int)i, bottom - height, left + (int)i, bottom);
    }
    SDL_SetRenderDrawColor(v->renderer, 255, 255, 255, 120);
    SDL_RenderDrawLine(v->renderer, left, bottom - FRAME_MS * GRAPH_HEIGHT / GRAPH_MS, left + GRAPH_FRAMES,
                       bottom - FRAME_MS * GRAPH_HEIGHT / GRAPH_MS);
}

static void draw(viewer *v) {
    const uint8_t *map = v->shown == VIEW_ATTENTION ? v->map : v->colours;
    SDL_UpdateTexture(v->picture, NULL, v->image.pixels, 3 * (int)v->image.width);
    SDL_RenderCopy(v->renderer, v->picture, NULL, NULL);
    if (v->shown != VIEW_PICTURE && v->passes > 1) {
        SDL_UpdateTexture(v->overlay, NULL, map, 3 * (int)v->columns);
        /* Attention lets through what is looked at; colours lie over the picture. */
        SDL_SetTextureBlendMode(v->overlay, v->shown == VIEW_ATTENTION ? SDL_BLENDMODE_MOD : SDL_BLENDMODE_BLEND);
        SDL_SetTextureAlphaMod(v->overlay, v->shown == VIEW_ATTENTION ? 255 : 190);
        SDL_RenderCopy(v->renderer, v->overlay, NULL, NULL);
    }
    draw_graph(v);
}

static void show_title(viewer *v) {
    char title[128];
    const uint32_t heads = dvk_model_get_info(v->model)->heads;
    const char *const names[] = {"picture", "attention", "colours"};
    if (v->shown == VIEW_ATTENTION && v->head)
        snprintf(title, sizeof(title), "DINO: attention of head %u of %u", v->head, heads);
    else
        snprintf(title, sizeof(title), "DINO: %s", names[v->shown]);
    SDL_SetWindowTitle(v->window, title);
}

/* False: the user wants to end. */
static bool handle_events(viewer *v) {
    SDL_Event event;
    const uint32_t choices = dvk_model_get_info(v->model)->heads + 1;
    while (SDL_PollEvent(&event)) {
        if (event.type == SDL_QUIT)
            return false;
        if (event.type != SDL_KEYDOWN)
            continue;
        switch (event.key.keysym.sym) {
        case SDLK_q:
        case SDLK_ESCAPE:
            return false;
        case SDLK_SPACE:
            v->shown = (view)((v->shown + 1) % VIEW_COUNT);
            break;
        case SDLK_RIGHT:
            v->head = (v->head + 1) % choices;
            break;
        case SDLK_LEFT:
            v->head = (v->head + choices - 1) % choices;
            break;
        default:
            break;
        }
        show_title(v);
    }
    return true;
}

/* Waits for the pass of the last picture first. */
static void save_window(viewer *v, const char *path) {
    int width, height;
    step_model(v, UINT64_MAX);
    draw(v);
    require_sdl(SDL_GetRendererOutputSize(v->renderer, &width, &height) == 0);
    SDL_Surface *surface = SDL_CreateRGBSurfaceWithFormat(0, width, height, 24, SDL_PIXELFORMAT_BGR24);
    require_sdl(surface != NULL);
    require_sdl(SDL_RenderReadPixels(v->renderer, NULL, SDL_PIXELFORMAT_BGR24, surface->pixels, surface->pitch) == 0);
    require_sdl(SDL_SaveBMP(surface, path) == 0);
    SDL_FreeSurface(surface);
}

static void show_stream(viewer *v, const char *save_path) {
    bool more = true;
    uint32_t last = SDL_GetTicks();
    while (handle_events(v)) {
        step_model(v, 0);
        draw(v);
        SDL_RenderPresent(v->renderer);
        more = more && read_picture(v);
        if (!more && save_path) {
            save_window(v, save_path);
            return;
        }
        const uint32_t spent = SDL_GetTicks() - last;
        if (spent < FRAME_MS)
            SDL_Delay(FRAME_MS - spent);
        v->frame_ms[v->frames++ % GRAPH_FRAMES] = (float)(SDL_GetTicks() - last);
        last = SDL_GetTicks();
    }
}

static void close_viewer(viewer *v) {
    dvk_session_destroy(&v->session);
    dvk_model_destroy(&v->model);
    dvk_context_destroy(&v->context);
    void *const blocks[] = {v->pixels, v->attention, v->patches, v->basis, v->map, v->colours, v->image.pixels};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
        free(blocks[i]);
    SDL_DestroyTexture(v->overlay);
    SDL_DestroyTexture(v->picture);
    SDL_DestroyRenderer(v->renderer);
    SDL_DestroyWindow(v->window);
    SDL_Quit();
}

int main(int argc, char **argv) {
    static viewer v = {.shown = VIEW_ATTENTION};
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: viewer MODEL_DIR [FILE.bmp [picture|attention|colours]] <PICTURES\n");
        return 1;
    }
    if (argc == 4)
        v.shown = strcmp(argv[3], "colours") == 0   ? VIEW_COLOURS
                  : strcmp(argv[3], "picture") == 0 ? VIEW_PICTURE
                                                    : VIEW_ATTENTION;
    require(read_picture(&v), "the standard input is no PPM file");
    must(dvk_context_create(NULL, &v.context, &error));
    must(dvk_model_load(v.context, &(dvk_model_params){.path = argv[1]}, &v.model, &error));
    require(dvk_model_get_info(v.model)->has_cls, "this model has no CLS token");
    require(dvk_model_get_info(v.model)->hidden_size <= 4096, "this model's tokens are too long");
    open_session(&v);
    open_window(&v);
    show_title(&v);
    show_stream(&v, argc > 2 ? argv[2] : NULL);
    close_viewer(&v);
    return 0;
}
