#include "weights.h"

#include "classifier.h"
#include "pack.h"
#include "upload.h"

#include <math.h>
#include <string.h>

/* Larger blocks fail on drivers that advertise more than they give (llama.cpp#11598, #18160). */
#define BLOCK_BYTES ((VkDeviceSize)256 << 20)

/* The weights are walked twice: first to lay them out, then to fill what was allocated. */
typedef struct builder {
    const dvk_checkpoint *checkpoint;
    dvk_weights *weights;
    VkDeviceSize alignment, *block_sizes;
    uint32_t block_count, block_capacity;
    bool filling;
    dvk_uploader *uploader; /* NULL when there is no device: check only */
    void *packed;           /* room for one block's rows of the widest matrix, or its bias, or two norm vectors */
    size_t packed_bytes;
    float *scales; /* int8: one for each column of the widest matrix */
    size_t scales_bytes;
    float scratch[DVK_PACK_FLOATS];
} builder;

static dvk_result place(builder *build, VkDeviceSize size, uint32_t stride, dvk_slice *slice, dvk_error *error) {
    VkDeviceSize padded = (size + build->alignment - 1) / build->alignment * build->alignment;
    bool fits = build->block_count && build->block_sizes[build->block_count - 1] + padded <= BLOCK_BYTES;
    if (!fits) {
        if (build->block_count == build->block_capacity) {
            uint32_t capacity = build->block_capacity ? 2 * build->block_capacity : 8;
            VkDeviceSize *sizes = dvk_reallocate(build->checkpoint->allocator, build->block_sizes,
                                                 build->block_count * sizeof(*sizes), capacity * sizeof(*sizes));
            if (!sizes)
                return dvk_fail_memory(error, capacity * sizeof(*sizes));
            build->block_sizes = sizes;
            build->block_capacity = capacity;
        }
        build->block_sizes[build->block_count++] = 0;
    }
    VkDeviceSize *used = &build->block_sizes[build->block_count - 1];
    *slice = (dvk_slice){.block = build->block_count - 1, .stride = stride, .offset = *used, .size = size};
    *used += padded;
    return DVK_OK;
}

static dvk_result send(builder *build, const dvk_slice *slice, VkDeviceSize offset, const void *values, size_t bytes,
                       dvk_error *error) {
    if (!build->uploader)
        return DVK_OK;
    return dvk_upload(build->uploader, values, bytes, &build->weights->blocks[slice->block], slice->offset + offset,
                      error);
}

static dvk_result add_matrix(builder *build, dvk_matrix *matrix, dvk_slice *slice, dvk_error *error) {
    if (!matrix->file)
        matrix->file = build->checkpoint->name;
    matrix->type = build->weights->type;
    size_t row_bytes = dvk_matrix_row_bytes(matrix);
    const uint32_t depth = dvk_matrix_depth(matrix), height = dvk_matrix_block_rows(matrix);
    if (!build->filling) {
        if (build->packed_bytes < row_bytes * height)
            build->packed_bytes = row_bytes * height;
        if (build->scales_bytes < dvk_matrix_bias_bytes(matrix))
            build->scales_bytes = dvk_matrix_bias_bytes(matrix);
        return place(build, dvk_matrix_bytes(matrix), dvk_matrix_stride(matrix), slice, error);
    }
    if (matrix->type == DVK_WEIGHT_INT8)
        dvk_pack_scales(matrix, build->scratch, build->scales);
    dvk_result status = DVK_OK;
    VkDeviceSize offset = 0;
    for (uint32_t row = 0; row < depth && status == DVK_OK; row += height) {
        uint32_t rows = depth - row < height ? depth - row : height;
        const size_t bytes = rows * row_bytes;
        const bool direct = build->uploader && bytes <= DVK_STAGING_BYTES;
        void *packed = build->packed;
        if (direct)
            status = dvk_upload_room(build->uploader, bytes, &build->weights->blocks[slice->block],
                                     slice->offset + offset, &packed, error);
        if (status == DVK_OK)
            status = dvk_pack_rows(matrix, row, rows, build->scratch, build->scales, packed, error);
        if (status == DVK_OK && !direct)
            status = send(build, slice, offset, packed, bytes, error);
        offset += rows * row_bytes;
    }
    size_t float_bytes = dvk_matrix_bias_bytes(matrix);
    if (status == DVK_OK && matrix->type == DVK_WEIGHT_INT8) {
        status = send(build, slice, offset, build->scales, float_bytes, error);
        offset += float_bytes;
    }
    if (status == DVK_OK)
        status = dvk_pack_bias(matrix, build->packed, error);
    if (status == DVK_OK)
        status = send(build, slice, offset, build->packed, float_bytes, error);
    return status;
}

