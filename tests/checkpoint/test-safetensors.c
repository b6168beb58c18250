/* The container: what the reference implementation accepts and refuses, case by case. */
#include "safetensors.h"

#include "files.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

typedef struct bad_header {
    const char *header;
    size_t data_size;
    dvk_result code;
    const char *words; /* what the message must hold */
} bad_header;

#define BAD DVK_ERROR_BAD_FILE
#define ONE(dtype, shape, offsets) "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(first, second)                                                                                             \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" first "},\"b\":{\"dtype\":\"F32\",\"shape\":[1],"      \
    "\"data_offsets\":" second "}}"

static const bad_header bad_headers[] = {
    /* not JSON, or not the JSON of a header */
    {"", 0, BAD, "begin with '{'"},
    {"[]", 0, BAD, "begin with '{'"},
    {" {}", 0, BAD, "begin with '{'"},
    {"{", 0, BAD, "not valid JSON"},
    {"{}x", 0, BAD, "not valid JSON"},
    {"{\"a\":1}", 0, BAD, "must be described by an object, found an integer"},
    {"{\"a\":null}", 0, BAD, "found null"},
    {"{\"a\\u0000b\":{}}", 0, BAD, "not valid JSON"},
    {"{\"\xff\":{}}", 0, BAD, "not valid JSON"},
    {"{\"a\":\"\xc3\"}", 0, BAD, "not valid JSON"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],"
     "\"data_offsets\":[4,8]}}",
     8, BAD, "duplicate"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, BAD, "duplicate"},
    /* __metadata__ */
    {"{\"__metadata__\":[]}", 0, BAD, "\"__metadata__\" must be an object"},
    {"{\"__metadata__\":{\"n\":1}}", 0, BAD, "strings only"},
    {"{\"__metadata__\":{\"n\":{}}}", 0, BAD, "strings only"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, BAD, "duplicate"},
    /* dtype */
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, BAD, "needs \"dtype\" as a string, found nothing"},
    {ONE("7", "[1]", "[0,4]"), 4, BAD, "needs \"dtype\" as a string, found an integer"},
    {ONE("\"F33\"", "[1]", "[0,4]"), 4, BAD, "dtype \"F33\""},
    {ONE("\"f32\"", "[1]", "[0,4]"), 4, BAD, "dtype \"f32\""},
    {ONE("\"F32\\u001b[31m\"", "[1]", "[0,4]"), 4, BAD, "dtype \"F32?[31m\""},
    /* shape */
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, BAD, "needs \"shape\" as a list, found nothing"},
    {ONE("\"F32\"", "4", "[0,4]"), 4, BAD, "needs \"shape\""},
    {ONE("\"F32\"", "[-1]", "[0,4]"), 4, BAD, "integers from 0 up"},
    {ONE("\"F32\"", "[1.0]", "[0,4]"), 4, BAD, "integers from 0 up"},
    {ONE("\"F32\"", "[-0]", "[0,0]"), 0, BAD, "integers from 0 up"},
    {ONE("\"F32\"", "[\"1\"]", "[0,4]"), 4, BAD, "integers from 0 up"},
    {ONE("\"F32\"", "[18446744073709551615]", "[0,4]"), 4, BAD, "not valid JSON"},
    {ONE("\"F32\"", "[9223372036854775808]", "[0,4]"), 4, BAD, "not valid JSON"},
    {ONE("\"F32\"", "[4294967296,4294967296]", "[0,4]"), 4, BAD, "overflows 64 bits"},
    {ONE("\"F32\"", "[4294967297,4294967297]", "[0,4]"), 4, BAD, "overflows 64 bits"},
    {ONE("\"F32\"", "[4611686018427387904]", "[0,4]"), 4, BAD, "overflows 64 bits"},
    {ONE("\"F32\"", "[576460752303423489]", "[0,4]"), 4, BAD, "overflows 64 bits"}, /* wraps to 4 bytes in 64 bits */
    {ONE("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, DVK_ERROR_UNSUPPORTED, "9 dimensions"},
    /* data_offsets */
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, BAD, "\"data_offsets\" as a list of two"},
    {ONE("\"F32\"", "[1]", "[0]"), 4, BAD, "list of two"},
    {ONE("\"F32\"", "[1]", "[0,4,8]"), 4, BAD, "list of two"},
    {ONE("\"F32\"", "[1]", "[0,4.0]"), 4, BAD, "list of two"},
    {ONE("\"F32\"", "[1]", "[-0,4]"), 4, BAD, "list of two"},
    {ONE("\"F32\"", "[1]", "{\"0\":0}"), 4, BAD, "list of two"},
    {ONE("\"F32\"", "[1]", "[-4,0]"), 4, BAD, "data_offsets [-4, 0]"},
    {ONE("\"F32\"", "[1]", "[4,0]"), 4, BAD, "data_offsets [4, 0]"},
    {ONE("\"F32\"", "[1]", "[0,8]"), 4, BAD, "truncated"},
    {ONE("\"F32\"", "[1]", "[9223372036854775803,9223372036854775807]"), 4, BAD, "truncated"},
    {ONE("\"F32\"", "[2]", "[0,4]"), 4, BAD, "2 elements of F32"},
    {ONE("\"F16\"", "[3]", "[0,4]"), 4, BAD, "3 elements of F16"},
    {ONE("\"F4\"", "[3]", "[0,1]"), 1, BAD, "3 elements of F4 (12 bits)"},
    {ONE("\"F32\"", "[0]", "[0,4]"), 4, BAD, "0 elements"},
    /* coverage */
    {TWO("[0,4]", "[8,12]"), 12, BAD, "leave a hole"},
    {TWO("[4,8]", "[8,12]"), 12, BAD, "leave a hole"},
    {TWO("[0,4]", "[0,4]"), 4, BAD, "overlap"},
    {TWO("[0,4]", "[2,6]"), 6, BAD, "overlap"},
    {TWO("[0,4]", "[4,8]"), 9, BAD, "1 trailing bytes"},
    {"{}", 1, BAD, "1 trailing bytes"},
};

