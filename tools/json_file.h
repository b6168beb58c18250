/* JSON in a file, read by the library's own reader. */
#ifndef JSON_FILE_H_
#define JSON_FILE_H_

#include "json.h"

/* NULL where the file cannot be read, is larger than 16 MiB or is no valid JSON; else for dvk_release(NULL, ...). */
dvk_json *json_file_read(const char *path);

#endif
