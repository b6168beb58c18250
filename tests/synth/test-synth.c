/* The generator against the test vectors of its specification, and whole files against the hashes of those that the
 * golden outputs were computed on. */
#include "synth.h"

#include "test.h"

static uint64_t hash_of_floats(const float *values, size_t count) {
    return synth_fnv1a64(values, count * sizeof(float)); /* little-endian hosts only, as the runtime */
}

typedef struct vector {
    const char *name;
    uint64_t rows, elements;
    float first[4], last;
    uint64_t hash;
} vector;

/* All of dino-vits8, six heads. */
static const vector vectors[] = {
    {"embeddings.cls_token",
     1,
     384,
     {-0x1.72bc7cp-1f, 0x1.efda7p-3f, -0x1.e0d2ecp-1f, 0x1.995dc4p-1f},
     -0x1.fb6c9p-1f,
     0xbf50e81a9c38e3d6},
    {"encoder.layer.3.attention.attention.key.weight",
     384,
     384 * 384,
     {-0x1.3a422ep-4f, 0x1.9676d2p-5f, 0x1.1d01eap-5f, 0x1.3dd53p-8f},
     0x1.bce118p-5f,
     0x478417c0a006ab3e},
    {"encoder.layer.0.output.dense.bias",
     384,
     384,
     {0x1.023b9cp-3f, -0x1.271b3cp-3f, 0x1.7145acp-3f, 0x1.e8540cp-3f},
     -0x1.0c7264p-3f,
     0xb742ffaff32a9dc4},
    {"encoder.layer.11.layernorm_after.weight",
     384,
     384,
     {0x1.d22bacp-1f, 0x1.5b88e8p-1f, 0x1.316bap+0f, 0x1.3929a4p+0f},
     0x1.62ef8p-1f,
     0x481c076c5b043a35},
    {"layernorm.weight",
     384,
     384,
     {0x1.0c3ef2p+2f, 0x1.b3855cp+0f, 0x1.2979bcp+1f, 0x1.6d4b86p+1f},
     0x1.6bd672p+1f,
     0xd867a0bf7c17dfd7},
};

static void test_tensors(void) {
    CHECK(synth_fnv1a64("embeddings.cls_token", 20) == 0x8ae8cec33a7a6817);
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const vector *v = &vectors[i];
        float *values = malloc(v->elements * sizeof(float));
        REQUIRE(values);
        synth_tensor(v->name, v->rows, v->elements, 6, values);
        CHECK_MESSAGE(!memcmp(values, v->first, sizeof(v->first)), "%s", v->name);
        CHECK_MESSAGE(values[v->elements - 1] == v->last, "%s", v->name);
        CHECK_MESSAGE(hash_of_floats(values, v->elements) == v->hash, "%s", v->name);
        free(values);
    }
}

static void test_images(void) {
    static const struct {
        uint32_t width, height;
        uint64_t hash;
    } images[] = {
        {224, 224, 0x8df94cdf1ca96235}, {640, 480, 0xa3ba2a4124899c26}, {333, 517, 0x32d23d38323440de},
        {31, 57, 0x2df3d195dc07afc2},   {1, 1, 0xf876341be38454b1},     {2000, 1, 0xa009ff2d99a96273},
    };
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
        size_t size = (size_t)images[i].width * images[i].height * 3;
        uint8_t *pixels = malloc(size);
        REQUIRE(pixels);
        synth_image(images[i].width, images[i].height, pixels);
        CHECK_MESSAGE(synth_fnv1a64(pixels, size) == images[i].hash, "%u x %u", images[i].width, images[i].height);
        free(pixels);
    }
}

static void *read_whole(const char *directory, const char *name, size_t *size) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    REQUIRE(file);
    REQUIRE(fseek(file, 0, SEEK_END) == 0);
    *size = (size_t)ftell(file);
    rewind(file);
    void *bytes = malloc(*size + 1);
    REQUIRE(bytes && fread(bytes, 1, *size, file) == *size);
    fclose(file);
    return bytes;
}

static uint64_t hash_of_file(const char *directory, const char *name) {
    size_t size = 0;
    void *bytes = read_whole(directory, name, &size);
    uint64_t hash = synth_fnv1a64(bytes, size);
    free(bytes);
    return hash;
}

/* FNV-1a of the files that transformers loaded when the golden outputs were made. */
static void test_files(void) {
    static const struct {
        const char *model;
        uint64_t config, preprocessor, weights;
    } files[] = {
        {"vit-tiny", 0x419062ceb090f0e6, 0x959b7264733434d2, 0x3974ce3c54bb2965},
        {"vit-odd-tiny", 0x745af439d25bd9b6, 0x24db8329349bcf67, 0x1cb31329004da9a8},
        {"vit-cls-tiny", 0x970d3776cc345932, 0x980db153b3df31c3, 0xb87fa0b01b9c9080},
        {"deit-distilled-tiny", 0x19d07435a523fd16, 0xe505bf428abfe6f5, 0x3ec638836da2856a},
        {"ijepa-tiny", 0x264ec0923cca6432, 0x98426c82e3a0668f, 0x496dfcfd4c4b434f},
        {"vitmsn-tiny", 0x27575e90ae5c725e, 0x4d821ed436c29cfd, 0xcbae8e0c07dafa46},
        {"dinov2-tiny", 0xc8607af97c013987, 0xfeb32ac2de6034d7, 0xa949cd674e0505a5},
        {"dinov2-swiglu-tiny", 0xd9ee3b11d105264c, 0xfeb32ac2de6034d7, 0xb66fdc8d4a707a74},
        {"dinov2-reg-tiny", 0xa3bc9569e21456cc, 0xfeb32ac2de6034d7, 0xc43e691c269a4fcc},
        {"dinov3-tiny", 0xb009a1498857184e, 0x433792b50bf48d18, 0x111539dd1f68dfd4},
        {"dinov3-gated-tiny", 0xa4303769a17f6c6f, 0x433792b50bf48d18, 0x38f9aa775d8bf7fa},
        {"clip-tiny", 0x564f7d4d6e172b2, 0x27b54c95111c15db, 0xdc4b4189e822c5b9},
        {"siglip-tiny", 0x9d326206b41be9bd, 0x7d2ed872bf99aa13, 0x20c3cd3b35d4f010},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char directory[64];
        snprintf(directory, sizeof(directory), "synth-%s", files[i].model);
        REQUIRE(synth_write_model(files[i].model, directory, NULL));
        CHECK_MESSAGE(hash_of_file(directory, "config.json") == files[i].config, "%s", files[i].model);
        CHECK_MESSAGE(hash_of_file(directory, "preprocessor_config.json") == files[i].preprocessor, "%s",
                      files[i].model);
        CHECK_MESSAGE(hash_of_file(directory, "model.safetensors") == files[i].weights, "%s", files[i].model);
    }
    CHECK(!synth_write_model("no-such-model", "synth-none", NULL));
}

int main(void) {
    test_tensors();
    test_images();
    test_files();
    return FINISH();
}
