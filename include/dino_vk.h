/*
 * dino-vk: DINO vision transformers as one Vulkan command buffer.
 *
 * The order of things:
 *
 *     dvk_context   a Vulkan device: one that this library opened, or the host's own
 *     dvk_model     a checkpoint whose weights lie on that device
 *     dvk_session   the recorded forward pass of one model at one resolution and batch size
 *
 *     dvk_image_load -> dvk_preprocess -> dvk_session_run -> dvk_session_read
 *
 * Conventions
 *   - Every function that can fail returns a dvk_result and takes a `dvk_error *` (may be NULL) that receives the
 *     code and one sentence saying what was expected, what was found and what to do. On failure, outputs are
 *     untouched unless stated otherwise, and nothing is leaked.
 *   - A NULL that is not allowed, an undeclared flag or enumerator: DVK_ERROR_INVALID_ARGUMENT from every function that
 *     returns a dvk_result, also where its own list of errors does not say so.
 *   - Params structs: zero means default. `NULL` params = all defaults, where a function says so. `reserved` must be
 *     zero, so initialise the whole struct: `dvk_session_params params = {0};`, or with designated initialisers. All
 *     else is INVALID_ARGUMENT: the struct was not initialised, or is of a later version than the library.
 *   - Within a major version no struct changes its size and no function its signature: what is added takes the place
 *     of `reserved`, where zero means what it meant before. See dvk_check_version().
 *   - Create functions write the handle only on success. Destroy functions take the handle's address, set it to
 *     NULL, and accept a NULL handle.
 *   - The library never prints, exits, aborts, installs handlers or keeps global state.
 *   - Thread-safety: different contexts are independent. Everything that belongs to one context (its models and
 *     sessions included) must be used by one thread at a time, unless a function says "any thread".
 *   - Strings are UTF-8. Arrays are dense, row-major ("C order"), 32-bit floats unless stated otherwise.
 *   - Images are [height][width][3] bytes, RGB, sRGB-encoded, top row first.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef DINO_VK_H_
#define DINO_VK_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this header; dvk_version() is the version of the library that runs. meson reads these three lines. */
#define DVK_VERSION_MAJOR 1
#define DVK_VERSION_MINOR 0
#define DVK_VERSION_PATCH 0

#if defined(_WIN32) && defined(DVK_BUILD_SHARED)
#define DVK_API __declspec(dllexport)
#elif defined(__GNUC__)
#define DVK_API __attribute__((visibility("default")))
#else
#define DVK_API
#endif

/* ------------------------------------------------------------------------------------------------ results */

/* Stable values: a release may add codes, never renumber them. */
typedef enum dvk_result {
    DVK_OK = 0,
    DVK_TIMEOUT = 1,                 /* no failure: the device is not done yet; no dvk_error is written */
    DVK_ERROR_INVALID_ARGUMENT = -1, /* the caller broke a documented rule */
    DVK_ERROR_OUT_OF_HOST_MEMORY = -2,
    DVK_ERROR_OUT_OF_DEVICE_MEMORY = -3,
    DVK_ERROR_IO = -4,          /* a file could not be opened, read or mapped */
    DVK_ERROR_BAD_FILE = -5,    /* a file was read and is damaged, truncated or not what it should be */
    DVK_ERROR_UNSUPPORTED = -6, /* well-formed, but outside what this version or this device can do */
    DVK_ERROR_NO_VULKAN = -7,   /* no Vulkan loader, no driver, or no Vulkan 1.1 */
    DVK_ERROR_NO_DEVICE = -8,   /* no device matches the request */
    DVK_ERROR_DEVICE_LOST = -9, /* destroy the context and create a new one */
    DVK_ERROR_VULKAN = -10,     /* any other Vulkan failure; the message names the call and the VkResult */
    DVK_ERROR_INCOMPLETE = -11, /* the driver dropped a part of the pass and said nothing: nothing can be read */
    DVK_RESULT_FORCE_32BIT = 0x7fffffff
} dvk_result;

/* Caller-owned; need not be initialised. Written only on failure. */
typedef struct dvk_error {
    dvk_result code;
    char message[512]; /* one sentence, NUL-terminated, no trailing newline */
} dvk_error;

/* "DVK_ERROR_IO" and the like; never NULL. Any thread. */
DVK_API const char *dvk_result_name(dvk_result result);

/* "1.0.0". Any thread. */
DVK_API const char *dvk_version(void);

/* Whether the library that runs can serve a program that was compiled with this header, as
 *
 *     dvk_check_version(DVK_VERSION_MAJOR, DVK_VERSION_MINOR, &error)
 *
 * The major versions must be the same, and the library's minor version at least the header's. A program that is linked
 * against libdino-vk.so.1 has the first half by the linker; one that uses dlopen() calls this first.
 * Errors: UNSUPPORTED. Any thread. */
DVK_API dvk_result dvk_check_version(uint32_t major, uint32_t minor, dvk_error *error);

/* ------------------------------------------------------------------------------------------------ logging */

/* How much the log callback gets to hear. */
typedef enum dvk_log_level {
    DVK_LOG_NONE = 0, /* default: silent */
    DVK_LOG_ERROR = 1,
    DVK_LOG_WARNING = 2,
    DVK_LOG_INFO = 3,
    DVK_LOG_DEBUG = 4
} dvk_log_level;

/* Called from the thread that called the library. Must not call back into the library. */
typedef void (*dvk_log_callback)(void *user, dvk_log_level level, const char *message);

/* ------------------------------------------------------------------------------------------------- memory */

/* Where the library's host memory comes from: both callbacks or, for the C library's, neither. Copied where it is
 * given; `user` must outlive what was made with it. Called from whichever threads call the library. What the C library
 * itself allocates (to open a file, say) is beyond it. */
typedef struct dvk_allocator {
    void *user;
    void *(*allocate)(void *user, size_t size, size_t alignment); /* NULL: OUT_OF_HOST_MEMORY; size is never 0 */
    void (*release)(void *user, void *block);                     /* block is never NULL */
} dvk_allocator;

/* ------------------------------------------------------------------------------------------------ devices */

/* VkPhysicalDeviceType. */
typedef enum dvk_device_type {
    DVK_DEVICE_OTHER = 0,
    DVK_DEVICE_INTEGRATED = 1,
    DVK_DEVICE_DISCRETE = 2,
    DVK_DEVICE_VIRTUAL = 3,
    DVK_DEVICE_CPU = 4 /* a software driver, such as llvmpipe or SwiftShader */
} dvk_device_type;

