/* libvulkan.so.1 of the tests: found before the system's by LD_LIBRARY_PATH, it makes calls fail and counts what is
 * alive. Under it is the stub driver or, where $DVK_FAULTS_LOADER names one, a real loader. Tests reach these functions
 * through dlsym(), as they must not be linked with it. */
#ifndef SHIM_H_
#define SHIM_H_

#include "entry_points.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct shim_control {
    /* Forgets counts and plan; what is alive stays counted. */
    void (*reset)(void);
    /* The call-th call (from 1) of an entry point returns `code` and does nothing; `ever_after`: the later ones, too.
     */
    void (*plan)(size_t entry_point, uint64_t call, VkResult code, bool ever_after);
    uint64_t (*hits)(void);
    uint64_t (*calls)(size_t entry_point);
    /* The names and codes (VK_SUCCESS ends them) of the entry points that can fail; NULL behind the last one. */
    const char *(*name)(size_t entry_point);
    const VkResult *(*codes)(size_t entry_point);
    /* Objects alive, or below 0: destroyed more often than made. `text`: their kinds. */
    long (*live)(char *text, size_t size);
    /* Counts as released what is alive. */
    void (*forget)(void);
    bool is_stub;
} shim_control;

#define SHIM_CONTROL "shim_get_control"
typedef const shim_control *(*shim_get_control_function)(void);

#endif
