/* Decodes images in a child process that can do nothing else: stb_image promises no safety for what strangers send.
 *
 * The child is forked before there are threads and Vulkan. It has no files but two pipes and cannot open any, starts
 * no process, and has a bound on its memory (setrlimit); on Linux a filter of system calls (seccomp) leaves it reading
 * and writing those pipes, and getting and returning memory. It shares the parent's addresses, as fork() has it. What
 * it answers is judged like a file: sizes are checked, its sentence is only text. */
#ifndef SANDBOX_H_
#define SANDBOX_H_

#include <stdbool.h>

#include "dino_vk.h"

/* As dvk_image_decode(); tests put others in its place. */
typedef dvk_result (*sandbox_decoder)(const void *bytes, size_t size, const char *name, const dvk_image_params *params,
                                      dvk_image *image, dvk_error *error);

/* Zeroed: there is no child. */
struct sandbox {
    long process; /* 0: none, or it has ended */
    int to_child, from_child;
    bool filtered; /* its system calls, beyond the limits */
    bool lost;     /* it was there, and has ended */
};

/* Address space of a child: the largest file (2 GiB), what it unpacks to (2 GiB twice), and the pixels (twice 0.8). */
#define SANDBOX_MEMORY (UINT64_C(8) << 30)

/* Starts a child, restricts it and waits until it has allocated memory under the restrictions. False: *why is a static
 * text, and there is none. SIGPIPE must be ignored. */
bool sandbox_open(struct sandbox *sandbox, sandbox_decoder decode, uint64_t memory, const char **why);

/* As dvk_image_decode() with the C library's allocator, in the child. One call at a time. A child that ends instead of
 * answering is BAD_FILE. */
dvk_result sandbox_decode(struct sandbox *sandbox, const void *bytes, size_t size, const char *name, uint32_t flags,
                          dvk_image *image, dvk_error *error);

/* Accepts a zeroed struct. */
void sandbox_close(struct sandbox *sandbox);

/* sandbox_limits.c: gives up what decoding does not need. `filtered`: whether system calls are filtered, too. False:
 * not even the limits could be set. */
bool sandbox_restrict(uint64_t memory, bool *filtered);

#endif
