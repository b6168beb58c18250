/* One image through a DINO model to one vector: embed MODEL_DIR IMAGE
 *
 *     cc embed.c $(pkg-config --cflags --libs dino-vk) -o embed
 */
#include <dino_vk.h>
#include <stdio.h>
#include <stdlib.h>

static dvk_error error;

static void must(dvk_result result) {
    if (result == DVK_OK)
        return;
    fprintf(stderr, "embed: %s\n", error.message);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: embed MODEL_DIR IMAGE\n");
        return 1;
    }

    dvk_context *context;
    dvk_model *model;
    dvk_image image;
    must(dvk_context_create(NULL, &context, &error)); /* the best device there is */
    must(dvk_model_load(context, &(dvk_model_params){.path = argv[1]}, &model, &error));
    must(dvk_image_load(argv[2], NULL, &image, &error));

    dvk_session *session; /* one pass, recorded once: by default one image to its CLS vector */
    dvk_session_params size = {0};
    dvk_preprocess_size(model, NULL, &image, &size.width, &size.height);
    must(dvk_session_create(model, &size, &session, &error));

    uint32_t length = dvk_model_get_info(model)->hidden_size;
    float *pixels = malloc(sizeof(float) * 3 * size.width * size.height);
    float *cls = malloc(sizeof(float) * length);
    if (!pixels || !cls)
        return 1;
    must(dvk_preprocess(model, NULL, &image, pixels, NULL, &error));
    must(dvk_session_run(session, pixels, 1, &error)); /* and again for every further image */
    must(dvk_session_read(session, DVK_OUTPUT_CLS, 0, cls, length, &error));
    for (uint32_t i = 0; i < length; i++)
        printf("%.6g\n", cls[i]);

    free(cls);
    free(pixels);
    dvk_image_free(&image);
    dvk_session_destroy(&session);
    dvk_model_destroy(&model);
    dvk_context_destroy(&context);
    return 0;
}
