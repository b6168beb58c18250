#include "json.h"

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

const dvk_json *dvk_json_item(const dvk_json *list, uint32_t index) {
    if (!dvk_json_is(list, DVK_JSON_LIST) || index >= list->count)
        return NULL;
    const dvk_json *item = list + 1;
    while (index-- > 0)
        item += item->span;
    return item;
}

const char *dvk_json_type_name(const dvk_json *value) {
    if (!value)
        return "nothing";
    switch ((dvk_json_kind)value->kind) {
    case DVK_JSON_OBJECT:
        return "an object";
    case DVK_JSON_LIST:
        return "a list";
    case DVK_JSON_STRING:
        return "a string";
    case DVK_JSON_INTEGER:
        return "an integer";
    case DVK_JSON_REAL:
        return "a fractional number";
    case DVK_JSON_TRUE:
        return "true";
    case DVK_JSON_FALSE:
        return "false";
    case DVK_JSON_NULL:
        return "null";
    }
    return "an unknown value";
}

dvk_result dvk_json_to_uint(const dvk_json *item, const char *key, uint32_t minimum, uint32_t maximum, const char *path,
                            uint32_t *value, dvk_error *error) {
    if (!dvk_json_is(item, DVK_JSON_INTEGER))
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be an integer from %u to %u, found %s", path, key,
                        minimum, maximum, dvk_json_type_name(item));
    if (item->integer < (int64_t)minimum || item->integer > (int64_t)maximum)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be an integer from %u to %u, found %lld", path, key,
                        minimum, maximum, (long long)item->integer);
    *value = (uint32_t)item->integer;
    return DVK_OK;
}

dvk_result dvk_json_to_double(const dvk_json *item, const char *key, double minimum, double maximum, const char *path,
                              double *value, dvk_error *error) {
    if (!dvk_json_is(item, DVK_JSON_INTEGER) && !dvk_json_is(item, DVK_JSON_REAL))
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be a number from %g to %g, found %s", path, key,
                        minimum, maximum, dvk_json_type_name(item));
    const double number = item->kind == DVK_JSON_REAL ? item->number : (double)item->integer;
    if (number < minimum || number > maximum)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be a number from %g to %g, found %g", path, key,
                        minimum, maximum, number);
    *value = number;
    return DVK_OK;
}

dvk_result dvk_json_get_uint(const dvk_json *object, const char *key, uint32_t minimum, uint32_t maximum,
                             const char *path, uint32_t *value, dvk_error *error) {
    const dvk_json *item = dvk_json_get(object, key);
    return item ? dvk_json_to_uint(item, key, minimum, maximum, path, value, error) : DVK_OK;
}

dvk_result dvk_json_get_double(const dvk_json *object, const char *key, double minimum, double maximum,
                               const char *path, double *value, dvk_error *error) {
    const dvk_json *item = dvk_json_get(object, key);
    return item ? dvk_json_to_double(item, key, minimum, maximum, path, value, error) : DVK_OK;
}

dvk_result dvk_json_get_bool(const dvk_json *object, const char *key, const char *path, bool *value, dvk_error *error) {
    const dvk_json *item = dvk_json_get(object, key);
    if (!item)
        return DVK_OK;
    if (!dvk_json_is(item, DVK_JSON_TRUE) && !dvk_json_is(item, DVK_JSON_FALSE))
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: \"%s\" must be true or false, found %s", path, key,
                        dvk_json_type_name(item));
    *value = item->kind == DVK_JSON_TRUE;
    return DVK_OK;
}
