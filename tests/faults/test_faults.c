/* Every call that Vulkan lets fail fails once, with every code that it may have: the first time, the second time, to
 * the last. Each must end in the result that the code means and a sentence, leave nothing behind, and leave what was
 * there usable: the step is done again and must succeed. After a lost device everything can still be destroyed.
 *
 * Runs on the tests' own libvulkan.so.1 (shim.h), and prints a table of what was injected. */
#include "shim.h"

#include "dino_vk.h"
#include "synth.h"
#include "test.h"
#include "../memory/test_allocator.h"

#include <dirent.h>
#include <dlfcn.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define IS_LEAK_CHECKED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_LEAK_CHECKED true
#endif
#endif
#ifndef IS_LEAK_CHECKED
#define IS_LEAK_CHECKED false
#endif

#define MODEL "faults-model"
#define OTHER_MODEL "faults-other-model"
#define CACHE "faults-cache"

static const shim_control *shim;
static unsigned long total, leaks;
static test_memory memory;
static dvk_allocator allocator;
static bool validation;
static bool cold; /* without a cache: kernels prove themselves, and are measured, in each world */
static int validation_messages;
static bool abandoned; /* the library said that it leaks what the device may still be using */

static void log_message(void *user, dvk_log_level level, const char *message) {
    (void)user;
    abandoned |= strstr(message, "so it is leaked") != NULL;
    if (level <= DVK_LOG_WARNING && !strncmp(message, "validation", 10)) {
        validation_messages++;
        printf("%s\n", message);
    }
}

/* ---------------------------------------------------------------------------------------------- the world */

/* What the steps make, one after the other. */
typedef struct world {
    dvk_context *context;
    dvk_model *model, *other_model;
    dvk_session *session, *second, *other;
} world;

static dvk_result list_devices(world *w, dvk_error *error) {
    (void)w;
    dvk_device_info infos[4];
    uint32_t count = 4;
    return dvk_list_devices(&(dvk_context_params){.allocator = &allocator}, infos, &count, error);
}

static dvk_result create_context(world *w, dvk_error *error) {
    dvk_context_params params = {.device = getenv("DVK_TEST_DEVICE"),
                                 .log = log_message,
                                 .log_level = DVK_LOG_WARNING,
                                 .cache_dir = cold ? NULL : CACHE,
                                 .tuning = cold ? DVK_TUNING_ON : DVK_TUNING_DEFAULT,
                                 .validation = validation,
                                 .allocator = &allocator};
    return dvk_context_create(&params, &w->context, error);
}

static dvk_result load_model(world *w, dvk_error *error) {
    return dvk_model_load(w->context, &(dvk_model_params){.path = MODEL}, &w->model, error);
}

static dvk_result create_session(world *w, dvk_error *error) {
    dvk_session_params params = {.outputs = DVK_OUTPUT_BIT(DVK_OUTPUT_LAST_HIDDEN_STATE) |
                                            DVK_OUTPUT_BIT(DVK_OUTPUT_ATTENTION) | DVK_OUTPUT_BIT(DVK_OUTPUT_MEAN) |
                                            DVK_OUTPUT_BIT(DVK_OUTPUT_LOGITS)};
    return dvk_session_create(w->model, &params, &w->session, error);
}

static dvk_result run(world *w, dvk_error *error) {
    static const float pixels[3 * 64 * 64];
    return dvk_session_run(w->session, pixels, 1, error);
}

/* At another size, of a batch, and with two passes under way. */
static dvk_result create_second(world *w, dvk_error *error) {
    dvk_session_params params = {.width = 48, .height = 96, .batch = 3, .in_flight = 2};
    return dvk_session_create(w->model, &params, &w->second, error);
}

static dvk_result use_second(world *w, dvk_error *error) {
    static const float pixels[3 * 3 * 48 * 96];
    static float values[4096];
    dvk_result result = DVK_OK;
    for (uint32_t slot = 0; slot < 2 && result == DVK_OK; slot++) {
        /* Under way already, where this is done again. */
        result = dvk_session_wait(w->second, slot, UINT64_MAX, error);
        if (result == DVK_OK)
            result = dvk_session_write(w->second, slot, pixels, 3, error);
        if (result == DVK_OK)
            result = dvk_session_submit(w->second, &(dvk_submit_params){.slot = slot}, error);
    }
    for (uint32_t slot = 0; slot < 2 && result == DVK_OK; slot++) {
        result = dvk_session_wait(w->second, slot, UINT64_MAX, error);
        if (result == DVK_OK)
            result = dvk_session_read_slot(w->second, slot, DVK_OUTPUT_CLS, 2, values, 4096, error);
    }
    return result;
}

