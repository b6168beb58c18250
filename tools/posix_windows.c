#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <io.h>
#include <string.h>

#include "posix.h"

int mkostemp(char *path, int flags) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char *end = path + strlen(path) - 6;
    for (int attempt = 0; attempt < 100; attempt++) {
        LARGE_INTEGER now;
        QueryPerformanceCounter(&now);
        unsigned long long random = (unsigned long long)now.QuadPart * 6364136223846793005ull + GetCurrentProcessId();
        for (int i = 0; i < 6; i++, random /= 36)
            end[i] = letters[(random >> 20) % 36];
        int descriptor = _open(path, _O_CREAT | _O_EXCL | _O_RDWR | _O_BINARY | flags, _S_IREAD | _S_IWRITE);
        if (descriptor >= 0 || errno != EEXIST)
            return descriptor;
    }
    return -1;
}

int fsync(int descriptor) {
    return _commit(descriptor);
}

char *realpath(const char *path, char *resolved) {
    return _fullpath(resolved, path, 0);
}

int replace_file(const char *from, const char *to) {
    if (MoveFileExA(from, to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
        return 0;
    errno = GetLastError() == ERROR_DISK_FULL ? ENOSPC : EACCES;
    return -1;
}

void hold_signals(signal_mask *before) {
    *before = 0; /* there are none */
}

void restore_signals(const signal_mask *before) {
    (void)before;
}

/* Windows takes both kinds of slash, so that the rest of the command may know one. */
void adopt_arguments(int count, char **arguments) {
    for (int i = 1; i < count; i++)
        for (char *c = arguments[i]; (c = strchr(c, '\\'));)
            *c = '/';
    _setmode(STDIN_FILENO, _O_BINARY);
    _setmode(STDOUT_FILENO, _O_BINARY);
}

int processor_count(void) {
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return (int)info.dwNumberOfProcessors;
}

void set_mode(int descriptor, mode_t mode) {
    (void)descriptor;
    (void)mode;
}
