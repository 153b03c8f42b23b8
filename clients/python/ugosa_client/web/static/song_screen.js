// @ts-check
/** The page of one song: its parts, its jobs, and the model that separates it. */

import { api } from "./api.js";
import { ChecksPanel } from "./checks_panel.js";
import { attempt, clock, element, say } from "./dom.js";
import { ExportPanel } from "./export_panel.js";
import { followKeys } from "./keys.js";
import { Lanes } from "./lanes.js";
import { MarkBar } from "./mark_bar.js";
import { MarkEditor } from "./mark_editor.js";
import { Playback } from "./playback.js";
import { Runs, canAdapt } from "./run.js";
import { SeparationPanel } from "./separation_panel.js";
import { Transport } from "./transport.js";
import { VersionsPanel } from "./versions_panel.js";

/** @typedef {import("./api.js").Job} Job */
/** @typedef {import("./api.js").Model} Model */
/** @typedef {import("./api.js").Song} Song */
/** @typedef {import("./api.js").Version} Version */

const ZOOM_STEP = 1.6;

export class SongScreen {
  /** @type {import("./run.js").Notice[]} of jobs that run */ notices = [];
  /** @type {(() => Promise<void>)|undefined} */ #showSuggestions;
  /** @type {number|undefined} */ #animation;
  #reloads = 0; // asked for
  #shown = 0; // the newest of them that was answered
  #asked = ""; // the marks and options of the job that was asked for last, until it ends

  /**
   * @param {HTMLElement} root
   * @param {Song & {jobs: Job[], versions: Version[]}} song
   * @param {import("./api.js").Notes & {tag: import("./api.js").Tag}} notes
   * @param {Model[]} models
   * @param {import("./api.js").MarksFormat[]} formats
   */
  constructor(root, song, notes, models, formats) {
    this.song = song;
    this.jobs = song.jobs;
    this.versions = song.versions;
    this.models = models;
    this.formats = formats;
    this.rate = song.audio.sample_rate_hz;
    this.frames = song.audio.frames;
    const known = models.find((model) => model.name === this.jobs[0]?.options.model);
    this.model = known ?? /** @type {Model} */ (models.find((model) => model.is_default) ?? models[0]);
    this.playback = new Playback(this);
    this.player = this.playback.player;
    this.editor = new MarkEditor(this, notes.marks ?? this.jobs[0]?.marks ?? [], notes.tag);
    this.runs = new Runs(
      () => this.separation.renderRuns(),
      (job) => this.#jobEnded(job),
      (notice) => this.#notice(notice),
      () => this.#reload(),
      () => this.playback.renewPreview(),
    );
    this.lanesRoot = element("section", { class: "lanes", "aria-label": "Lanes" });
    this.transport = new Transport(this);
    this.markBar = new MarkBar(this);
    this.separation = new SeparationPanel(this);
    this.checks = new ChecksPanel(this);
    this.exports = new ExportPanel(this);
    this.versionsPanel = new VersionsPanel(this);
    root.replaceChildren(
      element(
        "header",
        { class: "song-head" },
        element("a", { href: "#", class: "back", "aria-label": "All songs" }, "‹ Songs"),
        element("h1", {}, song.file_name || "a song"),
        element("p", { class: "facts" }, this.#factsText()),
      ),
      this.transport.root,
      element(
        "div",
        { class: "columns" },
        element("div", { class: "wide" }, element("div", {}, this.lanesRoot, this.markBar.root), this.versionsPanel.root),
        element("aside", { class: "side", "aria-label": "Separation" }, this.separation.root, this.checks.root, this.exports.root),
      ),
    );
    this.lanes = this.#makeLanes();
    this.lanes.choose(this.editor.source);
    this.stopKeys = followKeys(this);
    for (const job of this.jobs) if (!isOver(job)) this.runs.follow(job);
    this.playback.setVersions(this.versions);
    if (notes.read_marks) this.#takeMarks(notes.read_marks);
    void this.editor.lint();
    const animate = () => {
      this.lanes.showPosition(this.player.position, this.player.isPlaying);
      this.transport.showPosition(this.player.position);
      this.#animation = requestAnimationFrame(animate);
    };
    animate();
  }

  /** @param {import("./api.js").Mark[]} marks of the file that `ugosa web` was started with */
  #takeMarks(marks) {
    const hadMarks = this.editor.marks.all.length > 0;
    this.editor.marks.replaceAll(marks);
    if (hadMarks && this.editor.marks.canUndo) say("the marks of the file; Ctrl Z brings yours back");
  }

  /** Leave the page; jobs go on at the server. */
  close() {
    cancelAnimationFrame(this.#animation ?? 0);
    this.stopKeys();
    this.runs.close();
    this.editor.close();
    this.playback.close();
    this.lanes.destroy();
  }

  #factsText() {
    const { sample_rate_hz: rate, channels, encoding, frames } = this.song.audio;
    return [clock(frames / rate, 0), `${rate / 1000} kHz`, channels === 1 ? "mono" : "stereo", encoding].join(" · ");
  }

