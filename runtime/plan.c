/* What a vision transformer is: embeddings, layers, and what comes behind them. */
#include "plan_ops.h"

#include <stdio.h>
#include <string.h>

/* One row an image, `offset` bytes behind the image's first. */
typedef struct row_of_images {
    uint32_t buffer;
    uint64_t offset;
    uint32_t stride; /* floats */
} row_of_images;

static void add_embeddings(dvk_plan_builder *build, uint32_t depth) {
    const dvk_weights *weights = build->request->weights;
    const bool norm = weights->first_norm.size != 0;
    dvk_place_pixels(build, depth);
    if (build->plan->source.table)
        dvk_add_sources(build);
    dvk_add_patch_product(build, &(dvk_matmul_op){.label = "embeddings",
                                                  .weights = &weights->patch,
                                                  .a_buffer = DVK_PLAN_WIDE,
                                                  .out_buffer = norm ? DVK_PLAN_NORMED : DVK_PLAN_HIDDEN,
                                                  .rows = build->rows,
                                                  .columns = build->hidden_size,
                                                  .depth = depth,
                                                  .a_stride = depth,
                                                  .out_stride = build->hidden_size,
                                                  .residual = DVK_RESIDUAL_TABLE});
    if (norm)
        dvk_add_layernorm(build, &(dvk_layernorm_op){.label = "first norm",
                                                     .parameters = &weights->first_norm,
                                                     .in_buffer = DVK_PLAN_NORMED,
                                                     .out_buffer = DVK_PLAN_HIDDEN,
                                                     .rows = build->rows,
                                                     .in_stride = build->hidden_size});
}

/* HIDDEN to NORMED. */
static void add_norm(dvk_plan_builder *build, const char *label, const dvk_slice *parameters) {
    dvk_add_layernorm(build, &(dvk_layernorm_op){.label = label,
                                                 .parameters = parameters,
                                                 .in_buffer = DVK_PLAN_HIDDEN,
                                                 .out_buffer = DVK_PLAN_NORMED,
                                                 .rows = build->rows,
                                                 .in_stride = build->hidden_size});
}

/* NORMED to rows of the MLP's size in WIDE. */
static void add_expansion(dvk_plan_builder *build, const char *label, const dvk_slice *weights,
                          dvk_activation activation, dvk_residual residual) {
    const uint32_t mlp = build->request->config->mlp_size;
    dvk_add_matmul(build, &(dvk_matmul_op){.label = label,
                                           .weights = weights,
                                           .a_buffer = DVK_PLAN_NORMED,
                                           .out_buffer = DVK_PLAN_WIDE,
                                           .rows = build->rows,
                                           .columns = mlp,
                                           .depth = build->hidden_size,
                                           .a_stride = build->hidden_size,
                                           .out_stride = mlp,
                                           .activation = activation,
                                           .residual = residual});
}

/* Added to the residual stream. */
static void add_branch(dvk_plan_builder *build, const char *label, const dvk_slice *weights, uint32_t buffer,
                       uint32_t depth) {
    dvk_add_matmul(build, &(dvk_matmul_op){.label = label,
                                           .weights = weights,
                                           .a_buffer = buffer,
                                           .out_buffer = DVK_PLAN_HIDDEN,
                                           .rows = build->rows,
                                           .columns = build->hidden_size,
                                           .depth = depth,
                                           .a_stride = depth,
                                           .out_stride = build->hidden_size,
                                           .residual = DVK_RESIDUAL_IN_PLACE});
}

/* NORMED to `planes` planes in WIDE. */
static void add_planes(dvk_plan_builder *build, const char *label, const dvk_slice *weights, uint32_t planes) {
    const uint32_t size = build->hidden_size;
    dvk_add_matmul(build, &(dvk_matmul_op){.label = label,
                                           .weights = weights,
                                           .a_buffer = DVK_PLAN_NORMED,
                                           .out_buffer = DVK_PLAN_WIDE,
                                           .rows = build->rows,
                                           .columns = planes * size,
                                           .depth = size,
                                           .a_stride = size,
                                           .out_stride = size,
                                           .plane_columns = size});
}

