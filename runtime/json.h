/* What the readers of JSON files share: one sentence for every way in which a value is not what it should be. */
#ifndef DVK_JSON_H_
#define DVK_JSON_H_

#include <jansson.h>

#include "memory.h"

/* Parses an object: strict JSON, UTF-8, no duplicate keys, integers within 64 bits, at most 2048 levels deep. The
 * caller releases it with json_decref(). `path` is for messages, here and below. */
dvk_result dvk_json_parse_object(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                                 json_t **object, dvk_error *error);

/* Text from a file, made fit for a message: control characters become '?', and what is too long ends in "...". */
typedef struct dvk_quoted {
    char text[80];
} dvk_quoted;
dvk_quoted dvk_quote(const char *text);

/* "an integer", "a string" and the like; "nothing" for NULL. */
const char *dvk_json_type_name(const json_t *value);

/* The getters leave *value alone where the key is missing, so that it holds the default. */
dvk_result dvk_json_get_uint(const json_t *object, const char *key, uint32_t minimum, uint32_t maximum,
                             const char *path, uint32_t *value, dvk_error *error);
dvk_result dvk_json_get_double(const json_t *object, const char *key, double minimum, double maximum, const char *path,
                               double *value, dvk_error *error);
dvk_result dvk_json_get_bool(const json_t *object, const char *key, const char *path, bool *value, dvk_error *error);

/* The value itself, found under `key`. */
dvk_result dvk_json_to_uint(const json_t *item, const char *key, uint32_t minimum, uint32_t maximum, const char *path,
                            uint32_t *value, dvk_error *error);
dvk_result dvk_json_to_double(const json_t *item, const char *key, double minimum, double maximum, const char *path,
                              double *value, dvk_error *error);

#endif
