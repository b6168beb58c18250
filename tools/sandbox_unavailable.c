/* Where there is no fork(). */
#include "sandbox.h"

bool sandbox_open(struct sandbox *sandbox, sandbox_decoder decode, uint64_t memory, const char **why) {
    (void)decode, (void)memory;
    *sandbox = (struct sandbox){0};
    *why = "this system has none";
    return false;
}

dvk_result sandbox_decode(struct sandbox *sandbox, const void *bytes, size_t size, const char *name, uint32_t flags,
                          dvk_image *image, dvk_error *error) {
    (void)sandbox;
    return dvk_image_decode(bytes, size, name, &(dvk_image_params){.flags = flags}, image, error);
}

void sandbox_close(struct sandbox *sandbox) {
    *sandbox = (struct sandbox){0};
}