static void add_layer(dvk_plan_builder *build, uint32_t index) {
    const dvk_vit_config *config = build->request->config;
    const dvk_layer_weights *weights = &build->request->weights->layers[index];
    char label[48];
#define LABEL(part) (snprintf(label, sizeof(label), "layer %u " part, index), label)
    add_norm(build, LABEL("norm before"), &weights->norm_before);
    add_planes(build, LABEL("query key value"), &weights->qkv, 3);
    if (config->family->position_kind == DVK_POSITIONS_ROTARY) {
        dvk_add_rotate(build, LABEL("rotate query"), 0);
        dvk_add_rotate(build, LABEL("rotate key"), 1);
    }
    if (index + 1 == config->layers && (build->request->outputs & DVK_OUTPUT_BIT(DVK_OUTPUT_ATTENTION)))
        dvk_add_attention_row(build);
    dvk_add_attention(build, LABEL("attention"));
    add_branch(build, LABEL("attention output"), &weights->attention_output, DVK_PLAN_NORMED, build->hidden_size);
    add_norm(build, LABEL("norm after"), &weights->norm_after);
    if (config->gated) {
        add_expansion(build, LABEL("gate"), &weights->gate, config->activation, DVK_RESIDUAL_NONE);
        add_expansion(build, LABEL("intermediate"), &weights->intermediate, DVK_ACTIVATION_NONE, DVK_RESIDUAL_MULTIPLY);
    } else {
        add_expansion(build, LABEL("intermediate"), &weights->intermediate, config->activation, DVK_RESIDUAL_NONE);
    }
    add_branch(build, LABEL("output"), &weights->output, DVK_PLAN_WIDE, config->mlp_size);
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

static row_of_images result_row(const dvk_plan *plan, dvk_output output) {
    const dvk_plan_output *place = &plan->outputs[output];
    return (row_of_images){place->buffer, place->offset, (uint32_t)(place->image_stride / 4)};
}

/* A row of last_hidden_state. */
static row_of_images token_row(const dvk_plan_builder *build, uint32_t token) {
    return (row_of_images){build->plan->last_buffer, 4ull * token * build->hidden_size,
                           build->plan->tokens * build->hidden_size};
}

/* A product of one row an image. */
static void add_row_product(dvk_plan_builder *build, const char *label, const dvk_slice *weights, row_of_images in,
                            uint32_t depth, row_of_images out, uint32_t columns, dvk_activation activation,
                            dvk_residual residual) {
    dvk_add_matmul(build, &(dvk_matmul_op){.label = label,
                                           .weights = weights,
                                           .a_buffer = in.buffer,
                                           .a_offset = in.offset,
                                           .a_stride = in.stride,
                                           .depth = depth,
                                           .out_buffer = out.buffer,
                                           .out_offset = out.offset,
                                           .out_stride = out.stride,
                                           .rows = build->plan->batch,
                                           .columns = columns,
                                           .activation = activation,
                                           .residual = residual});
}

static void add_row_norm(dvk_plan_builder *build, const char *label, const dvk_slice *parameters, row_of_images in,
                         row_of_images out) {
    dvk_add_layernorm(build, &(dvk_layernorm_op){.label = label,
                                                 .parameters = parameters,
                                                 .in_buffer = in.buffer,
                                                 .in_offset = in.offset,
                                                 .in_stride = in.stride,
                                                 .out_buffer = out.buffer,
                                                 .out_offset = out.offset,
                                                 .rows = build->plan->batch});
}

/* A learned query's attention over all tokens, an MLP on top. HIDDEN is free by now, and so is WIDE. */
static void add_attention_pool(dvk_plan_builder *build) {
    const dvk_pool_weights *weights = &build->request->weights->pool;
    const uint32_t size = build->hidden_size, mlp = build->request->config->mlp_size;
    const row_of_images pooled = result_row(build->plan, DVK_OUTPUT_POOLED);
    const row_of_images scratch = {DVK_PLAN_HIDDEN, 0, size}, wide = {DVK_PLAN_WIDE, 0, mlp};
    add_planes(build, "pool key value", &weights->key_value, 2);
    dvk_add_pool_attention(build, "pool attention", &weights->query, DVK_PLAN_HIDDEN);
    add_row_product(build, "pool attention output", &weights->attention_output, scratch, size, pooled, size,
                    DVK_ACTIVATION_NONE, DVK_RESIDUAL_NONE);
    add_row_norm(build, "pool norm", &weights->norm, pooled, scratch);
    add_row_product(build, "pool intermediate", &weights->intermediate, scratch, size, wide, mlp,
                    build->request->config->activation, DVK_RESIDUAL_NONE);
    add_row_product(build, "pool output", &weights->output, wide, mlp, pooled, size, DVK_ACTIVATION_NONE,
                    DVK_RESIDUAL_IN_PLACE);
}

static void add_pooled(dvk_plan_builder *build) {
    const dvk_weights *weights = build->request->weights;
    const uint32_t size = build->hidden_size;
    dvk_plan *plan = build->plan;
    switch (build->request->config->family->pooled) {
    case DVK_POOLED_NONE:
        break;
    case DVK_POOLED_CLS:
        plan->outputs[DVK_OUTPUT_POOLED] = plan->outputs[DVK_OUTPUT_CLS];
        break;
    case DVK_POOLED_DENSE:
        dvk_place_result(plan, DVK_OUTPUT_POOLED, size, true);
        add_row_product(build, "pooler", &weights->pooler, token_row(build, 0), size,
                        result_row(plan, DVK_OUTPUT_POOLED), size, DVK_ACTIVATION_TANH, DVK_RESIDUAL_NONE);
        break;
    case DVK_POOLED_NORM:
        dvk_place_result(plan, DVK_OUTPUT_POOLED, size, true);
        add_row_norm(build, "final norm", &weights->final_norm, token_row(build, 0),
                     result_row(plan, DVK_OUTPUT_POOLED));
        break;
    case DVK_POOLED_ATTENTION:
        dvk_place_result(plan, DVK_OUTPUT_POOLED, size, true);
        add_attention_pool(build);
        break;
    }
}

static row_of_images head_input(const dvk_plan_builder *build, dvk_head_input input) {
    switch (input) {
    case DVK_INPUT_CLS:
        break;
    case DVK_INPUT_LAYER_CLS:
        return (row_of_images){DVK_PLAN_NORMED, 0, build->hidden_size};
    case DVK_INPUT_DISTILLATION:
        return token_row(build, 1);
    case DVK_INPUT_MEAN:
        return result_row(build->plan, DVK_OUTPUT_MEAN);
    case DVK_INPUT_POOLED:
        return result_row(build->plan, DVK_OUTPUT_POOLED);
    }
    return token_row(build, 0);
}

static bool head_reads(const dvk_weights *weights, dvk_head_input input) {
    for (uint32_t i = 0; i < weights->head_parts; i++)
        if (weights->head[i].input == input)
            return true;
    return false;
}

static dvk_output head_output(const dvk_plan_builder *build) {
    return build->request->config->head == DVK_HEAD_PROJECTION ? DVK_OUTPUT_EMBEDDING : DVK_OUTPUT_LOGITS;
}

static bool has_head(const dvk_plan_builder *build) {
    return (build->request->outputs & DVK_OUTPUT_BIT(head_output(build))) != 0;
}

/* Matrices are padded with zero columns, so that a row of results may be, too. */
static uint32_t head_columns(const dvk_plan_builder *build) {
    return (uint32_t)dvk_round_up(build->request->weights->head[0].outputs, 4);
}

/* The first part writes the sum, the others add to it. */
static void add_head_part(dvk_plan_builder *build, uint32_t index) {
    const dvk_head_weights *part = &build->request->weights->head[index];
    const dvk_output output = head_output(build);
    if (!index)
        dvk_place_result(build->plan, output, head_columns(build), true);
    add_row_product(build, output == DVK_OUTPUT_LOGITS ? "classifier" : "projection", &part->matrix,
                    head_input(build, part->input), build->hidden_size, result_row(build->plan, output),
                    head_columns(build), DVK_ACTIVATION_NONE, index ? DVK_RESIDUAL_IN_PLACE : DVK_RESIDUAL_NONE);
}

/* What a classifier reads of a layer that is not the last. Nothing else needs NORMED between layers. */
static void add_head_of_layer(dvk_plan_builder *build, uint32_t layer) {
    const dvk_weights *weights = build->request->weights;
    const uint32_t size = build->hidden_size;
    const row_of_images cls = {DVK_PLAN_HIDDEN, 0, build->plan->tokens * size}, normed = {DVK_PLAN_NORMED, 0, size};
    for (uint32_t i = 0; i < weights->head_parts; i++)
        if (weights->head[i].input == DVK_INPUT_LAYER_CLS && weights->head[i].layer == layer) {
            add_row_norm(build, "classifier norm", &weights->final_norm, cls, normed);
            add_head_part(build, i);
        }
}

static void add_head(dvk_plan_builder *build) {
    for (uint32_t i = 0; i < build->request->weights->head_parts; i++)
        if (build->request->weights->head[i].input != DVK_INPUT_LAYER_CLS)
            add_head_part(build, i);
}

static void add_outputs(dvk_plan_builder *build) {
    dvk_plan *plan = build->plan;
    const dvk_plan_request *request = build->request;
    uint32_t size = build->hidden_size, outputs = request->outputs;
    uint32_t head_outputs = request->weights->head[0].outputs;
    uint64_t row_bytes = 4ull * size;
    bool head = has_head(build);
    /* Three views of last_hidden_state. */
    dvk_plan_output all = {.buffer = plan->last_buffer, .image_stride = plan->tokens * row_bytes};
    plan->outputs[DVK_OUTPUT_LAST_HIDDEN_STATE] = all;
    plan->outputs[DVK_OUTPUT_CLS] = all;
    all.offset = plan->prefix * row_bytes;
    plan->outputs[DVK_OUTPUT_PATCHES] = all;
    if ((outputs & DVK_OUTPUT_BIT(DVK_OUTPUT_MEAN)) || (head && head_reads(request->weights, DVK_INPUT_MEAN)))
        dvk_add_mean(build);
    if ((outputs & DVK_OUTPUT_BIT(DVK_OUTPUT_POOLED)) || (head && head_reads(request->weights, DVK_INPUT_POOLED)))
        add_pooled(build);
    if (head)
        add_head(build);
    set_shape(plan, outputs, DVK_OUTPUT_LAST_HIDDEN_STATE, 2, plan->tokens, size);
    set_shape(plan, outputs, DVK_OUTPUT_CLS, 1, size, 0);
    set_shape(plan, outputs, DVK_OUTPUT_PATCHES, 2, plan->tokens - plan->prefix, size);
    set_shape(plan, outputs, DVK_OUTPUT_MEAN, 1, size, 0);
    set_shape(plan, outputs, DVK_OUTPUT_POOLED, 1, size, 0);
    set_shape(plan, outputs, DVK_OUTPUT_ATTENTION, 2, request->config->heads, plan->tokens);
    set_shape(plan, outputs, DVK_OUTPUT_LOGITS, 1, head_outputs, 0);
    set_shape(plan, outputs, DVK_OUTPUT_EMBEDDING, 1, head_outputs, 0);
}

static void size_buffers(dvk_plan_builder *build, uint32_t patch_depth) {
    uint64_t *bytes = build->plan->buffer_bytes;
    uint64_t rows = build->rows;
    uint64_t wide = rows * patch_depth, mlp = rows * build->request->config->mlp_size;
    if (wide < 3 * build->plane_stride)
        wide = 3 * build->plane_stride;
    if (wide < mlp)
        wide = mlp;
    bytes[DVK_PLAN_TABLE] = 4ull * build->plan->tokens * build->hidden_size;
    if (build->request->config->family->position_kind == DVK_POSITIONS_ROTARY)
        bytes[DVK_PLAN_ANGLES] = 4ull * (build->plan->tokens - build->plan->prefix) * build->request->config->head_dim;
    bytes[DVK_PLAN_HIDDEN] = 4ull * rows * build->hidden_size;
    bytes[DVK_PLAN_NORMED] = bytes[DVK_PLAN_HIDDEN];
    bytes[DVK_PLAN_WIDE] = 4 * wide;
}

dvk_result dvk_plan_create(const dvk_plan_request *request, dvk_plan *plan, dvk_error *error) {
    const dvk_vit_config *config = request->config;
    *plan = (dvk_plan){.source = plan->source};
    plan->allocator = request->allocator;
    plan->batch = request->batch;
    plan->width = request->width;
    plan->height = request->height;
    plan->grid_width = request->width / config->patch_size;
    plan->grid_height = request->height / config->patch_size;
    /* Shaders count elements in 32 bits; no memory in sight holds more. */
    uint64_t tokens = config->prefix_tokens + (uint64_t)plan->grid_width * plan->grid_height;
    uint64_t widest = 3ull * config->hidden_size > config->mlp_size ? 3ull * config->hidden_size : config->mlp_size;
    uint64_t depth = dvk_round_up(3ull * config->patch_size * config->patch_size, 4);
    if (widest < depth)
        widest = depth;
    /* Divisions, because the products of numbers that a caller chose leave 64 bits, too. */
    if ((uint64_t)request->width * request->height > UINT32_MAX / 3 / request->batch ||
        tokens + 64 > UINT32_MAX / widest / request->batch)
        return dvk_fail(error, DVK_ERROR_UNSUPPORTED,
                        "%u images of %ux%u pixels are more than 2^32 numbers in one pass: use a smaller size or batch",
                        request->batch, request->width, request->height);
    plan->tokens = (uint32_t)tokens;
    plan->prefix = config->prefix_tokens;
    plan->last_buffer = config->family->pooled == DVK_POOLED_NORM ? DVK_PLAN_HIDDEN : DVK_PLAN_NORMED;

    dvk_plan_builder build = {.request = request,
                              .plan = plan,
                              .error = error,
                              .rows = plan->batch * plan->tokens,
                              .hidden_size = config->hidden_size};
    build.plane_stride =
        dvk_round_up(build.rows, 64) * build.hidden_size; /* so that planes start at bindable offsets */
    size_buffers(&build, (uint32_t)depth);
    add_embeddings(&build, (uint32_t)depth);
    for (uint32_t i = 0; i < config->layers; i++) {
        add_layer(&build, i);
        if (has_head(&build))
            add_head_of_layer(&build, i);
    }
    if (plan->last_buffer == DVK_PLAN_NORMED)
        add_norm(&build, "final norm", &request->weights->final_norm);
    add_outputs(&build);
    dvk_add_targets(&build);
    if (build.status != DVK_OK)
        dvk_plan_free(plan);
    return build.status;
}

void dvk_plan_free(dvk_plan *plan) {
    dvk_release(plan->allocator, plan->ops);
    dvk_source_free(&plan->source);
    memset(plan, 0, sizeof(*plan));
}
