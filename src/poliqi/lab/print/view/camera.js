// The eye: it turns about a point, z stays up. Lengths are in the scene's unit, the middle of the tissue is nought.
const FIELD_OF_VIEW = (32 * Math.PI) / 180;
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const minus = (a, b) => a.map((x, i) => x - b[i]);
const along = (a, t, b) => a.map((x, i) => x + t * b[i]);

class Camera {
  constructor() { this.reset(); }
  reset() {
    this.target = [0, 0, 0];
    this.yaw = (-58 * Math.PI) / 180;
    this.pitch = (24 * Math.PI) / 180;
    this.distance = 3.9;
    this.update(this.aspect || 1);
  }
  update(aspect) {
    this.aspect = aspect;
    this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch));
    this.distance = Math.max(0.003, Math.min(40, this.distance));
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    const back = [cp * cy, cp * sy, sp];
    this.back = back;
    this.right = [-sy, cy, 0];
    this.up = [-sp * cy, -sp * sy, cp];
    this.eye = along(this.target, this.distance, back);
    this.span = Math.tan(FIELD_OF_VIEW / 2) / Math.min(1, aspect);
    const near = Math.max(this.distance * 0.02, this.distance - 4), far = this.distance + 6;
    const fx = 1 / (this.span * aspect), fy = 1 / this.span, k = (far + near) / (near - far);
    const rows = [this.right, this.up, back].map((axis) => [...axis, -dot(axis, this.eye)]);
    this.matrix = new Float32Array(16);
    for (let c = 0; c < 4; c++) {
      this.matrix[4 * c] = fx * rows[0][c];
      this.matrix[4 * c + 1] = fy * rows[1][c];
      this.matrix[4 * c + 2] = k * rows[2][c] + (c === 3 ? (2 * far * near) / (near - far) : 0);
      this.matrix[4 * c + 3] = -rows[2][c];
    }
  }
  pixel(height) { return (2 * this.span) / height; }
  ray(x, y) {  // from the eye through a place of the picture, -1 to 1
    const d = this.back.map((b, i) => -b + x * this.span * this.aspect * this.right[i] + y * this.span * this.up[i]);
    const length = Math.hypot(...d);
    return d.map((c) => c / length);
  }
  place(point) {  // of the picture, -1 to 1; null behind the eye
    const from = minus(point, this.eye), depth = -dot(from, this.back);
    if (depth <= 0) return null;
    return [dot(from, this.right) / (depth * this.span * this.aspect), dot(from, this.up) / (depth * this.span)];
  }
  turn(x, y) { this.yaw -= x; this.pitch += y; }
  pan(x, y) {  // by shares of half the picture's height
    const step = this.span * this.distance;
    this.target = along(along(this.target, -x * step, this.right), -y * step, this.up);
  }
}

// The first capsule that a ray meets and the plane leaves: [number, distance along the ray], or null.
function pickCapsule(scene, colours, eye, d, plane) {
  let best = null, nearest = Infinity;
  for (let i = 0; i < scene.count; i++) {
    if (!colours[4 * i + 3]) continue;
    const t = capsuleAlong(scene, i, eye, d, plane);
    if (t > 0 && t < nearest) { nearest = t; best = i; }
  }
  return best === null ? null : [best, nearest];
}

function capsuleAlong(scene, i, eye, d, plane) {
  const r = scene.radius[i] / scene.unit, a = scene.place(scene.start, i), u = minus(scene.place(scene.end, i), a);
  const middle = along(a, 0.5, u), far = minus(middle, eye), away = dot(far, d), l2 = dot(u, u);
  const reach = r + Math.sqrt(l2) / 2;
  if (dot(far, far) - away * away > reach * reach) return -1;
  const o = minus(along(eye, away, d), a);  // near the capsule, where few digits are lost
  const ud = dot(u, d), uo = dot(u, o), A = l2 - ud * ud;
  const B = l2 * dot(o, d) - uo * ud, C = l2 * dot(o, o) - uo * uo - r * r * l2, disc = B * B - A * C;
  if (disc < 0) return -1;
  const ends = [-1, 1].map((sign) => {
    const t = A > 1e-12 * l2 ? (-B + sign * Math.sqrt(disc)) / A : 0, s = uo + t * ud;
    if (A > 1e-12 * l2 && s >= 0 && s <= l2) return t;
    const atEnd = A > 1e-12 * l2 ? s > l2 : sign * ud > 0;
    const q = minus(o, atEnd ? u : [0, 0, 0]), b = dot(q, d), inside = b * b - dot(q, q) + r * r;
    return inside < 0 ? NaN : -b + sign * Math.sqrt(inside);
  });
  let [t0, t1] = ends;
  const side = dot(plane, d), from = plane[3] - dot(plane, along(eye, away, d));
  if (side > 0) t1 = Math.min(t1, from / side);
  if (side < 0) t0 = Math.max(t0, from / side);
  if (side === 0 && from < 0) return -1;
  return t0 < t1 ? away + t0 : -1;
}
