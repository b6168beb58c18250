#ifndef DVK_PROCESSORS_H_
#define DVK_PROCESSORS_H_

#include <stdint.h>

/* Those that are online; at least 1. */
uint32_t dvk_count_processors(void);

#endif
