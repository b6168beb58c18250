/* libFuzzer: any text. What is read must be a tree whose parts lie side by side and whose keys are found; a text that
 * is refused says where. */
#include "json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition)
        abort();
}

static size_t text_bytes;

static const dvk_json *check(const dvk_json *value, uint32_t depth) {
    require(depth <= DVK_JSON_DEPTH_LIMIT && value->kind <= DVK_JSON_OBJECT && value->span >= 1);
    const dvk_json *next = value + 1;
    if (value->kind == DVK_JSON_STRING)
        text_bytes += strlen(value->text) + 1;
    if (value->kind < DVK_JSON_LIST) {
        require(value->span == 1);
        return next;
    }
    for (uint32_t i = 0; i < value->count; i++) {
        if (value->kind == DVK_JSON_OBJECT) {
            require(next->kind == DVK_JSON_STRING && dvk_json_get(value, next->text) == next + 1);
            text_bytes += strlen(next->text) + 1;
            next++;
        }
        next = check(next, depth + 1);
    }
    /* A large object's index is behind its pairs. */
    require(next <= value + value->span && (value->kind == DVK_JSON_LIST || value->count <= 8
                                                ? next == value + value->span
                                                : (size_t)(value + value->span - next) == (value->count + 3) / 4));
    return value + value->span;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    dvk_json *root = NULL;
    dvk_error error = {0};
    if (dvk_json_parse(NULL, data, size, "fuzz", &root, &error) == DVK_OK) {
        text_bytes = 0;
        require(check(root, 0) == root + root->span && text_bytes <= size);
        dvk_release(NULL, root);
    } else {
        require(!root && error.code == DVK_ERROR_BAD_FILE && strstr(error.message, "(line "));
    }
    return 0;
}
