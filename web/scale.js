// A line that the user lays along a known length: by dragging on the photo, or by moving its ends with the arrow keys.

import { drawingUnit, svg } from "./drawing.js";

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class ScaleLine {
  /**
   * Put a line, hidden at first, on a drawing.
   *
   * @param drawing of `drawGarments`.
   * @param width, height of the photo, pixels.
   * @param onChange function that is called without arguments after each change.
   */
  constructor(drawing, width, height, onChange) {
    Object.assign(this, { drawing, width, height, onChange, ends: null });
    const unit = drawingUnit(width, height);
    this.lines = ["rgb(20 20 24)", "white"].map((stroke, at) => svg("line", { stroke, "stroke-width": unit * (0.9 - 0.5 * at) }));
    this.handles = ["first", "second"].map((which) =>
      svg("circle", {
        ...{ r: unit * 2.5, class: "handle", tabindex: 0, role: "button" },
        "aria-label": `The ${which} end of the known length: move it with the arrow keys, faster with Shift`,
      }),
    );
    this.group = svg("g", { class: "scale", visibility: "hidden" }, ...this.lines, ...this.handles);
    drawing.append(this.group);
    this.handles.forEach((handle, end) => handle.addEventListener("keydown", (event) => this.#moveByKey(event, end)));
    drawing.addEventListener("pointerdown", (event) => this.#drag(event));
  }

  /** Length in photo pixels; null without a line. */
  get pixels() {
    if (!this.ends) return null;
    const [[x1, y1], [x2, y2]] = this.ends;
    return Math.hypot(x2 - x1, y2 - y1) || null;
  }

  /** Lay a line across the middle of the photo, unless there is one, and focus its first end. */
  begin() {
    const middle = (this.height - 1) / 2;
    if (!this.ends) this.#place([[this.width * 0.25, middle], [this.width * 0.75, middle]]);
    this.handles[0].focus();
  }

  #place(ends) {
    const clip = (value, side) => Math.min(Math.max(value, 0), side - 1);
    this.ends = ends.map(([x, y]) => [clip(x, this.width), clip(y, this.height)]);
    const [[x1, y1], [x2, y2]] = this.ends;
    const set = (element, values) => Object.entries(values).forEach(([key, value]) => element.setAttribute(key, value));
    this.lines.forEach((line) => set(line, { x1, y1, x2, y2 }));
    this.handles.forEach((handle, end) => set(handle, { cx: this.ends[end][0], cy: this.ends[end][1] }));
    set(this.group, { visibility: "visible" });
    this.onChange();
  }

  #moveByKey(event, end) {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const distance = (event.shiftKey ? 10 : 1) * Math.max(1, Math.round(drawingUnit(this.width, this.height) / 8));
    const moved = this.ends[end].map((value, axis) => value + step[axis] * distance);
    this.#place(this.ends.map((old, at) => (at === end ? moved : old)));
  }

  #drag(event) {
    const end = this.handles.indexOf(event.target);
    // A finger beside the ends scrolls the page.
    if (event.button !== 0 || (end < 0 && event.pointerType === "touch")) return;
    event.preventDefault();
    const start = end < 0 ? this.#position(event) : this.ends[1 - end];
    const dragging = new AbortController();
    const follow = (moved) => this.#place(end === 0 ? [this.#position(moved), start] : [start, this.#position(moved)]);
    const stop = () => {
      dragging.abort();
      if (this.ends) this.handles[end === 0 ? 0 : 1].focus(); // so that the arrow keys can correct it
    };
    this.drawing.setPointerCapture(event.pointerId);
    this.drawing.addEventListener("pointermove", follow, dragging);
    for (const name of ["pointerup", "pointercancel"]) this.drawing.addEventListener(name, stop, dragging);
  }

  #position({ clientX, clientY }) {
    const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(this.drawing.getScreenCTM().inverse());
    return [x, y];
  }
}
