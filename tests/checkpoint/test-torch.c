/* torch's files against the safetensors of the same weights: same names, shapes and bits, whatever the container, the
 * wrapper and the names are. And files that torch itself wrote. */
#define TEST_OF_SEVERAL_FILES
#include <sys/stat.h>
#include <time.h>

#include "checkpoint.h"
#include "synth.h"
#include "torch_writer.h"

int test_failures_, test_checks_;

enum { MAX_TENSORS = 512 };

/* --------------------------------------------------------------------------------------------- comparisons */

static void check_same(const dvk_tensor_list *found, const dvk_tensor_list *expected, const char *what) {
    CHECK_MESSAGE(found->count == expected->count, "%s: %zu tensors, expected %zu", what, found->count,
                  expected->count);
    for (size_t i = 0; i < found->count && i < expected->count; i++) {
        const dvk_tensor *a = &found->tensors[i], *b = &expected->tensors[i];
        CHECK_MESSAGE(!strcmp(a->name, b->name), "%s: %s, expected %s", what, a->name, b->name);
        CHECK_MESSAGE(a->dtype == b->dtype && !strcmp(a->dtype_name, b->dtype_name), "%s: %s", what, a->name);
        CHECK_MESSAGE(a->rank == b->rank && !memcmp(a->shape, b->shape, a->rank * sizeof(a->shape[0])) &&
                          a->elements == b->elements,
                      "%s: %s: another shape", what, a->name);
        CHECK_MESSAGE(a->bytes == b->bytes && !memcmp(a->data, b->data, a->bytes), "%s: %s: other values", what,
                      a->name);
    }
}

static dvk_checkpoint open_model(const char *path) {
    dvk_error error = {0};
    dvk_checkpoint checkpoint = {0};
    const dvk_model_params params = {.path = path};
    dvk_result result = dvk_checkpoint_open(&params, &checkpoint, &error);
    CHECK_MESSAGE(result == DVK_OK, "%s", error.message);
    return checkpoint;
}

static void check_model(const char *path, const dvk_checkpoint *expected) {
    dvk_checkpoint found = open_model(path);
    check_same(&found.file, &expected->file, path);
    CHECK_MESSAGE(found.parameters == expected->parameters, "%s", path);
    dvk_checkpoint_close(&found);
}

/* ----------------------------------------------------------------------------------------------- hub names */

static void test_hub_files(void) {
    static const synth_dtype dtypes[] = {SYNTH_F32, SYNTH_F16, SYNTH_BF16};
    static const torch_options variants[] = {
        {0},
        {.root = "pytorch_model", .parameters = true, .byteorder = true},
        {.root = "a folder of any name \xc3\xa4", .first_key = 94245869218784},
        {.wrappers = {"state_dict"}},
        {.wrappers = {"model", "state_dict", "teacher"}},
        {.wrappers = {"teacher"}, .training = true},
        {.wrappers = {"student"}, .training = true, .parameters = true},
    };
    for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++) {
        CHECK(synth_write_model("vit-tiny", "hub", &(synth_options){.dtype = dtypes[i], .mixed_dtype = i == 1}));
        CHECK(synth_write_model("vit-tiny", "hub-bin", NULL)); /* for its configurations */
        remove("hub-bin/model.safetensors");
        dvk_checkpoint expected = open_model("hub");
        for (size_t k = 0; k < sizeof(variants) / sizeof(variants[0]); k++) {
            blob file = make_torch(expected.file.tensors, expected.file.count, &variants[k]);
            write_blob("hub-bin", "pytorch_model.bin", file.bytes, file.size);
            write_blob("hub-bin", "any.pth", file.bytes, file.size);
            check_model("hub-bin", &expected);
            check_model("hub-bin/any.pth", &expected);
            free_blob(&file);
        }
        /* safetensors come first where both are */
        blob weights = read_blob("hub", "model.safetensors");
        write_blob("hub-bin", "model.safetensors", weights.bytes, weights.size);
        write_blob("hub-bin", "pytorch_model.bin", "", 0);
        check_model("hub-bin", &expected);
        free_blob(&weights);
        dvk_checkpoint_close(&expected);
    }
}

