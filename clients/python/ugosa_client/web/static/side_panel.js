// @ts-check
/** Beside the lanes: model and button, progress, verdict, findings about marks, files in and out. */

import { api } from "./api.js";
import { attempt, clock, duration, element, fill, say } from "./dom.js";
import { canAdapt } from "./run.js";
import { isBase } from "./versions.js";

/** @typedef {import("./song_screen.js").SongScreen} SongScreen */
/** @typedef {import("./api.js").Finding} Finding */

const PASSES = [
  ["", "as the model says"],
  ["3", "short: 3 passes"],
  ["10", "10 passes"],
  ["30", "long: 30 passes"],
];
const SURE = 0.9; // suggestions that can be accepted at once

export class SidePanel {
  /** @param {SongScreen} page */
  constructor(page) {
    this.page = page;
    const { models } = page;
    this.model = element("select", { id: "model", onchange: () => this.#useModel() });
    for (const { name } of models) this.model.append(element("option", { value: name, selected: name === page.model.name }, name));
    this.passes = element("select", { id: "passes" });
    for (const [value, name] of PASSES) this.passes.append(element("option", { value }, name));
    this.about = element("p", { class: "quiet" });
    this.button = element("button", { class: "primary", type: "button", title: "R", onclick: () => page.separate() }, "Separate");
    this.runs = element("ul", { class: "runs", "aria-live": "polite" });
    this.verdict = element("p", { class: "verdict", hidden: true });
    this.notices = element("ul", { class: "notices" });
    this.checks = element("ul", { class: "checks", tabIndex: 0, "aria-label": "Checks of the marks" });
    this.suggestions = element("div", { class: "row" });
    this.format = element("select", { "aria-label": "Format of marks" });
    for (const { name, title } of page.formats) {
      if (!["rpp", "ardour", "ableton"].includes(name)) this.format.append(element("option", { value: name, selected: name === "audacity" }, title.split(" (")[0]));
    }
    this.stems = element("p", { class: "stems" });
    this.file = element("input", { type: "file", hidden: true, onchange: () => this.#readMarks() });
    this.root = element(
      "aside",
      { class: "side", "aria-label": "Separation" },
      element(
        "section",
        { class: "panel" },
        element("label", { for: "model" }, "Model"),
        this.model,
        element("label", { for: "passes" }, "How long it learns"),
        this.passes,
        this.about,
        this.button,
        this.runs,
        this.verdict,
        this.notices,
      ),
      element("section", { class: "panel" }, element("h2", {}, "Checks"), this.checks, this.suggestions),
      element(
        "section",
        { class: "panel" },
        element("h2", {}, "Export"),
        this.stems,
        element(
          "div",
          { class: "row" },
          element("button", { type: "button", onclick: () => this.#writeMarks() }, "Save marks"),
          this.format,
        ),
        element("div", { class: "row" }, element("button", { type: "button", onclick: () => this.file.click() }, "Read marks…"), this.file),
      ),
    );
  }

  /** Options of the adaptation. */
  get options() {
    return this.passes.value ? { epochs: Number(this.passes.value) } : {};
  }

  #useModel() {
    const model = this.page.models.find(({ name }) => name === this.model.value);
    if (model) this.page.useModel(model);
  }

  /** Show what is to be said of the marks. */
  renderMarks() {
    const { page } = this;
    const { editor } = page;
    const count = editor.marks.all.length;
    const learns = canAdapt(page.model);
    this.passes.disabled = !count || !learns;
    this.about.textContent = !count
      ? "No marks yet: the stems will be the model's own. Drag over a lane where its source is silent."
      : learns
        ? `${count} ${count === 1 ? "mark" : "marks"}. First the stems under your marks, to hear soon; then the model learns from them.`
        : `${count} ${count === 1 ? "mark" : "marks"}. This model does not learn; the stems obey your marks.`;
    const findings = editor.findings.filter((finding) => finding.code !== "NO_SILENCE" || count);
    fill(this.checks, ...(findings.length ? findings.map((finding) => this.#finding(finding)) : [element("li", { class: "quiet" }, count ? "Nothing is wrong with the marks." : "Marks are checked as you draw.")]));
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

  /** Show jobs that have not ended. */
  renderRuns() {
    const rows = this.page.runs.all.map(({ job, text, fraction, eta }) => {
      const name = job.kind === "separation" ? (isBase(job) ? "Under your marks" : "Adapted") : "Suggestions";
      const left = eta === null ? "" : ` · ${duration(eta)} left`;
      return element(
        "li",
        {},
        element("span", { class: "run-name" }, job.marks.length || job.kind !== "separation" ? name : "Stems"),
        element("button", { type: "button", class: "small", "aria-label": `Cancel ${name}`, onclick: () => attempt(() => api.cancel(job.job_id)) }, "✕"),
        element("progress", { max: 1, value: fraction, "aria-label": name }),
        element("span", { class: "quiet" }, `${Math.round(100 * fraction)} % · ${text}${left}`),
      );
    });
    fill(this.runs, ...rows);
  }

  renderNotices() {
    const verdict = this.page.playback.version?.adapted?.verdict?.message; // is a notice, too
    const news = this.page.notices.filter(({ message }) => message !== verdict);
    fill(this.notices, ...news.map(({ message, isWarning }) => element("li", { class: isWarning ? "warning" : "info" }, message)));
  }

  /** Show whether learning helped, and where the stems are. */
  renderVerdict() {
    const { page } = this;
    this.renderNotices();
    const verdict = page.playback.version?.adapted?.verdict;
    this.verdict.hidden = !verdict;
    if (verdict) {
      this.verdict.textContent = `${verdict.message[0].toUpperCase()}${verdict.message.slice(1)}.`;
      this.verdict.className = `verdict ${verdict.outcome.replace(" ", "-")}`;
    }
    fill(
      this.stems,
      ...(page.playback.takes.length
        ? page.playback.takes.map((take) =>
            element("a", { class: "download", href: api.zipAddress(take.job.job_id), download: "" }, `Stems, ${take.name.toLowerCase()} (zip)`),
          )
        : [element("span", { class: "quiet" }, "Stems are here once the song is separated.")]),
    );
  }

  async #readMarks() {
    const [file] = this.file.files;
    this.file.value = "";
    if (file) await this.readMarksFile(file);
  }

  /** @param {File} file of any format of marks */
  async readMarksFile(file) {
    const { page } = this;
    const marks = await attempt(() => api.readMarks(page.song.upload_id, file, page.model.name));
    if (!marks) return;
    page.editor.marks.replaceAll(marks);
    say(`${marks.length} marks of ${file.name}; Ctrl Z brings yours back`);
  }

  async #writeMarks() {
    const { page } = this;
    const format = page.formats.find(({ name }) => name === this.format.value);
    const blob = await attempt(() => api.writeMarks(page.song.upload_id, [...page.editor.marks.all], this.format.value));
    if (!blob || !format) return;
    const address = URL.createObjectURL(blob);
    element("a", { href: address, download: `${page.song.file_name.replace(/\.[^.]*$/, "")} marks${format.suffix}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }
}
