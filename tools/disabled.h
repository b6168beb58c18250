/* $DINO_VK_DISABLE: parts of a device that are not to be used. */
#ifndef DISABLED_H_
#define DISABLED_H_

#include <stdint.h>

/* Bits for dvk_context_params.disabled_features. Returns an exit code. */
int disabled_features(uint32_t *bits);

#endif