static void test_memory(void) {
    dvk_checkpoint expected = open_model("hub");
    blob config = read_blob("hub", "config.json"), preprocessor = read_blob("hub", "preprocessor_config.json");
    blob file = make_torch(expected.file.tensors, expected.file.count, &(torch_options){0});
    const dvk_model_params params = {.config_json = config.bytes,
                                     .config_json_size = config.size,
                                     .preprocessor_json = preprocessor.bytes,
                                     .preprocessor_json_size = preprocessor.size,
                                     .safetensors = file.bytes,
                                     .safetensors_size = file.size};
    dvk_error error = {0};
    dvk_checkpoint found = {0};
    CHECK_MESSAGE(dvk_checkpoint_open(&params, &found, &error) == DVK_OK, "%s", error.message);
    check_same(&found.file, &expected.file, "memory");
    dvk_checkpoint_close(&found);
    dvk_checkpoint_close(&expected);
    free_blob(&config);
    free_blob(&preprocessor);
    free_blob(&file);
}

/* ------------------------------------------------------------------------------------------ original names */

/* A model with facebookresearch's names: the tensors of a hub model, query, key and value joined. */
typedef struct original {
    dvk_tensor tensors[MAX_TENSORS];
    char names[MAX_TENSORS][96];
    void *joined[MAX_TENSORS];
    size_t count, joined_count;
} original;

static dvk_tensor *add(original *o, const dvk_tensor *tensor, const char *prefix, const char *name) {
    REQUIRE(o->count < MAX_TENSORS);
    dvk_tensor *added = &o->tensors[o->count];
    *added = *tensor;
    snprintf(o->names[o->count], sizeof(o->names[0]), "%s%s", prefix, name);
    added->name = o->names[o->count++];
    return added;
}

static void join(original *o, const dvk_tensor_list *hub, const char *query_name, const char *prefix,
                 const char *name) {
    static const char *const parts[] = {"query", "key", "value"};
    dvk_tensor *added = add(o, dvk_tensor_list_find(hub, query_name), prefix, name);
    uint8_t *joined = malloc(3 * added->bytes);
    REQUIRE(joined);
    for (size_t i = 0; i < 3; i++) {
        char *part_name = replaced(query_name, "query", parts[i]);
        const dvk_tensor *part = dvk_tensor_list_find(hub, part_name);
        REQUIRE(part && part->bytes == added->bytes);
        memcpy(joined + i * added->bytes, part->data, added->bytes);
        free(part_name);
    }
    added->shape[0] *= 3;
    added->elements *= 3;
    added->bytes *= 3;
    added->data = o->joined[o->joined_count++] = joined;
}

static void free_original(original *o) {
    for (size_t i = 0; i < o->joined_count; i++)
        free(o->joined[i]);
    free(o);
}

/* Hub -> original, written down from the two projects' sources independently of the runtime's table. */
static const char *const renames[][2] = {
    {"embeddings.cls_token", "cls_token"},
    {"embeddings.mask_token", "mask_token"},
    {"embeddings.register_tokens", "register_tokens"},
    {"embeddings.position_embeddings", "pos_embed"},
    {"embeddings.patch_embeddings.projection", "patch_embed.proj"},
    {"attention.attention.query", "attn.qkv"},
    {"attention.attention.key", ""},
    {"attention.attention.value", ""},
    {"attention.output.dense", "attn.proj"},
    {"layernorm_before", "norm1"},
    {"layernorm_after", "norm2"},
    {"intermediate.dense", "mlp.fc1"},
    {"output.dense", "mlp.fc2"},
    {"layer_scale1.lambda1", "ls1.gamma"},
    {"layer_scale2.lambda1", "ls2.gamma"},
    {"mlp.weights_in", "mlp.w12"},
    {"mlp.weights_out", "mlp.w3"},
    {"layernorm.", "norm."},
};