static void test_bad_headers(void) {
    for (size_t i = 0; i < LENGTH(bad_headers); i++) {
        const bad_header *c = &bad_headers[i];
        blob file = make_safetensors(c->header, strlen(c->header), c->data_size);
        dvk_tensor_list parsed = {0};
        dvk_error error = {0};
        dvk_result result = dvk_safetensors_parse(NULL, file.bytes, file.size, "some.safetensors", &parsed, &error);
        CHECK_MESSAGE(result == c->code && error.code == c->code, "%s: %d", c->header, result);
        CHECK_MESSAGE(strstr(error.message, c->words), "%s\n  wanted: %s\n  found: %s", c->header, c->words,
                      error.message);
        CHECK_MESSAGE(!strncmp(error.message, "some.safetensors", 16), "%s", error.message);
        CHECK_MESSAGE(!strpbrk(error.message, "\n\x1b"), "%s", error.message);
        CHECK(!parsed.tensors);
        CHECK(dvk_safetensors_parse(NULL, file.bytes, file.size, "some.safetensors", &parsed, NULL) == c->code);
        free_blob(&file);
    }
}

static void test_bad_lengths(void) {
    static const struct {
        uint8_t bytes[10];
        size_t size;
        const char *words;
    } cases[] = {
        {{0}, 0, "too few"},
        {{2, 0, 0, 0, 0, 0, 0}, 7, "too few"},
        {{0}, 8, "begin with '{'"},
        {{2, 0, 0, 0, 0, 0, 0, 0, '{'}, 9, "truncated"},
        {{3, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, "truncated"},
        {{0x01, 0xe1, 0xf5, 0x05, 0, 0, 0, 0, '{', '}'}, 10, "claims 100000001 bytes, at most 100000000"},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'}, 10, "at most 100000000"},
        {{0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'}, 10, "at most 100000000"}, /* + 8 wraps to 0 */
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        uint8_t *exact = malloc(cases[i].size + !cases[i].size);
        REQUIRE(exact);
        memcpy(exact, cases[i].bytes, cases[i].size);
        dvk_tensor_list parsed = {0};
        dvk_error error = {0};
        CHECK(dvk_safetensors_parse(NULL, exact, cases[i].size, "x", &parsed, &error) == BAD);
        CHECK_MESSAGE(strstr(error.message, cases[i].words), "%s", error.message);
        free(exact);
    }
}

/* JSON nested deeper than any stack; and a header that is one long string. */
static void test_hostile_sizes(void) {
    enum { DEEP = 1000000 };
    char *text = malloc(DEEP);
    REQUIRE(text);
    memset(text, '[', DEEP);
    memcpy(text, "{\"a\":", 5);
    blob file = make_safetensors(text, DEEP, 0);
    dvk_tensor_list parsed = {0};
    dvk_error error = {0};
    CHECK(dvk_safetensors_parse(NULL, file.bytes, file.size, "x", &parsed, &error) == BAD);
    CHECK_MESSAGE(strstr(error.message, "depth"), "%s", error.message);
    free_blob(&file);

    memset(text, 'n', DEEP);
    memcpy(text, "{\"", 2);
    memcpy(text + DEEP - 6, "\":{} }", 6);
    file = make_safetensors(text, DEEP, 0);
    CHECK(dvk_safetensors_parse(NULL, file.bytes, file.size, "x", &parsed, &error) == BAD);
    CHECK_MESSAGE(strstr(error.message, "nnn...\" needs \"dtype\""), "%s", error.message);
    free_blob(&file);
    free(text);
}

static void test_good(void) {
    /* Out of order in the header and in the data, an empty tensor, a scalar, padding, unknown keys, every size of
     * dtype. */
    static const char header[] =
        "{\"z\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[6,14]},"
        "\"__metadata__\":{\"format\":\"pt\",\"x\":\"y\"},"
        "\"b.c\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[0,2]},"
        "\"b\":{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[2,6],\"note\":null},"
        "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,4294967296,4294967295],\"data_offsets\":[6,6]},"
        "\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[14,22]},"
        "\"f8\":{\"dtype\":\"F8_E4M3FNUZ\",\"shape\":[1],\"data_offsets\":[22,23]},"
        "\"f4\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[23,24]},"
        "\"f6\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[24,27]}}   ";
    static const char *const names[] = {"b", "b.c", "empty", "f4", "f6", "f8", "i", "z"};
    blob file = make_safetensors(header, strlen(header), 27);
    const uint8_t *data = file.bytes + 8 + strlen(header);
    dvk_tensor_list parsed = {0};
    dvk_error error = {0};
    REQUIRE(dvk_safetensors_parse(NULL, file.bytes, file.size, "x", &parsed, &error) == DVK_OK);
    REQUIRE(parsed.count == LENGTH(names));
    for (size_t i = 0; i < LENGTH(names); i++) {
        CHECK(!strcmp(parsed.tensors[i].name, names[i]));
        CHECK(dvk_tensor_list_find(&parsed, names[i]) == &parsed.tensors[i]);
    }
    CHECK(!dvk_tensor_list_find(&parsed, "") && !dvk_tensor_list_find(&parsed, "a"));
    CHECK(!dvk_tensor_list_find(&parsed, "b.") && !dvk_tensor_list_find(&parsed, "zz"));
    CHECK(!dvk_tensor_list_find(&parsed, "__metadata__"));
    const dvk_tensor *b = dvk_tensor_list_find(&parsed, "b"), *z = dvk_tensor_list_find(&parsed, "z");
    CHECK(b->dtype == DVK_DTYPE_F16 && b->rank == 2 && b->shape[0] == 1 && b->shape[1] == 2 && b->elements == 2);
    CHECK(b->data == data + 2 && b->bytes == 4 && !strcmp(b->dtype_name, "F16"));
    CHECK(z->dtype == DVK_DTYPE_F32 && z->data == data + 6 && z->bytes == 8);
    const dvk_tensor *scalar = dvk_tensor_list_find(&parsed, "b.c");
    CHECK(scalar->dtype == DVK_DTYPE_BF16 && scalar->rank == 0 && scalar->elements == 1 && scalar->bytes == 2);
    const dvk_tensor *f8 = dvk_tensor_list_find(&parsed, "f8");
    CHECK(f8->dtype == DVK_DTYPE_OTHER && !strcmp(f8->dtype_name, "F8_E4M3FNUZ"));
    dvk_tensor_list_free(&parsed);
    CHECK(!parsed.tensors && !parsed.count);
    free_blob(&file);

    file = make_safetensors("{}", 2, 0);
    CHECK(dvk_safetensors_parse(NULL, file.bytes, file.size, "x", &parsed, &error) == DVK_OK && parsed.count == 0);
    CHECK(!dvk_tensor_list_find(&parsed, "a"));
    dvk_tensor_list_free(&parsed);
    free_blob(&file);
    static const char null_metadata[] = "{\"__metadata__\":null}"; /* an absent Option to the reference */
    file = make_safetensors(null_metadata, strlen(null_metadata), 0);
    CHECK(dvk_safetensors_parse(NULL, file.bytes, file.size, "x", &parsed, &error) == DVK_OK);
    dvk_tensor_list_free(&parsed);
    free_blob(&file);
}

int main(void) {
    test_good();
    test_bad_headers();
    test_bad_lengths();
    test_hostile_sizes();
    return FINISH();
}
