/* The format (torch/serialization.py, caffe2/serialize/inline_container.cc): a ZIP archive with one root folder, in it
 * data.pkl (the objects; tensors name their storage), data/KEY (a storage's bytes), version and, since 2.1,
 * byteorder. */
#include "torch_file.h"

#include <stdio.h>
#include <string.h>

#include "json.h"
#include "pickle.h"
#include "tensor_list.h"
#include "torch_zip.h"

#define VERSION_LIMIT 10 /* kMaxSupportedFileFormatVersion of torch 2 */
enum { MAX_TENSORS = 1 << 16, MAX_NAME = 512 };

/* What a pickle may name. The storages come first, in the order of `storages`. */
enum {
    STORAGE_COUNT = 10,
    REBUILD_TENSOR = STORAGE_COUNT,
    REBUILD_PARAMETER,
    ORDERED_DICT,
    NAMESPACE, /* the "args" of DINO's training checkpoints: never looked at */
    GLOBAL_COUNT
};

static const dvk_pickle_global globals[GLOBAL_COUNT] = {
    {"torch", "FloatStorage", false},
    {"torch", "HalfStorage", false},
    {"torch", "BFloat16Storage", false},
    {"torch", "DoubleStorage", false},
    {"torch", "LongStorage", false},
    {"torch", "IntStorage", false},
    {"torch", "ShortStorage", false},
    {"torch", "CharStorage", false},
    {"torch", "ByteStorage", false},
    {"torch", "BoolStorage", false},
    {"torch._utils", "_rebuild_tensor_v2", false},
    {"torch._utils", "_rebuild_parameter", false},
    {"collections", "OrderedDict", true},
    {"argparse", "Namespace", false},
};

static const struct {
    const char *name;
    dvk_dtype dtype;
    uint64_t bytes;
} storages[STORAGE_COUNT] = {
    {"F32", DVK_DTYPE_F32, 4},   {"F16", DVK_DTYPE_F16, 2},    {"BF16", DVK_DTYPE_BF16, 2}, {"F64", DVK_DTYPE_OTHER, 8},
    {"I64", DVK_DTYPE_OTHER, 8}, {"I32", DVK_DTYPE_OTHER, 4},  {"I16", DVK_DTYPE_OTHER, 2}, {"I8", DVK_DTYPE_OTHER, 1},
    {"U8", DVK_DTYPE_OTHER, 1},  {"BOOL", DVK_DTYPE_OTHER, 1},
};

typedef struct reader {
    const dvk_allocator *allocator;
    dvk_zip zip;
    const char *path;
    dvk_error *error;
} reader;

/* ------------------------------------------------------------------------------------------------ tensors */

static dvk_result bad_tensor(const reader *r, const char *name, const char *what) {
    return dvk_fail(r->error, DVK_ERROR_BAD_FILE, "%s: tensor \"%s\" %s", r->path, dvk_quote(name).text, what);
}

static bool is_size(const dvk_pickle_value *value) {
    return value->kind == DVK_PICKLE_INTEGER && value->integer >= 0;
}

