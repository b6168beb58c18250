/* The device that the command line names. */
#ifndef DEVICE_INPUT_H_
#define DEVICE_INPUT_H_

#include "options.h"

/* Opens it with what the options and the environment say about caches, features and logging. Returns 0 or an exit code
 * after the sentence has been printed. */
int device_open(const struct options *options, dvk_context **context);

#endif
