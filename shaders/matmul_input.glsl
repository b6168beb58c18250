// The first factor of a GPU's product: rows of a matrix or, with PATCH_SIZE, patches of images
// [images][3][height][width], which are read where they are. Four steps of k lie side by side in both, which asks of a
// patch that its size and the image's width be multiples of 4.

layout(constant_id = 19) const uint PATCH_SIZE = 0; // 0: a matrix

layout(set = 0, binding = 0) readonly buffer Input {
    vec4 a[];
};

const uint NO_PATCH = ~0u; // the row of a token that stands before the patches: zeros

// Where a row begins, in vec4.
uint input_row(uint row) {
    if (PATCH_SIZE == 0)
        return row * (push.a_stride / 4);
    uint token = (push.first_row + row) % push.table_rows;
    uint image = (push.first_row + row) / push.table_rows;
    if (token < push.prefix)
        return NO_PATCH;
    uint y = (token - push.prefix) / push.grid_width * PATCH_SIZE;
    uint x = (token - push.prefix) % push.grid_width * PATCH_SIZE;
    return (image * 3 * push.a_plane + y * push.a_stride + x) / 4;
}

// The four factors from k on; k is a multiple of 4 below the depth.
vec4 input_at(uint start, uint k) {
    if (PATCH_SIZE == 0)
        return a[start + k / 4];
    const uint size = max(PATCH_SIZE, 1u); // compilers see a division by it although it is never reached for 0
    uint line = k / size;
    uint pixel = line / size * push.a_plane + line % size * push.a_stride + k % size;
    vec4 value = a[(start == NO_PATCH ? 0 : start) + pixel / 4];
    return start == NO_PATCH ? vec4(0.0) : value;
}
