"use strict";
// Exact capsules by ray casting: each is a box, in whose fragments the ray of sight meets cylinder and domes in
// closed form. Lengths within a box are in radii, so that thin vessels far away lose no digits.

const CAPSULE_VERTEX = `#version 300 es
precision highp float;
layout(location=0) in vec3 aStart; layout(location=1) in vec3 aEnd;
layout(location=2) in float aRadius; layout(location=3) in vec4 aColour;
uniform mat4 uView; uniform vec3 uEye, uSize; uniform vec4 uPlane; uniform float uPixel;
out vec3 vAt; flat out vec3 vEye; flat out float vHalf, vRadius; flat out vec3 vMiddle;
flat out mat3 vFrame; flat out vec4 vColour, vPlane;
void main() {
  vec3 a = (aStart - 0.5) * uSize, b = (aEnd - 0.5) * uSize, d = b - a;
  float l = length(d);
  vec3 w = l > 0. ? d / l : vec3(0., 0., 1.);
  vec3 u = normalize(cross(abs(w.z) < .9 ? vec3(0., 0., 1.) : vec3(1., 0., 0.), w)), v = cross(w, u);
  vMiddle = (a + b) * .5;
  float r = max(aRadius, .6 * uPixel * length(vMiddle - uEye));
  if (aColour.a == 0.) { gl_Position = vec4(2., 2., 2., 1.); return; }
  int bit = 1 << gl_VertexID;
  vec3 c = vec3((0x287a & bit) != 0, (0x02af & bit) != 0, (0x31e3 & bit) != 0) * 2. - 1.;
  vHalf = .5 * l / r; vRadius = r; vFrame = mat3(u, v, w); vColour = aColour;
  vAt = vec3(c.xy * 1.001, c.z * (vHalf + 1.001));
  vEye = (transpose(vFrame) * (uEye - vMiddle)) / r;
  vPlane = vec4(transpose(vFrame) * uPlane.xyz, (uPlane.w - dot(uPlane.xyz, vMiddle)) / r);
  gl_Position = uView * vec4(vMiddle + r * (vFrame * vAt), 1.);
}`;

const SHADE = `
vec3 shade(vec3 colour, vec3 n, vec3 eye, vec3 right, vec3 up, float depth, vec3 ground) {
  vec3 key = normalize(eye * .62 - right * .45 + up * .65);
  float lit = .5 + .5 * max(dot(n, key), 0.), rim = smoothstep(0., .45, dot(n, eye));
  float gloss = .3 * pow(max(dot(n, normalize(key + eye)), 0.), 40.);
  return mix(colour * lit * mix(.62, 1., rim) + gloss, ground, .4 * depth);
}`;

const CAPSULE_FRAGMENT = `#version 300 es
precision highp float;
in vec3 vAt; flat in vec3 vEye; flat in float vHalf, vRadius; flat in vec3 vMiddle;
flat in mat3 vFrame; flat in vec4 vColour, vPlane;
uniform mat4 uView; uniform vec3 uEye, uRight, uUp, uGround; uniform vec2 uHaze;
out vec4 colour;
${SHADE}
vec2 dome(vec3 p, vec3 d, float z) {
  vec3 q = p - vec3(0., 0., z);
  float b = dot(q, d), disc = b * b - dot(q, q) + 1.;
  return disc < 0. ? vec2(1., -1.) : vec2(-b - sqrt(disc), -b + sqrt(disc));
}
void main() {
  vec3 d = normalize(vEye - vAt);
  float a = dot(d.xy, d.xy), b = dot(vAt.xy, d.xy), c = dot(vAt.xy, vAt.xy) - 1.;
  vec2 t;
  if (a < 1e-7) {
    vec2 low = dome(vAt, d, -vHalf), high = dome(vAt, d, vHalf);
    t = vec2(min(low.x, high.x), max(low.y, high.y));
  } else {
    float disc = b * b - a * c;
    if (disc < 0.) discard;
    t = (vec2(-b) + vec2(-1., 1.) * sqrt(disc)) / a;
    vec2 z = vAt.z + t * d.z;
    if (abs(z.y) > vHalf) { vec2 o = dome(vAt, d, sign(z.y) * vHalf); if (o.x > o.y) discard; t.y = o.y; }
    if (abs(z.x) > vHalf) { vec2 o = dome(vAt, d, sign(z.x) * vHalf); if (o.x > o.y) discard; t.x = o.x; }
  }
  float side = dot(vPlane.xyz, d), from = vPlane.w - dot(vPlane.xyz, vAt);
  bool cut = false;
  if (side > 0. && from / side < t.y) { t.y = from / side; cut = true; }
  if (side < 0.) t.x = max(t.x, from / side);
  if (t.y <= t.x || t.y >= distance(vEye, vAt)) discard;
  vec3 at = vAt + t.y * d, n = cut ? vPlane.xyz : vec3(at.xy, at.z - clamp(at.z, -vHalf, vHalf));
  vec3 world = vMiddle + vRadius * (vFrame * at);
  vec4 place = uView * vec4(world, 1.);
  gl_FragDepth = .5 * place.z / place.w + .5;
  vec3 eye = normalize(uEye - world);
  float depth = clamp((distance(uEye, world) - uHaze.x) / uHaze.y, 0., 1.);
  vec3 own = vColour.rgb;
  colour = vec4(cut ? mix(own, vec3(1.), .25) : shade(own, normalize(vFrame * n), eye, uRight, uUp, depth, uGround), 1.);
}`;

