/* Reads a pickle without executing it: plain values and containers become themselves, and the call of a function that
 * the caller knows by name becomes a note of name and arguments. Every other function is refused. */
#ifndef DVK_PICKLE_H_
#define DVK_PICKLE_H_

#include "memory.h"

typedef enum dvk_pickle_kind {
    DVK_PICKLE_NONE,
    DVK_PICKLE_BOOL,       /* integer */
    DVK_PICKLE_INTEGER,    /* integer */
    DVK_PICKLE_FLOAT,      /* number */
    DVK_PICKLE_TEXT,       /* text, detail = its length in bytes; not terminated; points into the pickle */
    DVK_PICKLE_OTHER,      /* bytes, and integers beyond 64 bits */
    DVK_PICKLE_TUPLE,      /* object */
    DVK_PICKLE_LIST,       /* object */
    DVK_PICKLE_DICT,       /* object, keys and values by turns */
    DVK_PICKLE_GLOBAL,     /* detail = index of the function or class */
    DVK_PICKLE_CALL,       /* detail = the same, object = the arguments */
    DVK_PICKLE_PERSISTENT, /* object = the tuple that names something outside of the pickle */
} dvk_pickle_kind;

typedef struct dvk_pickle_object dvk_pickle_object;

typedef struct dvk_pickle_value {
    dvk_pickle_kind kind;
    uint32_t detail;
    union {
        int64_t integer;
        double number;
        const char *text;
        dvk_pickle_object *object;
    };
} dvk_pickle_value;

struct dvk_pickle_object {
    dvk_pickle_value *items;
    uint32_t count, capacity;
    dvk_pickle_object *next; /* the list by which they are freed */
};

typedef struct dvk_pickle_global {
    const char *module, *name;
    bool is_dict; /* called with () it makes an empty dictionary */
} dvk_pickle_global;

typedef struct dvk_pickle {
    const dvk_allocator *allocator; /* must outlive it */
    dvk_pickle_value root;
    dvk_pickle_object *objects;
} dvk_pickle;

/* Protocols 2 to 5. Containers may contain each other in circles: never follow them without a bound. `bytes` must
 * outlive the result; `path` is for messages. */
dvk_result dvk_pickle_read(const dvk_allocator *allocator, const void *bytes, size_t size,
                           const dvk_pickle_global *globals, size_t global_count, const char *path, dvk_pickle *pickle,
                           dvk_error *error);
void dvk_pickle_free(dvk_pickle *pickle);

/* NULL if the value is no dictionary or has no such key; the last one where a key is repeated, as in Python. */
const dvk_pickle_value *dvk_pickle_get(const dvk_pickle_value *dict, const char *key);

#endif
