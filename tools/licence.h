/* The licence that a model's directory states. */
#ifndef LICENCE_H_
#define LICENCE_H_

#include <stdbool.h>

#define LICENCE_SIZE 96

/* `license` in the front matter of README.md ("other": its `license_name`), as the hub's model cards have it, else
 * `license` in config.json. `path` is a model's directory or a file in it. False: neither states one. */
bool licence_find(const char *path, char licence[LICENCE_SIZE]);

#endif
