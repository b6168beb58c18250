/* Damaged, wrong and unsupported models: each must give its result code and a sentence with the facts. And a hail of
 * random damage, which must be refused or read, never crash (run it under the sanitizers). */
#include "checkpoint.h"

#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "synth.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define BAD DVK_ERROR_BAD_FILE
#define UNSUPPORTED DVK_ERROR_UNSUPPORTED

/* vit-tiny, whole, in memory; the texts are NUL-terminated. */
static blob config, preprocessor, weights;
static char *header; /* of the weights */

static dvk_result open_blocks(const char *config_text, size_t config_size, const char *preprocessor_text,
                              size_t preprocessor_size, const void *bytes, size_t size, dvk_error *error) {
    const dvk_model_params params = {.config_json = config_text,
                                     .config_json_size = config_size,
                                     .preprocessor_json = preprocessor_text,
                                     .preprocessor_json_size = preprocessor_size,
                                     .safetensors = bytes,
                                     .safetensors_size = size,
                                     .name = "tiny"};
    dvk_checkpoint checkpoint;
    memset(&checkpoint, 0xa5, sizeof(checkpoint)); /* outputs need not be initialised, and stay untouched */
    dvk_result result = dvk_checkpoint_open(&params, &checkpoint, error);
    if (result == DVK_OK)
        dvk_checkpoint_close(&checkpoint);
    else
        CHECK(((const uint8_t *)&checkpoint)[0] == 0xa5);
    return result;
}

static void check_refused(dvk_result result, const dvk_error *error, dvk_result code, const char *words,
                          const char *what) {
    CHECK_MESSAGE(result == code && error->code == code, "%s: %s, %s", what, dvk_result_name(result), error->message);
    CHECK_MESSAGE(strstr(error->message, words), "%s\n  wanted: %s\n  found: %s", what, words, error->message);
    CHECK_MESSAGE(!strchr(error->message, '\n') && strlen(error->message) > 20, "%s", error->message);
}

/* `old` in the file is replaced by `new`; "" stands for the whole file. */
typedef struct edit {
    const char *old, *new;
    dvk_result code;
    const char *words;
} edit;

