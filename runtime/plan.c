#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ops fail inside deep loops, so the builder keeps the first failure and turns the later steps into nothing. */
typedef struct builder {
    const dvk_plan_request *request;
    dvk_plan *plan;
    dvk_result status;
    dvk_error *error;
    uint32_t rows;         /* batch * tokens */
    uint32_t hidden_size;  /* D */
    uint64_t plane_stride; /* floats from the query plane to the key plane to the value plane */
} builder;

static uint64_t round_up(uint64_t value, uint64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

static uint32_t tiles(uint32_t count, uint32_t tile) {
    return (count + tile - 1) / tile;
}

static void fail_range(builder *build, const char *label, uint64_t bytes) {
    if (build->status == DVK_OK)
        build->status =
            dvk_fail(build->error, DVK_ERROR_UNSUPPORTED,
                     "%s needs a shader binding of %llu bytes at a multiple of 256, and the device binds at "
                     "most %llu: use a smaller size or batch",
                     label, (unsigned long long)bytes, (unsigned long long)build->request->max_range);
}

static dvk_op *add_op(builder *build, dvk_kernel kernel, dvk_specialisation specialisation, const char *label) {
    dvk_plan *plan = build->plan;
    if (build->status != DVK_OK)
        return NULL;
    if (plan->op_count == plan->op_capacity) {
        uint32_t capacity = plan->op_capacity ? 2 * plan->op_capacity : 128;
        dvk_op *ops = realloc(plan->ops, capacity * sizeof(*ops));
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
    op->variant = build->request->variants[kernel];
    op->specialisation = specialisation;
    return op;
}

static void bind(builder *build, dvk_op *op, uint32_t buffer, bool writes, uint64_t offset, uint64_t size) {
    if (size > build->request->max_range || offset % build->request->offset_alignment)
        fail_range(build, op->label, size);
    op->bindings[op->binding_count++] = (dvk_binding){buffer, writes, offset, size};
    op->bytes += size;
}

static void bind_weights(builder *build, dvk_op *op, const dvk_slice *slice) {
    bind(build, op, DVK_PLAN_WEIGHTS + slice->block, false, slice->offset, slice->size);
}

static void finish(builder *build, dvk_op *op, uint32_t groups, size_t push_bytes, uint64_t flops) {
    op->push.groups.first_group = 0;
    op->push.groups.group_end = groups;
    op->push_bytes = (uint32_t)push_bytes;
    op->flops = flops;
    build->plan->flops += flops;
}

/* How many of `rows` one op may take when a row of its widest operand has `row_bytes`: all of them, or as many as the
 * device binds, in steps of 64 rows where a single row is not a multiple of the 256 bytes that offsets must be. */
static uint32_t rows_per_op(builder *build, const char *label, uint32_t rows, uint64_t row_bytes) {
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
static uint32_t images_per_op(const builder *build, uint64_t image_bytes) {
    uint32_t batch = build->plan->batch;
    return image_bytes * batch <= build->request->max_range ? batch : 1;
}

typedef struct matmul {
    const char *label;
    const dvk_slice *weights;
    uint32_t a_buffer, out_buffer;
    uint64_t out_offset; /* bytes */
    uint32_t rows, columns, depth, a_stride, out_stride;
    uint32_t plane_columns; /* 0: one plane */
    dvk_activation activation;
    dvk_residual residual;
} matmul;

static void add_matmul_part(builder *build, const matmul *product, uint32_t first_row, uint32_t rows,
                            uint32_t first_column, uint32_t columns, uint64_t out_offset) {
    dvk_specialisation specialisation = {.activation = product->activation, .residual = product->residual};
    dvk_op *op = add_op(build, DVK_KERNEL_MATMUL, specialisation, product->label);
    if (!op)
        return;
    uint32_t plane_columns = product->plane_columns ? product->plane_columns : product->columns;
    uint64_t planes = columns / plane_columns;
    uint64_t a_floats = (uint64_t)(rows - 1) * product->a_stride + product->depth;
    uint64_t out_floats =
        (planes - 1) * build->plane_stride + (uint64_t)(rows - 1) * product->out_stride + plane_columns;
    bool table = product->residual == DVK_RESIDUAL_TABLE;
    bind(build, op, product->a_buffer, false, (uint64_t)first_row * product->a_stride * 4, a_floats * 4);
    bind_weights(build, op, product->weights);
    if (table)
        bind(build, op, DVK_PLAN_TABLE, false, 0, (uint64_t)build->plan->tokens * build->hidden_size * 4);
    else
        bind_weights(build, op, product->weights); /* unused, but every binding must be a valid one */
    bind(build, op, product->out_buffer, true, out_offset + (uint64_t)first_row * product->out_stride * 4,
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
        .first_row = first_row,
    };
    finish(build, op, tiles(rows, op->variant->tile_rows) * tiles(columns, op->variant->tile_columns),
           sizeof(dvk_push_matmul), 2ull * rows * columns * product->depth);
}

static void add_matmul(builder *build, const matmul *product) {
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

static void add_layernorm(builder *build, const char *label, const dvk_slice *parameters) {
    uint64_t row_bytes = (uint64_t)build->hidden_size * 4;
    uint32_t step = rows_per_op(build, label, build->rows, row_bytes);
    for (uint32_t row = 0; row < build->rows; row += step) {
        uint32_t rows = build->rows - row < step ? build->rows - row : step;
        dvk_op *op = add_op(build, DVK_KERNEL_LAYERNORM, (dvk_specialisation){0}, label);
        if (!op)
            return;
        bind(build, op, DVK_PLAN_HIDDEN, false, row * row_bytes, rows * row_bytes);
        bind_weights(build, op, parameters);
        bind(build, op, DVK_PLAN_NORMED, true, row * row_bytes, rows * row_bytes);
        op->push.layernorm = (dvk_push_layernorm){
            .rows = rows,
            .columns = build->hidden_size,
            .epsilon = build->request->config->layer_norm_eps,
        };
        finish(build, op, tiles(rows, op->variant->tile_rows), sizeof(dvk_push_layernorm),
               8ull * rows * build->hidden_size);
    }
}

static void add_patchify(builder *build, uint32_t depth) {
    dvk_plan *plan = build->plan;
    uint64_t image_bytes = 12ull * plan->width * plan->height;
    uint64_t patch_bytes = 4ull * plan->tokens * depth;
    uint32_t images = images_per_op(build, image_bytes > patch_bytes ? image_bytes : patch_bytes);
    plan->pixel_stride = images == plan->batch ? image_bytes : round_up(image_bytes, 256);
    plan->buffer_bytes[DVK_PLAN_PIXELS] = plan->pixel_stride * plan->batch;
    for (uint32_t image = 0; image < plan->batch; image += images) {
        dvk_op *op = add_op(build, DVK_KERNEL_PATCHIFY, (dvk_specialisation){0}, "patches");
        if (!op)
            return;
        bind(build, op, DVK_PLAN_PIXELS, false, image * plan->pixel_stride, image_bytes * images);
        bind(build, op, DVK_PLAN_WIDE, true, image * patch_bytes, patch_bytes * images);
        op->push.patchify = (dvk_push_patchify){
            .rows = images * plan->tokens,
            .tokens = plan->tokens,
            .grid_width = plan->grid_width,
            .width = plan->width,
            .height = plan->height,
            .patch_size = build->request->config->patch_size,
            .depth = depth,
        };
        finish(build, op, tiles(images * plan->tokens * (depth / 4), op->variant->local_size),
               sizeof(dvk_push_patchify), 0);
    }
}

static void add_attention(builder *build, const char *label) {
    const dvk_plan *plan = build->plan;
    const dvk_vit_config *config = build->request->config;
    uint64_t image_bytes = 4ull * plan->tokens * build->hidden_size, plane = build->plane_stride * 4;
    uint32_t images = images_per_op(build, image_bytes);
    for (uint32_t image = 0; image < plan->batch; image += images) {
        dvk_op *op = add_op(build, DVK_KERNEL_ATTENTION, (dvk_specialisation){.head_dim = config->head_dim}, label);
        if (!op)
            return;
        for (uint32_t part = 0; part < 3; part++) /* query, key, value */
            bind(build, op, DVK_PLAN_WIDE, false, part * plane + image * image_bytes, images * image_bytes);
        bind(build, op, DVK_PLAN_NORMED, true, image * image_bytes, images * image_bytes);
        op->push.attention =
            (dvk_push_attention){.tokens = plan->tokens, .heads = config->heads, .row_stride = build->hidden_size};
        finish(build, op, images * config->heads * tiles(plan->tokens, op->variant->tile_rows),
               sizeof(dvk_push_attention), 4ull * images * plan->tokens * plan->tokens * build->hidden_size);
    }
}

/* Room in RESULTS for `floats` of each image, either dense or image by image at bindable offsets. */
static uint64_t place_result(dvk_plan *plan, dvk_output output, uint64_t floats, bool dense) {
    uint64_t *used = &plan->buffer_bytes[DVK_PLAN_RESULTS];
    uint64_t offset = round_up(*used, 256);
    plan->outputs[output].buffer = DVK_PLAN_RESULTS;
    plan->outputs[output].offset = offset;
    plan->outputs[output].image_stride = dense ? floats * 4 : round_up(floats * 4, 256);
    *used = offset + plan->outputs[output].image_stride * plan->batch;
    return offset;
}

static void add_attention_row(builder *build) {
    dvk_plan *plan = build->plan;
    const dvk_vit_config *config = build->request->config;
    uint64_t image_bytes = 4ull * plan->tokens * build->hidden_size, plane = build->plane_stride * 4;
    uint64_t row_bytes = 4ull * config->heads * plan->tokens;
    uint32_t images = images_per_op(build, image_bytes);
    uint64_t offset =
        place_result(plan, DVK_OUTPUT_ATTENTION, (uint64_t)config->heads * plan->tokens, images == plan->batch);
    for (uint32_t image = 0; image < plan->batch; image += images) {
        dvk_op *op = add_op(build, DVK_KERNEL_ATTENTION_ROW, (dvk_specialisation){.head_dim = config->head_dim},
                            "CLS attention");
        if (!op)
            return;
        for (uint32_t part = 0; part < 2; part++) /* query, key */
            bind(build, op, DVK_PLAN_WIDE, false, part * plane + image * image_bytes, images * image_bytes);
        bind(build, op, DVK_PLAN_RESULTS, true, offset + image * plan->outputs[DVK_OUTPUT_ATTENTION].image_stride,
             images * row_bytes);
        op->push.attention_row =
            (dvk_push_attention_row){.tokens = plan->tokens, .heads = config->heads, .row_stride = build->hidden_size};
        finish(build, op, images * config->heads, sizeof(dvk_push_attention_row),
               2ull * images * plan->tokens * build->hidden_size);
    }
}

static void add_mean(builder *build) {
    dvk_plan *plan = build->plan;
    uint64_t image_bytes = 4ull * plan->tokens * build->hidden_size;
    uint32_t images = images_per_op(build, image_bytes);
    uint64_t offset = place_result(plan, DVK_OUTPUT_MEAN, build->hidden_size, images == plan->batch);
    for (uint32_t image = 0; image < plan->batch; image += images) {
        dvk_op *op = add_op(build, DVK_KERNEL_MEAN, (dvk_specialisation){0}, "mean of patches");
        if (!op)
            return;
        bind(build, op, DVK_PLAN_NORMED, false, image * image_bytes, images * image_bytes);
        bind(build, op, DVK_PLAN_RESULTS, true, offset + image * plan->outputs[DVK_OUTPUT_MEAN].image_stride,
             images * 4ull * build->hidden_size);
        op->push.mean = (dvk_push_mean){.tokens = plan->tokens, .columns = build->hidden_size};
        finish(build, op, images * tiles(build->hidden_size, 4 * op->variant->local_size), sizeof(dvk_push_mean),
               (uint64_t)images * plan->tokens * build->hidden_size);
    }
}

static void add_layer(builder *build, uint32_t index) {
    const dvk_vit_config *config = build->request->config;
    const dvk_layer_weights *weights = &build->request->weights->layers[index];
    uint32_t size = build->hidden_size;
    char label[48];
#define LABEL(part) (snprintf(label, sizeof(label), "layer %u " part, index), label)
    add_layernorm(build, LABEL("norm before"), &weights->norm_before);
    add_matmul(build, &(matmul){.label = LABEL("query key value"),
                                .weights = &weights->qkv,
                                .a_buffer = DVK_PLAN_NORMED,
                                .out_buffer = DVK_PLAN_WIDE,
                                .rows = build->rows,
                                .columns = 3 * size,
                                .depth = size,
                                .a_stride = size,
                                .out_stride = size,
                                .plane_columns = size});
    if (index + 1 == config->layers && (build->request->outputs & DVK_OUTPUT_BIT(DVK_OUTPUT_ATTENTION)))
        add_attention_row(build);
    add_attention(build, LABEL("attention"));
    add_matmul(build, &(matmul){.label = LABEL("attention output"),
                                .weights = &weights->attention_output,
                                .a_buffer = DVK_PLAN_NORMED,
                                .out_buffer = DVK_PLAN_HIDDEN,
                                .rows = build->rows,
                                .columns = size,
                                .depth = size,
                                .a_stride = size,
                                .out_stride = size,
                                .residual = DVK_RESIDUAL_IN_PLACE});
    add_layernorm(build, LABEL("norm after"), &weights->norm_after);
    add_matmul(build, &(matmul){.label = LABEL("intermediate"),
                                .weights = &weights->intermediate,
                                .a_buffer = DVK_PLAN_NORMED,
                                .out_buffer = DVK_PLAN_WIDE,
                                .rows = build->rows,
                                .columns = config->mlp_size,
                                .depth = size,
                                .a_stride = size,
                                .out_stride = config->mlp_size,
                                .activation = config->activation});
    add_matmul(build, &(matmul){.label = LABEL("output"),
                                .weights = &weights->output,
                                .a_buffer = DVK_PLAN_WIDE,
                                .out_buffer = DVK_PLAN_HIDDEN,
                                .rows = build->rows,
                                .columns = size,
                                .depth = config->mlp_size,
                                .a_stride = config->mlp_size,
                                .out_stride = size,
                                .residual = DVK_RESIDUAL_IN_PLACE});
#undef LABEL
}

static void set_shape(dvk_plan *plan, uint32_t outputs, dvk_output output, uint32_t rank, uint32_t first,
                      uint32_t second) {
    if (!(outputs & DVK_OUTPUT_BIT(output)))
        return;
    plan->outputs[output].rank = rank;
    plan->outputs[output].shape[0] = first;
    plan->outputs[output].shape[1] = second;
}

static void add_outputs(builder *build) {
    dvk_plan *plan = build->plan;
    const dvk_plan_request *request = build->request;
    uint32_t size = build->hidden_size, outputs = request->outputs;
    uint64_t row_bytes = 4ull * size;
    /* Three views of last_hidden_state. */
    dvk_plan_output all = {.buffer = DVK_PLAN_NORMED, .image_stride = plan->tokens * row_bytes};
    plan->outputs[DVK_OUTPUT_LAST_HIDDEN_STATE] = all;
    plan->outputs[DVK_OUTPUT_CLS] = all;
    all.offset = row_bytes;
    plan->outputs[DVK_OUTPUT_PATCHES] = all;
    if (outputs & DVK_OUTPUT_BIT(DVK_OUTPUT_MEAN))
        add_mean(build);
    if (outputs & DVK_OUTPUT_BIT(DVK_OUTPUT_POOLED))
        add_matmul(build, &(matmul){.label = "pooler",
                                    .weights = &request->weights->pooler,
                                    .a_buffer = DVK_PLAN_NORMED,
                                    .out_buffer = DVK_PLAN_RESULTS,
                                    .out_offset = place_result(plan, DVK_OUTPUT_POOLED, size, true),
                                    .rows = plan->batch,
                                    .columns = size,
                                    .depth = size,
                                    .a_stride = plan->tokens * size,
                                    .out_stride = size,
                                    .activation = DVK_ACTIVATION_TANH});
    set_shape(plan, outputs, DVK_OUTPUT_LAST_HIDDEN_STATE, 2, plan->tokens, size);
    set_shape(plan, outputs, DVK_OUTPUT_CLS, 1, size, 0);
    set_shape(plan, outputs, DVK_OUTPUT_PATCHES, 2, plan->tokens - 1, size);
    set_shape(plan, outputs, DVK_OUTPUT_MEAN, 1, size, 0);
    set_shape(plan, outputs, DVK_OUTPUT_POOLED, 1, size, 0);
    set_shape(plan, outputs, DVK_OUTPUT_ATTENTION, 2, request->config->heads, plan->tokens);
}

static void size_buffers(builder *build, uint32_t patch_depth) {
    uint64_t *bytes = build->plan->buffer_bytes;
    uint64_t rows = build->rows;
    uint64_t wide = rows * patch_depth, mlp = rows * build->request->config->mlp_size;
    if (wide < 3 * build->plane_stride)
        wide = 3 * build->plane_stride;
    if (wide < mlp)
        wide = mlp;
    bytes[DVK_PLAN_TABLE] = 4ull * build->plan->tokens * build->hidden_size;
    bytes[DVK_PLAN_HIDDEN] = 4ull * rows * build->hidden_size;
    bytes[DVK_PLAN_NORMED] = bytes[DVK_PLAN_HIDDEN];
    bytes[DVK_PLAN_WIDE] = 4 * wide;
}

dvk_result dvk_plan_create(const dvk_plan_request *request, dvk_plan *plan, dvk_error *error) {
    const dvk_vit_config *config = request->config;
    memset(plan, 0, sizeof(*plan));
    plan->batch = request->batch;
    plan->width = request->width;
    plan->height = request->height;
    plan->grid_width = request->width / config->patch_size;
    plan->grid_height = request->height / config->patch_size;
    /* Shaders count elements in 32 bits; no memory in sight holds more. */
    uint64_t tokens = 1 + (uint64_t)plan->grid_width * plan->grid_height;
    uint64_t widest = 3ull * config->hidden_size > config->mlp_size ? 3ull * config->hidden_size : config->mlp_size;
    uint64_t depth = round_up(3ull * config->patch_size * config->patch_size, 4);
    if (widest < depth)
        widest = depth;
    /* Divisions, because the products of numbers that a caller chose leave 64 bits, too. */
    if ((uint64_t)request->width * request->height > UINT32_MAX / 3 / request->batch ||
        tokens + 64 > UINT32_MAX / widest / request->batch)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%u images of %ux%u pixels are more than 2^32 numbers in one pass: use a smaller size or batch",
                        request->batch, request->width, request->height);
    plan->tokens = (uint32_t)tokens;

    builder build = {.request = request,
                     .plan = plan,
                     .error = error,
                     .rows = plan->batch * plan->tokens,
                     .hidden_size = config->hidden_size};
    build.plane_stride = round_up(build.rows, 64) * build.hidden_size; /* so that planes start at bindable offsets */
    size_buffers(&build, (uint32_t)depth);
    add_patchify(&build, (uint32_t)depth);
    add_matmul(&build, &(matmul){.label = "embeddings",
                                 .weights = &request->weights->patch,
                                 .a_buffer = DVK_PLAN_WIDE,
                                 .out_buffer = DVK_PLAN_HIDDEN,
                                 .rows = build.rows,
                                 .columns = build.hidden_size,
                                 .depth = (uint32_t)depth,
                                 .a_stride = (uint32_t)depth,
                                 .out_stride = build.hidden_size,
                                 .residual = DVK_RESIDUAL_TABLE});
    for (uint32_t i = 0; i < config->layers; i++)
        add_layer(&build, i);
    add_layernorm(&build, "final norm", &request->weights->final_norm);
    add_outputs(&build);
    if (build.status != DVK_OK)
        dvk_plan_free(plan);
    return build.status;
}

void dvk_plan_free(dvk_plan *plan) {
    free(plan->ops);
    memset(plan, 0, sizeof(*plan));
}
