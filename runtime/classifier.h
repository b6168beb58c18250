/* The linear classifiers that facebookresearch published for its backbones, in files of their own. */
#ifndef DVK_CLASSIFIER_H_
#define DVK_CLASSIFIER_H_

#include "checkpoint.h"

typedef struct dvk_classifier {
    const dvk_allocator *allocator;
    char name[256]; /* for messages */
    dvk_mapping mapping;
    dvk_tensor_list tensors;
    dvk_tensor weight; /* [classes][features], the features of each kind together */
    float *reordered;  /* weight's values where the file has them in another order; else NULL */
} dvk_classifier;

/* Reads a classifier and makes it the head of a bound checkpoint, which keeps it open. What a failure leaves in
 * checkpoint->classifier is the caller's to close. */
dvk_result dvk_classifier_open(const char *path, dvk_checkpoint *checkpoint, dvk_error *error);
void dvk_classifier_close(dvk_classifier **classifier);

#endif
