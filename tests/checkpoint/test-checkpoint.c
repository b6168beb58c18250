/* Good models in all their forms: from a directory, a file and memory, with and without prefix and pooler, in every
 * dtype, and all historical forms of the two configurations. */
#include "checkpoint.h"

#include <math.h>
#include <time.h>

#include "config.h"
#include "files.h"
#include "synth.h"

static dvk_checkpoint open_path(const char *path) {
    dvk_checkpoint checkpoint;
    dvk_error error = {0};
    const dvk_model_params params = {.path = path};
    dvk_result result = dvk_checkpoint_open(&params, &checkpoint, &error);
    if (result != DVK_OK)
        printf("%s: %s\n", path, error.message);
    REQUIRE(result == DVK_OK);
    return checkpoint;
}

static void make(const char *model, const char *directory, const synth_options *options) {
    REQUIRE(synth_write_model(model, directory, options));
}

/* The values of a tensor against the generator, exactly for F32 and within half a unit in the last place else. */
static void check_values(const dvk_tensor *tensor, const char *seed_name, uint32_t heads) {
    float *found = malloc(tensor->elements * sizeof(float)), *expected = malloc(tensor->elements * sizeof(float));
    REQUIRE(found && expected);
    dvk_tensor_to_float(tensor, 0, tensor->elements, found);
    synth_tensor(seed_name, tensor->shape[0], tensor->elements, heads, expected);
    const double relative = tensor->dtype == DVK_DTYPE_F32 ? 0 : tensor->dtype == DVK_DTYPE_F16 ? 0x1p-11 : 0x1p-8;
    const double absolute = tensor->dtype == DVK_DTYPE_F16 ? 0x1p-25 : 0; /* of subnormal halves */
    size_t wrong = 0;
    for (uint64_t i = 0; i < tensor->elements; i++)
        wrong += !(fabs((double)found[i] - expected[i]) <= fmax(fabs((double)expected[i]) * relative, absolute));
    CHECK_MESSAGE(wrong == 0, "%s: %zu of %llu", tensor->name, wrong, (unsigned long long)tensor->elements);
    free(found);
    free(expected);
}

static void check_tiny(const dvk_checkpoint *c, dvk_dtype dtype, dvk_dtype vectors, bool pooler) {
    CHECK(!strcmp(c->config.architecture, "ViTModel") && !c->config.untrained && c->config.query_bias);
    CHECK(c->config.hidden_size == 64 && c->config.layers == 2 && c->config.heads == 2 && c->config.head_dim == 32);
    CHECK(c->config.mlp_size == 256 && c->config.patch_size == 8 && c->config.activation == DVK_ACTIVATION_GELU);
    CHECK(c->config.image_width == 32 && c->config.image_height == 32);
    CHECK(c->config.grid_width == 4 && c->config.grid_height == 4 && c->config.layer_norm_eps == 1e-12f);
    CHECK(c->preprocess.width == 32 && c->preprocess.height == 32 && !c->preprocess.shortest_edge);
    CHECK(c->preprocess.do_resize && c->preprocess.do_rescale && c->preprocess.do_normalize);
    CHECK(!c->preprocess.do_center_crop && c->preprocess.resample == DVK_RESAMPLE_BILINEAR);
    CHECK(c->preprocess.mean[0] == 0.485 && c->preprocess.std[2] == 0.225);
    CHECK(c->preprocess.rescale_factor == 1.0 / 255.0);
    CHECK(c->matrix_dtype == dtype && c->layers[1].output.weight->dtype == dtype);
    CHECK(c->final_norm.bias->dtype == vectors && c->position_embeddings->dtype == vectors);
    CHECK(!c->pooler.weight == !pooler && !c->pooler.bias == !pooler);
    /* patches 3 * 64 * 64 + 64, CLS 64, positions 17 * 64, two layers of 4 * (64^2 + 64) + 2 * 64 * 256 + 256 + 64 + 4
     * * 64, final norm 128; pooler 64^2 + 64 */
    CHECK(c->parameters == 12352 + 64 + 1088 + 2 * (16640 + 32768 + 320 + 256) + 128 + (pooler ? 4160 : 0));
    check_values(c->cls_token, "embeddings.cls_token", 2);
    check_values(c->patch_projection.weight, "embeddings.patch_embeddings.projection.weight", 2);
    check_values(c->layers[1].key.weight, "encoder.layer.1.attention.attention.key.weight", 2);
    check_values(c->layers[1].attention_output.bias, "encoder.layer.1.attention.output.dense.bias", 2);
    check_values(c->layers[0].output.bias, "encoder.layer.0.output.dense.bias", 2);
    check_values(c->layers[0].intermediate.weight, "encoder.layer.0.intermediate.dense.weight", 2);
    check_values(c->layers[0].norm_after.weight, "encoder.layer.0.layernorm_after.weight", 2);
    check_values(c->final_norm.weight, "layernorm.weight", 2);
}

