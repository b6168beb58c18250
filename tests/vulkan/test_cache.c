/* The cache file: whatever is wrong with it, it is rebuilt, and nobody notices. */
#include "cache_file.h"
#include "choice.h"
#include "device.h"
#include "hash.h"
#include "session.h"
#include "synth.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* ------------------------------------------------------------------- the file by itself, without new contexts */

enum { HEADER_BYTES = 96, CHECKSUM_AT = HEADER_BYTES - 8 };

/* What a new context would find. */
static bool reopen(dvk_context *context) {
    context->vk.vkDestroyPipelineCache(context->device, context->pipeline_cache, context->vulkan_allocator);
    dvk_cache_close(context);
    context->cache_checksum = 0;
    REQUIRE(dvk_cache_open(context, DIRECTORY, NULL) == DVK_OK);
    return context->cache_checksum != 0;
}

/* Every bit counts, in every place; so does every length, and whose file it is. */
static void test_damage(uint8_t *bytes, size_t size) {
    dvk_context *context = test_open_context(DIRECTORY);
    CHECK(reopen(context));
    for (size_t i = 0; i < size; i += i < 4096 ? 1 : size / 64 + 1)
        for (int bit = 0; bit < 8; bit += i < HEADER_BYTES ? 1 : 5) {
            bytes[i] ^= (uint8_t)(1 << bit);
            write_file(bytes, size);
            bytes[i] ^= (uint8_t)(1 << bit);
            CHECK_MESSAGE(!reopen(context), "a flipped bit in byte %zu was not seen", i);
        }
    for (size_t length = 0; length < size; length += length < 4096 ? 1 : size / 64 + 1) {
        write_file(bytes, length);
        CHECK_MESSAGE(!reopen(context), "a file of %zu bytes was taken", length);
    }
    write_file(bytes, size);
    CHECK(reopen(context));
    context->driver_uuid[3] ^= 1;
    CHECK(!reopen(context));
    context->driver_uuid[3] ^= 1;
    context->driver_version++;
    CHECK(!reopen(context));
    context->driver_version--;
    context->build_id++;
    CHECK(!reopen(context));
    context->build_id--;
    CHECK(reopen(context));
    test_close_context(&context);
}

/* What is damaged with a checksum that fits, as nobody does by accident, is not believed either, and does no harm. */
static void test_sections(const uint8_t *bytes, size_t size) {
    static uint8_t other[1 << 16];
    if (size > sizeof(other)) {
        printf("the cache's sections were not damaged: the file is larger than this test likes\n");
        return;
    }
    dvk_context *context = test_open_context(DIRECTORY);
    size_t end = HEADER_BYTES; /* of what is ours; a driver may trust its own blob, which comes last */
    while (end + 4 < size && memcmp(bytes + end, "PIPE", 4) != 0)
        end++;
    for (size_t i = HEADER_BYTES; i < end; i += 3) {
        static const uint8_t changes[] = {0x01, 0x80, 0xff};
        memcpy(other, bytes, size);
        other[i] ^= changes[i / 3 % 3];
        const uint64_t sum = dvk_hash(DVK_HASH_START, other + HEADER_BYTES, size - HEADER_BYTES);
        memcpy(other + CHECKSUM_AT, &sum, sizeof(sum));
        write_file(other, size);
        (void)reopen(context);
        dvk_choices_destroy(&context->allocator, context->choices);
        REQUIRE(dvk_choices_create(&context->allocator, NULL, &context->choices, NULL) == DVK_OK);
        CHECK(dvk_choices_restore(context, NULL) == DVK_OK);
        for (size_t j = 0; j < context->choices->verdict_count; j++)
            CHECK(context->choices->verdicts[j].variant < dvk_variant_count);
    }
    write_file(bytes, size);
    CHECK(reopen(context));

    /* Sections are kept as they were put, also those that nobody here knows. */
    static const char text[] = "what an op costs";
    size_t length;
    CHECK(dvk_cache_get_section(context, DVK_CACHE_COSTS, &length) == NULL && length == 0);
    CHECK(dvk_cache_put_section(context, DVK_CACHE_COSTS, "old", 3));
    CHECK(dvk_cache_put_section(context, DVK_CACHE_COSTS, text, sizeof(text)));
    CHECK(dvk_cache_put_section(context, 0x21212121, "", 0));
    for (int i = 0; i < 2; i++) {
        dvk_cache_save(context);
        CHECK(reopen(context));
        const void *found = dvk_cache_get_section(context, DVK_CACHE_COSTS, &length);
        REQUIRE(found && length == sizeof(text));
        CHECK(memcmp(found, text, sizeof(text)) == 0);
        CHECK(dvk_cache_get_section(context, 0x21212121, &length) != NULL && length == 0);
        CHECK(dvk_cache_get_section(context, DVK_CACHE_CHOICES, &length) != NULL && length > 100);
        context->cache_changed = true;
    }
    test_close_context(&context);
}

/* Two processes that write and read the same file: each finds a whole one every time. */
static void test_writers(void) {
    enum { WRITERS = 2, ROUNDS = 20 };
    pid_t children[WRITERS];
    fflush(stdout);
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        REQUIRE(children[i] >= 0);
        if (children[i] > 0)
            continue;
        dvk_context *context = NULL;
        const dvk_context_params params = {.device = getenv("DVK_TEST_DEVICE"), .cache_dir = DIRECTORY};
        bool good = dvk_context_create(&params, &context, NULL) == DVK_OK;
        for (int round = 0; round < ROUNDS && good; round++) {
            uint32_t costs[64];
            for (int j = 0; j < 64; j++)
                costs[j] = (uint32_t)(getpid() + round * j);
            good = dvk_cache_put_section(context, DVK_CACHE_COSTS, costs, sizeof(costs));
            dvk_cache_save(context);
            good = good && reopen(context);
        }
        _exit(good ? 0 : 1);
    }
    for (int i = 0; i < WRITERS; i++) {
        int status = 1;
        REQUIRE(waitpid(children[i], &status, 0) == children[i]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    CHECK(count_files() == 1);
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
    test_damage(bytes, size);
    test_sections(bytes, size);
    test_writers();
    bytes = read_file(&size);
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
