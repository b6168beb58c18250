/* The push constants of every kernel, read by GLSL and by C alike: one declaration, so that they cannot drift apart.
 * All strides and widths are in floats; all row starts are multiples of 4 floats. At most 128 bytes each (Tier 0). */
#ifndef DVK_PUSH_CONSTANTS_H_
#define DVK_PUSH_CONSTANTS_H_

#ifdef VULKAN /* glslang defines it */
#define DVK_PUSH(name) layout(push_constant) uniform name
#define DVK_PUSH_END(name) push;
#define DVK_UINT uint
#else
#include <stdint.h>
#define DVK_PUSH(name) typedef struct name
#define DVK_PUSH_END(name) name;
#define DVK_UINT uint32_t
#endif

/* A dispatch runs the linear workgroups first_group .. first_group + group_count - 1 of its op; the grid may be folded
 * into y and z, so that some of the last ones fall beyond the end and must return. */
#define DVK_PUSH_GROUPS                                                                                                \
    DVK_UINT first_group;                                                                                              \
    DVK_UINT group_end; /* first_group + group_count */

#if defined(DVK_KERNEL_PATCHIFY) || !defined(VULKAN)
/* pixels [batch][3][height][width] -> patches [batch * tokens][depth]; the rows of the tokens before the patches and
 * the columns beyond 3 * patch^2 are zeros. Column = channel * patch^2 + y * patch + x. One workgroup: local_size vec4
 * of the output. */
DVK_PUSH(dvk_push_patchify) {
    DVK_PUSH_GROUPS
    DVK_UINT rows;       /* batch * tokens */
    DVK_UINT tokens;     /* of one image */
    DVK_UINT prefix;     /* how many of them stand before the patches: CLS and the like */
    DVK_UINT grid_width; /* patches */
    DVK_UINT width, height;
    DVK_UINT patch_size;
    DVK_UINT depth; /* 3 * patch^2 rounded up to 4 */
}
DVK_PUSH_END(dvk_push_patchify)
#endif

#if defined(DVK_KERNEL_MATMUL) || !defined(VULKAN)
/* out[r][c] = epilogue(sum_k a[r][k] * w[k][first_column + c] + w[depth][first_column + c]); row `depth` of w is the
 * bias. w is [depth + 1][w_stride], zero beyond the matrix's own columns; w_stride is a multiple of 64. Weights of less
 * than 32 bits are stored as dvk_weight_type says. Where the columns are wider than a plane (query, key, value), column
 * c goes to plane c / plane_columns: out[(c / plane_columns) * plane_stride + r * out_stride + c % plane_columns]
 * Where the constant PATCH_SIZE is not 0, row r of a is that of patchify's result at first_row + r, with table_rows
 * tokens an image, and a is what patchify reads, of patches of PATCH_SIZE; width and PATCH_SIZE are multiples of 4. One
 * workgroup a tile of tile_rows x tile_columns; in which order the groups take the tiles is the variant's business.
 */
DVK_PUSH(dvk_push_matmul) {
    DVK_PUSH_GROUPS
    DVK_UINT rows;     /* M */
    DVK_UINT columns;  /* N of this op; a multiple of 4 */
    DVK_UINT depth;    /* K; a multiple of 4 */
    DVK_UINT a_stride; /* of patches: from line to line of an image */
    DVK_UINT w_stride;
    DVK_UINT first_column;
    DVK_UINT out_stride;
    DVK_UINT plane_columns; /* a multiple of 4 */
    DVK_UINT plane_stride;
    DVK_UINT table_rows; /* residual 2: table[(first_row + r) % table_rows][c], row length out_stride */
    DVK_UINT first_row;  /* of this op in the whole product: ops are split by rows where ranges are limited */
    DVK_UINT prefix;     /* of patches: tokens before them, whose rows are zeros */
    DVK_UINT grid_width; /* of patches: how many lie side by side */
    DVK_UINT a_plane;    /* of patches: from channel to channel of an image */
}
DVK_PUSH_END(dvk_push_matmul)
#endif

#if defined(DVK_KERNEL_LAYERNORM) || !defined(VULKAN)
/* out[r] = (in[r] - mean) / sqrt(variance + epsilon) * parameters[0] + parameters[1]; out is dense; tile_rows a group.
 */
DVK_PUSH(dvk_push_layernorm) {
    DVK_PUSH_GROUPS
    DVK_UINT rows;
    DVK_UINT columns;   /* a multiple of 4 */
    DVK_UINT in_stride; /* from row to row of in */
    float epsilon;
}
DVK_PUSH_END(dvk_push_layernorm)
#endif

