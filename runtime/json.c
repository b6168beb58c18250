/* The reader walks a text twice with the same code: first it checks everything and counts, then it fills one block of
 * just the right size. So a damaged text costs no memory, and a large one no more than it needs. */
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sort.h"

enum {
    NUMBER_LIMIT = 400, /* characters; a double written out in full has some 330 before its point or behind it */
    UNSORTED_KEYS = 8   /* objects of at most so many keys are searched from end to end */
};

typedef struct container {
    uint32_t first; /* its own element */
    uint32_t count;
    bool is_object;
} container;

typedef struct reader {
    const uint8_t *start, *next, *end;
    const char *path;
    dvk_result result;
    dvk_error *error;

    dvk_json *elements; /* NULL: only counting */
    char *text;
    uint32_t element_count;
    size_t text_bytes;

    dvk_json ignored; /* what is written to while counting */
    container open[DVK_JSON_DEPTH_LIMIT];
    uint32_t depth;
} reader;

/* ------------------------------------------------------------------------------------------------- errors */

/* The functions below return false after they have said why in r->result and r->error. `what` is a clause; columns
 * count characters, from 1. */
static bool refuse(reader *r, const char *what) {
    size_t line = 1, column = 1;
    for (const uint8_t *p = r->start; p < r->next; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if ((*p & 0xc0) != 0x80) {
            column++;
        }
    }
    r->result = dvk_fail(r->error, DVK_ERROR_BAD_FILE, "%s is not valid JSON: %s (line %zu, column %zu)", r->path, what,
                         line, column);
    return false;
}

/* `expected` and what is there. */
static bool expect(reader *r, const char *expected) {
    char what[160];
    if (r->next == r->end)
        snprintf(what, sizeof(what), "expected %s, found the end", expected);
    else if (*r->next > ' ' && *r->next < 0x7f)
        snprintf(what, sizeof(what), "expected %s, found '%c'", expected, *r->next);
    else
        snprintf(what, sizeof(what), "expected %s, found the byte 0x%02x", expected, *r->next);
    return refuse(r, what);
}

/* --------------------------------------------------------------------------------------------- characters */

static void skip_space(reader *r) {
    while (r->next < r->end && (*r->next == ' ' || *r->next == '\n' || *r->next == '\r' || *r->next == '\t'))
        r->next++;
}

static bool at(const reader *r, char character) {
    return r->next < r->end && *r->next == (uint8_t)character;
}

static bool at_digit(const reader *r) {
    return r->next < r->end && *r->next >= '0' && *r->next <= '9';
}

static dvk_json *add(reader *r, dvk_json_kind kind) {
    dvk_json *element = r->elements ? &r->elements[r->element_count] : &r->ignored;
    r->element_count++;
    *element = (dvk_json){.kind = kind, .span = 1};
    return element;
}

static void put(reader *r, const uint8_t *bytes, size_t count) {
    if (r->elements)
        memcpy(r->text + r->text_bytes, bytes, count);
    r->text_bytes += count;
}

/* ------------------------------------------------------------------------------------------------ strings */

/* The length of the UTF-8 sequence here, 0 where it is none: no overlong forms, no surrogates, nothing beyond
 * U+10FFFF (the table of the Unicode standard's "Well-Formed UTF-8 Byte Sequences"). */
static size_t utf8_length(const reader *r) {
    const uint8_t *p = r->next;
    const size_t left = (size_t)(r->end - p);
    const size_t length = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (!length || left < length)
        return 0;
    const uint8_t lowest = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    const uint8_t highest = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < lowest || p[1] > highest)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static bool read_hex(reader *r, uint32_t *number) {
    *number = 0;
    for (int i = 0; i < 4; i++, r->next++) {
        const uint8_t c = r->next < r->end ? *r->next : 0, letter = c | 0x20;
        if (c >= '0' && c <= '9')
            *number = *number << 4 | (uint32_t)(c - '0');
        else if (letter >= 'a' && letter <= 'f')
            *number = *number << 4 | (uint32_t)(letter - 'a' + 10);
        else
            return expect(r, "four hexadecimal digits");
    }
    return true;
}

