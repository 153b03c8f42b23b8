// @ts-check
/** Beside the lanes: what a separation is made with, the button, progress, and whether learning helped. */

import { api } from "./api.js";
import { attempt, duration, element, fill, line } from "./dom.js";
import { canAdapt } from "./run.js";

/** @typedef {import("./song_screen.js").SongScreen} SongScreen */

const FORMATS = [
  ["wav-float32", "WAV"],
  ["wav-pcm24", "WAV 24-bit"],
  ["flac-pcm24", "FLAC"],
];

export class SeparationPanel {
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
    this.button = element("button", { class: "primary", type: "button", title: "R", onclick: () => page.separate() }, "Separate");
    this.runs = element("ul", { class: "runs", "aria-live": "polite" });
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
      this.button,
      this.runs,
      this.verdict,
      this.notices,
    );
  }

  /**
   * Options of the page's jobs: one that learns gives the stems of the model as it is early, and goes on from the last job.
   * @param {boolean} learns
   */
  options(learns) {
    const options = { model: this.page.model.name, stem_encoding: this.format.value };
    if (!learns) return { ...options, strategy: "B0" };
    return { ...options, max_s: Math.max(0, Number(this.budget.value)), base_stems: "kept", start_from: "auto" };
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
    const marks = `${count} ${count === 1 ? "mark" : "marks"}`;
    this.about.textContent = !count
      ? "No marks yet: the stems will be the model's own."
      : learns
        ? `${marks}. First the stems under them, to hear soon; then the model learns from them.`
        : `${marks}. This model does not learn; the stems obey your marks.`;
  }

  /** Show jobs that have not ended. */
  renderRuns() {
    const rows = this.page.runs.all.map(({ job, text, fraction, eta, leakage, learns }) => {
      const name = job.kind === "separation" ? "Separation" : "Suggestions";
      const left = eta === null ? "" : ` · ${duration(eta)} left`;
      return element(
        "li",
        {},
        element("span", { class: "run-name" }, name),
        element("button", { type: "button", class: "small", "aria-label": `Cancel ${name}`, onclick: () => attempt(() => api.cancel(job.job_id)) }, "✕"),
        element("progress", { max: 1, value: fraction, "aria-label": name }),
        element("span", { class: "quiet" }, `${Math.round(100 * fraction)} % · ${text}${left}`),
        leakage.length ? element("span", { class: "quiet" }, `Leakage ${signed(leakage[leakage.length - 1])} dB on silence it has not seen`) : null,
        leakage.length ? line(leakage, "Leakage after each pass") : null,
        learns ? element("button", { type: "button", onclick: () => attempt(() => api.accept(job.job_id)) }, "Take it now") : null,
      );
    });
    fill(this.runs, ...rows);
  }

  renderNotices() {
    fill(this.notices, ...this.page.notices.map(({ message, isWarning }) => element("li", { class: isWarning ? "warning" : "info" }, message)));
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

/** @param {number} db */
const signed = (db) => `${db < 0 ? "−" : "+"}${Math.abs(db).toFixed(1)}`;
