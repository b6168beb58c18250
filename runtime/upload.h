/* Host memory to device buffers: into those that are mapped, to the others through one bounded staging buffer, which is
 * made when it is needed. */
#ifndef DVK_UPLOAD_H_
#define DVK_UPLOAD_H_

#include "buffer.h"

enum { DVK_STAGING_BYTES = 8 << 20 };

typedef struct dvk_uploader {
    dvk_context *context;
    dvk_buffer staging;
    VkCommandBuffer commands;
    VkFence fence;
    VkDeviceSize used;
    bool recording;
} dvk_uploader;

dvk_result dvk_uploader_open(dvk_context *context, dvk_uploader *uploader, dvk_error *error);
void dvk_uploader_close(dvk_uploader *uploader);

/* Copies `size` bytes (a multiple of 4) to `target` at `offset`. They have left `bytes` when this returns and may reach
 * the device later. */
dvk_result dvk_upload(dvk_uploader *uploader, const void *bytes, VkDeviceSize size, const dvk_buffer *target,
                      VkDeviceSize offset, dvk_error *error);

/* Where `size` bytes (a multiple of 4, at most DVK_STAGING_BYTES) are to be written, all of them and before the next
 * call, to come to `target` at `offset`. The memory may be one that is slow to read. */
dvk_result dvk_upload_room(dvk_uploader *uploader, VkDeviceSize size, const dvk_buffer *target, VkDeviceSize offset,
                           void **room, dvk_error *error);

/* Submits what is staged and waits for it. */
dvk_result dvk_upload_finish(dvk_uploader *uploader, dvk_error *error);

#endif
