// @ts-check
/** The lanes of a song on one scale of time: zoom and scroll, ruler, playhead, loop. */

import { clock, element } from "./dom.js";
import { Lane, MIX } from "./lane.js";
import { CLICK_PX, LanePointer } from "./lane_pointer.js";
import { MarkRegions } from "./mark_regions.js";

/** @typedef {import("./api.js").Mark} Mark */
/** @typedef {import("./api.js").Suggestion} Suggestion */
/** @typedef {import("./api.js").Finding} Finding */
/** @typedef {"silent"|"active"|"only"} Intent */

const MAX_PX_PER_S = 400;
const LOUD_SHARE = 0.995; // of the moments fit into a lane
const HEADROOM = 1.25;
const TICK_PX = 90; // about the distance between the ruler's times
const TICKS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600];

/**
 * @typedef {object} LaneCallbacks
 * @property {(source: string, intent: Intent|null, start: number, end: number) => void} onDrawn a span in frames; the
 *   intent is that of a key, or null
 * @property {(frame: number) => void} onSeek
 * @property {(loop: {start: number, end: number}) => void} onLoop
 * @property {(source: string) => void} onLane
 * @property {(source: string) => void} onSolo
 * @property {(source: string) => void} onMute
 */

/** @typedef {LaneCallbacks & import("./mark_regions.js").RegionCallbacks} Callbacks */

export class Lanes {
  /** @type {{start: number, end: number}|null} */ loop = null;
  /** @type {{start: number, end: number}|null} */ preview = null;
  /** @type {Map<string, Lane>} */ #lanes = new Map();
  #pxPerS = 0; // 0 = the whole song
  /** @type {[readonly Mark[], readonly Suggestion[], readonly Finding[], Mark|null]|undefined} */ #rendered;

