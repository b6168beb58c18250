#include "tensor_list.h"

#include <string.h>

#include "json.h"
#include "sort.h"

dvk_result dvk_tensor_list_allocate(const dvk_allocator *allocator, size_t count, size_t name_bytes,
                                    dvk_tensor_list *list, char **names, dvk_error *error) {
    if (name_bytes == SIZE_MAX || count > (SIZE_MAX - name_bytes - 1) / sizeof(dvk_tensor))
        return dvk_fail_memory(error, SIZE_MAX);
    size_t bytes = count * sizeof(dvk_tensor) + name_bytes + 1;
    dvk_tensor *tensors = dvk_allocate_zeroed(allocator, 1, bytes);
    if (!tensors)
        return dvk_fail_memory(error, bytes);
    list->allocator = allocator;
    list->tensors = tensors;
    list->count = count;
    *names = (char *)(tensors + count);
    return DVK_OK;
}

static int compare_names(const void *a, const void *b, const void *context) {
    (void)context;
    return strcmp(((const dvk_tensor *)a)->name, ((const dvk_tensor *)b)->name);
}

dvk_result dvk_tensor_list_sort(dvk_tensor_list *list, const char *path, dvk_error *error) {
    dvk_sort(list->tensors, list->count, sizeof(dvk_tensor), compare_names, NULL);
    for (size_t i = 1; i < list->count; i++)
        if (!strcmp(list->tensors[i - 1].name, list->tensors[i].name))
            return dvk_fail(error, DVK_ERROR_BAD_FILE, "%s: two tensors have the name \"%s\"", path,
                            dvk_quote(list->tensors[i].name).text);
    return DVK_OK;
}

void dvk_tensor_list_free(dvk_tensor_list *file) {
    dvk_release(file->allocator, file->tensors);
    file->tensors = NULL;
    file->count = 0;
}

const dvk_tensor *dvk_tensor_list_find(const dvk_tensor_list *file, const char *name) {
    size_t first = 0, last = file->count;
    while (first < last) {
        size_t middle = first + (last - first) / 2;
        int order = strcmp(name, file->tensors[middle].name);
        if (order == 0)
            return &file->tensors[middle];
        if (order < 0)
            last = middle;
        else
            first = middle + 1;
    }
    return NULL;
}