static void test_dtypes_and_names(void) {
    static const synth_dtype dtypes[] = {SYNTH_F32, SYNTH_F16, SYNTH_BF16};
    static const dvk_dtype expected[] = {DVK_DTYPE_F32, DVK_DTYPE_F16, DVK_DTYPE_BF16};
    for (int dtype = 0; dtype < 3; dtype++)
        for (int prefix = 0; prefix < 2; prefix++)
            for (int pooler = 0; pooler < 2; pooler++)
                for (int mixed = 0; mixed < 2; mixed++) {
                    const synth_options options = {dtypes[dtype], prefix ? SYNTH_WITH : SYNTH_WITHOUT,
                                                   pooler ? SYNTH_WITH : SYNTH_WITHOUT, mixed};
                    make("vit-tiny", "forms", &options);
                    dvk_checkpoint c = open_path("forms");
                    check_tiny(&c, expected[dtype], mixed ? DVK_DTYPE_F32 : expected[dtype], pooler);
                    CHECK(!strcmp(c.name, "forms"));
                    dvk_checkpoint_close(&c);
                    CHECK(!c.layers && !c.files.mappings && !c.file.tensors);
                }
}

static void test_models(void) {
    make("vit-odd-tiny", "odd", NULL);
    dvk_checkpoint c = open_path("odd/");
    CHECK(c.config.hidden_size == 48 && c.config.head_dim == 16 && c.config.mlp_size == 100 &&
          c.config.grid_width == 5);
    CHECK(!c.config.query_bias && !c.layers[2].query.bias && c.layers[2].attention_output.bias);
    CHECK(c.config.activation == DVK_ACTIVATION_GELU_TANH && c.config.layer_norm_eps == 0.03125f);
    CHECK(c.position_embeddings->shape[1] == 26);
    dvk_checkpoint_close(&c);

    make("vit-cls-tiny", "classifier", NULL);
    c = open_path("classifier");
    CHECK(!strcmp(c.config.architecture, "ViTForImageClassification") && c.preprocess.mean[1] == 0.5);
    CHECK(c.preprocess.width == 64 && c.preprocess.rescale_factor == 0.00392156862745098);
    check_values(c.layers[2].query.weight, "vit.encoder.layer.2.attention.attention.query.weight", 3);
    CHECK(c.config.label_count == 10 && !strcmp(c.config.labels[9], "LABEL_9") && c.head_parts == 1);
    uint64_t all = 0;
    for (size_t i = 0; i < c.file.count; i++)
        all += c.file.tensors[i].elements;
    CHECK(c.parameters == all);
    dvk_checkpoint_close(&c);

    make("untrained", "untrained-model", NULL);
    c = open_path("untrained-model");
    CHECK(c.config.untrained && c.matrix_dtype == DVK_DTYPE_F16 && c.parameters == 161984);
    dvk_checkpoint_close(&c);
}