static dvk_result add_linear(builder *build, const dvk_linear *linear, float factor, dvk_slice *slice,
                             dvk_error *error) {
    return add_matrix(build, &(dvk_matrix){.parts = {linear}, .factors = {factor}, .count = 1}, slice, error);
}

/* Room in `packed` for `count` floats; only while the weights are laid out. */
static dvk_result place_floats(builder *build, size_t count, dvk_slice *slice, dvk_error *error) {
    if (build->packed_bytes < count * sizeof(float))
        build->packed_bytes = count * sizeof(float);
    return place(build, count * sizeof(float), 0, slice, error);
}

static dvk_result add_norm(builder *build, const dvk_norm *norm, dvk_slice *slice, dvk_error *error) {
    size_t columns = build->checkpoint->config.hidden_size;
    if (!build->filling)
        return place_floats(build, 2 * columns, slice, error);
    float *values = build->packed;
    dvk_result status = dvk_unpack_tensor(build->checkpoint->name, norm->weight, values, error);
    if (status == DVK_OK)
        status = dvk_unpack_tensor(build->checkpoint->name, norm->bias, values + columns, error);
    if (status == DVK_OK)
        status = send(build, slice, 0, values, 2 * columns * sizeof(float), error);
    return status;
}

/* The softmax scale goes into the query, so that no kernel multiplies scores. 1/8 for head_dim 64: exact. */
static float softmax_scale(const dvk_vit_config *config) {
    return (float)(1.0 / sqrt(config->head_dim));
}

static dvk_result add_layer(builder *build, const dvk_vit_layer *layer, dvk_layer_weights *weights, dvk_error *error) {
    dvk_matrix qkv = {
        .parts = {&layer->query, &layer->key, &layer->value},
        .factors = {softmax_scale(&build->checkpoint->config), 1.0f, 1.0f},
        .count = 3,
    };
    dvk_result status = add_norm(build, &layer->norm_before, &weights->norm_before, error);
    if (status == DVK_OK)
        status = add_matrix(build, &qkv, &weights->qkv, error);
    if (status == DVK_OK)
        status = add_linear(build, &layer->attention_output, 1, &weights->attention_output, error);
    if (status == DVK_OK)
        status = add_norm(build, &layer->norm_after, &weights->norm_after, error);
    if (status == DVK_OK && layer->gate.weight)
        status = add_linear(build, &layer->gate, 1, &weights->gate, error);
    if (status == DVK_OK)
        status = add_linear(build, &layer->intermediate, 1, &weights->intermediate, error);
    if (status == DVK_OK)
        status = add_linear(build, &layer->output, 1, &weights->output, error);
    return status;
}

/* The probe is a constant, and so is its query. */
static dvk_result add_probe(builder *build, const dvk_attention_pool *pool, dvk_slice *slice, dvk_error *error) {
    const char *file = build->checkpoint->name;
    const size_t size = build->checkpoint->config.hidden_size;
    if (!build->filling)
        return place_floats(build, size, slice, error);
    float *probe = dvk_allocate(build->checkpoint->allocator, 2 * size * sizeof(float)), *query = build->packed;
    if (!probe)
        return dvk_fail_memory(error, 2 * size * sizeof(float));
    float *row = probe + size;
    dvk_result status = dvk_unpack_tensor(file, pool->probe, probe, error);
    for (size_t i = 0; i < size && status == DVK_OK; i++) {
        float bias = 0;
        dvk_tensor_to_float(pool->query.weight, i * size, size, row);
        dvk_tensor_to_float(pool->query.bias, i, 1, &bias);
        double sum = bias;
        for (size_t j = 0; j < size; j++)
            sum += (double)row[j] * probe[j];
        query[i] = (float)(sum * softmax_scale(&build->checkpoint->config));
        if (!isfinite(query[i]))
            status = dvk_fail(error, DVK_ERROR_BAD_FILE,
                              "%s: tensor %s has a row or bias %zu that is not finite: the checkpoint is damaged, "
                              "fetch or export it again",
                              file, pool->query.weight->name, i);
    }
    dvk_release(build->checkpoint->allocator, probe);
    return status == DVK_OK ? send(build, slice, 0, query, size * sizeof(float), error) : status;
}

static dvk_result add_pool(builder *build, const dvk_attention_pool *pool, dvk_pool_weights *weights,
                           dvk_error *error) {
    dvk_matrix key_value = {.parts = {&pool->key, &pool->value}, .factors = {1.0f, 1.0f}, .count = 2};
    dvk_result status = add_probe(build, pool, &weights->query, error);
    if (status == DVK_OK)
        status = add_matrix(build, &key_value, &weights->key_value, error);
    if (status == DVK_OK)
        status = add_linear(build, &pool->attention_output, 1, &weights->attention_output, error);
    if (status == DVK_OK)
        status = add_norm(build, &pool->norm, &weights->norm, error);
    if (status == DVK_OK)
        status = add_linear(build, &pool->intermediate, 1, &weights->intermediate, error);
    if (status == DVK_OK)
        status = add_linear(build, &pool->output, 1, &weights->output, error);
    return status;
}

