#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#define MAX_SIDE 16384 /* of images, as dvk_image_load() has it */
#define MAX_NAME 4096

/* What goes to the child; the name, with its NUL, and the file's bytes follow. */
struct request {
    uint64_t size;
    uint32_t flags, name_size;
};

/* What comes back; the pixels follow where the result is DVK_OK. (Taking them by process_vm_readv() is no faster.) */
struct answer {
    int32_t result;
    uint32_t width, height;
    char message[sizeof(((dvk_error *)NULL)->message)];
};

enum { READY_LIMITED = 'l', READY_FILTERED = 'f' };

/* False: the other end is closed. */
static bool write_all(int descriptor, const void *bytes, size_t size) {
    const char *at = bytes;
    while (size) {
        const ssize_t written = write(descriptor, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        at += written;
        size -= (size_t)written;
    }
    return true;
}

static bool read_all(int descriptor, void *bytes, size_t size) {
    char *at = bytes;
    while (size) {
        const ssize_t got = read(descriptor, at, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------ the child */

enum { INPUT = 0, OUTPUT = 1 };

/* The pipes become the only files. */
static bool keep_pipes(int input, int output) {
    const int high_input = fcntl(input, F_DUPFD, 3), high_output = fcntl(output, F_DUPFD, 3);
    if (high_input < 0 || high_output < 0 || dup2(high_input, INPUT) < 0 || dup2(high_output, OUTPUT) < 0)
        return false;
#if defined(SYS_close_range)
    if (syscall(SYS_close_range, 2u, ~0u, 0u) == 0)
        return true;
#endif
    const long limit = sysconf(_SC_OPEN_MAX);
    for (int i = 2; i < (limit > 0 && limit < 65536 ? (int)limit : 65536); i++)
        close(i);
    return true;
}

/* A small and a large block, grown and returned: the ways in which a C library gets memory. */
static bool try_memory(void) {
    bool good = true;
    for (size_t size = 64; size <= (size_t)4 << 20; size *= 16) {
        char *block = malloc(size), *larger = block ? realloc(block, 2 * size) : NULL;
        if (larger)
            larger[0] = larger[2 * size - 1] = 1;
        good &= larger != NULL;
        free(larger ? larger : block);
    }
    return good;
}

/* One request; false: there is none any more. */
static bool serve(sandbox_decoder decode) {
    struct request request;
    char name[MAX_NAME];
    if (!read_all(INPUT, &request, sizeof(request)) || request.name_size > sizeof(name) ||
        !read_all(INPUT, name, request.name_size))
        return false;
    struct answer answer = {0};
    dvk_error error = {0};
    dvk_image image = {0};
    uint8_t *bytes = malloc(request.size ? (size_t)request.size : 1);
    if (bytes) {
        if (!read_all(INPUT, bytes, (size_t)request.size))
            return false;
        const dvk_image_params params = {.flags = request.flags};
        answer.result = decode(bytes, (size_t)request.size, name, &params, &image, &error);
        free(bytes);
        memcpy(answer.message, error.message, sizeof(answer.message));
    } else {
        char piece[4096];
        for (uint64_t left = request.size; left;) {
            const size_t size = left < sizeof(piece) ? (size_t)left : sizeof(piece);
            if (!read_all(INPUT, piece, size))
                return false;
            left -= size;
        }
        answer.result = DVK_ERROR_OUT_OF_HOST_MEMORY;
        snprintf(answer.message, sizeof(answer.message), "out of memory for the %llu bytes of %.300s",
                 (unsigned long long)request.size, name);
    }
    answer.width = image.width;
    answer.height = image.height;
    const bool told =
        write_all(OUTPUT, &answer, sizeof(answer)) &&
        (answer.result != DVK_OK || write_all(OUTPUT, image.pixels, (size_t)image.width * image.height * 3));
    dvk_image_free(&image);
    return told;
}

static void be_child(int input, int output, long parent, uint64_t memory, sandbox_decoder decode) {
    /* Ctrl-C reaches the whole group of processes; it is the parent that cleans up and goes. */
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
#if defined(__linux__)
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* else it ends when it next reads */
#endif
    bool filtered = false;
    if (getppid() != parent || !keep_pipes(input, output) || !sandbox_restrict(memory, &filtered) || !try_memory())
        _exit(1);
    const char ready = filtered ? READY_FILTERED : READY_LIMITED;
    if (write_all(OUTPUT, &ready, 1))
        while (serve(decode))
            ;
    _exit(0);
}

/* ------------------------------------------------------------------------------------------------ the parent */

static void close_pair(const int pair[2]) {
    close(pair[0]);
    close(pair[1]);
}

/* A whole image at a time would be best; the system's default is a sixteenth of this. */
static void widen(int pipe) {
#ifdef F_SETPIPE_SZ
    (void)fcntl(pipe, F_SETPIPE_SZ, 1 << 20);
#else
    (void)pipe;
#endif
}

/* Ends the child, which has ended already or is not to go on; how it ended. */
static int reap(struct sandbox *sandbox) {
    int status = 0;
    (void)kill((pid_t)sandbox->process, SIGKILL); /* changes nothing for one that has its status already */
    close(sandbox->to_child);
    close(sandbox->from_child);
    while (waitpid((pid_t)sandbox->process, &status, 0) < 0 && errno == EINTR)
        ;
    *sandbox = (struct sandbox){.lost = true};
    return status;
}

bool sandbox_open(struct sandbox *sandbox, sandbox_decoder decode, uint64_t memory, const char **why) {
    int down[2], up[2];
    *sandbox = (struct sandbox){0};
    *why = "there are no more pipes";
    if (pipe(down) != 0)
        return false;
    if (pipe(up) != 0) {
        close_pair(down);
        return false;
    }
    const int ends[] = {down[0], down[1], up[0], up[1]};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        (void)fcntl(ends[i], F_SETFD, FD_CLOEXEC);
    /* No handler of the parent's may run in the child. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const long parent = getpid();
    const pid_t child = fork();
    if (child == 0)
        be_child(down[0], up[1], parent, memory, decode);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(down[0]);
    close(up[1]);
    if (child < 0) {
        close(down[1]);
        close(up[0]);
        *why = "no process could be started";
        return false;
    }
    *sandbox = (struct sandbox){.process = child, .to_child = down[1], .from_child = up[0]};
    char ready = 0;
    if (!read_all(sandbox->from_child, &ready, 1) || (ready != READY_LIMITED && ready != READY_FILTERED)) {
        (void)reap(sandbox);
        *sandbox = (struct sandbox){0};
        *why = "the process ended when it was restricted";
        return false;
    }
    *why = NULL;
    sandbox->filtered = ready == READY_FILTERED;
    widen(sandbox->to_child);
    widen(sandbox->from_child);
    return true;
}

static dvk_result fail_child(dvk_error *error, dvk_result result, const char *name, const char *what) {
    error->code = result;
    snprintf(error->message, sizeof(error->message), "%.300s: the process that decodes images %s; use another file",
             name, what);
    return result;
}

static dvk_result fail_lost(struct sandbox *sandbox, const char *name, dvk_error *error) {
    const int status = reap(sandbox);
    char what[100] = "ended over this one, which is damaged or made to do harm";
    if (WIFSIGNALED(status))
        snprintf(what, sizeof(what), "died of this one (%.40s), which is damaged or made to do harm",
                 strsignal(WTERMSIG(status)));
    return fail_child(error, DVK_ERROR_BAD_FILE, name, what);
}

/* The parent's only look at what may be an attacker's by now. */
static bool is_sound(const struct answer *answer) {
    if (answer->result == DVK_OK)
        return answer->width >= 1 && answer->width <= MAX_SIDE && answer->height >= 1 && answer->height <= MAX_SIDE;
    return answer->result == DVK_ERROR_OUT_OF_HOST_MEMORY || answer->result == DVK_ERROR_BAD_FILE ||
           answer->result == DVK_ERROR_UNSUPPORTED || answer->result == DVK_ERROR_INVALID_ARGUMENT;
}

dvk_result sandbox_decode(struct sandbox *sandbox, const void *bytes, size_t size, const char *name, uint32_t flags,
                          dvk_image *image, dvk_error *error) {
    if (!sandbox->process)
        return fail_child(error, DVK_ERROR_IO, name, "has ended before");
    const size_t name_length = strlen(name);
    char cut[MAX_NAME];
    snprintf(cut, sizeof(cut), "%s", name);
    const struct request request = {
        .size = size, .flags = flags, .name_size = (uint32_t)(name_length < MAX_NAME ? name_length + 1 : MAX_NAME)};
    struct answer answer;
    if (!write_all(sandbox->to_child, &request, sizeof(request)) ||
        !write_all(sandbox->to_child, cut, request.name_size) || !write_all(sandbox->to_child, bytes, size) ||
        !read_all(sandbox->from_child, &answer, sizeof(answer)))
        return fail_lost(sandbox, name, error);
    if (!is_sound(&answer)) {
        sandbox_close(sandbox);
        sandbox->lost = true;
        return fail_child(error, DVK_ERROR_BAD_FILE, name, "answered nonsense after this one");
    }
    if (answer.result != DVK_OK) {
        error->code = (dvk_result)answer.result;
        answer.message[sizeof(answer.message) - 1] = '\0';
        memcpy(error->message, answer.message, sizeof(error->message));
        return error->code;
    }
    const size_t pixel_bytes = (size_t)answer.width * answer.height * 3; /* at most 3 * 2^28 */
    uint8_t *pixels = malloc(pixel_bytes);
    if (!pixels) {
        sandbox_close(sandbox); /* it is about to write what nobody has room for */
        sandbox->lost = true;
        error->code = DVK_ERROR_OUT_OF_HOST_MEMORY;
        snprintf(error->message, sizeof(error->message), "%.300s: out of memory for %zu bytes of pixels", name,
                 pixel_bytes);
        return error->code;
    }
    if (!read_all(sandbox->from_child, pixels, pixel_bytes)) {
        free(pixels);
        return fail_lost(sandbox, name, error);
    }
    *image = (dvk_image){.width = answer.width, .height = answer.height, .pixels = pixels};
    return DVK_OK;
}

void sandbox_close(struct sandbox *sandbox) {
    if (sandbox->process)
        (void)reap(sandbox);
    *sandbox = (struct sandbox){0};
}
