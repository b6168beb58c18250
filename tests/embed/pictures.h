/* A host's images and buffers, to be read and written by the library and looked at by the tests. */
#ifndef DVK_TEST_PICTURES_H_
#define DVK_TEST_PICTURES_H_

#include "host.h"

/* Mapped for as long as it lives; a storage buffer, and the source or target of copies. */
typedef struct test_memory {
    VkBuffer buffer;
    VkDeviceMemory memory;
    void *mapped;
    VkDeviceSize size;
} test_memory;

test_memory memory_create(test_host *host, VkDeviceSize size);
void memory_destroy(test_host *host, test_memory *memory);

typedef struct test_picture {
    VkImage image;
    VkImageView view;
    VkDeviceMemory memory;
    VkFormat format;
    VkImageLayout layout;
    uint32_t width, height, layers;
    uint32_t texel_bytes;
} test_picture;

/* layers 0: a view of type 2D; else 2D_ARRAY. In layout UNDEFINED. */
test_picture picture_create(test_host *host, VkFormat format, VkImageUsageFlags usage, uint32_t width, uint32_t height,
                            uint32_t layers);
void picture_destroy(test_host *host, test_picture *picture);

/* Dense texels, in and out; the picture is in `layout` afterwards. */
void picture_write(test_host *host, test_picture *picture, const void *texels, VkImageLayout layout);
void picture_read(test_host *host, test_picture *picture, void *texels);

#endif
