/* How every internal function reports failure: a dvk_result and, where the caller wants it, one sentence. */
#ifndef DVK_ERROR_H_
#define DVK_ERROR_H_

#include "dino_vk.h"

#if defined(__MINGW32__) /* meson.build asks for its own printf family, which knows %zu */
#define DVK_PRINTF(format_index, first_argument) __attribute__((format(gnu_printf, format_index, first_argument)))
#elif defined(__GNUC__)
#define DVK_PRINTF(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#else
#define DVK_PRINTF(format_index, first_argument)
#endif

/* Writes code and message to `error` (may be NULL) and returns `code`, so that callers can `return dvk_fail(...)`.
 * A message that does not fit ends in "...". */
dvk_result dvk_fail(dvk_error *error, dvk_result code, const char *format, ...) DVK_PRINTF(3, 4);

/* INVALID_ARGUMENT where reserved fields are not zero. `type` is the struct's name, without dvk_. */
dvk_result dvk_check_reserved(const uint64_t *reserved, size_t count, const char *function, const char *type,
                              dvk_error *error);
#define DVK_CHECK_RESERVED(params, function, type, error)                                                              \
    dvk_check_reserved((params)->reserved, sizeof((params)->reserved) / sizeof((params)->reserved[0]), function, type, \
                       error)

/* The usual answer to a failed allocation. */
dvk_result dvk_fail_memory(dvk_error *error, size_t bytes);

#endif