static dvk_result add_head(builder *build, dvk_error *error) {
    const dvk_checkpoint *checkpoint = build->checkpoint;
    dvk_weights *weights = build->weights;
    dvk_result status = DVK_OK;
    weights->head_parts = checkpoint->head_parts;
    for (uint32_t i = 0; i < checkpoint->head_parts && status == DVK_OK; i++) {
        const dvk_head_part *part = &checkpoint->head[i];
        dvk_matrix matrix = {.parts = {&part->linear}, .factors = {part->factor}, .count = 1};
        matrix.file = checkpoint->classifier ? checkpoint->classifier->name : NULL;
        weights->head[i].input = part->input;
        weights->head[i].layer = part->layer;
        weights->head[i].outputs = part->linear.outputs;
        status = add_matrix(build, &matrix, &weights->head[i].matrix, error);
    }
    return status;
}

static dvk_result walk(builder *build, dvk_error *error) {
    const dvk_checkpoint *checkpoint = build->checkpoint;
    dvk_weights *weights = build->weights;
    dvk_linear patch = checkpoint->patch_projection;
    patch.bias = NULL;
    dvk_result status = add_linear(build, &patch, 1, &weights->patch, error);
    if (status == DVK_OK && checkpoint->first_norm.weight)
        status = add_norm(build, &checkpoint->first_norm, &weights->first_norm, error);
    for (uint32_t i = 0; i < weights->layer_count && status == DVK_OK; i++)
        status = add_layer(build, &checkpoint->layers[i], &weights->layers[i], error);
    if (status == DVK_OK)
        status = add_norm(build, &checkpoint->final_norm, &weights->final_norm, error);
    if (status == DVK_OK && checkpoint->pooler.weight)
        status = add_linear(build, &checkpoint->pooler, 1, &weights->pooler, error);
    if (status == DVK_OK && checkpoint->pool.probe)
        status = add_pool(build, &checkpoint->pool, &weights->pool, error);
    return status == DVK_OK ? add_head(build, error) : status;
}

/* Lays the weights out for every type, and for their own at last: that is the one which is filled. */
static dvk_result lay_out(builder *build, dvk_error *error) {
    dvk_weights *weights = build->weights;
    const dvk_weight_type own = weights->type;
    const dvk_weight_type types[] = {DVK_WEIGHT_FP32, DVK_WEIGHT_FP16, DVK_WEIGHT_INT8, own};
    for (uint32_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        weights->type = types[i];
        build->block_count = 0;
        build->packed_bytes = 0;
        build->scales_bytes = 0;
        dvk_result status = walk(build, error);
        if (status != DVK_OK)
            return status;
        uint64_t sum = 0;
        for (uint32_t block = 0; block < build->block_count; block++)
            sum += build->block_sizes[block];
        weights->packed_bytes[types[i]] = sum;
    }
    return DVK_OK;
}

/* Elements first .. first + count - 1 added to `values`; nothing where there is no tensor. */
static dvk_result add_values(const dvk_checkpoint *checkpoint, const dvk_tensor *tensor, uint64_t first, size_t count,
                             float *values, dvk_error *error) {
    if (!tensor)
        return DVK_OK;
    float piece[64];
    for (size_t done = 0; done < count; done += 64) {
        size_t size = count - done < 64 ? count - done : 64;
        dvk_tensor_to_float(tensor, first + done, size, piece);
        for (size_t i = 0; i < size; i++) {
            if (!isfinite(piece[i]))
                return dvk_refuse_value(checkpoint->name, tensor, first + done + i, piece[i], error);
            values[done + i] += piece[i];
        }
    }
    return DVK_OK;
}

