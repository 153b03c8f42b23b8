// @ts-check
/** Mouse, pen and fingers on a lane: a drag draws a span, a click goes there, two fingers or Ctrl wheel zoom. */

import { element } from "./dom.js";
import { MIX } from "./lane.js";

/** @typedef {import("./lane.js").Lane} Lane */
/** @typedef {import("./lanes.js").Lanes} Lanes */
/** @typedef {{id: number, x: number, y: number, frame: number, intent: import("./lanes.js").Intent|null}} Drag */

export const CLICK_PX = 4; // a pointer that moved less has clicked
const EDGE_PX = 24; // a drag that comes so near to a lane's end scrolls
const EDGE_STEP_PX = 10;
const WHEEL_PX = 300; // that zoom by e

export class LanePointer {
  /** @type {Map<number, number>} x of each pointer that is down */ #down = new Map();
  /** @type {Drag|null} */ #drag = null;
  /** @type {{distance: number, pxPerS: number, frame: number}|null} */ #pinch = null;
  #isDrawing = false;
  #animation = 0;

  /**
   * @param {Lane} lane
   * @param {Lanes} lanes
   */
  constructor({ plot, source }, lanes) {
    this.plot = plot;
    this.source = source;
    this.lanes = lanes;
    this.draft = element("div", { class: "draft", hidden: true });
    plot.append(this.draft);
    plot.addEventListener("pointerdown", (event) => this.#pressed(event));
    plot.addEventListener("pointermove", (event) => this.#moved(event));
    plot.addEventListener("pointerup", (event) => this.#released(event));
    plot.addEventListener("pointercancel", (event) => this.#end(event.pointerId));
    plot.addEventListener("wheel", (event) => this.#turned(event), { passive: false });
  }

  /** @param {PointerEvent} event */
  #pressed(event) {
    if (event.button !== 0) return;
    if (this.source !== MIX) this.lanes.callbacks.onLane(this.source);
    const isRegion = event.composedPath().some((node) => node instanceof HTMLElement && node.part?.contains("region"));
    if (isRegion) return; // it is moved or resized
    this.#down.set(event.pointerId, event.clientX);
    if (this.#down.size === 1) {
      const { pointerId: id, clientX: x, clientY: y } = event;
      const intent = event.altKey ? "only" : event.shiftKey ? "active" : null;
      this.#drag = { id, x, y, frame: this.lanes.frameUnder(x), intent };
    } else if (this.#down.size === 2) {
      this.#stopDrawing();
      const { middle, distance } = this.#fingers();
      this.#pinch = { distance, pxPerS: this.lanes.pxPerS, frame: this.lanes.frameUnder(middle) };
    }
  }

  /** @param {PointerEvent} event */
  #moved(event) {
    if (!this.#down.has(event.pointerId)) return;
    this.#down.set(event.pointerId, event.clientX);
    if (this.#pinch) {
      const { middle, distance } = this.#fingers();
      const pxPerS = (this.#pinch.pxPerS * distance) / this.#pinch.distance;
      this.lanes.zoom(pxPerS, this.#pinch.frame, middle - this.plot.getBoundingClientRect().left);
    } else if (this.#drag && this.source !== MIX && !this.#isDrawing && Math.abs(event.clientX - this.#drag.x) > CLICK_PX) {
      this.plot.setPointerCapture(event.pointerId);
      this.#isDrawing = true;
      this.#draw();
    }
  }

  /** Show what is drawn, and scroll where the pointer is at an end of the lane. */
  #draw() {
    if (!this.#isDrawing || !this.#drag) return;
    const { left, right } = this.plot.getBoundingClientRect();
    const x = this.#down.get(this.#drag.id) ?? 0;
    const edge = x > right - EDGE_PX ? 1 : x < left + EDGE_PX ? -1 : 0;
    if (edge) this.lanes.scrollBy(edge * EDGE_STEP_PX);
    const [start, end] = this.#span().map((frame) => this.lanes.xOf(frame));
    this.draft.hidden = false;
    this.draft.style.left = `${start}px`;
    this.draft.style.width = `${end - start}px`;
    this.#animation = requestAnimationFrame(() => this.#draw());
  }

  /** The frames from where the pointer went down to where it is. */
  #span() {
    const { frame, id } = /** @type {Drag} */ (this.#drag);
    return [frame, this.lanes.frameUnder(this.#down.get(id) ?? 0)].sort((a, b) => a - b);
  }

  /** @param {PointerEvent} event */
  #released(event) {
    const drag = this.#drag;
    if (drag?.id === event.pointerId && !this.#pinch) {
      this.#down.set(event.pointerId, event.clientX);
      const [start, end] = this.#span();
      const { callbacks } = this.lanes;
      if (this.#isDrawing && end > start) {
        this.#stopDrawing();
        callbacks.onDrawn(this.source, drag.intent, start, end);
      } else if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) <= CLICK_PX) {
        callbacks.onSelect(null);
        callbacks.onSeek(drag.frame);
      }
    }
    this.#end(event.pointerId);
  }

  /** @param {number} id of the pointer that is no longer down */
  #end(id) {
    this.#down.delete(id);
    if (this.#drag?.id === id) {
      this.#stopDrawing();
      this.#drag = null;
    }
    if (!this.#down.size) this.#pinch = null;
  }

  #stopDrawing() {
    cancelAnimationFrame(this.#animation);
    this.#isDrawing = false;
    this.draft.hidden = true;
  }

  #fingers() {
    const [one, other] = this.#down.values();
    return { middle: (one + other) / 2, distance: Math.max(10, Math.abs(one - other)) };
  }

  /** @param {WheelEvent} event */
  #turned(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const x = event.clientX - this.plot.getBoundingClientRect().left;
    this.lanes.zoom(this.lanes.pxPerS * Math.exp(-event.deltaY / WHEEL_PX), this.lanes.frameUnder(event.clientX), x);
  }
}