/* CLIP and SigLIP as they are mostly published: both halves in one file. */
static void test_both_halves(const char *model, const char *whole, const char *text_tensor) {
    make(model, "half", NULL);
    dvk_checkpoint half = open_path("half");
    blob vision = read_blob("half", "config.json"), preprocessor = read_blob("half", "preprocessor_config.json");
    blob weights = read_blob("half", "model.safetensors");
    char config[4096], header[1 << 15];
    snprintf(config, sizeof(config),
             "{\"model_type\": \"%s\", \"projection_dim\": 32, \"vision_config\": %.*s, \"text_config\": {}}", whole,
             (int)vision.size, (const char *)vision.bytes);
    /* One tensor more, behind the others: `length` bytes of header are from byte 8 on. */
    uint64_t length;
    memcpy(&length, weights.bytes, 8);
    size_t data = weights.size - 8 - (size_t)length, end = 8 + (size_t)length;
    while (((const char *)weights.bytes)[end - 1] != '}')
        end--;
    int written =
        snprintf(header, sizeof(header), "%.*s,\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%zu,%zu]}}",
                 (int)(end - 9), (const char *)weights.bytes + 8, text_tensor, data, data + 4);
    REQUIRE(written > 0 && (size_t)written < sizeof(header));
    size_t size = 8 + (size_t)written + data + 4;
    uint8_t *file = calloc(1, size);
    REQUIRE(file);
    length = (uint64_t)written;
    memcpy(file, &length, 8);
    memcpy(file + 8, header, (size_t)written);
    memcpy(file + 8 + written, (const uint8_t *)weights.bytes + (weights.size - data), data);

    dvk_model_params params = {.config_json = config,
                               .config_json_size = strlen(config),
                               .preprocessor_json = preprocessor.bytes,
                               .preprocessor_json_size = preprocessor.size,
                               .safetensors = file,
                               .safetensors_size = size};
    dvk_checkpoint c;
    dvk_error error = {.code = DVK_OK};
    dvk_result result = dvk_checkpoint_open(&params, &c, &error);
    if (result != DVK_OK)
        printf("%s: %s\n", whole, error.message);
    REQUIRE(result == DVK_OK);
    CHECK(c.parameters == half.parameters && c.config.prefix_tokens == half.config.prefix_tokens);
    CHECK(c.config.activation == half.config.activation && c.config.mlp_size == half.config.mlp_size);
    CHECK(c.config.layer_norm_eps == half.config.layer_norm_eps && c.config.heads == half.config.heads);
    CHECK(c.config.projection_size == half.config.projection_size && c.head_parts == half.head_parts);
    CHECK(!c.cls_token == !half.cls_token && !c.pool.probe == !half.pool.probe);
    dvk_checkpoint_close(&c);

    /* The same file, but not of the text half. */
    memcpy(strstr((char *)file + 8 + (end - 9), text_tensor), "x", 1);
    CHECK(dvk_checkpoint_open(&params, &c, &error) == DVK_ERROR_BAD_FILE && strstr(error.message, "unexpected tensor"));
    params.config_json_size = (size_t)snprintf(config, sizeof(config), "{\"model_type\": \"%s\"}", whole);
    CHECK(dvk_checkpoint_open(&params, &c, &error) == DVK_ERROR_BAD_FILE);
    CHECK_MESSAGE(strstr(error.message, "\"vision_config\" must be an object, found nothing"), "%s", error.message);
    dvk_checkpoint_close(&half);
    free(file);
    free_blob(&vision);
    free_blob(&preprocessor);
    free_blob(&weights);
}

