/* The command line: arguments with NULs between them. Only the parser runs. */
#include "fuzz.h"
#include "message.h"
#include "options.h"

#include <getopt.h>

enum { MOST_ARGUMENTS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    REQUIRE_ALWAYS(text);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    char *arguments[MOST_ARGUMENTS + 2] = {(char[]){"dino-vk"}};
    int count = 1;
    for (size_t at = 0; at < size && count <= MOST_ARGUMENTS; at += strlen(text + at) + 1)
        arguments[count++] = text + at;
    arguments[count] = NULL;
    optind = 0; /* glibc: getopt begins anew */
    struct options options;
    const int code = options_parse(count, arguments, &options);
    REQUIRE_ALWAYS(code == 0 || code == EXIT_CODE_USAGE);
    if (code == 0 && options.command != COMMAND_HELP && options.command != COMMAND_VERSION) {
        REQUIRE_ALWAYS(options.image_count >= 0 && options.image_count < count);
        for (int i = 0; i < options.image_count; i++)
            REQUIRE_ALWAYS(options.images[i] >= text && options.images[i] <= text + size);
        REQUIRE_ALWAYS(options.batch >= 1 && options.batch_count >= 1 && options.batch_count <= MAX_BATCHES);
        REQUIRE_ALWAYS(options.bench_seconds > 0.0 && options.threshold >= 0.0 && options.threshold <= 1.0);
        REQUIRE_ALWAYS(!options.width == !options.height);
        (void)tokens_name(options.tokens);
        (void)precision_name(options.precision);
    }
    free(text);
    return 0;
}
