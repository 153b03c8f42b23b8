// @ts-check
/** One lane: the name of a source, solo, mute, and its waveform. */

import { element } from "./dom.js";
import WaveSurfer from "./vendor/wavesurfer.esm.js";
import RegionsPlugin from "./vendor/regions.esm.js";

export const MIX = "mix";

const COLOURS = 6; // in page.css
const MIX_HEIGHT_PX = 56;
const SOURCE_HEIGHT_PX = 78;
const SILENCE = [new Float32Array(1000), new Float32Array(1000)];

/**
 * @typedef {object} LaneOptions
 * @property {string} source or the mix
 * @property {number} index of the lane, the mix's 0
 * @property {number} seconds of the song
 * @property {number} fullHeight sample that fills the lane
 * @property {boolean} hasScrollbar
 * @property {string} nonce of styles
 */

export class Lane {
  isLoading = true;
  #address = "";

  /**
   * @param {LaneOptions} options
   * @param {{onLane: (source: string) => void, onSolo: (source: string) => void, onMute: (source: string) => void}} callbacks
   * @param {(lane: Lane) => void} onLoaded when regions can be put on it
   */
  constructor({ source, index, seconds, fullHeight, hasScrollbar, nonce }, callbacks, onLoaded) {
    this.source = source;
    this.seconds = seconds;
    this.onLoaded = onLoaded;
    const isMix = source === MIX;
    const button = (/** @type {string} */ letter, /** @type {string} */ title, /** @type {() => void} */ onclick) =>
      element("button", { class: "small", type: "button", title, "aria-label": title, "aria-pressed": "false", onclick }, letter);
    /** @type {HTMLButtonElement|null} */
    this.solo = isMix ? null : button("S", `Solo ${source} (S)`, () => callbacks.onSolo(source));
    /** @type {HTMLButtonElement|null} */
    this.mute = isMix ? null : button("M", `Mute ${source} (M)`, () => callbacks.onMute(source));
    const head = element(
      "div",
      { class: "lane-head", onclick: () => !isMix && callbacks.onLane(source) },
      element("span", { class: "lane-name" }, source),
      isMix ? null : element("span", { class: "lane-buttons" }, element("kbd", {}, String(index)), this.solo, this.mute),
    );
    /** @type {HTMLElement} */
    this.plot = element("div", { class: "plot" });
    /** @type {HTMLElement} */
    this.row = element(
      "div",
      { class: `lane ${isMix ? "mix" : ""}`, "data-source": source, role: "group", "aria-label": `Lane of ${source}` },
      head,
      this.plot,
    );
    this.row.style.setProperty("--colour", isMix ? "var(--mix)" : `var(--source-${(index - 1) % COLOURS})`);
    this.surfer = WaveSurfer.create({
      container: this.plot,
      height: isMix ? MIX_HEIGHT_PX : SOURCE_HEIGHT_PX,
      waveColor: "transparent",
      cursorWidth: 0,
      interact: false,
      autoScroll: false,
      peaks: SILENCE,
      duration: seconds,
      hideScrollbar: !hasScrollbar,
      cspNonce: nonce,
      normalize: true,
      maxPeak: fullHeight,
    });
    this.regions = isMix ? null : this.surfer.registerPlugin(RegionsPlugin.create());
    /** @type {Promise<any>} */
    this.queue = new Promise((resolve) => this.surfer.once("ready", resolve));
    void this.queue.then(() => this.#loaded());
  }

  destroy() {
    this.surfer.destroy();
  }

  /** Pixels that are scrolled away to the left. */
  get scroll() {
    return this.surfer.getScroll();
  }

  /** @param {number} px */
  scrollTo(px) {
    if (Math.abs(this.scroll - px) > 1) this.surfer.setScroll(px);
  }

  /** Draw the waveform in the colour that the lane has by day or by night. */
  colour() {
    const { color } = getComputedStyle(this.plot);
    this.surfer.setOptions({ waveColor: color, progressColor: color });
  }

  /** @param {number} peak sample that fills the lane */
  setFullHeight(peak) {
    this.surfer.setOptions({ maxPeak: peak });
  }

  /**
   * Draw a waveform, unless it is drawn already; the mix in a source's lane is drawn faintly.
   * @param {string} address of the audio, "" = none
   * @param {(address: string) => Promise<Float32Array[]>} peaksOf
   * @param {(peaks: Float32Array) => number} pxPerS asked when the peaks are there; 0 = the whole song
   */
  async draw(address, peaksOf, pxPerS) {
    if (this.#address === address) return;
    this.#address = address;
    /** @type {Float32Array[]} */
    let peaks = SILENCE;
    try {
      if (address) peaks = await peaksOf(address);
    } catch (error) {
      if (this.#address === address) this.#address = ""; // to be asked for again
      throw error;
    }
    this.queue = this.queue.then(() => (this.#address === address ? this.#load(peaks, pxPerS) : undefined));
    await this.queue;
  }

  /**
   * @param {Float32Array[]} peaks
   * @param {(peaks: Float32Array) => number} pxPerS
   */
  async #load(peaks, pxPerS) {
    this.row.classList.toggle("borrowed", this.source !== MIX && this.#address.endsWith("/mix"));
    this.colour();
    const zoom = pxPerS(peaks[0]);
    const { scroll } = this;
    this.isLoading = true;
    await this.surfer.load("", peaks, this.seconds);
    if (zoom) this.surfer.zoom(zoom);
    this.surfer.setScroll(scroll);
    this.#loaded();
  }

  #loaded() {
    this.isLoading = false;
    this.onLoaded(this);
  }
}