/* ("storage", torch.FloatStorage, "KEY", "cpu", number of elements) -> the tensor's type, and the storage's bytes. */
static dvk_result read_storage(const reader *r, const dvk_pickle_value *value, dvk_tensor *tensor, const uint8_t **data,
                               uint64_t *elements, uint64_t *element_bytes) {
    const dvk_pickle_value *id =
        value->kind == DVK_PICKLE_PERSISTENT && value->object->count == 5 ? value->object->items : NULL;
    if (!id || id[0].kind != DVK_PICKLE_TEXT || id[0].detail != 7 || memcmp(id[0].text, "storage", 7) ||
        id[1].kind != DVK_PICKLE_GLOBAL || id[1].detail >= STORAGE_COUNT || id[2].kind != DVK_PICKLE_TEXT ||
        id[3].kind != DVK_PICKLE_TEXT || !is_size(&id[4]))
        return bad_tensor(r, tensor->name, "has no storage of a kind that torch writes");
    char key[80];
    if (id[2].detail > sizeof(key) - 6)
        return bad_tensor(r, tensor->name, "has a storage key of more than 74 characters");
    memcpy(key, "data/", 5);
    memcpy(key + 5, id[2].text, id[2].detail);
    key[5 + id[2].detail] = '\0';
    const dvk_zip_entry *entry = dvk_zip_find(&r->zip, key, 5 + id[2].detail);
    if (!entry)
        return dvk_fail(r->error, DVK_ERROR_BAD_FILE, "%s: tensor \"%s\" has its data in \"%s\", which is missing",
                        r->path, dvk_quote(tensor->name).text, dvk_quote(key).text);
    const uint32_t type = id[1].detail;
    tensor->dtype = storages[type].dtype;
    memcpy(tensor->dtype_name, storages[type].name, strlen(storages[type].name) + 1);
    *data = entry->data;
    *elements = (uint64_t)id[4].integer;
    *element_bytes = storages[type].bytes;
    if (entry->size % storages[type].bytes || entry->size / storages[type].bytes != *elements)
        return dvk_fail(r->error, DVK_ERROR_BAD_FILE,
                        "%s: tensor \"%s\" has a storage of %llu elements of %s, but \"%s\" holds %llu bytes", r->path,
                        dvk_quote(tensor->name).text, (unsigned long long)*elements, tensor->dtype_name,
                        dvk_quote(key).text, (unsigned long long)entry->size);
    return DVK_OK;
}

/* The shape, which must be dense and row-major: only so are a tensor's bytes those of the storage. */
static dvk_result read_shape(const reader *r, const dvk_pickle_value *size, const dvk_pickle_value *stride,
                             dvk_tensor *tensor) {
    if (size->kind != DVK_PICKLE_TUPLE || stride->kind != DVK_PICKLE_TUPLE ||
        size->object->count != stride->object->count)
        return bad_tensor(r, tensor->name, "has no shape with as many strides");
    if (size->object->count > DVK_MAX_RANK)
        return bad_tensor(r, tensor->name, "has more than 8 dimensions");
    tensor->rank = size->object->count;
    tensor->elements = 1;
    bool empty = false;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        if (!is_size(&size->object->items[i]))
            return bad_tensor(r, tensor->name, "has a shape that holds something else than integers from 0 up");
        tensor->shape[i] = (uint64_t)size->object->items[i].integer;
        empty = empty || !tensor->shape[i];
    }
    bool dense = true;
    for (uint32_t i = tensor->rank; i-- > 0;) {
        const dvk_pickle_value *step = &stride->object->items[i];
        if (!is_size(step))
            return bad_tensor(r, tensor->name, "has strides that are something else than integers from 0 up");
        if (tensor->shape[i] != 1 && (uint64_t)step->integer != tensor->elements)
            dense = false;
        if (tensor->shape[i] && tensor->elements > UINT64_MAX / tensor->shape[i])
            return bad_tensor(r, tensor->name, "has a shape that overflows 64 bits");
        tensor->elements *= tensor->shape[i];
    }
    if (!dense && !empty)
        return dvk_fail(r->error, DVK_ERROR_UNSUPPORTED,
                        "%s: tensor \"%s\" is not stored row by row (a transposed view, for one); save its "
                        ".contiguous() form",
                        r->path, dvk_quote(tensor->name).text);
    return DVK_OK;
}

/* torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata]), perhaps inside
 * torch._utils._rebuild_parameter(tensor, requires_grad, hooks). */
