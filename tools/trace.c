#include "trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

void trace_open(struct trace *trace, double start_ms) {
    *trace = (struct trace){.start_ms = start_ms};
    pthread_mutex_init(&trace->mutex, NULL);
}

void trace_close(struct trace *trace) {
    if (!trace)
        return;
    pthread_mutex_destroy(&trace->mutex);
    free(trace->events);
}

void trace_add(struct trace *trace, uint32_t track, double start_ms, double end_ms, const char *format, ...) {
    if (!trace)
        return;
    pthread_mutex_lock(&trace->mutex);
    if (trace->count == trace->capacity) {
        size_t capacity = trace->capacity ? 2 * trace->capacity : 1024;
        struct trace_event *events = realloc(trace->events, capacity * sizeof(*events));
        if (events) {
            trace->events = events;
            trace->capacity = capacity;
        }
    }
    if (trace->count < trace->capacity) {
        struct trace_event *event = &trace->events[trace->count++];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(event->name, sizeof(event->name), format, arguments);
        va_end(arguments);
        event->track = track;
        event->start_ms = start_ms - trace->start_ms;
        event->ms = end_ms - start_ms;
    } else {
        trace->out_of_memory = true;
    }
    pthread_mutex_unlock(&trace->mutex);
}

static void track_name(uint32_t track, char name[32]) {
    static const char *const names[] = {"command", "device", "operations (profiled pass)"};
    if (track < TRACK_WORKERS)
        snprintf(name, 32, "%s", names[track]);
    else
        snprintf(name, 32, "worker %" PRIu32, track - TRACK_WORKERS + 1);
}

int trace_write(const struct trace *trace, struct output_file *file) {
    if (trace->out_of_memory)
        return fail(EXIT_CODE_DEVICE, "out of memory for a trace of more than %zu events", trace->count);
    uint32_t tracks = 0;
    for (size_t i = 0; i < trace->count; i++)
        tracks = trace->events[i].track + 1 > tracks ? trace->events[i].track + 1 : tracks;
    FILE *stream = file->stream;
    fprintf(stream, "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n");
    for (uint32_t track = 0; track < tracks; track++) {
        char name[32];
        track_name(track, name);
        fprintf(stream,
                "{\"ph\": \"M\", \"pid\": 1, \"tid\": %" PRIu32
                ", \"name\": \"thread_name\", \"args\": {\"name\": \"%s\"}},\n"
                "{\"ph\": \"M\", \"pid\": 1, \"tid\": %" PRIu32
                ", \"name\": \"thread_sort_index\", \"args\": {\"sort_index\": %" PRIu32 "}},\n",
                track, name, track, track);
    }
    for (size_t i = 0; i < trace->count; i++) {
        const struct trace_event *event = &trace->events[i];
        fprintf(stream, "{\"ph\": \"X\", \"pid\": 1, \"tid\": %" PRIu32 ", \"ts\": %.3f, \"dur\": %.3f, \"name\": ",
                event->track, event->start_ms * 1e3, event->ms * 1e3);
        print_json_string(stream, event->name);
        fprintf(stream, "},\n");
    }
    fprintf(stream, "{\"ph\": \"M\", \"pid\": 1, \"name\": \"process_name\", \"args\": {\"name\": \"dino-vk\"}}\n]}\n");
    return output_file_finish(file);
}
