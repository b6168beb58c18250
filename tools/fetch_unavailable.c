/* `dino-vk fetch` in a build without libcurl. */
#include "commands.h"

int command_fetch(const struct options *options) {
    return fail(
        EXIT_CODE_USAGE,
        "this dino-vk was built without libcurl, so it cannot fetch %s; fetch it with: hf download %s, or build "
        "with libcurl's development files (Debian's libcurl4-openssl-dev)",
        options->images[0], options->images[0]);
}
