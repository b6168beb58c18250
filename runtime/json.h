/* A strict reader of JSON (RFC 8259), and what the readers of JSON files share: one sentence for every way in which a
 * value is not what it should be. */
#ifndef DVK_JSON_H_
#define DVK_JSON_H_

#include "memory.h"

typedef enum dvk_json_kind {
    DVK_JSON_NULL,
    DVK_JSON_FALSE,
    DVK_JSON_TRUE,
    DVK_JSON_INTEGER, /* written without fraction and exponent; but -0 is a REAL */
    DVK_JSON_REAL,
    DVK_JSON_STRING,
    DVK_JSON_LIST,
    DVK_JSON_OBJECT
} dvk_json_kind;

/* An element of an array that holds a whole text in its order. A list's values follow it; an object is followed by its
 * pairs, each a key (a string) and its value. What has a span of n is followed by its neighbour n elements on. */
typedef struct dvk_json {
    uint32_t kind; /* dvk_json_kind */
    uint32_t span; /* elements that belong to the value, itself included */
    union {
        uint32_t count; /* a list's values, an object's pairs */
        int64_t integer;
        double number;
        const char *text; /* UTF-8, terminated; holds no other NUL */
    };
} dvk_json;

enum { DVK_JSON_DEPTH_LIMIT = 256 };

/* Refuses, beyond what the RFC does: bytes that are no UTF-8, keys that occur twice in an object, strings with U+0000,
 * integers beyond 64 bits with sign, numbers beyond a double or of more than 400 characters, deeper nesting than the
 * limit. *root is one block, for dvk_release(); it takes at most 16 bytes for every value and key, 4 more for every key
 * of an object of more than eight, and the strings. `path` is for messages, here and below. */
dvk_result dvk_json_parse(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                          dvk_json **root, dvk_error *error);
/* The same for a text that must be an object. */
dvk_result dvk_json_parse_object(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                                 dvk_json **root, dvk_error *error);

/* `value` may be NULL in all that follows: a key that is missing. */

static inline bool dvk_json_is(const dvk_json *value, dvk_json_kind kind) {
    return value && value->kind == (uint32_t)kind;
}

/* NULL for what is no string. */
static inline const char *dvk_json_text(const dvk_json *value) {
    return dvk_json_is(value, DVK_JSON_STRING) ? value->text : NULL;
}

/* A list's values or an object's pairs; else 0. */
static inline uint32_t dvk_json_count(const dvk_json *value) {
    return dvk_json_is(value, DVK_JSON_LIST) || dvk_json_is(value, DVK_JSON_OBJECT) ? value->count : 0;
}

/* NULL for what is no list and beyond its end. Walks: for short lists. */
const dvk_json *dvk_json_item(const dvk_json *list, uint32_t index);

/* NULL where there is none, and for what is no object. */
const dvk_json *dvk_json_get(const dvk_json *object, const char *key);

/* The key of the next pair: for (key = object + 1, i = 0; i < object->count; key = dvk_json_next_key(key), i++). */
static inline const dvk_json *dvk_json_next_key(const dvk_json *key) {
    return key + 1 + key[1].span;
}

/* Text from a file, made fit for a message: control characters become '?', and what is too long ends in "...". */
typedef struct dvk_quoted {
    char text[80];
} dvk_quoted;
dvk_quoted dvk_quote(const char *text);

/* "an integer", "a string" and the like; "nothing" for NULL. */
const char *dvk_json_type_name(const dvk_json *value);

/* The getters leave *value alone where the key is missing, so that it holds the default. */
dvk_result dvk_json_get_uint(const dvk_json *object, const char *key, uint32_t minimum, uint32_t maximum,
                             const char *path, uint32_t *value, dvk_error *error);
dvk_result dvk_json_get_double(const dvk_json *object, const char *key, double minimum, double maximum,
                               const char *path, double *value, dvk_error *error);
dvk_result dvk_json_get_bool(const dvk_json *object, const char *key, const char *path, bool *value, dvk_error *error);

/* The value itself, found under `key`. */
dvk_result dvk_json_to_uint(const dvk_json *item, const char *key, uint32_t minimum, uint32_t maximum, const char *path,
                            uint32_t *value, dvk_error *error);
dvk_result dvk_json_to_double(const dvk_json *item, const char *key, double minimum, double maximum, const char *path,
                              double *value, dvk_error *error);

#endif
