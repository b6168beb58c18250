/* Hostile and damaged torch files: each is refused with one sentence, and nothing in them is executed, followed beyond
 * its bounds or allocated beyond what the file's size justifies. Run it under the sanitizers. */
#define TEST_OF_SEVERAL_FILES
#include "dino_names.h"
#include "random.h"
#include "torch_file.h"
#include "torch_writer.h"

int test_failures_, test_checks_;

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define BAD DVK_ERROR_BAD_FILE
#define UNSUPPORTED DVK_ERROR_UNSUPPORTED

static size_t refused; /* files */

static void check_refused(const blob *file, dvk_result code, const char *words, const char *what) {
    dvk_error error = {0};
    dvk_tensor_list tensors = {0};
    dvk_result result = dvk_torch_parse(NULL, file->bytes, file->size, "a.pth", &tensors, &error);
    CHECK_MESSAGE(result == code && error.code == code, "%s: %s, %s", what, dvk_result_name(result), error.message);
    CHECK_MESSAGE(strstr(error.message, words), "%s\n  wanted: %s\n  found: %s", what, words, error.message);
    CHECK_MESSAGE(!strncmp(error.message, "a.pth", 5) && !strchr(error.message, '\n') && strlen(error.message) > 20,
                  "%s", error.message);
    CHECK(!tensors.tensors);
    refused += result != DVK_OK;
    if (result == DVK_OK)
        dvk_tensor_list_free(&tensors);
}