/* blocks: "blocks." or "blocks.0."; prefix: "", "module." or what ends in "backbone.", beside which a projection head
 * then stands. */
static original *to_original(const dvk_tensor_list *hub, const char *blocks, const char *prefix) {
    original *o = calloc(1, sizeof(*o));
    REQUIRE(o);
    for (size_t i = 0; i < hub->count; i++) {
        const char *name = hub->tensors[i].name;
        char *renamed = strncmp(name, "encoder.layer.", 14) ? strdup(name) : replaced(name, "encoder.layer.", blocks);
        bool dropped = false;
        for (size_t k = 0; k < sizeof(renames) / sizeof(renames[0]); k++)
            if (strstr(renamed, renames[k][0])) {
                char *next = replaced(renamed, renames[k][0], renames[k][1]);
                dropped = !renames[k][1][0];
                free(renamed);
                renamed = next;
                break;
            }
        if (strstr(name, "attention.query"))
            join(o, hub, name, prefix, renamed);
        else if (!dropped)
            add(o, &hub->tensors[i], prefix, renamed);
        free(renamed);
    }
    if (strstr(prefix, "backbone."))
        add(o, &o->tensors[0], strstr(prefix, "module.") ? "module." : "", "head.mlp.0.weight");
    return o;
}

static void check_dino_config(const dvk_checkpoint *c, uint32_t width, uint32_t layers, uint32_t patch,
                              uint32_t image) {
    CHECK(!strcmp(c->config.architecture, "ViTModel") && c->config.hidden_size == width && c->config.layers == layers);
    CHECK(c->config.heads == width / 64 && c->config.head_dim == 64 && c->config.mlp_size == 4 * width);
    CHECK(c->config.patch_size == patch && c->config.image_width == image && c->config.image_height == image);
    CHECK(c->config.layer_norm_eps == 1e-6f && c->config.activation == DVK_ACTIVATION_GELU && c->config.query_bias);
    CHECK(c->preprocess.resample == DVK_RESAMPLE_BICUBIC && c->preprocess.shortest_edge == image * 8 / 7);
    CHECK(c->preprocess.do_center_crop && c->preprocess.crop_width == image && c->preprocess.crop_height == image);
    CHECK(c->preprocess.mean[0] == 0.485 && c->preprocess.std[2] == 0.225);
}

static void test_dino(void) {
    static const struct {
        const char *prefix;
        torch_options options;
    } variants[] = {
        {"", {0}},
        {"module.", {.parameters = true}},
        {"backbone.", {.wrappers = {"teacher"}, .training = true}},
        {"module.backbone.", {.wrappers = {"student"}, .training = true}},
        {"module.backbone.", {.wrappers = {"state_dict", "model"}}},
    };
    static const char *const blocks[] = {"blocks.", "blocks.0.", "blocks.7."};
    CHECK(synth_write_model("vit-tiny", "dino", &(synth_options){.pooler = SYNTH_WITHOUT}));
    dvk_checkpoint expected = open_model("dino");
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
            original *o = to_original(&expected.file, blocks[k], variants[i].prefix);
            blob file = make_torch(o->tensors, o->count, &variants[i].options);
            write_blob("alone", "dino.pth", file.bytes, file.size);
            dvk_checkpoint found = open_model("alone/dino.pth");
            check_same(&found.file, &expected.file, "dino");
            check_dino_config(&found, 64, 2, 8, 32);
            dvk_checkpoint_close(&found);
            free_blob(&file);
            free_original(o);
        }
    dvk_checkpoint_close(&expected);
}

/* The published dino_deitsmall8_pretrain.pth: 150 float32 tensors, whose storages are named by their addresses, in 14
 * digits. That its size comes out to the byte says that names, opcodes, headers and padding are all as torch has them.
 */
