#include "op_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "text.h"

/* Past "layer 3 ". */
static const char *without_layer(const char *label) {
    unsigned layer;
    int length = 0;
    return sscanf(label, "layer %u %n", &layer, &length) == 1 && length ? label + length : label;
}

static int by_time(const void *left, const void *right) {
    const struct op_row *a = left, *b = right;
    return (a->ms < b->ms) - (a->ms > b->ms);
}

int op_table_make(const dvk_op_profile *ops, uint32_t count, struct op_table *table) {
    *table = (struct op_table){.rows = calloc(count ? count : 1, sizeof(*table->rows))};
    if (!table->rows)
        return fail(EXIT_CODE_DEVICE, "out of memory for a table of %" PRIu32 " operations", count);
    for (uint32_t i = 0; i < count; i++) {
        const char *what = without_layer(ops[i].label);
        size_t row = 0;
        while (row < table->count &&
               (strcmp(table->rows[row].what, what) != 0 || strcmp(table->rows[row].variant, ops[i].variant) != 0))
            row++;
        struct op_row *found = &table->rows[row];
        if (row == table->count) {
            snprintf(found->what, sizeof(found->what), "%s", what);
            found->kernel = ops[i].kernel;
            found->variant = ops[i].variant;
            table->count++;
        }
        found->count++;
        found->ms += (double)ops[i].ns * 1e-6;
        found->flops += ops[i].flops;
        found->bytes += ops[i].bytes;
        table->ms += (double)ops[i].ns * 1e-6;
    }
    qsort(table->rows, table->count, sizeof(*table->rows), by_time);
    return 0;
}

/* In 10^9 a second. */
static double rate(uint64_t amount, double ms) {
    return ms > 0.0 ? (double)amount / ms * 1e-6 : 0.0;
}

void op_table_print(FILE *stream, const struct op_table *table, double ceiling_gflops) {
    fprintf(stream, "%-18s %-28s %5s %10s %7s %9s %8s%s\n", "operation", "variant", "times", "ms", "share", "GFLOP/s",
            "GB/s", ceiling_gflops > 0.0 ? "  of fp32" : "");
    for (size_t i = 0; i < table->count; i++) {
        const struct op_row *row = &table->rows[i];
        double gflops = rate(row->flops, row->ms);
        fprintf(stream, "%-18s %-28s %5" PRIu32 " %10.3f %5.1f %% %9.1f %8.1f", row->what, row->variant, row->count,
                row->ms, table->ms > 0.0 ? 100.0 * row->ms / table->ms : 0.0, gflops, rate(row->bytes, row->ms));
        if (ceiling_gflops > 0.0)
            fprintf(stream, "  %5.1f %%", 100.0 * gflops / ceiling_gflops);
        fputc('\n', stream);
    }
    fprintf(stream, "%-18s %-28s %5s %10.3f\n", "all", "", "", table->ms);
}

void op_table_print_json(FILE *stream, const struct op_table *table) {
    fputc('[', stream);
    for (size_t i = 0; i < table->count; i++) {
        const struct op_row *row = &table->rows[i];
        fprintf(stream, "%s{\"operation\": ", i ? ", " : "");
        print_json_string(stream, row->what);
        fprintf(stream,
                ", \"kernel\": \"%s\", \"variant\": \"%s\", \"times\": %" PRIu32
                ", \"ms\": %.6g, \"gflops\": %.6g, \"gbytes\": %.6g}",
                row->kernel, row->variant, row->count, row->ms, rate(row->flops, row->ms), rate(row->bytes, row->ms));
    }
    fputc(']', stream);
}