  #makeLanes() {
    const nonce = /** @type {HTMLMetaElement} */ (document.querySelector("meta[name=nonce]")).content;
    const { editor, playback } = this;
    return new Lanes(
      this.lanesRoot,
      { rate: this.rate, frames: this.frames, peak: this.song.audio.peak, sources: this.model.sources, nonce },
      {
        onDrawn: (source, intent, start, end) => editor.draw(source, intent ?? editor.intent, start, end),
        onMoved: (mark, start, end) => editor.move(mark, start, end),
        onSelect: (mark) => editor.select(mark),
        onAccept: (suggestion) => editor.accept(suggestion),
        onSeek: (frame) => this.player.seek(frame),
        onLoop: (loop) => playback.loop(loop),
        onLane: (source) => editor.choose(source),
        onSolo: (source) => playback.solo(source),
        onMute: (source) => playback.mute(source),
      },
    );
  }

  /** Show marks and what is said of them. */
  renderMarks() {
    const { marks, suggestions, findings, selected } = this.editor;
    const shown = marks.all.filter((mark) => this.model.sources.includes(mark.source));
    this.lanes.render(shown, suggestions, findings, selected);
    this.markBar.render();
    this.separation.render();
    this.checks.render();
    this.transport.render();
  }

  /** Show versions, and what goes with the one that is heard. */
  renderVersions() {
    this.versionsPanel.render();
    this.separation.render();
    this.separation.renderVerdict();
    this.separation.renderRuns();
    this.exports.render();
  }

  /** @param {Model} model */
  useModel(model) {
    this.model = model;
    this.editor.dismissSuggestions();
    this.playback.clearSoloAndMute();
    this.lanes.destroy();
    this.lanes = this.#makeLanes();
    this.editor.choose(model.sources.includes(this.editor.source) ? this.editor.source : model.sources[0]);
    this.playback.setVersions(this.versions);
    void this.editor.lint();
  }

  async suggest() {
    const job = await attempt(() => api.analyse(this.song.upload_id, this.model.name));
    if (!job) return;
    const show = async () => {
      const all = await attempt(() => api.suggestions(this.song.upload_id, this.model.name));
      if (all) this.editor.suggest(all);
    };
    if (isOver(job)) await show();
    else {
      this.#showSuggestions = show;
      this.runs.follow(job);
    }
  }

  async separate() {
    if (this.editor.hasErrors) {
      say("the marks have errors; see Checks", true);
      return;
    }
    const marks = [...this.editor.marks.all];
    const options = this.separation.options(marks.length > 0 && canAdapt(this.model));
    const asked = JSON.stringify([marks, { ...options, preview_start_frame: 0, preview_end_frame: 0 }]);
    if (asked === this.#asked) {
      say("this is being separated already");
      return;
    }
    this.#asked = asked;
    this.#forgetNotices();
    const job = await attempt(() => api.createJob(this.song.upload_id, marks, options));
    if (!job || isOver(job)) this.#asked = "";
    if (!job) return;
    if (isOver(job)) say("these stems are there already: nothing has changed");
    else this.runs.follow(job);
    this.playback.followNewest();
    await this.#reload();
  }

  /** @param {Job} job */
  async #jobEnded(job) {
    if (job.kind !== "separation") {
      await this.#showSuggestions?.();
      return;
    }
    this.#asked = "";
    if (job.state === "cancelled") this.#forgetNotices();
    if (job.state === "failed") this.#notice({ reason: "FAILED", message: job.failure?.message ?? "the job failed", isWarning: true });
    await Promise.all([this.#reload(), this.editor.lint()]); // a job has analysed the song, too
  }

  async #reload() {
    this.#reloads += 1;
    const mine = this.#reloads;
    const song = await attempt(() => api.song(this.song.upload_id));
    if (!song || mine < this.#shown) return; // an older answer may come after a newer one
    this.#shown = mine;
    this.jobs = song.jobs;
    this.versions = song.versions;
    this.playback.setVersions(this.versions);
  }

  #forgetNotices() {
    this.notices = [];
    this.separation.renderNotices();
    this.checks.render();
  }

  /** @param {import("./run.js").Notice} notice */
  #notice(notice) {
    if (this.notices.some(({ message }) => message === notice.message)) return;
    this.notices.push(notice);
    this.separation.renderNotices();
    this.checks.render();
  }

  /** @param {Version} version to be kept for ever, or no longer */
  async star({ job }) {
    await attempt(() => api.star(job.job_id, !job.starred));
    await this.#reload();
  }

  /**
   * Take the marks of a version as those to go on with.
   * @param {Version} version
   */
  useMarks(version) {
    this.editor.marks.replaceAll(version.job.marks);
    say(`the marks of version ${version.number}; Ctrl Z brings yours back`);
  }

  /** Zoom to the selected mark, and out again. */
  toggleZoom() {
    const { selected } = this.editor;
    if (this.lanes.isZoomed || !selected) this.lanes.zoom(0);
    else this.lanes.zoomTo(selected.start_frame, selected.end_frame);
  }

  /** @param {1|-1} step in or out */
  zoomStep(step) {
    this.lanes.zoom(this.lanes.pxPerS * ZOOM_STEP ** step, this.editor.selected?.start_frame ?? this.player.position);
  }

  help() {
    /** @type {HTMLDialogElement} */ (document.getElementById("help")).showModal();
  }
}

/** @param {Job} job */
const isOver = (job) => ["succeeded", "failed", "cancelled"].includes(job.state);
