// @ts-check
/** Beside the lanes: what is wrong or doubtful with the marks, and the model's suggestions. */

import { clock, element, fill } from "./dom.js";

/** @typedef {import("./song_screen.js").SongScreen} SongScreen */
/** @typedef {import("./api.js").Finding} Finding */

const SURE = 0.9; // suggestions that can be accepted at once

/** Why a job warns of a mark as soon as it has separated; once it has ended, the same is found by the check of the marks. */
export const HEARD = "SILENT_BUT_HEARD";

export class ChecksPanel {
  /** @param {SongScreen} page */
  constructor(page) {
    this.page = page;
    this.checks = element("ul", { class: "checks", tabIndex: 0, "aria-label": "Checks of the marks" });
    this.notes = element("ul", { class: "checks" });
    this.notesTitle = element("summary", { class: "quiet" });
    this.details = element("details", { class: "notes" }, this.notesTitle, this.notes);
    this.suggestions = element("div", { class: "row" });
    this.root = element("section", { class: "panel" }, element("h2", {}, "Checks"), this.checks, this.details, this.suggestions);
  }

  render() {
    const { page } = this;
    const { editor } = page;
    const count = editor.marks.all.length;
    const findings = editor.findings.filter((finding) => finding.code !== "NO_SILENCE" || count);
    const [notes, real] = [findings.filter(isNote), findings.filter((finding) => !isNote(finding))];
    const heard = findings.some(({ code }) => code === HEARD) ? [] : page.notices.filter(({ reason }) => reason === HEARD);
    const warnings = [
      ...real.map((finding) => this.#finding(finding)),
      ...heard.map(({ message }) => element("li", { class: "warning" }, message)),
    ];
    const quiet = count ? "Nothing is wrong with the marks." : "Marks are checked as you draw.";
    fill(this.checks, ...(warnings.length ? warnings : [element("li", { class: "quiet" }, quiet)]));
    this.details.hidden = !notes.length;
    this.notesTitle.textContent = notes.length === 1 ? "1 note" : `${notes.length} notes`;
    fill(this.notes, ...notes.map((finding) => this.#finding(finding)));
    const found = editor.suggestions.length;
    fill(
      this.suggestions,
      element("button", { type: "button", onclick: () => page.suggest() }, "Suggest marks"),
      found ? element("button", { type: "button", onclick: () => editor.acceptAll(SURE) }, `Accept those ≥ ${SURE * 100} %`) : null,
      found ? element("button", { type: "button", onclick: () => editor.dismissSuggestions() }, "Dismiss") : null,
    );
  }

  /** @param {Finding} finding */
  #finding(finding) {
    const { page } = this;
    const start = finding.start_frame;
    const show = () => {
      if (start === null) return;
      page.player.seek(start);
      page.lanes.showPosition(start, true);
    };
    const place = start === null ? "" : `${clock(start / page.rate)} `;
    return element(
      "li",
      { class: finding.severity },
      start === null ? finding.message : element("button", { type: "button", class: "link", onclick: show }, `${place}${finding.message}`),
      element("span", { class: "quiet" }, finding.fix),
    );
  }
}

/** @param {Finding} finding */
const isNote = (finding) => finding.severity === "info";
