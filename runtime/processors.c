#include "processors.h"

#ifdef _WIN32
#include <windows.h>

uint32_t dvk_count_processors(void) {
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwNumberOfProcessors ? info.dwNumberOfProcessors : 1;
}
#else
#include <unistd.h>

uint32_t dvk_count_processors(void) {
    const long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (uint32_t)count : 1;
}
#endif