static void test_places(void) {
    make("vit-tiny", "places", NULL);
    dvk_checkpoint c = open_path("places/model.safetensors");
    check_tiny(&c, DVK_DTYPE_F32, DVK_DTYPE_F32, true);
    dvk_checkpoint_close(&c);

    blob config = read_blob("places", "config.json"), preprocessor = read_blob("places", "preprocessor_config.json");
    blob weights = read_blob("places", "model.safetensors");
    dvk_model_params params = {.config_json = config.bytes,
                               .config_json_size = config.size,
                               .preprocessor_json = preprocessor.bytes,
                               .preprocessor_json_size = preprocessor.size,
                               .safetensors = weights.bytes,
                               .safetensors_size = weights.size};
    dvk_error error = {0};
    REQUIRE(dvk_checkpoint_open(&params, &c, &error) == DVK_OK);
    CHECK(!strcmp(c.name, "memory") && !c.files.mappings);
    check_tiny(&c, DVK_DTYPE_F32, DVK_DTYPE_F32, true);
    dvk_checkpoint_close(&c);
    params.name = "the tiny one";
    REQUIRE(dvk_checkpoint_open(&params, &c, NULL) == DVK_OK);
    CHECK(!strcmp(c.name, "the tiny one"));
    dvk_checkpoint_close(&c);

    /* Neither, both, or only a part. */
    dvk_model_params wrong = params;
    wrong.path = "places";
    CHECK(dvk_checkpoint_open(&wrong, &c, &error) == DVK_ERROR_INVALID_ARGUMENT);
    wrong = params;
    wrong.safetensors = NULL;
    CHECK(dvk_checkpoint_open(&wrong, &c, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "all three"));
    CHECK(dvk_checkpoint_open(&(dvk_model_params){0}, &c, &error) == DVK_ERROR_INVALID_ARGUMENT);
    CHECK(dvk_checkpoint_open(NULL, &c, &error) == DVK_ERROR_INVALID_ARGUMENT);

    /* Unaligned in memory. */
    uint8_t *shifted = malloc(weights.size + 1);
    REQUIRE(shifted);
    memcpy(shifted + 1, weights.bytes, weights.size);
    params.safetensors = shifted + 1;
    REQUIRE(dvk_checkpoint_open(&params, &c, &error) == DVK_OK);
    check_tiny(&c, DVK_DTYPE_F32, DVK_DTYPE_F32, true);
    dvk_checkpoint_close(&c);
    free(shifted);
    free_blob(&config);
    free_blob(&preprocessor);
    free_blob(&weights);
}

/* 87 MB are opened without being read: opening takes the time of the header, and grows the process by little. */
static void test_large(void) {
    make("dino-vits8", "large", NULL);
    struct timespec start, end;
    timespec_get(&start, TIME_UTC);
    dvk_checkpoint c = open_path("large");
    timespec_get(&end, TIME_UTC);
    const double ms = 1e3 * (double)(end.tv_sec - start.tv_sec) + 1e-6 * (double)(end.tv_nsec - start.tv_nsec);
    printf("dino-vits8 opened in %.2f ms\n", ms);
    CHECK(c.config.layers == 12 && c.config.head_dim == 64 && c.position_embeddings->shape[1] == 785);
    CHECK(c.files.mappings[0].size == 86703032 && c.parameters == 21670272);
#ifdef __linux__
    /* Resident pages of the mapping: VmRSS of file pages would count others', so ask for this mapping's own line. */
    char line[256];
    unsigned long begin = 0, kilobytes = 0;
    bool ours = false, found = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    REQUIRE(maps);
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-", &begin) == 1 && strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
            ours = begin == (unsigned long)(uintptr_t)c.files.mappings[0].data;
        if (ours && sscanf(line, "Rss: %lu", &kilobytes) == 1) {
            found = true;
            break;
        }
    }
    fclose(maps);
    /* The 22 KB header's pages and what the kernel maps around a fault: fault-around is 64 KB, folios up to 2 MB. */
    CHECK_MESSAGE(found && kilobytes <= 4096, "%lu KB resident", kilobytes);
#endif
    /* Byte for byte the file that the golden outputs of dino-vits8 were computed on. */
    CHECK(synth_fnv1a64(c.files.mappings[0].data, c.files.mappings[0].size) == 0xf437c8d7fbceb357);
    dvk_checkpoint_close(&c);
    remove("large/model.safetensors");
}

/* ------------------------------------------------------------------------------------------ configurations */

