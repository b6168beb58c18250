#include "variant_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* A line for each use of each kernel; a megabyte would be ten thousand of them. */
#define LARGEST_FILE ((size_t)1 << 20)

int variants_read(const char *path, char **text) {
    FILE *file = fopen(path, "rb");
    char *bytes = file ? malloc(LARGEST_FILE + 1) : NULL;
    if (file && !bytes) {
        fclose(file);
        return fail(EXIT_CODE_DEVICE, "out of memory for %s", path);
    }
    size_t size = file ? fread(bytes, 1, LARGEST_FILE + 1, file) : 0;
    bool good = file && !ferror(file);
    int reason = errno;
    if (file)
        fclose(file);
    int code = 0;
    if (!good)
        code = fail(EXIT_CODE_USAGE, "the variants %s cannot be read: %s", path, strerror(reason));
    else if (size > LARGEST_FILE || memchr(bytes, '\0', size))
        code = fail(EXIT_CODE_USAGE, "%s is no text of at most 1 MiB, which --save-variants writes", path);
    if (code) {
        free(bytes);
        return code;
    }
    bytes[size] = '\0';
    *text = bytes;
    return 0;
}

/* All of them, for free(); NULL after a failure, whose exit code is returned. */
static int list(const dvk_context *context, dvk_variant_info **infos, uint32_t *count) {
    dvk_error error;
    *count = 0;
    *infos = NULL;
    if (dvk_context_variants(context, NULL, count, &error) != DVK_OK)
        return fail_library(EXIT_CODE_DEVICE, &error);
    *infos = calloc(*count ? *count : 1, sizeof(**infos));
    if (!*infos)
        return fail(EXIT_CODE_DEVICE, "out of memory for a list of %u variants", *count);
    if (dvk_context_variants(context, *infos, count, &error) != DVK_OK) {
        free(*infos);
        *infos = NULL;
        return fail_library(EXIT_CODE_DEVICE, &error);
    }
    return 0;
}

int variants_save(const dvk_context *context, struct output_file *file, const char *path) {
    dvk_variant_info *infos;
    uint32_t count;
    int code = list(context, &infos, &count);
    if (!infos)
        return code;
    code = output_file_open(file, path);
    for (uint32_t i = 0; i < count && code == 0; i++) {
        char line[160];
        int length = snprintf(line, sizeof(line), "%s = %s\n", infos[i].use, infos[i].variant);
        if (infos[i].chosen)
            code = output_file_write(file, line, (size_t)length);
    }
    if (code == 0)
        code = output_file_finish(file);
    free(infos);
    return code;
}

/* The GFLOP/s of what was chosen for the use; 0: not measured. */
static double best_of(const dvk_variant_info *infos, uint32_t count, const char *use) {
    for (uint32_t i = 0; i < count; i++)
        if (infos[i].chosen && !strcmp(infos[i].use, use))
            return infos[i].gflops;
    return 0.0;
}

static void print_use(const dvk_variant_info *info, double best) {
    printf("      %-32s %-32s", info->use, info->variant);
    if (info->gflops > 0.0)
        printf(" %8.1f GFLOP/s", info->gflops);
    if (info->chosen)
        printf("  chosen\n");
    else if (info->gflops > 0.0 && best > 0.0)
        printf("  %.2f times as slow\n", best / info->gflops);
    else
        printf("  slower\n");
}

int variants_print(const dvk_context *context) {
    dvk_variant_info *infos;
    uint32_t count;
    int code = list(context, &infos, &count);
    if (!infos)
        return code;
    for (uint32_t i = 0; i < count; i++) {
        if (!infos[i].chosen)
            continue;
        print_use(&infos[i], 0.0);
        for (uint32_t j = 0; j < count; j++)
            if (!infos[j].chosen && !strcmp(infos[j].use, infos[i].use))
                print_use(&infos[j], best_of(infos, count, infos[i].use));
    }
    for (uint32_t i = 0; i < count; i++)
        if (!infos[i].use[0]) {
            printf("      %-32s %-32s %s", infos[i].kernel, infos[i].variant,
                   infos[i].refused[0] ? "not used: " : "not compared");
            print_plain(stdout, infos[i].refused);
            putchar('\n');
        }
    free(infos);
    return 0;
}

int variants_print_json(const dvk_context *context) {
    dvk_variant_info *infos;
    uint32_t count;
    int code = list(context, &infos, &count);
    if (!infos)
        return code;
    putchar('[');
    for (uint32_t i = 0; i < count; i++) {
        printf("%s{\"kernel\": \"%s\", \"variant\": \"%s\", \"use\": \"%s\", \"chosen\": %s, \"gflops\": %.6g, "
               "\"refused\": ",
               i ? ", " : "", infos[i].kernel, infos[i].variant, infos[i].use, infos[i].chosen ? "true" : "false",
               infos[i].gflops);
        print_json_string(stdout, infos[i].refused);
        putchar('}');
    }
    putchar(']');
    free(infos);
    return 0;
}
