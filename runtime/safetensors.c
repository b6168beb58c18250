/* The format: 8 bytes of little-endian header length, the header (JSON: name -> dtype, shape, data_offsets), the data.
 * What is refused here is what the reference implementation (the safetensors crate) refuses, and what nothing writes: a
 * header that does not start with '{' (the format's text demands it, the crate does not check), a key that occurs twice
 * (of which it takes the last), names with NUL characters, more than DVK_MAX_RANK dimensions, and extents from 2^63 up
 * (of an empty tensor). tests/checkpoint/compare_safetensors.py compares the two. */
#include "safetensors.h"

#include <string.h>

#include "json.h"
#include "sort.h"

#define HEADER_LIMIT 100000000u /* the crate's MAX_HEADER_SIZE */

/* Bits, since the newest element types are smaller than a byte. */
static const struct {
    const char *name;
    dvk_dtype dtype;
    uint32_t bits;
} dtypes[] = {
    {"F32", DVK_DTYPE_F32, 32},          {"F16", DVK_DTYPE_F16, 16},      {"BF16", DVK_DTYPE_BF16, 16},
    {"BOOL", DVK_DTYPE_OTHER, 8},        {"U8", DVK_DTYPE_OTHER, 8},      {"I8", DVK_DTYPE_OTHER, 8},
    {"U16", DVK_DTYPE_OTHER, 16},        {"I16", DVK_DTYPE_OTHER, 16},    {"U32", DVK_DTYPE_OTHER, 32},
    {"I32", DVK_DTYPE_OTHER, 32},        {"U64", DVK_DTYPE_OTHER, 64},    {"I64", DVK_DTYPE_OTHER, 64},
    {"F64", DVK_DTYPE_OTHER, 64},        {"C64", DVK_DTYPE_OTHER, 64},    {"F4", DVK_DTYPE_OTHER, 4},
    {"F6_E2M3", DVK_DTYPE_OTHER, 6},     {"F6_E3M2", DVK_DTYPE_OTHER, 6}, {"F8_E4M3", DVK_DTYPE_OTHER, 8},
    {"F8_E5M2", DVK_DTYPE_OTHER, 8},     {"F8_E8M0", DVK_DTYPE_OTHER, 8}, {"F8_E4M3FNUZ", DVK_DTYPE_OTHER, 8},
    {"F8_E5M2FNUZ", DVK_DTYPE_OTHER, 8},
};

typedef struct parser {
    const dvk_allocator *allocator;
    const char *path;
    const uint8_t *data;
    uint64_t data_size;
    dvk_error *error;
} parser;

static bool multiply(uint64_t a, uint64_t b, uint64_t *product) {
    if (b && a > UINT64_MAX / b)
        return false;
    *product = a * b;
    return true;
}

static dvk_result read_dtype(const parser *p, const dvk_json *entry, dvk_tensor *tensor, uint32_t *bits) {
    const dvk_json *item = dvk_json_get(entry, "dtype");
    if (!dvk_json_is(item, DVK_JSON_STRING))
        return dvk_fail(p->error, DVK_ERROR_BAD_FILE, "%s: tensor \"%s\" needs \"dtype\" as a string, found %s",
                        p->path, dvk_quote(tensor->name).text, dvk_json_type_name(item));
    const char *name = dvk_json_text(item);
    for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++)
        if (!strcmp(name, dtypes[i].name)) {
            tensor->dtype = dtypes[i].dtype;
            memcpy(tensor->dtype_name, name, strlen(name) + 1);
            *bits = dtypes[i].bits;
            return DVK_OK;
        }
    return dvk_fail(p->error, DVK_ERROR_BAD_FILE,
                    "%s: tensor \"%s\" has dtype \"%s\", which the safetensors format does not know", p->path,
                    dvk_quote(tensor->name).text, dvk_quote(name).text);
}

static dvk_result read_shape(const parser *p, const dvk_json *entry, dvk_tensor *tensor) {
    const dvk_json *item = dvk_json_get(entry, "shape");
    if (!dvk_json_is(item, DVK_JSON_LIST))
        return dvk_fail(p->error, DVK_ERROR_BAD_FILE, "%s: tensor \"%s\" needs \"shape\" as a list, found %s", p->path,
                        dvk_quote(tensor->name).text, dvk_json_type_name(item));
    const uint32_t rank = dvk_json_count(item);
    if (rank > DVK_MAX_RANK)
        return dvk_fail(p->error, DVK_ERROR_UNSUPPORTED, "%s: tensor \"%s\" has %u dimensions, at most %d can be read",
                        p->path, dvk_quote(tensor->name).text, rank, DVK_MAX_RANK);
    tensor->rank = rank;
    tensor->elements = 1;
    for (uint32_t i = 0; i < rank; i++) {
        const dvk_json *extent = dvk_json_item(item, i);
        if (!dvk_json_is(extent, DVK_JSON_INTEGER) || extent->integer < 0)
            return dvk_fail(p->error, DVK_ERROR_BAD_FILE,
                            "%s: tensor \"%s\" has a shape that holds something else than integers from 0 up", p->path,
                            dvk_quote(tensor->name).text);
        tensor->shape[i] = (uint64_t)extent->integer;
        if (!multiply(tensor->elements, tensor->shape[i], &tensor->elements))
            return dvk_fail(p->error, DVK_ERROR_BAD_FILE, "%s: the shape of tensor \"%s\" overflows 64 bits", p->path,
                            dvk_quote(tensor->name).text);
    }
    return DVK_OK;
}

