// @ts-check
/** Below the lanes: the selected mark and what can be done with it, for those who have no keys at hand. */

import { clock, element, fill } from "./dom.js";

/** @typedef {import("./song_screen.js").SongScreen} SongScreen */

export class MarkBar {
  /** @param {SongScreen} page */
  constructor(page) {
    this.page = page;
    this.root = element("div", { class: "mark-bar", role: "group", "aria-label": "Selected mark" });
  }

  render() {
    const { editor, rate } = this.page;
    const { selected, selectedMark, selectedSuggestion } = editor;
    if (!selected) {
      const hint = editor.marks.all.length ? "Click a mark to change it." : "Drag over a lane where its source is silent.";
      fill(this.root, element("span", { class: "quiet" }, hint));
      return;
    }
    const [start, end] = [selected.start_frame / rate, selected.end_frame / rate];
    const button = (/** @type {string} */ text, /** @type {string} */ key, /** @type {() => void} */ onclick) =>
      element("button", { type: "button", title: `${text} (${key})`, onclick }, text);
    const does = selected.state === "silent" ? "is silent" : "plays";
    fill(
      this.root,
      element("strong", {}, selected.source),
      element("span", {}, selectedSuggestion ? `may be silent, ${Math.round(100 * selectedSuggestion.confidence)} % sure` : does),
      element("span", { class: "quiet" }, `${clock(start)} – ${clock(end)} · ${(end - start).toFixed(1)} s`),
      element("span", { class: "spring" }),
      selectedSuggestion ? button("Accept", "Enter", () => editor.accept()) : null,
      selectedMark ? button(selectedMark.state === "silent" ? "Make active" : "Make silent", "T", () => editor.toggleState()) : null,
      button("Zoom", "Z", () => this.page.toggleZoom()),
      button(selectedSuggestion ? "Dismiss" : "Remove", "Del", () => editor.remove()),
    );
  }
}
