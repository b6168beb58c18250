#version 450
/* One triangle that covers the screen. */
layout(location = 0) out vec2 position; /* 0..1, the origin at the top left */

void main() {
    position = vec2(gl_VertexIndex & 1, gl_VertexIndex >> 1) * 2.0;
    gl_Position = vec4(position * 2.0 - 1.0, 0.0, 1.0);
}