static void test_published_layout(void) {
    CHECK(synth_write_model("dino-vits8", "vits8", NULL));
    dvk_checkpoint expected = open_model("vits8");
    original *o = to_original(&expected.file, "blocks.", "");
    CHECK(o->count == 150);
    blob file = make_torch(o->tensors, o->count, &(torch_options){.first_key = 94245869218784});
    CHECK_MESSAGE(file.size == 86728949, "%zu bytes", file.size);
    write_blob("alone", "vits8.pth", file.bytes, file.size);
    free_blob(&file);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    dvk_checkpoint found = open_model("alone/vits8.pth");
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("opened in %.2f ms\n",
           (double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6);
    check_same(&found.file, &expected.file, "vits8");
    check_dino_config(&found, 384, 12, 8, 224);
    CHECK(found.parameters == 21670272);
    dvk_checkpoint_close(&found);
    free_original(o);
    dvk_checkpoint_close(&expected);
    remove("alone/vits8.pth");
}

/* ------------------------------------------------------------------------------------------------- DINOv2 */

typedef struct builder {
    dvk_tensor tensors[MAX_TENSORS];
    char names[MAX_TENSORS][96];
    size_t count;
    float *values; /* all tensors begin somewhere in here */
} builder;

enum { VALUE_COUNT = 1 << 20 };

static void add_shape(builder *b, const char *name, uint32_t rank, const uint64_t *shape) {
    dvk_tensor *t = &b->tensors[b->count];
    snprintf(b->names[b->count], sizeof(b->names[0]), "%s", name);
    *t = (dvk_tensor){.name = b->names[b->count], .dtype = DVK_DTYPE_F32, .dtype_name = "F32", .rank = rank};
    t->elements = 1;
    for (uint32_t i = 0; i < rank; i++)
        t->elements *= t->shape[i] = shape[i];
    t->bytes = t->elements * sizeof(float);
    t->data = b->values + b->count++ * 64;
    REQUIRE(b->count * 64 + t->elements <= VALUE_COUNT);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const dvk_tensor *)a)->name, ((const dvk_tensor *)b)->name);
}

/* Dinov2Model's tensors: 64 channels, 3 layers, 3 x 3 patches of 14 pixels, as transformers names them. */
static void build_dinov2(builder *b, bool swiglu, uint32_t registers) {
    const uint64_t width = 64, inner = swiglu ? 176 : 256;
    b->count = 0;
    add_shape(b, "embeddings.cls_token", 3, (const uint64_t[]){1, 1, width});
    add_shape(b, "embeddings.mask_token", 2, (const uint64_t[]){1, width});
    add_shape(b, "embeddings.position_embeddings", 3, (const uint64_t[]){1, 10, width});
    if (registers)
        add_shape(b, "embeddings.register_tokens", 3, (const uint64_t[]){1, registers, width});
    add_shape(b, "embeddings.patch_embeddings.projection.weight", 4, (const uint64_t[]){width, 3, 14, 14});
    add_shape(b, "embeddings.patch_embeddings.projection.bias", 1, &width);
    const struct {
        const char *name;
        uint64_t rows, columns; /* 0: none; a vector */
        bool lone;              /* neither .weight nor .bias */
    } layer[] = {
        {"norm1", width, 0, false},
        {"attention.attention.query", width, width, false},
        {"attention.attention.key", width, width, false},
        {"attention.attention.value", width, width, false},
        {"attention.output.dense", width, width, false},
        {"layer_scale1.lambda1", width, 0, true},
        {"norm2", width, 0, false},
        {swiglu ? "mlp.weights_in" : "mlp.fc1", swiglu ? 2 * inner : inner, width, false},
        {swiglu ? "mlp.weights_out" : "mlp.fc2", width, inner, false},
        {"layer_scale2.lambda1", width, 0, true},
    };
    for (int i = 0; i < 3; i++)
        for (size_t k = 0; k < sizeof(layer) / sizeof(layer[0]); k++) {
            char name[96];
            snprintf(name, sizeof(name), "encoder.layer.%d.%s%s", i, layer[k].name, layer[k].lone ? "" : ".weight");
            add_shape(b, name, layer[k].columns ? 2 : 1, (const uint64_t[]){layer[k].rows, layer[k].columns});
            snprintf(name, sizeof(name), "encoder.layer.%d.%s.bias", i, layer[k].name);
            if (!layer[k].lone)
                add_shape(b, name, 1, &layer[k].rows);
        }
    add_shape(b, "layernorm.weight", 1, &width);
    add_shape(b, "layernorm.bias", 1, &width);
    qsort(b->tensors, b->count, sizeof(b->tensors[0]), by_name);
}