const SURFACE_VERTEX = `#version 300 es
precision highp float;
layout(location=0) in vec3 aAt;
uniform mat4 uView; uniform vec3 uSize;
out vec3 vWorld;
void main() { vWorld = (aAt - .5) * uSize; gl_Position = uView * vec4(vWorld, 1.); }`;

const SURFACE_FRAGMENT = `#version 300 es
precision highp float;
in vec3 vWorld;
uniform vec3 uEye, uInk; uniform vec4 uPlane; uniform vec2 uAlpha;
out vec4 colour;
void main() {
  if (dot(uPlane.xyz, vWorld) > uPlane.w) discard;
  vec3 n = cross(dFdx(vWorld), dFdy(vWorld));
  float flat_ = uAlpha.x == uAlpha.y ? 1. : abs(dot(normalize(n), normalize(uEye - vWorld)));
  colour = vec4(uInk, mix(uAlpha.y, uAlpha.x, pow(flat_, .7)));
}`;

const SLICE_FRAGMENT = `#version 300 es
precision highp float; precision highp sampler3D;
in vec3 vWorld;
uniform sampler3D uField; uniform vec3 uFieldLow, uFieldSize, uScale[17]; uniform float uMark;
out vec4 colour;
void main() {
  vec3 at = (vWorld - uFieldLow) / uFieldSize;
  if (any(lessThan(at, vec3(0.))) || any(greaterThan(at, vec3(1.)))) discard;
  vec2 told = texture(uField, at).rg;
  if (told.g < .5) discard;
  float v = told.r / told.g, f = clamp(v, 0., .99999) * 16.;
  vec3 own = mix(uScale[int(f)], uScale[int(f) + 1], fract(f));
  float line = uMark < 0. ? 0. : 1. - smoothstep(.6, 1.8, abs(v - uMark) / max(fwidth(v), 1e-5));
  colour = vec4(mix(own, vec3(1., .37, .18), line), 1.);
}`;

function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  const places = {};
  for (let i = gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS) - 1; i >= 0; i--) {
    const name = gl.getActiveUniform(made, i).name.replace("[0]", "");
    places[name] = gl.getUniformLocation(made, name);
  }
  return { made, places };
}

function attribute(gl, place, data, size, kind, normalized, divisor) {
  const buffer = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
  gl.enableVertexAttribArray(place);
  gl.vertexAttribPointer(place, size, kind, normalized, 0, 0);
  gl.vertexAttribDivisor(place, divisor);
  return buffer;
}

