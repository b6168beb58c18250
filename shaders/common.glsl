// What every kernel needs: its push constants, its place in the op, and arithmetic that does not lean on the driver's.
//
// Tier 0: Vulkan 1.1 without any optional feature. At most 4 storage buffers, 128 invocations, 16 KiB of shared memory,
// no subgroup operation, no 16-bit type, and no load or store outside a buffer even without robust access.

#include "push_constants.h"

layout(local_size_x_id = 0) in;
#define LOCAL_SIZE gl_WorkGroupSize.x
const uint MAX_LOCAL_SIZE = 128; // what Tier 0 guarantees

// Half of the largest float: a running maximum starts here, because the difference of two infinities is not a number.
const float LOWEST = -1.70141173e38;

// This workgroup's place in the op. Grids are folded into y and z, so it may lie at or beyond push.group_end; then
// there is nothing to do. The same for every invocation of the workgroup.
uint linear_group() {
    return push.first_group + gl_WorkGroupID.x +
           gl_NumWorkGroups.x * (gl_WorkGroupID.y + gl_NumWorkGroups.y * gl_WorkGroupID.z);
}

uint lane() {
    return gl_LocalInvocationID.x;
}

uint divide_up(uint value, uint by) {
    return (value + by - 1) / by;
}

// The same for the lengths of arrays.
#define DIVIDE_UP(value, by) (((value) + (by)-1) / (by))

float sum_of(vec4 v) {
    return (v.x + v.y) + (v.z + v.w);
}
