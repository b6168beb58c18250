#include "output_file.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "posix.h"

/* The signal handler walks this list, perhaps in a thread of the Vulkan driver while the main thread changes it: nodes
 * are published complete, never freed, and only switched off. A few hundred bytes a file that was written. */
struct temporary_file {
    struct temporary_file *next;
    atomic_bool exists;
    char path[];
};

static _Atomic(struct temporary_file *) temporary_files;

static void remove_and_die(int signal_number) {
    for (struct temporary_file *file = atomic_load(&temporary_files); file; file = file->next) {
        if (atomic_load(&file->exists))
            unlink(file->path);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number); /* delivered when this handler returns */
}

#ifdef _WIN32
/* Ctrl-C only, from a thread of the system; there is nothing to hold it back with. */
void output_file_handle_signals(void) {
    signal(SIGINT, remove_and_die);
}
#else
void output_file_handle_signals(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = remove_and_die};
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        /* What the parent chose to ignore, as nohup does, stays ignored. */
        struct sigaction old;
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
    /* Both would kill us before the temporary files are removed; the failed write tells the same. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}
#endif

static int fail_write(const char *path, int error) {
    if (error == EPIPE)
        return EXIT_CODE_PIPE;
    if (!strcmp(path, "-"))
        return fail(EXIT_CODE_OUTPUT, "cannot write to the standard output: %s; send it somewhere else",
                    strerror(error));
    return fail(EXIT_CODE_OUTPUT, "%s: cannot be written: %s; %s", path, strerror(error),
                error == ENOSPC || error == EDQUOT ? "free some space or write it somewhere else"
                                                   : "choose a file that can be written");
}

static int fail_memory(const char *path) {
    return fail(EXIT_CODE_DEVICE, "%s: cannot be written: out of memory", path);
}

/* Creates the file and enters it in the list. The handlers' signals are held back in between, so that none of them
 * finds a file that is not in the list yet. */
static int create_temporary(struct temporary_file *file) {
    signal_mask before;
    hold_signals(&before);
    int descriptor = mkostemp(file->path, O_CLOEXEC);
    int error = errno;
    if (descriptor >= 0) {
        atomic_init(&file->exists, true);
        file->next = atomic_load(&temporary_files);
        atomic_store(&temporary_files, file);
    }
    restore_signals(&before);
    errno = error;
    return descriptor;
}

/* The permissions of a file that is replaced, or those that open() would give a new one. */
static void set_permissions(int descriptor, const struct stat *replaced) {
    mode_t mask = umask(0);
    umask(mask);
    mode_t mode = replaced ? replaced->st_mode & 0777 : 0666 & ~mask;
    set_mode(descriptor, mode);
}

static int open_temporary(struct output_file *file, const struct stat *replaced) {
    static const char suffix[] = ".XXXXXX";
    const char *slash = strrchr(file->target, '/');
    size_t directory = slash ? (size_t)(slash + 1 - file->target) : 0;
    /* Hidden, and the target's name is cut, so that the temporary name is no longer than a name may be. */
    size_t size = directory + 1 + 64 + sizeof(suffix);
    struct temporary_file *temporary = malloc(sizeof(*temporary) + size);
    if (!temporary)
        return fail_memory(file->path);
    snprintf(temporary->path, size, "%.*s.%.64s%s", (int)directory, file->target, file->target + directory, suffix);
    int descriptor = create_temporary(temporary);
    if (descriptor < 0) {
        int error = errno;
        free(temporary);
        if (error == ENOENT || error == ENOTDIR)
            return fail(EXIT_CODE_OUTPUT, "%s: cannot be written: its directory does not exist; make it first",
                        file->path);
        return fail_write(file->path, error);
    }
    file->temporary = temporary;
    set_permissions(descriptor, replaced);
    file->stream = fdopen(descriptor, "wb");
    if (!file->stream) {
        close(descriptor);
        return fail_memory(file->path);
    }
    return 0;
}

static int open_target(struct output_file *file) {
    if (!strcmp(file->path, "-")) {
        if (isatty(STDOUT_FILENO))
            return fail(EXIT_CODE_USAGE,
                        "the standard output is a terminal, which cannot show binary data; redirect it or "
                        "name a file");
        file->stream = stdout;
        return 0;
    }
    struct stat status;
    bool exists = stat(file->path, &status) == 0;
    if (!exists && errno != ENOENT)
        return fail_write(file->path, errno);
    if (exists && S_ISDIR(status.st_mode))
        return fail(EXIT_CODE_OUTPUT, "%s: a file was expected, but this is a directory; name a file in it",
                    file->path);
    if (exists && !S_ISREG(status.st_mode)) {
        file->stream = fopen(file->path, "wbe");
        return file->stream ? 0 : fail_write(file->path, errno);
    }
    /* Renaming would succeed on a file that is write-protected, against what its owner asked for. */
    if (exists && access(file->path, W_OK) != 0)
        return fail_write(file->path, errno);
    file->target = exists ? realpath(file->path, NULL) : strdup(file->path);
    if (!file->target)
        return fail_write(file->path, errno);
    return open_temporary(file, exists ? &status : NULL);
}

int output_file_open(struct output_file *file, const char *path) {
    *file = (struct output_file){.path = strdup(path)};
    if (!file->path)
        return fail_memory(path);
    int code = open_target(file);
    if (code)
        output_file_discard(file);
    return code;
}

int output_file_probe(const char *path) {
    struct stat status;
    /* Opening a FIFO and closing it again would end its reader's input. */
    if (stat(path, &status) == 0 && S_ISFIFO(status.st_mode))
        return 0;
    struct output_file file;
    int code = output_file_open(&file, path);
    output_file_discard(&file);
    return code;
}

int output_file_write(struct output_file *file, const void *bytes, size_t size) {
    errno = EIO; /* in case the C library leaves it unset */
    return fwrite(bytes, 1, size, file->stream) == size ? 0 : fail_write(file->path, errno);
}

int output_file_finish(struct output_file *file) {
    if (file->stream == stdout)
        return flush_stdout();
    FILE *stream = file->stream;
    int error = 0;
    if (fflush(stream) != 0)
        error = errno;
    /* Pipes and devices cannot be synced, and say so with EINVAL or ENOTSUP. */
    if (!error && file->temporary && fsync(fileno(stream)) != 0)
        error = errno;
    file->stream = NULL;
    if (fclose(stream) != 0 && !error)
        error = errno;
    return error ? fail_write(file->path, error) : 0;
}

int output_file_commit(struct output_file *file) {
    if (!file->temporary)
        return 0;
    if (replace_file(file->temporary->path, file->target) != 0)
        return fail_write(file->path, errno);
    atomic_store(&file->temporary->exists, false);
    return 0;
}

void output_file_discard(struct output_file *file) {
    if (file->stream && file->stream != stdout)
        fclose(file->stream);
    if (file->temporary && atomic_load(&file->temporary->exists)) {
        unlink(file->temporary->path);
        atomic_store(&file->temporary->exists, false);
    }
    free(file->target);
    free(file->path);
    *file = (struct output_file){0};
}

int flush_stdout(void) {
    errno = EIO;
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : fail_write("-", errno);
}