static const edit config_edits[] = {
    {"", "", BAD, "tiny: config.json is not valid JSON"},
    {"", "{", BAD, "not valid JSON"},
    {"", "[]", BAD, "expected a JSON object, found a list"},
    {"", "\"vit\"", BAD, "expected a JSON object, found a string"},
    {"}\n", "} {}", BAD, "not valid JSON"},
    {"\"hidden_size\": 64", "\"hidden_size\": 64, \"hidden_size\": 64", BAD, "duplicate"},
    {"\"hidden_size\": 64", "\"hidden_size\": NaN", BAD, "not valid JSON"},
    {"\"hidden_size\": 64", "\"hidden_size\": 0", BAD, "\"hidden_size\" must be an integer from 1 to 16384, found 0"},
    {"\"hidden_size\": 64", "\"hidden_size\": -64", BAD, "found -64"},
    {"\"hidden_size\": 64", "\"hidden_size\": 64.0", BAD, "found a fractional number"},
    {"\"hidden_size\": 64", "\"hidden_size\": \"64\"", BAD, "found a string"},
    {"\"hidden_size\": 64", "\"hidden_size\": null", BAD, "found null"},
    {"\"hidden_size\": 64", "\"hidden_size\": 4294967360", BAD, "found 4294967360"}, /* 64 in 32 bits */
    {"\"hidden_size\": 64", "\"hidden_size\": 99999999999999999999", BAD, "not valid JSON"},
    {"\"hidden_size\": 64", "\"hidden_size\": 65", BAD, "no multiple"},
    {"\"hidden_size\": 64", "\"hidden_size\": 68", UNSUPPORTED, "34 channels"},
    {"\"hidden_size\": 64", "\"hidden_size\": 264", UNSUPPORTED, "132 channels"},
    {"\"hidden_size\": 64", "\"hidden_size\": 128", BAD, "shape [1, 1, 64], expected [1, 1, 128]"},
    {"\"num_attention_heads\": 2", "\"num_attention_heads\": 0", BAD, "\"num_attention_heads\" must be"},
    {"\"num_attention_heads\": 2", "\"num_attention_heads\": 3", BAD, "no multiple"},
    {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 0", BAD, "from 1 to 512"},
    {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1000000", BAD, "from 1 to 512"},
    {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", BAD,
     "\"encoder.layer.2.layernorm_before.weight\" is missing, expected one of shape [64]"},
    {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", BAD, "unexpected tensor \"encoder.layer.1."},
    {"\"intermediate_size\": 256", "\"intermediate_size\": 258", UNSUPPORTED, "multiple of 4"},
    {"\"intermediate_size\": 256", "\"intermediate_size\": 252", BAD, "shape [256, 64], expected [252, 64]"},
    {"\"patch_size\": 8", "\"patch_size\": 0", BAD, "\"patch_size\" must be"},
    {"\"patch_size\": 8", "\"patch_size\": [8, 16]", UNSUPPORTED, "square"},
    {"\"patch_size\": 8", "\"patch_size\": [8, 8, 8]", BAD, "list of 3"},
    {"\"patch_size\": 8", "\"patch_size\": 16", BAD, "expected [1, 5, 64]"},
    {"\"image_size\": 32", "\"image_size\": 7", BAD, "smaller than one patch"},
    {"\"image_size\": 32", "\"image_size\": 16384", UNSUPPORTED, "2048 x 2048 patches"},
    {"\"image_size\": 32", "\"image_size\": {\"height\": 32}", BAD, "found an object"},
    {"\"image_size\": 32", "\"image_size\": 40", BAD, "shape [1, 17, 64], expected [1, 26, 64]"},
    {"\"num_channels\": 3", "\"num_channels\": 1", UNSUPPORTED, "only 3 (RGB)"},
    {"1e-12", "0", BAD, "\"layer_norm_eps\" must be"},
    {"1e-12", "-1e-12", BAD, "\"layer_norm_eps\" must be"},
    {"1e-12", "1e999", BAD, "not valid JSON"},
    {"1e-12", "\"1e-12\"", BAD, "found a string"},
    {"\"gelu\"", "\"relu\"", UNSUPPORTED, "\"hidden_act\" is \"relu\""},
    {"\"gelu\"", "\"quick_gelu\\u001b\"", UNSUPPORTED, "\"quick_gelu?\""},
    {"\"gelu\"", "1", BAD, "\"hidden_act\" must be a string"},
    {"\"model_type\": \"vit\"", "\"model_type\": \"swin\"", UNSUPPORTED, "\"model_type\" is \"swin\""},
    {"\"model_type\": \"vit\"", "\"x\": 0", BAD, "\"model_type\" must be a string such as \"vit\", found nothing"},
    {"\"ViTModel\"", "\"ViTForMaskedImageModeling\"", UNSUPPORTED, "\"ViTForMaskedImageModeling\""},
    {"\"ViTModel\"", "1", BAD, "\"architectures\" must be"},
    {"\"num_channels\": 3", "\"qkv_bias\": false", BAD,
     "unexpected tensor \"encoder.layer.0.attention.attention.key.bias\""},
    {"\"num_channels\": 3", "\"qkv_bias\": 1", BAD, "\"qkv_bias\" must be true or false"},
    {"\"num_channels\": 3", "\"dino_vk_untrained\": \"yes\"", BAD, "\"dino_vk_untrained\" must be true or false"},
    {"\"num_channels\": 3", "\"pooler_act\": \"relu\"", UNSUPPORTED, "\"pooler_act\" is \"relu\""},
    {"\"ViTModel\"", "\"ViTForImageClassification\"", BAD,
     "\"classifier.weight\" is missing, expected one of shape [2, 64]"},
    {"\"ViTModel\"\n  ]", "\"ViTForImageClassification\"], \"id2label\": {\"0\": \"a\", \"2\": \"b\"}", BAD,
     "must name the labels \"0\" to \"1\", found nothing at \"1\""},
    {"\"ViTModel\"\n  ]", "\"ViTForImageClassification\"], \"id2label\": {}", BAD, "has 0 labels"},
    {"\"model_type\": \"vit\"", "\"architectures\": null, \"model_type\": \"vit\"", BAD, "duplicate"},
    {"\"model_type\": \"vit\"", "\"model_type\": \"clip\"", UNSUPPORTED, "names \"ViTModel\", expected CLIPModel"},
};

static const edit preprocessor_edits[] = {
    {"", "", BAD, "tiny: preprocessor_config.json is not valid JSON"},
    {"", "null", BAD, "expected a JSON object, found null"},
    {"\"size\": 32", "\"size\": 0", BAD, "\"size\" must be an integer from 1 to 16384"},
    {"\"size\": 32", "\"size\": 20000", BAD, "found 20000"},
    {"\"size\": 32", "\"size\": \"32\"", BAD, "found a string"},
    {"\"size\": 32", "\"size\": {}", UNSUPPORTED, "\"shortest_edge\""},
    {"\"size\": 32", "\"size\": {\"height\": 32}", UNSUPPORTED, "\"height\", \"width\""},
    {"\"size\": 32", "\"size\": {\"height\": 32, \"width\": -1}", BAD, "found -1"},
    {"\"size\": 32", "\"size\": {\"shortest_edge\": 32, \"longest_edge\": 64}", UNSUPPORTED, "\"shortest_edge\""},
    {"\"size\": 32", "\"size\": {\"shortest_edge\": {}}", UNSUPPORTED, "\"size\" must be"},
    {"\"size\": 32", "\"size\": [32]", UNSUPPORTED, "\"size\" must be"},
    {"\"size\": 32", "\"do_center_crop\": true", BAD, "no \"crop_size\""},
    {"\"size\": 32", "\"do_center_crop\": true, \"crop_size\": 0", BAD, "\"crop_size\" must be"},
    {"\"size\": 32", "\"do_pad\": true", UNSUPPORTED, "\"do_pad\""},
    {"\"size\": 32", "\"rescale_factor\": 0", BAD, "\"rescale_factor\" must be"},
    {"\"resample\": 2", "\"resample\": 6", BAD, "\"resample\" must be an integer from 0 to 5, found 6"},
    {"\"resample\": 2", "\"resample\": -1", BAD, "found -1"},
    {"\"resample\": 2", "\"resample\": \"bilinear\"", BAD, "found a string"},
    {"0.485,", "", BAD, "list of 2"},
    {"0.485,", "\"a\",", BAD, "\"image_mean\" must be a number"},
    {"0.229", "0", BAD, "\"image_std\" must be"},
    {"0.229", "-0.229", BAD, "\"image_std\" must be"},
    {"0.229", "1e400", BAD, "not valid JSON"},
    {"0.229", "Infinity", BAD, "not valid JSON"},
    {"\"do_resize\": true", "\"do_resize\": 1", BAD, "\"do_resize\" must be true or false"},
    {"ViTFeatureExtractor", "GLPNFeatureExtractor", UNSUPPORTED, "\"GLPNFeatureExtractor\""},
    {"ViTFeatureExtractor", "ViT", UNSUPPORTED, "is \"ViT\""},
};

static const edit header_edits[] = {
    {"\"embeddings.cls_token\"", "\"embeddings.cls_tokem\"", BAD,
     "\"embeddings.cls_token\" is missing, expected one of shape [1, 1, 64]"},
    {"\"layernorm.weight\"", "\"layernorm.weighs\"", BAD, "\"layernorm.weight\" is missing"},
    {"\"encoder.layer.1.output.dense.bias\"", "\"encoder.layer.1.output.dense.bios\"", BAD,
     "\"encoder.layer.1.output.dense.bias\" is missing, expected one of shape [64]"},
    {"\"pooler.dense.weight\"", "\"pooler.dense.waits\"", BAD,
     "\"pooler.dense.weight\" is missing, expected one of shape [64, 64]"},
    {"\"pooler.dense.bias\"", "\"pooler.dense.bios\"", BAD, "\"pooler.dense.bias\" is missing"},
    {"{\"__metadata__\"", "{\"extra\":{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[0,0]},\"__metadata__\"", BAD,
     "unexpected tensor \"extra\" of shape [0]"},
    {"{\"__metadata__\"", "{\"a\\u001b\\nb\":{\"dtype\":\"I8\",\"shape\":[],\"data_offsets\":[0,0]},\"__metadata__\"",
     BAD, "\"a??b\""},
    {"{\"__metadata__\"",
     "{\"classifier.bias\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},\"__metadata__\"", BAD,
     "unexpected tensor \"classifier.bias\""}, /* a ViTModel has none */
    {"{\"__metadata__\"", "{\"vit.x\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},\"__metadata__\"", BAD,
     "\"vit.embeddings.cls_token\" is missing"},
    {"\"shape\":[1,1,64]", "\"shape\":[1,64]", BAD,
     "\"embeddings.cls_token\" has shape [1, 64], expected [1, 1, 64] as config.json says"},
    {"\"shape\":[1,1,64]", "\"shape\":[64,1,1]", BAD, "has shape [64, 1, 1], expected [1, 1, 64]"},
    {"\"shape\":[64,3,8,8]", "\"shape\":[64,192]", BAD, "shape [64, 192], expected [64, 3, 8, 8]"},
    {"\"shape\":[1,17,64]", "\"shape\":[1,64,17]", BAD, "shape [1, 64, 17], expected [1, 17, 64]"},
    {"\"shape\":[256,64]", "\"shape\":[64,256]", BAD, "shape [64, 256], expected [256, 64]"},
    {"\"shape\":[64,64]", "\"shape\":[4096]", BAD, "shape [4096], expected [64, 64]"},
    {"\"dtype\":\"F32\"", "\"dtype\":\"I32\"", UNSUPPORTED, "\"embeddings.cls_token\" is stored as I32"},
    {"\"dtype\":\"F32\",\"shape\":[1,1,64]", "\"dtype\":\"F64\",\"shape\":[1,1,32]", BAD, "[1, 1, 32]"},
    {"\"dtype\":\"F32\"", "\"dtype\":\"F16\"", BAD, "64 elements of F16"},
    {"\"dtype\":\"F32\"", "\"dtype\":\"Q4_K\"", BAD, "dtype \"Q4_K\""},
};

static void test_edits(void) {
    dvk_error error;
    for (size_t i = 0; i < LENGTH(config_edits); i++) {
        const edit *e = &config_edits[i];
        char *text = replaced(*e->old ? (char *)config.bytes : "", e->old, e->new);
        dvk_result result = open_blocks(text, strlen(text), (char *)preprocessor.bytes, preprocessor.size,
                                        weights.bytes, weights.size, &error);
        check_refused(result, &error, e->code, e->words, e->new);
        free(text);
    }
    for (size_t i = 0; i < LENGTH(preprocessor_edits); i++) {
        const edit *e = &preprocessor_edits[i];
        char *text = replaced(*e->old ? (char *)preprocessor.bytes : "", e->old, e->new);
        dvk_result result =
            open_blocks((char *)config.bytes, config.size, text, strlen(text), weights.bytes, weights.size, &error);
        check_refused(result, &error, e->code, e->words, e->new);
        free(text);
    }
    const size_t data_size = weights.size - 8 - strlen(header);
    for (size_t i = 0; i < LENGTH(header_edits); i++) {
        const edit *e = &header_edits[i];
        char *text = replaced(header, e->old, e->new);
        blob file = make_safetensors(text, strlen(text), data_size);
        dvk_result result = open_blocks((char *)config.bytes, config.size, (char *)preprocessor.bytes,
                                        preprocessor.size, file.bytes, file.size, &error);
        check_refused(result, &error, e->code, e->words, e->new);
        free(text);
        free_blob(&file);
    }
    CHECK(open_blocks((char *)config.bytes, config.size, (char *)preprocessor.bytes, preprocessor.size, weights.bytes,
                      weights.size, NULL) == DVK_OK);
}

/* Cut at every structural boundary: within the length, within the header, at its end, within and after each tensor. */
static void test_truncation(void) {
    const size_t header_end = 8 + strlen(header);
    const size_t cuts[] = {0,
                           1,
                           7,
                           8,
                           9,
                           header_end / 2,
                           header_end - 1,
                           header_end,
                           header_end + 1,
                           weights.size / 2,
                           weights.size - 256,
                           weights.size - 1};
    dvk_error error;
    for (size_t i = 0; i < LENGTH(cuts); i++) {
        uint8_t *cut = malloc(cuts[i] + !cuts[i]);
        REQUIRE(cut);
        memcpy(cut, weights.bytes, cuts[i]);
        dvk_result result = open_blocks((char *)config.bytes, config.size, (char *)preprocessor.bytes,
                                        preprocessor.size, cut, cuts[i], &error);
        check_refused(result, &error, BAD, "tiny: model.safetensors", "cut");
        free(cut);
    }
    uint8_t *longer = calloc(1, weights.size + 1);
    REQUIRE(longer);
    memcpy(longer, weights.bytes, weights.size);
    dvk_result result = open_blocks((char *)config.bytes, config.size, (char *)preprocessor.bytes, preprocessor.size,
                                    longer, weights.size + 1, &error);
    check_refused(result, &error, BAD, "1 trailing bytes", "a byte more");
    free(longer);
    for (size_t size = 0; size < config.size - 1; size += 7) {
        result = open_blocks((char *)config.bytes, size, (char *)preprocessor.bytes, preprocessor.size, weights.bytes,
                             weights.size, &error);
        check_refused(result, &error, BAD, "not valid JSON", "cut config");
    }
}

static void check_path(const char *path, dvk_result code, const char *words) {
    dvk_error error = {0};
    dvk_checkpoint checkpoint;
    const dvk_model_params params = {.path = path};
    check_refused(dvk_checkpoint_open(&params, &checkpoint, &error), &error, code, words, path);
}

static void test_paths(void) {
    check_path("nowhere", DVK_ERROR_IO, "nowhere does not exist, expected a model directory");
    check_path("nowhere/model.safetensors", DVK_ERROR_IO, "does not exist");
    check_path("", DVK_ERROR_IO, "does not exist");
    check_path("bad/config.json", UNSUPPORTED, "expected a directory, a .safetensors file or what torch.save");
    remove("bad/pytorch_model.bin");
    remove("bad/model.safetensors.index.json");
    remove("bad/model.safetensors");
    check_path("bad", DVK_ERROR_IO, "bad/model.safetensors does not exist");
    write_blob("bad", "model.safetensors.index.json", "{}", 2);
    check_path("bad", BAD, "bad/model.safetensors.index.json: \"weight_map\" must be");
    remove("bad/model.safetensors.index.json");
    write_blob("bad", "pytorch_model.bin", "PK", 2);
    check_path("bad/", UNSUPPORTED, "bad/pytorch_model.bin is no model");
    write_blob("bad", "model.safetensors", "", 0);
    check_path("bad", BAD, "bad/model.safetensors has 0 bytes");
    remove("bad/model.safetensors");
#ifndef _WIN32
    REQUIRE(mkdir("bad/model.safetensors", 0777) == 0);
    check_path("bad", DVK_ERROR_IO, "expected a file, found a directory");
    rmdir("bad/model.safetensors");
    REQUIRE(mkfifo("bad/model.safetensors", 0666) == 0);
    check_path("bad", DVK_ERROR_IO, "found a device, pipe or socket");
    remove("bad/model.safetensors");
#endif
    write_blob("bad", "model.safetensors", weights.bytes, weights.size - 1);
    check_path("bad/model.safetensors", BAD, "bad/model.safetensors");
    remove("bad/preprocessor_config.json");
    check_path("bad", DVK_ERROR_IO, "bad/preprocessor_config.json does not exist; it says how images are resized");
    remove("bad/config.json");
    check_path("bad", DVK_ERROR_IO, "bad/config.json does not exist");
    write_blob("bad", "model.safetensors", weights.bytes, weights.size);
    char *huge = malloc((16u << 20) + 2);
    REQUIRE(huge);
    memset(huge, ' ', (16u << 20) + 1);
    write_blob("bad", "config.json", huge, (16u << 20) + 1);
    write_blob("bad", "preprocessor_config.json", "{}", 2);
    check_path("bad", BAD, "more than the 16777216");
    memset(huge, 'x', 5000);
    huge[5000] = '\0';
    check_path(huge, DVK_ERROR_INVALID_ARGUMENT, "5000 bytes");
    free(huge);
    remove("bad/config.json");
}

/* One to four bytes of the weights' first bytes (length and header) or of a configuration are replaced. */
static void test_mutations(void) {
    uint32_t state = 12345, refused = 0;
    const size_t data_size = weights.size - 8 - strlen(header);
    blob file = make_safetensors(header, strlen(header), data_size);
    char *text = malloc(config.size + preprocessor.size);
    REQUIRE(text);
    for (int round = 0; round < 20000; round++) {
        uint8_t *target = file.bytes;
        size_t size = 8 + strlen(header), old[4], count = 1 + (size_t)(round & 3);
        uint8_t saved[4];
        memcpy(text, config.bytes, config.size);
        memcpy(text + config.size, preprocessor.bytes, preprocessor.size);
        if (round % 4 == 3) {
            target = (uint8_t *)text;
            size = config.size + preprocessor.size;
        }
        for (size_t i = 0; i < count; i++) {
            state = state * 1664525 + 1013904223;
            old[i] = (state >> 8) % size;
            saved[i] = target[old[i]];
            state = state * 1664525 + 1013904223;
            /* Half of them characters that mean something in JSON, the others any byte. */
            target[old[i]] =
                state & 0x100 ? (uint8_t) "{}[],:\"0123456789-.\\e"[(state >> 16) % 20] : (uint8_t)(state >> 16);
        }
        dvk_error error = {0};
        dvk_result result =
            open_blocks(text, config.size, text + config.size, preprocessor.size, file.bytes, file.size, &error);
        CHECK(result == DVK_OK || result == BAD || result == UNSUPPORTED);
        CHECK(result == DVK_OK || (error.code == result && error.message[0]));
        refused += result != DVK_OK;
        for (size_t i = count; i-- > 0;)
            target[old[i]] = saved[i];
    }
    printf("%u of 20000 mutations refused\n", refused);
    CHECK(refused > 10000);
    free(text);
    free_blob(&file);
}

int main(void) {
    REQUIRE(synth_write_model("vit-tiny", "bad", NULL));
    config = read_blob("bad", "config.json");
    preprocessor = read_blob("bad", "preprocessor_config.json");
    weights = read_blob("bad", "model.safetensors");
    size_t header_size = weights.bytes[0] | (size_t)weights.bytes[1] << 8;
    header = calloc(1, header_size + 1);
    REQUIRE(header);
    memcpy(header, weights.bytes + 8, header_size);
    test_edits();
    test_truncation();
    test_paths();
    test_mutations();
    free_blob(&config);
    free_blob(&preprocessor);
    free_blob(&weights);
    free(header);
    return FINISH();
}
