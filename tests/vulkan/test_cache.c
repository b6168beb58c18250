/* The pipeline cache file: whatever is wrong with it, it is rebuilt, and nobody notices. */
#include "context.h"
#include "device.h"
#include "session.h"
#include "synth.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODEL "cache-vit-tiny"
#define DIRECTORY "cache-test/deep/er"

static char path[600]; /* of the cache file, once there is one */

/* Files in DIRECTORY; the name of the last one to `path`. */
static int count_files(void) {
    int count = 0;
    DIR *directory = opendir(DIRECTORY);
    if (!directory)
        return 0;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), DIRECTORY "/%s", entry->d_name);
            count++;
        }
    closedir(directory);
    return count;
}

/* Opens, runs, closes. Returns whether the context found a usable file. */
static bool use_cache(const char *directory) {
    static float pixels[3 * 32 * 32];
    dvk_context *context = test_open_context(directory);
    bool found = context->cache_checksum != 0;
    dvk_model *model = NULL;
    dvk_session *session = NULL;
    REQUIRE(dvk_model_load(context, &(dvk_model_params){.path = MODEL}, &model, NULL) == DVK_OK);
    REQUIRE(dvk_session_create(model, NULL, &session, NULL) == DVK_OK);
    CHECK(dvk_session_run(session, pixels, 1, NULL) == DVK_OK);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    test_close_context(&context);
    return found;
}

static uint8_t *read_file(size_t *size) {
    FILE *file = fopen(path, "rb");
    REQUIRE(file != NULL);
    static uint8_t bytes[1 << 22];
    *size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    return bytes;
}

static void write_file(const uint8_t *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL);
    REQUIRE(fwrite(bytes, 1, size, file) == size);
    fclose(file);
}

int main(void) {
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    if (count_files())
        remove(path);
    CHECK(!use_cache(DIRECTORY));
    CHECK(count_files() == 1); /* and no temporary one beside it */
    CHECK(use_cache(DIRECTORY));

    size_t size;
    uint8_t *bytes = read_file(&size);
    CHECK(size > 100);
    /* Every field of the header, and some of the blob. */
    for (size_t i = 0; i < size; i += i < 96 ? 4 : size / 8 + 1) {
        bytes[i] ^= 0x10;
        write_file(bytes, size);
        bytes[i] ^= 0x10;
        dvk_context *context = test_open_context(DIRECTORY);
        CHECK_MESSAGE(context->cache_checksum == 0, "a flipped bit in byte %zu was not seen", i);
        test_close_context(&context);
    }
    const size_t lengths[] = {0, 1, 50, size / 2, size - 1};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        write_file(bytes, lengths[i]);
        CHECK_MESSAGE(!use_cache(DIRECTORY), "a file of %zu bytes was taken", lengths[i]);
        CHECK(count_files() == 1);
        CHECK(use_cache(DIRECTORY)); /* rebuilt */
        bytes = read_file(&size);
    }
    bytes[size] = 0; /* trailing bytes */
    write_file(bytes, size + 1);
    CHECK(!use_cache(DIRECTORY));

    /* Not a file at all: neither a directory nor a pipe without a writer may stop anybody. */
    for (int i = 0; i < 2; i++) {
        REQUIRE(remove(path) == 0);
        REQUIRE((i ? mkfifo(path, 0600) : mkdir(path, 0700)) == 0);
        dvk_context *context = test_open_context(DIRECTORY);
        CHECK(context->cache_checksum == 0);
        test_close_context(&context);
    }
    REQUIRE(remove(path) == 0);

    /* "" is no directory, rather than the root of the file system. */
    dvk_context *without = test_open_context("");
    CHECK(without->cache_path == NULL);
    test_close_context(&without);

    /* Places where nothing can be written; a warning is all there is. */
    test_validation_messages_ = 0;
    static float pixels[3 * 32 * 32];
    const char *const places[] = {"/proc/nowhere", MODEL "/config.json/below"};
    for (int i = 0; i < 2; i++) {
        dvk_context *context = test_open_context(places[i]);
        dvk_model *model = NULL;
        dvk_session *session = NULL;
        REQUIRE(dvk_model_load(context, &(dvk_model_params){.path = MODEL}, &model, NULL) == DVK_OK);
        REQUIRE(dvk_session_create(model, NULL, &session, NULL) == DVK_OK);
        CHECK(dvk_session_run(session, pixels, 1, NULL) == DVK_OK);
        dvk_session_destroy(&session);
        dvk_model_destroy(&model);
        dvk_context_destroy(&context);
        CHECK_MESSAGE(test_validation_messages_ == 1, "%d warnings for %s", test_validation_messages_, places[i]);
        test_validation_messages_ = 0;
    }
    return FINISH();
}
