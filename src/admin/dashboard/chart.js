// A chart of curves in SVG: axes, curves with holes, filled ones on top of each other, and a mark that follows pointer
// and arrow keys. Knows numbers and how they are written, not what they mean.

const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (parent) parent.append(element);
  return element;
}

/** About `count` round numbers from 0 to `top`; the last one is at or above it. */
function roundSteps(top, count) {
  const rough = top / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const steps = [];
  for (let at = 0; steps.length === 0 || steps[steps.length - 1] < top; at += 1) steps.push(at * step);
  return steps;
}

/** As many steps of bytes: a power of two apart. */
function byteSteps(top, count) {
  const step = 2 ** Math.ceil(Math.log2(top / count));
  return Array.from({ length: Math.ceil(top / step) + 1 }, (_, at) => at * step);
}

/** Powers of ten around a range. */
function powersOfTen(low, high) {
  const first = Math.floor(Math.log10(low));
  const last = Math.max(Math.ceil(Math.log10(high)), first + 1);
  return Array.from({ length: last - first + 1 }, (_, at) => 10 ** (first + at));
}

/** A number on an axis: without zeros behind the point. */
function briefly(text) {
  return text.replace(/(\.\d*?)0+(?!\d)/, "$1").replace(/\.(?!\d)/, "");
}

