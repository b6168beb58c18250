/* `dino-vk info [MODEL]` */
#include <inttypes.h>

#include "commands.h"
#include "default_model.h"
#include "hub_names.h"
#include "licence.h"
#include "model_input.h"
#include "model_path.h"
#include "output_file.h"
#include "text.h"

static void print_estimate(const dvk_model_info *info, const dvk_estimate *estimate) {
    char weights[24], session[24], total[24];
    char size[24];
    snprintf(size, sizeof(size), "at %" PRIu32 "x%" PRIu32, estimate->width, estimate->height);
    printf("%-13s %" PRIu32 " tokens (%" PRIu32 "x%" PRIu32 " patches), %.3f GFLOP\n", size, estimate->tokens,
           estimate->grid_width, estimate->grid_height, (double)estimate->flops * 1e-9);
    uint64_t own = estimate->weight_bytes[DVK_PRECISION_AUTO];
    printf("memory        %s: weights %s (%s), one image at a time %s\n",
           format_bytes(own + estimate->session_bytes, total), format_bytes(own, weights),
           precision_name(info->precision), format_bytes(estimate->session_bytes, session));
    printf("              weights by --precision: fp32 %s",
           format_bytes(estimate->weight_bytes[DVK_PRECISION_FP32], weights));
    printf(", fp16 %s", format_bytes(estimate->weight_bytes[DVK_PRECISION_FP16], weights));
    printf(", int8w %s\n", format_bytes(estimate->weight_bytes[DVK_PRECISION_INT8], weights));
}

static void print_info(const dvk_model_info *info, const dvk_estimate *estimate, const char *licence) {
    printf("model         ");
    print_plain(stdout, info->name);
    if (info->untrained)
        printf("\n              UNTRAINED: its weights are random and its features mean nothing");
    printf("\narchitecture  ");
    print_plain(stdout, info->architecture);
    printf("\nlayers        %" PRIu32 "\nheads         %" PRIu32 " of %" PRIu32 "\nfeatures (D)  %" PRIu32
           "\nmlp           %" PRIu32 "\npatch         %" PRIu32 "x%" PRIu32 " pixels\n",
           info->layers, info->heads, info->head_dim, info->hidden_size, info->mlp_size, info->patch_size,
           info->patch_size);
    printf("positions     %" PRIu32 "x%" PRIu32 " patches\n", info->position_grid_width, info->position_grid_height);
    printf("tokens        %" PRIu32 " before the patches, %s CLS token\n", info->prefix_tokens,
           info->has_cls ? "with a" : "no");
    printf("pooler        %s\n", info->has_pooler ? "yes" : "no");
    if (info->label_count)
        printf("classes       %" PRIu32 "\n", info->label_count);
    if (info->embedding_size)
        printf("embedding     %" PRIu32 "\n", info->embedding_size);
    printf("parameters    %" PRIu64 "\n", info->parameters);
    if (licence) {
        printf("licence       ");
        print_plain(stdout, licence);
        putchar('\n');
    }
    printf("matrices      %s in the file, %s on the device\n", info->stored_dtype, precision_name(info->precision));
    if (info->image_width && info->image_height)
        printf("images        resized to %" PRIu32 "x%" PRIu32 ", %s\n", info->image_width, info->image_height,
               info->resample);
    else
        printf("images        of their own size\n");
    printf("mean          %.9g %.9g %.9g\n", (double)info->image_mean[0], (double)info->image_mean[1],
           (double)info->image_mean[2]);
    printf("std           %.9g %.9g %.9g\n", (double)info->image_std[0], (double)info->image_std[1],
           (double)info->image_std[2]);
    print_estimate(info, estimate);
}

static void print_triple(const char *name, const float values[3]) {
    printf(", \"%s\": [", name);
    for (int i = 0; i < 3; i++) {
        if (i)
            printf(", ");
        print_json_float(stdout, values[i]);
    }
    putchar(']');
}

