#include "context.h"

#include <stdarg.h>
#include <stdio.h>

void dvk_log_message(const dvk_log *log, dvk_log_level level, const char *format, ...) {
    if (!log->callback || level > log->level)
        return;
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    log->callback(log->user, level, text);
}