static void put_character(reader *r, uint32_t code) {
    const uint8_t last = (uint8_t)(0x80 | (code & 0x3f)), third = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    if (code < 0x80)
        put(r, (const uint8_t[]){(uint8_t)code}, 1);
    else if (code < 0x800)
        put(r, (const uint8_t[]){(uint8_t)(0xc0 | code >> 6), last}, 2);
    else if (code < 0x10000)
        put(r, (const uint8_t[]){(uint8_t)(0xe0 | code >> 12), third, last}, 3);
    else
        put(r, (const uint8_t[]){(uint8_t)(0xf0 | code >> 18), (uint8_t)(0x80 | (code >> 12 & 0x3f)), third, last}, 4);
}

/* Behind "\u". */
static bool read_unicode(reader *r) {
    uint32_t code, low;
    if (!read_hex(r, &code))
        return false;
    if (code >= 0xdc00 && code < 0xe000)
        return refuse(r, "a string has the second half of a surrogate pair without the first");
    if (code >= 0xd800 && code < 0xdc00) {
        if (r->end - r->next < 2 || memcmp(r->next, "\\u", 2) != 0)
            return expect(r, "the second half of a surrogate pair");
        r->next += 2;
        if (!read_hex(r, &low))
            return false;
        if (low < 0xdc00 || low >= 0xe000)
            return refuse(r, "a string has the first half of a surrogate pair without the second");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (!code)
        return refuse(r, "a string has the character U+0000, which no text of ours can hold");
    put_character(r, code);
    return true;
}

/* Behind the backslash. */
static bool read_escape(reader *r) {
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (at(r, 'u')) {
        r->next++;
        return read_unicode(r);
    }
    const char *escape = r->next < r->end && *r->next ? strchr(escapes, *r->next) : NULL;
    if (!escape)
        return expect(r, "one of \" \\ / b f n r t u behind a backslash");
    r->next++;
    put(r, (const uint8_t *)&meanings[escape - escapes], 1);
    return true;
}

/* At the first quote. */
static bool read_string(reader *r) {
    dvk_json *element = add(r, DVK_JSON_STRING);
    element->text = r->elements ? r->text + r->text_bytes : NULL;
    r->next++;
    for (;;) {
        const uint8_t *run = r->next;
        while (r->next < r->end && *r->next >= ' ' && *r->next < 0x80 && *r->next != '"' && *r->next != '\\')
            r->next++;
        put(r, run, (size_t)(r->next - run));
        if (r->next == r->end)
            return expect(r, "the closing quote of a string");
        if (*r->next == '"')
            break;
        if (*r->next == '\\') {
            r->next++;
            if (!read_escape(r))
                return false;
        } else if (*r->next < ' ') {
            return expect(r, "an escape, as control characters in strings need");
        } else {
            const size_t length = utf8_length(r);
            if (!length)
                return expect(r, "UTF-8");
            put(r, r->next, length);
            r->next += length;
        }
    }
    r->next++;
    put(r, (const uint8_t *)"", 1);
    return true;
}

/* ------------------------------------------------------------------------------------------------ numbers */

static bool set_integer(reader *r, const uint8_t *digits, bool negative) {
    const uint64_t limit = (uint64_t)INT64_MAX + negative;
    uint64_t number = 0;
    for (; digits < r->next; digits++) {
        const uint64_t digit = (uint64_t)(*digits - '0');
        if (number > (limit - digit) / 10)
            return refuse(r, "an integer does not fit 64 bits");
        number = number * 10 + digit;
    }
    add(r, DVK_JSON_INTEGER)->integer = negative ? (int64_t)(~number + 1) : (int64_t)number;
    return true;
}

/* strtod() takes the locale's decimal point, so it gets none: 1.25e3 becomes 125e1. */
static bool set_real(reader *r, const uint8_t *start) {
    char text[NUMBER_LIMIT + 16];
    size_t length = 0;
    int scale = 0, exponent = 0;
    bool fraction = false;
    const uint8_t *p = start;
    if (r->next - start > NUMBER_LIMIT)
        return refuse(r, "a number has more than 400 characters");
    for (; p < r->next && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            fraction = true;
        } else {
            text[length++] = (char)*p;
            scale -= fraction;
        }
    }
    if (p < r->next) {
        const uint8_t sign = *++p;
        p += sign == '-' || sign == '+';
        for (; p < r->next; p++)
            if (exponent < 100000) /* more changes nothing */
                exponent = exponent * 10 + (*p - '0');
        scale += sign == '-' ? -exponent : exponent;
    }
    snprintf(text + length, sizeof(text) - length, "e%d", scale);
    const double number = strtod(text, NULL);
    if (!isfinite(number))
        return refuse(r, "a number is larger than a double can be");
    add(r, DVK_JSON_REAL)->number = number;
    return true;
}

