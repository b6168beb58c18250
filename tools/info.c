/* `dino-vk info [MODEL]` */
#include <inttypes.h>

#include "commands.h"
#include "model_input.h"
#include "output_file.h"
#include "text.h"

static void print_info(const dvk_model_info *info) {
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

static void print_info_json(const dvk_model_info *info) {
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
    printf("}\n");
}

int command_info(const struct options *options) {
    dvk_model *model = NULL;
    const char *argument = options->image_count ? options->images[0] : options->model;
    int code = model_read(argument, options->precision, NULL, &model);
    if (code)
        return code;
    if (options->json)
        print_info_json(dvk_model_get_info(model));
    else
        print_info(dvk_model_get_info(model));
    dvk_model_destroy(&model);
    return flush_stdout();
}