/* Another family, and weights of another type. */
static dvk_result load_other(world *w, dvk_error *error) {
    dvk_model_params params = {.path = OTHER_MODEL, .precision = DVK_PRECISION_INT8};
    return dvk_model_load(w->context, &params, &w->other_model, error);
}

static dvk_result create_other(world *w, dvk_error *error) {
    return dvk_session_create(w->other_model, NULL, &w->other, error);
}

static dvk_result run_other(world *w, dvk_error *error) {
    static const float pixels[3 * 64 * 64];
    return dvk_session_run(w->other, pixels, 1, error);
}

static const struct step {
    const char *name;
    dvk_result (*function)(world *w, dvk_error *error);
} steps[] = {
    {"list devices", list_devices},
    {"create context", create_context},
    {"load model", load_model},
    {"create session", create_session},
    {"run", run},
    {"run again", run},
    {"create second session", create_second},
    {"submit, wait", use_second},
    {"load other model", load_other},
    {"create its session", create_other},
    {"run it", run_other},
};

static void destroy_world(world *w) {
    dvk_session_destroy(&w->other);
    dvk_session_destroy(&w->second);
    dvk_session_destroy(&w->session);
    dvk_model_destroy(&w->other_model);
    dvk_model_destroy(&w->model);
    dvk_context_destroy(&w->context);
}

static void check_released(const char *what) {
    char text[512];
    const long live = shim->live(text, sizeof(text));
    CHECK_MESSAGE(live == 0, "%s: alive afterwards: %s", what, text);
    CHECK_MESSAGE(memory.live == 0, "%s: %zu blocks of host memory are left", what, memory.live);
    CHECK_MESSAGE(validation_messages == 0, "%s: %d messages of the validation layer", what, validation_messages);
}

/* ------------------------------------------------------------------------------------------------ the cache */

/* The cache's file as worlds without faults leave it: what kernels are believed to be must not go from one fault to the
 * next. */
static char cache_path[1024];
static uint8_t cache_bytes[1 << 20];
static size_t cache_size;

static bool find_cache_file(void) {
    DIR *directory = opendir(CACHE);
    bool found = false;
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry; entry = readdir(directory))
        if (entry->d_name[0] != '.') {
            snprintf(cache_path, sizeof(cache_path), CACHE "/%s", entry->d_name);
            found = true;
        }
    if (directory)
        closedir(directory);
    return found;
}

static void keep_cache_file(void) {
    FILE *file = find_cache_file() ? fopen(cache_path, "rb") : NULL;
    REQUIRE(file);
    cache_size = fread(cache_bytes, 1, sizeof(cache_bytes), file);
    REQUIRE(cache_size > 0 && cache_size < sizeof(cache_bytes));
    fclose(file);
}

static void restore_cache_file(void) {
    if (!cache_size)
        return;
    FILE *file = fopen(cache_path, "wb");
    REQUIRE(file && fwrite(cache_bytes, 1, cache_size, file) == cache_size && fclose(file) == 0);
}

/* ------------------------------------------------------------------------------------------- what must come */

static const char *code_name(VkResult code) {
    switch (code) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return "OUT_OF_HOST_MEMORY";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return "OUT_OF_DEVICE_MEMORY";
    case VK_ERROR_INITIALIZATION_FAILED:
        return "INITIALIZATION_FAILED";
    case VK_ERROR_DEVICE_LOST:
        return "DEVICE_LOST";
    case VK_ERROR_MEMORY_MAP_FAILED:
        return "MEMORY_MAP_FAILED";
    case VK_ERROR_LAYER_NOT_PRESENT:
        return "LAYER_NOT_PRESENT";
    case VK_ERROR_EXTENSION_NOT_PRESENT:
        return "EXTENSION_NOT_PRESENT";
    case VK_ERROR_FEATURE_NOT_PRESENT:
        return "FEATURE_NOT_PRESENT";
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return "INCOMPATIBLE_DRIVER";
    case VK_ERROR_TOO_MANY_OBJECTS:
        return "TOO_MANY_OBJECTS";
    case VK_ERROR_FRAGMENTED_POOL:
        return "FRAGMENTED_POOL";
    case VK_ERROR_OUT_OF_POOL_MEMORY:
        return "OUT_OF_POOL_MEMORY";
    case VK_ERROR_UNKNOWN:
        return "UNKNOWN";
    default:
        return "?";
    }
}