static void test_config_defaults(void) {
    dvk_vit_config c;
    dvk_error error = {0};
    const char *text = "{\"model_type\":\"vit\",\"architectures\":null,\"image_size\":[32,224],\"patch_size\":[16,16],"
                       "\"hidden_act\":\"gelu_pytorch_tanh\",\"pooler_act\":\"tanh\"}";
    REQUIRE(dvk_config_parse(NULL, text, strlen(text), "x", &c, &error) == DVK_OK);
    CHECK(c.hidden_size == 768 && c.layers == 12 && c.heads == 12 && c.mlp_size == 3072 && c.head_dim == 64);
    CHECK(c.query_bias && c.layer_norm_eps == 1e-12f && c.activation == DVK_ACTIVATION_GELU_TANH && !c.untrained);
    CHECK(c.image_height == 32 && c.image_width == 224 && c.grid_height == 2 && c.grid_width == 14);
    CHECK(!strcmp(c.architecture, "ViTModel"));
    text = "{\"model_type\":\"vit\"}";
    REQUIRE(dvk_config_parse(NULL, text, strlen(text), "x", &c, &error) == DVK_OK);
    CHECK(c.image_width == 224 && c.patch_size == 16 && c.grid_width == 14 && c.activation == DVK_ACTIVATION_GELU);
    /* Edge pixels beyond the last whole patch are unused, as in transformers. */
    text = "{\"model_type\":\"vit\",\"image_size\":225,\"layer_norm_eps\":1,\"dino_vk_untrained\":true}";
    REQUIRE(dvk_config_parse(NULL, text, strlen(text), "x", &c, &error) == DVK_OK);
    CHECK(c.grid_width == 14 && c.untrained && c.layer_norm_eps == 1);
    /* The giant one: 2/3 of 4 * 1536 is a multiple of 8 already; and one whose is not. */
    text = "{\"model_type\":\"dinov2\",\"hidden_size\":1536,\"num_attention_heads\":24,\"use_swiglu_ffn\":true}";
    REQUIRE(dvk_config_parse(NULL, text, strlen(text), "x", &c, &error) == DVK_OK);
    CHECK(c.mlp_size == 4096 && c.gated && c.activation == DVK_ACTIVATION_SILU && c.patch_size == 14);
    text = "{\"model_type\":\"dinov2\",\"hidden_size\":64,\"num_attention_heads\":1,\"use_swiglu_ffn\":true}";
    REQUIRE(dvk_config_parse(NULL, text, strlen(text), "x", &c, &error) == DVK_OK);
    CHECK(c.mlp_size == 176);
    /* Both places of the base of rotary positions, and DINOv3's missing key bias. */
    text = "{\"model_type\":\"dinov3_vit\",\"rope_theta\":50,\"num_register_tokens\":4}";
    REQUIRE(dvk_config_parse(NULL, text, strlen(text), "x", &c, &error) == DVK_OK);
    CHECK(c.rope_theta == 50 && c.prefix_tokens == 5 && c.query_bias && !c.key_bias && c.hidden_size == 384);
    text = "{\"model_type\":\"dinov3_vit\",\"rope_parameters\":{\"rope_theta\":25.0}}";
    REQUIRE(dvk_config_parse(NULL, text, strlen(text), "x", &c, &error) == DVK_OK);
    CHECK(c.rope_theta == 25 && c.prefix_tokens == 1);
}

static dvk_preprocess_config preprocess(const char *text) {
    dvk_preprocess_config config = {0};
    dvk_error error = {0};
    dvk_result result = dvk_preprocess_config_parse(NULL, text, strlen(text), "x", &config, &error);
    if (result != DVK_OK)
        printf("%s: %s\n", text, error.message);
    REQUIRE(result == DVK_OK);
    return config;
}

