/* The ops that make what a host finds on the device after a pass. */
#include "plan_ops.h"
#include "targets.h"

/* Binds `size` bytes from `offset` on, which need not be a multiple of what offsets must be; returns the floats that
 * lie before them in the binding. */
static uint32_t bind_from(dvk_plan_builder *build, dvk_op *op, uint32_t buffer, uint64_t offset, uint64_t size) {
    const uint64_t before = offset % 256;
    dvk_bind(build, op, buffer, false, offset - before, before + size);
    return (uint32_t)(before / 4);
}

static uint32_t patches_of(const dvk_plan *plan) {
    return plan->grid_width * plan->grid_height;
}

/* The patch tokens of an image. */
static uint32_t bind_patches(dvk_plan_builder *build, dvk_op *op, uint32_t image) {
    const dvk_plan *plan = build->plan;
    const uint64_t row = 4ull * build->hidden_size;
    return bind_from(build, op, plan->last_buffer, (image * (uint64_t)plan->tokens + plan->prefix) * row,
                     patches_of(plan) * row);
}

static void add_copy(dvk_plan_builder *build, uint32_t index, const dvk_target_desc *desc) {
    const dvk_plan *plan = build->plan;
    const dvk_plan_output *place = &plan->outputs[desc->output];
    const uint32_t count = place->shape[0] * (place->rank == 2 ? place->shape[1] : 1);
    dvk_op *op = dvk_add_op(build, DVK_KERNEL_COPY, (dvk_shape){0}, (dvk_specialisation){0}, "to the host's buffer");
    if (!op)
        return;
    op->push.copy = (dvk_push_copy){
        .images = plan->batch,
        .count = count,
        .stride = (uint32_t)(place->image_stride / 4),
    };
    op->push.copy.first =
        bind_from(build, op, place->buffer, place->offset, (plan->batch - 1) * place->image_stride + 4ull * count);
    dvk_bind(build, op, DVK_PLAN_TARGET + index, true, 0, 4ull * plan->batch * count);
    dvk_finish_op(build, op, sizeof(dvk_push_copy), 0);
}

static void add_attention_scores(dvk_plan_builder *build, const dvk_plan_target *target) {
    const dvk_plan *plan = build->plan;
    const dvk_plan_output *place = &plan->outputs[DVK_OUTPUT_ATTENTION];
    const uint32_t first_head = target->desc.head ? target->desc.head - 1 : 0;
    const uint32_t heads = target->desc.head ? 1 : place->shape[0];
    const uint64_t row = 4ull * plan->tokens;
    dvk_op *op =
        dvk_add_op(build, DVK_KERNEL_ATTENTION_SCORES, (dvk_shape){0}, (dvk_specialisation){0}, "attention to patches");
    if (!op)
        return;
    op->push.attention_scores =
        (dvk_push_attention_scores){.patches = patches_of(plan), .heads = heads, .stride = plan->tokens};
    op->push.attention_scores.first =
        plan->prefix + bind_from(build, op, place->buffer,
                                 place->offset + target->desc.image * place->image_stride + first_head * row,
                                 heads * row);
    dvk_bind(build, op, DVK_PLAN_PICTURES, true, target->scores, 16ull * patches_of(plan));
    dvk_finish_op(build, op, sizeof(dvk_push_attention_scores), (uint64_t)patches_of(plan) * heads);
}

static void add_projection(dvk_plan_builder *build, const dvk_plan_target *target) {
    const dvk_plan *plan = build->plan;
    dvk_op *op = dvk_add_op(build, DVK_KERNEL_PROJECT, (dvk_shape){0}, (dvk_specialisation){0}, "principal components");
    if (!op)
        return;
    op->push.project = (dvk_push_project){.tokens = patches_of(plan), .columns = build->hidden_size};
    op->push.project.first = bind_patches(build, op, target->desc.image);
    dvk_bind(build, op, DVK_PLAN_PICTURES, false, target->basis, 20ull * build->hidden_size);
    dvk_bind(build, op, DVK_PLAN_PICTURES, true, target->scores, 16ull * patches_of(plan));
    dvk_finish_op(build, op, sizeof(dvk_push_project), 8ull * patches_of(plan) * build->hidden_size);
}

static void add_orthonormalise(dvk_plan_builder *build, const dvk_plan_target *target, uint64_t from) {
    dvk_op *op =
        dvk_add_op(build, DVK_KERNEL_ORTHONORMALISE, (dvk_shape){0}, (dvk_specialisation){0}, "orthonormalise");
    if (!op)
        return;
    op->push.orthonormalise = (dvk_push_orthonormalise){.columns = build->hidden_size};
    dvk_bind(build, op, DVK_PLAN_PICTURES, false, from, 16ull * build->hidden_size);
    dvk_bind(build, op, DVK_PLAN_PICTURES, true, target->basis, 20ull * build->hidden_size);
    dvk_finish_op(build, op, sizeof(dvk_push_orthonormalise), 80ull * build->hidden_size);
}

