/* The variant table as the runtime sees it. It is written in shaders/variants.toml, compiled and turned into C by
 * shaders/compile.py; adding a variant is one entry there plus its shader. */
#ifndef DVK_VARIANTS_H_
#define DVK_VARIANTS_H_

#include "dino_vk.h" /* dvk_feature */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum dvk_kernel {
    DVK_KERNEL_PATCHIFY,
    DVK_KERNEL_MATMUL,
    DVK_KERNEL_LAYERNORM,
    DVK_KERNEL_ATTENTION,
    DVK_KERNEL_ATTENTION_ROW,
    DVK_KERNEL_MEAN,
    DVK_KERNEL_ROTATE,
    DVK_KERNEL_SOURCE_IMAGE,
    DVK_KERNEL_SOURCE_BUFFER,
    DVK_KERNEL_RESAMPLE,
    DVK_KERNEL_COPY,
    DVK_KERNEL_ATTENTION_SCORES,
    DVK_KERNEL_PROJECT,
    DVK_KERNEL_COVARY,
    DVK_KERNEL_ORTHONORMALISE,
    DVK_KERNEL_ALIGN,
    DVK_KERNEL_SPREAD,
    DVK_KERNEL_PICTURE_RGBA8, /* pictures and features: one kernel a format, which shaders name */
    DVK_KERNEL_PICTURE_RGBA16F,
    DVK_KERNEL_PICTURE_RGBA32F,
    DVK_KERNEL_PICTURE_R32F,
    DVK_KERNEL_FEATURES_RGBA16F,
    DVK_KERNEL_FEATURES_RGBA32F,
    DVK_KERNEL_COUNT
} dvk_kernel;

typedef enum dvk_weight_type {
    DVK_WEIGHT_NONE, /* the kernel reads no matrix */
    DVK_WEIGHT_FP32, /* w as vec4[(depth + 1) * w_stride / 4] */
    DVK_WEIGHT_FP16, /* rows 0..depth-1 as uvec2 (4 halves each, unpackHalf2x16), then the bias row as float bits */
    DVK_WEIGHT_INT8 /* rows 0..depth-1 as uint (4 signed bytes each), then a row of scales, one for each column, and the
                       bias row, both as float bits: w[k][c] = byte[k][c] * scale[c] */
} dvk_weight_type;

/* Which devices a variant is meant for; both kinds must be right on every device. */
typedef enum dvk_device_class {
    DVK_CLASS_GPU,
    DVK_CLASS_SOFTWARE /* VK_PHYSICAL_DEVICE_TYPE_CPU: barriers are costly, registers are memory */
} dvk_device_class;

/* The values of VkComponentTypeKHR. */
typedef enum dvk_component {
    DVK_COMPONENT_FLOAT16 = 0,
    DVK_COMPONENT_FLOAT32 = 1,
    DVK_COMPONENT_SINT8 = 3,
    DVK_COMPONENT_SINT32 = 5,
    DVK_COMPONENT_UINT8 = 7,
    DVK_COMPONENT_UINT32 = 9
} dvk_component;

/* A cooperative matrix product that a subgroup can do: [m][k] times [k][n] added to [m][n]. m 0: none. */
typedef struct dvk_matrix_shape {
    uint32_t m, n, k;
    dvk_component factors, sum;
} dvk_matrix_shape;

/* Specialisation constants by id. Ids 1 to 15 belong to the variant (its tile), the others have one meaning
 * everywhere. */
enum {
    DVK_CONSTANT_LOCAL_SIZE = 0, /* local_size_x_id = 0; y and z are 1 */
    DVK_CONSTANT_VARIANT_FIRST = 1,
    DVK_CONSTANT_VARIANT_COUNT = 15,
    DVK_CONSTANT_ACTIVATION = 16, /* matmul: a dvk_activation */
    DVK_CONSTANT_RESIDUAL = 17,   /* matmul: a dvk_residual */
    DVK_CONSTANT_HEAD_DIM = 18,   /* attention, attention_row: a multiple of 4, at most 128 */
    DVK_CONSTANT_PATCH_SIZE = 19  /* matmul, where the variant reads pixels: a multiple of 4, or 0 for a matrix */
};