/* What a device is and can do. */
typedef struct dvk_device_info {
    uint32_t index; /* position in the driver's enumeration, as `dvk_context_params.device` takes it */
    dvk_device_type type;
    char name[256];
    char driver[512]; /* driver name and version as the driver tells them; empty before Vulkan 1.2 */
    uint8_t uuid[16]; /* VkPhysicalDeviceIDProperties::deviceUUID */
    uint32_t vendor_id, device_id;
    uint32_t api_version;       /* as VK_MAKE_API_VERSION; 1.1 or later is needed */
    uint32_t driver_version;    /* VkPhysicalDeviceProperties::driverVersion, whose encoding is the driver's own */
    uint64_t device_memory;     /* bytes in the largest device-local heap */
    uint64_t max_storage_range; /* bytes: the largest range one shader binding may span */
    uint32_t subgroup_size;
    uint32_t max_workgroup_invocations;
    uint32_t shared_memory; /* bytes a workgroup may use */
    bool has_fp16_arithmetic;
    bool has_fp16_storage;
    bool usable; /* false: `why_not` says what is missing */
    char why_not[128];
    uint64_t reserved[8]; /* 0 today */
} dvk_device_info;

typedef struct dvk_context dvk_context;

/* Most kernels exist in several variants, and which one is the fastest depends on the device and on the shapes of the
 * model. Each gives features within the same bounds, but not the same bits: dvk_session_info.fingerprint tells which
 * ones a session has. Whatever is chosen has given a known answer on the device before, at most once for each driver
 * and build where there is a cache. */
typedef enum dvk_tuning {
    /* As ON where there is a cache_dir to keep the measurements in, else as OFF. On a software driver, which takes long
     * to compile what is compared, only passes of 10 GFLOP or more are measured. */
    DVK_TUNING_DEFAULT = 0,
    DVK_TUNING_OFF = 1, /* the first variant that the device can run, in an order that is the same everywhere */
    DVK_TUNING_ON = 2   /* the fastest: measured by the first session of a shape, which then takes up to 2 s longer */
} dvk_tuning;

/* For dvk_context_create(), dvk_context_import() and dvk_list_devices(). */
typedef struct dvk_context_params {
    /* Which device: an index ("0"), a part of its name in any case ("radeon"), or its UUID in hex, with or without
     * dashes. NULL or "": the best: discrete, then integrated, then virtual; a software driver only if nothing else is
     * there. More than one name match: the best of them. */
    const char *device;
    dvk_log_callback log; /* may be NULL */
    void *log_user;
    dvk_log_level log_level; /* messages above this level are not formatted */
    /* Where compiled pipelines, and what was learned about their variants, are kept between runs: an existing or
     * creatable directory; NULL or "" for no cache. The file is ignored and rebuilt when it is damaged, of another
     * driver or of another build of the library; failing to write it is never an error. */
    const char *cache_dir;
    /* Ask for VK_LAYER_KHRONOS_validation with synchronisation validation; its messages arrive at `log` as errors.
     * Fails with UNSUPPORTED where the layer is not installed. For tests. */
    bool validation;
    const dvk_allocator *allocator; /* also of the context's models and sessions; NULL: the C library */
    const void *vulkan_allocator;   /* a VkAllocationCallbacks for every Vulkan call that takes one; copied. NULL: none
                                     */
    dvk_tuning tuning;
    /* Which variants of the kernels to use, as dvk_session_print_variants() writes it; NULL or "": not pinned. A line
     * is "kernel/weight/shape = variant", of whose left side each part may be *; later lines overrule earlier ones,
     * empty lines and what follows a # mean nothing. What is not named is chosen as with DVK_TUNING_OFF. A pinned
     * variant that cannot serve on the device, or is not right there, makes dvk_session_create() fail. */
    const char *variants;
    /* Bits of what not to use although the device has it, for comparisons and around a driver's bug. */
    uint32_t disabled_features;
    uint64_t reserved[8]; /* 0 */
} dvk_context_params;

/* Lists the machine's Vulkan devices. *count: in, the capacity of `infos`; out, how many devices there are. At most
 * the capacity is written; infos may be NULL when *count is 0. Of the params (may be NULL) only the allocators matter.
 * Opens and closes a Vulkan instance. Any thread.
 * Errors: NO_VULKAN, OUT_OF_HOST_MEMORY, VULKAN. No device at all is DVK_OK with *count = 0. */
DVK_API dvk_result dvk_list_devices(const dvk_context_params *params, dvk_device_info *infos, uint32_t *count,
                                    dvk_error *error);

/* Opens a device. params may be NULL. Strings in params need to live only during the call; log_user until destroy.
 * Errors: NO_VULKAN, NO_DEVICE, UNSUPPORTED, OUT_OF_*_MEMORY, VULKAN. Any thread. */
DVK_API dvk_result dvk_context_create(const dvk_context_params *params, dvk_context **context, dvk_error *error);

/* All models and sessions of the context must have been destroyed. Waits for nothing: sessions wait for themselves. */
DVK_API void dvk_context_destroy(dvk_context **context);

/* Valid until the context is destroyed. */
DVK_API const dvk_device_info *dvk_context_device(const dvk_context *context);

/* One line for people: the capability tier in use, as "tier S (software driver)". Lives as long as the context. */
DVK_API const char *dvk_context_tier(const dvk_context *context);

/* ------------------------------------------------------------------------------------- the host's device */

/* Vulkan as this header speaks of it, so that it needs no vulkan.h and fits every version of it:
 *   - dispatchable handles (VkInstance, VkPhysicalDevice, VkDevice, VkQueue, VkCommandBuffer) are `void *`;
 *   - other handles (VkSemaphore, VkFence, VkBuffer, VkImageView, ...) are uint64_t: pass `(uint64_t)handle`;
 *   - enumerators and flags (VkFormat, VkImageLayout, ...) are uint32_t;
 *   - functions are dvk_function: pass `(dvk_function)vkGetInstanceProcAddr`. */
typedef void (*dvk_function)(void);

/* What a device can have beyond Vulkan 1.1, and makes the library faster. None of it is needed. */
typedef enum dvk_feature {
    DVK_FEATURE_SUBGROUP_BALLOT = 1 << 0,       /* ballot and basic subgroup operations in compute; nothing to enable */
    DVK_FEATURE_FP16_STORAGE = 1 << 1,          /* storageBuffer16BitAccess */
    DVK_FEATURE_FP16_ARITHMETIC = 1 << 2,       /* shaderFloat16 */
    DVK_FEATURE_SUBGROUP_SIZE_CONTROL = 1 << 3, /* subgroupSizeControl and computeFullSubgroups */
    DVK_FEATURE_COOPERATIVE_MATRIX = 1 << 4,    /* VK_KHR_cooperative_matrix, with vulkanMemoryModel */
    DVK_FEATURE_COOPERATIVE_MATRIX_2 = 1 << 5,  /* VK_NV_cooperative_matrix2: all of its features but reductions */
    DVK_FEATURE_INTEGER_DOT_PRODUCT = 1 << 6,   /* shaderIntegerDotProduct */
    DVK_FEATURE_TIMELINE_SEMAPHORE = 1 << 7,    /* timelineSemaphore; for dvk_semaphore.value */
    DVK_FEATURE_INT64 = 1 << 8                  /* shaderInt64 */
} dvk_feature;

