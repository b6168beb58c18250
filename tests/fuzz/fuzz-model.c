/* A model directory, in memory: config.json, NUL, preprocessor_config.json, NUL, three bytes (little-endian: how many
 * zeros the weights are), and the header of model.safetensors. What is accepted is asked all that needs no device. */
#include "fuzz.h"

enum { MOST_DATA = 1 << 20, MEMORY = 64 << 20, MOST_PIXELS = 64 * 64 };

static const uint8_t *find_end(const uint8_t *at, const uint8_t *end) {
    const uint8_t *found = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;
    return found ? found : end;
}

static uint8_t *make_safetensors(const uint8_t *input, size_t size, size_t *file_size) {
    const size_t data = size >= 3 ? ((size_t)input[0] | (size_t)input[1] << 8 | (size_t)input[2] << 16) : 0;
    const size_t header = size >= 3 ? size - 3 : 0;
    *file_size = 8 + header + (data < MOST_DATA ? data : MOST_DATA);
    uint8_t *file = calloc(1, *file_size);
    REQUIRE_ALWAYS(file);
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)header >> (8 * i));
    if (header)
        memcpy(file + 8, input + 3, header);
    return file;
}

static void use(const dvk_model *model) {
    const dvk_model_info *info = dvk_model_get_info(model);
    REQUIRE_ALWAYS(info->layers && info->heads && info->hidden_size && info->patch_size);
    for (uint32_t i = 0; i < info->label_count && i < 100; i++)
        (void)dvk_model_label(model, i);
    dvk_estimate estimate;
    dvk_error error = {0};
    dvk_result result = dvk_model_estimate(model, NULL, &estimate, &error);
    if (result != DVK_OK)
        fuzz_check_refusal(result, &error);
    const dvk_session_params other = {.width = 7 * info->patch_size, .height = 3 * info->patch_size};
    result = dvk_model_estimate(model, &other, &estimate, &error);
    if (result != DVK_OK)
        fuzz_check_refusal(result, &error);

    static uint8_t pixels[12 * 9 * 3];
    const dvk_image image = {.width = 12, .height = 9, .pixels = pixels};
    uint32_t width, height;
    dvk_preprocess_size(model, NULL, &image, &width, &height);
    if ((uint64_t)width * height > MOST_PIXELS)
        return;
    float *values = malloc((size_t)width * height * 3 * sizeof(*values) + 1);
    REQUIRE_ALWAYS(values);
    result = dvk_preprocess(model, NULL, &image, values, NULL, &error);
    if (result != DVK_OK)
        fuzz_check_refusal(result, &error);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = data + size, *config_end = find_end(data, end);
    const uint8_t *processor = config_end < end ? config_end + 1 : end, *processor_end = find_end(processor, end);
    const uint8_t *weights = processor_end < end ? processor_end + 1 : end;
    fuzz_memory memory;
    const dvk_allocator allocator = fuzz_allocator(&memory, MEMORY);
    dvk_model_params params = {
        .allocator = &allocator,
        .config_json_size = (size_t)(config_end - data),
        .preprocessor_json_size = (size_t)(processor_end - processor),
    };
    uint8_t *config = fuzz_copy(data, params.config_json_size);
    uint8_t *processor_copy = fuzz_copy(processor, params.preprocessor_json_size);
    uint8_t *file = make_safetensors(weights, (size_t)(end - weights), &params.safetensors_size);
    params.config_json = (char *)config;
    params.preprocessor_json = (char *)processor_copy;
    params.safetensors = file;
    dvk_model *model = NULL;
    dvk_error error = {0};
    const dvk_result result = dvk_model_load(NULL, &params, &model, &error);
    if (result == DVK_OK)
        use(model);
    else
        fuzz_check_refusal(result, &error);
    dvk_model_destroy(&model);
    REQUIRE_ALWAYS(memory.blocks == 0);
    free(config);
    free(processor_copy);
    free(file);
    return 0;
}
