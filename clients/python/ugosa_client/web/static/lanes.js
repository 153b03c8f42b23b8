// @ts-check
/** The lanes of a song: waveforms, marks that are drawn with the pointer, suggestions, findings, ruler and playhead. */

import { clock, element } from "./dom.js";
import { isSame, keyOf } from "./marks.js";
import WaveSurfer from "./vendor/wavesurfer.esm.js";
import RegionsPlugin from "./vendor/regions.esm.js";

/** @typedef {import("./api.js").Mark} Mark */
/** @typedef {import("./api.js").Suggestion} Suggestion */
/** @typedef {import("./api.js").Finding} Finding */
/** @typedef {"silent"|"active"|"only"} Intent */

const CLICK_PX = 4; // a pointer that moved less has clicked
const MAX_PX_PER_S = 400;
const LOUD_SHARE = 0.995; // of the moments fit into a lane
const HEADROOM = 1.25;
const TICK_PX = 90; // about the distance between the ruler's times
const TICKS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600];
const MIX = "mix";
const DRAFT = "draft"; // id of a region while it is drawn
const SILENCE = [new Float32Array(1000), new Float32Array(1000)];

/**
 * @typedef {object} Callbacks
 * @property {(source: string, intent: Intent, start: number, end: number) => void} onDrawn a span in frames
 * @property {(mark: Mark, start: number, end: number) => void} onMoved a mark got other frames
 * @property {(mark: Mark|null) => void} onSelect
 * @property {(suggestion: Suggestion) => void} onAccept
 * @property {(frame: number) => void} onSeek
 * @property {(source: string) => void} onLane
 * @property {(source: string) => void} onSolo
 * @property {(source: string) => void} onMute
 */

/** @typedef {{source: string, row: HTMLElement, plot: HTMLElement, surfer: any, regions: any, address: string, isLoading: boolean, queue: Promise<any>,
 *   solo: HTMLButtonElement|null, mute: HTMLButtonElement|null}} Lane */

export class Lanes {
  /** @type {{start: number, end: number}|null} */ loop = null;
  /** @type {Map<string, Lane>} */ #lanes = new Map();
  /** @type {Map<string, any>} */ #regionOf = new Map();
  /** @type {Map<any, Mark|Suggestion>} */ #markOf = new Map();
  #pxPerS = 0;
  #fullHeight = 1;
  #downFrame = 0; // where the pointer went down
  #pointerX = 0;
  #listeners = new AbortController();
  #isRendering = false;
  /** @type {[readonly Mark[], readonly Suggestion[], readonly Finding[], Mark|null]|undefined} */ #rendered;