static bool skip_digits(reader *r) {
    if (!at_digit(r))
        return expect(r, "a digit");
    while (at_digit(r))
        r->next++;
    return true;
}

static bool read_number(reader *r) {
    const uint8_t *start = r->next;
    const bool negative = at(r, '-');
    r->next += negative;
    if (at(r, '0')) {
        r->next++;
        if (at_digit(r))
            return refuse(r, "a number begins with 0");
    } else if (!skip_digits(r)) {
        return false;
    }
    const uint8_t *integer_end = r->next;
    if (at(r, '.')) {
        r->next++;
        if (!skip_digits(r))
            return false;
    }
    if (at(r, 'e') || at(r, 'E')) {
        r->next++;
        r->next += at(r, '+') || at(r, '-');
        if (!skip_digits(r))
            return false;
    }
    /* No integer has a negative zero; and the safetensors crate takes it for none. */
    const bool negative_zero = negative && start[1] == '0';
    return r->next == integer_end && !negative_zero ? set_integer(r, start + negative, negative) : set_real(r, start);
}

/* --------------------------------------------------------------------------------------------- containers */

static int compare_keys(const void *a, const void *b, const void *object) {
    const dvk_json *element = object;
    return strcmp(element[*(const uint32_t *)a].text, element[*(const uint32_t *)b].text);
}

/* A large object's keys in ascending order, as distances from the object, lie in its last elements. */
static uint32_t index_elements(uint32_t keys) {
    return keys > UNSORTED_KEYS ? (uint32_t)((keys * sizeof(uint32_t) + sizeof(dvk_json) - 1) / sizeof(dvk_json)) : 0;
}

static uint32_t *index_of(const dvk_json *object) {
    return (uint32_t *)(uintptr_t)(object + object->span - index_elements(object->count));
}

static bool refuse_twin(reader *r, const dvk_json *key) {
    char what[160];
    snprintf(what, sizeof(what), "the object that ends here has the duplicate key \"%s\"", dvk_quote(key->text).text);
    return refuse(r, what);
}

static bool check_keys(reader *r, dvk_json *object) {
    uint32_t few[UNSORTED_KEYS] = {0}, *keys = index_elements(object->count) ? index_of(object) : few;
    const dvk_json *key = object + 1;
    for (uint32_t i = 0; i < object->count; i++, key = dvk_json_next_key(key))
        keys[i] = (uint32_t)(key - object);
    dvk_sort(keys, object->count, sizeof(*keys), compare_keys, object);
    for (uint32_t i = 1; i < object->count; i++)
        if (!compare_keys(&keys[i - 1], &keys[i], object))
            return refuse_twin(r, object + keys[i]);
    return true;
}

static bool open_container(reader *r, bool is_object) {
    if (r->depth == DVK_JSON_DEPTH_LIMIT)
        return refuse(r, "lists and objects are nested to a depth of more than 256");
    r->open[r->depth++] = (container){.first = r->element_count, .is_object = is_object};
    add(r, is_object ? DVK_JSON_OBJECT : DVK_JSON_LIST);
    r->next++;
    return true;
}

static bool close_container(reader *r) {
    const container *closed = &r->open[--r->depth];
    r->next++;
    if (closed->is_object)
        r->element_count += index_elements(closed->count);
    if (!r->elements)
        return true;
    dvk_json *element = &r->elements[closed->first];
    element->count = closed->count;
    element->span = r->element_count - closed->first;
    return !closed->is_object || check_keys(r, element);
}

/* ------------------------------------------------------------------------------------------------- values */

static bool read_word(reader *r, const char *word, dvk_json_kind kind) {
    const size_t length = strlen(word);
    if ((size_t)(r->end - r->next) < length || memcmp(r->next, word, length) != 0)
        return expect(r, "a value");
    r->next += length;
    add(r, kind);
    return true;
}

