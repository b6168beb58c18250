/* libFuzzer: the input's first byte says whether the rest is a whole torch file, or a pickle around which an archive
 * with one storage is made, so that the fuzzer need not learn CRC-32. What is read must lie within the input. */
#define TEST_OF_SEVERAL_FILES
#include "dino_names.h"
#include "torch_file.h"
#include "torch_writer.h"

int test_failures_, test_checks_;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint32_t bytes_read;

static void read_file(const uint8_t *bytes, size_t size) {
    dvk_error error = {0};
    dvk_tensor_list tensors = {0};
    dvk_dino_texts texts = {0};
    if (dvk_torch_parse(NULL, bytes, size, "fuzz", &tensors, &error) == DVK_OK)
        dvk_dino_names("fuzz", &tensors, &texts, &error);
    for (size_t i = 0; i < tensors.count; i++)
        for (uint64_t k = 0; k < tensors.tensors[i].bytes; k++)
            bytes_read += ((const uint8_t *)tensors.tensors[i].data)[k];
    dvk_dino_texts_free(&texts);
    dvk_tensor_list_free(&tensors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    if (data[0] & 1) {
        read_file(data + 1, size - 1);
        return 0;
    }
    static const float values[8];
    zip_member members[] = {{"data.pkl", data + 1, size - 1}, {"data/0", values, sizeof(values)}};
    blob file = make_zip("a", members, 2);
    read_file(file.bytes, file.size);
    free_blob(&file);
    return 0;
}
