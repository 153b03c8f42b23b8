// @ts-check
/** Marks and suggestions as regions on the lanes, with findings as badges; regions are moved, resized, chosen. */

import { clock, element } from "./dom.js";
import { isSame, keyOf } from "./marks.js";

/** @typedef {import("./api.js").Mark} Mark */
/** @typedef {import("./api.js").Suggestion} Suggestion */
/** @typedef {import("./api.js").Finding} Finding */
/** @typedef {import("./lane.js").Lane} Lane */

/**
 * @typedef {object} RegionCallbacks
 * @property {(mark: Mark, start: number, end: number) => void} onMoved a mark got other frames
 * @property {(mark: Mark|Suggestion|null) => void} onSelect
 * @property {(suggestion: Suggestion) => void} onAccept
 */

export class MarkRegions {
  /** @type {Map<string, any>} */ #regionOf = new Map();
  /** @type {Map<any, Mark|Suggestion>} */ #markOf = new Map();
  #isRendering = false;

  /**
   * @param {number} rate of the song
   * @param {Map<string, Lane>} lanes
   * @param {RegionCallbacks} callbacks
   */
  constructor(rate, lanes, callbacks) {
    this.rate = rate;
    this.lanes = lanes;
    this.callbacks = callbacks;
    for (const { regions } of lanes.values()) if (regions) this.#follow(regions);
  }

  /** @param {any} regions plugin of a lane */
  #follow(regions) {
    const { callbacks } = this;
    regions.on("region-updated", (/** @type {any} */ region, /** @type {string|undefined} */ side) => {
      const mark = this.#markOf.get(region);
      if (!mark || "confidence" in mark) return;
      const length = mark.end_frame - mark.start_frame;
      let [start, end] = [region.start, region.end].map((time) => Math.round(time * this.rate));
      // The side that was not touched keeps its frame, and a mark that was moved its length, whatever was rounded.
      if (side === "start") end = mark.end_frame;
      else if (side === "end") start = mark.start_frame;
      else end = start + length;
      queueMicrotask(() => callbacks.onMoved(mark, start, end));
    });
    regions.on("region-clicked", (/** @type {any} */ region) => callbacks.onSelect(this.#markOf.get(region) ?? null));
    regions.on("region-double-clicked", (/** @type {any} */ region) => {
      const mark = this.#markOf.get(region);
      if (mark && "confidence" in mark) callbacks.onAccept(mark);
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
      if (!this.#regionOf.has(name)) this.#add(name, mark, about, isSelected);
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
  #add(name, mark, about, isSelected) {
    const lane = this.lanes.get(mark.source);
    if (!lane?.regions || lane.isLoading) return;
    const isSuggestion = "confidence" in mark;
    const label = isSuggestion ? `${Math.round(100 * mark.confidence)} %` : mark.state === "silent" ? "silent" : "plays";
    const region = lane.regions.addRegion({
      id: [isSuggestion ? "suggested" : "mark", mark.state, isSelected ? "selected" : ""].join(" ").trim(),
      start: mark.start_frame / this.rate,
      end: mark.end_frame / this.rate,
      color: "transparent",
      content: labelOf(label, about),
      drag: !isSuggestion,
      resize: !isSuggestion,
    });
    const node = /** @type {HTMLElement} */ (region.element);
    node.tabIndex = 0;
    node.setAttribute("role", "button");
    node.setAttribute(
      "aria-label",
      `${isSuggestion ? `suggested, ${label} sure: ` : ""}${mark.source} ${mark.state} ` +
        `${clock(mark.start_frame / this.rate)} to ${clock(mark.end_frame / this.rate)}` +
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
}

/**
 * @param {string} text
 * @param {Finding[]} findings
 */
function labelOf(text, findings) {
  const label = element("span", {}, text);
  const worst = findings.find((finding) => finding.severity === "error") ?? findings[0];
  if (worst) {
    const badge = element("span", { title: findings.map(({ message, fix }) => `${message}; ${fix}`).join("\n") }, "!");
    badge.setAttribute("part", `badge badge-${worst.severity}`);
    label.prepend(badge);
  }
  return label;
}

/**
 * Whether a finding is about a mark.
 * @param {Finding} finding
 * @param {Mark} mark
 */
function isAbout(finding, mark) {
  if (finding.start_frame === null || finding.end_frame === null) return false;
  if (finding.source && finding.source !== mark.source) return false;
  return finding.start_frame < mark.end_frame && finding.end_frame > mark.start_frame;
}
