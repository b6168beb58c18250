#include "json.h"

#include <math.h>
#include <string.h>

dvk_quoted dvk_quote(const char *text) {
    dvk_quoted quoted;
    size_t length = strlen(text);
    size_t copied = length < sizeof(quoted.text) ? length : sizeof(quoted.text) - 4;
    for (size_t i = 0; i < copied; i++)
        quoted.text[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    if (copied < length) {
        /* Not in the middle of a UTF-8 sequence. */
        while (copied > 0 && ((unsigned char)text[copied] & 0xc0) == 0x80)
            copied--;
        memcpy(quoted.text + copied, "...", 3);
        copied += 3;
    }
    quoted.text[copied] = '\0';
    return quoted;
}

dvk_result dvk_json_parse_object(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                                 json_t **object, dvk_error *error) {
    (void)allocator; /* Jansson has one for the whole process */
    json_error_t reason;
    /* Jansson refuses a NULL buffer even where the size is 0. */
    json_t *root = json_loadb(size ? bytes : "", size, JSON_REJECT_DUPLICATES, &reason);
    /* Jansson says nothing at all where its tree found no memory. Where a string found none, it takes that for a wrong
     * token, and so do we. */
    if (!root && (json_error_code(&reason) == json_error_out_of_memory || !reason.text[0]))
        return dvk_fail(error, DVK_ERROR_OUT_OF_HOST_MEMORY, "out of memory: the %zu bytes of JSON in %s do not fit",
                        size, path);
    if (!root)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s is not valid JSON: %s (line %d, column %d)", path,
                        dvk_quote(reason.text).text, reason.line, reason.column);
    if (!json_is_object(root)) {
        dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: expected a JSON object, found %s", path, dvk_json_type_name(root));
        json_decref(root);
        return DVK_ERROR_BAD_FILE;
    }
    *object = root;
    return DVK_OK;
}

const char *dvk_json_type_name(const json_t *value) {
    if (!value)
        return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a fractional number";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        return "null";
    }
    return "an unknown value";
}

dvk_result dvk_json_to_uint(const json_t *item, const char *key, uint32_t minimum, uint32_t maximum, const char *path,
                            uint32_t *value, dvk_error *error) {
    if (!json_is_integer(item))
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be an integer from %u to %u, found %s", path, key,
                        minimum, maximum, dvk_json_type_name(item));
    json_int_t number = json_integer_value(item);
    if (number < (json_int_t)minimum || number > (json_int_t)maximum)
        return dvk_fail(error, DVK_ERROR_BAD_FILE,
                        "%s: \"%s\" must be an integer from %u to %u, found %" JSON_INTEGER_FORMAT, path, key, minimum,
                        maximum, number);
    *value = (uint32_t)number;
    return DVK_OK;
}

dvk_result dvk_json_to_double(const json_t *item, const char *key, double minimum, double maximum, const char *path,
                              double *value, dvk_error *error) {
    if (!json_is_number(item))
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be a number from %g to %g, found %s", path, key,
                        minimum, maximum, dvk_json_type_name(item));
    double number = json_number_value(item);
    if (!isfinite(number) || number < minimum || number > maximum)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be a number from %g to %g, found %g", path, key,
                        minimum, maximum, number);
    *value = number;
    return DVK_OK;
}

dvk_result dvk_json_get_uint(const json_t *object, const char *key, uint32_t minimum, uint32_t maximum,
                             const char *path, uint32_t *value, dvk_error *error) {
    const json_t *item = json_object_get(object, key);
    return item ? dvk_json_to_uint(item, key, minimum, maximum, path, value, error) : DVK_OK;
}

dvk_result dvk_json_get_double(const json_t *object, const char *key, double minimum, double maximum, const char *path,
                               double *value, dvk_error *error) {
    const json_t *item = json_object_get(object, key);
    return item ? dvk_json_to_double(item, key, minimum, maximum, path, value, error) : DVK_OK;
}

dvk_result dvk_json_get_bool(const json_t *object, const char *key, const char *path, bool *value, dvk_error *error) {
    const json_t *item = json_object_get(object, key);
    if (!item)
        return DVK_OK;
    if (!json_is_boolean(item))
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be true or false, found %s", path, key,
                        dvk_json_type_name(item));
    *value = json_is_true(item);
    return DVK_OK;
}
