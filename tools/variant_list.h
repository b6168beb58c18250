/* The kernels' variants: read from a file, written to one, and listed. */
#ifndef VARIANT_LIST_H_
#define VARIANT_LIST_H_

#include "output_file.h"

/* The whole file, for free(). Returns 0 or an exit code after the sentence has been printed. */
int variants_read(const char *path, char **text);

/* What the context's sessions use, as variants_read() takes it. Opens and finishes the file. */
int variants_save(const dvk_context *context, struct output_file *file, const char *path);

/* Which variants are used for what, what was measured, and why the others are not used. */
int variants_print(const dvk_context *context);
/* The same as a JSON array. */
int variants_print_json(const dvk_context *context);

#endif