  /**
   * @param {HTMLElement} root
   * @param {{rate: number, frames: number, peak: number, sources: string[], nonce: string}} song
   * @param {Callbacks} callbacks
   */
  constructor(root, song, callbacks) {
    this.root = root;
    this.song = song;
    this.seconds = song.frames / song.rate;
    this.callbacks = callbacks;
    this.ruler = element("div", { class: "ruler", "aria-hidden": "true" });
    this.playhead = element("div", { class: "playhead", "aria-hidden": "true" });
    this.loopBox = element("div", { class: "loop-box", hidden: true });
    this.previewBox = element("div", { class: "preview-box", hidden: true });
    const rulerRow = element("div", { class: "lane ruler-row" }, element("div", { class: "lane-head" }), this.ruler);
    root.replaceChildren(rulerRow);
    [MIX, ...song.sources].forEach((source, index) => this.#addLane(source, index));
    this.mix = /** @type {Lane} */ (this.#lanes.get(MIX));
    this.regions = new MarkRegions(song.rate, this.#lanes, callbacks);
    root.append(element("div", { class: "over" }, this.previewBox, this.loopBox, this.playhead));
    this.resizes = new ResizeObserver(() => this.#drawRuler());
    this.resizes.observe(this.ruler);
    this.night = matchMedia("(prefers-color-scheme: dark)");
    this.night.onchange = () => [...this.#lanes.values()].forEach((lane) => lane.colour());
    this.ruler.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.#pressRuler(event));
  }

  /**
   * Go where the ruler is clicked; loop what is dragged over.
   * @param {PointerEvent} down
   */
  #pressRuler(down) {
    if (down.button !== 0) return;
    const { ruler, callbacks } = this;
    const first = this.frameUnder(down.clientX);
    /** @type {{start: number, end: number}|null} */
    let drawn = null;
    const onMove = (/** @type {PointerEvent} */ event) => {
      if (!drawn && Math.abs(event.clientX - down.clientX) <= CLICK_PX) return;
      const [start, end] = [first, this.frameUnder(event.clientX)].sort((a, b) => a - b);
      drawn = { start, end: Math.max(end, start + 1) };
      this.showLoop(drawn);
    };
    const onEnd = () => {
      ruler.removeEventListener("pointermove", onMove);
      if (drawn) callbacks.onLoop(drawn);
      else callbacks.onSeek(first);
    };
    ruler.setPointerCapture(down.pointerId);
    ruler.addEventListener("pointermove", onMove);
    ruler.addEventListener("lostpointercapture", onEnd, { once: true });
  }

  destroy() {
    this.resizes.disconnect();
    this.night.onchange = null;
    for (const lane of this.#lanes.values()) lane.destroy();
    this.root.replaceChildren();
  }

  /**
   * @param {string} source
   * @param {number} index
   */
  #addLane(source, index) {
    const { song, seconds, callbacks } = this;
    const hasScrollbar = index === song.sources.length;
    const options = { source, index, seconds, fullHeight: song.peak || 1, hasScrollbar, nonce: song.nonce };
    const lane = new Lane(options, callbacks, () => this.#rendered && this.render(...this.#rendered));
    this.#lanes.set(source, lane);
    this.root.append(lane.row);
    lane.surfer.on("scroll", (/** @type {number} */ start, /** @type {number} */ end, /** @type {number} */ left) => {
      for (const other of this.#lanes.values()) if (other !== lane) other.scrollTo(left);
      this.#drawRuler();
    });
    new LanePointer(lane, this);
  }

  /**
   * Draw marks, suggestions, and findings on the marks that they are about.
   * @param {readonly Mark[]} marks
   * @param {readonly Suggestion[]} suggestions
   * @param {readonly Finding[]} findings
   * @param {Mark|null} selected
   */
  render(marks, suggestions, findings, selected) {
    this.#rendered = [marks, suggestions, findings, selected]; // for lanes that are not loaded yet
    this.regions.render(marks, suggestions, findings, selected);
  }

  /**
   * Draw the waveform of a lane.
   * @param {string} source
   * @param {string} address of the audio, "" = none
   * @param {(address: string) => Promise<Float32Array[]>} peaksOf
   */
  async drawWave(source, address, peaksOf) {
    await this.#lanes.get(source)?.draw(address, peaksOf, (peaks) => {
      if (source === MIX && address) this.#fitHeight(peaks);
      return this.#pxPerS;
    });
  }

  /**
   * Let all lanes be as high as all but the loudest moments of the mix need.
   * @param {Float32Array} peaks
   */
  #fitHeight(peaks) {
    const loud = Float32Array.from(peaks).sort()[Math.floor(LOUD_SHARE * (peaks.length - 1))];
    const fullHeight = Math.max(loud * HEADROOM, this.song.peak / 10, 0.001);
    for (const lane of this.#lanes.values()) lane.setFullHeight(fullHeight);
  }

  /** @param {string} source of the lane that keys are about */
  choose(source) {
    for (const { row, source: own } of this.#lanes.values()) {
      row.classList.toggle("chosen", own === source);
      row.setAttribute("aria-current", String(own === source));
    }
  }

  /**
   * @param {Set<string>} solos
   * @param {Set<string>} mutes
   * @param {boolean} canPlay whether lanes can be heard apart
   */
  showAudible(solos, mutes, canPlay) {
    for (const { source, solo, mute, row } of this.#lanes.values()) {
      if (!solo || !mute) continue;
      solo.setAttribute("aria-pressed", String(solos.has(source)));
      mute.setAttribute("aria-pressed", String(mutes.has(source)));
      solo.disabled = mute.disabled = !canPlay;
      row.classList.toggle("quiet", solos.size ? !solos.has(source) : mutes.has(source));
    }
  }

  // The scale of time

  /** Pixels to a second, as it is drawn. */
  get pxPerS() {
    return Math.max(this.#pxPerS, this.ruler.clientWidth / this.seconds);
  }

  get isZoomed() {
    return this.#pxPerS > 0;
  }

  /** @param {number} clientX on the window */
  frameUnder(clientX) {
    const x = clientX - this.ruler.getBoundingClientRect().left + this.mix.scroll;
    return Math.min(this.song.frames, Math.max(0, Math.round((x / this.pxPerS) * this.song.rate)));
  }

  /** @param {number} frame whose pixels from the left edge of the lanes are asked for */
  xOf(frame) {
    return (frame / this.song.rate) * this.pxPerS - this.mix.scroll;
  }

  /** Frames that are in view. */
  get visible() {
    const frame = (/** @type {number} */ x) => Math.round((x / this.pxPerS) * this.song.rate);
    const { scroll } = this.mix;
    return { start: frame(scroll), end: Math.min(this.song.frames, frame(scroll + this.ruler.clientWidth)) };
  }

  /** @param {number} px */
  scrollBy(px) {
    this.mix.scrollTo(Math.max(0, this.mix.scroll + px));
  }

  /**
   * Zoom, with a frame staying at its place.
   * @param {number} pxPerS 0 = the whole song
   * @param {number} [frame]
   * @param {number} [x] its place from the left edge; the middle unless given
   */
  zoom(pxPerS, frame = 0, x = this.ruler.clientWidth / 2) {
    const fit = this.ruler.clientWidth / this.seconds;
    this.#pxPerS = pxPerS <= fit ? 0 : Math.min(MAX_PX_PER_S, pxPerS);
    for (const { surfer } of this.#lanes.values()) surfer.zoom(this.#pxPerS);
    const left = Math.max(0, (frame / this.song.rate) * this.pxPerS - x);
    for (const lane of this.#lanes.values()) lane.surfer.setScroll(left);
    this.#drawRuler();
  }

  /**
   * Zoom so that a span fills two thirds of the lanes.
   * @param {number} start
   * @param {number} end
   */
  zoomTo(start, end) {
    const seconds = (end - start) / this.song.rate;
    this.zoom((this.ruler.clientWidth * 0.66) / Math.max(0.05, seconds), (start + end) / 2);
  }

  /**
   * Move the playhead.
   * @param {number} frame
   * @param {boolean} follow whether the lanes scroll along
   */
  showPosition(frame, follow) {
    const width = this.ruler.clientWidth;
    const x = this.xOf(frame);
    if (follow && (x < 0 || x > width - 8)) this.mix.scrollTo(Math.max(0, x + this.mix.scroll - width / 8));
    const left = this.xOf(frame);
    this.playhead.hidden = left < 0 || left > width;
    this.playhead.style.transform = `translateX(${left}px)`;
  }

  /** @param {{start: number, end: number}|null} loop */
  showLoop(loop) {
    this.loop = loop;
    this.#place(this.loopBox, loop);
  }

  /** @param {{start: number, end: number}|null} preview the stretch that can be heard while a job learns */
  showPreview(preview) {
    this.preview = preview;
    this.#place(this.previewBox, preview);
  }

  /**
   * @param {HTMLElement} box
   * @param {{start: number, end: number}|null} span
   */
  #place(box, span) {
    const left = span ? Math.max(0, this.xOf(span.start)) : 0;
    const right = span ? Math.min(this.ruler.clientWidth, this.xOf(span.end)) : 0;
    box.hidden = right <= left;
    box.style.left = `${left}px`;
    box.style.width = `${Math.max(0, right - left)}px`;
  }

  #drawRuler() {
    const { pxPerS } = this;
    const step = TICKS_S.find((seconds) => seconds * pxPerS >= TICK_PX) ?? TICKS_S[TICKS_S.length - 1];
    const ticks = [];
    for (let n = Math.ceil(this.mix.scroll / pxPerS / step); n * step <= this.seconds; n += 1) {
      const x = n * step * pxPerS - this.mix.scroll;
      if (x > this.ruler.clientWidth - TICK_PX / 3) break;
      const tick = element("span", { class: "tick" }, clock(n * step, step < 1 ? 1 : 0));
      tick.style.left = `${x}px`;
      ticks.push(tick);
    }
    this.ruler.replaceChildren(...ticks);
    this.showLoop(this.loop);
    this.showPreview(this.preview);
  }
}