static dvk_result read_tensor(const reader *r, const dvk_pickle_value *value, dvk_tensor *tensor) {
    if (value->kind == DVK_PICKLE_CALL && value->detail == REBUILD_PARAMETER && value->object->count >= 1)
        value = &value->object->items[0];
    if (value->kind != DVK_PICKLE_CALL || value->detail != REBUILD_TENSOR || value->object->count < 6 ||
        value->object->count > 7)
        return dvk_fail(r->error, DVK_ERROR_UNSUPPORTED,
                        "%s: \"%s\" is no tensor, expected a dictionary of tensors (a state dict)", r->path,
                        dvk_quote(tensor->name).text);
    const dvk_pickle_value *arguments = value->object->items;
    const uint8_t *data = NULL;
    uint64_t elements = 0, element_bytes = 1;
    dvk_result result = read_storage(r, &arguments[0], tensor, &data, &elements, &element_bytes);
    if (result == DVK_OK)
        result = read_shape(r, &arguments[2], &arguments[3], tensor);
    if (result != DVK_OK)
        return result;
    if (!is_size(&arguments[1]) || (uint64_t)arguments[1].integer > elements ||
        elements - (uint64_t)arguments[1].integer < tensor->elements)
        return bad_tensor(r, tensor->name, "reaches beyond its storage");
    tensor->data = data + (uint64_t)arguments[1].integer * element_bytes;
    tensor->bytes = tensor->elements * element_bytes;
    return DVK_OK;
}

/* --------------------------------------------------------------------------------------------- state dict */

/* Which of a training checkpoint's dictionaries holds the weights. DINO's teacher is its student's running average, and
 * what the published files were made from. */
static const dvk_pickle_value *find_state_dict(const dvk_pickle_value *root) {
    static const char *const wrappers[] = {"teacher", "student", "state_dict", "model"};
    enum { WRAPPER_COUNT = sizeof(wrappers) / sizeof(wrappers[0]), MAX_DEPTH = 4 };
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        const dvk_pickle_value *inner = NULL;
        for (int i = 0; i < WRAPPER_COUNT && !inner; i++) {
            inner = dvk_pickle_get(root, wrappers[i]);
            if (inner && inner->kind != DVK_PICKLE_DICT)
                inner = NULL;
        }
        if (!inner)
            break;
        root = inner;
    }
    return root->kind == DVK_PICKLE_DICT && root->object->count ? root : NULL;
}

static dvk_result read_state_dict(const reader *r, const dvk_pickle_value *root, dvk_tensor_list *tensors) {
    const dvk_pickle_value *dict = find_state_dict(root);
    if (!dict)
        return dvk_fail(r->error, DVK_ERROR_UNSUPPORTED,
                        "%s holds no dictionary of tensors (a state dict), as torch.save(model.state_dict(), ...) "
                        "writes it",
                        r->path);
    const dvk_pickle_value *items = dict->object->items;
    const uint32_t count = dict->object->count / 2;
    size_t name_bytes = 0;
    if (count > MAX_TENSORS)
        return dvk_fail(r->error, DVK_ERROR_UNSUPPORTED, "%s: a dictionary of %u tensors, at most %d can be read",
                        r->path, count, MAX_TENSORS);
    for (uint32_t i = 0; i < count; i++) {
        const dvk_pickle_value *key = &items[2 * i];
        if (key->kind != DVK_PICKLE_TEXT || !key->detail || memchr(key->text, 0, key->detail))
            return dvk_fail(r->error, DVK_ERROR_BAD_FILE, "%s: a tensor's name is no text", r->path);
        if (key->detail > MAX_NAME)
            return dvk_fail(r->error, DVK_ERROR_BAD_FILE, "%s: a tensor's name has %u characters, at most %d can be",
                            r->path, key->detail, MAX_NAME);
        name_bytes += key->detail + 1;
    }
    char *names;
    dvk_result result = dvk_tensor_list_allocate(r->allocator, count, name_bytes, tensors, &names, r->error);
    for (uint32_t i = 0; i < count && result == DVK_OK; i++) {
        const dvk_pickle_value *key = &items[2 * i];
        memcpy(names, key->text, key->detail);
        tensors->tensors[i].name = names;
        names += key->detail + 1; /* the block is zeroed */
        result = read_tensor(r, &items[2 * i + 1], &tensors->tensors[i]);
    }
    if (result == DVK_OK)
        result = dvk_tensor_list_sort(tensors, r->path, r->error);
    if (result != DVK_OK)
        dvk_tensor_list_free(tensors);
    return result;
}

