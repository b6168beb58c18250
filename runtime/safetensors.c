/* The format: 8 bytes of little-endian header length, the header (JSON: name -> dtype, shape, data_offsets), the data.
 * What is refused here is what the reference implementation (the safetensors crate) refuses, and three things more that
 * nothing writes: a header that does not start with '{' (the format's text demands it, the crate does not check), names
 * with NUL characters, and more than DVK_MAX_RANK dimensions. */
#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"

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

static dvk_result read_dtype(const parser *p, const json_t *entry, dvk_tensor *tensor, uint32_t *bits) {
    const json_t *item = json_object_get(entry, "dtype");
    if (!json_is_string(item))
        return dvk_fail(p->error, DVK_ERROR_BAD_FILE, "%s: tensor \"%s\" needs \"dtype\" as a string, found %s",
                        p->path, dvk_quote(tensor->name).text, dvk_json_type_name(item));
    const char *name = json_string_value(item);
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

static dvk_result read_shape(const parser *p, const json_t *entry, dvk_tensor *tensor) {
    const json_t *item = json_object_get(entry, "shape");
    if (!json_is_array(item))
        return dvk_fail(p->error, DVK_ERROR_BAD_FILE, "%s: tensor \"%s\" needs \"shape\" as a list, found %s", p->path,
                        dvk_quote(tensor->name).text, dvk_json_type_name(item));
    size_t rank = json_array_size(item);
    if (rank > DVK_MAX_RANK)
        return dvk_fail(p->error, DVK_ERROR_UNSUPPORTED, "%s: tensor \"%s\" has %zu dimensions, at most %d can be read",
                        p->path, dvk_quote(tensor->name).text, rank, DVK_MAX_RANK);
    tensor->rank = (uint32_t)rank;
    tensor->elements = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_t *extent = json_array_get(item, i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return dvk_fail(p->error, DVK_ERROR_BAD_FILE,
                            "%s: tensor \"%s\" has a shape that holds something else than integers from 0 up", p->path,
                            dvk_quote(tensor->name).text);
        tensor->shape[i] = (uint64_t)json_integer_value(extent);
        if (!multiply(tensor->elements, tensor->shape[i], &tensor->elements))
            return dvk_fail(p->error, DVK_ERROR_BAD_FILE, "%s: the shape of tensor \"%s\" overflows 64 bits", p->path,
                            dvk_quote(tensor->name).text);
    }
    return DVK_OK;
}

static dvk_result read_offsets(const parser *p, const json_t *entry, dvk_tensor *tensor) {
    const json_t *item = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(item, 0), *last = json_array_get(item, 1);
    if (json_array_size(item) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return dvk_fail(p->error, DVK_ERROR_BAD_FILE,
                        "%s: tensor \"%s\" needs \"data_offsets\" as a list of two integers", p->path,
                        dvk_quote(tensor->name).text);
    json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > p->data_size)
        return dvk_fail(p->error, DVK_ERROR_BAD_FILE,
                        "%s: tensor \"%s\" has data_offsets [%" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
                        "], but the file has data from 0 to %llu; it may be truncated",
                        p->path, dvk_quote(tensor->name).text, begin, end, (unsigned long long)p->data_size);
    tensor->data = p->data + begin;
    tensor->bytes = (uint64_t)(end - begin);
    return DVK_OK;
}

static dvk_result read_tensor(const parser *p, const json_t *entry, dvk_tensor *tensor) {
    if (!json_is_object(entry))
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

static dvk_result check_metadata(const parser *p, json_t *metadata) {
    if (json_is_null(metadata))
        return DVK_OK;
    if (!json_is_object(metadata))
        return dvk_fail(p->error, DVK_ERROR_BAD_FILE, "%s: \"__metadata__\" must be an object, found %s", p->path,
                        dvk_json_type_name(metadata));
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value))
            return dvk_fail(p->error, DVK_ERROR_BAD_FILE,
                            "%s: \"__metadata__\" must map to strings only, but \"%s\" is %s", p->path,
                            dvk_quote(key).text, dvk_json_type_name(value));
    }
    return DVK_OK;
}

static int compare_places(const void *a, const void *b) {
    const dvk_tensor *x = a, *y = b;
    const char *x_data = x->data, *y_data = y->data;
    if (x_data != y_data)
        return x_data < y_data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int compare_names(const void *a, const void *b) {
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
static dvk_result read_tensors(const parser *p, json_t *header, dvk_tensor_list *file) {
    size_t count = 0, name_bytes = 0;
    const char *key;
    json_t *value;
    /* Neither sum can overflow: both are bounded by the header's size. */
    json_object_foreach(header, key, value) {
        if (!strcmp(key, "__metadata__")) {
            dvk_result result = check_metadata(p, value);
            if (result != DVK_OK)
                return result;
            continue;
        }
        count++;
        name_bytes += strlen(key) + 1;
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
    json_object_foreach(header, key, value) {
        if (!strcmp(key, "__metadata__"))
            continue;
        size_t length = strlen(key) + 1;
        memcpy(name, key, length);
        tensor->name = name;
        name += length;
        result = read_tensor(p, value, tensor++);
        if (result != DVK_OK)
            break;
    }
    if (result == DVK_OK) {
        qsort(tensors, count, sizeof(dvk_tensor), compare_places);
        result = check_coverage(p, tensors, count);
    }
    if (result != DVK_OK) {
        dvk_release(p->allocator, tensors);
        return result;
    }
    qsort(tensors, count, sizeof(dvk_tensor), compare_names);
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
    json_t *header = NULL;
    dvk_result result = dvk_json_parse_object(allocator, start + 8, (size_t)header_size, path, &header, error);
    if (result != DVK_OK)
        return result;
    result = read_tensors(&p, header, file);
    json_decref(header);
    return result;
}
