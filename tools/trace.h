/* When each stage ran, as Perfetto and chrome://tracing draw it (the "Trace Event Format" of Catapult). */
#ifndef TRACE_H_
#define TRACE_H_

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "output_file.h"

/* Lines of the picture. Workers follow: TRACK_WORKERS + i. */
enum { TRACK_COMMAND, TRACK_DEVICE, TRACK_OPERATIONS, TRACK_WORKERS };

struct trace_event {
    char name[64];
    uint32_t track;
    double start_ms, ms;
};

struct trace {
    double start_ms; /* now_ms() that the picture begins at */
    pthread_mutex_t mutex;
    struct trace_event *events;
    size_t count, capacity;
    bool out_of_memory;
};

/* All accept a NULL trace, and do nothing then. trace_add() may be called from any thread; both times are now_ms()'s.
 */
void trace_add(struct trace *trace, uint32_t track, double start_ms, double end_ms, const char *format, ...)
    MESSAGE_PRINTF(5, 6);

/* Returns 0 or an exit code. */
int trace_write(const struct trace *trace, struct output_file *file);

void trace_open(struct trace *trace, double start_ms);
void trace_close(struct trace *trace);

#endif
