/* The JSON reader: what it takes and what that means, what it refuses and where. The cases follow RFC 8259's grammar,
 * one rule after the other. */
#include "json.h"

#include <float.h>
#include <locale.h>
#include <math.h>

#include "test.h"
#include "../memory/test_allocator.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Writes a value in one form for each kind: i12, r0.5, s<text>, [...], {...}, n, t, f. */
static const dvk_json *print(const dvk_json *value, char **end) {
    const dvk_json *next = value + 1;
    switch ((dvk_json_kind)value->kind) {
    case DVK_JSON_NULL:
    case DVK_JSON_FALSE:
    case DVK_JSON_TRUE:
        *end += sprintf(*end, "%c", "nft"[value->kind]);
        return next;
    case DVK_JSON_INTEGER:
        *end += sprintf(*end, "i%lld", (long long)value->integer);
        return next;
    case DVK_JSON_REAL:
        *end += sprintf(*end, "r%.17g", value->number);
        return next;
    case DVK_JSON_STRING:
        *end += sprintf(*end, "s%s", value->text);
        return next;
    case DVK_JSON_LIST:
    case DVK_JSON_OBJECT:
        break;
    }
    const bool object = value->kind == DVK_JSON_OBJECT;
    *end += sprintf(*end, object ? "{" : "[");
    for (uint32_t i = 0; i < value->count; i++) {
        if (i)
            *end += sprintf(*end, " ");
        if (object) {
            *end += sprintf(*end, "%s:", next->text);
            CHECK(dvk_json_get(value, next->text) == next + 1);
            next++;
        } else {
            CHECK(dvk_json_item(value, i) == next);
        }
        next = print(next, end);
    }
    *end += sprintf(*end, object ? "}" : "]");
    return value + value->span;
}

