/* The process that decodes images: gives the same as decoding here, and can do nothing else. In place of the decoder it
 * runs functions of this test, which try what an attacker would. */
#include "sandbox.h"
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* False: the kernel filters no system calls here, or this is a build with sanitizers. */
static bool filtered;

static struct sandbox open_sandbox(sandbox_decoder decode, uint64_t memory) {
    struct sandbox sandbox;
    const char *why = NULL;
    const bool open = sandbox_open(&sandbox, decode, memory, &why);
    if (!open)
        printf("no sandbox: %s\n", why);
    REQUIRE(open && sandbox.process);
    return sandbox;
}

/* ------------------------------------------------------------------------------------------- the same images */

static uint8_t bytes[1 << 20];

static size_t read_file(const char *directory, const char *name) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/images/%s", directory, name);
    FILE *file = fopen(path, "rb");
    REQUIRE(file);
    const size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    return size;
}

static void test_images(const char *directory) {
    static const char *const names[] = {"hopper_128.png",   "exif8_2x1.jpg",         "progressive_256x160_420.jpg",
                                        "hopper_128.bmp",   "200x32_rgb_bl_rle.tga", "hopper_16bit.pgm",
                                        "trns_null_1x1.png"};
    static const char *const bad[] = {"hopper.webp", "pngsuite_xhdn0g08.png", "progressive_truncated_100.jpg",
                                      "SOURCES.txt"};
    struct sandbox sandbox = open_sandbox(dvk_image_decode, SANDBOX_MEMORY);
    filtered = sandbox.filtered;
    for (size_t round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            const uint32_t flags = round ? DVK_IMAGE_IGNORE_ORIENTATION : 0;
            const size_t size = read_file(directory, names[i]);
            dvk_image here = {0}, there = {0};
            dvk_error error = {0};
            REQUIRE(dvk_image_decode(bytes, size, names[i], &(dvk_image_params){.flags = flags}, &here, &error) ==
                    DVK_OK);
            const dvk_result result = sandbox_decode(&sandbox, bytes, size, names[i], flags, &there, &error);
            CHECK_MESSAGE(result == DVK_OK, "%s: %s", names[i], error.message);
            CHECK_MESSAGE(result == DVK_OK && here.width == there.width && here.height == there.height &&
                              !memcmp(here.pixels, there.pixels, (size_t)here.width * here.height * 3),
                          "%s differs", names[i]);
            dvk_image_free(&here);
            dvk_image_free(&there);
        }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const size_t size = read_file(directory, bad[i]);
        dvk_image image = {0};
        dvk_error here = {0}, there = {0};
        CHECK(dvk_image_decode(bytes, size, bad[i], NULL, &image, &here) != DVK_OK);
        CHECK(sandbox_decode(&sandbox, bytes, size, bad[i], 0, &image, &there) == here.code);
        CHECK_MESSAGE(here.code == there.code && !strcmp(here.message, there.message), "%s\n%s", here.message,
                      there.message);
    }
    /* Nothing, and a name beyond what is passed on. */
    static char name[6000];
    memset(name, 'n', sizeof(name) - 1);
    dvk_image image = {0};
    dvk_error error = {0};
    CHECK(sandbox_decode(&sandbox, bytes, 0, name, 0, &image, &error) == DVK_ERROR_BAD_FILE);
    CHECK(sandbox.process);
    sandbox_close(&sandbox);
    CHECK(!sandbox.process);
}

/* --------------------------------------------------------------------------------------- what it must not do */

/* The answer's message names what could be done. */
static void allowed(dvk_error *error, bool could, const char *what) {
    if (could)
        snprintf(error->message + strlen(error->message), sizeof(error->message) - strlen(error->message), "%s ", what);
}

