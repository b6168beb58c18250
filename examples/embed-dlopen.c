/* embed.c by a host that is not linked with the library and starts without it, too: embed-dlopen LIBRARY MODEL_DIR
 * IMAGE
 *
 *     cc embed-dlopen.c $(pkg-config --cflags dino-vk) -ldl -o embed-dlopen
 *     ./embed-dlopen libdino-vk.so.1 MODEL_DIR IMAGE
 */
#include <dino_vk.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The functions that this host uses, each with the type that the header declares. */
#define FUNCTIONS(X)                                                                                                   \
    X(dvk_check_version)                                                                                               \
    X(dvk_context_create)                                                                                              \
    X(dvk_context_destroy)                                                                                             \
    X(dvk_model_load)                                                                                                  \
    X(dvk_model_get_info)                                                                                              \
    X(dvk_model_destroy)                                                                                               \
    X(dvk_image_load)                                                                                                  \
    X(dvk_image_free)                                                                                                  \
    X(dvk_preprocess_size)                                                                                             \
    X(dvk_preprocess)                                                                                                  \
    X(dvk_session_create)                                                                                              \
    X(dvk_session_run)                                                                                                 \
    X(dvk_session_read)                                                                                                \
    X(dvk_session_destroy)

#define MEMBER(name) __typeof__(name) *name;
static struct { FUNCTIONS(MEMBER) } dvk;

static dvk_error error;

static void must(dvk_result result) {
    if (result == DVK_OK)
        return;
    fprintf(stderr, "embed-dlopen: %s\n", error.message);
    exit(1);
}

static void *find(void *library, const char *name) {
    void *function = dlsym(library, name);
    if (!function) {
        fprintf(stderr, "embed-dlopen: %s\n", dlerror());
        exit(1);
    }
    return function;
}

/* POSIX has functions and objects in pointers of one size; C knows no conversion between them. */
#define FIND(name) memcpy(&dvk.name, &(void *){find(library, #name)}, sizeof(void *));

static void *open_library(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "embed-dlopen: %s\n", dlerror());
        exit(1);
    }
    FUNCTIONS(FIND)
    must(dvk.dvk_check_version(DVK_VERSION_MAJOR, DVK_VERSION_MINOR, &error));
    return library;
}

static void embed(const char *model_path, const char *image_path) {
    dvk_context *context;
    dvk_model *model;
    dvk_image image;
    dvk_session *session;
    must(dvk.dvk_context_create(NULL, &context, &error));
    must(dvk.dvk_model_load(context, &(dvk_model_params){.path = model_path}, &model, &error));
    must(dvk.dvk_image_load(image_path, NULL, &image, &error));
    dvk_session_params size = {0};
    dvk.dvk_preprocess_size(model, NULL, &image, &size.width, &size.height);
    must(dvk.dvk_session_create(model, &size, &session, &error));

    const uint32_t length = dvk.dvk_model_get_info(model)->hidden_size;
    float *pixels = malloc(sizeof(float) * 3 * size.width * size.height);
    float *cls = malloc(sizeof(float) * length);
    if (!pixels || !cls)
        exit(1);
    must(dvk.dvk_preprocess(model, NULL, &image, pixels, NULL, &error));
    must(dvk.dvk_session_run(session, pixels, 1, &error));
    must(dvk.dvk_session_read(session, DVK_OUTPUT_CLS, 0, cls, length, &error));
    for (uint32_t i = 0; i < length; i++)
        printf("%.6g\n", (double)cls[i]);

    free(cls);
    free(pixels);
    dvk.dvk_image_free(&image);
    dvk.dvk_session_destroy(&session);
    dvk.dvk_model_destroy(&model);
    dvk.dvk_context_destroy(&context);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: embed-dlopen LIBRARY MODEL_DIR IMAGE\n");
        return 1;
    }
    void *library = open_library(argv[1]);
    embed(argv[2], argv[3]);
    dlclose(library);
    return 0;
}