static dvk_result read_offsets(const parser *p, const dvk_json *entry, dvk_tensor *tensor) {
    const dvk_json *item = dvk_json_get(entry, "data_offsets");
    const dvk_json *first = dvk_json_item(item, 0), *last = dvk_json_item(item, 1);
    if (dvk_json_count(item) != 2 || !dvk_json_is(first, DVK_JSON_INTEGER) || !dvk_json_is(last, DVK_JSON_INTEGER))
        return dvk_fail(p->error, DVK_ERROR_BAD_FILE,
                        "%s: tensor \"%s\" needs \"data_offsets\" as a list of two integers", p->path,
                        dvk_quote(tensor->name).text);
    const int64_t begin = first->integer, end = last->integer;
    if (begin < 0 || end < begin || (uint64_t)end > p->data_size)
        return dvk_fail(p->error, DVK_ERROR_BAD_FILE,
                        "%s: tensor \"%s\" has data_offsets [%lld, %lld], but the file has data from 0 to %llu; it may "
                        "be truncated",
                        p->path, dvk_quote(tensor->name).text, (long long)begin, (long long)end,
                        (unsigned long long)p->data_size);
    tensor->data = p->data + begin;
    tensor->bytes = (uint64_t)(end - begin);
    return DVK_OK;
}

static dvk_result read_tensor(const parser *p, const dvk_json *entry, dvk_tensor *tensor) {
    if (!dvk_json_is(entry, DVK_JSON_OBJECT))
        return dvk_fail(p->error, DVK_ERROR_BAD_FILE, "%s: tensor \"%s\" must be described by an object, found %s",
                        p->path, dvk_quote(tensor->name).text, dvk_json_type_name(entry));
    uint32_t bits = 0;
    uint64_t total_bits = 0;
    dvk_result result = read_dtype(p, entry, tensor, &bits);
    if (result == DVK_OK)
        result = read_shape(p, entry, tensor);
    if (result == DVK_OK)
        result = read_offsets(p, entry, tensor);
    if (result != DVK_OK)
        return result;
    if (!multiply(tensor->elements, bits, &total_bits))
        return dvk_fail(p->error, DVK_ERROR_BAD_FILE, "%s: the size of tensor \"%s\" overflows 64 bits", p->path,
                        dvk_quote(tensor->name).text);
    if (total_bits % 8 || total_bits / 8 != tensor->bytes)
        return dvk_fail(p->error, DVK_ERROR_BAD_FILE,
                        "%s: tensor \"%s\" has %llu elements of %s (%llu bits), but its data_offsets span %llu bytes",
                        p->path, dvk_quote(tensor->name).text, (unsigned long long)tensor->elements, tensor->dtype_name,
                        (unsigned long long)total_bits, (unsigned long long)tensor->bytes);
    return DVK_OK;
}

static dvk_result check_metadata(const parser *p, const dvk_json *metadata) {
    if (dvk_json_is(metadata, DVK_JSON_NULL))
        return DVK_OK;
    if (!dvk_json_is(metadata, DVK_JSON_OBJECT))
        return dvk_fail(p->error, DVK_ERROR_BAD_FILE, "%s: \"__metadata__\" must be an object, found %s", p->path,
                        dvk_json_type_name(metadata));
    const dvk_json *key = metadata + 1;
    for (uint32_t i = 0; i < metadata->count; i++, key = dvk_json_next_key(key))
        if (!dvk_json_is(key + 1, DVK_JSON_STRING))
            return dvk_fail(p->error, DVK_ERROR_BAD_FILE,
                            "%s: \"__metadata__\" must map to strings only, but \"%s\" is %s", p->path,
                            dvk_quote(key->text).text, dvk_json_type_name(key + 1));
    return DVK_OK;
}