static dvk_result try_everything(const void *file, size_t size, const char *name, const dvk_image_params *params,
                                 dvk_image *image, dvk_error *error) {
    (void)file, (void)size, (void)params, (void)image;
    error->message[0] = '\0';
    allowed(error, open("/etc/passwd", O_RDONLY) >= 0, "open");
    allowed(error, open(name, O_WRONLY | O_CREAT, 0600) >= 0, "create");
    allowed(error, socket(AF_INET, SOCK_STREAM, 0) >= 0, "socket");
    allowed(error, socket(AF_UNIX, SOCK_STREAM, 0) >= 0, "unix-socket");
    int pair[2];
    allowed(error, pipe(pair) == 0, "pipe");
    allowed(error, write(STDERR_FILENO, "x", 1) == 1, "stderr");
    /* Only a filter of system calls refuses these (a limit binds nobody with root's rights). */
    if (strstr(name, "filtered")) {
        allowed(error, unlink(name) == 0 || errno != EPERM, "unlink");
        allowed(error, kill(getppid(), 0) == 0, "kill");
        const pid_t child = fork();
        if (child == 0)
            _exit(0);
        allowed(error, child > 0, "fork");
        allowed(error, execl("/bin/true", "true", (char *)NULL) == 0 || errno != EPERM, "exec");
        allowed(error, mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED,
                "code");
        void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
            allowed(error, true, "no-memory");
        else
            allowed(error, mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0, "code-later");
        allowed(error, mmap(NULL, 4096, PROT_READ, MAP_SHARED, 0, 0) != MAP_FAILED || errno != EPERM, "map-file");
        struct rlimit limit = {100, 100};
        allowed(error, setrlimit(RLIMIT_NOFILE, &limit) == 0 || errno != EPERM, "raise-limit");
    }
    if (!error->message[0])
        snprintf(error->message, sizeof(error->message), "nothing");
    return error->code = DVK_ERROR_BAD_FILE;
}

static void test_powers(void) {
    struct sandbox sandbox = open_sandbox(try_everything, SANDBOX_MEMORY);
    dvk_image image = {0};
    dvk_error error = {0};
    CHECK(sandbox_decode(&sandbox, "x", 1, sandbox.filtered ? "filtered-file" : "limited-file", 0, &image, &error) ==
          DVK_ERROR_BAD_FILE);
#if defined(__SANITIZE_ADDRESS__)
    CHECK_MESSAGE(!strcmp(error.message, "nothing") || !strcmp(error.message, "stderr "), "could: %s", error.message);
#else
    CHECK_MESSAGE(!strcmp(error.message, "nothing"), "could: %s", error.message);
#endif
    sandbox_close(&sandbox);
    if (!filtered)
        printf("part of the test skipped: system calls cannot be filtered here\n");
}

/* ----------------------------------------------------------------------------------------------- how it ends */

static dvk_result misbehave(const void *file, size_t size, const char *name, const dvk_image_params *params,
                            dvk_image *image, dvk_error *error) {
    (void)file, (void)size, (void)params;
    if (!strcmp(name, "kill"))
        raise(SIGKILL); /* where this is filtered, the next one */
    if (!strcmp(name, "crash") || !strcmp(name, "kill")) {
        signal(SIGILL, SIG_DFL); /* a sanitizer's handler */
        signal(SIGTRAP, SIG_DFL);
        __builtin_trap();
    }
    if (!strcmp(name, "leave"))
        _exit(3);
    if (!strcmp(name, "large")) {
        static uint8_t pixel[3];
        *image = (dvk_image){.width = 1u << 20, .height = 1, .pixels = pixel};
        return DVK_OK;
    }
    memset(error->message, 'm', sizeof(error->message)); /* without an end */
    return strcmp(name, "code") ? DVK_ERROR_BAD_FILE : (dvk_result)77;
}