/* The result that a failed call must give; `harmless`: the library may also do without the call. */
static dvk_result expected_result(const char *call, VkResult code, bool *harmless) {
    static const char *const dispensable[] = {
        "vkEnumerateInstanceLayerProperties",     /* vkCreateInstance will tell */
        "vkEnumerateInstanceExtensionProperties", /* the same */
        "vkEnumerateDeviceExtensionProperties",   /* of a device that is listed only */
        "vkGetPipelineCacheData",                 /* the cache is not written */
        "vkCreatePipelineCache",                  /* once more without what the file holds */
        "vkMapMemory",                            /* of weights, which then go through staging */
    };
    *harmless = false;
    for (size_t i = 0; i < LENGTH(dispensable); i++)
        *harmless |= !strcmp(call, dispensable[i]);
    /* While kernels are proved and measured, one that has no room or does not compile is left out. */
    if (cold && code != VK_ERROR_DEVICE_LOST &&
        (code != VK_ERROR_OUT_OF_HOST_MEMORY || !strcmp(call, "vkAllocateMemory")))
        *harmless = true;
    if (code == VK_ERROR_INCOMPATIBLE_DRIVER)
        return DVK_ERROR_NO_VULKAN;
    if (!strcmp(call, "vkEnumeratePhysicalDevices") && code == VK_ERROR_INITIALIZATION_FAILED) {
        *harmless = true; /* no driver starts: no device */
        return DVK_ERROR_NO_VULKAN;
    }
    if (!strcmp(call, "vkAllocateMemory") && code == VK_ERROR_OUT_OF_HOST_MEMORY)
        return DVK_ERROR_OUT_OF_DEVICE_MEMORY; /* what drivers mean by it */
    switch (code) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return DVK_ERROR_OUT_OF_HOST_MEMORY;
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return DVK_ERROR_OUT_OF_DEVICE_MEMORY;
    case VK_ERROR_DEVICE_LOST:
        return DVK_ERROR_DEVICE_LOST;
    default:
        return DVK_ERROR_VULKAN;
    }
}

/* A device whose extensions cannot be queried is one that cannot be used, and may be told as such; and where layers
 * cannot be listed, validation is missed. If no variant of a kernel compiles, then none serves, and that is believed
 * until the next context. */
static bool is_expected(const char *call, dvk_result result, dvk_result expected) {
    return result == expected ||
           (!strcmp(call, "vkEnumerateDeviceExtensionProperties") && result == DVK_ERROR_NO_DEVICE) ||
           (!strcmp(call, "vkEnumerateInstanceLayerProperties") && result == DVK_ERROR_UNSUPPORTED) ||
           (cold && expected == DVK_ERROR_VULKAN && result == DVK_ERROR_UNSUPPORTED);
}

/* ----------------------------------------------------------------------------------------------- injecting */

typedef struct injection {
    size_t entry_point;
    uint64_t call;
    VkResult code;
    bool ever_after;
} injection;

static void print_injection(const injection *i, char *text, size_t size) {
    snprintf(text, size, "%s, call %llu%s, %s", shim->name(i->entry_point), (unsigned long long)i->call,
             i->ever_after ? " and all after it" : "", code_name(i->code));
}

/* Walks through all steps. *outcome: what the one that failed returned. */
static void walk(const injection *i, dvk_result *outcome) {
    world w = {0};
    char what[256];
    bool harmless = true, lost = false;
    restore_cache_file();
    allocator = test_allocator(&memory);
    validation_messages = 0;
    abandoned = false;
    shim->reset();
    *outcome = DVK_OK;
    dvk_result expected = DVK_OK;
    if (i) {
        print_injection(i, what, sizeof(what));
        shim->plan(i->entry_point, i->call, i->code, i->ever_after);
        expected = expected_result(shim->name(i->entry_point), i->code, &harmless);
    }
    for (size_t s = 0; s < LENGTH(steps) && !lost; s++) {
        dvk_error error = {0};
        dvk_result result = steps[s].function(&w, &error);
        if (result == DVK_OK)
            continue;
        if (!i)
            printf("\"%s\": %s\n", steps[s].name, error.message);
        REQUIRE(i); /* without a fault all goes well */
        *outcome = result;
        CHECK_MESSAGE(is_expected(shim->name(i->entry_point), result, expected) && error.code == result &&
                          strlen(error.message) > 20,
                      "%s: at \"%s\": %s: %s", what, steps[s].name, dvk_result_name(result), error.message);
        lost = result == DVK_ERROR_DEVICE_LOST || result == DVK_ERROR_UNSUPPORTED || abandoned;
        if (lost) /* and stays so, where all calls fail, until all is destroyed */
            break;
        shim->reset();
        memset(&error, 0, sizeof(error));
        result = steps[s].function(&w, &error);
        CHECK_MESSAGE(result == DVK_OK, "%s: \"%s\" cannot be done again: %s: %s", what, steps[s].name,
                      dvk_result_name(result), error.message);
        if (result != DVK_OK)
            break;
    }
    destroy_world(&w);
    if (abandoned) { /* which nothing but a wait that never succeeds may lead to */
        CHECK_MESSAGE(i && i->ever_after && !strcmp(shim->name(i->entry_point), "vkWaitForFences"), "%s: abandoned",
                      what);
        shim->forget();
        leaks++;
    }
    if (lost || abandoned)
        shim->reset();
    dvk_error error;
    for (size_t s = 1; lost && s < LENGTH(steps); s++) /* a new context works */
        if (steps[s].function(&w, &error) != DVK_OK) {
            CHECK_MESSAGE(false, "%s: \"%s\" fails on a new context: %s", what, steps[s].name, error.message);
            break;
        }
    destroy_world(&w);
    if (i)
        CHECK_MESSAGE(harmless || *outcome != DVK_OK, "%s: nobody noticed", what);
    check_released(i ? what : "a world without faults");
}

