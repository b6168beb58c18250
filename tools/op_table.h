/* The ops of a profiled pass, summed over the layers. */
#ifndef OP_TABLE_H_
#define OP_TABLE_H_

#include <stdio.h>

#include "dino_vk.h"

struct op_row {
    char what[48]; /* "intermediate" for "layer 3 intermediate" */
    const char *kernel, *variant;
    uint32_t count;
    double ms;
    uint64_t flops, bytes;
};

struct op_table {
    struct op_row *rows; /* by time, the longest first */
    size_t count;
    double ms; /* of all */
};

/* Strings of `ops` must live as long. Returns 0 or an exit code. Free rows with free(). */
int op_table_make(const dvk_op_profile *ops, uint32_t count, struct op_table *table);

/* ceiling_gflops 0: no column for the share of it. */
void op_table_print(FILE *stream, const struct op_table *table, double ceiling_gflops);
void op_table_print_json(FILE *stream, const struct op_table *table);

#endif
