/* The model that the command line, the environment or the build names. */
#ifndef MODEL_INPUT_H_
#define MODEL_INPUT_H_

#include "message.h"
#include "options.h"

/* `argument` as typed; NULL: the built-in model. `classifier`: a file, or NULL. context NULL: check and query only, as
 * dvk_model_load(). */
int model_read(const char *argument, const char *classifier, dvk_precision precision, dvk_context *context,
               dvk_model **model);

/* "12 layers of 6 heads, ..." in one line for people. Returns `text`. */
char *model_summary(const dvk_model_info *info, char text[256]);

#endif