/* A device that the host created and keeps. All handles must outlive the context. What a stock Godot 4, Unity or Unreal
 * has is enough: nothing beyond Vulkan 1.1 is used unless `features` says that it is enabled. */
typedef struct dvk_import {
    dvk_function get_instance_proc_addr; /* a PFN_vkGetInstanceProcAddr; all other functions come through it */
    void *instance;                      /* VkInstance */
    uint32_t api_version;                /* VkApplicationInfo::apiVersion of the instance: 1.1 or later */
    void *physical_device;               /* VkPhysicalDevice */
    void *device;                        /* VkDevice */
    void *queue;                         /* VkQueue of a family that computes; NULL: vkGetDeviceQueue gives it */
    uint32_t queue_family, queue_index;  /* whose queue that is, as given at vkCreateDevice */
    /* dvk_feature bits that were enabled on `device`, attested; 0: none. Those that the device does not offer, or that
     * the library was built without, are left alone with a warning in the log. */
    uint32_t features;
    /* Called around every vkQueueSubmit on `queue`, from the thread that called the library, never nested. Both, or
     * NULL where no other thread uses the queue during calls that submit: dvk_model_load, dvk_session_create,
     * dvk_session_profile, dvk_session_run and dvk_session_submit. */
    void (*lock_queue)(void *user);
    void (*unlock_queue)(void *user);
    void *queue_user;
    uint64_t pipeline_cache; /* VkPipelineCache of the host, used and never destroyed or saved; 0: one of our own */
    uint64_t reserved[8];    /* 0 */
} dvk_import;

/* A context on the host's device. Of the params (may be NULL), `device` and `validation` must be unset: both are the
 * host's decision. Nothing of the host's is destroyed, and nothing waits for its device or its queue.
 *
 *     dvk_import import = {
 *         .get_instance_proc_addr = (dvk_function)vkGetInstanceProcAddr,
 *         .instance = instance, .api_version = VK_API_VERSION_1_2,
 *         .physical_device = physical_device, .device = device,
 *         .queue = queue, .queue_family = family,
 *     };
 *     dvk_context_import(&import, NULL, &context, &error);
 *
 * Several contexts may share a device and a queue, from one thread each, if they have lock_queue.
 * Errors: INVALID_ARGUMENT (the message says which field), UNSUPPORTED (Vulkan 1.0), NO_VULKAN (a function of
 * Vulkan 1.1 is missing), OUT_OF_*_MEMORY, VULKAN. Any thread. */
DVK_API dvk_result dvk_context_import(const dvk_import *import, const dvk_context_params *params, dvk_context **context,
                                      dvk_error *error);

/* What a host may turn on when it creates its device, to make the library faster. */
typedef struct dvk_device_advice {
    uint32_t features; /* dvk_feature bits to attest in dvk_import once all of this is enabled */
    uint32_t extension_count;
    const char *extensions[16]; /* for ppEnabledExtensionNames; static strings */
    /* Feature structures for VkDeviceCreateInfo::pNext, linked, the last one's pNext NULL; NULL: none is needed. They
     * lie in `storage`, so the advice must stay where it is until the device is created. VkPhysicalDeviceFeatures2 may
     * be among them, and then pEnabledFeatures must be NULL. A host that has such structures of its own sets in them
     * what dvk_feature names for each bit, and leaves this chain alone. */
    const void *chain;
    uint64_t storage[128];
    uint64_t reserved[8]; /* 0 today */
} dvk_device_advice;

/* Looks at a physical device of the host's instance. `wanted`: the dvk_feature bits that the host is willing to enable;
 * UINT32_MAX for all. Needs of the import only get_instance_proc_addr, instance, api_version and physical_device.
 *
 *     static dvk_device_advice advice;
 *     dvk_advise_device(&import, UINT32_MAX, &advice, &error);
 *     device_info.pNext = advice.chain;
 *     device_info.enabledExtensionCount = advice.extension_count;
 *     device_info.ppEnabledExtensionNames = advice.extensions;
 *     vkCreateDevice(physical_device, &device_info, NULL, &device);
 *     import.features = advice.features;
 *
 * Errors: INVALID_ARGUMENT, UNSUPPORTED (Vulkan 1.0), NO_VULKAN, OUT_OF_HOST_MEMORY, VULKAN. Any thread. */
DVK_API dvk_result dvk_advise_device(const dvk_import *import, uint32_t wanted, dvk_device_advice *advice,
                                     dvk_error *error);

/* ------------------------------------------------------------------------------------------------- images */

/* A decoded picture. */
typedef struct dvk_image {
    uint32_t width, height;
    uint8_t *pixels;         /* [height][width][3]; owned by the library, free with dvk_image_free */
    dvk_allocator allocator; /* of the pixels */
} dvk_image;

/* For dvk_image_params.flags. */
typedef enum dvk_image_flags {
    DVK_IMAGE_IGNORE_ORIENTATION = 1 << 0 /* leave the pixels as stored, whatever EXIF says */
} dvk_image_flags;

/* For dvk_image_load() and dvk_image_decode(). */
typedef struct dvk_image_params {
    uint32_t flags;                 /* dvk_image_flags */
    const dvk_allocator *allocator; /* NULL: the C library */
    uint64_t reserved[8];           /* 0 */
} dvk_image_params;

/* Decodes PNG, JPEG, BMP, TGA or PNM (P1..P6). At most 16384 pixels a side. Alpha is dropped without blending, gray is
 * repeated, 16-bit colour keeps its high byte and 16-bit gray is clipped at 255, as Pillow's convert("RGB") does; EXIF
 * orientation is applied. A truncated or corrupt file is refused, never half decoded. params may be NULL.
 * Errors: IO, BAD_FILE, UNSUPPORTED (another format), OUT_OF_HOST_MEMORY. Any thread. */
DVK_API dvk_result dvk_image_load(const char *path, const dvk_image_params *params, dvk_image *image, dvk_error *error);

/* The same from memory; `name` stands for the file in messages. */
DVK_API dvk_result dvk_image_decode(const void *bytes, size_t size, const char *name, const dvk_image_params *params,
                                    dvk_image *image, dvk_error *error);

/* Frees the pixels and zeroes the struct. */
DVK_API void dvk_image_free(dvk_image *image);

/* ------------------------------------------------------------------------------------------------- models */

/* How the weights' matrices are stored on the device. */
typedef enum dvk_precision {
    DVK_PRECISION_AUTO = 0, /* as the checkpoint stores its matrices: F16 files fp16, F32 and BF16 files fp32 */
    DVK_PRECISION_FP32 = 1,
    DVK_PRECISION_FP16 = 2, /* matrices stored as fp16 on the device; arithmetic stays fp32 */
    DVK_PRECISION_INT8 = 3  /* matrices stored as int8 with one scale for each output channel, made at load (symmetric,
                               to nearest); a quarter of fp32's memory; arithmetic stays fp32 */
} dvk_precision;