static void print_info_json(const dvk_model_info *info, const dvk_estimate *estimate, const char *licence) {
    printf("{\"model\": ");
    print_json_string(stdout, info->name);
    printf(", \"untrained\": %s, \"architecture\": ", info->untrained ? "true" : "false");
    print_json_string(stdout, info->architecture);
    printf(", \"layers\": %" PRIu32 ", \"heads\": %" PRIu32 ", \"head_dim\": %" PRIu32 ", \"hidden_size\": %" PRIu32
           ", \"mlp_size\": %" PRIu32 ", \"patch_size\": %" PRIu32,
           info->layers, info->heads, info->head_dim, info->hidden_size, info->mlp_size, info->patch_size);
    printf(", \"position_grid\": [%" PRIu32 ", %" PRIu32 "], \"prefix_tokens\": %" PRIu32
           ", \"cls\": %s, \"pooler\": %s, \"classes\": %" PRIu32 ", \"embedding\": %" PRIu32
           ", \"parameters\": %" PRIu64 ", \"stored\": \"%s\", \"precision\": \"%s\"",
           info->position_grid_width, info->position_grid_height, info->prefix_tokens, info->has_cls ? "true" : "false",
           info->has_pooler ? "true" : "false", info->label_count, info->embedding_size, info->parameters,
           info->stored_dtype, precision_name(info->precision));
    printf(", \"image_size\": [%" PRIu32 ", %" PRIu32 "], \"resample\": \"%s\"", info->image_width, info->image_height,
           info->resample);
    print_triple("mean", info->image_mean);
    print_triple("std", info->image_std);
    printf(", \"input_size\": [%" PRIu32 ", %" PRIu32 "], \"grid\": [%" PRIu32 ", %" PRIu32 "], \"tokens\": %" PRIu32
           ", \"flops\": %" PRIu64,
           estimate->width, estimate->height, estimate->grid_width, estimate->grid_height, estimate->tokens,
           estimate->flops);
    printf(", \"weight_bytes\": {\"fp32\": %" PRIu64 ", \"fp16\": %" PRIu64 ", \"int8w\": %" PRIu64
           "}, \"session_bytes\": %" PRIu64 ", \"license\": ",
           estimate->weight_bytes[DVK_PRECISION_FP32], estimate->weight_bytes[DVK_PRECISION_FP16],
           estimate->weight_bytes[DVK_PRECISION_INT8], estimate->session_bytes);
    if (licence)
        print_json_string(stdout, licence);
    else
        printf("null");
    printf("}\n");
}

static int print(const struct options *options, const char *argument, const dvk_model *model) {
    const dvk_model_info *info = dvk_model_get_info(model);
    dvk_session_params params = {.width = options->width, .height = options->height};
    if (!options->width && !(info->image_width && info->image_height)) {
        /* Images keep their own sizes: then the size of the position table. */
        params.width = info->position_grid_width * info->patch_size;
        params.height = info->position_grid_height * info->patch_size;
    }
    dvk_estimate estimate;
    dvk_error error;
    if (dvk_model_estimate(model, &params, &estimate, &error) != DVK_OK)
        return fail_library(EXIT_CODE_USAGE, &error);
    char path[HUB_PATH_SIZE], found[LICENCE_SIZE];
    const char *licence = argument ? NULL : DEFAULT_MODEL_LICENCE;
    if (argument && model_path_resolve(argument, path, sizeof(path), NULL) == DVK_OK && licence_find(path, found))
        licence = found;
    if (options->json)
        print_info_json(info, &estimate, licence);
    else
        print_info(info, &estimate, licence);
    return flush_stdout();
}

int command_info(const struct options *options) {
    dvk_model *model = NULL;
    const char *argument = options->image_count ? options->images[0] : options->model;
    int code = model_read(argument, NULL, options->precision, NULL, &model);
    if (code)
        return code;
    code = print(options, argument, model);
    dvk_model_destroy(&model);
    return code;
}
