/* What a device can do at most, measured by kernels that do nothing else. */
#ifndef CEILINGS_H_
#define CEILINGS_H_

#include "dino_vk.h"

/* 0: the device, or the compiler that built this command, cannot do it. */
struct ceilings {
    double fp32_gflops;        /* multiply-adds of fp32, each counted as two */
    double fp16_gflops;        /* of halves */
    double matrix_gflops;      /* of cooperative matrices, halves added to fp32 */
    uint32_t matrix[3];        /* M, N, K of the fastest */
    double copy_gbytes;        /* bytes read and written in a second, in 10^9, from device memory to device memory */
    uint64_t copy_working_set; /* bytes: what fits in a cache is faster */
};

/* Takes about a second on a GPU and on two cores. */
dvk_result ceilings_measure(dvk_context *context, struct ceilings *ceilings, dvk_error *error);

#endif