typedef struct dvk_model dvk_model;

/* For dvk_model_load(): from a path or from memory. */
typedef struct dvk_model_params {
    /* A directory as the Hugging Face hub lays it out: config.json, preprocessor_config.json, and the weights as
     * model.safetensors, as the shards of model.safetensors.index.json, or as torch's pytorch_model.bin. Or the path of
     * one of these or of any file of torch.save(), whose neighbours are the other two; an original checkpoint of
     * facebookresearch/dino or dinov2 (.pth) needs neither. Nothing in torch's files is executed. NULL: from memory,
     * below. */
    const char *path;
    /* From memory, all three or none; used only during the call. safetensors may also be a file of torch.save(). */
    const void *config_json, *preprocessor_json, *safetensors;
    size_t config_json_size, preprocessor_json_size, safetensors_size;
    const char *name; /* for messages and info; NULL: the path, or "memory" */
    dvk_precision precision;
    /* A linear classifier that facebookresearch published beside this backbone (dino_*_linearweights.pth,
     * dinov2_*_linear_head.pth, dinov2_*_linear4_head.pth), which gives the model DVK_OUTPUT_LOGITS without names of
     * classes. Its number of features says what it reads, each after the final norm: D the CLS token; 2 D and the mean
     * of the patch tokens; 4 D the CLS tokens of the last four layers; 5 D these and the mean. UNSUPPORTED where that
     * does not fit the model, or the model has a head already. NULL: none. */
    const char *classifier_path;
    const dvk_allocator *allocator; /* of a model without a context, which else gives its own; NULL: the C library */
    uint64_t reserved[8];           /* 0 */
} dvk_model_params;

/* What a model is, as its checkpoint says. */
typedef struct dvk_model_info {
    char name[256];
    char architecture[64]; /* config.json's architectures[0], as "ViTModel" */
    uint32_t hidden_size;  /* D */
    uint32_t layers, heads, head_dim;
    uint32_t mlp_size;
    uint32_t patch_size;                /* pixels a side */
    uint32_t image_width, image_height; /* the preprocessor's size: what width = height = 0 in a session means */
    uint32_t position_grid_width, position_grid_height; /* patches a side in the checkpoint's position table */
    uint32_t prefix_tokens;  /* before the patch tokens: CLS, a distillation token, registers */
    bool has_cls;            /* token 0 is a CLS token */
    bool has_pooler;         /* DVK_OUTPUT_POOLED can be had */
    uint32_t label_count;    /* of DVK_OUTPUT_LOGITS; 0: the model does not classify */
    uint32_t embedding_size; /* of DVK_OUTPUT_EMBEDDING; 0: the model has none */
    dvk_precision precision; /* as stored on the device; never AUTO */
    char stored_dtype[8];    /* "F32", "F16" or "BF16": the file's matrices */
    uint64_t parameters;     /* how many numbers the used tensors hold */
    uint64_t device_bytes;   /* device memory of the weights; 0 for a model loaded without a context */
    char resample[16];       /* the preprocessor's filter: "bilinear", "bicubic", ... */
    float image_mean[3], image_std[3];
    bool untrained;       /* the checkpoint says that its weights are random ("dino_vk_untrained" in
                             config.json): its features mean nothing */
    uint64_t reserved[8]; /* 0 today */
} dvk_model_info;

/* Reads, checks and uploads a checkpoint. context NULL: check and query only, nothing is uploaded and no session can
 * be made. The file is mapped during the call only.
 * Errors: IO, BAD_FILE (with the first offending tensor, its expected and found shape), UNSUPPORTED (another kind of
 * model), OUT_OF_*_MEMORY, DEVICE_LOST, VULKAN. */
DVK_API dvk_result dvk_model_load(dvk_context *context, const dvk_model_params *params, dvk_model **model,
                                  dvk_error *error);

/* All sessions of the model must have been destroyed. */
DVK_API void dvk_model_destroy(dvk_model **model);

/* Valid until the model is destroyed. */
DVK_API const dvk_model_info *dvk_model_get_info(const dvk_model *model);

/* The name of a class of DVK_OUTPUT_LOGITS, as config.json's id2label has it; NULL where the file names none, and from
 * label_count on. Valid until the model is destroyed. */
DVK_API const char *dvk_model_label(const dvk_model *model, uint32_t index);

/* --------------------------------------------------------------------------------------------- preprocess */

/* For dvk_preprocess_params.order. */
typedef enum dvk_resize_order {
    DVK_RESIZE_NEWEST = 0, /* bytes of Pillow 13 and later: tall images are resized vertically first */
    DVK_RESIZE_CLASSIC = 1 /* bytes of Pillow up to 12: always horizontally first */
} dvk_resize_order;

/* For dvk_preprocess() and dvk_preprocess_size(). */
typedef struct dvk_preprocess_params {
    uint32_t width, height; /* both 0: the model's preprocessor size; else the image is resized to exactly this */
    dvk_resize_order order;
    uint64_t reserved[8]; /* 0 */
} dvk_preprocess_params;

/* The size that dvk_preprocess will write for an image of this size. It depends on the image only where the
 * preprocessor resizes by the shortest edge and does not crop. */
DVK_API void dvk_preprocess_size(const dvk_model *model, const dvk_preprocess_params *params, const dvk_image *image,
                                 uint32_t *width, uint32_t *height);

/* Resizes and normalises as the model's preprocessor_config.json says, bit for bit as transformers' Pillow processor.
 * DINOv3's processor never rounds to bytes: its values are met to 1e-6, and `order` has no meaning.
 * pixel_values: [3][height][width] of dvk_preprocess_size(). resized (may be NULL): the resized, not normalised bytes,
 * [height][width][3], for drawing over. Runs on the CPU. Any thread. Errors: INVALID_ARGUMENT, OUT_OF_HOST_MEMORY. */
DVK_API dvk_result dvk_preprocess(const dvk_model *model, const dvk_preprocess_params *params, const dvk_image *image,
                                  float *pixel_values, uint8_t *resized, dvk_error *error);

/* ----------------------------------------------------------------------------------------------- sessions */

/* What a session computes. T = prefix_tokens + patches; patches = floor(height / patch_size) * floor(width /
 * patch_size), row by row; D = hidden_size; H = heads. Shapes are per image.
 *
 * What "pooled" is depends on the model, as transformers' pooler_output does:
 *     ViT, DeiT                       tanh(dense(CLS)), only where the checkpoint has a pooler (DINO's have none)
 *     DINOv2, DINOv3                  the CLS token of last_hidden_state
 *     CLIP                            the final layer norm of the CLS token; last_hidden_state itself is not normalised
 *     SigLIP                          the attention-pooling head
 *     ViT-MSN, I-JEPA                 none
 * I-JEPA and SigLIP have no CLS token: CLS and ATTENTION are refused, use MEAN or POOLED. */
