#include "plan_ops.h"

#include <stdio.h>
#include <string.h>

uint64_t dvk_round_up(uint64_t value, uint64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

uint32_t dvk_tiles(uint32_t count, uint32_t tile) {
    return (count + tile - 1) / tile;
}

static void fail_range(dvk_plan_builder *build, const char *label, uint64_t bytes) {
    if (build->status == DVK_OK)
        build->status =
            dvk_fail(build->error, DVK_ERROR_UNSUPPORTED,
                     "%s needs a shader binding of %llu bytes at a multiple of 256, and the device binds at "
                     "most %llu: use a smaller size or batch",
                     label, (unsigned long long)bytes, (unsigned long long)build->request->max_range);
}

uint32_t dvk_count_groups(const dvk_op *op) {
    const dvk_variant *variant = op->variant;
    switch (op->use.kernel) {
    case DVK_KERNEL_PATCHIFY:
        return dvk_tiles(op->push.patchify.rows * (op->push.patchify.depth / 4), variant->local_size);
    case DVK_KERNEL_MATMUL:
        return dvk_tiles(op->push.matmul.rows, variant->tile_rows) *
               dvk_tiles(op->push.matmul.columns, variant->tile_columns);
    case DVK_KERNEL_LAYERNORM:
        return dvk_tiles(op->push.layernorm.rows, variant->tile_rows);
    case DVK_KERNEL_ATTENTION:
        return op->images * op->push.attention.heads * dvk_tiles(op->push.attention.queries, variant->tile_rows);
    case DVK_KERNEL_ATTENTION_ROW:
        return op->images * op->push.attention_row.heads;
    case DVK_KERNEL_MEAN:
        return op->images * dvk_tiles(op->push.mean.columns, 4 * variant->local_size);
    case DVK_KERNEL_ROTATE: {
        const dvk_push_rotate *push = &op->push.rotate;
        uint64_t pairs = (uint64_t)push->images * (push->tokens - push->prefix) * push->heads * (push->head_dim / 2);
        return dvk_tiles((uint32_t)(pairs / 4), variant->local_size);
    }
    case DVK_KERNEL_SOURCE_IMAGE:
    case DVK_KERNEL_SOURCE_BUFFER:
        return dvk_tiles(op->push.source.width * op->push.source.height, variant->local_size);
    case DVK_KERNEL_RESAMPLE:
        return dvk_tiles(op->push.resample.width * op->push.resample.height, variant->local_size);
    case DVK_KERNEL_COPY:
        return dvk_tiles(op->push.copy.images * op->push.copy.count, variant->local_size);
    case DVK_KERNEL_ATTENTION_SCORES:
        return dvk_tiles(op->push.attention_scores.patches, variant->local_size);
    case DVK_KERNEL_PROJECT:
        return op->push.project.tokens;
    case DVK_KERNEL_COVARY:
        return dvk_tiles(op->push.covary.columns, variant->local_size / 8);
    case DVK_KERNEL_ORTHONORMALISE:
    case DVK_KERNEL_ALIGN:
        return 1;
    case DVK_KERNEL_SPREAD:
        return 3;
    case DVK_KERNEL_PICTURE_RGBA8:
    case DVK_KERNEL_PICTURE_RGBA16F:
    case DVK_KERNEL_PICTURE_RGBA32F:
    case DVK_KERNEL_PICTURE_R32F:
        return dvk_tiles(op->push.picture.width * op->push.picture.height, variant->local_size);
    case DVK_KERNEL_FEATURES_RGBA16F:
    case DVK_KERNEL_FEATURES_RGBA32F:
        return dvk_tiles(op->push.features.patches * (op->push.features.columns / 4), variant->local_size);
    case DVK_KERNEL_COUNT:
        break;
    }
    return 0;
}

dvk_op *dvk_add_op(dvk_plan_builder *build, dvk_kernel kernel, dvk_shape shape, dvk_specialisation specialisation,
                   const char *label) {
    dvk_plan *plan = build->plan;
    const dvk_use use = {kernel, build->request->weights->type, shape};
    const dvk_variant *variant = NULL;
    if (build->status == DVK_OK)
        build->status = dvk_variant_choose(build->request->context, &use, &variant, build->error);
    if (build->status != DVK_OK)
        return NULL;
    if (plan->op_count == plan->op_capacity) {
        uint32_t capacity = plan->op_capacity ? 2 * plan->op_capacity : 128;
        dvk_op *ops =
            dvk_reallocate(plan->allocator, plan->ops, plan->op_count * sizeof(*ops), capacity * sizeof(*ops));
        if (!ops) {
            build->status = dvk_fail_memory(build->error, capacity * sizeof(*ops));
            return NULL;
        }
        plan->ops = ops;
        plan->op_capacity = capacity;
    }
    dvk_op *op = &plan->ops[plan->op_count++];
    memset(op, 0, sizeof(*op));
    snprintf(op->label, sizeof(op->label), "%s", label);
    op->use = use;
    op->variant = variant;
    op->specialisation = specialisation;
    op->images = 1;
    return op;
}

void dvk_bind(dvk_plan_builder *build, dvk_op *op, uint32_t buffer, bool writes, uint64_t offset, uint64_t size) {
    if (size > build->request->max_range || offset % build->request->offset_alignment)
        fail_range(build, op->label, size);
    op->bindings[op->binding_count++] = (dvk_binding){buffer, writes, offset, size};
    op->bytes += size;
}

static void bind_weights(dvk_plan_builder *build, dvk_op *op, const dvk_slice *slice) {
    dvk_bind(build, op, DVK_PLAN_WEIGHTS + slice->block, false, slice->offset, slice->size);
}

void dvk_finish_op(dvk_plan_builder *build, dvk_op *op, size_t push_bytes, uint64_t flops) {
    op->push.groups.first_group = 0;
    op->push.groups.group_end = dvk_count_groups(op);
    op->push_bytes = (uint32_t)push_bytes;
    op->flops = flops;
    build->plan->flops += flops;
}

/* How many of `rows` one op may take when a row of its widest operand has `row_bytes`: all of them, or as many as the
 * device binds, in steps of 64 rows where a single row is not a multiple of the 256 bytes that offsets must be. */
static uint32_t rows_per_op(dvk_plan_builder *build, const char *label, uint32_t rows, uint64_t row_bytes) {
    uint64_t most = build->request->max_range / row_bytes;
    if (most >= rows)
        return rows;
    if (row_bytes % 256)
        most = most / 64 * 64;
    if (!most)
        fail_range(build, label, row_bytes);
    return most ? (uint32_t)most : rows;
}

/* Ops over whole images take the batch at once where every operand can be bound, else image by image. */
static uint32_t images_per_op(const dvk_plan_builder *build, uint64_t image_bytes) {
    uint32_t batch = build->plan->batch;
    return image_bytes * batch <= build->request->max_range ? batch : 1;
}

/* How many images an op takes that reads all of their pixels and writes all of their patches, or could. */
static uint32_t images_of_pixels(const dvk_plan_builder *build, uint32_t depth) {
    const dvk_plan *plan = build->plan;
    uint64_t image_bytes = 12ull * plan->width * plan->height, patch_bytes = 4ull * plan->tokens * depth;
    return images_per_op(build, image_bytes > patch_bytes ? image_bytes : patch_bytes);
}

/* The rows of the product that the op's first one counts from. */
static uint32_t bind_factor(dvk_plan_builder *build, dvk_op *op, const dvk_matmul_op *product, uint32_t first_row,
                            uint32_t rows) {
    const dvk_plan *plan = build->plan;
    if (!product->patch_size) {
        uint64_t floats = (uint64_t)(rows - 1) * product->a_stride + product->depth;
        dvk_bind(build, op, product->a_buffer, false, product->a_offset + (uint64_t)first_row * product->a_stride * 4,
                 floats * 4);
        return 0;
    }
    const uint32_t images = images_of_pixels(build, product->depth);
    const uint32_t image = first_row / plan->tokens / images * images;
    dvk_bind(build, op, DVK_PLAN_PIXELS, false, image * plan->pixel_stride,
             12ull * plan->width * plan->height * images);
    return image * plan->tokens;
}

static void add_matmul_part(dvk_plan_builder *build, const dvk_matmul_op *product, uint32_t first_row, uint32_t rows,
                            uint32_t first_column, uint32_t columns, uint64_t out_offset) {
    dvk_specialisation specialisation = {
        .activation = product->activation, .residual = product->residual, .patch_size = product->patch_size};
    dvk_op *op = dvk_add_op(build, DVK_KERNEL_MATMUL, (dvk_shape){rows, columns, product->depth, 0}, specialisation,
                            product->label);
    if (!op)
        return;
    uint32_t plane_columns = product->plane_columns ? product->plane_columns : product->columns;
    uint64_t planes = columns / plane_columns;
    uint64_t out_floats =
        (planes - 1) * build->plane_stride + (uint64_t)(rows - 1) * product->out_stride + plane_columns;
    bool table = product->residual == DVK_RESIDUAL_TABLE;
    const uint32_t base = bind_factor(build, op, product, first_row, rows);
    bind_weights(build, op, product->weights);
    if (table)
        dvk_bind(build, op, DVK_PLAN_TABLE, false, 0, (uint64_t)build->plan->tokens * build->hidden_size * 4);
    else
        bind_weights(build, op, product->weights); /* unused, but every binding must be a valid one */
    dvk_bind(build, op, product->out_buffer, true, out_offset + (uint64_t)first_row * product->out_stride * 4,
             out_floats * 4);
    op->push.matmul = (dvk_push_matmul){
        .rows = rows,
        .columns = columns,
        .depth = product->depth,
        .a_stride = product->a_stride,
        .w_stride = product->weights->stride,
        .first_column = first_column,
        .out_stride = product->out_stride,
        .plane_columns = plane_columns,
        .plane_stride = (uint32_t)build->plane_stride,
        .table_rows = table ? build->plan->tokens : 1,
        .first_row = first_row - base,
    };
    if (product->patch_size) {
        op->push.matmul.prefix = build->plan->prefix;
        op->push.matmul.grid_width = build->plan->grid_width;
        op->push.matmul.a_plane = build->plan->width * build->plan->height;
    }
    dvk_finish_op(build, op, sizeof(dvk_push_matmul), 2ull * rows * columns * product->depth);
}

void dvk_add_matmul(dvk_plan_builder *build, const dvk_matmul_op *product) {
    uint64_t widest = product->a_stride > product->out_stride ? product->a_stride : product->out_stride;
    uint32_t planes = product->plane_columns ? product->columns / product->plane_columns : 1;
    bool together = planes * build->plane_stride * 4 <= build->request->max_range;
    if (planes > 1 && together) {
        add_matmul_part(build, product, 0, product->rows, 0, product->columns, product->out_offset);
        return;
    }
    uint32_t columns = product->columns / planes;
    uint32_t step = rows_per_op(build, product->label, product->rows, widest * 4);
    for (uint32_t plane = 0; plane < planes; plane++)
        for (uint32_t row = 0; row < product->rows; row += step)
            add_matmul_part(build, product, row, product->rows - row < step ? product->rows - row : step,
                            plane * columns, columns, product->out_offset + plane * build->plane_stride * 4);
}

void dvk_add_layernorm(dvk_plan_builder *build, const dvk_layernorm_op *norm) {
    uint64_t in_bytes = norm->in_stride * 4ull, out_bytes = build->hidden_size * 4ull;
    uint32_t step = rows_per_op(build, norm->label, norm->rows, in_bytes);
    for (uint32_t row = 0; row < norm->rows; row += step) {
        uint32_t rows = norm->rows - row < step ? norm->rows - row : step;
        dvk_op *op = dvk_add_op(build, DVK_KERNEL_LAYERNORM, (dvk_shape){rows, build->hidden_size, 0, 0},
                                (dvk_specialisation){0}, norm->label);
        if (!op)
            return;
        dvk_bind(build, op, norm->in_buffer, false, norm->in_offset + row * in_bytes,
                 (rows - 1) * in_bytes + out_bytes);
        bind_weights(build, op, norm->parameters);
        dvk_bind(build, op, norm->out_buffer, true, norm->out_offset + row * out_bytes, rows * out_bytes);
        op->push.layernorm = (dvk_push_layernorm){
            .rows = rows,
            .columns = build->hidden_size,
            .in_stride = norm->in_stride,
            .epsilon = build->request->config->layer_norm_eps,
        };
        dvk_finish_op(build, op, sizeof(dvk_push_layernorm), 8ull * rows * build->hidden_size);
    }
}

void dvk_place_pixels(dvk_plan_builder *build, uint32_t depth) {
    dvk_plan *plan = build->plan;
    uint64_t image_bytes = 12ull * plan->width * plan->height;
    plan->pixel_stride = images_of_pixels(build, depth) == plan->batch ? image_bytes : dvk_round_up(image_bytes, 256);
    plan->buffer_bytes[DVK_PLAN_PIXELS] = plan->pixel_stride * plan->batch;
}

static void add_patchify(dvk_plan_builder *build, uint32_t depth) {
    dvk_plan *plan = build->plan;
    uint64_t image_bytes = 12ull * plan->width * plan->height;
    uint64_t patch_bytes = 4ull * plan->tokens * depth;
    uint32_t images = images_of_pixels(build, depth);
    for (uint32_t image = 0; image < plan->batch; image += images) {
        dvk_op *op = dvk_add_op(build, DVK_KERNEL_PATCHIFY, (dvk_shape){0}, (dvk_specialisation){0}, "patches");
        if (!op)
            return;
        dvk_bind(build, op, DVK_PLAN_PIXELS, false, image * plan->pixel_stride, image_bytes * images);
        dvk_bind(build, op, DVK_PLAN_WIDE, true, image * patch_bytes, patch_bytes * images);
        op->push.patchify = (dvk_push_patchify){
            .rows = images * plan->tokens,
            .tokens = plan->tokens,
            .prefix = plan->prefix,
            .grid_width = plan->grid_width,
            .width = plan->width,
            .height = plan->height,
            .patch_size = build->request->config->patch_size,
            .depth = depth,
        };
        dvk_finish_op(build, op, sizeof(dvk_push_patchify), 0);
    }
}

/* Whether the variant of a product of so many rows can read them out of the images. */
static bool reads_pixels(const dvk_plan_builder *build, const dvk_matmul_op *product, uint32_t rows) {
    const dvk_use use = {DVK_KERNEL_MATMUL, build->request->weights->type, {rows, product->columns, product->depth, 0}};
    const dvk_variant *variant;
    return dvk_variant_choose(build->request->context, &use, &variant, NULL) == DVK_OK && variant->reads_pixels;
}

void dvk_add_patch_product(dvk_plan_builder *build, const dvk_matmul_op *product) {
    const dvk_plan *plan = build->plan;
    const uint32_t patch_size = build->request->config->patch_size;
    const uint32_t images = images_of_pixels(build, product->depth), rows = images * plan->tokens;
    const uint64_t row_bytes = 4ull * product->out_stride;
    const uint32_t step = rows_per_op(build, product->label, rows, row_bytes);
    const bool aligned = patch_size % 4 == 0 && plan->width % 4 == 0;
    const bool bindable = images == plan->batch || rows * row_bytes % build->request->offset_alignment == 0;
    if (!aligned || !bindable || !reads_pixels(build, product, step) ||
        (rows % step && !reads_pixels(build, product, rows % step))) {
        add_patchify(build, product->depth);
        dvk_add_matmul(build, product);
        return;
    }
    dvk_matmul_op direct = *product;
    direct.patch_size = patch_size;
    direct.a_stride = plan->width;
    for (uint32_t first = 0; first < plan->batch * plan->tokens; first += rows)
        for (uint32_t row = 0; row < rows; row += step)
            add_matmul_part(build, &direct, first + row, rows - row < step ? rows - row : step, 0, product->columns,
                            product->out_offset);
}

typedef struct attention {
    const char *label;
    const dvk_slice *query; /* NULL: plane 0 */
    uint32_t key_plane, queries, out_buffer;
} attention;

static void add_attention(dvk_plan_builder *build, const attention *what) {
    const dvk_plan *plan = build->plan;
    const dvk_vit_config *config = build->request->config;
    uint64_t image_bytes = 4ull * plan->tokens * build->hidden_size, plane = build->plane_stride * 4;
    uint64_t out_bytes = 4ull * what->queries * build->hidden_size;
    uint32_t images = images_per_op(build, image_bytes);
    for (uint32_t image = 0; image < plan->batch; image += images) {
        const dvk_shape shape = {what->queries, plan->tokens, config->head_dim, images * config->heads};
        dvk_op *op = dvk_add_op(build, DVK_KERNEL_ATTENTION, shape, (dvk_specialisation){.head_dim = config->head_dim},
                                what->label);
        if (!op)
            return;
        op->images = images;
        if (what->query)
            bind_weights(build, op, what->query);
        else
            dvk_bind(build, op, DVK_PLAN_WIDE, false, image * image_bytes, images * image_bytes);
        for (uint32_t part = 0; part < 2; part++) /* key, value */
            dvk_bind(build, op, DVK_PLAN_WIDE, false, (what->key_plane + part) * plane + image * image_bytes,
                     images * image_bytes);
        dvk_bind(build, op, what->out_buffer, true, image * out_bytes, images * out_bytes);
        op->push.attention = (dvk_push_attention){.tokens = plan->tokens,
                                                  .heads = config->heads,
                                                  .row_stride = build->hidden_size,
                                                  .queries = what->queries,
                                                  .query_step = what->query ? 0 : what->queries};
        dvk_finish_op(build, op, sizeof(dvk_push_attention),
                      4ull * images * what->queries * plan->tokens * build->hidden_size);
    }
}

void dvk_add_attention(dvk_plan_builder *build, const char *label) {
    add_attention(build, &(attention){label, NULL, 1, build->plan->tokens, DVK_PLAN_NORMED});
}

void dvk_add_pool_attention(dvk_plan_builder *build, const char *label, const dvk_slice *query, uint32_t out_buffer) {
    add_attention(build, &(attention){label, query, 0, 1, out_buffer});
}

void dvk_add_rotate(dvk_plan_builder *build, const char *label, uint32_t plane) {
    const dvk_plan *plan = build->plan;
    const dvk_vit_config *config = build->request->config;
    uint64_t image_bytes = 4ull * plan->tokens * build->hidden_size;
    uint32_t images = images_per_op(build, image_bytes), patches = plan->tokens - plan->prefix;
    for (uint32_t image = 0; image < plan->batch; image += images) {
        dvk_op *op = dvk_add_op(build, DVK_KERNEL_ROTATE, (dvk_shape){0}, (dvk_specialisation){0}, label);
        if (!op)
            return;
        dvk_bind(build, op, DVK_PLAN_WIDE, true, plane * build->plane_stride * 4 + image * image_bytes,
                 images * image_bytes);
        dvk_bind(build, op, DVK_PLAN_ANGLES, false, 0, plan->buffer_bytes[DVK_PLAN_ANGLES]);
        op->push.rotate = (dvk_push_rotate){.images = images,
                                            .tokens = plan->tokens,
                                            .prefix = plan->prefix,
                                            .heads = config->heads,
                                            .head_dim = config->head_dim,
                                            .row_stride = build->hidden_size};
        uint64_t pairs = (uint64_t)images * patches * build->hidden_size / 2;
        dvk_finish_op(build, op, sizeof(dvk_push_rotate), 6 * pairs);
    }
}

/* Room in RESULTS for `floats` of each image, either dense or image by image at bindable offsets. */
uint64_t dvk_place_result(dvk_plan *plan, dvk_output output, uint64_t floats, bool dense) {
    uint64_t *used = &plan->buffer_bytes[DVK_PLAN_RESULTS];
    uint64_t offset = dvk_round_up(*used, 256);
    plan->outputs[output].buffer = DVK_PLAN_RESULTS;
    plan->outputs[output].offset = offset;
    plan->outputs[output].image_stride = dense ? floats * 4 : dvk_round_up(floats * 4, 256);
    *used = offset + plan->outputs[output].image_stride * plan->batch;
    return offset;
}

void dvk_add_attention_row(dvk_plan_builder *build) {
    dvk_plan *plan = build->plan;
    const dvk_vit_config *config = build->request->config;
    uint64_t image_bytes = 4ull * plan->tokens * build->hidden_size, plane = build->plane_stride * 4;
    uint64_t row_bytes = 4ull * config->heads * plan->tokens;
    uint32_t images = images_per_op(build, image_bytes);
    uint64_t offset =
        dvk_place_result(plan, DVK_OUTPUT_ATTENTION, (uint64_t)config->heads * plan->tokens, images == plan->batch);
    for (uint32_t image = 0; image < plan->batch; image += images) {
        const dvk_shape shape = {.depth = config->head_dim};
        dvk_op *op = dvk_add_op(build, DVK_KERNEL_ATTENTION_ROW, shape,
                                (dvk_specialisation){.head_dim = config->head_dim}, "CLS attention");
        if (!op)
            return;
        op->images = images;
        for (uint32_t part = 0; part < 2; part++) /* query, key */
            dvk_bind(build, op, DVK_PLAN_WIDE, false, part * plane + image * image_bytes, images * image_bytes);
        dvk_bind(build, op, DVK_PLAN_RESULTS, true, offset + image * plan->outputs[DVK_OUTPUT_ATTENTION].image_stride,
                 images * row_bytes);
        op->push.attention_row =
            (dvk_push_attention_row){.tokens = plan->tokens, .heads = config->heads, .row_stride = build->hidden_size};
        dvk_finish_op(build, op, sizeof(dvk_push_attention_row), 2ull * images * plan->tokens * build->hidden_size);
    }
}

void dvk_add_mean(dvk_plan_builder *build) {
    dvk_plan *plan = build->plan;
    uint64_t image_bytes = 4ull * plan->tokens * build->hidden_size;
    uint32_t images = images_per_op(build, image_bytes);
    uint64_t offset = dvk_place_result(plan, DVK_OUTPUT_MEAN, build->hidden_size, images == plan->batch);
    for (uint32_t image = 0; image < plan->batch; image += images) {
        dvk_op *op = dvk_add_op(build, DVK_KERNEL_MEAN, (dvk_shape){0}, (dvk_specialisation){0}, "mean of patches");
        if (!op)
            return;
        op->images = images;
        dvk_bind(build, op, plan->last_buffer, false, image * image_bytes, images * image_bytes);
        dvk_bind(build, op, DVK_PLAN_RESULTS, true, offset + image * plan->outputs[DVK_OUTPUT_MEAN].image_stride,
                 images * 4ull * build->hidden_size);
        op->push.mean = (dvk_push_mean){.tokens = plan->tokens, .first = plan->prefix, .columns = build->hidden_size};
        dvk_finish_op(build, op, sizeof(dvk_push_mean), (uint64_t)images * plan->tokens * build->hidden_size);
    }
}
