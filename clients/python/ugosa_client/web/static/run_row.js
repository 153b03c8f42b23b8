// @ts-check
/** A job that has not ended, beside the lanes; the row stays while its figures change, so that its buttons can be pressed. */

import { api } from "./api.js";
import { attempt, clock, duration, element, fill, line } from "./dom.js";

/** @typedef {import("./run.js").Run} Run */
/** @typedef {import("./song_screen.js").SongScreen} SongScreen */

export class RunRow {
  /**
   * @param {SongScreen} page
   * @param {Run} run
   */
  constructor(page, run) {
    const { job } = run;
    const name = job.kind === "separation" ? "Separation" : "Suggestions";
    const from = page.versions.find((version) => version.job.job_id === job.options.start_from);
    const button = (/** @type {string} */ text, /** @type {() => void} */ onclick) => element("button", { type: "button", onclick }, text);
    this.page = page;
    this.run = run;
    this.progress = element("progress", { max: 1, "aria-label": name });
    this.text = element("span", { class: "quiet" });
    this.leakage = element("div", { class: "leakage" });
    this.take = button("Take it now", () => attempt(() => api.accept(job.job_id)));
    this.listen = button("", () => run.preview && page.playback.hearPreview(run.preview));
    this.listen.title = "Hear what is learned so far, again and again, as it goes on";
    this.root = element(
      "li",
      {},
      element("span", { class: "run-name" }, from ? `${name}, from version ${from.number}` : name),
      element("button", { type: "button", class: "small", "aria-label": `Cancel ${name}`, onclick: () => attempt(() => api.cancel(job.job_id)) }, "✕"),
      this.progress,
      this.text,
      this.leakage,
      element("div", { class: "row" }, this.take, this.listen),
    );
    this.render();
  }

  /** Show how far the job is. */
  render() {
    const { text, fraction, eta, leakage, learns, preview } = this.run;
    const { rate } = this.page;
    this.progress.value = fraction;
    this.text.textContent = `${Math.round(100 * fraction)} % · ${text}${eta === null ? "" : ` · ${duration(eta)} left`}`;
    if (leakage.length) {
      const last = leakage[leakage.length - 1];
      fill(
        this.leakage,
        element("span", { class: "quiet" }, `Leakage ${signed(last)} dB in held-back silence`),
        line(leakage, "Leakage after each pass"),
      );
    }
    this.take.hidden = !learns;
    this.listen.hidden = !preview;
    if (preview) this.listen.textContent = `Hear ${clock(preview.start / rate, 0)}–${clock(preview.end / rate, 0)}`;
  }
}

/** @param {number} db */
const signed = (db) => `${db < 0 ? "−" : "+"}${Math.abs(db).toFixed(1)}`;
