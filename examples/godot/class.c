/* DinoVk: a model on Godot's own Vulkan device. All methods belong on the render thread: Godot's queue has no lock that
 * an extension could take. Those that can fail return what is wrong, or "". */
#include "binding.h"

#include <dino_vk.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct dino {
    dvk_context *context;
    dvk_model *model;
    dvk_session *session;
} dino;

/* VkImageLayout: that of a texture that Godot used last as a storage image, as copy.glsl does. */
enum { LAYOUT_GENERAL = 1, FORMAT_R8G8B8A8_UNORM = 37 };

static uint64_t number(GDExtensionConstTypePtr argument) {
    int64_t value;
    memcpy(&value, argument, sizeof(value));
    return (uint64_t)value;
}

static void *handle(GDExtensionConstTypePtr argument) {
    return (void *)(uintptr_t)number(argument);
}

static void finish(GDExtensionTypePtr result, dvk_result code, const dvk_error *error) {
    write_string(result, code == DVK_OK ? "" : error->message);
}

/* import_device(instance, physical_device, device, queue, queue_family) */
static void import_device(void *instance, const GDExtensionConstTypePtr *arguments, GDExtensionTypePtr result) {
    dino *self = instance;
    dvk_error error;
    dvk_session_destroy(&self->session);
    dvk_model_destroy(&self->model);
    dvk_context_destroy(&self->context);
    /* The loader that Godot itself has opened. */
    void *vulkan = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    void *found = vulkan ? dlsym(vulkan, "vkGetInstanceProcAddr") : NULL;
    if (!found) {
        write_string(result, dlerror());
        return;
    }
    dvk_import import = {.instance = handle(arguments[0]),
                         .api_version = 1u << 22 | 2u << 12, /* Vulkan 1.2, which Godot 4 asks for */
                         .physical_device = handle(arguments[1]),
                         .device = handle(arguments[2]),
                         .queue = handle(arguments[3]),
                         .queue_family = (uint32_t)number(arguments[4]),
                         .features = DVK_FEATURE_SUBGROUP_BALLOT};
    memcpy(&import.get_instance_proc_addr, &found, sizeof(found));
    finish(result, dvk_context_import(&import, NULL, &self->context, &error), &error);
}

/* load_model(directory) */
static void load_model(void *instance, const GDExtensionConstTypePtr *arguments, GDExtensionTypePtr result) {
    dino *self = instance;
    dvk_error error;
    char path[4096];
    read_string(arguments[0], path, sizeof(path));
    dvk_session_destroy(&self->session);
    dvk_model_destroy(&self->model);
    finish(result, dvk_model_load(self->context, &(dvk_model_params){.path = path}, &self->model, &error), &error);
}

/* open_session(width, height, columns, rows): of the picture in pixels, and of what the model sees of it in patches */
static void open_session(void *instance, const GDExtensionConstTypePtr *arguments, GDExtensionTypePtr result) {
    dino *self = instance;
    dvk_error error;
    dvk_session_destroy(&self->session);
    if (!self->model) {
        write_string(result, "no model is loaded");
        return;
    }
    const uint32_t patch = dvk_model_get_info(self->model)->patch_size;
    const dvk_source_desc source = {.kind = DVK_SOURCE_IMAGE,
                                    .format = FORMAT_R8G8B8A8_UNORM,
                                    .width = (uint32_t)number(arguments[0]),
                                    .height = (uint32_t)number(arguments[1])};
    const dvk_target_desc target = {.kind = DVK_TARGET_ATTENTION, .format = FORMAT_R8G8B8A8_UNORM};
    const dvk_session_params params = {.width = (uint32_t)number(arguments[2]) * patch,
                                       .height = (uint32_t)number(arguments[3]) * patch,
                                       .outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_CLS),
                                       .source = &source,
                                       .targets = &target,
                                       .target_count = 1};
    finish(result, dvk_session_create(self->model, &params, &self->session, &error), &error);
}

/* submit(picture_view, map_view, map_image): returns at once */
static void submit(void *instance, const GDExtensionConstTypePtr *arguments, GDExtensionTypePtr result) {
    dino *self = instance;
    dvk_error error = {DVK_TIMEOUT, "the last pass is still under way"};
    const dvk_source_binding from = {.view = number(arguments[0]), .layout = LAYOUT_GENERAL};
    const dvk_target_binding to = {
        .view = number(arguments[1]), .image = number(arguments[2]), .final_layout = LAYOUT_GENERAL};
    const dvk_bindings bindings = {.sources = &from, .source_count = 1, .targets = &to, .target_count = 1};
    dvk_result code = dvk_session_bind(self->session, 0, &bindings, &error);
    if (code == DVK_OK)
        code = dvk_session_submit(self->session, NULL, &error);
    finish(result, code, &error);
}

/* is_busy(): 1 while a pass is under way, 0 when it is done, -1 when it failed */
static void is_busy(void *instance, const GDExtensionConstTypePtr *arguments, GDExtensionTypePtr result) {
    dino *self = instance;
    const dvk_result code = dvk_session_wait(self->session, 0, 0, NULL);
    (void)arguments;
    memcpy(result, &(int64_t){code == DVK_TIMEOUT ? 1 : code == DVK_OK ? 0 : -1}, sizeof(int64_t));
}

/* features(): the CLS vector of the last pass that is done; empty before */
static void features(void *instance, const GDExtensionConstTypePtr *arguments, GDExtensionTypePtr result) {
    dino *self = instance;
    (void)arguments;
    const uint32_t length = dvk_model_get_info(self->model)->hidden_size;
    float *values = write_floats(result, length);
    if (values && dvk_session_read(self->session, DVK_OUTPUT_CLS, 0, values, length, NULL) != DVK_OK)
        write_floats(result, 0);
}

/* patch_size(): in pixels; 0 without a model */
static void patch_size(void *instance, const GDExtensionConstTypePtr *arguments, GDExtensionTypePtr result) {
    dino *self = instance;
    (void)arguments;
    memcpy(result, &(int64_t){self->model ? dvk_model_get_info(self->model)->patch_size : 0}, sizeof(int64_t));
}

#define INT GDEXTENSION_VARIANT_TYPE_INT
#define STRING GDEXTENSION_VARIANT_TYPE_STRING

const method class_methods[] = {
    {"import_device", import_device, STRING, 5, {INT, INT, INT, INT, INT}},
    {"load_model", load_model, STRING, 1, {STRING}},
    {"open_session", open_session, STRING, 4, {INT, INT, INT, INT}},
    {"submit", submit, STRING, 3, {INT, INT, INT}},
    {"is_busy", is_busy, INT, 0, {INT}},
    {"features", features, GDEXTENSION_VARIANT_TYPE_PACKED_FLOAT32_ARRAY, 0, {INT}},
    {"patch_size", patch_size, INT, 0, {INT}},
};
const size_t class_method_count = sizeof(class_methods) / sizeof(class_methods[0]);

void *class_create(void) {
    return calloc(1, sizeof(dino));
}

void class_destroy(void *instance) {
    dino *self = instance;
    dvk_session_destroy(&self->session);
    dvk_model_destroy(&self->model);
    dvk_context_destroy(&self->context);
    free(self);
}