/* Eight floats in data/0. */
static blob archive_of(const void *bytes, size_t size) {
    static const float values[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    zip_member members[] = {{"data.pkl", bytes, size}, {"data/0", values, sizeof(values)}, {"version", "3\n", 2}};
    return make_zip("a", members, LENGTH(members));
}

/* ------------------------------------------------------------------------------------------------ pickles */

/* {"w": tensor of 8 floats}, in pieces. Strings are cut so that no escape swallows what follows. */
#define HEAD "\x80\x02}"
#define KEY "X\x01\0\0\0w"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define STORAGE_OF(type, key, count)                                                                                   \
    "(X\x07\0\0\0storage" type "X\x01\0\0\0" key "X\x03\0\0\0"                                                         \
    "cpu" count "tQ"
#define FLOATS "ctorch\nFloatStorage\n"
#define STORAGE STORAGE_OF(FLOATS, "0", "K\x08")
#define HOOKS "ccollections\nOrderedDict\n)R"
#define TENSOR_OF(storage, offset, shape, strides) REBUILD "(" storage offset shape strides "\x89" HOOKS "tR"
#define WHOLE(tensor) HEAD KEY tensor "s."
#define GOOD WHOLE(TENSOR_OF(STORAGE, "K\0", "K\x08\x85", "K\x01\x85"))
#define VIEW(offset, shape, strides) WHOLE(TENSOR_OF(STORAGE, offset, shape, strides))
#define LARGEST "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f" /* 2^63 - 1 */

#define TEXT(literal) literal, sizeof(literal) - 1

typedef struct case_of {
    const char *bytes;
    size_t size;
    dvk_result code;
    const char *words;
} case_of;

static const case_of pickles[] = {
    /* what must not be executed */
    {TEXT("\x80\x02"
          "cposix\nsystem\nX\x04\0\0\0"
          "true\x85R."),
     UNSUPPORTED, "refuses to execute posix.system,"},
    {TEXT("\x80\x02"
          "cos\nsystem\n."),
     UNSUPPORTED, "refuses to execute os.system,"},
    {TEXT("\x80\x02"
          "c__builtin__\neval\n."),
     UNSUPPORTED, "refuses to execute __builtin__.eval,"},
    {TEXT("\x80\x02"
          "cbuiltins\ngetattr\n."),
     UNSUPPORTED, "refuses to execute builtins.getattr,"},
    {TEXT("\x80\x04\x8c\x05"
          "posix\x8c\x06system\x93."),
     UNSUPPORTED, "refuses to execute posix.system,"},
    {TEXT("\x80\x02(iposix\nsystem\n."), UNSUPPORTED, "refuses to execute posix.system,"},
    {TEXT("\x80\x02"
          "ctorch._utils\n_rebuild_tensor_v3\n."),
     UNSUPPORTED, "torch._utils._rebuild_tensor_v3"},
    {TEXT("\x80\x02"
          "ctorch\nFloatStorage.__init__\n."),
     UNSUPPORTED, "torch.FloatStorage.__init__"},
    {TEXT("\x80\x02"
          "cnumpy.core.multiarray\n_reconstruct\n."),
     UNSUPPORTED, "numpy.core.multiarray._reconstruct"},
    {TEXT("\x80\x02"
          "c\n\n."),
     UNSUPPORTED, "refuses to execute .,"},
    {TEXT("\x80\x02"
          "ca\033[31m\nb\xff\n."),
     UNSUPPORTED, "refuses to execute a?[31m.b?,"},
    {TEXT("\x80\x02(cposix\nsystem\no."), UNSUPPORTED, "posix.system"},
    {TEXT(WHOLE("cargparse\nNamespace\n)\x81}K\x01K\x01sb")), UNSUPPORTED, "\"w\" is no tensor"},

    /* calls that are none */
    {TEXT(HEAD KEY "K\x01)Rs."), BAD, "calls something that is no function"},
    {TEXT(HEAD KEY FLOATS "K\x01Rs."), BAD, "arguments are no tuple"},
    {TEXT(HEAD KEY FLOATS "K\x01\x81s."), BAD, "arguments are no tuple"},
    {TEXT(HEAD KEY "ccollections\nOrderedDict\nK\x01\x85Rs."), BAD, "made from arguments"},
    {TEXT(HEAD KEY "K\x01}bs."), BAD, "sets the state of something that has none"},
    {TEXT(HEAD KEY "K\x01Qs."), BAD, "persistent id is no tuple"},
    {TEXT("\x80\x04K\x01K\x02\x93."), BAD, "name is no text"},

    /* the stack */
    {TEXT("\x80\x02."), BAD, "stops with more or less than one value"},
    {TEXT("\x80\x02NN."), BAD, "stops with more or less than one value"},
    {TEXT("\x80\x02N(."), BAD, "stops with more or less than one value"},
    {TEXT("\x80\x02N.N"), BAD, "goes on behind its end"},
    {TEXT("\x80\x02N"), BAD, "does not stop"},
    {TEXT("\x80\x02"), BAD, "does not stop"},
    {TEXT("\x80\x02"
          "0."),
     BAD, "stack empty"},
    {TEXT("\x80\x02"
          "2."),
     BAD, "stack empty"},
    {TEXT("\x80\x02R."), BAD, "stack empty"},
    {TEXT("\x80\x02NR."), BAD, "stack empty"},
    {TEXT("\x80\x02N\x81."), BAD, "stack empty"},
    {TEXT("\x80\x02N\x86."), BAD, "stack empty"},
    {TEXT("\x80\x02(N\x87."), BAD, "stack empty"},
    {TEXT("\x80\x02](a."), BAD, "stack empty"},
    {TEXT("\x80\x02N(\x86."), BAD, "stack empty"},
    {TEXT("\x80\x02NN(N\x87."), BAD, "stack empty"}, /* what lies below a mark is out of reach */
    {TEXT("\x80\x02Q."), BAD, "stack empty"},
    {TEXT("\x80\x02"
          "b."),
     BAD, "stack empty"},
    {TEXT("\x80\x02q\0."), BAD, "stack empty"},
    {TEXT("\x80\x04\x93."), BAD, "stack empty"},
    {TEXT("\x80\x04\x94."), BAD, "stack empty"},
    {TEXT("\x80\x02t."), BAD, "finds no mark"},
    {TEXT("\x80\x02]e."), BAD, "finds no mark"},
    {TEXT("\x80\x02}u."), BAD, "finds no mark"},
    {TEXT("\x80\x02"
          "1."),
     BAD, "finds no mark"},
    {TEXT("\x80\x02(e."), BAD, "stack empty"},
    {TEXT("\x80\x02((e."), BAD, "stack empty"},

    /* containers */
    {TEXT("\x80\x02}Na."), BAD, "appends to something that is no list"},
    {TEXT("\x80\x02](NNu."), BAD, "sets items of something that is no dictionary"},
    {TEXT("\x80\x02NNNs."), BAD, "sets items of something that is no dictionary"},
    {TEXT("\x80\x02}(NNNu."), BAD, "a key without a value"},
    {TEXT("\x80\x02(Nd."), BAD, "a key without a value"},

    /* the memo */
    {TEXT("\x80\x02h\0."), BAD, "memo entry that was never put"},
    {TEXT("\x80\x02j\xff\xff\xff\xff."), BAD, "memo entry that was never put"},
    {TEXT("\x80\x02Nq\x05h\x04."), BAD, "memo entry that was never put"},
    {TEXT("\x80\x02Nr\xff\xff\xff\xff."), BAD, "memo index is out of range"},
    {TEXT("\x80\x02Nr\0\0\x10\0."), BAD, "memo index is out of range"},

    /* lengths beyond the end */
    {TEXT("\x80\x02X\xff\xff\xff\xff"
          "a."),
     BAD, "ends in the middle of a value"},
    {TEXT("\x80\x02T\xff\xff\xff\x7f"
          "a."),
     BAD, "ends in the middle of a value"},
    {TEXT("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
          "a."),
     BAD, "ends in the middle of a value"},
    {TEXT("\x80\x04\x8e\0\0\0\0\0\0\0\x80."), BAD, "ends in the middle of a value"},
    {TEXT("\x80\x02\x8b\xff\xff\xff\x7f\x01."), BAD, "ends in the middle of a value"},
    {TEXT("\x80\x02\x8b\xff\xff\xff\xff\x01."), BAD, "ends in the middle of a value"},
    {TEXT("\x80\x02\x8a\xff\x01."), BAD, "ends in the middle of a value"},
    {TEXT("\x80\x02G\0\0\0."), BAD, "ends in the middle of a value"},
    {TEXT("\x80\x02J\0\0."), BAD, "ends in the middle of a value"},
    {TEXT("\x80\x02"
          "ctorch"),
     BAD, "ends in the middle of a name"},
    {TEXT("\x80\x02"
          "ctorch\nFloat"),
     BAD, "ends in the middle of a name"},
    {TEXT("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN."), BAD, "frame reaches beyond its end"},

    /* other protocols and opcodes */
    {TEXT(""), BAD, "does not begin"},
    {TEXT("(dp0\n."), BAD, "does not begin"},
    {TEXT("\x80\x01N."), BAD, "protocol is none of 2 to 5"},
    {TEXT("\x80\x06N."), BAD, "protocol is none of 2 to 5"},
    {TEXT("\x80\x02P0\n."), BAD, "opcode 0x50"},
    {TEXT("\x80\x02I1\n."), BAD, "opcode 0x49"},
    {TEXT("\x80\x02\x82\x01."), BAD, "opcode 0x82"}, /* EXT1: the registry of copyreg */
    {TEXT("\x80\x04)}\x92."), BAD, "opcode 0x92"},   /* NEWOBJ_EX */
    {TEXT("\x80\x05\x97."), BAD, "opcode 0x97"},     /* out-of-band buffers */
    {TEXT("\x80\x02\xff."), BAD, "opcode 0xff"},

    /* no state dict */
    {TEXT("\x80\x02N."), UNSUPPORTED, "holds no dictionary of tensors"},
    {TEXT("\x80\x02]."), UNSUPPORTED, "holds no dictionary of tensors"},
    {TEXT("\x80\x02}."), UNSUPPORTED, "holds no dictionary of tensors"},
    {TEXT(HEAD "X\x05\0\0\0model}s."), UNSUPPORTED, "holds no dictionary of tensors"},
    {TEXT(HEAD "q\0X\x05\0\0\0modelh\0s."), UNSUPPORTED, "\"model\" is no tensor"}, /* it contains itself */
    {TEXT(HEAD KEY "Ns."), UNSUPPORTED, "\"w\" is no tensor"},
    {TEXT(HEAD KEY "Q."), BAD, "persistent id is no tuple"},
    {TEXT(HEAD "K\x01" TENSOR_OF(STORAGE, "K\0", "K\x08\x85", "K\x01\x85") "s."), BAD, "name is no text"},
    {TEXT(HEAD "X\0\0\0\0Ns."), BAD, "name is no text"},
    {TEXT(HEAD "X\x02\0\0\0a\0Ns."), BAD, "name is no text"},
    {TEXT(HEAD KEY TENSOR_OF(STORAGE, "K\0", "K\x08\x85", "K\x01\x85") "s" KEY TENSOR_OF(STORAGE, "K\0", "K\x08\x85",
                                                                                         "K\x01\x85") "s."),
     BAD, "two tensors have the name \"w\""},

    /* tensors */
    {TEXT(WHOLE(REBUILD ")R")), UNSUPPORTED, "\"w\" is no tensor"},
    {TEXT(WHOLE(REBUILD "(NNNNNNtR")), BAD, "has no storage of a kind that torch writes"},
    {TEXT(WHOLE("ctorch._utils\n_rebuild_parameter\n)R")), UNSUPPORTED, "\"w\" is no tensor"},
    {TEXT(WHOLE("ctorch._utils\n_rebuild_parameter\n" REBUILD "\x85R")), UNSUPPORTED, "\"w\" is no tensor"},
    {TEXT(WHOLE(FLOATS "K\x08\x85R")), UNSUPPORTED, "\"w\" is no tensor"},
    {TEXT(WHOLE(TENSOR_OF("N", "K\0", "K\x08\x85", "K\x01\x85"))), BAD, "no storage of a kind"},
    {TEXT(WHOLE(TENSOR_OF(")Q", "K\0", "K\x08\x85", "K\x01\x85"))), BAD, "no storage of a kind"},
    {TEXT(WHOLE(TENSOR_OF("(NNNNNtQ", "K\0", "K\x08\x85", "K\x01\x85"))), BAD, "no storage of a kind"},
    {TEXT(WHOLE(TENSOR_OF(STORAGE_OF(REBUILD, "0", "K\x08"), "K\0", "K\x08\x85", "K\x01\x85"))), BAD,
     "no storage of a kind"},
    {TEXT(WHOLE(TENSOR_OF(STORAGE_OF(FLOATS, "0", "J\xff\xff\xff\xff"), "K\0", "K\x08\x85", "K\x01\x85"))), BAD,
     "no storage of a kind"},
    {TEXT(WHOLE(TENSOR_OF(STORAGE_OF(FLOATS, "1", "K\x08"), "K\0", "K\x08\x85", "K\x01\x85"))), BAD,
     "data in \"data/1\", which is missing"},
    {TEXT(WHOLE(TENSOR_OF(STORAGE_OF(FLOATS, "0", "K\x09"), "K\0", "K\x08\x85", "K\x01\x85"))), BAD,
     "a storage of 9 elements of F32, but \"data/0\" holds 32 bytes"},
    {TEXT(WHOLE(TENSOR_OF(STORAGE_OF("ctorch\nDoubleStorage\n", "0", "K\x08"), "K\0", "K\x08\x85", "K\x01\x85"))), BAD,
     "8 elements of F64, but \"data/0\" holds 32 bytes"},
    {TEXT(WHOLE(TENSOR_OF(STORAGE_OF(FLOATS, "0", LARGEST), "K\0", "K\x08\x85", "K\x01\x85"))), BAD, "holds 32 bytes"},
    {TEXT(VIEW("K\x01", "K\x08\x85", "K\x01\x85")), BAD, "reaches beyond its storage"},
    {TEXT(VIEW("K\x09", "K\0\x85", "K\x01\x85")), BAD, "reaches beyond its storage"},
    {TEXT(VIEW(LARGEST, "K\x08\x85", "K\x01\x85")), BAD, "reaches beyond its storage"},
    {TEXT(VIEW("J\xff\xff\xff\xff", "K\x04\x85", "K\x01\x85")), BAD, "reaches beyond its storage"},
    {TEXT(VIEW("N", "K\x04\x85", "K\x01\x85")), BAD, "reaches beyond its storage"},
    {TEXT(VIEW("K\0", "K\x09\x85", "K\x01\x85")), BAD, "reaches beyond its storage"},
    {TEXT(VIEW("K\0", LARGEST "\x85", "K\x01\x85")), BAD, "reaches beyond its storage"},
    {TEXT(VIEW("K\0", LARGEST LARGEST "\x86", LARGEST "K\x01\x86")), BAD, "overflows 64 bits"},
    {TEXT(VIEW("K\0", "K\x08\x85", LARGEST "\x85")), UNSUPPORTED, "not stored row by row"},
    {TEXT(VIEW("K\0", "K\x04\x85", "K\x02\x85")), UNSUPPORTED, "not stored row by row"},
    {TEXT(VIEW("K\0", "K\x04K\x02\x86", "K\x01K\x04\x86")), UNSUPPORTED, "not stored row by row"},
    {TEXT(VIEW("K\0", "K\x08\x85", "K\0\x85")), UNSUPPORTED, "not stored row by row"},
    {TEXT(VIEW("K\0", "K\x08\x85", "J\xff\xff\xff\xff\x85")), BAD, "strides that are something else"},
    {TEXT(VIEW("K\0", "J\xff\xff\xff\xff\x85", "K\x01\x85")), BAD, "shape that holds something else"},
    {TEXT(VIEW("K\0", "N\x85", "K\x01\x85")), BAD, "shape that holds something else"},
    {TEXT(VIEW("K\0", "K\x08\x85", "N\x85")), BAD, "strides that are something else"},
    {TEXT(VIEW("K\0", "K\x08\x85", ")")), BAD, "no shape with as many strides"},
    {TEXT(VIEW("K\0", "K\x08", "K\x01")), BAD, "no shape with as many strides"},
    {TEXT(VIEW("K\0", "(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x08t",
               "(K\x08K\x08K\x08K\x08K\x08K\x08K\x08K\x08K\x01t")),
     BAD, "more than 8 dimensions"},
};

static void test_pickles(void) {
    for (size_t i = 0; i < LENGTH(pickles); i++) {
        char what[32];
        snprintf(what, sizeof(what), "pickle %zu", i);
        blob file = archive_of(pickles[i].bytes, pickles[i].size);
        check_refused(&file, pickles[i].code, pickles[i].words, what);
        free_blob(&file);
    }
}

/* What all the others vary can be read, and so can what torch may write beside it. */
static void test_good(void) {
    static const struct {
        const char *bytes;
        size_t size;
        uint64_t elements;
        float first;
    } good[] = {
        {TEXT(GOOD), 8, 1},
        {TEXT(VIEW("K\x02", "K\x02K\x03\x86", "K\x03K\x01\x86")), 6, 3},
        {TEXT(VIEW("K\x07", ")", ")")), 1, 8},                                   /* a scalar */
        {TEXT(VIEW("K\x08", "K\0K\x05\x86", "K\0K\x07\x86")), 0, 0},             /* empty: its strides mean nothing */
        {TEXT(VIEW("K\0", "K\x01K\x08K\x01\x87", "K\x63K\x01K\x63\x87")), 8, 1}, /* nor do those of one element */
        /* {"junk": a list that contains itself, "model": {"w": ...}} */
        {TEXT(HEAD "(X\x04\0\0\0junk]q\0(h\0h\0K\x01"
                   "eX\x05\0\0\0model}" KEY TENSOR_OF(STORAGE, "K\0", "K\x08\x85", "K\x01\x85") "su."),
         8, 1},
        {TEXT("\x80\x04\x95\x05\0\0\0\0\0\0\0}\x94" KEY TENSOR_OF(STORAGE, "K\0", "K\x08\x85", "K\x01\x85") "s."), 8,
         1},
    };
    for (size_t i = 0; i < LENGTH(good); i++) {
        dvk_error error = {0};
        dvk_tensor_list tensors = {0};
        blob file = archive_of(good[i].bytes, good[i].size);
        CHECK_MESSAGE(dvk_torch_parse(NULL, file.bytes, file.size, "a.pth", &tensors, &error) == DVK_OK, "%zu: %s", i,
                      error.message);
        CHECK(tensors.count == 1);
        if (tensors.count == 1) {
            const dvk_tensor *t = &tensors.tensors[0];
            float first = 0;
            if (t->bytes)
                memcpy(&first, t->data, sizeof(first));
            CHECK(!strcmp(t->name, "w") && t->elements == good[i].elements && t->bytes == 4 * t->elements);
            CHECK(first == good[i].first);
        }
        dvk_tensor_list_free(&tensors);
        free_blob(&file);
    }
}

static void test_truncated_pickles(void) {
    for (size_t size = 0; size + 1 < sizeof(GOOD); size++) {
        blob file = archive_of(GOOD, size);
        check_refused(&file, BAD, "pickle", "a truncated pickle");
        free_blob(&file);
    }
}

/* A million lists within lists, of tuples within tuples, and of marks: no recursion, no more memory than the file's
 * size justifies. */
static void test_depth(void) {
    static const char *const layers[] = {"]", "(", "}", ")", "2", "\x85"};
    enum { DEPTH = 1 << 20 };
    char *bytes = malloc(2 * DEPTH + 8);
    REQUIRE(bytes);
    for (size_t i = 0; i < LENGTH(layers); i++) {
        memcpy(bytes, "\x80\x02N", 3);
        memset(bytes + 3, layers[i][0], DEPTH);
        memcpy(bytes + 3 + DEPTH, ".", 1);
        blob file = archive_of(bytes, 4 + DEPTH);
        check_refused(&file, layers[i][0] == '\x85' ? UNSUPPORTED : BAD,
                      layers[i][0] == '\x85' ? "holds no dictionary" : "more or less than one value", "a deep pickle");
        free_blob(&file);
    }
    /* [[[[...]]]]: each list is appended to the one below. */
    memcpy(bytes, "\x80\x02", 2);
    memset(bytes + 2, ']', DEPTH);
    memset(bytes + 2 + DEPTH, 'a', DEPTH - 1);
    bytes[1 + 2 * DEPTH] = '.';
    blob file = archive_of(bytes, 2 + 2 * DEPTH);
    check_refused(&file, UNSUPPORTED, "holds no dictionary", "lists within lists");
    free_blob(&file);
    free(bytes);
    bytes = calloc(1, (4u << 20) + 1);
    REQUIRE(bytes);
    file = archive_of(bytes, (4u << 20) + 1);
    check_refused(&file, UNSUPPORTED, "at most 4194304 can be read", "a giant pickle");
    free_blob(&file);
    free(bytes);
}

/* One tensor under 100,000 names: each costs a few bytes of pickle, but a struct of memory. */
static void test_many_references(void) {
    pickle p = {0};
    put_bytes(&p, TEXT("\x80\x02(" KEY "q\0" TENSOR_OF(STORAGE, "K\0", "K\x08\x85", "K\x01\x85") "q\x01"));
    for (int i = 1; i < 100000; i++)
        put_bytes(&p, TEXT("h\0h\x01"));
    put_bytes(&p, TEXT("d."));
    blob file = archive_of(p.bytes, p.size);
    check_refused(&file, UNSUPPORTED, "a dictionary of 100000 tensors", "many references");
    free_blob(&file);
    free(p.bytes);
}

/* ---------------------------------------------------------------------------------------------------- ZIP */

/* Where the archive of GOOD has its records. */
typedef enum record { LOCAL_0, LOCAL_1, CENTRAL_0, CENTRAL_1, END64, LOCATOR, END, RECORD_COUNT } record;

typedef struct patch {
    record at;
    size_t offset;
    int bytes;
    uint64_t value;
    dvk_result code;
    const char *words;
} patch;

static const patch patches[] = {
    {LOCAL_0, 0, 4, 0, BAD, "does not begin where the directory says"},
    {LOCAL_0, 6, 2, 0x0809, BAD, "contradicts the directory"},
    {LOCAL_0, 8, 2, 8, BAD, "contradicts the directory"},
    {LOCAL_0, 14, 4, 1, BAD, "contradicts the directory"},
    {LOCAL_0, 18, 4, 1, BAD, "contradicts the directory"},
    {LOCAL_0, 22, 4, 0xffffffff, BAD, "contradicts the directory"},
    {LOCAL_0, 26, 2, 9, BAD, "contradicts the directory"},
    {LOCAL_0, 26, 2, 0xffff, BAD, "contradicts the directory"},
    {LOCAL_0, 28, 2, 0xffff, BAD, "contradicts the directory"},
    {LOCAL_0, 28, 2, 6, BAD, "extra field reaches beyond"},
    {LOCAL_0, 30, 1, 'b', BAD, "contradicts the directory"},
    {LOCAL_1, 0, 4, 0x02014b50, BAD, "does not begin where the directory says"},
    {CENTRAL_0, 0, 4, 0, BAD, "fewer entries than it claims"},
    {CENTRAL_0, 8, 2, 0x0809, UNSUPPORTED, "is encrypted"},
    {CENTRAL_0, 8, 2, 0x0848, UNSUPPORTED, "is encrypted"},
    {CENTRAL_0, 10, 2, 8, UNSUPPORTED, "is compressed (method 8)"},
    {CENTRAL_0, 10, 2, 93, UNSUPPORTED, "is compressed (method 93)"},
    {CENTRAL_0, 16, 4, 0, BAD, "\"data.pkl\" has the CRC-32"},
    {CENTRAL_0, 20, 4, 1, BAD, "two sizes"},
    {CENTRAL_0, 24, 4, 1u << 30, BAD, "two sizes"}, /* the usual bomb */
    {CENTRAL_0, 20, 8, 0x7000000070000000u, BAD, "reaches into the directory"},
    {CENTRAL_0, 20, 8, UINT64_MAX, BAD, "reaches into the directory"}, /* Zip64, but no such field */
    {CENTRAL_0, 28, 2, 0xffff, BAD, "reaches beyond the directory"},
    {CENTRAL_0, 28, 2, 0, BAD, "contradicts the directory"},
    {CENTRAL_0, 30, 2, 0xffff, BAD, "reaches beyond the directory"},
    {CENTRAL_0, 30, 2, 8, BAD, "extra field reaches beyond"},
    {CENTRAL_0, 32, 2, 0xffff, BAD, "reaches beyond the directory"},
    {CENTRAL_0, 32, 2, 1, BAD, "fewer entries than it claims"},
    {CENTRAL_0, 34, 2, 1, BAD, "several disks"},
    {CENTRAL_0, 42, 4, 0x7fffffff, BAD, "lies outside of the archive"},
    {CENTRAL_0, 42, 4, 0xffffffff, BAD, "lies outside of the archive"},
    {CENTRAL_0, 42, 4, 1, BAD, "does not begin where the directory says"},
    {CENTRAL_1, 42, 4, 0, BAD, "contradicts the directory"},
    {CENTRAL_1, 46, 1, 'b', BAD, "contradicts the directory"},
    {END64, 0, 4, 0, BAD, "not where its locator says"},
    {END64, 4, 8, 45, BAD, "not where its locator says"},
    {END64, 16, 4, 1, BAD, "several disks"},
    {END64, 24, 8, 4, BAD, "several disks"},
    {END64, 32, 8, 4, BAD, "several disks"},
    {END64, 40, 8, 1, BAD, "contradict each other"},
    {END64, 48, 8, 0, BAD, "contradict each other"},
    {LOCATOR, 4, 4, 1, BAD, "several disks"},
    {LOCATOR, 8, 8, UINT64_MAX, BAD, "lies outside of the file"},
    {LOCATOR, 8, 8, UINT64_MAX - 55, BAD, "lies outside of the file"},
    {LOCATOR, 8, 8, 0, BAD, "not where its locator says"},
    {LOCATOR, 16, 4, 2, BAD, "several disks"},
    {END, 0, 4, 0, BAD, "does not end in the directory"},
    {END, 4, 2, 1, BAD, "several disks"},
    {END, 8, 2, 4, BAD, "several disks"},
    {END, 8, 4, 0x00040004, BAD, "contradict each other"},
    {END, 12, 4, 1, BAD, "contradict each other"},
    {END, 16, 4, 1, BAD, "contradict each other"},
    {END, 20, 2, 1, BAD, "does not end in the directory"},
    {END, 20, 2, 0xffff, BAD, "does not end in the directory"},
};

static size_t find_signature(const blob *file, uint32_t signature, int nth) {
    for (size_t i = 0; i + 4 <= file->size; i++) {
        uint32_t found = 0;
        memcpy(&found, file->bytes + i, 4);
        if (found == signature && nth-- == 0)
            return i;
    }
    REQUIRE(!"a signature of the archive");
    return 0;
}

static void write_number(uint8_t *bytes, uint64_t value, int count) {
    for (int i = 0; i < count; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static void test_patches(void) {
    const blob file = archive_of(TEXT(GOOD));
    const size_t places[RECORD_COUNT] = {
        [LOCAL_0] = find_signature(&file, 0x04034b50, 0),   [LOCAL_1] = find_signature(&file, 0x04034b50, 1),
        [CENTRAL_0] = find_signature(&file, 0x02014b50, 0), [CENTRAL_1] = find_signature(&file, 0x02014b50, 1),
        [END64] = find_signature(&file, 0x06064b50, 0),     [LOCATOR] = find_signature(&file, 0x07064b50, 0),
        [END] = find_signature(&file, 0x06054b50, 0),
    };
    for (size_t i = 0; i < LENGTH(patches); i++) {
        const patch *p = &patches[i];
        char what[64];
        uint8_t saved[8];
        snprintf(what, sizeof(what), "patch %zu of record %d", i, (int)p->at);
        uint8_t *place = file.bytes + places[p->at] + p->offset;
        memcpy(saved, place, 8 < file.size - (size_t)(place - file.bytes) ? 8 : 2);
        write_number(place, p->value, p->bytes);
        check_refused(&file, p->code, p->words, what);
        memcpy(place, saved, (size_t)p->bytes);
    }
    dvk_error error = {0};
    dvk_tensor_list tensors = {0};
    CHECK(dvk_torch_parse(NULL, file.bytes, file.size, "a.pth", &tensors, &error) ==
          DVK_OK); /* all patches are undone */
    /* More entries than memory, said so by all records. */
    memset(file.bytes + places[END] + 8, 0xff, 4);
    write_number(file.bytes + places[END64] + 24, UINT64_C(1) << 56, 8);
    write_number(file.bytes + places[END64] + 32, UINT64_C(1) << 56, 8);
    check_refused(&file, BAD, "too small for the number of its entries", "2^56 entries");
    dvk_tensor_list_free(&tensors);
    free(file.bytes);
}

static void test_truncated_archives(void) {
    const blob file = archive_of(TEXT(GOOD));
    for (size_t size = 0; size < file.size; size++) {
        blob part = {malloc(size + !size), size};
        REQUIRE(part.bytes);
        memcpy(part.bytes, file.bytes, size);
        check_refused(&part, BAD, "is no intact torch file", "a truncated archive");
        free_blob(&part);
    }
    free(file.bytes);
}

/* `file` with another directory of `count` entries. */
static blob with_directory(const blob *file, const void *directory, size_t size, uint64_t count) {
    const size_t place = find_signature(file, 0x02014b50, 0), ends = find_signature(file, 0x06064b50, 0);
    blob result = {malloc(place + size + file->size - ends), place + size + file->size - ends};
    REQUIRE(result.bytes);
    memcpy(result.bytes, file->bytes, place);
    memcpy(result.bytes + place, directory, size);
    uint8_t *end64 = result.bytes + place + size, *locator = end64 + 56, *end = locator + 20;
    memcpy(end64, file->bytes + ends, file->size - ends);
    write_number(end64 + 24, count, 8);
    write_number(end64 + 32, count, 8);
    write_number(end64 + 40, size, 8);
    write_number(locator + 8, place + size, 8);
    write_number(end + 8, count, 2);
    write_number(end + 10, count, 2);
    write_number(end + 12, size, 4);
    return result;
}

/* Archives whose directory names the same bytes more than once: the trick of bombs that need no compression. */
static void test_overlaps(void) {
    const blob file = archive_of(TEXT(GOOD));
    const size_t first = find_signature(&file, 0x02014b50, 0), second = find_signature(&file, 0x02014b50, 1);
    const size_t size = second - first;
    uint8_t *directory = malloc(20000 * size);
    REQUIRE(directory);
    for (size_t i = 0; i < 20000; i++)
        memcpy(directory + i * size, file.bytes + first, size);
    blob twice = with_directory(&file, directory, 2 * size, 2);
    check_refused(&twice, BAD, "two of its entries overlap", "the same entry twice");
    free_blob(&twice);
    blob often = with_directory(&file, directory, 20000 * size, 20000);
    check_refused(&often, BAD, "two of its entries overlap", "the same entry 20,000 times");
    free_blob(&often);
    free(file.bytes);

    /* An entry inside of another one's data. */
    static const char inner[] = "PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0\0\0a/data/0";
    zip_member outer = {"data.pkl", inner, sizeof(inner) - 1};
    const blob nested = make_zip("a", &outer, 1);
    const size_t central = find_signature(&nested, 0x02014b50, 0);
    memcpy(directory, nested.bytes + central, size);
    memset(directory + size, 0, 46);
    memcpy(directory + size, nested.bytes + central, 4);
    directory[size + 28] = 8;
    write_number(directory + size + 42, find_signature(&nested, 0x04034b50, 1), 4);
    memcpy(directory + size + 46, "a/data/0", 8);
    blob bomb = with_directory(&nested, directory, size + 46 + 8, 2);
    check_refused(&bomb, BAD, "two of its entries overlap", "an entry inside of another");
    free_blob(&bomb);
    free(nested.bytes);
    free(directory);
}

static void check_members(const char *root, const zip_member *members, size_t count, dvk_result code,
                          const char *words) {
    blob file = make_zip(root, members, count);
    check_refused(&file, code, words, words);
    free_blob(&file);
}

static void test_members(void) {
    static const float values[8];
    const zip_member data = {"data.pkl", TEXT(GOOD)}, storage = {"data/0", values, sizeof(values)};
    check_members("a", NULL, 0, BAD, "is an empty archive");
    check_members("a", &storage, 1, BAD, "it has no data.pkl");
    check_members("a/b", &data, 1, BAD, "it has no data.pkl");
    check_members("a", (zip_member[]){data, storage, storage}, 3, BAD, "two of its entries have the same name");
    check_members("a", (zip_member[]){data, storage, {"version", "11\n", 3}}, 3, UNSUPPORTED, "version 11 of torch's");
    check_members("a", (zip_member[]){data, storage, {"version", "0", 1}}, 3, UNSUPPORTED, "version 0 of torch's");
    check_members("a", (zip_member[]){data, storage, {"version", "", 0}}, 3, UNSUPPORTED, "version 0 of torch's");
    check_members("a", (zip_member[]){data, storage, {".data/version", "99999999", 8}}, 3, UNSUPPORTED, "version 9999");
    check_members("a", (zip_member[]){data, storage, {"byteorder", "big", 3}}, 3, UNSUPPORTED, "big-endian");
    check_members("a", (zip_member[]){data, storage, {"constants.pkl", "", 0}}, 3, UNSUPPORTED, "TorchScript program");
    check_members("a", (zip_member[]){{"data.pkl", TEXT(GOOD)}, {"data/0", values, 31}}, 2, BAD, "holds 31 bytes");
    check_members("a", (zip_member[]){{"data.pkl", TEXT(GOOD)}, {"data/0", values, 0}}, 2, BAD, "holds 0 bytes");
    const blob rootless = make_zip("a", (zip_member[]){data, storage}, 2);
    for (size_t i = 0; i + 8 <= rootless.size; i++)
        if (!memcmp(rootless.bytes + i, "a/data/0", 8))
            rootless.bytes[i] = 'b';
    check_refused(&rootless, BAD, "its entries do not lie in one folder", "two root folders");
    free(rootless.bytes);

    static const uint8_t old[] = {0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};
    blob before = {malloc(sizeof(old)), sizeof(old)};
    REQUIRE(before.bytes);
    memcpy(before.bytes, old, sizeof(old));
    check_refused(&before, UNSUPPORTED, "torch's format from before 1.6; write it again with: python3", "old");
    free_blob(&before);
}

/* -------------------------------------------------------------------------------------- original DINO names */

typedef struct shape_of {
    const char *name;
    uint32_t rank;
    uint64_t shape[4];
} shape_of;

/* The least that counts as a DINO backbone: all zeros, one block, whose columns nobody looks at here. */
static const shape_of backbone[] = {
    {"cls_token", 3, {1, 1, 64}},
    {"pos_embed", 3, {1, 5, 64}},
    {"patch_embed.proj.weight", 4, {64, 3, 2, 2}},
    {"blocks.0.attn.qkv.weight", 2, {192, 1}},
    {"blocks.0.mlp.fc1.weight", 2, {256, 1}},
};

static const struct {
    size_t which; /* LENGTH(backbone): one more */
    shape_of with;
    dvk_result code;
    const char *words;
} backbones[] = {
    {5, {"norm.weight", 1, {64}}, DVK_OK, ""},
    {1, {"pos_embed", 3, {1, 6, 64}}, BAD, "pos_embed is no square"},
    {1, {"pos_embed", 3, {1, 1, 64}}, BAD, "pos_embed is no square"},
    {1, {"pos_embed", 3, {1, 0, 64}}, BAD, "pos_embed is no square"},
    {1, {"pos_embed", 2, {5, 64}}, BAD, "have unexpected dimensions"},
    {2, {"patch_embed.proj.weight", 4, {65, 3, 2, 2}}, BAD, "heads have 64 channels"},
    {2, {"patch_embed.proj.weight", 4, {0, 3, 2, 2}}, BAD, "heads have 64 channels"},
    {2, {"patch_embed.proj.weight", 4, {64, 3, 0, 0}}, BAD, "larger than those of any model"},
    {2, {"patch_embed.proj.weight", 2, {64, 12}}, BAD, "have unexpected dimensions"},
    {3, {"blocks.0.attn.qkv.weight", 2, {191, 64}}, BAD, "no multiple of 3"},
    {3, {"blocks.0.attn.qkv.weight", 0, {0}}, BAD, "no multiple of 3"},
    {3, {"blocks.512.attn.qkv.weight", 2, {192, 64}}, UNSUPPORTED, "belongs to no DINO backbone"},
    {3, {"blocks.99999999999.attn.qkv.weight", 2, {192, 64}}, UNSUPPORTED, "belongs to no DINO backbone"},
    {3, {"blocks..attn.qkv.weight", 2, {192, 64}}, UNSUPPORTED, "belongs to no DINO backbone"},
    {3, {"blocks.0.1.2.attn.qkv.weight", 2, {192, 64}}, UNSUPPORTED, "belongs to no DINO backbone"},
    {3, {"blocks.0.attn.qkv.scale", 2, {192, 64}}, UNSUPPORTED, "belongs to no DINO backbone"},
    {4, {"blocks.1.mlp.fc1.weight", 2, {256, 64}}, BAD, "first block's MLP are missing"},
    {5, {"blocks.3.0.mlp.fc1.weight", 2, {256, 64}}, BAD, "two tensors have the name"},
    {5, {"blocks.0.ls1.gamma", 1, {64}}, DVK_OK, ""},
    {5, {"register_tokens", 3, {1, 4, 64}}, UNSUPPORTED, "\"register_tokens\" belongs to no DINO backbone"},
    {5, {"storage_tokens", 3, {1, 4, 64}}, UNSUPPORTED, "\"storage_tokens\" belongs to no DINO backbone"},
    {5, {"head.weight", 2, {1000, 64}}, UNSUPPORTED, "\"head.weight\" belongs to no DINO backbone"},
};

static void test_backbones(void) {
    static const float zeros[64 * 256];
    for (size_t i = 0; i < LENGTH(backbones); i++) {
        dvk_tensor_list list = {0}; /* the C library's allocator */
        dvk_dino_texts texts = {0};
        dvk_error error = {0};
        /* A list for dvk_tensor_list_free(): one allocation; the names are literals. */
        list.tensors = calloc(LENGTH(backbone) + 1, sizeof(dvk_tensor));
        list.count = LENGTH(backbone) + (backbones[i].which == LENGTH(backbone));
        REQUIRE(list.tensors);
        for (size_t k = 0; k < list.count; k++) {
            const shape_of *s = k == backbones[i].which ? &backbones[i].with : &backbone[k];
            dvk_tensor *t = &list.tensors[k];
            *t = (dvk_tensor){.name = s->name, .rank = s->rank, .elements = 1, .data = zeros};
            for (uint32_t d = 0; d < s->rank; d++)
                t->elements *= t->shape[d] = s->shape[d];
            t->bytes = t->elements * 4;
        }
        dvk_result result = dvk_dino_names("a.pth", &list, &texts, &error);
        CHECK_MESSAGE(result == backbones[i].code, "%zu: %s %s", i, dvk_result_name(result), error.message);
        CHECK_MESSAGE(result == DVK_OK || strstr(error.message, backbones[i].words), "%s\n  found: %s",
                      backbones[i].words, error.message);
        CHECK((result == DVK_OK) == (texts.config != NULL));
        refused += result != DVK_OK;
        dvk_dino_texts_free(&texts);
        dvk_tensor_list_free(&list);
    }
}

/* ----------------------------------------------------------------------------------------------- mutations */

static volatile uint32_t bytes_read; /* their sum: so that no read is left out */

/* Reads every byte that a file may have made us believe in. */
static size_t read_all(const blob *file) {
    dvk_error error = {0};
    dvk_tensor_list tensors = {0};
    dvk_dino_texts texts = {0};
    dvk_result result = dvk_torch_parse(NULL, file->bytes, file->size, "a.pth", &tensors, &error);
    if (result == DVK_OK)
        result = dvk_dino_names("a.pth", &tensors, &texts, &error);
    for (size_t i = 0; i < tensors.count; i++)
        for (uint64_t k = 0; k < tensors.tensors[i].bytes; k++)
            bytes_read += ((const uint8_t *)tensors.tensors[i].data)[k];
    CHECK(result == DVK_OK || error.message[0]);
    dvk_dino_texts_free(&texts);
    dvk_tensor_list_free(&tensors);
    return result != DVK_OK;
}

static void mutate(uint8_t *bytes, size_t size, uint64_t *state) {
    static const uint8_t interesting[] = {0, 1, 0x7f, 0x80, 0xff, '(', '.', 'R', 'Q', 'h', 'q', 't', 'u', 'X', 'K'};
    for (uint32_t n = 1 + random_below(state, 4); n > 0; n--) {
        uint8_t *byte = &bytes[random_below(state, (uint32_t)size)];
        switch (random_below(state, 3)) {
        case 0:
            *byte = interesting[random_below(state, sizeof(interesting))];
            break;
        case 1:
            *byte ^= (uint8_t)(1u << random_below(state, 8));
            break;
        default:
            *byte = (uint8_t)random_next(state);
        }
    }
}

/* The backbone's archive again, with another pickle. */
static blob with_pickle(const void *bytes, size_t size, const dvk_tensor *tensors) {
    zip_member members[LENGTH(backbone) + 1] = {{"data.pkl", bytes, size}};
    for (size_t i = 0; i < LENGTH(backbone); i++) {
        snprintf(members[i + 1].name, sizeof(members[0].name), "data/%zu", i);
        members[i + 1].bytes = tensors[i].data;
        members[i + 1].size = (size_t)tensors[i].bytes;
    }
    return make_zip("a", members, LENGTH(members));
}

/* Half of the mutations hit the pickle (whose CRC is made right again), half the archive. */
static void test_mutations(void) {
    enum { ROUNDS = 10000 };
    static const float zeros[64 * 12];
    dvk_tensor tensors[LENGTH(backbone)];
    for (size_t i = 0; i < LENGTH(backbone); i++) {
        tensors[i] = (dvk_tensor){
            .name = backbone[i].name, .dtype_name = "F32", .rank = backbone[i].rank, .elements = 1, .data = zeros};
        for (uint32_t d = 0; d < backbone[i].rank; d++)
            tensors[i].elements *= tensors[i].shape[d] = backbone[i].shape[d];
        tensors[i].bytes = tensors[i].elements * 4;
        REQUIRE(tensors[i].bytes <= sizeof(zeros));
    }
    const blob file = make_torch(tensors, LENGTH(tensors), &(torch_options){.wrappers = {"teacher"}, .training = true});
    /* The pickle is the first entry; its data begin at byte 64, and the data descriptor follows. */
    const size_t size = find_signature(&file, 0x08074b50, 0) - 64;
    const blob good = with_pickle(file.bytes + 64, size, tensors);
    REQUIRE(!read_all(&good));
    free(good.bytes);
    uint64_t state = 6;
    size_t pickles_refused = 0, archives_refused = 0;
    uint8_t *bytes = malloc(size);
    REQUIRE(bytes);
    for (int i = 0; i < ROUNDS; i++) {
        memcpy(bytes, file.bytes + 64, size);
        mutate(bytes, size, &state);
        blob damaged = with_pickle(bytes, size, tensors);
        pickles_refused += read_all(&damaged);
        free_blob(&damaged);
        damaged = archive_of(TEXT(GOOD));
        mutate(damaged.bytes, damaged.size, &state);
        archives_refused += read_all(&damaged);
        free_blob(&damaged);
    }
    printf("%zu of %d damaged pickles and %zu of %d damaged archives refused\n", pickles_refused, ROUNDS,
           archives_refused, ROUNDS);
    /* Some damage hits what does not matter (an argument's value, padding, a weight): all refused would mean that the
     * mutations never get beyond the first checks. */
    CHECK(pickles_refused > ROUNDS / 2 && pickles_refused < ROUNDS);
    CHECK(archives_refused > ROUNDS / 4 && archives_refused < ROUNDS);
    free(bytes);
    free(file.bytes);
}

int main(void) {
    test_good();
    test_pickles();
    test_truncated_pickles();
    test_depth();
    test_many_references();
    test_patches();
    test_truncated_archives();
    test_overlaps();
    test_members();
    test_backbones();
    printf("%zu hostile files refused\n", refused);
    test_mutations();
    return FINISH();
}
