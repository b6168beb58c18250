#ifndef DVK_MODEL_H_
#define DVK_MODEL_H_

#include "weights.h"

struct dvk_model {
    dvk_context *context; /* NULL: loaded for its info alone */
    dvk_allocator allocator;
    dvk_model_info info;
    dvk_vit_config config;
    dvk_preprocess_config preprocess;
    dvk_weights weights;
};

#endif