static void add_covary(dvk_plan_builder *build, const dvk_plan_target *target) {
    const dvk_plan *plan = build->plan;
    dvk_op *op = dvk_add_op(build, DVK_KERNEL_COVARY, (dvk_shape){0}, (dvk_specialisation){0}, "covariance");
    if (!op)
        return;
    op->push.covary = (dvk_push_covary){.tokens = patches_of(plan), .columns = build->hidden_size};
    op->push.covary.first = bind_patches(build, op, target->desc.image);
    dvk_bind(build, op, DVK_PLAN_PICTURES, false, target->basis, 4ull * build->hidden_size);
    dvk_bind(build, op, DVK_PLAN_PICTURES, false, target->scores, 16ull * patches_of(plan));
    dvk_bind(build, op, DVK_PLAN_PICTURES, true, target->next, 16ull * build->hidden_size);
    dvk_finish_op(build, op, sizeof(dvk_push_covary), 8ull * patches_of(plan) * build->hidden_size);
}

static void add_mean_of_patches(dvk_plan_builder *build, const dvk_plan_target *target) {
    const dvk_plan *plan = build->plan;
    dvk_op *op = dvk_add_op(build, DVK_KERNEL_MEAN, (dvk_shape){0}, (dvk_specialisation){0}, "mean of patches");
    if (!op)
        return;
    const uint64_t image_bytes = 4ull * plan->tokens * build->hidden_size;
    const uint64_t first = target->desc.image * image_bytes, before = first % 256;
    /* The kernel counts rows from where it is bound: whole rows lie before the image, or the image is bound itself. */
    const uint32_t rows = before ? target->desc.image * plan->tokens : 0;
    dvk_bind(build, op, plan->last_buffer, false, before ? 0 : first, before ? first + image_bytes : image_bytes);
    dvk_bind(build, op, DVK_PLAN_PICTURES, true, target->basis, 4ull * build->hidden_size);
    op->push.mean =
        (dvk_push_mean){.tokens = rows + plan->tokens, .first = rows + plan->prefix, .columns = build->hidden_size};
    dvk_finish_op(build, op, sizeof(dvk_push_mean), (uint64_t)plan->tokens * build->hidden_size);
}

/* Orthogonal iteration with a block of four (Golub and Van Loan, "Matrix Computations", 8.2.4), always from the same
 * start, so that a pass depends on nothing before it. What remains of the error falls by the ratio of the fifth
 * variance to the third with each step. */
enum { PCA_STEPS = 12 };

static void add_search(dvk_plan_builder *build, const dvk_plan_target *target) {
    add_mean_of_patches(build, target);
    add_orthonormalise(build, target, target->start);
    for (uint32_t i = 0; i < PCA_STEPS; i++) {
        add_projection(build, target);
        add_covary(build, target);
        add_orthonormalise(build, target, target->next);
    }
}

/* The scores turn to the directions of the largest variance. */
static void add_align(dvk_plan_builder *build, const dvk_plan_target *target) {
    const dvk_plan *plan = build->plan;
    dvk_op *op = dvk_add_op(build, DVK_KERNEL_ALIGN, (dvk_shape){0}, (dvk_specialisation){0}, "largest variance");
    if (!op)
        return;
    op->push.align = (dvk_push_align){.tokens = patches_of(plan), .columns = build->hidden_size};
    dvk_bind(build, op, DVK_PLAN_PICTURES, false, target->basis, 20ull * build->hidden_size);
    dvk_bind(build, op, DVK_PLAN_PICTURES, true, target->scores, 16ull * patches_of(plan));
    dvk_finish_op(build, op, sizeof(dvk_push_align), 32ull * patches_of(plan));
}

/* percent of the values are below. */
static void set_percentile(uint32_t count, double percent, uint32_t *rank, float *fraction) {
    const double position = percent / 100.0 * (count - 1);
    *rank = (uint32_t)position;
    *fraction = (float)(position - *rank);
}

