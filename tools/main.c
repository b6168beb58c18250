/* dino-vk, the command: a user of dino_vk.h like any other. */
#include <signal.h>
#include <stdio.h>

#include "commands.h"
#include "output_file.h"

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
    case COMMAND_RUN:
        break;
    }
    return command_run(options);
}

int main(int argc, char **argv) {
    output_file_handle_signals();
    struct options options;
    int code = options_parse(argc, argv, &options);
    if (code == 0)
        code = dispatch(&options);
    progress_clear();
    if (code == EXIT_CODE_PIPE) {
        /* Everything is cleaned up: end as a program ends that does not ignore SIGPIPE. */
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    return code;
}
