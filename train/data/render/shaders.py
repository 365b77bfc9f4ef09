"""GLSL 3.30 of the renderer: one program draws everything, one draws shadow maps, one the backdrop.

The framebuffer's first row is the picture's top row (clip y points down), so nothing has to be flipped.
Light: up to MAX_LIGHTS directional lights with shadow maps in one atlas, second-order spherical harmonics for the rest
of the sky (Ramamoorthi and Hanrahan, SIGGRAPH 2001, eq. 13), darkened by spheres that stand for the bodies.
"""

MAX_LIGHTS = 6
MAX_SPHERES = 96
SLOTS = 8
FIRST_CLOTH = 3  # from this slot on a vertex's first mark is its distance inside the hem, metres; negative is cut away
ATLAS_COLUMNS = 3
ATLAS_ROWS = 2

_BACKDROP = """
uniform sampler2D env_map;
uniform sampler2D photo_backdrop;
uniform int backdrop;          // 0 environment, 1 photograph
uniform vec2 size_px;
uniform vec3 eye;
uniform mat3 camera_to_world;
uniform vec2 focal_px;
uniform vec2 centre_px;
uniform float env_turn;
uniform float exposure;

vec3 env_at(vec3 d, float lod) {
    vec2 uv = vec2(fract(atan(d.x, d.z) * 0.15915494 + env_turn), acos(clamp(d.y, -1.0, 1.0)) * 0.31830989);
    return min(textureLod(env_map, uv, lod).rgb * exposure, vec3(24.0));
}
vec3 backdrop_at(vec2 px) {
    if (backdrop == 1) return texture(photo_backdrop, px / size_px).rgb;
    return env_at(normalize(camera_to_world * vec3((px - centre_px) / focal_px, 1.0)), 0.0);
}
"""

SHADOW_VERTEX = """
#version 330
uniform mat4 to_clip;
in vec3 position;
void main() { gl_Position = to_clip * vec4(position, 1.0); }
"""

SHADOW_FRAGMENT = """
#version 330
void main() {}
"""

# Depth first: on a CPU every fragment that is shaded and then covered costs as much as one that stays.
DEPTH_VERTEX = """
#version 330
uniform mat4 to_clip;
in vec3 position;
in vec4 marks;
out float v_inside;
flat out int v_slot;
void main() {
    gl_Position = to_clip * vec4(position, 1.0);
    v_inside = marks.y;
    v_slot = int(marks.x + 0.5);
}
"""

DEPTH_FRAGMENT = f"""
#version 330
in float v_inside;
flat in int v_slot;
void main() {{ if (v_slot >= {FIRST_CLOTH} && v_inside < 0.0) discard; }}
"""

BACKDROP_VERTEX = """
#version 330
in vec2 corner;
void main() { gl_Position = vec4(corner, 0.999999, 1.0); }
"""

BACKDROP_FRAGMENT = (
    """
#version 330
"""
    + _BACKDROP
    + """
layout(location = 0) out vec4 colour;
layout(location = 1) out float depth;
void main() {
    colour = vec4(backdrop_at(gl_FragCoord.xy), 0.0);
    depth = 1e4;
}
"""
)

SURFACE_VERTEX = """
#version 330
uniform mat4 to_clip;
in vec3 position;
in vec3 normal;
in vec3 rest;
in vec3 rest_normal;
in vec4 marks;                 // slot; three masks in 0..1, or for clothes metres inside the hem
out vec3 v_position;
out vec3 v_normal;
out vec3 v_rest;
out vec3 v_rest_normal;
out vec3 v_mask;
flat out int v_slot;
void main() {
    gl_Position = to_clip * vec4(position, 1.0);
    v_position = position;
    v_normal = normal;
    v_rest = rest;
    v_rest_normal = rest_normal;
    v_mask = marks.yzw;
    v_slot = int(marks.x + 0.5);
}
"""