/* A whole value, or the beginning of a container. */
static bool read_value(reader *r) {
    skip_space(r);
    switch (r->next < r->end ? *r->next : 0) {
    case '{':
        return open_container(r, true);
    case '[':
        return open_container(r, false);
    case '"':
        return read_string(r);
    case 't':
        return read_word(r, "true", DVK_JSON_TRUE);
    case 'f':
        return read_word(r, "false", DVK_JSON_FALSE);
    case 'n':
        return read_word(r, "null", DVK_JSON_NULL);
    default:
        return at(r, '-') || at_digit(r) ? read_number(r) : expect(r, "a value");
    }
}

static bool read_key(reader *r) {
    skip_space(r);
    if (!at(r, '"'))
        return expect(r, "a key in quotes");
    if (!read_string(r))
        return false;
    skip_space(r);
    if (!at(r, ':'))
        return expect(r, "':' behind a key");
    r->next++;
    return true;
}

/* No recursion: what is open is on the reader's own stack. */
static bool read_text(reader *r) {
    r->next = r->start;
    r->element_count = 0;
    r->text_bytes = 0;
    if (!read_value(r))
        return false;
    while (r->depth) {
        container *innermost = &r->open[r->depth - 1];
        skip_space(r);
        if (at(r, innermost->is_object ? '}' : ']')) {
            if (!close_container(r))
                return false;
            continue;
        }
        if (innermost->count++) {
            if (!at(r, ','))
                return expect(r, innermost->is_object ? "',' or '}'" : "',' or ']'");
            r->next++;
        }
        if ((innermost->is_object && !read_key(r)) || !read_value(r))
            return false;
    }
    skip_space(r);
    return r->next == r->end || expect(r, "nothing behind the value");
}

dvk_result dvk_json_parse(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                          dvk_json **root, dvk_error *error) {
    reader r = {.start = bytes, .end = size ? (const uint8_t *)bytes + size : bytes, .path = path, .error = error};
    /* No text has more elements than bytes, and so none has more than 32 bits can count. */
    if (size > INT32_MAX)
        return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s has %zu bytes of JSON, more than the 2 GiB that can be read",
                        path, size);
    if (!read_text(&r))
        return r.result;
    const uint64_t wanted = (uint64_t)r.element_count * sizeof(dvk_json) + r.text_bytes;
    dvk_json *elements = wanted <= SIZE_MAX ? dvk_allocate(allocator, (size_t)wanted) : NULL;
    if (!elements)
        return dvk_fail_memory(error, wanted <= SIZE_MAX ? (size_t)wanted : SIZE_MAX);
    r.elements = elements;
    r.text = (char *)(elements + r.element_count);
    if (!read_text(&r)) { /* a key that occurs twice */
        dvk_release(allocator, elements);
        return r.result;
    }
    *root = elements;
    return DVK_OK;
}

dvk_result dvk_json_parse_object(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                                 dvk_json **root, dvk_error *error) {
    dvk_json *parsed = NULL;
    dvk_result result = dvk_json_parse(allocator, bytes, size, path, &parsed, error);
    if (result != DVK_OK)
        return result;
    if (!dvk_json_is(parsed, DVK_JSON_OBJECT)) {
        result = dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: expected a JSON object, found %s", path,
                          dvk_json_type_name(parsed));
        dvk_release(allocator, parsed);
        return result;
    }
    *root = parsed;
    return DVK_OK;
}

const dvk_json *dvk_json_get(const dvk_json *object, const char *key) {
    if (!dvk_json_is(object, DVK_JSON_OBJECT))
        return NULL;
    if (!index_elements(object->count)) {
        const dvk_json *candidate = object + 1;
        for (uint32_t i = 0; i < object->count; i++, candidate = dvk_json_next_key(candidate))
            if (!strcmp(candidate->text, key))
                return candidate + 1;
        return NULL;
    }
    const uint32_t *keys = index_of(object);
    for (uint32_t first = 0, last = object->count; first < last;) {
        const uint32_t middle = first + (last - first) / 2;
        const int order = strcmp(key, object[keys[middle]].text);
        if (!order)
            return object + keys[middle] + 1;
        if (order < 0)
            last = middle;
        else
            first = middle + 1;
    }
    return NULL;
}
