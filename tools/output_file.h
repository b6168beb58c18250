/* A file that appears under its name only when it is complete.
 *
 * It is written to a temporary file in the directory of its target, flushed to the disk, and renamed when the whole
 * command has succeeded. Until then a failure, or SIGINT, SIGTERM or SIGHUP, removes it. "-" is the standard output.
 * What is no regular file (a terminal, a pipe, /dev/null) is written directly: renaming would replace it. */
#ifndef OUTPUT_FILE_H_
#define OUTPUT_FILE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "message.h"

struct temporary_file;

struct output_file {
    char *path;                       /* as typed, for messages */
    char *target;                     /* with symbolic links followed */
    struct temporary_file *temporary; /* NULL where the target is written directly */
    FILE *stream;
};

/* Installs the handlers of the signals named above, and ignores SIGPIPE and SIGXFSZ: writing then fails, so that the
 * temporary files can be removed first. Once, before any other function here. */
void output_file_handle_signals(void);

/* All return 0, or an exit code after the sentence has been printed. A failed open leaves the struct zeroed; after any
 * other failure call output_file_discard(). */

/* Whether output_file_open() would succeed, for finding out before long work. */
int output_file_probe(const char *path);

int output_file_open(struct output_file *file, const char *path);

/* Buffered. */
int output_file_write(struct output_file *file, const void *bytes, size_t size);

/* Flushes, syncs and closes: the last moment at which a full disk can be noticed. */
int output_file_finish(struct output_file *file);

/* Gives a finished file its name. */
int output_file_commit(struct output_file *file);

/* Removes what was not committed and frees the rest. Accepts a zeroed struct. */
void output_file_discard(struct output_file *file);

/* Flushes what was printed to the standard output and checks it. */
int flush_stdout(void);

#endif