static void test_dinov2(void) {
    builder *b = calloc(1, sizeof(*b));
    REQUIRE(b);
    b->values = malloc(VALUE_COUNT * sizeof(float));
    REQUIRE(b->values);
    synth_tensor("embeddings.cls_token", 1, VALUE_COUNT, 1, b->values);
    for (int i = 0; i < 8; i++) {
        const bool swiglu = i & 1, registers = i & 2, chunked = i & 4;
        build_dinov2(b, swiglu, registers ? 4 : 0);
        const dvk_tensor_list expected = {.tensors = b->tensors, .count = b->count};
        original *o = to_original(&expected, chunked ? "blocks.1." : "blocks.", chunked ? "backbone." : "");
        blob file = make_torch(o->tensors, o->count, &(torch_options){.wrappers = {chunked ? "teacher" : NULL}});
        write_blob("alone", "dinov2.pth", file.bytes, file.size);
        dvk_checkpoint found = open_model("alone/dinov2.pth");
        const dvk_vit_config *c = &found.config;
        check_same(&found.file, &expected, "dinov2");
        CHECK(!strcmp(c->architecture, registers ? "Dinov2WithRegistersModel" : "Dinov2Model"));
        CHECK(c->registers == (registers ? 4 : 0) && c->gated == swiglu && c->mlp_size == (swiglu ? 176 : 256));
        CHECK(c->hidden_size == 64 && c->heads == 1 && c->layers == 3 && c->query_bias && c->key_bias && c->value_bias);
        CHECK(c->patch_size == 14 && c->image_width == 42 && c->image_height == 42 && c->layer_norm_eps == 1e-6f);
        CHECK(found.preprocess.shortest_edge == 48 && found.preprocess.crop_width == 42);
        dvk_checkpoint_close(&found);
        free_blob(&file);
        free_original(o);
    }
    free(b->values);
    free(b);
}

/* ------------------------------------------------------------------------------------------ torch's own files */

/* As tests/data/torch/README.md has it; `name` is the original one. */
static void check_formula(const dvk_tensor *tensor, const char *name, uint64_t first) {
    for (uint64_t i = 0; i < tensor->elements; i++) {
        float value, expected = (float)((int)((31 * (first + i) + 7 * strlen(name)) % 251) - 125) / 64;
        dvk_tensor_to_float(tensor, i, 1, &value);
        CHECK_MESSAGE(value == expected, "%s[%llu]: %g, expected %g", name, (unsigned long long)i, value, expected);
    }
}