/* ------------------------------------------------------------------------------------------------- the table */

typedef struct row {
    unsigned long calls, faults, told;
} row;

static void print_row(size_t entry_point, const row *r) {
    printf("| `%s` | %lu |", shim->name(entry_point), r->calls);
    const char *separator = " ";
    for (const VkResult *code = shim->codes(entry_point); *code; code++, separator = ", ")
        printf("%s%s", separator, code_name(*code));
    printf(" | %lu | %lu | %lu |\n", r->faults, r->told, r->faults - r->told);
}

/* How much is tried. */
typedef enum extent {
    ALL,      /* every call with every code, alone and with all calls after it */
    EACH,     /* every call with one of its codes */
    A_FEW = 6 /* so many calls of each entry point, with one code each */
} extent;

static void inject(size_t entry_point, uint64_t call, VkResult code, bool ever_after, row *r) {
    /* A leak checker cannot know that this leak is on purpose. */
    if (IS_LEAK_CHECKED && ever_after && !strcmp(shim->name(entry_point), "vkWaitForFences"))
        return;
    const injection i = {entry_point, call, code, ever_after};
    dvk_result outcome;
    walk(&i, &outcome);
    r->faults++;
    r->told += outcome != DVK_OK;
    total++;
}

static void inject_all(size_t entry_point, uint64_t calls, extent how, row *r) {
    const VkResult *codes = shim->codes(entry_point);
    size_t code_count = 0;
    while (codes[code_count])
        code_count++;
    r->calls = (unsigned long)calls;
    for (uint64_t call = 1; how == ALL && call <= calls; call++)
        for (size_t code = 0; code < code_count; code++) {
            inject(entry_point, call, codes[code], false, r);
            inject(entry_point, call, codes[code], true, r);
        }
    const uint64_t tries = how == EACH || calls < A_FEW ? calls : A_FEW;
    for (uint64_t i = 0; how != ALL && i < tries; i++)
        inject(entry_point, 1 + i * (calls - 1) / (tries > 1 ? tries - 1 : 1), codes[i % code_count],
               i / code_count % 2 != 0, r);
}

int main(int count, char **arguments) {
    extent how = ALL;
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "--each"))
            how = EACH;
        if (!strcmp(arguments[i], "--few"))
            how = A_FEW;
        validation |= !strcmp(arguments[i], "--validation");
        cold |= !strcmp(arguments[i], "--cold");
    }
    void *library = dlopen("libvulkan.so.1", RTLD_NOW);
    void *symbol = library ? dlsym(library, SHIM_CONTROL) : NULL;
    shim_get_control_function get_control;
    memcpy(&get_control, &symbol, sizeof(symbol));
    if (!get_control)
        SKIP("libvulkan.so.1 is not that of this test: set LD_LIBRARY_PATH to its folder");
    shim = get_control();
    REQUIRE(synth_write_model("vit-cls-tiny", MODEL, NULL));
    REQUIRE(synth_write_model("dinov3-tiny", OTHER_MODEL, NULL));

    dvk_result outcome;
    while (find_cache_file())
        REQUIRE(remove(cache_path) == 0);
    walk(NULL, &outcome);
    if (!cold) {
        keep_cache_file();
        walk(NULL, &outcome); /* as all that follow */
    }
    static row rows[64];
    uint64_t calls[64];
    size_t entry_points = 0;
    for (; shim->name(entry_points); entry_points++)
        calls[entry_points] = shim->calls(entry_points);
    REQUIRE(entry_points <= LENGTH(rows));
    printf("| entry point | calls | codes | faults | told as an error | done without |\n|---|---|---|---|---|---|\n");
    for (size_t e = 0; e < entry_points; e++) {
        inject_all(e, calls[e], how, &rows[e]);
        if (calls[e])
            print_row(e, &rows[e]);
    }
    CHECK(total > (how == ALL ? 2000 : how == EACH ? 300 : 50));
    printf("%lu faults; after %lu of them, whatever the device may still be using was leaked on purpose\n", total,
           leaks);
    return FINISH();
}
