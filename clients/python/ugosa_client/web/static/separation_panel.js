// @ts-check
/** Beside the lanes: what a separation is made with, the button, progress, and whether learning helped. */

import { HEARD } from "./checks_panel.js";
import { element, fill } from "./dom.js";
import { previewStretch } from "./preview.js";
import { canAdapt } from "./run.js";
import { RunRow } from "./run_row.js";

/** @typedef {import("./song_screen.js").SongScreen} SongScreen */

const FORMATS = [
  ["wav-float32", "WAV"],
  ["wav-pcm24", "WAV 24-bit"],
  ["flac-pcm24", "FLAC"],
];

export class SeparationPanel {
  /** @type {RunRow[]} */ #rows = [];

  /** @param {SongScreen} page */
  constructor(page) {
    this.page = page;
    const { models } = page;
    this.model = element("select", { id: "model", onchange: () => this.#useModel() });
    for (const { name } of models) this.model.append(element("option", { value: name, selected: name === page.model.name }, name));
    this.budget = element("input", { id: "budget", type: "number", min: 1, step: 10, placeholder: "no limit", inputMode: "numeric" });
    this.format = element("select", { id: "format" });
    for (const [value, name] of FORMATS) this.format.append(element("option", { value }, name));
    this.about = element("p", { class: "quiet" });
    this.fresh = element("input", { type: "checkbox", onchange: () => this.render() });
    this.freshText = element("span");
    this.freshRow = element("label", { class: "check" }, this.fresh, this.freshText);
    this.button = element("button", { class: "primary", type: "button", title: "Separate (R). While the model learns, the loop, the selected mark or what is in view can be heard", onclick: () => page.separate() }, "Separate");
    this.runs = element("ul", { class: "runs", "aria-label": "Jobs" });
    this.verdict = element("p", { class: "verdict", hidden: true });
    this.notices = element("ul", { class: "notices" });
    this.root = element(
      "section",
      { class: "panel" },
      element("label", { for: "model" }, "Model"),
      this.model,
      element(
        "div",
        { class: "pair" },
        element("div", {}, element("label", { for: "budget" }, "Done within (s)"), this.budget),
        element("div", {}, element("label", { for: "format" }, "Stems as"), this.format),
      ),
      this.about,
      this.freshRow,
      this.button,
      this.runs,
      this.verdict,
      this.notices,
    );
  }

  /**
   * Options of the page's jobs: one that learns gives the stems of the model as it is early, and goes on from the last job
   * unless it is to start fresh.
   * @param {boolean} learns
   */
  options(learns) {
    const options = { model: this.page.model.name, stem_encoding: this.format.value };
    if (!learns) return { ...options, strategy: "B0" };
    const { start, end } = previewStretch(this.page);
    const preview = { preview_start_frame: start, preview_end_frame: end };
    return { ...options, ...preview, max_s: Number(this.budget.value), base_stems: "kept", start_from: this.fresh.checked ? "none" : "auto" };
  }

  #useModel() {
    const model = this.page.models.find(({ name }) => name === this.model.value);
    if (model) this.page.useModel(model);
  }

  /** Say what the button will do. */
  render() {
    const count = this.page.editor.marks.all.length;
    const learns = canAdapt(this.page.model);
    this.budget.disabled = !count || !learns;
    const learned = this.page.versions.find(({ job }) => job.adapter && job.options.model === this.page.model.name);
    this.freshRow.hidden = !count || !learns || !learned;
    this.freshText.textContent = `Start fresh, not from version ${learned?.number}`;
    const marks = `${count} ${count === 1 ? "mark" : "marks"}`;
    this.about.textContent = !count
      ? "No marks yet: the stems will be the model's own."
      : learns
        ? `${marks}. First the stems under them, to hear soon; then the model learns from them.`
        : `${marks}. This model does not learn; the stems obey your marks.`;
  }

  /** Show jobs that have not ended. */
  renderRuns() {
    const { all } = this.page.runs;
    this.#rows = all.map((run) => this.#rows.find((row) => row.run === run) ?? new RunRow(this.page, run));
    for (const row of this.#rows) row.render();
    const shown = this.#rows.map(({ root }) => root);
    if (shown.length !== this.runs.children.length || shown.some((root, n) => root !== this.runs.children[n])) fill(this.runs, ...shown);
  }

  renderNotices() {
    fill(this.notices, ...this.page.notices.filter(({ reason }) => reason !== HEARD).map(({ message, isWarning }) => element("li", { class: isWarning ? "warning" : "info" }, message)));
  }

  /** Show whether learning helped the version that is heard. */
  renderVerdict() {
    const verdict = this.page.playback.version?.job.verdict;
    this.verdict.hidden = !verdict;
    if (!verdict) return;
    this.verdict.textContent = `${verdict.message[0].toUpperCase()}${verdict.message.slice(1)}.`;
    this.verdict.className = `verdict ${verdict.outcome.replace(" ", "-")}`;
  }
}
