// @ts-check
/** Jobs that have not ended: what they do, how far they are, and how the leakage falls. */

import { api } from "./api.js";

/** @typedef {import("./api.js").Job} Job */
/** @typedef {import("./api.js").JobEvent} JobEvent */
/** @typedef {import("./api.js").Model} Model */
/** @typedef {import("./preview.js").Preview} Preview */
/** @typedef {{reason: string, message: string, isWarning: boolean}} Notice */
/** @typedef {{job: Job, text: string, fraction: number, eta: number|null, leakage: number[], learns: boolean, preview: Preview|null,
 *   stop: () => void}} Run a job, what it does now, by how many dB the leakage into silence that learning does not see has changed after
 *   each pass, and what can be heard meanwhile */

const PHASES = {
  prepare: "reads the song",
  base_separation: "separates as the model is",
  adaptation: "learns from your marks",
  separation: "separates",
  report: "checks the stems",
};

const LEARNS = "adaptation";
const VERDICT = "VERDICT"; // notice of what the job says itself, once it has ended

/** Follows jobs to their ends. */
export class Runs {
  /** @type {Map<string, Run>} */
  #running = new Map();

  /**
   * @param {() => void} onProgress
   * @param {(job: Job) => void} onEnd with the job as it ended
   * @param {(notice: Notice) => void} onNotice
   * @param {() => void} onStems when a job that goes on has stems to hear
   * @param {() => void} onPreview when there is a newer preview
   */
  constructor(onProgress, onEnd, onNotice, onStems, onPreview) {
    this.onProgress = onProgress;
    this.onEnd = onEnd;
    this.onNotice = onNotice;
    this.onStems = onStems;
    this.onPreview = onPreview;
  }

  /** Jobs that have not ended, with what they do. */
  get all() {
    return [...this.#running.values()];
  }

  /**
   * The newest preview of a job, if it has one.
   * @param {string} id
   */
  previewOf(id) {
    return this.#running.get(id)?.preview ?? null;
  }

  /** @param {Job} job */
  follow(job) {
    if (this.#running.has(job.job_id)) return;
    /** @type {Run} */
    const run = { job, text: "waits", fraction: job.fraction, eta: null, leakage: [], learns: false, preview: null, stop: () => {} };
    this.#running.set(job.job_id, run);
    run.stop = api.watch(
      job.job_id,
      (event) => {
        this.#happened(run, event);
        this.onProgress();
      },
      async () => {
        let ended = job;
        try {
          ended = await api.job(job.job_id);
        } finally {
          this.#running.delete(job.job_id);
          this.onProgress();
          this.onEnd(ended);
        }
      },
      () => {
        run.text = "waits for the server";
        run.eta = null;
        this.onProgress();
      },
    );
    this.onProgress();
  }

  /** Stop following; the jobs go on at the server. */
  close() {
    for (const run of this.#running.values()) run.stop();
    this.#running.clear();
  }

  /**
   * @param {Run} run
   * @param {JobEvent} event
   */
  #happened(run, event) {
    const { reason = "", message = "" } = event;
    if (event.event === "notice" && reason !== VERDICT) this.onNotice({ reason, message, isWarning: Boolean(event.warning) });
    if (event.event === "base_stems") this.onStems();
    if (event.event === "preview") {
      const { step = 0, start_frame: start = 0, end_frame: end = 0 } = event;
      run.preview = { job_id: run.job.job_id, step, start, end };
      this.onPreview();
    }
    if (event.event === "state") run.text = { queued: "waits", cancelling: "is being cancelled" }[event.state ?? ""] ?? "starts";
    if (event.event !== "progress") return;
    run.learns = event.phase === LEARNS;
    run.text = PHASES[/** @type {keyof typeof PHASES} */ (event.phase)] ?? String(event.phase);
    if (event.epochs) run.text += `, pass ${event.epoch} of ${event.epochs}`;
    run.fraction = event.fraction ?? 0;
    run.eta = event.eta_s ?? null;
    const { leakage } = run;
    if (typeof event.held_back_db === "number" && event.held_back_db !== leakage.at(-1)) leakage.push(event.held_back_db);
  }
}

/**
 * Whether a model can learn from marks.
 * @param {Model} model
 */
export const canAdapt = (model) => model.strategies.some((name) => name !== "B0");