// All that is drawn of a scene; `draw(camera, look)` draws it.
class Painter {
  constructor(canvas, scene) {
    const gl = (this.gl = canvas.getContext("webgl2", { alpha: false, antialias: true, preserveDrawingBuffer: true }));
    if (!gl) throw new Error("no WebGL 2");
    this.scene = scene;
    this.capsules = program(gl, CAPSULE_VERTEX, CAPSULE_FRAGMENT);
    this.surface = program(gl, SURFACE_VERTEX, SURFACE_FRAGMENT);
    this.capsuleArray = gl.createVertexArray();
    gl.bindVertexArray(this.capsuleArray);
    attribute(gl, 0, scene.start, 3, gl.UNSIGNED_SHORT, true, 1);
    attribute(gl, 1, scene.end, 3, gl.UNSIGNED_SHORT, true, 1);
    attribute(gl, 2, scene.radius.map((r) => r / scene.unit), 1, gl.FLOAT, false, 1);
    this.colours = attribute(gl, 3, new Uint8Array(4 * scene.count), 4, gl.UNSIGNED_BYTE, true, 1);
    this.shell = this.indexed(scene.shell, scene.triangles);
    this.edges = this.indexed(scene.shell, scene.edges);
    if (scene.field) this.prepareField(scene.field);
  }
  indexed(points, indices) {
    const gl = this.gl, array = gl.createVertexArray();
    gl.bindVertexArray(array);
    attribute(gl, 0, points, 3, gl.UNSIGNED_SHORT, true, 0);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
    return { array, count: indices.length };
  }
  prepareField(field) {
    const gl = this.gl;
    this.slice = program(gl, SURFACE_VERTEX, SLICE_FRAGMENT);
    gl.bindTexture(gl.TEXTURE_3D, gl.createTexture());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    const [x, y, z] = field.shape;
    const pairs = new Uint8Array(2 * field.values.length);
    field.values.forEach((v, i) => { if (v) { pairs[2 * i] = v - 1; pairs[2 * i + 1] = 254; } });
    gl.texImage3D(gl.TEXTURE_3D, 0, gl.RG8, x, y, z, 0, gl.RG, gl.UNSIGNED_BYTE, pairs);
    for (const [name, value] of [["MIN_FILTER", gl.LINEAR], ["MAG_FILTER", gl.LINEAR], ["WRAP_S", gl.CLAMP_TO_EDGE],
      ["WRAP_T", gl.CLAMP_TO_EDGE], ["WRAP_R", gl.CLAMP_TO_EDGE]])
      gl.texParameteri(gl.TEXTURE_3D, gl["TEXTURE_" + name], value);
    this.sliceArray = gl.createVertexArray();
    gl.bindVertexArray(this.sliceArray);
    this.sliceCorners = attribute(gl, 0, new Float32Array(12), 3, gl.FLOAT, false, 0);
  }
  setColours(bytes) {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.colours);
    this.gl.bufferSubData(this.gl.ARRAY_BUFFER, 0, bytes);
  }
  use({ made, places }, camera, plane) {
    const gl = this.gl;
    gl.useProgram(made);
    gl.uniformMatrix4fv(places.uView, false, camera.matrix);
    gl.uniform3fv(places.uSize, this.scene.size);
    if (places.uEye) gl.uniform3fv(places.uEye, camera.eye);
    if (places.uPlane) gl.uniform4fv(places.uPlane, plane);
    return places;
  }
  draw(camera, look) {
    const gl = this.gl, plane = look.plane;
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(...look.ground, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.disable(gl.BLEND);
    gl.enable(gl.CULL_FACE);
    gl.cullFace(gl.BACK);  // of the strip, whose back is the near side: what is inside a box is seen too
    let at = this.use(this.capsules, camera, plane);
    gl.uniform3fv(at.uRight, camera.right);
    gl.uniform3fv(at.uUp, camera.up);
    gl.uniform3fv(at.uGround, look.ground);
    gl.uniform2f(at.uHaze, Math.max(camera.distance - 0.9, 0), 2.4);
    gl.uniform1f(at.uPixel, camera.pixel(gl.drawingBufferHeight));
    gl.bindVertexArray(this.capsuleArray);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 14, this.scene.count);
    gl.disable(gl.CULL_FACE);
    if (this.slice && look.slice) this.drawSlice(camera, plane, look);
    if (look.shell) this.drawShell(camera, plane, look);
  }
  drawSlice(camera, plane, look) {
    const gl = this.gl, field = this.scene.field;
    const at = this.use(this.slice, camera, plane);
    gl.uniform3fv(at.uFieldLow, field.low);
    gl.uniform3fv(at.uFieldSize, field.size);
    gl.uniform3fv(at.uScale, this.scene.scale);
    gl.uniform1f(at.uMark, field.mark);
    gl.bindVertexArray(this.sliceArray);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.sliceCorners);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, look.slice);
    gl.enable(gl.POLYGON_OFFSET_FILL);
    gl.polygonOffset(2, 60);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    gl.disable(gl.POLYGON_OFFSET_FILL);
  }
  drawShell(camera, plane, look) {
    const gl = this.gl;
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    gl.depthMask(false);
    const at = this.use(this.surface, camera, plane);
    gl.uniform3fv(at.uInk, look.ink);
    for (const [part, kind, alpha] of [[this.shell, gl.TRIANGLES, [0.04, 0.3]], [this.edges, gl.LINES, [0.55, 0.55]]]) {
      gl.uniform2fv(at.uAlpha, alpha);
      gl.bindVertexArray(part.array);
      gl.drawElements(kind, part.count, gl.UNSIGNED_INT, 0);
    }
    gl.depthMask(true);
  }
}
