/* The pixel values that the device makes of a host's image, against dvk_preprocess() with the same image, number by
 * number: for the preprocessors that the members of the family come with, at their own sizes. */
#include "session.h" /* first: volk, which it includes, wants Vulkan's headers without prototypes */

#include "pictures.h"
#include "random.h"
#include "synth.h"

#include <math.h>

int test_failures_, test_checks_;

#define MODEL "pixels-vit-tiny"

static uint64_t random_state = 9;

/* Published preprocessor_config.json, as far as it matters here. */
static const struct processor {
    const char *name, *json;
    bool floats; /* resized without rounding to bytes, so that both ways agree within roundings only */
} processors[] = {
    {"DINO",
     "{\"feature_extractor_type\": \"ViTFeatureExtractor\", \"size\": 224, \"resample\": 2, \"do_resize\": true, "
     "\"do_normalize\": true, \"image_mean\": [0.485, 0.456, 0.406], \"image_std\": [0.229, 0.224, 0.225]}",
     false},
    {"DeiT",
     "{\"feature_extractor_type\": \"DeiTFeatureExtractor\", \"size\": 256, \"resample\": 3, \"do_center_crop\": true, "
     "\"crop_size\": 224, \"image_mean\": [0.485, 0.456, 0.406], \"image_std\": [0.229, 0.224, 0.225]}",
     false},
    {"DINOv2",
     "{\"image_processor_type\": \"BitImageProcessor\", \"size\": {\"shortest_edge\": 256}, \"resample\": 3, "
     "\"do_center_crop\": true, \"crop_size\": {\"height\": 224, \"width\": 224}, \"rescale_factor\": "
     "0.00392156862745098, \"image_mean\": [0.485, 0.456, 0.406], \"image_std\": [0.229, 0.224, 0.225]}",
     false},
    {"CLIP",
     "{\"feature_extractor_type\": \"CLIPFeatureExtractor\", \"size\": 224, \"resample\": 3, \"do_center_crop\": true, "
     "\"crop_size\": 224, \"image_mean\": [0.48145466, 0.4578275, 0.40821073], \"image_std\": [0.26862954, "
     "0.26130258, 0.27577711]}",
     false},
    {"SigLIP",
     "{\"image_processor_type\": \"SiglipImageProcessor\", \"size\": {\"height\": 224, \"width\": 224}, \"resample\": "
     "3, \"rescale_factor\": 0.00392156862745098, \"image_mean\": [0.5, 0.5, 0.5], \"image_std\": [0.5, 0.5, 0.5]}",
     false},
    {"DINOv3",
     "{\"image_processor_type\": \"DINOv3ViTImageProcessorFast\", \"size\": {\"height\": 224, \"width\": 224}, "
     "\"resample\": 2, \"rescale_factor\": 0.00392156862745098, \"image_mean\": [0.485, 0.456, 0.406], \"image_std\": "
     "[0.229, 0.224, 0.225]}",
     true},
    {"DINOv3, bicubic",
     "{\"image_processor_type\": \"DINOv3ViTImageProcessorFast\", \"size\": {\"height\": 224, \"width\": 224}, "
     "\"resample\": 3, \"image_mean\": [0.485, 0.456, 0.406], \"image_std\": [0.229, 0.224, 0.225]}",
     true},
};

/* Smooth, with noise and sharp edges: neither clipping nor averaging hides a difference. rgba. */
static void draw(uint8_t *texels, uint32_t width, uint32_t height) {
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < 4; c++) {
                const uint32_t smooth = (x * (c + 2) + y * 3) / 4 % 200, edge = (x / 16 + y / 16) % 2 ? 40 : 0;
                texels[4 * ((size_t)y * width + x) + c] =
                    (uint8_t)(smooth + edge + random_below(&random_state, 16)); /* at most 254 */
            }
}

/* The two passes round at each of `taps` products, sums and stored weights; values are at most 1, and bicubic's weights
 * add up to at most 1.3 without their signs. The CPU rounds once a pass. What is left is divided by a deviation of at
 * least 0.224, where the quotient, of at most 2.7 * 1.3, may be off by 2.5 units in the last place (Vulkan's precision
 * of a division). */
static double bound_of(uint32_t side, uint32_t resized) {
    const double unit = 0x1p-24, taps = 4 * fmax(1, (double)side / resized) + 1;
    return unit * (1.3 * 2 * (3 * taps + 2) / 0.224 + 5 * 2.7 * 1.3);
}

static void compare(const struct processor *processor, const float *found, const float *expected, size_t count,
                    double bound, const char *what) {
    double worst = 0;
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        worst = fmax(worst, fabs((double)found[i] - (double)expected[i]));
        wrong += memcmp(&found[i], &expected[i], sizeof(float)) != 0;
    }
    if (processor->floats)
        CHECK_MESSAGE(worst <= bound, "%s, %s: pixel values differ by %g, at most %g", processor->name, what, worst,
                      bound);
    else
        CHECK_MESSAGE(wrong == 0, "%s, %s: %zu of %zu pixel values differ, by up to %g", processor->name, what, wrong,
                      count, worst);
}