static void test_valid(void) {
    static const char *const cases[][2] = {
        /* the three words, and space of all four kinds around a value */
        {"null", "n"},
        {"true", "t"},
        {"false", "f"},
        {" \t\r\n null \t\r\n ", "n"},
        /* numbers */
        {"0", "i0"},
        {"-0", "r-0"},
        {"7", "i7"},
        {"-123", "i-123"},
        {"9223372036854775807", "i9223372036854775807"},
        {"-9223372036854775808", "i-9223372036854775808"},
        {"0.5", "r0.5"},
        {"-0.0", "r-0"},
        {"1e0", "r1"},
        {"1E+2", "r100"},
        {"12.5e-1", "r1.25"},
        {"0e99999999999999999999", "r0"},
        {"1e-99999999999999999999", "r0"},
        {"4.9e-324", "r4.9406564584124654e-324"},
        {"1.7976931348623157e308", "r1.7976931348623157e+308"},
        {"0.1", "r0.10000000000000001"},
        {"0.00392156862745098", "r0.0039215686274509803"},
        {"9007199254740993.0", "r9007199254740992"}, /* halfway: to even */
        {"9007199254740993.0000000000000000000000001", "r9007199254740994"},
        {"100000000000000000000000.0", "r9.9999999999999992e+22"},
        /* strings */
        {"\"\"", "s"},
        {"\"a b\"", "sa b"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "s\"\\/\b\f\n\r\t"},
        {"\"\x7f\"", "s\x7f"},
        {"\"\\u0041\\u00e9\\u20AC\"", "sA\xc3\xa9\xe2\x82\xac"},
        {"\"\\uD834\\uDD1E\"", "s\xf0\x9d\x84\x9e"},
        {"\"\\uDBFF\\uDFFF\"", "s\xf4\x8f\xbf\xbf"},
        {"\"\\uffff\"", "s\xef\xbf\xbf"},
        {"\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
         "s\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {"\"\\u0001\"", "s\x01"},
        /* lists */
        {"[]", "[]"},
        {"[ ]", "[]"},
        {"[1]", "[i1]"},
        {"[ 1 , \"a\",null,[ ],[[2]] ]", "[i1 sa n [] [[i2]]]"},
        /* objects */
        {"{}", "{}"},
        {"{ }", "{}"},
        {"{\"a\":1}", "{a:i1}"},
        {"{ \"b\" : [1,2] , \"a\" : { \"b\" : { } } }", "{b:[i1 i2] a:{b:{}}}"},
        {"{\"\":0}", "{:i0}"},
        {"{\"a\":{\"a\":{\"a\":1}}}", "{a:{a:{a:i1}}}"},
        {"{\"h\":1,\"g\":2,\"f\":3,\"e\":4,\"d\":5,\"c\":6,\"b\":7,\"a\":8}",
         "{h:i1 g:i2 f:i3 e:i4 d:i5 c:i6 b:i7 a:i8}"},
        /* nine keys: these have an index */
        {"{\"i\":[{}],\"h\":1,\"g\":2,\"f\":3,\"e\":4,\"d\":5,\"c\":6,\"b\":7,\"a\":8}",
         "{i:[{}] h:i1 g:i2 f:i3 e:i4 d:i5 c:i6 b:i7 a:i8}"},
        {"[{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":{\"a\":1}},0]",
         "[{a:i1 b:i2 c:i3 d:i4 e:i5 f:i6 g:i7 h:i8 i:i9 j:{a:i1}} i0]"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const size_t size = strlen(cases[i][0]);
        char *exact = malloc(size), found[512], *end = found; /* so that a sanitizer sees any byte too far */
        REQUIRE(exact);
        memcpy(exact, cases[i][0], size);
        dvk_json *root = NULL;
        dvk_error error;
        dvk_result result = dvk_json_parse(NULL, exact, size, "x", &root, &error);
        CHECK_MESSAGE(result == DVK_OK, "%s: %s", cases[i][0], error.message);
        if (result == DVK_OK) {
            CHECK_MESSAGE(print(root, &end) == root + root->span && !strcmp(found, cases[i][1]),
                          "%s: found %s, expected %s", cases[i][0], found, cases[i][1]);
            dvk_release(NULL, root);
        }
        free(exact);
    }
}

static void test_invalid(void) {
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "expected a value, found the end (line 1, column 1)"},
        {" \n ", "expected a value, found the end (line 2, column 2)"},
        {"1 2", "expected nothing behind the value, found '2' (line 1, column 3)"},
        {"{}x", "expected nothing behind the value, found 'x'"},
        {"[]]", "nothing behind the value, found ']'"},
        {"\xef\xbb\xbf{}", "expected a value, found the byte 0xef"},
        {"nul", "a value"},
        {"nulL", "a value"},
        {"True", "a value, found 'T'"},
        {"NaN", "a value, found 'N'"},
        {"Infinity", "a value"},
        {"-Infinity", "a digit, found 'I'"},
        {"undefined", "a value"},
        {"'a'", "a value, found '''"},
        {"/**/1", "a value, found '/'"},
        {"1//", "nothing behind"},
        {"\v1", "a value, found the byte 0x0b"},
        {"\xc2\xa0", "a value, found the byte 0xc2"},
        /* numbers */
        {"-", "a digit, found the end"},
        {"+1", "a value, found '+'"},
        {".5", "a value, found '.'"},
        {"5.", "a digit, found the end"},
        {"1.e2", "a digit, found 'e'"},
        {"1e", "a digit, found the end"},
        {"1e+", "a digit"},
        {"01", "begins with 0 (line 1, column 2)"},
        {"-00", "begins with 0"},
        {"0x10", "nothing behind the value, found 'x'"},
        {"1_000", "nothing behind"},
        {"1,5", "nothing behind"},
        {"9223372036854775808", "does not fit 64 bits"},
        {"-9223372036854775809", "does not fit 64 bits"},
        {"100000000000000000000", "does not fit 64 bits"},
        {"1e309", "larger than a double"},
        {"-1e309", "larger than a double"},
        {"1e99999999999999999999", "larger than a double"},
        /* strings */
        {"\"", "the closing quote of a string, found the end"},
        {"\"a", "the closing quote"},
        {"\"\\\"", "the closing quote"},
        {"\"\\", "behind a backslash, found the end"},
        {"\"\\x41\"", "behind a backslash, found 'x'"},
        {"\"\\a\"", "behind a backslash"},
        {"\"\\u\"", "four hexadecimal digits"},
        {"\"\\u12\"", "four hexadecimal digits, found '\"'"},
        {"\"\\u12G4\"", "four hexadecimal digits, found 'G'"},
        {"\"\\u", "four hexadecimal digits, found the end"},
        {"\"\\ud800\"", "the second half of a surrogate pair"},
        {"\"\\ud800x\"", "the second half of a surrogate pair"},
        {"\"\\ud800\\n\"", "the second half of a surrogate pair"},
        {"\"\\ud800\\u0041\"", "first half of a surrogate pair without the second"},
        {"\"\\udc00\"", "second half of a surrogate pair without the first"},
        {"\"\\ud800\\", "the second half"},
        {"\"a\\u0000b\"", "U+0000"},
        {"\"a\nb\"", "an escape, as control characters in strings need, found the byte 0x0a"},
        {"\"\t\"", "an escape"},
        {"\"\x1f\"", "an escape"},
        {"\"\x80\"", "UTF-8, found the byte 0x80"},
        {"\"\xc0\x80\"", "UTF-8"},     /* overlong */
        {"\"\xc1\xbf\"", "UTF-8"},     /* overlong */
        {"\"\xe0\x9f\xbf\"", "UTF-8"}, /* overlong */
        {"\"\xf0\x8f\xbf\xbf\"", "UTF-8"},
        {"\"\xed\xa0\x80\"", "UTF-8"},     /* a surrogate */
        {"\"\xf4\x90\x80\x80\"", "UTF-8"}, /* beyond U+10FFFF */
        {"\"\xf5\x80\x80\x80\"", "UTF-8"},
        {"\"\xff\"", "UTF-8"},
        {"\"\xe2\x82\"", "UTF-8"},
        {"\"\xe2\x82", "UTF-8"},
        {"\"\xc3", "UTF-8"},
        {"\"\xe2\x28\xac\"", "UTF-8"},
        {"\"\xf0\x9d\x84\x28\"", "UTF-8"},
        /* lists */
        {"[", "a value, found the end"},
        {"[1", "',' or ']', found the end"},
        {"[1,", "a value, found the end"},
        {"[1,]", "a value, found ']' (line 1, column 4)"},
        {"[,1]", "a value, found ','"},
        {"[1,,2]", "a value, found ','"},
        {"[1 2]", "',' or ']', found '2'"},
        {"[1}", "',' or ']', found '}'"},
        {"[1:2]", "',' or ']', found ':'"},
        /* objects */
        {"{", "a key in quotes, found the end"},
        {"{1:2}", "a key in quotes, found '1'"},
        {"{a:1}", "a key in quotes, found 'a'"},
        {"{\"a\"}", "':' behind a key, found '}'"},
        {"{\"a\" 1}", "':' behind a key, found '1'"},
        {"{\"a\":}", "a value, found '}'"},
        {"{\"a\":1", "',' or '}', found the end"},
        {"{\"a\":1,}", "a key in quotes, found '}'"},
        {"{,\"a\":1}", "a key in quotes, found ','"},
        {"{\"a\":1 \"b\":2}", "',' or '}', found '\"'"},
        {"{\"a\":1]", "',' or '}', found ']'"},
        {"{\"a\":1,\"a\":1}", "ends here has the duplicate key \"a\" (line 1, column 14)"},
        {"{\"a\":1,\"b\":2,\"\\u0061\":1}", "the duplicate key \"a\""},
        {"[{\"a\":{\"b\":1,\"b\":2}}]", "the duplicate key \"b\""},
        {"{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"e\":10}",
         "the duplicate key \"e\""},
        /* places: lines end in \n, a character is one column */
        {"{\n \"\xc3\xa9\": x}", "found 'x' (line 2, column 7)"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const size_t size = strlen(cases[i].text);
        char *exact = malloc(size ? size : 1);
        REQUIRE(exact);
        memcpy(exact, cases[i].text, size);
        test_memory memory;
        const dvk_allocator allocator = test_allocator(&memory);
        dvk_json *root = NULL;
        dvk_error error = {0};
        CHECK_MESSAGE(dvk_json_parse(&allocator, exact, size, "a.json", &root, &error) == DVK_ERROR_BAD_FILE,
                      "%s is not refused", cases[i].text);
        CHECK_MESSAGE(!strncmp(error.message, "a.json is not valid JSON: ", 26) &&
                          strstr(error.message, cases[i].words),
                      "%s: %s", cases[i].text, error.message);
        CHECK(!root && !memory.live);
        CHECK_MESSAGE(!memory.calls || strstr(cases[i].words, "duplicate"), "%s costs memory", cases[i].text);
        CHECK(dvk_json_parse(NULL, exact, size, "a.json", &root, NULL) == DVK_ERROR_BAD_FILE);
        free(exact);
    }
    dvk_json *root = NULL;
    CHECK(dvk_json_parse(NULL, "\"a\0b\"", 5, "x", &root, NULL) == DVK_ERROR_BAD_FILE);
    CHECK(dvk_json_parse(NULL, "1\0", 2, "x", &root, NULL) == DVK_ERROR_BAD_FILE);
    CHECK(dvk_json_parse(NULL, NULL, 0, "x", &root, NULL) == DVK_ERROR_BAD_FILE);
}

static dvk_result parse_repeated(const char *before, const char *unit, size_t count, const char *after,
                                 const dvk_allocator *allocator, dvk_json **root) {
    const size_t length = strlen(unit), begin = strlen(before), size = begin + count * length + strlen(after);
    char *text = malloc(size + 1);
    REQUIRE(text);
    memcpy(text, before, begin);
    for (size_t i = 0; i < count; i++)
        memcpy(text + begin + i * length, unit, length);
    strcpy(text + begin + count * length, after);
    dvk_result result = dvk_json_parse(allocator, text, size, "x", root, NULL);
    free(text);
    return result;
}

/* Depth, and numbers as long as they may be. */
static void test_limits(void) {
    dvk_json *root = NULL;
    for (uint32_t over = 0; over < 2; over++) {
        char lists[2 * DVK_JSON_DEPTH_LIMIT + 8];
        memset(lists, '[', DVK_JSON_DEPTH_LIMIT + over);
        memset(lists + DVK_JSON_DEPTH_LIMIT + over, ']', DVK_JSON_DEPTH_LIMIT + over);
        dvk_result result = dvk_json_parse(NULL, lists, 2 * (DVK_JSON_DEPTH_LIMIT + over), "x", &root, NULL);
        CHECK(result == (over ? DVK_ERROR_BAD_FILE : DVK_OK));
        if (result == DVK_OK) {
            CHECK(root->span == DVK_JSON_DEPTH_LIMIT && root[DVK_JSON_DEPTH_LIMIT - 1].count == 0);
            dvk_release(NULL, root);
        }
    }
    CHECK(parse_repeated("", "[", 1000000, "", NULL, &root) == DVK_ERROR_BAD_FILE);
    CHECK(parse_repeated("", "{\"a\":", 1000000, "", NULL, &root) == DVK_ERROR_BAD_FILE);
    REQUIRE(parse_repeated("0.", "1", 398, "", NULL, &root) == DVK_OK);
    CHECK(fabs(root->number - 1.0 / 9) <= DBL_EPSILON);
    dvk_release(NULL, root);
    CHECK(parse_repeated("0.", "1", 399, "", NULL, &root) == DVK_ERROR_BAD_FILE);
    REQUIRE(parse_repeated("0.", "0", 310, "1e+311", NULL, &root) == DVK_OK);
    CHECK(root->number == 1);
    dvk_release(NULL, root);
}

/* Memory is what the header promises, whatever the text is made of; and ten times the keys take ten times as long, not
 * a hundred: this would run into the test's timeout. */
static void test_size(void) {
    test_memory memory;
    const dvk_allocator allocator = test_allocator(&memory);
    dvk_json *root = NULL;
    REQUIRE(parse_repeated("[0", ",1", 1000000, "]", &allocator, &root) == DVK_OK);
    CHECK(root->count == 1000001 && memory.calls == 1 && memory.live_bytes == 16 * 1000002);
    dvk_release(&allocator, root);
    REQUIRE(parse_repeated("[\"\"", ",\"abc\"", 100000, "]", &allocator, &root) == DVK_OK);
    CHECK(memory.live_bytes == 16 * 100002 + 4 * 100000 + 1);
    dvk_release(&allocator, root);

    enum { KEYS = 200000, LENGTH_OF_PAIR = 16 };
    char *text = malloc(KEYS * LENGTH_OF_PAIR + 3), *end = text;
    REQUIRE(text);
    for (int order = 0; order < 3; order++) { /* ascending, descending, mixed */
        end = text + sprintf(text, "{");
        for (uint32_t i = 0; i < KEYS; i++) {
            const uint32_t key = order == 0 ? i : order == 1 ? KEYS - 1 - i : (uint32_t)(i * 7919ull % KEYS);
            end += sprintf(end, "%s\"%06u\":%u", i ? "," : "", key, key % 10);
        }
        end += sprintf(end, "}");
        REQUIRE(dvk_json_parse(&allocator, text, (size_t)(end - text), "x", &root, NULL) == DVK_OK);
        CHECK(memory.live_bytes == 16 * (1 + 2 * KEYS) + 4 * KEYS + 7 * KEYS);
        for (uint32_t i = 0; i < KEYS; i += 997) {
            char key[16];
            snprintf(key, sizeof(key), "%06u", i);
            const dvk_json *found = dvk_json_get(root, key);
            CHECK(dvk_json_is(found, DVK_JSON_INTEGER) && found->integer == i % 10);
        }
        CHECK(!dvk_json_get(root, "") && !dvk_json_get(root, "1") && !dvk_json_get(root, "x"));
        dvk_release(&allocator, root);
    }
    free(text);
    CHECK(memory.live == 0);
    dvk_error error;
    memory.fail_at = memory.calls + 1;
    CHECK(dvk_json_parse(&allocator, "[1]", 3, "x", &root, &error) == DVK_ERROR_OUT_OF_HOST_MEMORY);
}

/* Decimal points are points everywhere. */
static void test_locale(void) {
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8"};
    bool set = false;
    for (size_t i = 0; i < LENGTH(names) && !set; i++)
        set = setlocale(LC_NUMERIC, names[i]) != NULL;
    dvk_json *root = NULL;
    REQUIRE(dvk_json_parse(NULL, "-1.5e1", 6, "x", &root, NULL) == DVK_OK);
    CHECK(root->number == -15);
    dvk_release(NULL, root);
    setlocale(LC_NUMERIC, "C");
    if (!set)
        printf("part of this test was skipped: no locale with a decimal comma is installed\n");
}

static void test_getters(void) {
    static const char text[] = "{\"a\": 3, \"b\": -1, \"c\": 2.5, \"d\": true, \"e\": [1, \"x\"]}";
    dvk_json *root = NULL;
    dvk_error error;
    uint32_t number = 7;
    double real = 7;
    bool flag = false;
    REQUIRE(dvk_json_parse_object(NULL, text, strlen(text), "x", &root, &error) == DVK_OK);
    CHECK(dvk_json_get_uint(root, "a", 1, 3, "x", &number, &error) == DVK_OK && number == 3);
    CHECK(dvk_json_get_uint(root, "z", 1, 3, "x", &number, &error) == DVK_OK && number == 3);
    CHECK(dvk_json_get_uint(root, "b", 0, 3, "x", &number, &error) == DVK_ERROR_BAD_FILE);
    CHECK(strstr(error.message, "from 0 to 3, found -1"));
    CHECK(dvk_json_get_uint(root, "c", 0, 3, "x", &number, &error) == DVK_ERROR_BAD_FILE);
    CHECK(strstr(error.message, "found a fractional number"));
    CHECK(dvk_json_get_double(root, "c", 0, 3, "x", &real, &error) == DVK_OK && real == 2.5);
    CHECK(dvk_json_get_double(root, "a", 0, 3, "x", &real, &error) == DVK_OK && real == 3);
    CHECK(dvk_json_get_double(root, "d", 0, 3, "x", &real, &error) == DVK_ERROR_BAD_FILE);
    CHECK(dvk_json_get_bool(root, "d", "x", &flag, &error) == DVK_OK && flag);
    CHECK(dvk_json_get_bool(root, "a", "x", &flag, &error) == DVK_ERROR_BAD_FILE);
    const dvk_json *list = dvk_json_get(root, "e");
    CHECK(dvk_json_count(list) == 2 && dvk_json_count(root) == 5 && dvk_json_count(NULL) == 0);
    CHECK(!strcmp(dvk_json_text(dvk_json_item(list, 1)), "x") && !dvk_json_text(dvk_json_item(list, 0)));
    CHECK(!dvk_json_item(list, 2) && !dvk_json_item(root, 0) && !dvk_json_get(list, "a") && !dvk_json_get(NULL, "a"));
    dvk_release(NULL, root);
    CHECK(dvk_json_parse_object(NULL, "[]", 2, "x", &root, &error) == DVK_ERROR_BAD_FILE);
    CHECK(strstr(error.message, "expected a JSON object, found a list"));
}

int main(void) {
    test_valid();
    test_invalid();
    test_limits();
    test_size();
    test_locale();
    test_getters();
    return FINISH();
}