SURFACE_FRAGMENT = (
    f"""
#version 330
#define MAX_LIGHTS {MAX_LIGHTS}
#define MAX_SPHERES {MAX_SPHERES}
#define SLOTS {SLOTS}
#define FIRST_CLOTH {FIRST_CLOTH}
#define COLUMNS {ATLAS_COLUMNS}
#define ROWS {ATLAS_ROWS}
"""
    + _BACKDROP
    + """
uniform int lights;
uniform vec3 light_towards[MAX_LIGHTS];
uniform vec3 light_rgb[MAX_LIGHTS];
uniform mat4 light_clip[MAX_LIGHTS];
uniform float light_spread[MAX_LIGHTS];   // radius of the shadow filter, share of a tile
uniform sampler2D shadow_atlas;
uniform vec3 sky[9];
uniform int spheres;
uniform vec4 sphere[MAX_SPHERES];
uniform int shadow_taps;

uniform sampler2DArray patterns;          // r mix of the two colours, g brightness, b height
uniform sampler2DArray photos;
uniform vec3 colour_a[SLOTS];
uniform vec3 colour_b[SLOTS];
uniform vec4 cloth[SLOTS];                // pattern layer, repeats per metre, bump, photo layer or -1
uniform vec2 shine[SLOTS];                // strength, exponent
uniform vec3 mask_rgb[3];
uniform float object_id;
uniform int catcher;                      // 1: show the backdrop, only darkened
uniform float fade_m;                     // catcher: radius at which shadows fade out

in vec3 v_position;
in vec3 v_normal;
in vec3 v_rest;
in vec3 v_rest_normal;
in vec3 v_mask;
flat in int v_slot;
layout(location = 0) out vec4 colour;
layout(location = 1) out float depth;

float noise_angle(vec2 p) { return 6.2831853 * fract(52.9829189 * fract(dot(p, vec2(0.06711056, 0.00583715)))); }

float lit_share(int k, vec3 p) {
    vec3 c = (light_clip[k] * vec4(p, 1.0)).xyz * 0.5 + 0.5;
    if (any(lessThan(c.xy, vec2(0.01))) || any(greaterThan(c.xy, vec2(0.99))) || c.z > 0.999) return 1.0;
    vec2 tile = vec2(float(k % COLUMNS), float(k / COLUMNS));
    vec2 scale = vec2(1.0 / float(COLUMNS), 1.0 / float(ROWS));
    float turned = noise_angle(gl_FragCoord.xy), open = 0.0;
    for (int i = 0; i < shadow_taps; i++) {
        float r = sqrt((float(i) + 0.5) / float(shadow_taps)), a = turned + 2.3999632 * float(i);
        vec2 at = clamp(c.xy + r * light_spread[k] * vec2(cos(a), sin(a)), 0.004, 0.996);
        open += textureLod(shadow_atlas, (tile + at) * scale, 0.0).r > c.z - 0.001 ? 1.0 : 0.0;
    }
    return open / float(shadow_taps);
}
float openness(vec3 p, vec3 n) {
    float open = 1.0;
    for (int i = 0; i < spheres; i++) {
        vec3 to = sphere[i].xyz - p;
        float d2 = dot(to, to), r2 = sphere[i].w * sphere[i].w;
        if (d2 > 60.0 * r2) continue;
        float facing = max(dot(n, to) * inversesqrt(max(d2, 1e-6)), 0.0);
        open *= 1.0 - 0.85 * facing * min(r2 / max(d2, 1e-6), 1.0);
    }
    return open;
}
vec3 sky_light(vec3 n) {
    return max(sky[0] + sky[1] * n.y + sky[2] * n.z + sky[3] * n.x + sky[4] * n.x * n.y + sky[5] * n.y * n.z
        + sky[6] * (3.0 * n.z * n.z - 1.0) + sky[7] * n.x * n.z + sky[8] * (n.x * n.x - n.y * n.y), vec3(0.0));
}
vec3 triplanar(sampler2DArray maps, vec3 p, vec3 n, float layer) {
    vec3 w = pow(abs(n) + 1e-3, vec3(6.0));
    w /= w.x + w.y + w.z;
    vec3 sum = vec3(0.0);
    if (w.x > 0.05) sum += w.x * texture(maps, vec3(p.zy, layer)).rgb;
    if (w.y > 0.05) sum += w.y * texture(maps, vec3(p.xz, layer)).rgb;
    if (w.z > 0.05) sum += w.z * texture(maps, vec3(p.xy, layer)).rgb;
    return sum / (w.x * float(w.x > 0.05) + w.y * float(w.y > 0.05) + w.z * float(w.z > 0.05));
}
vec3 bumped(vec3 n, float height, float amount) {
    vec3 dx = dFdx(v_position), dy = dFdy(v_position);
    float hx = dFdx(height), hy = dFdy(height);
    vec3 r1 = cross(dy, n), r2 = cross(n, dx);
    float det = dot(dx, r1);
    vec3 slope = sign(det) * (hx * r1 + hy * r2);
    vec3 turned = abs(det) * n - amount * slope;
    return abs(det) < 1e-12 ? n : normalize(mix(n, normalize(turned), 0.7));
}
void main() {
    vec3 to_eye = normalize(eye - v_position), n = v_normal / max(length(v_normal), 1e-6);
    depth = dot(v_position - eye, camera_to_world[2]);
    if (v_slot >= FIRST_CLOTH && v_mask.x < 0.0) discard;
    if (catcher == 0 && dot(n, to_eye) < 0.0) n = -n;
    if (catcher == 1 && length(v_rest.xz) > fade_m) {
        colour = vec4(backdrop_at(gl_FragCoord.xy), 0.0);
        return;
    }
    if (catcher == 1) {
        vec3 full = sky_light(n), now = full * openness(v_position, n);
        for (int k = 0; k < lights; k++) {
            vec3 e = light_rgb[k] * max(dot(n, light_towards[k]), 0.0);
            full += e;
            now += e * lit_share(k, v_position);
        }
        float keep = smoothstep(0.4 * fade_m, fade_m, length(v_rest.xz));
        colour = vec4(backdrop_at(gl_FragCoord.xy) * mix(now / max(full, vec3(1e-4)), vec3(1.0), keep), 0.0);
        return;
    }
    vec4 c = cloth[v_slot];
    vec3 p = v_rest * c.y, weave = triplanar(patterns, p, v_rest_normal, c.x);
    vec3 albedo = mix(colour_a[v_slot], colour_b[v_slot], weave.r) * (0.4 + 1.2 * weave.g);
    if (c.w >= 0.0) albedo = triplanar(photos, p, v_rest_normal, c.w);
    if (v_slot < FIRST_CLOTH)
        for (int i = 0; i < 3; i++) albedo = mix(albedo, mask_rgb[i], v_mask[i]);
    n = bumped(n, weave.b, c.z);
    float open = openness(v_position, n);
    vec3 light = sky_light(n) * open;
    float gloss = shine[v_slot].y;
    vec3 r = reflect(-to_eye, n);
    float rim = 0.04 + 0.96 * pow(1.0 - max(dot(n, to_eye), 0.0), 5.0);
    vec3 glint = min(env_at(r, 5.0), vec3(1.2)) * 0.5 * rim * open * shine[v_slot].x;
    for (int k = 0; k < lights; k++) {
        float facing = dot(n, light_towards[k]);
        if (facing <= 0.0) continue;
        vec3 e = light_rgb[k] * lit_share(k, v_position + n * 0.014);
        light += e * facing;
        vec3 h = normalize(to_eye + light_towards[k]);
        glint += e * shine[v_slot].x * 0.04 * (gloss + 8.0) / 25.0 * pow(max(dot(n, h), 0.0), gloss) * facing;
    }
    vec3 total = albedo * light + glint;
    colour = vec4(any(isnan(total)) ? albedo * sky[0] : total, object_id);
}
"""
)
