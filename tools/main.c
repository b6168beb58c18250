/* dino-vk, the command: a user of dino_vk.h like any other. */
#include <fcntl.h>
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
    case COMMAND_RUN:
        break;
    }
    return command_run(options);
}

/* Where a standard stream is closed, the next file that is opened takes its number: one of the driver's, as
 * SwiftShader's memory, and our results would go there. So /dev/null takes it, opened so that using the stream fails as
 * before. */
static void keep_standard_streams_taken(void) {
    for (int stream = 0; stream < 3; stream++)
        if (fcntl(stream, F_GETFD) == -1 && open("/dev/null", stream == 0 ? O_WRONLY : O_RDONLY) != stream)
            return;
}

int main(int argc, char **argv) {
    keep_standard_streams_taken();
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
