#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

/* The longest path (4096) and a sentence round it. */
#define LINE_SIZE 8192

static bool progress_is_shown;

double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static void print_line(const char *prefix, const char *format, va_list arguments) {
    char line[LINE_SIZE];
    if (vsnprintf(line, sizeof(line), format, arguments) < 0)
        line[0] = '\0';
    progress_clear();
    fputs(prefix, stderr);
    print_plain(stderr, line);
    fputc('\n', stderr);
}

int fail(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_line("dino-vk: ", format, arguments);
    va_end(arguments);
    return code;
}

int fail_library(int code, const dvk_error *error) {
    switch (error->code) {
    case DVK_ERROR_OUT_OF_HOST_MEMORY:
    case DVK_ERROR_OUT_OF_DEVICE_MEMORY:
    case DVK_ERROR_NO_VULKAN:
    case DVK_ERROR_NO_DEVICE:
    case DVK_ERROR_DEVICE_LOST:
    case DVK_ERROR_VULKAN:
    case DVK_ERROR_INCOMPLETE:
        code = EXIT_CODE_DEVICE;
        break;
    default:
        break;
    }
    return fail(code, "%s", error->message);
}

void note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_line("dino-vk: note: ", format, arguments);
    va_end(arguments);
}

void progress(const char *format, ...) {
    static double start = -1.0;
    if (start < 0.0)
        start = now_ms();
    if (now_ms() - start < PROGRESS_DELAY_MS || !isatty(STDERR_FILENO))
        return;
    char line[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    /* A line that wraps could not be overwritten: stay below the customary 80 columns. */
    if (length > 76)
        line[76] = '\0';
    fputs("\r\033[K", stderr);
    print_plain(stderr, line);
    fflush(stderr);
    progress_is_shown = true;
}

void progress_clear(void) {
    if (progress_is_shown)
        fputs("\r\033[K", stderr);
    progress_is_shown = false;
}
