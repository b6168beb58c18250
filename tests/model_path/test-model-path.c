/* Names of models against a made-up Hugging Face cache. */
#include "model_path.h"

#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static void make_directory(const char *path) {
    char part[512];
    snprintf(part, sizeof(part), "%s", path);
    for (char *slash = part; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(part, 0777);
        *slash = '/';
    }
    REQUIRE(mkdir(part, 0777) == 0 || access(part, F_OK) == 0);
}

static void make_file(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    REQUIRE(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void check_found(const char *argument, const char *expected) {
    char path[512] = "";
    dvk_error error = {0};
    bool found = model_path_resolve(argument, path, sizeof(path), &error) == DVK_OK;
    CHECK_MESSAGE(found && !strcmp(path, expected), "%s: %s%s, expected %s", argument, path, error.message, expected);
}

static void check_refused(const char *argument, const char *words) {
    char path[512] = "";
    dvk_error error = {0};
    dvk_result result = model_path_resolve(argument, path, sizeof(path), &error);
    CHECK_MESSAGE(result != DVK_OK && error.code == result, "%s: %s", argument, path);
    CHECK_MESSAGE(strstr(error.message, words), "%s: %s", argument, error.message);
    CHECK(model_path_resolve(argument, path, sizeof(path), NULL) == result);
}

static void clear_environment(void) {
    static const char *const names[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"};
    for (int i = 0; i < 5; i++)
        unsetenv(names[i]);
}

static void test_cache(void) {
    clear_environment();
    setenv("HF_HUB_CACHE", "cache", 1);
    make_directory("cache/models--owner--both/refs");
    make_directory("cache/models--owner--both/snapshots/aaa111");
    make_directory("cache/models--owner--both/snapshots/bbb222");
    make_file("cache/models--owner--both/refs/main", "aaa111");
    check_found("owner/both", "cache/models--owner--both/snapshots/aaa111");
    make_file("cache/models--owner--both/refs/main", "bbb222\n"); /* some tools end it with a newline */
    check_found("owner/both", "cache/models--owner--both/snapshots/bbb222");
    /* A branch that leads nowhere, or elsewhere, does not count. */
    make_file("cache/models--owner--both/refs/main", "../../..");
    char path[512];
    REQUIRE(model_path_resolve("owner/both", path, sizeof(path), NULL) == DVK_OK);
    CHECK_MESSAGE(strstr(path, "/snapshots/aaa111") || strstr(path, "/snapshots/bbb222"), "%s", path);

    make_directory("cache/models--single/snapshots/ccc333");
    make_file("cache/models--single/snapshots/not-a-directory", "");
    check_found("single", "cache/models--single/snapshots/ccc333");
    make_directory("cache/models--owner--empty/snapshots");
    check_refused("owner/empty", "hf download owner/empty");
    check_refused("facebook/dino-vits8",
                  "fetch it with: dino-vk fetch facebook/dino-vits8, or with: hf download facebook/dino-vits8");
    check_refused("facebook/dino-vits8", "in the Hugging Face cache cache;");
}

static void test_places(void) {
    clear_environment();
    make_directory("home/.cache/huggingface/hub/models--m/snapshots/h");
    make_directory("xdg/huggingface/hub/models--m/snapshots/x");
    make_directory("hf-home/hub/models--m/snapshots/f");
    make_directory("old/models--m/snapshots/o");
    make_directory("new/models--m/snapshots/n");
    check_refused("m", "set HF_HUB_CACHE");
    setenv("HOME", "home", 1);
    check_found("m", "home/.cache/huggingface/hub/models--m/snapshots/h");
    setenv("XDG_CACHE_HOME", "", 1); /* empty is not set */
    check_found("m", "home/.cache/huggingface/hub/models--m/snapshots/h");
    setenv("XDG_CACHE_HOME", "xdg", 1);
    check_found("m", "xdg/huggingface/hub/models--m/snapshots/x");
    setenv("HF_HOME", "hf-home", 1);
    check_found("m", "hf-home/hub/models--m/snapshots/f");
    setenv("HUGGINGFACE_HUB_CACHE", "old", 1);
    check_found("m", "old/models--m/snapshots/o");
    setenv("HF_HUB_CACHE", "new", 1);
    check_found("m", "new/models--m/snapshots/n");
    setenv("HF_HUB_CACHE", "~/.cache/huggingface/hub", 1);
    check_found("m", "home/.cache/huggingface/hub/models--m/snapshots/h");
    setenv("HF_HUB_CACHE", "missing", 1); /* the first that is set counts */
    check_refused("m", "hf download m");
}

static void test_paths(void) {
    clear_environment();
    setenv("HF_HUB_CACHE", "cache", 1);
    make_directory("owner/both"); /* a path wins over a name */
    check_found("owner/both", "owner/both");
    rmdir("owner/both");
    check_found("owner/both", "cache/models--owner--both/snapshots/bbb222");
    make_file("some.safetensors", "");
    check_found("some.safetensors", "some.safetensors");
    check_found("..", "..");
    char small[8];
    dvk_error error;
    CHECK(model_path_resolve("some.safetensors", small, sizeof(small), &error) == DVK_ERROR_INVALID_ARGUMENT &&
          strstr(error.message, "at most 7"));
    CHECK(model_path_resolve("single", small, sizeof(small), &error) != DVK_OK);
}

static void test_tricks(void) {
    clear_environment();
    setenv("HF_HUB_CACHE", "cache", 1);
    static const char *const tricks[] = {"../cachet", "a/../b", "/no/such/file", "nobody/..", "a/b/c",    "a//b",
                                         "/a",        "a/",     "a\\b",          "owner/a b", "owner/.a", "a--b/c",
                                         "-a/b",      "a/b-",   "a/b..c",        "a/\x1b[",   "~/model",  "file:///a",
                                         "a/$(b)",    "a/b;c",  "a/b\n"};
    for (size_t i = 0; i < sizeof(tricks) / sizeof(tricks[0]); i++)
        check_refused(tricks[i], "expected a model directory");
    check_refused("", "empty");
    char long_name[5000];
    memset(long_name, 'a', sizeof(long_name));
    long_name[97] = '\0';
    check_refused(long_name, "expected a model directory");
    long_name[97] = 'a';
    long_name[4999] = '\0';
    check_refused(long_name, "expected a model directory");
}

int main(void) {
    make_directory("model-path");
    REQUIRE(chdir("model-path") == 0);
    make_file("cache-marker", "");
    test_cache();
    make_file("cache/models--owner--both/refs/main", "bbb222");
    test_places();
    test_paths();
    test_tricks();
    return FINISH();
}
