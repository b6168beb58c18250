/* bench-sandbox IMAGE...: how long decoding takes here and in the child, in turns; medians of the ratio. */
#include "message.h"
#include "sandbox.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 15, LARGEST = 64 << 20 };

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values) {
    qsort(values, ROUNDS, sizeof(*values), compare);
    return values[ROUNDS / 2];
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    struct sandbox sandbox;
    const char *why;
    const double start = now_ms();
    if (!sandbox_open(&sandbox, dvk_image_decode, SANDBOX_MEMORY, &why))
        return printf("no sandbox: %s\n", why), 1;
    printf("started in %.2f ms, system calls %s\n", now_ms() - start, sandbox.filtered ? "filtered" : "not filtered");
    uint8_t *bytes = malloc(LARGEST);
    for (int i = 1; bytes && i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        const size_t size = file ? fread(bytes, 1, LARGEST, file) : 0;
        if (file)
            fclose(file);
        double here[ROUNDS], there[ROUNDS], ratios[ROUNDS];
        dvk_error error;
        dvk_image image = {0};
        for (int round = 0; round < ROUNDS; round++) {
            double times[3];
            times[0] = now_ms();
            if (dvk_image_decode(bytes, size, argv[i], NULL, &image, &error) != DVK_OK)
                return printf("%s\n", error.message), 1;
            dvk_image_free(&image);
            times[1] = now_ms();
            if (sandbox_decode(&sandbox, bytes, size, argv[i], 0, &image, &error) != DVK_OK)
                return printf("%s\n", error.message), 1;
            times[2] = now_ms();
            here[round] = times[1] - times[0];
            there[round] = times[2] - times[1];
            ratios[round] = there[round] / here[round];
            printf(round + 1 < ROUNDS ? "" : "%ux%u ", image.width, image.height);
            dvk_image_free(&image);
        }
        printf("%s: %.3f ms here, %.3f ms in the child, ratio %.3f\n", argv[i], median(here), median(there),
               median(ratios));
    }
    free(bytes);
    sandbox_close(&sandbox);
    return 0;
}