/* The session's pixel values after the ops that make them. */
static void make_pixels(test_host *host, dvk_session *session, test_memory *pixels) {
    const struct VolkDeviceTable *vk = &session->model->context->vk;
    VkCommandBuffer commands = host_begin(host, VK_COMMAND_BUFFER_LEVEL_PRIMARY);
    const dvk_record_params params = {.command_buffer = commands, .last = {2, 0}};
    CHECK(dvk_session_record(session, &params, NULL) == DVK_OK);
    const VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                     .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                     .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT};
    vk->vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1,
                             &barrier, 0, NULL, 0, NULL);
    const VkBufferCopy region = {.size = pixels->size};
    vk->vkCmdCopyBuffer(commands, session->buffers[DVK_PLAN_PIXELS].handle, pixels->buffer, 1, &region);
    const VkMemoryBarrier to_host = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                     .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                     .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    vk->vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &to_host, 0,
                             NULL, 0, NULL);
    host_run(host, commands);
}

static void check_image(test_host *host, dvk_model *model, const struct processor *processor, VkFormat format,
                        uint32_t width, uint32_t height) {
    const size_t texels = (size_t)width * height;
    uint8_t *rgba = malloc(4 * texels);
    dvk_image image = {.width = width, .height = height, .pixels = malloc(3 * texels)};
    REQUIRE(rgba && image.pixels);
    draw(rgba, width, height);
    for (size_t i = 0; i < 3 * texels; i++)
        image.pixels[i] = rgba[i / 3 * 4 + (format == VK_FORMAT_B8G8R8A8_UNORM ? 2 - i % 3 : i % 3)];
    test_picture picture = picture_create(host, format, VK_IMAGE_USAGE_SAMPLED_BIT, width, height, 0);
    picture_write(host, &picture, rgba, VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL);

    const dvk_source_desc source = {.kind = DVK_SOURCE_IMAGE, .format = format, .width = width, .height = height};
    const dvk_session_params params = {.source = &source};
    const dvk_source_binding binding = {.view = (uint64_t)picture.view};
    const dvk_bindings bindings = {.sources = &binding, .source_count = 1};
    dvk_session *session = NULL;
    dvk_error error = {DVK_OK, ""};
    REQUIRE(dvk_session_create(model, &params, &session, &error) == DVK_OK);
    CHECK(dvk_session_bind(session, 0, &bindings, &error) == DVK_OK);
    uint32_t size[2];
    dvk_preprocess_size(model, NULL, &image, &size[0], &size[1]);
    const dvk_session_info *info = dvk_session_get_info(session);
    CHECK(info->width == size[0] && info->height == size[1]);
    const size_t count = 3 * (size_t)size[0] * size[1];
    float *expected = malloc(count * sizeof(float));
    REQUIRE(expected != NULL);
    CHECK(dvk_preprocess(model, NULL, &image, expected, NULL, &error) == DVK_OK);
    test_memory pixels = memory_create(host, count * sizeof(float));
    make_pixels(host, session, &pixels);
    char what[64];
    snprintf(what, sizeof(what), "%ux%u to %ux%u, VkFormat %d", width, height, size[0], size[1], (int)format);
    const double bound = fmax(bound_of(width, size[0]), bound_of(height, size[1]));
    compare(processor, pixels.mapped, expected, count, bound, what);
    memory_destroy(host, &pixels);
    dvk_session_destroy(&session);
    picture_destroy(host, &picture);
    free(expected);
    free(rgba);
    free(image.pixels);
}

int main(void) {
    static const uint32_t sizes[][2] = {{224, 224}, {320, 240}, {199, 301}, {640, 123}};
    test_host host;
    host_open(&host, HOST_BARE);
    dvk_context *context = host_context(&host);
    REQUIRE(synth_write_model("vit-tiny", MODEL, NULL));
    for (size_t i = 0; i < sizeof(processors) / sizeof(processors[0]); i++) {
        FILE *file = fopen(MODEL "/preprocessor_config.json", "w");
        REQUIRE(file && fputs(processors[i].json, file) >= 0 && fclose(file) == 0);
        dvk_model *model = NULL;
        REQUIRE(dvk_model_load(context, &(dvk_model_params){.path = MODEL}, &model, NULL) == DVK_OK);
        CHECK(model->preprocess.resize_as_float == processors[i].floats);
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
            check_image(&host, model, &processors[i], k % 2 ? VK_FORMAT_B8G8R8A8_UNORM : VK_FORMAT_R8G8B8A8_SRGB,
                        sizes[k][0], sizes[k][1]);
        dvk_model_destroy(&model);
    }
    dvk_context_destroy(&context);
    host_close(&host);
    CHECK(host_messages() == 0);
    return FINISH();
}
