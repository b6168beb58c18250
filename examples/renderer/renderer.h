/* A small renderer that knows nothing of neural networks: its own Vulkan instance, device and command buffer, a moving
 * scene, and an overlay over it. Nothing is shown on a screen; frames are written as PPM files. One frame is under way
 * at a time. A failed Vulkan call ends the program. */
#ifndef RENDERER_H_
#define RENDERER_H_

#include <stdint.h>
#include <vulkan/vulkan.h>

typedef struct picture {
    VkFormat format; /* of 4 bytes a texel */
    uint32_t width, height;
    VkImage image;
    VkDeviceMemory memory;
    VkImageView view;
} picture;

typedef struct renderer {
    uint32_t api_version;
    VkInstance instance;
    VkPhysicalDevice physical_device;
    VkDevice device;
    uint32_t queue_family; /* of graphics and compute */
    VkQueue queue;
    VkCommandPool command_pool;
    VkCommandBuffer commands;
    VkFence fence;
    VkQueryPool stamps; /* 2; none where the queue has no timestamps */
    double ns_per_stamp;

    picture scene, screen; /* without and with the overlay; SHADER_READ_ONLY_OPTIMAL between frames */
    VkRenderPass render_pass;
    VkFramebuffer scene_frame, screen_frame;
    VkSampler sampler;
    VkDescriptorSetLayout set_layout;
    VkDescriptorPool descriptor_pool;
    VkDescriptorSet overlay_set;
    VkPipelineLayout layout;
    VkPipeline scene_pipeline, overlay_pipeline;

    VkBuffer readback;
    VkDeviceMemory readback_memory;
    const uint8_t *pixels; /* of the readback buffer */
} renderer;

void renderer_open(renderer *r, uint32_t width, uint32_t height);
void renderer_close(renderer *r);

/* Pictures of at most the screen's size. They begin black and are in SHADER_READ_ONLY_OPTIMAL. */
picture picture_create(renderer *r, VkFormat format, VkImageUsageFlags usage, uint32_t width, uint32_t height);
void picture_destroy(renderer *r, picture *p);
void picture_copy(VkCommandBuffer commands, const picture *from, const picture *to);
/* Between frames: PPM, or PGM of the red channel alone. */
void picture_save_ppm(renderer *r, const picture *p, const char *path);
void picture_save_pgm(renderer *r, const picture *p, const char *path);

/* Begins the frame's command buffer and draws the scene, outside a render pass after it. */
VkCommandBuffer renderer_begin_frame(renderer *r, float seconds);
/* Around commands of the frame, to know what they take on the device: `which` is 0 before and 1 after them. */
void renderer_stamp(renderer *r, uint32_t which);
/* After the frame: the microseconds between the two; 0 where the queue has no timestamps. */
uint32_t renderer_stamped_us(renderer *r);
/* Draws the overlay of a map in red, submits the frame and waits for its fence. Strength 0: no overlay. */
void renderer_end_frame(renderer *r, const picture *map, float strength);

#endif
