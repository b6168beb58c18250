#version 450
/* What the model attends to keeps its colours and gets a warm glow; the rest is dimmed. */
layout(location = 0) in vec2 position;
layout(location = 0) out vec4 colour;
layout(set = 0, binding = 0) uniform sampler2D scene;
layout(set = 0, binding = 1) uniform sampler2D attention; /* 0..1 */
layout(push_constant) uniform constants {
    float strength; /* 0: the scene alone */
};

void main() {
    const vec3 lit = texture(scene, position).rgb;
    const float heat = texture(attention, position).r;
    const float grey = dot(lit, vec3(0.2126, 0.7152, 0.0722));
    const vec3 shown = mix(vec3(0.02, 0.03, 0.08) + 0.35 * grey, lit, heat) + vec3(0.9, 0.35, 0.02) * heat * heat;
    colour = vec4(mix(lit, shown, strength), 1.0);
}
