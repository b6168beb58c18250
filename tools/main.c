/* dino-vk, the command: a user of dino_vk.h like any other. */
#include <signal.h>
#include <stdio.h>

#include "commands.h"
#include "output_file.h"
#include "posix.h"

static int dispatch(const struct options *options) {
    switch (options->command) {
    case COMMAND_HELP:
        print_help();
        return flush_stdout();
    case COMMAND_VERSION:
        printf("dino-vk %s\n", dvk_version());
        return flush_stdout();
    case COMMAND_DEVICES:
        return command_devices(options);
    case COMMAND_INFO:
        return command_info(options);
    case COMMAND_FETCH:
        return command_fetch(options);
    case COMMAND_BENCH:
        return command_bench(options);
    case COMMAND_SELFTEST:
        return command_selftest(options);
    case COMMAND_RUN:
        break;
    }
    return command_run(options);
}

/* A program that is started with one of these closed gets its number for the next file that it opens, and then prints
 * into that file. What stands in for it is open the wrong way round, so that using it fails as it did. */
static void keep_standard_streams(void) {
#ifndef _WIN32 /* which hands handles, not numbers, to programs */
    static const int modes[] = {[STDIN_FILENO] = O_WRONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_RDONLY};
    for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++) {
        if (fcntl(i, F_GETFD) < 0)
            (void)!open("/dev/null", modes[i]); /* the lowest free number, which is i */
    }
#endif
}

int main(int argc, char **argv) {
    /* Room for the help and for an image's line, so that they are written by flush_stdout(), which knows errno. */
    static char standard_output[1 << 16];
    keep_standard_streams();
    adopt_arguments(argc, argv);
    setvbuf(stdout, standard_output, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, sizeof(standard_output));
    output_file_handle_signals();
    struct options options;
    int code = options_parse(argc, argv, &options);
    if (code == 0)
        code = dispatch(&options);
    progress_clear();
    if (code == EXIT_CODE_PIPE) {
#ifndef _WIN32
        /* Everything is cleaned up: end as a program ends that does not ignore SIGPIPE. */
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
#endif
    }
    return code;
}