/* ------------------------------------------------------------------------------------------------ archive */

static const dvk_zip_entry *find_entry(const reader *r, const char *name) {
    return dvk_zip_find(&r->zip, name, strlen(name));
}

static dvk_result check_version(const reader *r) {
    const dvk_zip_entry *version = find_entry(r, "version");
    if (!version)
        version = find_entry(r, ".data/version");
    dvk_result result = DVK_OK;
    if (version) {
        uint32_t number = 0;
        result = dvk_zip_verify(version, r->path, r->error);
        for (uint64_t i = 0; i < version->size && i < 4 && version->data[i] >= '0' && version->data[i] <= '9'; i++)
            number = number * 10 + (version->data[i] - '0');
        if (result == DVK_OK && (number < 1 || number > VERSION_LIMIT))
            result = dvk_fail(r->error, DVK_ERROR_UNSUPPORTED,
                              "%s has version %u of torch's file format, only versions 1 to %d can be read", r->path,
                              number, VERSION_LIMIT);
    }
    const dvk_zip_entry *order = find_entry(r, "byteorder");
    if (result == DVK_OK && order) {
        result = dvk_zip_verify(order, r->path, r->error);
        if (result == DVK_OK && (order->size != 6 || memcmp(order->data, "little", 6)))
            result =
                dvk_fail(r->error, DVK_ERROR_UNSUPPORTED,
                         "%s was written on a big-endian machine, only little-endian tensors can be read", r->path);
    }
    return result;
}

static dvk_result read_archive(const reader *r, dvk_tensor_list *tensors) {
    const dvk_zip_entry *data = find_entry(r, "data.pkl");
    if (!data)
        return dvk_fail(r->error, DVK_ERROR_BAD_FILE, "%s is a ZIP archive, but no torch file: it has no data.pkl",
                        r->path);
    if (find_entry(r, "constants.pkl"))
        return dvk_fail(r->error, DVK_ERROR_UNSUPPORTED,
                        "%s is a TorchScript program, expected tensors alone; save the module's state_dict()", r->path);
    dvk_result result = check_version(r);
    if (result == DVK_OK && data->size > SIZE_MAX)
        result = dvk_fail_memory(r->error, SIZE_MAX);
    if (result == DVK_OK)
        result = dvk_zip_verify(data, r->path, r->error);
    if (result != DVK_OK)
        return result;
    dvk_pickle pickle;
    result = dvk_pickle_read(r->allocator, data->data, (size_t)data->size, globals, GLOBAL_COUNT, r->path, &pickle,
                             r->error);
    if (result != DVK_OK)
        return result;
    result = read_state_dict(r, &pickle.root, tensors);
    dvk_pickle_free(&pickle);
    return result;
}

/* The pickled number that torch's files began with before 1.6: 0x1950a86a20f9469cfc6c. */
static bool is_old_format(const void *bytes, size_t size) {
    static const uint8_t start[] = {0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    return size >= sizeof(start) && !memcmp(bytes, start, sizeof(start));
}

bool dvk_torch_detect(const void *bytes, size_t size) {
    return dvk_zip_detect(bytes, size) || is_old_format(bytes, size);
}

dvk_result dvk_torch_parse(const dvk_allocator *allocator, const void *bytes, size_t size, const char *path,
                           dvk_tensor_list *tensors, dvk_error *error) {
    if (is_old_format(bytes, size))
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%s is in torch's format from before 1.6; write it again with: python3 -c \"import torch, sys; "
                        "torch.save(torch.load(sys.argv[1], map_location='cpu', weights_only=True), sys.argv[1])\" %s",
                        path, path);
    reader r = {.allocator = allocator, .path = path, .error = error};
    dvk_result result = dvk_zip_open(allocator, bytes, size, path, &r.zip, error);
    if (result != DVK_OK)
        return result;
    result = read_archive(&r, tensors);
    dvk_zip_close(&r.zip);
    return result;
}
