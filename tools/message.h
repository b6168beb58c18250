/* What the command says when something fails, and the status it exits with. */
#ifndef MESSAGE_H_
#define MESSAGE_H_

#include "dino_vk.h"

#if defined(__MINGW32__) /* its own printf family, which knows C99's formats */
#define MESSAGE_PRINTF(format_index, first_argument) __attribute__((format(gnu_printf, format_index, first_argument)))
#elif defined(__GNUC__)
#define MESSAGE_PRINTF(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#else
#define MESSAGE_PRINTF(format_index, first_argument)
#endif

/* Documented in --help, in docs/command.md and in the manual page: numbers never change their meaning. */
enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_USAGE = 1,  /* the command line */
    EXIT_CODE_IMAGE = 2,  /* an input image */
    EXIT_CODE_MODEL = 3,  /* the model */
    EXIT_CODE_DEVICE = 4, /* the Vulkan device, its driver, or memory */
    EXIT_CODE_OUTPUT = 5, /* a file or the standard output could not be written */
    EXIT_CODE_PIPE = 141  /* the reader of our standard output went away: main() dies quietly of SIGPIPE */
};

/* Prints "dino-vk: " and one sentence as one line on stderr and returns `code`, so that callers can
 * `return fail(...)`. Control characters and invalid UTF-8, which file names may hold, are printed as '?'. */
int fail(int code, const char *format, ...) MESSAGE_PRINTF(2, 3);

/* The same for a sentence of the library. `code` is what the failed call was about; a device, driver or memory failure
 * inside it is EXIT_CODE_DEVICE whatever the call was. */
int fail_library(int code, const dvk_error *error);

/* "dino-vk: note: ...", for what is no failure. */
void note(const char *format, ...) MESSAGE_PRINTF(1, 2);

/* One line that overwrites itself on stderr, shown only where stderr is a terminal and the work has taken longer than
 * PROGRESS_DELAY_MS. fail() and note() clear it first. */
#define PROGRESS_DELAY_MS 400.0
void progress(const char *format, ...) MESSAGE_PRINTF(1, 2);
void progress_clear(void);

/* Milliseconds of a monotonic clock, from an arbitrary start. */
double now_ms(void);

#endif