typedef enum dvk_residual {
    DVK_RESIDUAL_NONE = 0,
    DVK_RESIDUAL_IN_PLACE = 1, /* out += result */
    DVK_RESIDUAL_TABLE = 2,    /* out = table[row] + result */
    DVK_RESIDUAL_MULTIPLY = 3  /* out *= result */
} dvk_residual;

/* What a shader's binding is. Images are read by texel, without a sampler, and written in the format that the shader
 * names: neither needs a feature. */
typedef enum dvk_binding_kind {
    DVK_BINDING_BUFFER,  /* a storage buffer */
    DVK_BINDING_TEXTURE, /* a sampled image */
    DVK_BINDING_IMAGE    /* a storage image */
} dvk_binding_kind;

enum { DVK_MAX_BINDINGS = 4 }; /* the least that maxPerStageDescriptorStorageBuffers may be */

/* Vulkan does not tell how many registers a device has. Where less shared memory than this is offered, expect few: the
 * Adreno 702, with 16 KiB, has 8 vec4 a lane in a workgroup of 128, where all others that we can compile for have 32
 * and more. */
enum { DVK_LARGE_SHARED_BYTES = 32768 };

typedef struct dvk_variant {
    const char *name;
    dvk_kernel kernel;
    dvk_weight_type weight;
    dvk_device_class device_class;
    uint32_t features;   /* what the device must have */
    bool fallback;       /* only where no other of its class can be chosen */
    bool half_products;  /* factors are rounded to half precision: for sessions of that precision only */
    bool large;          /* comes last on a device with less than DVK_LARGE_SHARED_BYTES of shared memory */
    uint32_t half_sums;  /* so many products are summed in half precision before fp32; 0: all sums are fp32 */
    uint32_t local_size; /* invocations of a workgroup; 0: `subgroups` of them, see dvk_variant_local_size() */
    uint32_t subgroups;
    uint32_t subgroup_size;             /* 0: whatever the device has */
    dvk_matrix_shape matrix;            /* that the device must list */
    uint32_t tile_rows;                 /* what one workgroup computes; see push_constants.h */
    uint32_t tile_columns;              /* matmul only */
    uint32_t shared_bytes;              /* of shared memory, attention's part that grows with head_dim left out: */
    uint32_t shared_bytes_per_head_dim; /* see dvk_variant_shared_bytes() */
    uint32_t max_head_dim;              /* attention only, else 0 */
    uint32_t head_dim_step;             /* attention only: of which head_dim must be a multiple */
    bool reads_pixels;                  /* matmul only: patches of images may be its first factor */
    uint32_t constants[DVK_CONSTANT_VARIANT_COUNT]; /* values of specialisation constants 1.. */
    uint32_t constant_count;
    uint32_t binding_count; /* 0 .. binding_count - 1 */
    dvk_binding_kind binding_kinds[DVK_MAX_BINDINGS];
    const uint32_t *spirv;
    size_t spirv_bytes;
} dvk_variant;

enum { DVK_MAX_MATRIX_SHAPES = 64 };

/* What a device has, or was created with; runtime/device_features.h finds it out. */
typedef struct dvk_device_features {
    uint32_t bits;                                 /* DVK_FEATURE_* */
    uint32_t subgroup_size;                        /* of a pipeline that asks for none */
    uint32_t min_subgroup_size, max_subgroup_size; /* what it may ask for; both 0 without SUBGROUP_SIZE_CONTROL */
    uint32_t max_subgroups;                        /* of a workgroup whose pipeline asks for a size */
    dvk_matrix_shape shapes[DVK_MAX_MATRIX_SHAPES];
    uint32_t shape_count;
} dvk_device_features;

/* Invocations of the variant's workgroups on a device. */
uint32_t dvk_variant_local_size(const dvk_variant *variant, const dvk_device_features *features);

/* Shared memory of its workgroups; head_dim 0 where there is none. */
uint32_t dvk_variant_shared_bytes(const dvk_variant *variant, uint32_t head_dim);

/* The subgroup size that the variant's pipeline must ask for, together with full subgroups; 0: nothing to ask. */
uint32_t dvk_variant_subgroup_size(const dvk_variant *variant, const dvk_device_features *features);

/* In order of preference within a (kernel, weight, device_class), but for `large`. */
extern const dvk_variant dvk_variants[];
extern const size_t dvk_variant_count;
extern const char *const dvk_kernel_names[DVK_KERNEL_COUNT];

#endif
