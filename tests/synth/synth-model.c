/* synth-model MODEL DIRECTORY [--dtype F32|F16|BF16] [--mixed] [--prefix|--no-prefix] [--pooler|--no-pooler] */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "synth.h"

static int usage(void) {
    fprintf(stderr, "usage: synth-model MODEL DIRECTORY [--dtype F32|F16|BF16] [--mixed] [--prefix|--no-prefix] "
                    "[--pooler|--no-pooler]\nmodels:");
    for (size_t i = 0; synth_models[i]; i++)
        fprintf(stderr, " %s", synth_models[i]);
    fprintf(stderr, "\n");
    return 2;
}

int main(int argc, char **argv) {
    synth_options options = {0};
    if (argc < 3)
        return usage();
    for (int i = 3; i < argc; i++) {
        if (!strcmp(argv[i], "--dtype") && i + 1 < argc) {
            const char *dtype = argv[++i];
            if (!strcmp(dtype, "F32"))
                options.dtype = SYNTH_F32;
            else if (!strcmp(dtype, "F16"))
                options.dtype = SYNTH_F16;
            else if (!strcmp(dtype, "BF16"))
                options.dtype = SYNTH_BF16;
            else
                return usage();
        } else if (!strcmp(argv[i], "--mixed")) {
            options.mixed_dtype = true;
        } else if (!strcmp(argv[i], "--prefix")) {
            options.prefix = SYNTH_WITH;
        } else if (!strcmp(argv[i], "--no-prefix")) {
            options.prefix = SYNTH_WITHOUT;
        } else if (!strcmp(argv[i], "--pooler")) {
            options.pooler = SYNTH_WITH;
        } else if (!strcmp(argv[i], "--no-pooler")) {
            options.pooler = SYNTH_WITHOUT;
        } else {
            return usage();
        }
    }
    if (!synth_write_model(argv[1], argv[2], &options)) {
        fprintf(stderr, "synth-model: cannot write %s into %s: %s\n", argv[1], argv[2], strerror(errno));
        return 1;
    }
    return 0;
}