static void test_ends(void) {
    static const struct {
        const char *name, *words;
    } cases[] = {{"crash", "died of this one"},
                 {"kill", "died of this one"},
                 {"leave", "ended over this one"},
                 {"large", "answered nonsense"},
                 {"code", "answered nonsense"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sandbox sandbox = open_sandbox(misbehave, SANDBOX_MEMORY);
        dvk_image image = {0};
        dvk_error error = {0};
        CHECK(sandbox_decode(&sandbox, "x", 1, "endless", 0, &image, &error) == DVK_ERROR_BAD_FILE);
        CHECK(memchr(error.message, '\0', sizeof(error.message)));
        CHECK(sandbox_decode(&sandbox, "x", 1, cases[i].name, 0, &image, &error) == DVK_ERROR_BAD_FILE);
        CHECK_MESSAGE(strstr(error.message, cases[i].words) && !strncmp(error.message, cases[i].name, 4), "%s: %s",
                      cases[i].name, error.message);
        CHECK(sandbox.lost && !image.pixels);
        CHECK(sandbox_decode(&sandbox, "x", 1, "next", 0, &image, &error) == DVK_ERROR_IO);
        sandbox_close(&sandbox);
    }
}

/* Killed from outside while a large file is on its way to it. */
static void test_killed_while_written_to(void) {
    struct sandbox sandbox = open_sandbox(dvk_image_decode, SANDBOX_MEMORY);
    REQUIRE(kill((pid_t)sandbox.process, SIGKILL) == 0);
    dvk_image image = {0};
    dvk_error error = {0};
    CHECK(sandbox_decode(&sandbox, bytes, sizeof(bytes), "large.png", 0, &image, &error) == DVK_ERROR_BAD_FILE);
    CHECK_MESSAGE(strstr(error.message, "died of this one"), "%s", error.message);
    sandbox_close(&sandbox);
}

/* A picture that needs more than the child may have is refused, and the child goes on. */
static void test_memory(void) {
    if (!filtered) { /* then this is qemu, which ignores the limit, or a build with sanitizers, which sets none */
        printf("part of the test skipped: the child's memory cannot be bounded here\n");
        return;
    }
    static const char header[] = "P5 8000 8000 255\n";
    const size_t start = sizeof(header) - 1, size = start + (size_t)8000 * 8000;
    uint8_t *file = calloc(1, size);
    REQUIRE(file);
    memcpy(file, header, start);
    struct sandbox sandbox = open_sandbox(dvk_image_decode, 200 << 20); /* 64 MB of file, and 192 MB of pixels */
    dvk_image image = {0};
    dvk_error error = {0};
    CHECK(sandbox_decode(&sandbox, file, size, "large.pgm", 0, &image, &error) == DVK_ERROR_OUT_OF_HOST_MEMORY);
    CHECK_MESSAGE(strstr(error.message, "memory"), "%s", error.message);
    CHECK(sandbox_decode(&sandbox, "P5 1 1 255\nx", 12, "small.pgm", 0, &image, &error) == DVK_OK);
    dvk_image_free(&image);
    sandbox_close(&sandbox);
    sandbox = open_sandbox(dvk_image_decode, SANDBOX_MEMORY);
    CHECK(sandbox_decode(&sandbox, file, size, "large.pgm", 0, &image, &error) == DVK_OK && image.width == 8000);
    dvk_image_free(&image);
    sandbox_close(&sandbox);
    free(file);
}

/* No child outlives its parent, or holds another's pipe open. */
static void test_orphans(void) {
#ifdef PR_SET_CHILD_SUBREAPER /* so that the children become this process's, and can be waited for */
    int pair[2];
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
        printf("part of the test skipped: the children's end cannot be waited for here\n");
        return;
    }
    REQUIRE(pipe(pair) == 0);
    const pid_t parent = fork();
    REQUIRE(parent >= 0);
    if (parent == 0) {
        struct sandbox first = open_sandbox(dvk_image_decode, SANDBOX_MEMORY);
        struct sandbox second = open_sandbox(dvk_image_decode, SANDBOX_MEMORY);
        const long children[2] = {first.process, second.process};
        _exit(write(pair[1], children, sizeof(children)) == sizeof(children) ? 0 : 1);
    }
    long children[2] = {0};
    int status;
    REQUIRE(read(pair[0], children, sizeof(children)) == sizeof(children));
    REQUIRE(waitpid(parent, &status, 0) == parent && status == 0);
    alarm(20); /* they would be waited for in vain */
    for (int i = 0; i < 2; i++)
        CHECK(waitpid((pid_t)children[i], &status, 0) == (pid_t)children[i]);
    alarm(0);
    close(pair[0]);
    close(pair[1]);
#endif
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2);
    const char *preloaded = getenv("LD_PRELOAD");
    if (preloaded && strstr(preloaded, "vgpreload")) {
        printf("skipped: valgrind itself needs the calls that the child gives up\n");
        return 77;
    }
    signal(SIGPIPE, SIG_IGN);
    test_images(argv[1]);
    test_powers();
    test_ends();
    test_killed_while_written_to();
    test_memory();
    test_orphans();
    return FINISH();
}
