/* A process that dies, or a disk that is full, at the Nth byte of a file: RLIMIT_FSIZE cuts it there, and the signal
 * that comes with it (SIGXFSZ) ends the process or is ignored. The cache file and the command's outputs then have their
 * old content, or all of the new, never a part. On the stub driver of tests/faults. */
#include "dino_vk.h"
#include "npy_writer.h"
#include "synth.h"
#include "test.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODEL "interrupted-model"
#define DIRECTORY "interrupted"

enum { FLOATS = 3000 };

/* What a child does; its exit code. */
typedef int (*subject)(void);

static int fill_cache(void) {
    static const float pixels[3 * 32 * 32];
    dvk_context *context = NULL;
    dvk_model *model = NULL;
    dvk_session *session = NULL;
    bool good = dvk_context_create(&(dvk_context_params){.cache_dir = DIRECTORY}, &context, NULL) == DVK_OK &&
                dvk_model_load(context, &(dvk_model_params){.path = MODEL}, &model, NULL) == DVK_OK &&
                dvk_session_create(model, NULL, &session, NULL) == DVK_OK &&
                dvk_session_run(session, pixels, 1, NULL) == DVK_OK;
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    return good ? 0 : 1;
}

static int write_output(void) {
    static float values[FLOATS];
    struct output_file file;
    const uint64_t shape[] = {FLOATS};
    for (int i = 0; i < FLOATS; i++)
        values[i] = (float)i;
    int code = output_file_open(&file, DIRECTORY "/out.npy");
    if (code)
        return code;
    code = npy_write_header(&file, shape, 1);
    if (!code)
        code = npy_write_values(&file, values, FLOATS);
    if (!code)
        code = output_file_finish(&file);
    if (!code)
        code = output_file_commit(&file);
    output_file_discard(&file);
    return code;
}

/* The status of a child that may write files of `limit` bytes; `dies`: or else it is told that the disk is full. */
static int run_child(subject what, size_t limit, bool dies) {
    fflush(stdout);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (!child) {
        const struct rlimit no_core = {0, 0}, size = {limit, limit};
        REQUIRE(freopen("/dev/null", "w", stderr)); /* the command's sentences */
        REQUIRE(setrlimit(RLIMIT_CORE, &no_core) == 0);
        output_file_handle_signals();
        signal(SIGXFSZ, dies ? SIG_DFL : SIG_IGN);
        REQUIRE(setrlimit(RLIMIT_FSIZE, &size) == 0);
        _exit(what());
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    return status;
}

/* ---------------------------------------------------------------------------------------- the one folder */

static uint8_t bytes[1 << 20];
static char path[1024];

/* How many files there are; the name of one that no writer uses before it is complete goes to `path`. */
static int list_files(const char *suffix) {
    int count = 0;
    DIR *directory = opendir(DIRECTORY);
    path[0] = '\0';
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry; entry = readdir(directory)) {
        const size_t length = strlen(entry->d_name), end = strlen(suffix);
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        count++;
        if (length >= end && !strcmp(entry->d_name + length - end, suffix) && entry->d_name[0] != '.')
            snprintf(path, sizeof(path), DIRECTORY "/%s", entry->d_name);
    }
    if (directory)
        closedir(directory);
    return count;
}

static size_t read_file(void) {
    FILE *file = path[0] ? fopen(path, "rb") : NULL;
    const size_t size = file ? fread(bytes, 1, sizeof(bytes), file) : 0;
    if (file)
        fclose(file);
    return size;
}

static void empty_folder(void) {
    DIR *directory = opendir(DIRECTORY);
    REQUIRE(directory);
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        snprintf(path, sizeof(path), DIRECTORY "/%s", entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            REQUIRE(remove(path) == 0);
    }
    closedir(directory);
}

/* ------------------------------------------------------------------------------------------------ the test */

static void test_subject(const char *name, subject what, const char *suffix, bool may_fail) {
    empty_folder();
    REQUIRE(run_child(what, sizeof(bytes), true) == 0);
    REQUIRE(list_files(suffix) == 1);
    const size_t size = read_file();
    REQUIRE(size > 1000);
    const size_t limits[] = {0, 1, 100, size / 3, size / 2, size - 1, size};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        for (int variant = 0; variant < 4; variant++) {
            const bool dies = variant & 1, has_old = variant & 2, fits = limits[i] >= size;
            static const char old[] = "something older";
            empty_folder();
            if (has_old) {
                REQUIRE(run_child(what, sizeof(bytes), true) == 0 && list_files(suffix) == 1);
                FILE *file = fopen(path, "wb");
                REQUIRE(file && fwrite(old, 1, sizeof(old), file) == sizeof(old) && fclose(file) == 0);
            }
            const int status = run_child(what, limits[i], dies);
            if (fits || (!dies && !may_fail))
                CHECK_MESSAGE(status == 0, "%s, %zu bytes: status 0x%x", name, limits[i], status);
            else
                CHECK_MESSAGE(dies ? WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ
                                   : WIFEXITED(status) && WEXITSTATUS(status) != 0,
                              "%s, %zu bytes: status 0x%x", name, limits[i], status);
            const int files = list_files(suffix);
            if (!dies)
                CHECK_MESSAGE(files == (fits || has_old), "%s, %zu bytes: %d files are left", name, limits[i], files);
            const size_t found = read_file();
            if (fits)
                CHECK_MESSAGE(found == size, "%s: %zu bytes of %zu", name, found, size);
            else
                CHECK_MESSAGE(has_old ? found == sizeof(old) && !memcmp(bytes, old, found) : found == 0 && !path[0],
                              "%s, %zu bytes: a part of the file has its name", name, limits[i]);
            /* Whatever was left behind does not disturb the next one. */
            REQUIRE(run_child(what, sizeof(bytes), true) == 0);
            list_files(suffix);
            CHECK(read_file() == size);
        }
    printf("%s: cut at %zu places of %zu bytes\n", name, sizeof(limits) / sizeof(limits[0]), size);
}

int main(void) {
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    (void)mkdir(DIRECTORY, 0700); /* it may be there */
    test_subject("an output", write_output, ".npy", true);
    test_subject("the cache", fill_cache, ".bin", false);
    return FINISH();
}
