/* Buffers with memory of their own. A session has about ten, a model one per 256 MiB, so nothing is sub-allocated. */
#ifndef DVK_BUFFER_H_
#define DVK_BUFFER_H_

#include "context.h"

typedef enum dvk_buffer_use {
    DVK_BUFFER_STORAGE, /* shaders read and write, copies go in and out; device-local */
    DVK_BUFFER_WEIGHTS, /* the same, and mapped where its memory can be, for dvk_upload_room() */
    DVK_BUFFER_UPLOAD,  /* host writes, copies read; mapped */
    DVK_BUFFER_READBACK /* copies write, host reads; mapped, cached where there is such a type */
} dvk_buffer_use;

typedef struct dvk_buffer {
    VkBuffer handle;
    VkDeviceMemory memory;
    VkDeviceSize size;      /* as asked for */
    VkDeviceSize allocated; /* as the driver took it */
    void *mapped;           /* NULL where it is not */
    bool coherent;
} dvk_buffer;

/* `what` names the buffer in messages. On failure *buffer is zeroed. */
dvk_result dvk_buffer_create(dvk_context *context, dvk_buffer_use use, VkDeviceSize size, const char *what,
                             dvk_buffer *buffer, dvk_error *error);
/* Accepts a zeroed buffer and zeroes it. The device must be done with it. */
void dvk_buffer_destroy(dvk_context *context, dvk_buffer *buffer);

/* Ends the host's access to memory that the device reads from now on. */
dvk_result dvk_buffer_unmap(dvk_context *context, dvk_buffer *buffer, dvk_error *error);

/* Make the host's writes visible to the device, and the device's to the host; nothing to do for coherent memory. */
dvk_result dvk_buffer_flush(dvk_context *context, const dvk_buffer *buffer, dvk_error *error);
dvk_result dvk_buffer_invalidate(dvk_context *context, const dvk_buffer *buffer, dvk_error *error);

#endif