typedef enum dvk_output {
    DVK_OUTPUT_LAST_HIDDEN_STATE = 0, /* [T][D]: after the final layer norm (CLIP: before it) */
    DVK_OUTPUT_CLS = 1,               /* [D]: token 0 of it */
    DVK_OUTPUT_PATCHES = 2,           /* [T - prefix_tokens][D]: the patch tokens of it */
    DVK_OUTPUT_MEAN = 3,              /* [D]: mean of the patch tokens */
    DVK_OUTPUT_POOLED = 4,            /* [D]: see above */
    DVK_OUTPUT_ATTENTION = 5,         /* [H][T]: last layer, softmax row of the CLS token, its own column 0 included */
    DVK_OUTPUT_LOGITS = 6,            /* [label_count]: classifiers; DeiT with a teacher: the mean of both heads */
    DVK_OUTPUT_EMBEDDING = 7,         /* [embedding_size]: CLIP's image_embeds, not scaled to length 1 */
    DVK_OUTPUT_COUNT = 8
} dvk_output;

#define DVK_OUTPUT_BIT(output) (1u << (output))

/* A picture that is on the device already, so that nothing passes through host memory: the first ops of the pass resize
 * it and normalise it as the model's preprocessor_config.json says.
 *
 * Texels are brought to bytes first (the nearest of 256 levels; what is below 0 or no number becomes 0, what is above 1
 * becomes 255), as if the picture had been saved in a file, and from there on everything is what dvk_preprocess() does,
 * to the bit on every device: the resampling is Pillow's, in integers. Of DINOv3's processor, which resizes in floating
 * point, the values are met to 1e-5. Alpha is ignored.
 *
 * The preprocessor's resize, crop, rescale and normalise are all done; every filter and every size that
 * dvk_preprocess() takes, a source takes, too. With width = height = 0 in dvk_session_params the input has the
 * preprocessor's size for a picture of the region's size; else the region is resized to exactly width x height.
 *
 * Another size or region of the source is another session: the sizes decide how many workgroups run, which is recorded.
 * (Sessions of one model share its weights and pipelines.) */
typedef enum dvk_source_kind {
    DVK_SOURCE_PIXEL_VALUES = 0, /* none: dvk_session_run() takes normalised floats from the host */
    DVK_SOURCE_IMAGE = 1,        /* a VkImageView: see `format` */
    DVK_SOURCE_RGBA8 = 2,        /* a VkBuffer of packed bytes, red, green, blue, alpha */
    DVK_SOURCE_BGRA8 = 3,        /* ... blue, green, red, alpha */
    DVK_SOURCE_RGB8 = 4,        /* ... red, green, blue; whole words are read, so that the buffer must reach to the next
                                   multiple of 4 bytes behind the last pixel */
    DVK_SOURCE_FLOAT_PLANES = 5 /* a VkBuffer of [3][height][width] floats: red, green, blue; black 0, white 1 */
} dvk_source_kind;

/* What the stored numbers of a picture are. The model wants sRGB-encoded values, as files have them. */
typedef enum dvk_colour {
    DVK_COLOUR_SRGB = 0,  /* sRGB-encoded: taken as they are. Those of an _SRGB format are, too: they arrive in shaders
                             decoded, are encoded again, and give the very bytes that are stored */
    DVK_COLOUR_LINEAR = 1 /* proportional to light, as rgba16f of a renderer often is: clamped to 0..1 and encoded */
} dvk_colour;

/* What the pictures of a session are; which ones, dvk_session_bind() says. */
typedef struct dvk_source_desc {
    dvk_source_kind kind;
    /* IMAGE: the VkFormat of the view, which has to be of type 2D, colour aspect, one level and one layer, of an image
     * with VK_IMAGE_USAGE_SAMPLED_BIT and one sample: R8G8B8A8, B8G8R8A8, A8B8G8R8_PACK32 (each UNORM or SRGB),
     * A2B10G10R10_UNORM_PACK32, R16G16B16A16_SFLOAT, R32G32B32A32_SFLOAT or B10G11R11_UFLOAT_PACK32. */
    uint32_t format;
    dvk_colour colour;
    uint32_t width, height; /* of the whole picture */
    uint32_t x, y, region_width,
        region_height; /* the part that the model sees, as if cut out before; all 0: the whole */
    /* Buffers: bytes from row to row, a multiple of 4 but for RGB8, and from plane to plane; 0: dense. */
    uint64_t row_pitch, plane_pitch;
    dvk_resize_order order; /* as in dvk_preprocess_params */
    uint64_t reserved[8];   /* 0 */
} dvk_source_desc;

/* Where a pass leaves something on the device, for shaders of the host's, without host memory in between. A target has
 * the outputs that it needs computed; dvk_session_params.outputs says only what can be read back, too.
 *
 * Pictures are one value a patch (attention) or three (PCA), brought to 0..1 and scaled to the image's size. They are
 * numbers, not colours: a view in an sRGB format must not write them, and in rgba8 they are what a display would be
 * given. Alpha is 1. Writes to images need no optional feature: formats are those that every device stores to. */
typedef enum dvk_target_kind {
    DVK_TARGET_BUFFER = 1,    /* `output` of all images as floats, dense: [batch][..]; to a VkBuffer */
    DVK_TARGET_ATTENTION = 2, /* the CLS token's attention of the last layer to each patch, least 0, largest 1: the same
                                 in red, green and blue */
    DVK_TARGET_PCA = 3,       /* red, green, blue: the patch tokens in a basis; 1st percentile 0, 99th 1 */
    DVK_TARGET_FEATURES = 4   /* the patch tokens themselves as a 2D array image of grid_width x grid_height texels and
                                 D / 4 layers: texel (x, y) of layer l has columns 4 l .. 4 l + 3 of patch (x, y), so
                                 that a sampler interpolates between patches and never between columns */
} dvk_target_kind;

/* How a picture of patches fills a larger image. */
typedef enum dvk_target_filter {
    DVK_TARGET_NEAREST = 0, /* a block a patch */
    DVK_TARGET_BILINEAR = 1 /* between the patches' centres */
} dvk_target_filter;

/* One target of a session; which buffer or image that is, dvk_session_bind() says. */
typedef struct dvk_target_desc {
    dvk_target_kind kind;
    uint32_t image;    /* which of the batch; not BUFFER, which has all */
    dvk_output output; /* BUFFER */
    /* Images: the VkFormat of the view. ATTENTION: R8G8B8A8_UNORM, R16G16B16A16_SFLOAT, R32G32B32A32_SFLOAT or
     * R32_SFLOAT; PCA: the first three; FEATURES: R16G16B16A16_SFLOAT or R32G32B32A32_SFLOAT. */
    uint32_t format;
    uint32_t width, height; /* ATTENTION, PCA: texels of the image; both 0: grid_width x grid_height */
    dvk_target_filter filter;
    uint32_t head; /* ATTENTION: 0: the mean of all heads; n: head n - 1 */
    /* PCA: the mean [D] and three directions [3][D] of the host's, as tools that look at many pictures make them; used
     * only during the call. A basis that stays gives colours that stay from frame to frame. Both NULL: the image's own
     * directions of largest variance, searched in the pass by twelve steps of an orthogonal iteration from a fixed
     * start; colours then follow the picture, and may change places between frames. */
    const float *mean, *basis;
    uint64_t reserved[8]; /* 0 */
} dvk_target_desc;