/* The parts of the token table. */
static dvk_result copy_to_host(const dvk_checkpoint *checkpoint, dvk_weights *weights, dvk_error *error) {
    const dvk_vit_config *config = &checkpoint->config;
    const dvk_tensor *positions = checkpoint->position_embeddings;
    const size_t size = config->hidden_size, grid = (size_t)config->grid_width * config->grid_height * size;
    weights->prefix = dvk_allocate_zeroed(checkpoint->allocator, config->prefix_tokens * size + 1, sizeof(float));
    weights->patch_bias = dvk_allocate_zeroed(checkpoint->allocator, size, sizeof(float));
    weights->positions = positions ? dvk_allocate_zeroed(checkpoint->allocator, grid, sizeof(float)) : NULL;
    if (!weights->prefix || !weights->patch_bias || (positions && !weights->positions))
        return dvk_fail_memory(error, (config->prefix_tokens * size + grid) * sizeof(float));
    /* Registers come last and have no position. */
    const size_t placed = (config->prefix_tokens - config->registers) * size;
    float *distillation = weights->prefix + (checkpoint->cls_token ? size : 0);
    dvk_result status = add_values(checkpoint, positions, 0, placed, weights->prefix, error);
    if (status == DVK_OK)
        status = add_values(checkpoint, checkpoint->cls_token, 0, size, weights->prefix, error);
    if (status == DVK_OK)
        status = add_values(checkpoint, checkpoint->distillation_token, 0, size, distillation, error);
    if (status == DVK_OK)
        status =
            add_values(checkpoint, checkpoint->registers, 0, config->registers * size, weights->prefix + placed, error);
    if (status == DVK_OK)
        status = add_values(checkpoint, positions, placed, grid, weights->positions, error);
    if (status == DVK_OK)
        status = add_values(checkpoint, checkpoint->patch_projection.bias, 0, size, weights->patch_bias, error);
    return status;
}

static dvk_result allocate_blocks(dvk_context *context, builder *build, dvk_error *error) {
    dvk_weights *weights = build->weights;
    weights->blocks = dvk_allocate_zeroed(build->checkpoint->allocator, build->block_count, sizeof(*weights->blocks));
    if (!weights->blocks)
        return dvk_fail_memory(error, build->block_count * sizeof(*weights->blocks));
    dvk_result status = DVK_OK;
    for (uint32_t i = 0; i < build->block_count && status == DVK_OK; i++) {
        status = dvk_buffer_create(context, DVK_BUFFER_WEIGHTS, build->block_sizes[i], "the weights",
                                   &weights->blocks[i], error);
        if (status == DVK_OK) {
            weights->block_count = i + 1;
            weights->device_bytes += weights->blocks[i].allocated;
        }
    }
    return status;
}

static dvk_result fill(dvk_context *context, builder *build, dvk_error *error) {
    build->filling = true;
    build->packed = dvk_allocate(build->checkpoint->allocator, build->packed_bytes);
    build->scales = dvk_allocate(build->checkpoint->allocator, build->scales_bytes);
    if (!build->packed || !build->scales)
        return dvk_fail_memory(error, build->packed_bytes + build->scales_bytes);
    if (!context)
        return walk(build, error);
    dvk_result status = allocate_blocks(context, build, error);
    if (status != DVK_OK)
        return status;
    dvk_uploader uploader;
    status = dvk_uploader_open(context, &uploader, error);
    if (status != DVK_OK)
        return status;
    build->uploader = &uploader;
    status = walk(build, error);
    if (status == DVK_OK)
        status = dvk_upload_finish(&uploader, error);
    for (uint32_t i = 0; i < build->weights->block_count && status == DVK_OK; i++)
        status = dvk_buffer_unmap(context, &build->weights->blocks[i], error);
    dvk_uploader_close(&uploader);
    return status;
}

dvk_result dvk_weights_create(dvk_context *context, const dvk_checkpoint *checkpoint, dvk_weight_type type,
                              dvk_weights *weights, dvk_error *error) {
    memset(weights, 0, sizeof(*weights));
    weights->type = type;
    weights->layer_count = checkpoint->config.layers;
    weights->layers = dvk_allocate_zeroed(checkpoint->allocator, weights->layer_count, sizeof(*weights->layers));
    if (!weights->layers)
        return dvk_fail_memory(error, weights->layer_count * sizeof(*weights->layers));
    builder build = {.checkpoint = checkpoint, .weights = weights, .alignment = 256};
    if (context && build.alignment < context->limits.minStorageBufferOffsetAlignment)
        build.alignment = context->limits.minStorageBufferOffsetAlignment;
    dvk_result status = copy_to_host(checkpoint, weights, error);
    if (status == DVK_OK)
        status = lay_out(&build, error);
    if (status == DVK_OK)
        status = fill(context, &build, error);
    dvk_release(checkpoint->allocator, build.packed);
    dvk_release(checkpoint->allocator, build.scales);
    dvk_release(checkpoint->allocator, build.block_sizes);
    if (status != DVK_OK)
        dvk_weights_destroy(context, checkpoint->allocator, weights);
    return status;
}

void dvk_weights_destroy(dvk_context *context, const dvk_allocator *allocator, dvk_weights *weights) {
    for (uint32_t i = 0; i < weights->block_count; i++)
        dvk_buffer_destroy(context, &weights->blocks[i]);
    dvk_release(allocator, weights->blocks);
    dvk_release(allocator, weights->layers);
    dvk_release(allocator, weights->prefix);
    dvk_release(allocator, weights->patch_bias);
    dvk_release(allocator, weights->positions);
    memset(weights, 0, sizeof(*weights));
}
