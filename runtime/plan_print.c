#include "plan.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct printer {
    char *text;
    size_t size, length;
} printer;

static void print(printer *out, const char *format, ...) DVK_PRINTF(2, 3);

static void print(printer *out, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    bool room = out->length < out->size;
    int length =
        vsnprintf(room ? out->text + out->length : NULL, room ? out->size - out->length : 0, format, arguments);
    va_end(arguments);
    if (length > 0)
        out->length += (size_t)length;
}

static const char *const buffer_names[DVK_PLAN_OWN_BUFFERS] = {"pixels", "table",   "angles", "hidden",  "normed",
                                                               "wide",   "results", "resize", "pictures"};

static void print_binding(printer *out, const dvk_binding *binding) {
    print(out, " %c", binding->writes ? '>' : '<');
    if (binding->buffer < DVK_PLAN_WEIGHTS)
        print(out, "%s", buffer_names[binding->buffer]);
    else if (binding->buffer >= DVK_PLAN_TARGET)
        print(out, "target%u", binding->buffer - DVK_PLAN_TARGET);
    else if (dvk_plan_is_external(binding->buffer))
        print(out, "source%u", binding->buffer - DVK_PLAN_SOURCE);
    else
        print(out, "weights%u", binding->buffer - DVK_PLAN_WEIGHTS);
    if (binding->offset)
        print(out, "+%" PRIu64, binding->offset);
}

size_t dvk_plan_print(const dvk_plan *plan, char *text, size_t size) {
    printer out = {text, size, 0};
    if (size)
        text[0] = '\0';
    print(&out, "%u ops, %.3f GFLOP; batch %u, %ux%u pixels, %ux%u patches, %u tokens\n", plan->op_count,
          (double)plan->flops * 1e-9, plan->batch, plan->width, plan->height, plan->grid_width, plan->grid_height,
          plan->tokens);
    for (uint32_t i = 0; i < DVK_PLAN_OWN_BUFFERS; i++)
        if (plan->buffer_bytes[i])
            print(&out, "buffer %-8s %12" PRIu64 " bytes\n", buffer_names[i], plan->buffer_bytes[i]);
    print(&out, "%4s  %-26s %-24s %8s %9s %9s  %s\n", "op", "what", "variant", "groups", "MFLOP", "KiB", "buffers");
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const dvk_op *op = &plan->ops[i];
        print(&out, "%4u  %-26s %-24s %8u %9.2f %9.0f ", i, op->label, op->variant->name,
              op->push.groups.group_end - op->push.groups.first_group, (double)op->flops * 1e-6,
              (double)op->bytes / 1024);
        for (uint32_t j = 0; j < op->binding_count; j++)
            print_binding(&out, &op->bindings[j]);
        print(&out, "\n");
    }
    return out.length;
}

size_t dvk_plan_print_variants(const dvk_plan *plan, char *text, size_t size) {
    printer out = {text, size, 0};
    char name[DVK_USE_NAME];
    if (size)
        text[0] = '\0';
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const dvk_use class = dvk_use_class(&plan->ops[i].use);
        bool seen = false;
        for (uint32_t j = 0; j < i && !seen; j++) {
            const dvk_use other = dvk_use_class(&plan->ops[j].use);
            seen = dvk_use_equal(&class, &other);
        }
        if (!seen)
            print(&out, "%s = %s\n", dvk_use_name(&class, name), plan->ops[i].variant->name);
    }
    return out.length;
}
