#version 450
/* A few lit balls that roll over a tiled floor, in linear light. */
layout(location = 0) in vec2 position;
layout(location = 0) out vec4 colour;
layout(push_constant) uniform constants {
    float seconds;
    float aspect; /* width / height */
};

const vec3 light = normalize(vec3(-0.4, 0.8, -0.45));

vec3 ball_centre(int i) {
    const float angle = seconds * (0.5 + 0.17 * i) + 2.1 * i;
    const float radius = 1.1 + 0.7 * i;
    return vec3(radius * cos(angle), 0.35 + 0.1 * i, 4.2 + radius * 0.8 * sin(angle));
}

vec3 ball_colour(int i) {
    return i == 0 ? vec3(0.85, 0.12, 0.08) : i == 1 ? vec3(0.9, 0.65, 0.1) : vec3(0.1, 0.3, 0.85);
}

/* How far the ray goes to the ball; negative: it misses. */
float hit_ball(vec3 origin, vec3 ray, int i) {
    const vec3 from = origin - ball_centre(i);
    const float radius = 0.35 + 0.1 * i, b = dot(from, ray), d = b * b - dot(from, from) + radius * radius;
    return d < 0.0 ? -1.0 : -b - sqrt(d);
}

bool in_shadow(vec3 point) {
    for (int i = 0; i < 3; i++)
        if (hit_ball(point + light * 0.01, light, i) > 0.0)
            return true;
    return false;
}

vec3 floor_colour(vec2 place) {
    const vec2 tile = floor(place), edge = abs(fract(place) - 0.5);
    const float noise = fract(sin(dot(tile, vec2(12.9898, 78.233))) * 43758.5453);
    return max(edge.x, edge.y) > 0.47 ? vec3(0.03) : mix(vec3(0.16, 0.2, 0.12), vec3(0.4, 0.36, 0.28), noise);
}

void main() {
    const vec3 eye = vec3(0.0, 1.6, 0.0);
    const vec3 ray = normalize(vec3((position.x * 2.0 - 1.0) * aspect, 0.55 - position.y * 1.9, 1.9));
    float nearest = 1e9;
    vec3 shade = mix(vec3(0.55, 0.7, 0.9), vec3(0.12, 0.28, 0.6), clamp(ray.y * 3.0, 0.0, 1.0));
    if (ray.y < -0.01) {
        nearest = -eye.y / ray.y;
        const vec3 point = eye + ray * nearest;
        const vec3 ground = floor_colour(point.xz * 1.4) * (in_shadow(point) ? 0.25 : 0.25 + light.y);
        shade = mix(shade, ground, exp(-0.05 * nearest));
    }
    for (int i = 0; i < 3; i++) {
        const float distance = hit_ball(eye, ray, i);
        if (distance <= 0.0 || distance >= nearest)
            continue;
        nearest = distance;
        const vec3 normal = normalize(eye + ray * distance - ball_centre(i));
        const float gloss = pow(max(dot(reflect(ray, normal), light), 0.0), 40.0);
        shade = ball_colour(i) * (0.15 + max(dot(normal, light), 0.0)) + gloss;
    }
    colour = vec4(shade, 1.0);
}
