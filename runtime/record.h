/* A range of a plan's ops into a command buffer: bind, push, dispatch, and the barriers between them. */
#ifndef DVK_RECORD_H_
#define DVK_RECORD_H_

#include "schedule.h"

/* An image of the host's whose layout is seen to; image 0: the host does that, or the target is a buffer. */
typedef struct dvk_target_layout {
    VkImage image;
    VkImageLayout final;
} dvk_target_layout;

typedef struct dvk_recorder {
    dvk_context *context;
    const dvk_plan *plan;
    const dvk_pipeline **pipelines;   /* [op_count] */
    VkDescriptorSet *sets;            /* [op_count] */
    const dvk_target_layout *layouts; /* [DVK_MAX_TARGETS]; NULL: the plan has no target */
} dvk_recorder;

/* The workgroups from `first` up to `last`. What the start of a plan reads must have been made visible to compute
 * shaders before; a range that begins later begins with a barrier that makes all that earlier ranges on this queue
 * wrote visible, whichever command buffer they are in. What a range writes is made visible to nobody after. Touches the
 * compute bind point and push constants; allocates nothing. */
void dvk_record_ops(const dvk_recorder *recorder, VkCommandBuffer commands, dvk_position first, dvk_position last);

/* The smallest grid within the device's limits that has at least `groups` workgroups, wide in x first. False: none. */
bool dvk_fold_grid(uint32_t groups, const uint32_t limits[3], uint32_t grid[3]);

#endif
