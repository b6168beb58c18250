/* Any bytes as a safetensors file. What is accepted lies in the file, covers it, and has the size that its shape says.
 */
#include "fuzz.h"
#include "safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_memory memory;
    const dvk_allocator allocator = fuzz_allocator(&memory, 64 << 20);
    dvk_tensor_list list = {0};
    dvk_error error = {0};
    const dvk_result result = dvk_safetensors_parse(&allocator, data, size, "fuzz", &list, &error);
    if (result != DVK_OK)
        fuzz_check_refusal(result, &error);
    uint64_t header = 0, covered = 0;
    for (size_t i = 0; i < 8 && result == DVK_OK; i++)
        header |= (uint64_t)data[i] << (8 * i);
    for (size_t i = 0; i < list.count; i++) {
        const dvk_tensor *tensor = &list.tensors[i];
        uint64_t elements = 1;
        for (uint32_t k = 0; k < tensor->rank; k++)
            elements *= tensor->shape[k];
        REQUIRE_ALWAYS(elements == tensor->elements);
        const uint8_t *bytes = tensor->data;
        REQUIRE_ALWAYS(bytes >= data + 8 + header && bytes <= data + size &&
                       tensor->bytes <= (uint64_t)(data + size - bytes));
        covered += tensor->bytes;
        REQUIRE_ALWAYS(i == 0 || strcmp(list.tensors[i - 1].name, tensor->name) < 0);
        REQUIRE_ALWAYS(dvk_tensor_list_find(&list, tensor->name) == tensor);
    }
    REQUIRE_ALWAYS(result != DVK_OK || covered == size - 8 - header);
    dvk_tensor_list_free(&list);
    REQUIRE_ALWAYS(memory.blocks == 0);
    return 0;
}