enum { DVK_MAX_TARGETS = 8 };

typedef struct dvk_session dvk_session;

/* For dvk_session_create() and dvk_model_estimate(). */
typedef struct dvk_session_params {
    uint32_t batch;         /* images per pass; 0 = 1 */
    uint32_t width, height; /* pixels of the input; both 0: the model's preprocessor size. At least one patch. Other
                               sizes interpolate the position table as transformers' interpolate_pos_encoding. Edge
                               pixels beyond the last whole patch are unused. */
    uint32_t outputs;       /* DVK_OUTPUT_BIT()s; 0 = CLS alone, or MEAN where the model has no CLS token. CLS, PATCHES
                               and LAST_HIDDEN_STATE share storage. */
    /* Interpolate positions as DINO's and DINOv2's own code and older releases of transformers do: by a scale factor of
     * (new size + 0.1) / (old size), which shifts the table by up to a twentieth of a cell at 480x480. Affects models
     * whose positions are resized by plain bicubic, at sizes other than their own. */
    bool dino_scale_factor;
    const dvk_source_desc *source;  /* of every image of the batch; copied. NULL: pixel values come from the host */
    const dvk_target_desc *targets; /* [target_count]; copied */
    uint32_t target_count;          /* at most DVK_MAX_TARGETS */
    /* A pass is submitted in parts that are believed to take no longer than this, so that no watchdog ends it and the
     * device's other users get their turns. 0: 200 ms on GPUs, one part on software drivers, which have no watchdog.
     * UINT32_MAX: one part. The parts' bits are those of the whole. */
    uint32_t submit_budget_ms;
    /* How many passes may be under way at a time, each in a slot of its own with its own input and output; 0 = 1, at
     * most DVK_MAX_SLOTS. They run one after the other on the device: slots let the host prepare the next pass and read
     * the last one meanwhile. */
    uint32_t in_flight;
    uint64_t reserved[8]; /* 0 */
} dvk_session_params;

enum { DVK_MAX_SLOTS = 16, DVK_MAX_SEMAPHORES = 8 };

/* A place in a pass, between two workgroups: all before it is done, and workgroup `group` of dispatch `op` is next. The
 * start is {0, 0}; dvk_session_info.end is the end. */
typedef struct dvk_position {
    uint32_t op, group;
} dvk_position;

/* What a session computes and what it costs. */
typedef struct dvk_session_info {
    uint32_t batch, width, height;
    uint32_t grid_width, grid_height; /* patches a side */
    uint32_t tokens;                  /* T */
    uint32_t dispatches;              /* of one pass */
    uint32_t submissions;             /* of one pass; see submit_budget_ms */
    uint64_t flops;                   /* of one pass, a multiply-add counted as two */
    uint64_t device_bytes;            /* device memory of this session, weights not counted */
    uint64_t host_bytes;              /* of which mapped for input and output */
    uint32_t slots;                   /* in_flight as it is */
    dvk_position end;                 /* of the pass */
    double prepare_ms;                /* choosing variants, creating pipelines, memory and the recording */
    /* 16 hex digits that stand for the kernels' variants and code: sessions of one model with the same fingerprint on
     * the same driver give the same bits, whatever their batch. */
    char fingerprint[17];
    uint64_t reserved[8]; /* 0 today */
} dvk_session_info;

/* What a session would compute and need, as dvk_session_info tells it of one that exists. */
typedef struct dvk_estimate {
    uint32_t batch, width, height;
    uint32_t grid_width, grid_height;
    uint32_t tokens;
    uint64_t flops;
    uint64_t weight_bytes[4]; /* device memory of the weights by dvk_precision; [AUTO]: as the model was loaded */
    uint64_t session_bytes;   /* device memory of the session, what is mapped for input and output included */
    uint64_t reserved[8];     /* 0 today */
} dvk_estimate;

/* Needs no device: the model may have been loaded without a context. params may be NULL. A device's own rounding of
 * allocations is not in it. Errors: INVALID_ARGUMENT and UNSUPPORTED as dvk_session_create(), OUT_OF_HOST_MEMORY. */
DVK_API dvk_result dvk_model_estimate(const dvk_model *model, const dvk_session_params *params, dvk_estimate *estimate,
                                      dvk_error *error);

/* Allocates, writes descriptor sets, and records the pass once. params may be NULL.
 * Errors: INVALID_ARGUMENT, UNSUPPORTED (beyond a limit of the device; the message says which), OUT_OF_*_MEMORY,
 * DEVICE_LOST, VULKAN. */
DVK_API dvk_result dvk_session_create(dvk_model *model, const dvk_session_params *params, dvk_session **session,
                                      dvk_error *error);

/* Waits for what dvk_session_submit() has under way, and for nothing else: command buffers of the host that use the
 * session must be done by then. */
DVK_API void dvk_session_destroy(dvk_session **session);

/* Valid until the session is destroyed. */
DVK_API const dvk_session_info *dvk_session_get_info(const dvk_session *session);

/* Where a session's sources are. Handles are Vulkan's, which stay the host's; they must live, and keep what they show,
 * until the passes that were submitted or recorded with them are done. */
typedef struct dvk_source_binding {
    uint64_t view;   /* IMAGE: VkImageView */
    uint32_t layout; /* IMAGE: its VkImageLayout in the pass, SHADER_READ_ONLY_OPTIMAL or GENERAL; 0: the former */
    uint64_t buffer; /* else: VkBuffer, with VK_BUFFER_USAGE_STORAGE_BUFFER_BIT */
    uint64_t offset; /* of the picture's first byte; a multiple of minStorageBufferOffsetAlignment, as 256 always is */
    uint64_t reserved[4]; /* 0 */
} dvk_source_binding;

/* Where a target goes. The same until the passes that write it are done. */
typedef struct dvk_target_binding {
    uint64_t buffer; /* BUFFER: VkBuffer, with VK_BUFFER_USAGE_STORAGE_BUFFER_BIT */
    uint64_t offset; /* of the first float; a multiple of minStorageBufferOffsetAlignment, as 256 always is */
    uint64_t
        view; /* else: VkImageView of type 2D, for FEATURES 2D_ARRAY, of an image with VK_IMAGE_USAGE_STORAGE_BIT */
    /* Who sees to the layouts. 0: the host, which gives the image in VK_IMAGE_LAYOUT_GENERAL and finds it so; the
     * writes are in stage COMPUTE_SHADER, access SHADER_WRITE. The VkImage (all of its layers, level 0, colour): the
     * pass takes it from whatever layout, its contents are lost, and leaves it in `final_layout`, visible to all that
     * follows on the queue. */
    uint64_t image;
    uint32_t final_layout; /* VkImageLayout, as SHADER_READ_ONLY_OPTIMAL; 0: GENERAL */
    uint64_t reserved[4];  /* 0 */
} dvk_target_binding;

