/* The embedded default model: the bytes of models/dino-vk-tiny, of the size and kind that its model card says. argv[1]:
 * that directory. */
#include "default_model.h"

#include "checkpoint.h"
#include "files.h"

static void check_file(const char *directory, const char *name, const void *bytes, size_t size) {
    blob file = read_blob(directory, name);
    CHECK_MESSAGE(file.size == size && !memcmp(file.bytes, bytes, size), "%s", name);
    free_blob(&file);
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2);
    check_file(argv[1], "config.json", dvk_default_model_config, dvk_default_model_config_size);
    check_file(argv[1], "preprocessor_config.json", dvk_default_model_preprocessor,
               dvk_default_model_preprocessor_size);
    check_file(argv[1], "model.safetensors", dvk_default_model_safetensors, dvk_default_model_safetensors_size);
    const dvk_model_params params = {.config_json = dvk_default_model_config,
                                     .config_json_size = dvk_default_model_config_size,
                                     .preprocessor_json = dvk_default_model_preprocessor,
                                     .preprocessor_json_size = dvk_default_model_preprocessor_size,
                                     .safetensors = dvk_default_model_safetensors,
                                     .safetensors_size = dvk_default_model_safetensors_size,
                                     .name = "default"};
    dvk_checkpoint checkpoint;
    dvk_error error = {0};
    REQUIRE(dvk_checkpoint_open(&params, &checkpoint, &error) == DVK_OK);
    CHECK(!checkpoint.config.untrained && checkpoint.config.image_width == 224 && checkpoint.config.patch_size == 8);
    CHECK(checkpoint.matrix_dtype == DVK_DTYPE_F16 && checkpoint.parameters == 2857536);
    CHECK(dvk_default_model_safetensors_size <= 9000000);
    dvk_checkpoint_close(&checkpoint);
    return FINISH();
}