static void test_preprocess_forms(void) {
    /* Nothing said: ViTImageProcessor's defaults. */
    dvk_preprocess_config c = preprocess("{}");
    CHECK(c.do_resize && c.do_rescale && c.do_normalize && !c.do_center_crop && c.width == 224 && c.height == 224);
    CHECK(c.resample == DVK_RESAMPLE_BILINEAR && c.rescale_factor == 1.0 / 255.0 && c.mean[0] == 0.5 &&
          c.std[1] == 0.5);
    CHECK(!c.shortest_edge && !c.crop_width && !c.crop_height);
    /* Nulls are what newer releases write for "not set". */
    c = preprocess("{\"crop_size\":null,\"do_center_crop\":null,\"size\":null,\"resample\":null,\"do_pad\":null,"
                   "\"image_mean\":null,\"rescale_factor\":null,\"image_processor_type\":null}");
    CHECK(c.width == 224 && !c.do_center_crop && c.resample == DVK_RESAMPLE_BILINEAR);
    c = preprocess("{\"size\":{\"height\":30,\"width\":40},\"resample\":3}");
    CHECK(c.width == 40 && c.height == 30 && !c.shortest_edge && c.resample == DVK_RESAMPLE_BICUBIC);
    c = preprocess("{\"size\":[30,40],\"resample\":0}");
    CHECK(c.width == 40 && c.height == 30 && c.resample == DVK_RESAMPLE_NEAREST);
    c = preprocess("{\"size\":{\"shortest_edge\":256},\"do_center_crop\":true,\"crop_size\":{\"height\":224,"
                   "\"width\":200}}");
    CHECK(c.shortest_edge == 256 && !c.width && !c.height && c.do_center_crop);
    CHECK(c.crop_height == 224 && c.crop_width == 200);
    c = preprocess("{\"size\":256,\"do_center_crop\":true,\"crop_size\":224}");
    CHECK(c.width == 256 && c.height == 256 && c.crop_width == 224 && c.crop_height == 224);
    c = preprocess("{\"do_center_crop\":false,\"crop_size\":100}");
    CHECK(!c.do_center_crop && !c.crop_width);
    c = preprocess("{\"do_resize\":false,\"do_rescale\":false,\"do_normalize\":false}");
    CHECK(!c.do_resize && !c.do_rescale && !c.do_normalize);
    c = preprocess("{\"image_mean\":0.25,\"image_std\":[1,2,3],\"rescale_factor\":1}");
    CHECK(c.mean[0] == 0.25 && c.mean[2] == 0.25 && c.std[2] == 3 && c.rescale_factor == 1);
    /* The class decides what is not said; of two names the newer key counts. */
    c = preprocess("{\"image_processor_type\":\"ViTImageProcessorFast\",\"feature_extractor_type\":\"Other\"}");
    CHECK(c.width == 224 && c.mean[0] == 0.5);
    c = preprocess("{\"feature_extractor_type\":\"DeiTFeatureExtractor\"}");
    CHECK(c.width == 256 && c.crop_width == 224 && c.do_center_crop && c.resample == DVK_RESAMPLE_BICUBIC);
    c = preprocess("{\"image_processor_type\":\"BitImageProcessor\",\"size\":200}");
    CHECK(c.shortest_edge == 200 && !c.width && c.crop_height == 224 && c.resample == DVK_RESAMPLE_BICUBIC);
    CHECK(c.mean[0] == 0.48145466 && c.std[2] == 0.27577711);
    c = preprocess("{\"image_processor_type\":\"CLIPImageProcessorPil\"}");
    CHECK(c.shortest_edge == 224 && c.do_center_crop && !c.resize_as_float);
    c = preprocess("{\"image_processor_type\":\"SiglipImageProcessor\",\"do_convert_rgb\":null}");
    CHECK(c.width == 224 && !c.do_center_crop && c.resample == DVK_RESAMPLE_BICUBIC && c.mean[1] == 0.5);
    c = preprocess(
        "{\"image_processor_type\":\"DINOv3ViTImageProcessorFast\",\"crop_size\":null,\"do_center_crop\":null}");
    CHECK(c.width == 224 && c.resize_as_float && c.resample == DVK_RESAMPLE_BILINEAR && c.mean[0] == 0.485);
}

int main(void) {
    test_config_defaults();
    test_preprocess_forms();
    test_dtypes_and_names();
    test_models();
    test_both_halves("clip-tiny", "clip", "text_model.x");
    test_both_halves("siglip-tiny", "siglip", "logit_bias");
    test_places();
    test_large();
    return FINISH();
}