/* For dvk_session_bind(). */
typedef struct dvk_bindings {
    const dvk_source_binding *sources; /* [source_count]: of image 0, 1, ... of the batch */
    uint32_t source_count;             /* 1..batch; the images beyond it repeat the last, and do not count */
    const dvk_target_binding *targets; /* [target_count], in the order of dvk_session_params */
    uint32_t target_count;             /* all of them */
    uint64_t reserved[8];              /* 0 */
} dvk_bindings;

/* Says which pictures the passes of a slot read and write from now on, by writing descriptors: nothing is copied, no
 * command is submitted, nothing is allocated. Every slot of a session with a source or targets has to be bound before
 * its first pass, and may be bound again whenever it has no pass under way; the host's command buffers that hold the
 * slot's ops are invalid then and have to be recorded anew. With in_flight slots taken in turn, each frame may bind a
 * picture of its own.
 *
 * Before the pass, what wrote the picture must have been made visible to compute shaders (stage COMPUTE_SHADER, access
 * SHADER_READ), in the stated layout and owned by the context's queue family. The pass does not write it and leaves it
 * in that layout. DVK_TIMEOUT: the slot is under way, nothing is bound. Errors: INVALID_ARGUMENT, DEVICE_LOST. */
DVK_API dvk_result dvk_session_bind(dvk_session *session, uint32_t slot, const dvk_bindings *bindings,
                                    dvk_error *error);

/* Runs the recorded pass on `count` (1..batch) images and waits for it. pixel_values: [count][3][height][width]; NULL
 * in a session with a source. Replays of the same input give the same bits. Uses slot 0, which must not be under way:
 * else DVK_TIMEOUT, and nothing is done. Errors: INVALID_ARGUMENT, DEVICE_LOST, INCOMPLETE, VULKAN. */
DVK_API dvk_result dvk_session_run(dvk_session *session, const float *pixel_values, uint32_t count, dvk_error *error);

/* The shape of one image's output: writes up to 2 extents, returns how many (0: the session does not compute it). */
DVK_API uint32_t dvk_session_shape(const dvk_session *session, dvk_output output, uint32_t shape[2]);

/* Copies an output of the last run's image `index` (0..count-1) into `values`, which holds `capacity` floats.
 * Errors: INVALID_ARGUMENT (output not asked for, index out of range, capacity too small, nothing was run). */
DVK_API dvk_result dvk_session_read(const dvk_session *session, dvk_output output, uint32_t index, float *values,
                                    size_t capacity, dvk_error *error);

/* ------------------------------------------------------------------------------------- passes under way */

/* Submitting without waiting. Each pass under way has a slot, 0 .. in_flight - 1:
 *
 *     dvk_session_write(session, slot, pixel_values, count, &error);
 *     dvk_session_submit(session, &(dvk_submit_params){.slot = slot}, &error);
 *     ... other work; dvk_session_wait(session, slot, 0, &error) == DVK_TIMEOUT while the device is not done ...
 *     dvk_session_wait(session, slot, UINT64_MAX, &error);
 *     dvk_session_read_slot(session, slot, DVK_OUTPUT_CLS, 0, values, capacity, &error);
 *
 * dvk_session_run() and dvk_session_read() are this with slot 0. */

/* Copies the pixels of `count` (1..batch) images, [count][3][height][width], to the slot's input, where they stay until
 * the next write. They have left pixel_values when this returns.
 * DVK_TIMEOUT: the slot is under way, nothing is written. Errors: INVALID_ARGUMENT, DEVICE_LOST, VULKAN. */
DVK_API dvk_result dvk_session_write(dvk_session *session, uint32_t slot, const float *pixel_values, uint32_t count,
                                     dvk_error *error);

/* A semaphore of the host's. */
typedef struct dvk_semaphore {
    uint64_t handle; /* VkSemaphore */
    uint64_t value;  /* 0: a binary one. Else a timeline semaphore's, with DVK_FEATURE_TIMELINE_SEMAPHORE attested */
} dvk_semaphore;

/* For dvk_session_submit(). */
typedef struct dvk_submit_params {
    uint32_t slot;
    uint32_t wait_count, signal_count; /* at most DVK_MAX_SEMAPHORES each */
    const dvk_semaphore *wait;         /* the pass begins after them; NULL if wait_count is 0 */
    const dvk_semaphore *signal;       /* after the pass, its outputs available to whoever waits for them */
    uint64_t fence;                    /* VkFence of the host, unsignalled: signalled after the pass, too; 0: none */
    uint64_t reserved[8];              /* 0 */
} dvk_submit_params;

/* Submits the pass on the slot's input and returns at once; allocates nothing. params may be NULL. On a failure nothing
 * is under way, and no semaphore may be relied on.
 * DVK_TIMEOUT: the slot is under way, nothing is submitted. Errors: INVALID_ARGUMENT, DEVICE_LOST, OUT_OF_*_MEMORY,
 * VULKAN. */
DVK_API dvk_result dvk_session_submit(dvk_session *session, const dvk_submit_params *params, dvk_error *error);

/* Waits up to timeout_ns nanoseconds for the slot's pass; 0 only asks, UINT64_MAX waits for ever. Then the outputs can
 * be read. DVK_OK where nothing is under way. DVK_TIMEOUT: not done yet. Errors: INVALID_ARGUMENT, DEVICE_LOST,
 * INCOMPLETE, VULKAN. */
DVK_API dvk_result dvk_session_wait(dvk_session *session, uint32_t slot, uint64_t timeout_ns, dvk_error *error);

/* dvk_session_read() of any slot: of the last pass that was waited for, or that the host recorded with
 * DVK_RECORD_READBACK and knows to be done. */
DVK_API dvk_result dvk_session_read_slot(const dvk_session *session, uint32_t slot, dvk_output output, uint32_t index,
                                         float *values, size_t capacity, dvk_error *error);

/* ------------------------------------------------------------------- in the host's command buffer */

/* For dvk_record_params.flags. */
typedef enum dvk_record_flags {
    DVK_RECORD_UPLOAD =
        1 << 0, /* at the start of the pass, take the input from what dvk_session_write() put in the slot */
    DVK_RECORD_READBACK = 1 << 1 /* at its end, copy the outputs to where dvk_session_read_slot() finds them */
} dvk_record_flags;

/* For dvk_session_record(). */
typedef struct dvk_record_params {
    void *command_buffer; /* VkCommandBuffer, recording, primary or secondary, outside a render pass, of a pool of the
                             import's queue family */
    uint32_t slot;        /* whose input and output */
    uint32_t flags;       /* dvk_record_flags */
    uint32_t count;       /* images that count, for dvk_session_read_slot(); 0: all of the batch */
    dvk_position first, last; /* the range to record; last {0, 0}: to the end */
    uint64_t reserved[8];     /* 0 */
} dvk_record_params;

