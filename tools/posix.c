#include "posix.h"

#include <stdio.h>

void hold_signals(signal_mask *before) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

void restore_signals(const signal_mask *before) {
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

void adopt_arguments(int count, char **arguments) {
    (void)count, (void)arguments; /* they are as they should be */
}

int processor_count(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > 1024 ? 1024 : (int)count;
}

void set_mode(int descriptor, mode_t mode) {
    if (fchmod(descriptor, mode) != 0)
        return;
}

int replace_file(const char *from, const char *to) {
    return rename(from, to);
}