static void add_spread(dvk_plan_builder *build, const dvk_plan_target *target, double percent) {
    const uint32_t patches = patches_of(build->plan);
    dvk_op *op = dvk_add_op(build, DVK_KERNEL_SPREAD, (dvk_shape){0}, (dvk_specialisation){0}, "spread");
    if (!op)
        return;
    dvk_push_spread push = {.count = patches};
    set_percentile(patches, percent, &push.low_rank, &push.low_fraction);
    set_percentile(patches, 100.0 - percent, &push.high_rank, &push.high_fraction);
    op->push.spread = push;
    dvk_bind(build, op, DVK_PLAN_PICTURES, false, target->scores, 16ull * patches);
    dvk_bind(build, op, DVK_PLAN_PICTURES, true, target->spread, 3 * 8);
    /* 32 bits, each a walk over all scores */
    dvk_finish_op(build, op, sizeof(dvk_push_spread), 3 * 32ull * patches);
}

static void add_picture(dvk_plan_builder *build, uint32_t index, const dvk_plan_target *target, float flat) {
    const dvk_plan *plan = build->plan;
    const dvk_target_desc *desc = &target->desc;
    dvk_kernel kernel;
    if (!dvk_target_kernel(desc->kind, desc->format, &kernel))
        return; /* dvk_targets_check() has refused it */
    dvk_op *op = dvk_add_op(build, kernel, (dvk_shape){0}, (dvk_specialisation){0}, "picture");
    if (!op)
        return;
    const uint32_t width = desc->width ? desc->width : plan->grid_width;
    const uint32_t height = desc->height ? desc->height : plan->grid_height;
    op->push.picture = (dvk_push_picture){.width = width,
                                          .height = height,
                                          .grid_width = plan->grid_width,
                                          .grid_height = plan->grid_height,
                                          .bilinear = desc->filter == DVK_TARGET_BILINEAR,
                                          .flat_value = flat};
    dvk_bind(build, op, DVK_PLAN_PICTURES, false, target->scores, 16ull * patches_of(plan));
    dvk_bind(build, op, DVK_PLAN_PICTURES, false, target->spread, 3 * 8);
    dvk_bind(build, op, DVK_PLAN_TARGET + index, true, 0, 1);
    op->bytes += 4ull * width * height;
    dvk_finish_op(build, op, sizeof(dvk_push_picture), 16ull * width * height);
}

static void add_features(dvk_plan_builder *build, uint32_t index, const dvk_target_desc *desc) {
    const dvk_plan *plan = build->plan;
    dvk_kernel kernel;
    if (!dvk_target_kernel(desc->kind, desc->format, &kernel))
        return;
    dvk_op *op = dvk_add_op(build, kernel, (dvk_shape){0}, (dvk_specialisation){0}, "features as an image");
    if (!op)
        return;
    op->push.features =
        (dvk_push_features){.patches = patches_of(plan), .grid_width = plan->grid_width, .columns = build->hidden_size};
    op->push.features.first = bind_patches(build, op, desc->image);
    dvk_bind(build, op, DVK_PLAN_TARGET + index, true, 0, 1);
    op->bytes += 8ull * patches_of(plan) * build->hidden_size;
    dvk_finish_op(build, op, sizeof(dvk_push_features), 0);
}

/* Room in PICTURES, at a bindable offset. */
static uint64_t place(dvk_plan *plan, uint64_t bytes) {
    const uint64_t offset = dvk_round_up(plan->buffer_bytes[DVK_PLAN_PICTURES], 256);
    plan->buffer_bytes[DVK_PLAN_PICTURES] = offset + bytes;
    return offset;
}

void dvk_add_targets(dvk_plan_builder *build) {
    dvk_plan *plan = build->plan;
    plan->target_count = build->request->target_count;
    for (uint32_t i = 0; i < plan->target_count; i++) {
        dvk_plan_target *target = &plan->targets[i];
        const dvk_target_desc *desc = &build->request->targets[i];
        *target = (dvk_plan_target){.desc = *desc};
        if (desc->kind == DVK_TARGET_BUFFER) {
            add_copy(build, i, desc);
            continue;
        }
        if (desc->kind == DVK_TARGET_FEATURES) {
            add_features(build, i, desc);
            continue;
        }
        target->scores = place(plan, 16ull * patches_of(plan));
        target->spread = place(plan, 3 * 8);
        if (desc->kind == DVK_TARGET_ATTENTION) {
            add_attention_scores(build, target);
            add_spread(build, target, 0.0);
            add_picture(build, i, target, 0.0f);
        } else {
            target->basis = place(plan, 20ull * build->hidden_size);
            if (!desc->basis) {
                target->start = place(plan, 16ull * build->hidden_size);
                target->next = place(plan, 16ull * build->hidden_size);
                add_search(build, target);
            }
            add_projection(build, target);
            if (!desc->basis)
                add_align(build, target);
            add_spread(build, target, 1.0);
            add_picture(build, i, target, 0.5f);
        }
    }
}
