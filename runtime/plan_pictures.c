/* The ops that a host's pictures go through. */
#include "plan_ops.h"

static uint32_t out_of(const dvk_source_pass *pass) {
    return pass->width * pass->height;
}

/* At most: the sum over a pass's outputs of their taps. */
static uint64_t flops_of(const dvk_source_pass *pass) {
    return 6ull * out_of(pass) * pass->stride;
}

void dvk_add_sources(dvk_plan_builder *build) {
    dvk_plan *plan = build->plan;
    const dvk_source *made = &plan->source;
    const dvk_source_desc *source = &made->desc;
    const dvk_source_pass *first = &made->passes[0], *second = &made->passes[1];
    const bool image = source->kind == DVK_SOURCE_IMAGE;
    const uint64_t between = out_of(first) * (made->floats ? 12ull : 4ull), table = 4ull * made->table_words;
    plan->buffer_bytes[DVK_PLAN_RESIZE] = table;
    if (plan->buffer_bytes[DVK_PLAN_WIDE] < between)
        plan->buffer_bytes[DVK_PLAN_WIDE] = between;
    for (uint32_t i = 0; i < plan->batch; i++) {
        dvk_op *op = dvk_add_op(build, image ? DVK_KERNEL_SOURCE_IMAGE : DVK_KERNEL_SOURCE_BUFFER, (dvk_shape){0},
                                (dvk_specialisation){0}, "source");
        if (!op)
            return;
        dvk_bind(build, op, DVK_PLAN_SOURCE + i, false, 0, image ? 1 : made->source_bytes);
        dvk_bind(build, op, DVK_PLAN_RESIZE, false, 0, table);
        dvk_bind(build, op, DVK_PLAN_WIDE, true, 0, between);
        op->push.source = (dvk_push_source){.width = first->width,
                                            .height = first->height,
                                            .vertical = first->vertical,
                                            .across = first->across,
                                            .pairs = first->pairs,
                                            .weights = first->weights,
                                            .stride = first->stride,
                                            .floats = made->floats,
                                            .linear = made->linear,
                                            .packing = source->kind,
                                            .row_pitch = (uint32_t)source->row_pitch,
                                            .plane_pitch = (uint32_t)source->plane_pitch};
        op->bytes = 4ull * source->region_width * source->region_height + between;
        dvk_finish_op(build, op, sizeof(dvk_push_source), flops_of(first));

        op = dvk_add_op(build, DVK_KERNEL_RESAMPLE, (dvk_shape){0}, (dvk_specialisation){0}, "resize");
        if (!op)
            return;
        dvk_bind(build, op, DVK_PLAN_WIDE, false, 0, between);
        dvk_bind(build, op, DVK_PLAN_RESIZE, false, 0, table);
        const uint64_t target = i * plan->pixel_stride, before = target % 256; /* images may lie dense */
        dvk_bind(build, op, DVK_PLAN_PIXELS, true, target - before, before + 12ull * out_of(second));
        op->push.resample = (dvk_push_resample){.width = second->width,
                                                .height = second->height,
                                                .vertical = second->vertical,
                                                .pairs = second->pairs,
                                                .weights = second->weights,
                                                .stride = second->stride,
                                                .floats = made->floats,
                                                .in_width = first->width,
                                                .out_first = (uint32_t)(before / 4),
                                                .scale = made->scale};
        for (uint32_t c = 0; c < 3; c++) {
            op->push.resample.mean[c] = made->mean[c];
            op->push.resample.deviation[c] = made->deviation[c];
        }
        dvk_finish_op(build, op, sizeof(dvk_push_resample), flops_of(second));
    }
}