static void test_real_files(const char *directory) {
    static const char *const files[] = {"dino.pth", "dino-training.pth"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[1024];
        snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
        dvk_checkpoint c = open_model(path);
        REQUIRE(c.file.count == 22);
        CHECK(c.config.hidden_size == 64 && c.config.layers == 1 && c.config.mlp_size == 64);
        CHECK(c.config.patch_size == 4 && c.config.image_width == 16 && c.matrix_dtype == DVK_DTYPE_F16);
        check_formula(c.cls_token, "cls_token", 0);
        check_formula(c.position_embeddings, "pos_embed", 0);
        check_formula(c.patch_projection.weight, "patch_embed.proj.weight", 0);
        check_formula(c.layers[0].query.weight, "blocks.0.attn.qkv.weight", 0);
        check_formula(c.layers[0].key.weight, "blocks.0.attn.qkv.weight", 64 * 64);
        check_formula(c.layers[0].value.weight, "blocks.0.attn.qkv.weight", 2 * 64 * 64);
        check_formula(c.layers[0].value.bias, "blocks.0.attn.qkv.bias", 2 * 64);
        check_formula(c.layers[0].attention_output.weight, "blocks.0.attn.proj.weight", 0);
        check_formula(c.layers[0].norm_before.bias, "blocks.0.norm1.bias", 0);
        check_formula(c.layers[0].norm_after.weight, "blocks.0.norm2.weight", 0);
        check_formula(c.layers[0].intermediate.weight, "blocks.0.mlp.fc1.weight", 0);
        check_formula(c.layers[0].output.bias, "blocks.0.mlp.fc2.bias", 0);
        check_formula(c.final_norm.weight, "norm.weight", 0);
        dvk_checkpoint_close(&c);
    }
}

/* ------------------------------------------------------------------------------------------------- shards */

/* A safetensors file of some of the tensors. */
static void write_shard(const char *directory, const char *name, const dvk_tensor *tensors, size_t count) {
    char *header = malloc(count * 256 + 64);
    REQUIRE(header);
    size_t length = (size_t)sprintf(header, "{"), bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const dvk_tensor *t = &tensors[i];
        length += (size_t)sprintf(header + length, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "", t->name,
                                  t->dtype_name);
        for (uint32_t k = 0; k < t->rank; k++)
            length += (size_t)sprintf(header + length, "%s%llu", k ? "," : "", (unsigned long long)t->shape[k]);
        length += (size_t)sprintf(header + length, "],\"data_offsets\":[%zu,%zu]}", bytes, bytes + (size_t)t->bytes);
        bytes += (size_t)t->bytes;
    }
    length += (size_t)sprintf(header + length, "}");
    blob file = make_safetensors(header, length, bytes);
    bytes = 8 + length;
    for (size_t i = 0; i < count; bytes += (size_t)tensors[i++].bytes)
        memcpy(file.bytes + bytes, tensors[i].data, (size_t)tensors[i].bytes);
    write_blob(directory, name, file.bytes, file.size);
    free_blob(&file);
    free(header);
}