#if defined(DVK_KERNEL_ATTENTION) || !defined(VULKAN)
/* out = softmax(q k^T) v for each image and head, streamed: no score leaves the workgroup. k and v are
 * [batch * tokens][row_stride], out is [batch * queries][row_stride], and image i's q (already scaled) are rows
 * i * query_step .. + queries - 1; head h is in columns h * head_dim ... Group = (image * heads + head) *
 * ceil(queries / tile_rows) + query_tile. */
DVK_PUSH(dvk_push_attention) {
    DVK_PUSH_GROUPS
    DVK_UINT tokens;
    DVK_UINT heads;
    DVK_UINT row_stride;
    DVK_UINT queries;    /* of an image: its tokens, or fewer where it is pooled */
    DVK_UINT query_step; /* rows of q from image to image: queries, or 0 where all images share them */
}
DVK_PUSH_END(dvk_push_attention)
#endif

#if defined(DVK_KERNEL_ATTENTION_ROW) || !defined(VULKAN)
/* out[image][head][token] = softmax over tokens of q[image * tokens] . k[image * tokens + token]; q and k are
 * [batch * tokens][row_stride] as above.
 * One workgroup a (image, head). */
DVK_PUSH(dvk_push_attention_row) {
    DVK_PUSH_GROUPS
    DVK_UINT tokens;
    DVK_UINT heads;
    DVK_UINT row_stride;
}
DVK_PUSH_END(dvk_push_attention_row)
#endif

#if defined(DVK_KERNEL_MEAN) || !defined(VULKAN)
/* out[image][c] = mean over tokens `first`.. of in[image * tokens + token][c]. One workgroup: local_size vec4 columns
 * of one image; group = image * ceil(columns / (4 * local_size)) + column block. */
DVK_PUSH(dvk_push_mean) {
    DVK_PUSH_GROUPS
    DVK_UINT tokens;
    DVK_UINT first;   /* below tokens */
    DVK_UINT columns; /* a multiple of 4 */
}
DVK_PUSH_END(dvk_push_mean)
#endif

#if defined(DVK_KERNEL_ROTATE) || !defined(VULKAN)
/* Rotary positions, in place: in each head of the tokens from `prefix` on, the pair (x[i], x[i + head_dim / 2]) turns
 * by an angle whose cosine and sine are table[token - prefix][i] and [i + head_dim / 2]. x is [batch *
 * tokens][row_stride]. One workgroup: local_size times four pairs. */
DVK_PUSH(dvk_push_rotate) {
    DVK_PUSH_GROUPS
    DVK_UINT images;
    DVK_UINT tokens;
    DVK_UINT prefix;
    DVK_UINT heads;
    DVK_UINT head_dim; /* a multiple of 8 */
    DVK_UINT row_stride;
}
DVK_PUSH_END(dvk_push_rotate)
#endif

/* The table of a preprocessor at one size (runtime/source.h), in words: the normalised value of every byte of every
 * channel, as float bits [3][256]; the least linear value that is encoded as byte b or more, as float bits [256]; then
 * the two passes' pairs {first input, taps}, one for each output, and their weights [outputs][stride]. */
#define DVK_RESIZE_LEVELS 0
#define DVK_RESIZE_THRESHOLDS 768
#define DVK_RESIZE_PASSES 1024

/* A resampling pass: output (x, y) is the sum over k of the weights of x, or y where it is vertical, times input (first
 * + k, across + y), or (across + x, first + k). Exact: weights are integers with 22 bits behind the point, results are
 * rounded and clipped to bytes. `floats`: weights are floats, nothing is rounded. */
#define DVK_PUSH_PASS                                                                                                  \
    DVK_UINT width, height; /* outputs */                                                                              \
    DVK_UINT vertical;                                                                                                 \
    DVK_UINT across;                                                                                                   \
    DVK_UINT pairs, weights; /* places in the table, words */                                                          \
    DVK_UINT stride;                                                                                                   \
    DVK_UINT floats;

#if defined(DVK_KERNEL_SOURCE) || !defined(VULKAN)
/* The first pass: the host's picture, brought to bytes, to between [height][width], a word with a byte for each channel
 * or three floats. One workgroup: local_size pixels of between. */
DVK_PUSH(dvk_push_source) {
    DVK_PUSH_GROUPS
    DVK_PUSH_PASS
    DVK_UINT linear;      /* the samples are proportional to light and are to be encoded */
    DVK_UINT packing;     /* a dvk_source_kind; an image does not need it, nor what follows */
    DVK_UINT row_pitch;   /* bytes */
    DVK_UINT plane_pitch; /* bytes */
}
DVK_PUSH_END(dvk_push_source)
#endif

#if defined(DVK_KERNEL_RESAMPLE) || !defined(VULKAN)
/* The second pass: between [..][in_width] to pixels [3][height][width], normalised: by the table, or, where nothing was
 * rounded, as (sum * scale - mean) / deviation. One workgroup: local_size pixels. */