class Chart {
  /**
   * options: label, y ("linear", "bytes" or "log"), write (a number as text), stacked, xTicks(width) → [[x, text]],
   * writeX (an x as text)
   */
  constructor(host, options) {
    this.options = options;
    this.host = host;
    this.marked = null;
    this.svg = svg("svg", { role: "img", tabindex: "0", class: "chart" }, host);
    this.grid = svg("g", { class: "grid", "aria-hidden": "true" }, this.svg);
    this.curves = svg("g", { "aria-hidden": "true" }, this.svg);
    this.mark = svg("line", { class: "mark", visibility: "hidden" }, this.svg);
    this.tip = document.createElement("div");
    this.tip.className = "tip";
    this.tip.hidden = true;
    host.append(this.tip);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.setMark(null));
    this.svg.addEventListener("blur", () => this.setMark(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
  }

  /** Shows curves: [{name, kind (a class), points: [[x, y or null]]}] over x from `from` to `to`. */
  show(curves, from, to) {
    this.data = { curves, from, to };
    this.layOut();
    this.svg.setAttribute("aria-label", `${this.options.label}. ${this.summary()} Arrow keys walk along the curves.`);
  }

  layOut() {
    const { curves, from, to } = this.data;
    const width = Math.max(this.host.clientWidth, 200);
    const height = Math.max(this.host.clientHeight, 120);
    const tops = this.options.stacked ? stack(curves) : curves.map((curve) => curve.points);
    const values = tops.flat().map(([, y]) => y).filter((y) => y !== null && (this.options.y !== "log" || y > 0));
    this.ticks = this.yTicks(values, height);
    const [low, high] = [this.ticks[0], this.ticks[this.ticks.length - 1]];
    const left = 8 + 6.6 * Math.max(...this.ticks.map((tick) => briefly(this.options.write(tick)).length));
    const box = { left, right: width - 10, top: 8, bottom: height - 22 };
    this.box = box;
    this.x = (x) => box.left + ((x - from) / (to - from)) * (box.right - box.left);
    this.y = this.options.y === "log"
      ? (y) => box.bottom - (Math.log(Math.max(y, low) / low) / Math.log(high / low)) * (box.bottom - box.top)
      : (y) => box.bottom - (y / high) * (box.bottom - box.top);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.drawGrid(width);
    this.drawCurves(tops);
    this.drawMark();
  }

  yTicks(values, height) {
    const count = Math.max(2, Math.floor(height / 45));
    if (this.options.y === "log") {
      return values.length > 0 ? powersOfTen(Math.min(...values), Math.max(...values)) : powersOfTen(1000, 1e6);
    }
    const top = Math.max(this.options.least ?? 1, ...values) * 1.02;
    return this.options.y === "bytes" ? byteSteps(top, count) : roundSteps(top, count);
  }

  drawGrid(width) {
    this.grid.replaceChildren();
    const { left, right, top, bottom } = this.box;
    for (const tick of this.ticks) {
      const y = this.y(tick);
      svg("line", { x1: left, x2: right, y1: y, y2: y }, this.grid);
      svg("text", { x: left - 6, y: y + 4, class: "end" }, this.grid).textContent = briefly(this.options.write(tick));
    }
    const taken = [];
    for (const [x, text] of this.options.xTicks(width, this.data)) {
      const at = this.x(x);
      if (at < left - 1 || at > right + 1) continue;
      svg("line", { x1: at, x2: at, y1: top, y2: bottom, class: "faint" }, this.grid);
      const half = 3.6 * text.length;
      const middle = Math.min(Math.max(at, left + half), right - half);
      // A text that would touch another one is left out.
      if (taken.some((other) => Math.abs(other.middle - middle) < other.half + half + 4)) continue;
      taken.push({ middle, half });
      svg("text", { x: middle, y: bottom + 16, class: "middle" }, this.grid).textContent = text;
    }
  }

  drawCurves(tops) {
    const { curves } = this.data;
    this.curves.replaceChildren();
    curves.forEach((curve, at) => {
      const pieces = unbroken(tops[at]);
      const line = pieces.map((piece) => this.path(piece)).join("");
      if (this.options.stacked) {
        const floor = at > 0 ? new Map(tops[at - 1]) : null;
        const area = pieces.map((piece) => {
          const back = piece.map(([x]) => [x, floor?.get(x) ?? 0]).reverse();
          return `${this.path(piece)}L${this.path(back).slice(1)}Z`;
        });
        svg("path", { d: area.join(""), class: `area ${curve.kind}` }, this.curves);
      }
      svg("path", { d: line, class: `curve ${curve.kind}` }, this.curves);
    });
  }

  path(points) {
    const place = ([x, y]) => `${this.x(x).toFixed(1)} ${this.y(y).toFixed(1)}`;
    // A single point shows as a dot of the line's width.
    const all = points.length === 1 ? [points[0], points[0]] : points;
    return `M${all.map(place).join("L")}`;
  }

  /** All x that have a value. */
  places() {
    const all = new Set(this.data.curves.flatMap((curve) => curve.points.filter(([, y]) => y !== null).map(([x]) => x)));
    return [...all].sort((one, other) => one - other);
  }

  point(event) {
    const { left, width } = this.svg.getBoundingClientRect();
    const view = this.svg.viewBox.baseVal.width;
    const at = ((event.clientX - left) / width) * view;
    const places = this.places();
    if (places.length === 0) return;
    const nearest = places.reduce((best, x) => (Math.abs(this.x(x) - at) < Math.abs(this.x(best) - at) ? x : best));
    this.setMark(nearest);
  }

  key(event) {
    const places = this.places();
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") this.setMark(null);
    if (!(event.key in moves) || places.length === 0) return;
    event.preventDefault();
    const now = this.marked === null ? places.length : places.findIndex((x) => x >= this.marked);
    const next = Math.min(Math.max(now + moves[event.key], 0), places.length - 1);
    this.setMark(places[next]);
  }

  setMark(x) {
    this.marked = x;
    if (this.data) this.drawMark();
  }

  drawMark() {
    const shown = this.marked !== null && this.marked >= this.data.from && this.marked <= this.data.to;
    this.mark.setAttribute("visibility", shown ? "visible" : "hidden");
    this.tip.hidden = !shown;
    if (!shown) return;
    const at = this.x(this.marked);
    for (const [key, value] of [["x1", at], ["x2", at], ["y1", this.box.top], ["y2", this.box.bottom]]) {
      this.mark.setAttribute(key, value);
    }
    const rows = this.data.curves.map((curve) => {
      const y = valueNear(curve.points, this.marked);
      return y === null ? null : row(curve.kind, curve.name, this.options.write(y));
    });
    const title = document.createElement("div");
    title.textContent = this.options.writeX(this.marked, this.data);
    this.tip.replaceChildren(title, ...rows.filter((it) => it !== null).reverse());
    const scale = this.svg.getBoundingClientRect().width / this.svg.viewBox.baseVal.width;
    const right = at * scale > this.host.clientWidth / 2;
    this.tip.style.left = right ? "" : `${at * scale + 10}px`;
    this.tip.style.right = right ? `${this.host.clientWidth - at * scale + 10}px` : "";
  }

  /** The newest values, for those who do not see the curves. */
  summary() {
    const parts = this.data.curves.map((curve) => {
      const known = curve.points.filter(([, y]) => y !== null);
      return known.length > 0 ? `${curve.name} ${this.options.write(known[known.length - 1][1])}` : null;
    });
    const text = parts.filter((part) => part !== null).join(", ");
    return text ? `${text}.` : "Nothing yet.";
  }
}

/** Curves on top of each other. */
function stack(curves) {
  const below = new Map();
  return curves.map((curve) => curve.points.map(([x, y]) => {
    if (y === null) return [x, null];
    below.set(x, (below.get(x) ?? 0) + y);
    return [x, below.get(x)];
  }));
}

/** Pieces of a curve between its holes. */
function unbroken(points) {
  const pieces = [[]];
  for (const point of points) {
    if (point[1] === null) pieces.push([]);
    else pieces[pieces.length - 1].push(point);
  }
  return pieces.filter((piece) => piece.length > 0);
}

/** The value at the first x at or behind this one. */
function valueNear(points, x) {
  const found = points.find(([at, y]) => at >= x && y !== null);
  return found ? found[1] : null;
}

/** A line of a legend or of a mark's box. */
function row(kind, name, value) {
  const line = document.createElement("div");
  line.className = "row";
  const swatch = document.createElement("i");
  swatch.className = `swatch ${kind}`;
  const label = document.createElement("span");
  label.textContent = name;
  const number = document.createElement("b");
  number.textContent = value;
  line.append(swatch, label, number);
  return line;
}