/* Tensor i goes into shard i * shards / count + 1; `text` gets the index. */
static void write_index(const dvk_tensor_list *list, size_t shards, const char *format, char *text) {
    text += sprintf(text, "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
    for (size_t i = 0; i < list->count; i++) {
        text += sprintf(text, "%s\"%s\": \"", i ? ", " : "", list->tensors[i].name);
        text += sprintf(text, format, i * shards / list->count + 1, shards);
        text += sprintf(text, "\"");
    }
    sprintf(text, "}}");
}

static void check_index(const char *text, const char *words) {
    dvk_error error = {0};
    dvk_checkpoint checkpoint;
    const dvk_model_params params = {.path = "shards"};
    write_blob("shards", "model.safetensors.index.json", text, strlen(text));
    dvk_result result = dvk_checkpoint_open(&params, &checkpoint, &error);
    CHECK_MESSAGE(result == DVK_ERROR_BAD_FILE || result == DVK_ERROR_IO, "%s: %s", words, dvk_result_name(result));
    CHECK_MESSAGE(strstr(error.message, words), "wanted: %s\n  found: %s", words, error.message);
    if (result == DVK_OK)
        dvk_checkpoint_close(&checkpoint);
}

static void test_shards(void) {
    static const char *const format = "model-%05zu-of-%05zu.safetensors";
    char *text = malloc(1 << 16), name[64];
    REQUIRE(text);
    CHECK(synth_write_model("vit-tiny", "shards", NULL)); /* for its configurations */
    remove("shards/model.safetensors");
    CHECK(synth_write_model("vit-tiny", "whole", NULL));
    dvk_checkpoint expected = open_model("whole");
    const dvk_tensor_list *list = &expected.file;
    for (size_t shards = 1; shards <= 3; shards++) {
        for (size_t i = 0, first = 0; i < shards; i++) {
            size_t end = first;
            while (end < list->count && end * shards / list->count == i)
                end++;
            snprintf(name, sizeof(name), format, i + 1, shards);
            write_shard("shards", name, list->tensors + first, end - first);
            first = end;
        }
        write_index(list, shards, format, text);
        write_blob("shards", "model.safetensors.index.json", text, strlen(text));
        check_model("shards", &expected);
        check_model("shards/model.safetensors.index.json", &expected);
    }
    /* The same with torch's files. */
    remove("shards/model.safetensors.index.json");
    blob halves[2] = {make_torch(list->tensors, list->count / 2, &(torch_options){0}),
                      make_torch(list->tensors + list->count / 2, list->count - list->count / 2, &(torch_options){0})};
    write_blob("shards", "pytorch_model-00001-of-00002.bin", halves[0].bytes, halves[0].size);
    write_blob("shards", "pytorch_model-00002-of-00002.bin", halves[1].bytes, halves[1].size);
    write_index(list, 2, "pytorch_model-%05zu-of-%05zu.bin", text);
    write_blob("shards", "pytorch_model.bin.index.json", text, strlen(text));
    check_model("shards", &expected);
    remove("shards/pytorch_model.bin.index.json");
    free_blob(&halves[0]);
    free_blob(&halves[1]);

    write_index(list, 3, format, text);
    const struct {
        const char *old, *new, *words;
    } edits[] = {
        {"model-00001-of", "../model-00001-of", "beside the index"},
        {"model-00001-of", "/model-00001-of", "beside the index"},
        {"model-00001-of", "a\\\\model-00001-of", "beside the index"},
        {"model-00001-of", ".model-00001-of", "beside the index"},
        {"model-00001-of-00003.safetensors", "", "beside the index"},
        {"\"model-00001-of-00003.safetensors\"", "1", "found an integer"},
        {"model-00001-of", "model-00004-of", "model-00004-of-00003.safetensors: No such file"},
        {"model-00001-of", "model-00002-of", "is not in model-00002-of-00003.safetensors, as the index says"},
        {"\"embeddings.cls_token\": \"model-00001-of-00003.safetensors\", ", "",
         "model-00001-of-00003.safetensors holds tensor \"embeddings.cls_token\", which the index has nowhere"},
        {"\"embeddings.cls_token\"", "\"embeddings.cls\"", "tensor \"embeddings.cls\" is not in"},
        {"\"weight_map\"", "\"weights\"", "\"weight_map\" must be"},
        {"\"embeddings.cls_token\": ", "\"layernorm.bias\": \"x\", \"embeddings.cls_token\": ", "duplicate"},
    };
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        char *edited = replaced(text, edits[i].old, edits[i].new);
        check_index(edited, edits[i].words);
        free(edited);
    }
    check_index("{\"weight_map\": {}}", "found an empty one");
    /* A tensor that two shards hold. */
    write_shard("shards", "model-00002-of-00003.safetensors", list->tensors, (2 * list->count + 2) / 3);
    check_index(text, "which the index has in another file");
    dvk_checkpoint_close(&expected);
    free(text);
}

/* The directory of torch's own files. */
int main(int argc, char **argv) {
    REQUIRE(argc == 2);
    CHECK(mkdir("alone", 0777) == 0 || true); /* may be there from the last time */
    test_hub_files();
    test_memory();
    test_dino();
    test_published_layout();
    test_dinov2();
    test_shards();
    test_real_files(argv[1]);
    return FINISH();
}