DVK_PUSH(dvk_push_resample) {
    DVK_PUSH_GROUPS
    DVK_PUSH_PASS
    DVK_UINT in_width;
    DVK_UINT out_first; /* where pixels begins */
    float scale;
    float mean[3];
    float deviation[3];
}
DVK_PUSH_END(dvk_push_resample)
#endif

#if defined(DVK_KERNEL_COPY) || !defined(VULKAN)
/* result [images][count] = values[first + image * stride ..]. One workgroup: local_size of them. */
DVK_PUSH(dvk_push_copy) {
    DVK_PUSH_GROUPS
    DVK_UINT images;
    DVK_UINT count;
    DVK_UINT first;
    DVK_UINT stride;
}
DVK_PUSH_END(dvk_push_copy)
#endif

#if defined(DVK_KERNEL_ATTENTION_SCORES) || !defined(VULKAN)
/* scores[patch] = the mean over `heads` rows of attention[first + row * stride + patch]. One workgroup: local_size
 * patches. */
DVK_PUSH(dvk_push_attention_scores) {
    DVK_PUSH_GROUPS
    DVK_UINT patches;
    DVK_UINT heads;
    DVK_UINT first;
    DVK_UINT stride;
}
DVK_PUSH_END(dvk_push_attention_scores)
#endif

#if defined(DVK_KERNEL_PROJECT) || !defined(VULKAN)
/* scores[token] = sum_c (values[first + token * columns + c] - mean[c]) * basis[c]. One workgroup a token. */
DVK_PUSH(dvk_push_project) {
    DVK_PUSH_GROUPS
    DVK_UINT tokens;
    DVK_UINT columns; /* a multiple of 4 */
    DVK_UINT first;
}
DVK_PUSH_END(dvk_push_project)
#endif

#if defined(DVK_KERNEL_COVARY) || !defined(VULKAN)
/* result[c] = sum_token (values[first + token * columns + c] - mean[c]) * scores[token]. One workgroup: an eighth of
 * local_size columns. */
DVK_PUSH(dvk_push_covary) {
    DVK_PUSH_GROUPS
    DVK_UINT tokens;
    DVK_UINT columns; /* a multiple of 4 */
    DVK_UINT first;
}
DVK_PUSH_END(dvk_push_covary)
#endif

#if defined(DVK_KERNEL_ORTHONORMALISE) || !defined(VULKAN)
/* Four vectors [columns] to an orthonormal basis of what they span. One workgroup. */
DVK_PUSH(dvk_push_orthonormalise) {
    DVK_PUSH_GROUPS
    DVK_UINT columns; /* a multiple of 4 */
}
DVK_PUSH_END(dvk_push_orthonormalise)
#endif

#if defined(DVK_KERNEL_ALIGN) || !defined(VULKAN)
/* Scores [tokens] turn, so that their covariance is diagonal and falling. One workgroup. */
DVK_PUSH(dvk_push_align) {
    DVK_PUSH_GROUPS
    DVK_UINT tokens;
    DVK_UINT columns; /* a multiple of 4 */
}
DVK_PUSH_END(dvk_push_align)
#endif

#if defined(DVK_KERNEL_SPREAD) || !defined(VULKAN)
/* spread[channel] = the values at two places of the sorted scores [count], each `fraction` of the way from a rank to
 * the next. One workgroup a channel; three channels. */
DVK_PUSH(dvk_push_spread) {
    DVK_PUSH_GROUPS
    DVK_UINT count;
    DVK_UINT low_rank, high_rank;
    float low_fraction, high_fraction;
}
DVK_PUSH_END(dvk_push_spread)
#endif

#if defined(DVK_KERNEL_PICTURE) || !defined(VULKAN)
/* scores [grid_height][grid_width] to an image of width x height. One workgroup: local_size texels. */
DVK_PUSH(dvk_push_picture) {
    DVK_PUSH_GROUPS
    DVK_UINT width, height;
    DVK_UINT grid_width, grid_height;
    DVK_UINT bilinear;
    float flat_value; /* where low and high are the same */
}
DVK_PUSH_END(dvk_push_picture)
#endif

#if defined(DVK_KERNEL_FEATURES) || !defined(VULKAN)
/* values[first + patch * columns ..] to layer column / 4 of an image array. One workgroup: local_size texels. */
DVK_PUSH(dvk_push_features) {
    DVK_PUSH_GROUPS
    DVK_UINT patches;
    DVK_UINT grid_width;
    DVK_UINT columns; /* a multiple of 4 */
    DVK_UINT first;   /* a multiple of 4 */
}
DVK_PUSH_END(dvk_push_features)
#endif

#endif