/* Records the pass, or a range of it, into the host's command buffer. Submits nothing, allocates nothing, waits for
 * nothing; it may be called again and again, and a command buffer that holds it may be submitted again and again.
 *
 * Ranges of a pass must be executed on one queue in the order of their positions, each once, with no other pass of the
 * session in between; they may be in one command buffer or in many, submitted at any time. The bits are those of the
 * whole.
 *
 * State: the pipeline, descriptor set 0 and the push constants of the compute bind point are undefined after it;
 * nothing else is touched.
 *
 * Synchronisation: every range begins with a barrier that makes it follow all earlier passes and ranges on the queue.
 *   - Before a pass with DVK_RECORD_UPLOAD nothing is needed: dvk_session_write() before the submission is enough.
 *   - After it, outputs on the device were written by VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT.
 *   - After DVK_RECORD_READBACK, they are available to the host once a fence of the submission has signalled.
 *
 * The host's command buffers must be done before the slot is written, submitted, or the session destroyed.
 * Errors: INVALID_ARGUMENT (a position out of range or order, an undeclared flag, a slot that does not exist). */
DVK_API dvk_result dvk_session_record(dvk_session *session, const dvk_record_params *params, dvk_error *error);

/* How far a pass gets from `from` within budget_us microseconds, at least one workgroup further, so that a loop over it
 * ends. The budget is what hardly any slice exceeds (99 of 100 do not), so that most take less. It goes by the costs
 * that dvk_session_profile() measured, counted double, or by estimates, which are meant for slow devices and cut finer
 * than needed; once dvk_session_learn() was told of slices, by these:
 *
 *     dvk_position at = {0, 0}, end = dvk_session_get_info(session)->end;
 *     dvk_record_params params = {.command_buffer = commands};
 *     while (at.op < end.op) { // one turn a frame
 *         params.first = at;
 *         params.last = at = dvk_session_slice(session, at, 4000);
 *         dvk_session_record(session, &params, &error);
 *     }
 *
 * From the end or beyond, the end. */
DVK_API dvk_position dvk_session_slice(const dvk_session *session, dvk_position from, uint32_t budget_us);

/* Tells that a range which dvk_session_record() recorded took took_us microseconds on the device, so that the next
 * slices are cut by it: a mean and a spread are kept for each kind of op. By the host's timestamps around the range,
 * read whenever they are there, frames later, too; or from its submission to its fence where nothing else was
 * submitted. Times that are not told do no harm. Forgotten by dvk_session_profile(). Never allocates or waits.
 * Errors: INVALID_ARGUMENT (no range of the pass). */
DVK_API dvk_result dvk_session_learn(dvk_session *session, dvk_position first, dvk_position last, uint32_t took_us,
                                     dvk_error *error);

/* ------------------------------------------------------------------------------------------- for people */

/* What one operation of a pass took; strings live as long as the session. */
typedef struct dvk_op_profile {
    const char *label;            /* "layer 3 intermediate" */
    const char *kernel, *variant; /* "matmul", "matmul_tiled_fp32" */
    uint64_t flops, bytes;        /* arithmetic; the least that must be read and written */
    uint64_t start_ns, ns;        /* from the start of the first one; how long */
    uint64_t reserved[4];         /* 0 today */
} dvk_op_profile;

/* Runs the pass once more on the last run's input and times every operation, by the device's clock where it has one.
 * Operations that could overlap wait for each other, so the sum is a little more than a run takes. From now on the
 * session's submissions are cut by these times: profile after a first run, because drivers compile late. ops may be
 * NULL when capacity is 0; dvk_session_info.dispatches says how many there are. Slot 0 and its outputs stay as they
 * were. DVK_TIMEOUT: a slot is under way. Errors: as dvk_session_run(). */
DVK_API dvk_result dvk_session_profile(dvk_session *session, dvk_op_profile *ops, uint32_t capacity, dvk_error *error);

/* The plan, as text for people: one line an op with kernel, variant, grid, work and buffers. Writes at most `size`
 * bytes with the NUL and returns the length the whole text has, as snprintf does. text may be NULL when size is 0. */
DVK_API size_t dvk_session_print_plan(const dvk_session *session, char *text, size_t size);

/* The variants that the session uses, one line for each kernel and shape, as dvk_context_params.variants takes them.
 * Returns and writes as dvk_session_print_plan(). */
DVK_API size_t dvk_session_print_variants(const dvk_session *session, char *text, size_t size);

/* A variant of a kernel, and what became of it on a device. */
typedef struct dvk_variant_info {
    char kernel[32], variant[64];
    char use[64];         /* "kernel/weight/shape" that it was compared for; "" where it was not */
    bool chosen;          /* for that use */
    double gflops;        /* measured for it; 0: not measured, or so slow that nothing was measured */
    char refused[192];    /* why the device does not use it at all, in words; "": it may */
    uint64_t reserved[8]; /* 0 today */
} dvk_variant_info;

/* The variants of all kernels as the context knows them by now: which ones its sessions chose, which were slower, and
 * why the others are not used. *count: in, the capacity of `infos`; out, how many entries there are. At most the
 * capacity is written; infos may be NULL when *count is 0. Errors: INVALID_ARGUMENT. */
DVK_API dvk_result dvk_context_variants(const dvk_context *context, dvk_variant_info *infos, uint32_t *count,
                                        dvk_error *error);

/* What came of proving a variant. */
typedef struct dvk_proof {
    char kernel[32], variant[64];
    char refused[192];    /* why the device cannot run it, in words; "": it can */
    char wrong[192];      /* in what way an answer was wrong; "": none was, or none was asked for */
    uint32_t programs;    /* so many were compiled and proved, each with other specialisation constants. 0 with an empty
                             `refused`: a kernel of pictures, which has one variant and no known answer */
    uint32_t variants;    /* of this build: indices are below it */
    uint64_t reserved[4]; /* 0 today */
} dvk_proof;

/* Proves one variant of all, by its index, whether or not sessions would choose it: each of its programs solves a small
 * problem `repeats` times (1 to 1024), and the answers must be right and the same to the bit. Sessions do the same with
 * what they use, and fewer repeats; this is for reports about a device. What is wrong is DVK_OK, with proof->wrong, and
 * is not used by the context's sessions from then on. As dvk_session_create() as to threads, and its errors but
 * DVK_ERROR_UNSUPPORTED; INVALID_ARGUMENT also for an index beyond the last. */
DVK_API dvk_result dvk_context_prove(dvk_context *context, uint32_t index, uint32_t repeats, dvk_proof *proof,
                                     dvk_error *error);

#ifdef __cplusplus
}
#endif
#endif /* DINO_VK_H_ */
