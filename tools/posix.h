/* The few POSIX names that the command uses, also where the system has none of them (tools/posix_windows.c). */
#ifndef POSIX_H_
#define POSIX_H_

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef _WIN32
#include <errno.h>
#include <stdlib.h>

/* Never raised there, so that the numbers only have to be different. */
#define SIGHUP (-1)
#define SIGPIPE (-2)
#define SIGXFSZ (-3)
#ifndef EDQUOT
#define EDQUOT ENOSPC
#endif
#define O_CLOEXEC _O_NOINHERIT

/* As in POSIX; the file is binary. */
int mkostemp(char *path, int flags);
int fsync(int descriptor);
char *realpath(const char *path, char *resolved);
#endif

/* Holds all signals back from this thread, and from threads that it starts, until they are restored. */
#ifdef _WIN32
typedef int signal_mask;
#else
#include <signal.h>
typedef sigset_t signal_mask;
#endif
void hold_signals(signal_mask *before);
void restore_signals(const signal_mask *before);

/* Makes every path have slashes, and standard streams carry bytes. */
void adopt_arguments(int count, char **arguments);

/* At least 1. */
int processor_count(void);

/* Where the file system refuses, or knows no such thing, the file is merely more private than it could be. */
void set_mode(int descriptor, mode_t mode);

/* rename(), which replaces a file that exists on Windows, too. */
int replace_file(const char *from, const char *to);

#endif
