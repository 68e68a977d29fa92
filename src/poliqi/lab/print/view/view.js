// The page's part: what is read, the controls, and what a click tells.
function readScene() {
  const raw = JSON.parse(document.getElementById("scene").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const scene = { ...raw, size: raw.size_um.map((s) => s / raw.unit_um), unit: raw.unit_um };
  scene.start = new Uint16Array(bytes(raw.start));
  scene.end = new Uint16Array(bytes(raw.end));
  scene.radius = new Float32Array(bytes(raw.radius_um));
  scene.kind = new Uint8Array(bytes(raw.kind));
  scene.number = new Uint32Array(bytes(raw.number));
  scene.count = scene.kind.length;
  scene.scale = new Float32Array(raw.scale.flat());
  scene.quantities = raw.quantities.map((q) => ({ ...q, codes: new Uint16Array(bytes(q.codes)) }));
  scene.shell = new Uint16Array(bytes(raw.shell.points));
  scene.triangles = new Uint32Array(bytes(raw.shell.triangles));
  scene.edges = new Uint32Array(bytes(raw.shell.edges));
  scene.place = (codes, i) => [0, 1, 2].map((k) => (codes[3 * i + k] / 65535 - 0.5) * scene.size[k]);
  scene.toUm = (point) => point.map((c, k) => c * scene.unit + raw.middle_um[k]);
  scene.fromUm = (point) => point.map((c, k) => (c - raw.middle_um[k]) / scene.unit);
  if (raw.field) {
    const low = scene.fromUm(raw.field.low_um), size = raw.field.size_um.map((s) => s / scene.unit);
    scene.field = { ...raw.field, low, size, values: new Uint8Array(bytes(raw.field.values)) };
  }
  return scene;
}

// What a code stands for: 0 none, then the way from least to greatest, in decades where the scale is logarithmic.
const share = (code) => (code ? (code - 1) / 65534 : NaN);
const value = (q, s) => (q.is_log ? q.low * (q.high / q.low) ** s : q.low + s * (q.high - q.low));
const said = (x) => {
  if (!Number.isFinite(x)) return "none";
  const size = Math.abs(x);
  return size !== 0 && (size >= 1e5 || size < 1e-3) ? x.toExponential(2) : String(+x.toPrecision(3));
};
const NO_PLANE = new Float32Array([0, 0, 0, 1e9]);

class View {
  constructor(root) {
    this.root = root;
    this.find = (name) => root.querySelector(`[data-part="${name}"]`);
    this.canvas = this.find("canvas");
    this.scene = readScene();
    this.painter = new Painter(this.canvas, this.scene);
    this.camera = new Camera();
    this.colours = new Uint8Array(4 * this.scene.count);
    this.marks = [];
    this.plane = NO_PLANE;
    this.isDirty = true;
    this.restAt = 0;
    this.listenToControls();
    this.listenToHands();
    this.putLabels();
    this.paintVessels();
    new ResizeObserver(() => this.touch()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.touch());
    const loop = () => { this.frame(); requestAnimationFrame(loop); };
    loop();
  }
  touch() { this.isDirty = true; this.restAt = performance.now() + 180; }

  // ---------------------------------------------------------------- drawing
  frame() {
    if (this.flight) this.fly();
    const rests = this.restAt && performance.now() > this.restAt;  // then once more, with four rays a pixel
    if (!this.isDirty && !rests) return;
    if (rests) this.restAt = 0;
    this.isDirty = false;
    const css = this.canvas.getBoundingClientRect();
    const fine = Math.min(devicePixelRatio * (rests ? 2 : 1), 3);
    const [wide, high] = [css.width, css.height].map((s) => Math.max(2, Math.round(s * fine)));
    if (this.canvas.width !== wide || this.canvas.height !== high) Object.assign(this.canvas, { width: wide, height: high });
    this.camera.update(wide / high);
    const style = getComputedStyle(this.root), ink = (name) => style.getPropertyValue(name).trim().split(" ").map(Number);
    this.painter.draw(this.camera, { plane: this.plane, ground: ink("--ground"), ink: ink("--shell"),
      shell: this.find("tissue").checked, slice: this.slice() });
    this.moveLabels(css);
  }
  paintVessels() {
    const { scene, colours } = this, key = this.find("colour").value;
    const q = scene.quantities.find((one) => one.key === key);
    const shown = scene.kinds.map((_, k) => { const box = this.find(`kind-${k}`); return !box || box.checked; });
    for (let i = 0; i < scene.count; i++) {
      let rgb = scene.kinds[scene.kind[i]].rgb;
      if (q) {
        const s = share(q.codes[i]), f = Math.min(s, 0.99999) * 16, at = Math.floor(f);
        rgb = Number.isNaN(s) ? [0.6, 0.6, 0.6]
          : scene.raw_scale[at].map((c, k) => c + (f - at) * (scene.raw_scale[at + 1][k] - c));
      }
      if (i === this.picked) rgb = [1, 0.82, 0.1];
      for (let k = 0; k < 3; k++) colours[4 * i + k] = 255 * rgb[k];
      colours[4 * i + 3] = shown[scene.kind[i]] ? 255 : 0;
    }
    this.painter.setColours(colours);
    this.tellLegend(q);
    this.touch();
  }
  tellLegend(q) {
    this.find("scale").hidden = !q;
    if (!q) return;
    const stops = this.scene.raw_scale.map((c) => `rgb(${c.map((x) => Math.round(255 * x)).join(" ")})`);
    this.find("bar").style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    [0, 0.5, 1].forEach((s, at) => { this.find(`tick-${at}`).textContent = said(value(q, s)); });
    this.find("scale-label").textContent = q.label + (q.is_log ? ", in decades" : "");
  }

  // ---------------------------------------------------------------- the plane that cuts
  setPlane() {
    const axis = ["x", "y", "z"].indexOf(this.find("axis").value), share_ = this.find("depth").value / 1000;
    this.find("cut").hidden = axis < 0;
    if (axis < 0) { this.plane = NO_PLANE; this.touch(); return; }
    const sign = this.find("flip").checked ? -1 : 1, half = this.scene.size[axis] / 2;
    const at = (2 * share_ - 1) * half * 1.002;
    this.plane = new Float32Array([0, 0, 0, sign * at]);
    this.plane[axis] = sign;
    this.cutAt = [axis, at];
    this.find("depth-label").textContent = `${"xyz"[axis]} = ${said(at * this.scene.unit + this.scene.middle_um[axis])} um`;
    this.touch();
  }
  slice() {
    if (this.plane === NO_PLANE || !this.scene.field || !this.find("oxygen").checked) return null;
    const [axis, at] = this.cutAt, { low, size } = this.scene.field, [u, v] = [0, 1, 2].filter((k) => k !== axis);
    const corners = new Float32Array(12);  // shares of the tissue's box, as vertices of the shell are
    [[0, 0], [1, 0], [0, 1], [1, 1]].forEach(([x, y], i) => {
      const p = [];
      p[axis] = at; p[u] = low[u] + x * size[u]; p[v] = low[v] + y * size[v];
      p.forEach((c, k) => { corners[3 * i + k] = c / this.scene.size[k] + 0.5; });
    });
    return corners;
  }

  // ---------------------------------------------------------------- marks over the picture
  putLabels() {
    const add = (text, place, kind) => {
      const mark = document.createElement("span");
      mark.className = `mark ${kind}`;
      mark.textContent = text;
      this.find("marks").append(mark);
      this.marks.push({ mark, at: this.scene.fromUm(place) });
      return mark;
    };
    for (const port of this.scene.ports) add(port.role, port.place_um, port.role);
    this.scene.places.forEach((one, i) => {
      const mark = add(String(i + 1), one.place_um, one.severity), button = this.root.ownerDocument.getElementById(`place-${i}`);
      mark.title = one.text;
      if (button) button.addEventListener("click", () => this.goTo(one.place_um, mark));
    });
    ["x", "y", "z"].forEach((name) => { this.find(`axis-${name}`).textContent = name; });
  }
  moveLabels(css) {
    const put = (element, point) => {
      const place = this.camera.place(point);
      element.hidden = !place || Math.abs(place[0]) > 1 || Math.abs(place[1]) > 1;
      if (place) element.style.transform = `translate(${((place[0] + 1) * css.width) / 2}px, ${((1 - place[1]) * css.height) / 2}px)`;
    };
    for (const { mark, at } of this.marks) put(mark, at);
    const um = this.camera.pixel(css.height) * this.camera.distance * this.scene.unit, wanted = 110 * um;
    const ten = 10 ** Math.floor(Math.log10(wanted)), length = ten * (wanted / ten >= 5 ? 5 : wanted / ten >= 2 ? 2 : 1);
    this.find("ruler").style.width = `${length / um}px`;
    this.find("ruler-label").textContent = length >= 1000 ? `${length / 1000} mm` : `${said(length)} um`;
    ["x", "y", "z"].forEach((name, k) => {
      const [x, y] = [34 + 24 * this.camera.right[k], 34 - 24 * this.camera.up[k]];
      const line = this.find(`arm-${name}`), text = this.find(`axis-${name}`);
      line.setAttribute("x2", x); line.setAttribute("y2", y);
      text.setAttribute("x", 34 + 1.3 * (x - 34)); text.setAttribute("y", 34 + 1.3 * (y - 34));
    });
  }

  // ---------------------------------------------------------------- going somewhere, and what is there
  goTo(place_um, mark) {
    this.marks.forEach((one) => one.mark.classList.toggle("near", one.mark === mark));
    const to = this.scene.fromUm(place_um);
    this.flight = { from: this.camera.target, to, near: this.camera.distance, end: Math.min(this.camera.distance, 0.5), begun: performance.now() };
    this.root.scrollIntoView({ block: "nearest" });
  }
  fly() {
    const quick = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const t = quick ? 1 : Math.min(1, (performance.now() - this.flight.begun) / 700), s = t * t * (3 - 2 * t);
    this.camera.target = along(this.flight.from, s, minus(this.flight.to, this.flight.from));
    this.camera.distance = this.flight.near * (this.flight.end / this.flight.near) ** s;
    if (t === 1) this.flight = null;
    this.touch();
  }
  pick(x, y) {
    const found = pickCapsule(this.scene, this.colours, this.camera.eye, this.camera.ray(x, y), this.plane);
    this.picked = found ? found[0] : undefined;
    this.tellPicked();
    this.paintVessels();
  }
  tellPicked() {
    const list = this.find("picked"), i = this.picked;
    list.replaceChildren();
    this.root.dataset.picked = i === undefined ? "" : this.scene.number[i];
    if (i === undefined) { list.append(this.find("hint").content.cloneNode(true)); return; }
    const ends = [this.scene.start, this.scene.end].map((codes) => this.scene.toUm(this.scene.place(codes, i)).map((c) => c.toFixed(1)).join(", "));
    const rows = [["vessel", `${this.scene.number[i]}, ${this.scene.kinds[this.scene.kind[i]].name}`],
      ["radius", `${said(this.scene.radius[i])} um`],
      ...this.scene.quantities.filter((q) => q.key !== "radius").map((q) => [q.name, `${said(value(q, share(q.codes[i])))} ${q.unit}`]),
      ["from", `${ends[0]} um`], ["to", `${ends[1]} um`]];
    for (const [name, text] of rows) {
      const [head, told] = [document.createElement("dt"), document.createElement("dd")];
      head.textContent = name; told.textContent = text;
      list.append(head, told);
    }
  }

  // ---------------------------------------------------------------- hands
  listenToControls() {
    this.scene.raw_scale = this.scene.scale.length ? Array.from({ length: 17 }, (_, i) => [...this.scene.scale.slice(3 * i, 3 * i + 3)]) : [];
    this.find("colour").addEventListener("change", () => this.paintVessels());
    this.scene.kinds.forEach((_, k) => this.find(`kind-${k}`)?.addEventListener("change", () => this.paintVessels()));
    this.find("axis").addEventListener("input", () => {  // the cut looks at the eye
      const axis = ["x", "y", "z"].indexOf(this.find("axis").value);
      if (axis >= 0) this.find("flip").checked = this.camera.back[axis] < 0;
      this.setPlane();
    });
    for (const name of ["depth", "flip"]) this.find(name).addEventListener("input", () => this.setPlane());
    for (const name of ["tissue", "oxygen"]) this.find(name)?.addEventListener("change", () => this.touch());
    this.find("reset").addEventListener("click", () => this.reset());
  }
  reset() {
    this.camera.reset();
    this.find("axis").value = "";
    this.picked = undefined;
    this.marks.forEach((one) => one.mark.classList.remove("near"));
    this.tellPicked();
    this.setPlane();
    this.paintVessels();
  }
  listenToHands() {
    const down = new Map(), canvas = this.canvas;
    let moved = 0;
    const spread = () => { const [a, b] = [...down.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
    canvas.addEventListener("pointerdown", (e) => {
      canvas.setPointerCapture(e.pointerId);
      down.set(e.pointerId, { x: e.clientX, y: e.clientY });
      if (down.size === 1) moved = 0;
    });
    canvas.addEventListener("pointermove", (e) => {
      const last = down.get(e.pointerId);
      if (!last) return;
      const dx = e.clientX - last.x, dy = e.clientY - last.y, before = down.size === 2 ? spread() : 0;
      Object.assign(last, { x: e.clientX, y: e.clientY });
      moved += Math.abs(dx) + Math.abs(dy);
      const high = canvas.clientHeight;
      if (down.size === 2) {
        this.camera.distance *= before / Math.max(spread(), 1);
        this.camera.pan(dx / high, -dy / high);
      } else if (e.shiftKey || e.buttons & 6) this.camera.pan((2 * dx) / high, (-2 * dy) / high);
      else this.camera.turn(dx / 160, dy / 160);
      this.touch();
    });
    for (const name of ["pointerup", "pointercancel"])
      canvas.addEventListener(name, (e) => {
        if (!down.delete(e.pointerId) || down.size || moved > 5 || name === "pointercancel" || e.button) return;
        const box = canvas.getBoundingClientRect();
        this.pick((2 * (e.clientX - box.left)) / box.width - 1, 1 - (2 * (e.clientY - box.top)) / box.height);
      });
    canvas.addEventListener("contextmenu", (e) => e.preventDefault());
    canvas.addEventListener("wheel", (e) => {
      e.preventDefault();
      this.camera.distance *= Math.exp(Math.max(-60, Math.min(60, e.deltaY)) / 400);
      this.touch();
    }, { passive: false });
    canvas.addEventListener("keydown", (e) => this.key(e));
  }
  key(e) {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[e.key] || [0, 0];
    if (x || y) { if (e.shiftKey) this.camera.pan(x * 0.1, y * 0.1); else this.camera.turn(x * 0.1, -y * 0.1); }
    else if (e.key === "+" || e.key === "=") this.camera.distance /= 1.15;
    else if (e.key === "-") this.camera.distance *= 1.15;
    else if (e.key === "Escape") this.pick(9, 9);
    else if (e.key === "0" || e.key === "Home") this.reset();
    else if (e.key === "[" || e.key === "]") {
      if (!this.find("axis").value) this.find("axis").value = "z";
      this.find("depth").value = +this.find("depth").value + (e.key === "[" ? -20 : 20);
      this.setPlane();
    } else return;
    e.preventDefault();
    this.touch();
  }
}

(() => {
  const root = document.getElementById("view"), still = document.getElementById("still");
  try {
    root.hidden = false;
    window.poliqiView = new View(root);
    still.hidden = true;
    root.dataset.ready = "yes";
  } catch (error) {
    root.hidden = true;
    document.getElementById("why-still").textContent = `This is a still picture: the view does not run here (${error.message}).`;
  }
})();
