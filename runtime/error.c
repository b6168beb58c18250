#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

dvk_result dvk_fail(dvk_error *error, dvk_result code, const char *format, ...) {
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        int length = vsnprintf(error->message, sizeof(error->message), format, arguments);
        va_end(arguments);
        error->code = code;
        if (length < 0)
            error->message[0] = '\0';
        else if ((size_t)length >= sizeof(error->message)) {
            size_t end = sizeof(error->message) - 4;
            while (end && ((unsigned char)error->message[end] & 0xc0) == 0x80) /* not amid a UTF-8 sequence */
                end--;
            memcpy(error->message + end, "...", 4);
        }
    }
    return code;
}

dvk_result dvk_check_reserved(const uint64_t *reserved, size_t count, const char *function, const char *type,
                              dvk_error *error) {
    for (size_t i = 0; i < count; i++)
        if (reserved[i])
            return dvk_fail(
                error, DVK_ERROR_INVALID_ARGUMENT,
                "%s: dvk_%s.reserved is not zero: initialise the whole struct with zeros, or, where a field of "
                "a later version is set, update the library",
                function, type);
    return DVK_OK;
}

dvk_result dvk_fail_memory(dvk_error *error, size_t bytes) {
    return dvk_fail(error, DVK_ERROR_OUT_OF_HOST_MEMORY, "out of memory: %zu bytes of host memory were refused", bytes);
}

const char *dvk_result_name(dvk_result result) {
    switch (result) {
    case DVK_OK:
        return "DVK_OK";
    case DVK_TIMEOUT:
        return "DVK_TIMEOUT";
    case DVK_ERROR_INVALID_ARGUMENT:
        return "DVK_ERROR_INVALID_ARGUMENT";
    case DVK_ERROR_OUT_OF_HOST_MEMORY:
        return "DVK_ERROR_OUT_OF_HOST_MEMORY";
    case DVK_ERROR_OUT_OF_DEVICE_MEMORY:
        return "DVK_ERROR_OUT_OF_DEVICE_MEMORY";
    case DVK_ERROR_IO:
        return "DVK_ERROR_IO";
    case DVK_ERROR_BAD_FILE:
        return "DVK_ERROR_BAD_FILE";
    case DVK_ERROR_UNSUPPORTED:
        return "DVK_ERROR_UNSUPPORTED";
    case DVK_ERROR_NO_VULKAN:
        return "DVK_ERROR_NO_VULKAN";
    case DVK_ERROR_NO_DEVICE:
        return "DVK_ERROR_NO_DEVICE";
    case DVK_ERROR_DEVICE_LOST:
        return "DVK_ERROR_DEVICE_LOST";
    case DVK_ERROR_VULKAN:
        return "DVK_ERROR_VULKAN";
    case DVK_ERROR_INCOMPLETE:
        return "DVK_ERROR_INCOMPLETE";
    case DVK_RESULT_FORCE_32BIT:
        break;
    }
    return "an unknown dvk_result";
}