  /**
   * @param {HTMLElement} root
   * @param {{rate: number, frames: number, peak: number, sources: string[], nonce: string}} song
   * @param {Callbacks} callbacks
   */
  constructor(root, song, callbacks) {
    this.root = root;
    this.song = song;
    this.#fullHeight = song.peak || 1;
    this.callbacks = callbacks;
    /** @type {Intent} what a drag without a key draws */
    this.intent = "silent";
    this.ruler = element("div", { class: "ruler", "aria-hidden": "true" });
    this.playhead = element("div", { class: "playhead", "aria-hidden": "true" });
    this.loopBox = element("div", { class: "loop-box", hidden: true });
    root.replaceChildren(
      element("div", { class: "lane ruler-row" }, element("div", { class: "lane-head" }), this.ruler),
    );
    [MIX, ...song.sources].forEach((source, index) => this.#addLane(source, index));
    root.append(element("div", { class: "over" }, this.loopBox, this.playhead));
    this.resizes = new ResizeObserver(() => this.#drawRuler());
    this.resizes.observe(this.ruler);
    for (const name of /** @type {const} */ (["pointermove", "pointerup"])) {
      const options = { capture: true, signal: this.#listeners.signal };
      document.addEventListener(name, (event) => (this.#pointerX = event.clientX), options);
    }
    this.ruler.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      callbacks.onSeek(this.#frameUnder(this.ruler, event.clientX));
    });
  }

  get seconds() {
    return this.song.frames / this.song.rate;
  }

  get #mix() {
    return /** @type {Lane} */ (this.#lanes.get(MIX));
  }

  get scroll() {
    return this.#mix.surfer.getScroll();
  }

  /** Pixels to a second, as it is drawn. */
  get pxPerS() {
    return Math.max(this.#pxPerS, this.ruler.clientWidth / this.seconds);
  }

  destroy() {
    this.resizes.disconnect();
    this.#listeners.abort();
    for (const { surfer } of this.#lanes.values()) surfer.destroy();
    this.root.replaceChildren();
  }

  /**
   * @param {string} source
   * @param {number} index
   */
  #addLane(source, index) {
    const { callbacks } = this;
    const isMix = source === MIX;
    const plot = element("div", { class: "plot" });
    const button = (/** @type {string} */ letter, /** @type {string} */ title, /** @type {() => void} */ onclick) =>
      element("button", { class: "small", type: "button", title, "aria-label": title, "aria-pressed": "false", onclick }, letter);
    const solo = isMix ? null : button("S", `Solo ${source} (S)`, () => callbacks.onSolo(source));
    const mute = isMix ? null : button("M", `Mute ${source} (M)`, () => callbacks.onMute(source));
    const head = element(
      "div",
      { class: "lane-head", onclick: () => !isMix && callbacks.onLane(source) },
      element("span", { class: "lane-name" }, source),
      isMix ? null : element("span", { class: "lane-buttons" }, element("kbd", {}, String(index)), solo, mute),
    );
    const row = element("div", { class: `lane ${isMix ? "mix" : ""}`, "data-source": source, role: "group", "aria-label": `Lane of ${source}` }, head, plot);
    row.style.setProperty("--colour", isMix ? "var(--mix)" : `var(--source-${(index - 1) % 6})`);
    this.root.append(row);
    const colour = getComputedStyle(plot).color; // as it is by day or night
    const surfer = WaveSurfer.create({
      container: plot,
      height: isMix ? 56 : 78,
      waveColor: colour,
      progressColor: colour,
      cursorWidth: 0,
      interact: false,
      autoScroll: false,
      peaks: SILENCE,
      duration: this.seconds,
      hideScrollbar: index < this.song.sources.length,
      cspNonce: this.song.nonce,
      normalize: true,
      maxPeak: this.#fullHeight,
    });
    const regions = isMix ? null : surfer.registerPlugin(RegionsPlugin.create());
    const queue = new Promise((resolve) => surfer.once("ready", resolve));
    /** @type {Lane} */
    const lane = { source, row, plot, surfer, regions, address: "", isLoading: true, queue, solo, mute };
    this.#lanes.set(source, lane);
    void queue.then(() => this.#loaded(lane));
    surfer.on("scroll", (/** @type {number} */ start, /** @type {number} */ end, /** @type {number} */ left) => {
      for (const other of this.#lanes.values()) {
        if (other !== lane && Math.abs(other.surfer.getScroll() - left) > 1) other.surfer.setScroll(left);
      }
      this.#drawRuler();
    });
    this.#followPointer(lane);
    if (regions) this.#followRegions(lane);
  }

  /** @param {Lane} lane */
  #followPointer({ plot, source }) {
    let [downX, downY] = [0, 0];
    plot.addEventListener(
      "pointerdown",
      (event) => {
        [downX, downY] = [event.clientX, event.clientY];
        this.#downFrame = this.#frameUnder(plot, downX);
        this.drawn = event.altKey ? "only" : event.shiftKey ? "active" : this.intent;
        if (source !== MIX) this.callbacks.onLane(source);
      },
      true,
    );
    plot.addEventListener("click", (event) => {
      const isRegion = event.composedPath().some((node) => node instanceof HTMLElement && node.part?.contains("region"));
      if (isRegion || Math.hypot(event.clientX - downX, event.clientY - downY) > CLICK_PX) return;
      this.callbacks.onSelect(null);
      this.callbacks.onSeek(this.#frameUnder(plot, event.clientX));
    });
    plot.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        const x = event.clientX - plot.getBoundingClientRect().left;
        this.zoom(this.pxPerS * Math.exp(-event.deltaY / 300), this.#frameAt(x + this.scroll), x);
      },
      { passive: false },
    );
  }

  /** @param {Lane} lane */
  #followRegions({ source, plot, regions }) {
    regions.enableDragSelection({ id: DRAFT, color: "transparent" }, CLICK_PX);
    regions.on("region-created", (/** @type {any} */ region) => {
      if (region.id !== DRAFT) return;
      // By the pointer itself: the plugin draws a few pixels more.
      const [start, end] = [this.#downFrame, this.#frameUnder(plot, this.#pointerX)].sort((a, b) => a - b);
      queueMicrotask(() => {
        region.remove();
        if (end > start) this.callbacks.onDrawn(source, this.drawn ?? this.intent, start, end);
      });
    });
    regions.on("region-updated", (/** @type {any} */ region, /** @type {string|undefined} */ side) => {
      const mark = this.#markOf.get(region);
      if (!mark || "confidence" in mark) return;
      const length = mark.end_frame - mark.start_frame;
      let [start, end] = [region.start, region.end].map((time) => Math.round(time * this.song.rate));
      // The side that was not touched keeps its frame, and a mark that was moved its length, whatever was rounded.
      if (side === "start") end = mark.end_frame;
      else if (side === "end") start = mark.start_frame;
      else end = start + length;
      queueMicrotask(() => this.callbacks.onMoved(mark, start, end));
    });
    regions.on("region-clicked", (/** @type {any} */ region) => this.callbacks.onSelect(this.#markOf.get(region) ?? null));
    regions.on("region-double-clicked", (/** @type {any} */ region) => {
      const mark = this.#markOf.get(region);
      if (mark && "confidence" in mark) this.callbacks.onAccept(mark);
    });
  }

  /**
   * Draw marks, suggestions, and findings on the marks that they are about.
   * @param {readonly Mark[]} marks
   * @param {readonly Suggestion[]} suggestions
   * @param {readonly Finding[]} findings
   * @param {Mark|null} selected
   */
  render(marks, suggestions, findings, selected) {
    this.#rendered = [marks, suggestions, findings, selected];
    this.#isRendering = true;
    const wanted = new Map();
    for (const mark of [...suggestions, ...marks]) {
      const about = "confidence" in mark ? [] : findings.filter((finding) => isAbout(finding, mark));
      const isSelected = isSame(mark, selected) && "confidence" in mark === "confidence" in /** @type {Mark} */ (selected);
      const name = `${keyOf(mark)} ${"confidence" in mark} ${isSelected} ${about.map((finding) => finding.message)}`;
      wanted.set(name, { mark, about, isSelected });
    }
    const focused = this.#focusedMark();
    for (const [name, region] of this.#regionOf) {
      if (wanted.has(name)) continue;
      this.#markOf.delete(region);
      this.#regionOf.delete(name);
      region.remove();
    }
    for (const [name, { mark, about, isSelected }] of wanted) {
      if (!this.#regionOf.has(name)) this.#addRegion(name, mark, about, isSelected);
    }
    if (focused) this.#focus(focused);
    this.#isRendering = false;
  }

  /**
   * @param {string} name
   * @param {Mark|Suggestion} mark
   * @param {Finding[]} about
   * @param {boolean} isSelected
   */
  #addRegion(name, mark, about, isSelected) {
    const lane = this.#lanes.get(mark.source);
    if (!lane || lane.isLoading) return;
    const { rate } = this.song;
    const isSuggestion = "confidence" in mark;
    const worst = about.find((finding) => finding.severity === "error") ?? about[0];
    const label = isSuggestion ? `${Math.round(100 * mark.confidence)} %` : mark.state === "silent" ? "silent" : "plays";
    const content = element("span", {}, label);
    if (worst) {
      const badge = element("span", { title: about.map((finding) => `${finding.message}; ${finding.fix}`).join("\n") }, "!");
      badge.setAttribute("part", `badge badge-${worst.severity}`);
      content.prepend(badge);
    }
    const region = lane.regions.addRegion({
      id: [isSuggestion ? "suggested" : "mark", mark.state, isSelected ? "selected" : ""].join(" ").trim(),
      start: mark.start_frame / rate,
      end: mark.end_frame / rate,
      color: "transparent",
      content,
      drag: !isSuggestion,
      resize: !isSuggestion,
    });
    const node = /** @type {HTMLElement} */ (region.element);
    node.tabIndex = 0;
    node.setAttribute("role", "button");
    node.setAttribute(
      "aria-label",
      `${isSuggestion ? `suggested, ${label} sure: ` : ""}${mark.source} ${mark.state} ` +
        `${clock(mark.start_frame / rate)} to ${clock(mark.end_frame / rate)}` +
        about.map((finding) => `; ${finding.severity}: ${finding.message}`).join(""),
    );
    node.setAttribute("aria-pressed", String(isSelected));
    node.addEventListener("focus", () => !this.#isRendering && this.callbacks.onSelect(mark));
    this.#regionOf.set(name, region);
    this.#markOf.set(region, mark);
  }

  #focusedMark() {
    for (const [region, mark] of this.#markOf) {
      if (region.element?.getRootNode().activeElement === region.element) return mark;
    }
    return null;
  }

  /**
   * Give the keyboard's focus to the region of a mark.
   * @param {Mark|Suggestion} wanted
   */
  #focus(wanted) {
    for (const [region, mark] of this.#markOf) {
      if (isSame(mark, wanted)) region.element?.focus({ preventScroll: true });
    }
  }

  /**
   * Draw the waveform of a lane, unless it is drawn already; the mix in a source's lane is drawn faintly.
   * @param {string} source
   * @param {string} address of the audio, "" = none
   * @param {(address: string) => Promise<Float32Array[]>} peaksOf
   */
  async drawWave(source, address, peaksOf) {
    const lane = this.#lanes.get(source);
    if (!lane || lane.address === address) return;
    lane.address = address;
    const peaks = address ? await peaksOf(address) : SILENCE;
    lane.queue = lane.queue.then(() => (lane.address === address ? this.#load(lane, peaks) : undefined));
    await lane.queue;
  }

  /**
   * @param {Lane} lane
   * @param {Float32Array[]} peaks
   */
  async #load(lane, peaks) {
    const { source, address } = lane;
    lane.row.classList.toggle("borrowed", source !== MIX && address.endsWith("/mix"));
    const { color } = getComputedStyle(lane.plot);
    lane.surfer.setOptions({ waveColor: color, progressColor: color });
    if (source === MIX && address) this.#fitHeight(peaks[0]);
    const { scroll } = this;
    lane.isLoading = true;
    await lane.surfer.load("", peaks, this.seconds);
    if (this.#pxPerS) lane.surfer.zoom(this.#pxPerS);
    lane.surfer.setScroll(scroll);
    this.#loaded(lane);
  }

  /**
   * Draw the regions of a lane now that it knows how long it is.
   * @param {Lane} lane
   */
  #loaded(lane) {
    lane.isLoading = false;
    if (this.#rendered) this.render(...this.#rendered);
  }

  /**
   * Let all lanes be as high as all but the loudest moments of the mix need.
   * @param {Float32Array} peaks
   */
  #fitHeight(peaks) {
    const loud = Float32Array.from(peaks).sort()[Math.floor(LOUD_SHARE * (peaks.length - 1))];
    this.#fullHeight = Math.max(loud * HEADROOM, this.song.peak / 10, 0.001);
    for (const { surfer } of this.#lanes.values()) surfer.setOptions({ maxPeak: this.#fullHeight });
  }

  /** @param {string} source of the lane that keys are about */
  choose(source) {
    for (const lane of this.#lanes.values()) lane.row.classList.toggle("chosen", lane.source === source);
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

  /**
   * Move the playhead.
   * @param {number} frame
   * @param {boolean} follow whether the lanes scroll along
   */
  showPosition(frame, follow) {
    const x = (frame / this.song.rate) * this.pxPerS;
    const width = this.ruler.clientWidth;
    if (follow && (x < this.scroll || x > this.scroll + width - 8)) this.#mix.surfer.setScroll(Math.max(0, x - width / 8));
    const left = x - this.scroll;
    this.playhead.hidden = left < 0 || left > width;
    this.playhead.style.transform = `translateX(${left}px)`;
  }

  /** @param {{start: number, end: number}|null} loop */
  showLoop(loop) {
    this.loop = loop;
    this.loopBox.hidden = !loop;
    if (!loop) return;
    const px = this.pxPerS / this.song.rate;
    const width = this.ruler.clientWidth;
    const left = Math.max(0, loop.start * px - this.scroll);
    const right = Math.min(width, loop.end * px - this.scroll);
    this.loopBox.hidden = right <= left;
    this.loopBox.style.left = `${left}px`;
    this.loopBox.style.width = `${Math.max(0, right - left)}px`;
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
    for (const { surfer } of this.#lanes.values()) surfer.setScroll(left);
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

  get isZoomed() {
    return this.#pxPerS > 0;
  }

  /** @param {number} x pixels from the start of the song */
  #frameAt(x) {
    return Math.min(this.song.frames, Math.max(0, Math.round((x / this.pxPerS) * this.song.rate)));
  }

  /**
   * @param {HTMLElement} plot
   * @param {number} clientX
   */
  #frameUnder(plot, clientX) {
    return this.#frameAt(clientX - plot.getBoundingClientRect().left + this.scroll);
  }

  #drawRuler() {
    const width = this.ruler.clientWidth;
    const step = TICKS_S.find((seconds) => seconds * this.pxPerS >= TICK_PX) ?? TICKS_S[TICKS_S.length - 1];
    const ticks = [];
    for (let n = Math.ceil(this.scroll / this.pxPerS / step); ; n += 1) {
      const x = n * step * this.pxPerS - this.scroll;
      if (x > width - TICK_PX / 3 || n * step > this.seconds) break;
      const tick = element("span", { class: "tick" }, clock(n * step, step < 1 ? 1 : 0));
      tick.style.left = `${x}px`;
      ticks.push(tick);
    }
    this.ruler.replaceChildren(...ticks);
    if (this.loop) this.showLoop(this.loop);
  }
}

/**
 * Whether a finding is about a mark.
 * @param {Finding} finding
 * @param {Mark} mark
 */
export function isAbout(finding, mark) {
  if (finding.start_frame === null || finding.end_frame === null) return false;
  if (finding.source && finding.source !== mark.source) return false;
  return finding.start_frame < mark.end_frame && finding.end_frame > mark.start_frame;
}