static int compare_places(const void *a, const void *b, const void *context) {
    (void)context;
    const dvk_tensor *x = a, *y = b;
    const char *x_data = x->data, *y_data = y->data;
    if (x_data != y_data)
        return x_data < y_data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int compare_names(const void *a, const void *b, const void *context) {
    (void)context;
    return strcmp(((const dvk_tensor *)a)->name, ((const dvk_tensor *)b)->name);
}

/* The tensors, in the order of their data, must cover it exactly: no hole, no overlap, nothing behind the last one. */
static dvk_result check_coverage(const parser *p, const dvk_tensor *tensors, size_t count) {
    uint64_t covered = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t begin = (uint64_t)((const uint8_t *)tensors[i].data - p->data);
        if (begin != covered)
            return dvk_fail(p->error, DVK_ERROR_BAD_FILE,
                            "%s: tensor \"%s\" begins at byte %llu of the data, expected %llu: the tensors %s", p->path,
                            dvk_quote(tensors[i].name).text, (unsigned long long)begin, (unsigned long long)covered,
                            begin < covered ? "overlap" : "leave a hole");
        covered += tensors[i].bytes;
    }
    if (covered != p->data_size)
        return dvk_fail(
            p->error, DVK_ERROR_BAD_FILE,
            "%s: the tensors hold %llu bytes, but the file has %llu bytes of data: it has %llu trailing bytes", p->path,
            (unsigned long long)covered, (unsigned long long)p->data_size,
            (unsigned long long)(p->data_size - covered));
    return DVK_OK;
}

/* One allocation: the tensors, then the characters of their names. */
static dvk_result read_tensors(const parser *p, const dvk_json *header, dvk_tensor_list *file) {
    size_t count = 0, name_bytes = 0;
    const dvk_json *key = header + 1;
    /* Neither sum can overflow: both are bounded by the header's size. */
    for (uint32_t i = 0; i < header->count; i++, key = dvk_json_next_key(key)) {
        if (!strcmp(key->text, "__metadata__")) {
            dvk_result result = check_metadata(p, key + 1);
            if (result != DVK_OK)
                return result;
            continue;
        }
        count++;
        name_bytes += strlen(key->text) + 1;
    }
    if (count > (SIZE_MAX - name_bytes - 1) / sizeof(dvk_tensor))
        return dvk_fail_memory(p->error, SIZE_MAX);
    size_t bytes = count * sizeof(dvk_tensor) + name_bytes + 1;
    dvk_tensor *tensors = dvk_allocate_zeroed(p->allocator, 1, bytes);
    if (!tensors)
        return dvk_fail_memory(p->error, bytes);
    char *name = (char *)(tensors + count);
    dvk_tensor *tensor = tensors;
    dvk_result result = DVK_OK;
    key = header + 1;
    for (uint32_t i = 0; i < header->count; i++, key = dvk_json_next_key(key)) {
        if (!strcmp(key->text, "__metadata__"))
            continue;
        size_t length = strlen(key->text) + 1;
        memcpy(name, key->text, length);
        tensor->name = name;
        name += length;
        result = read_tensor(p, key + 1, tensor++);
        if (result != DVK_OK)
            break;
    }
    if (result == DVK_OK) {
        dvk_sort(tensors, count, sizeof(dvk_tensor), compare_places, NULL);
        result = check_coverage(p, tensors, count);
    }
    if (result != DVK_OK) {
        dvk_release(p->allocator, tensors);
        return result;
    }
    dvk_sort(tensors, count, sizeof(dvk_tensor), compare_names, NULL);
    file->allocator = p->allocator;
    file->tensors = tensors;
    file->count = count;
    return DVK_OK;
}

dvk_result dvk_safetensors_parse(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                                 dvk_tensor_list *file, dvk_error *error) {
    const uint8_t *start = bytes;
    if (size < 8)
        return dvk_fail(error, DVK_ERROR_BAD_FILE,
                        "%s has %zu bytes, too few for a safetensors file; download or copy it again", path, size);
    uint64_t header_size = 0;
    for (int i = 7; i >= 0; i--)
        header_size = header_size << 8 | start[i];
    if (header_size > HEADER_LIMIT)
        return dvk_fail(error, DVK_ERROR_BAD_FILE,
                        "%s: the header claims %llu bytes, at most %u are allowed; this may be no safetensors file",
                        path, (unsigned long long)header_size, HEADER_LIMIT);
    if (header_size > size - 8)
        return dvk_fail(error, DVK_ERROR_BAD_FILE,
                        "%s: the header claims %llu bytes, but the file ends after %zu; it is truncated", path,
                        (unsigned long long)header_size, size - 8);
    if (header_size == 0 || start[8] != '{')
        return dvk_fail(error, DVK_ERROR_BAD_FILE,
                        "%s: the header does not begin with '{'; this is no safetensors file", path);
    parser p = {allocator, path, start + 8 + header_size, size - 8 - header_size, error};
    dvk_json *header = NULL;
    dvk_result result = dvk_json_parse_object(allocator, start + 8, (size_t)header_size, path, &header, error);
    if (result != DVK_OK)
        return result;
    result = read_tensors(&p, header, file);
    dvk_release(allocator, header);
    return result;
}
