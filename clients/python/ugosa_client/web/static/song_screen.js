// @ts-check
/** The page of one song: its state, and what keys, buttons and lanes do to it. */

import { api } from "./api.js";
import { attempt, clock, element, say } from "./dom.js";
import { followKeys } from "./keys.js";
import { Lanes } from "./lanes.js";
import { MarkList, isSame } from "./marks.js";
import { Player } from "./player.js";
import { Runs, startSeparation } from "./run.js";
import { SidePanel } from "./side_panel.js";
import { Transport } from "./transport.js";
import { bestJob, canBePlayed, takeOf, takesOf, versionsOf } from "./versions.js";
import { VersionsPanel } from "./versions_panel.js";

/** @typedef {import("./api.js").Job} Job */
/** @typedef {import("./api.js").Mark} Mark */
/** @typedef {import("./api.js").Model} Model */
/** @typedef {import("./api.js").Song} Song */
/** @typedef {import("./api.js").Suggestion} Suggestion */
/** @typedef {import("./lanes.js").Intent} Intent */
/** @typedef {import("./versions.js").Version} Version */

const LINT_DELAY_MS = 250;
const NUDGE_S = 0.01;
const NUDGE_FAR_S = 0.1;
const STEP_S = 1;
const ZOOM_STEP = 1.6;

export class SongScreen {
  /** @type {Suggestion[]} */ suggestions = [];
  /** @type {import("./api.js").Finding[]} */ findings = [];
  /** @type {Mark|Suggestion|null} */ selected = null;
  /** @type {Set<string>} */ solos = new Set();
  /** @type {Set<string>} */ mutes = new Set();
  /** @type {Version|null} the one that is heard */ version = null;
  /** @type {Version|null} the one that it is compared with */ other = null;
  /** @type {number|null} */ inFrame = null;
  /** @type {{message: string, isWarning: boolean}[]} */ notices = [];
  /** @type {string|null} */ starred = null;
  /** @type {Version[]} */ versions = [];
  /** @type {(import("./player.js").Take & {name: string, job: Job})[]} those that can be chosen */ takes = [];
  /** @type {(() => Promise<void>)|undefined} */ showSuggestions;
  #hearsNewest = true; // until another version is chosen
  /** @type {number|undefined} */ #lintTimer;
  /** @type {number|undefined} */ #animation;
  /** @type {Promise<any>} */ #saving = Promise.resolve();

  /**
   * @param {HTMLElement} root
   * @param {Song & {jobs: Job[]}} song
   * @param {import("./api.js").Notes} notes
   * @param {Model[]} models
   * @param {import("./api.js").MarksFormat[]} formats
   */
  constructor(root, song, notes, models, formats) {
    this.song = song;
    this.jobs = song.jobs;
    this.models = models;
    this.formats = formats;
    this.rate = song.audio.sample_rate_hz;
    this.frames = song.audio.frames;
    const known = models.find((model) => model.name === this.jobs[0]?.options.model);
    this.model = known ?? /** @type {Model} */ (models.find((model) => model.is_default) ?? models[0]);
    this.starred = notes.starred ?? null;
    const marks = notes.marks ?? this.jobs[0]?.marks ?? [];
    this.marks = new MarkList(marks, this.frames, () => this.#marksChanged());
    this.lane = this.model.sources[0];
    this.player = new Player(
      () => new AudioContext({ sampleRate: this.rate, latencyHint: "interactive" }),
      this.rate,
      this.frames,
      (error) => {
        if (error) say(error.message, true);
        this.transport.render();
      },
    );
    this.runs = new Runs(
      () => this.side.renderRuns(),
      (job) => this.#jobEnded(job),
      (message, isWarning) => this.#notice(message, isWarning),
    );
    const lanes = element("section", { class: "lanes", "aria-label": "Lanes" });
    this.transport = new Transport(this);
    this.side = new SidePanel(this);
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
      element("div", { class: "columns" }, element("div", { class: "wide" }, lanes, this.versionsPanel.root), this.side.root),
    );
    this.lanesRoot = lanes;
    this.lanes = this.#makeLanes();
    this.lanes.choose(this.lane);
    this.stopKeys = followKeys(this);
    for (const job of this.jobs) if (!isOver(job)) this.runs.follow(job);
    this.#jobsChanged();
    this.#lint();
    const animate = () => {
      this.lanes.showPosition(this.player.position, this.player.isPlaying);
      this.transport.showPosition(this.player.position);
      this.#animation = requestAnimationFrame(animate);
    };
    animate();
  }

  /** Leave the page; jobs go on at the server. */
  close() {
    cancelAnimationFrame(this.#animation ?? 0);
    clearTimeout(this.#lintTimer);
    this.stopKeys();
    this.runs.close();
    this.player.close();
    this.lanes.destroy();
  }

  #factsText() {
    const { sample_rate_hz: rate, channels, encoding, frames } = this.song.audio;
    return [clock(frames / rate, 0), `${rate / 1000} kHz`, channels === 1 ? "mono" : "stereo", encoding].join(" · ");
  }

  #makeLanes() {
    const nonce = /** @type {HTMLMetaElement} */ (document.querySelector("meta[name=nonce]")).content;
    return new Lanes(
      this.lanesRoot,
      { rate: this.rate, frames: this.frames, peak: this.song.audio.peak, sources: this.model.sources, nonce },
      {
        onDrawn: (source, intent, start, end) => this.draw(source, intent, start, end),
        onMoved: (mark, start, end) => this.#move(mark, start, end),
        onSelect: (mark) => this.select(mark),
        onAccept: (suggestion) => this.accept("", null, suggestion),
        onSeek: (frame) => this.player.seek(frame),
        onLane: (source) => this.#choose(source),
        onSolo: (source) => this.#toggle(this.solos, source),
        onMute: (source) => this.#toggle(this.mutes, source),
      },
    );
  }

  // Marks

  /**
   * Add the marks of a span that was drawn.
   * @param {string} source
   * @param {Intent} intent "only" = the source plays, and all others are silent
   * @param {number} start
   * @param {number} end
   */
  draw(source, intent, start, end) {
    const span = { start_frame: start, end_frame: end };
    /** @type {Mark} */
    const mark = { source, state: intent === "silent" ? "silent" : "active", ...span };
    /** @type {Mark[]} */
    const others =
      intent === "only"
        ? this.model.sources.filter((other) => other !== source).map((other) => ({ source: other, state: "silent", ...span }))
        : [];
    this.marks.add([mark, ...others]);
    this.select(this.marks.all.find((made) => made.source === source && made.start_frame <= start && made.end_frame >= end) ?? null);
  }

  /**
   * @param {Mark} mark
   * @param {number} start
   * @param {number} end
   */
  #move(mark, start, end) {
    const moved = this.marks.replace(mark, { ...mark, start_frame: start, end_frame: end });
    this.select(moved);
    this.#renderMarks();
  }

  #marksChanged() {
    const { selected } = this;
    if (selected && !("confidence" in selected) && !this.marks.all.some((mark) => isSame(mark, selected))) this.selected = null;
    this.findings = [];
    this.#renderMarks();
    this.save();
    clearTimeout(this.#lintTimer);
    this.#lintTimer = window.setTimeout(() => this.#lint(), LINT_DELAY_MS);
  }

  #renderMarks() {
    const shown = this.marks.all.filter((mark) => this.model.sources.includes(mark.source));
    this.lanes.render(shown, this.suggestions, this.findings, this.selected);
    this.side.renderMarks();
    this.transport.render();
  }

  async #lint() {
    const marks = [...this.marks.all];
    const lint = await attempt(() => api.lint(this.song.upload_id, marks, this.model.name));
    if (!lint || marks.length !== this.marks.all.length || !marks.every((mark, n) => isSame(mark, this.marks.all[n]))) return;
    this.findings = lint.findings;
    this.#renderMarks();
  }

  /** Keep marks and star for the next time that the song is opened. */
  save() {
    const notes = { marks: [...this.marks.all], starred: this.starred };
    this.#saving = this.#saving.then(() => attempt(() => api.writeNotes(this.song.upload_id, notes)));
    return this.#saving;
  }

  /** @param {Mark|Suggestion|null} mark */
  select(mark) {
    if (mark) this.#choose(mark.source);
    if (this.selected === mark) return;
    this.selected = mark;
    if (this.player.loop && mark) this.#setLoop({ start: mark.start_frame, end: mark.end_frame });
    this.#renderMarks();
  }

  /** The selected mark, if it is no suggestion. */
  get selectedMark() {
    return this.selected && !("confidence" in this.selected) ? this.selected : null;
  }

  async suggest() {
    const job = await attempt(() => api.analyse(this.song.upload_id, this.model.name));
    if (!job) return;
    const show = async () => {
      const all = (await attempt(() => api.suggestions(this.song.upload_id, this.model.name))) ?? [];
      this.suggestions = all.filter((mark) => mark.state === "silent" && !this.#isSaid(mark)); // what a model learns from
      this.#renderMarks();
      const count = this.suggestions.length;
      say(count ? `${count} silences suggested: listen, and press Enter to accept one` : "the model suggests no further silences");
    };
    if (isOver(job)) await show();
    else {
      this.showSuggestions = show;
      this.runs.follow(job);
    }
  }

  /**
   * Whether marks say already what a suggestion says.
   * @param {Suggestion} suggestion
   */
  #isSaid({ source, state, start_frame, end_frame }) {
    return this.marks.all.some(
      (mark) => mark.source === source && mark.state === state && mark.start_frame <= start_frame && mark.end_frame >= end_frame,
    );
  }

  dismissSuggestions() {
    this.suggestions = [];
    if (this.selected && "confidence" in this.selected) this.selected = null;
    this.#renderMarks();
  }

  /** @param {number} least confidence */
  acceptAll(least = 0) {
    this.marks.add(this.suggestions.filter((mark) => mark.confidence >= least).map(({ confidence, ...mark }) => mark));
    this.dismissSuggestions();
  }

  /** @param {Model} model */
  useModel(model) {
    this.model = model;
    this.suggestions = [];
    this.solos.clear();
    this.mutes.clear();
    this.lanes.destroy();
    this.lanes = this.#makeLanes();
    this.#choose(model.sources.includes(this.lane) ? this.lane : model.sources[0]);
    this.#jobsChanged();
    this.#lint();
  }

  // Jobs and versions

  async separate() {
    if (this.findings.some((finding) => finding.severity === "error")) {
      say("the marks have errors; see Checks", true);
      return;
    }
    this.notices = [];
    const marks = [...this.marks.all];
    const made = await attempt(() => startSeparation(this.song.upload_id, marks, this.model, this.side.options, this.jobs));
    if (!made) return;
    for (const job of made) this.runs.follow(job);
    this.#hearsNewest = true;
    this.other = null;
    await this.#reload();
  }

  /** @param {Job} job */
  async #jobEnded(job) {
    if (job.kind !== "separation") {
      await this.showSuggestions?.();
      return;
    }
    if (job.state === "failed") say(job.failure?.message ?? "the job failed", true);
    await Promise.all([this.#reload(), this.#lint()]); // a job has analysed the song, too
  }

  async #reload() {
    const song = await attempt(() => api.song(this.song.upload_id));
    if (!song) return;
    this.jobs = song.jobs;
    this.#jobsChanged();
  }

  /**
   * @param {string} message
   * @param {boolean} isWarning
   */
  #notice(message, isWarning) {
    if (this.notices.some((notice) => notice.message === message)) return;
    this.notices.push({ message, isWarning });
    this.side.renderNotices();
  }

  #jobsChanged() {
    this.versions = versionsOf(this.jobs, this.rate);
    const again = (/** @type {Version|null} */ version) =>
      version && (this.versions.find((v) => v.id === version.id || v.base?.job_id === version.id) ?? null);
    const newest = this.versions.find(bestJob) ?? null;
    this.version = this.#hearsNewest ? newest : (again(this.version) ?? newest);
    this.other = again(this.other);
    this.#setTakes();
  }

  /**
   * Hear a version; with `other`, its best take beside that of another one.
   * @param {Version} version
   * @param {Version|null} other
   */
  hear(version, other = null) {
    this.#hearsNewest = false;
    this.version = version;
    this.other = other;
    this.#setTakes();
  }

  #setTakes() {
    /** @type {typeof this.takes} */
    let takes = [];
    if (this.version && this.other) {
      for (const version of [this.version, this.other]) {
        const job = bestJob(version);
        if (job) takes.push(takeOf(job, `Version ${version.number}`));
      }
    } else if (this.version) {
      takes = takesOf(this.version);
    }
    this.takes = takes.filter((take) => canBePlayed(take.job));
    const best = this.takes[this.other ? 0 : this.takes.length - 1];
    if (!best && this.song.can_be_heard) {
      const mix = { key: "mix", stems: [{ source: "mix", address: api.mixAddress(this.song.upload_id) }] };
      this.player.setTakes([mix], "mix");
    } else {
      const kept = this.takes.find((take) => take.key === this.player.take && (this.player.isPlaying || !this.#isNews(best)));
      if (kept && this.#isNews(best)) say(`“${best.name}” is ready: press ${"ABC"[this.takes.indexOf(best)]}`);
      this.player.setTakes(this.takes, (kept ?? best)?.key ?? "");
    }
    this.#takeChanged();
    this.versionsPanel.render();
    this.side.renderVerdict();
    this.side.renderRuns();
  }

  /**
   * Whether a take was not there to be heard before.
   * @param {{key: string}|undefined} take
   */
  #isNews(take) {
    return Boolean(take) && !this.player.takes.some(({ key }) => key === take?.key);
  }

  #takeChanged() {
    const take = this.takes.find(({ key }) => key === this.player.take);
    const mix = this.song.can_be_heard ? api.mixAddress(this.song.upload_id) : "";
    for (const source of this.model.sources) {
      const stem = take?.stems.find((stem) => stem.source === source);
      attempt(() => this.lanes.drawWave(source, stem?.address ?? mix, api.peaks));
    }
    attempt(() => this.lanes.drawWave("mix", mix, api.peaks));
    this.#audibleChanged();
    this.#renderMarks();
  }

  /** @param {string} key */
  selectTake(key) {
    this.player.selectTake(key);
    this.#takeChanged();
  }

  /** @param {string} id of the best job of a version, or of none */
  star(id) {
    this.starred = this.starred === id ? null : id;
    this.save();
    this.versionsPanel.render();
  }

  /**
   * Take the marks of a version as those to go on with.
   * @param {Version} version
   */
  useMarks(version) {
    this.marks.replaceAll(version.marks);
    say(`the marks of version ${version.number}; Ctrl Z brings yours back`);
  }

  // Sound

  #audibleChanged() {
    const { solos, mutes } = this;
    const canPlay = this.takes.length > 0;
    const sources = this.model.sources.filter((source) => (solos.size ? solos.has(source) : !mutes.has(source)));
    this.player.setAudible(canPlay && (solos.size || mutes.size) ? new Set(sources) : null);
    this.lanes.showAudible(solos, mutes, canPlay);
  }

  /**
   * @param {Set<string>} set
   * @param {string} source
   */
  #toggle(set, source) {
    if (!set.delete(source)) set.add(source);
    this.#audibleChanged();
  }

  /** @param {string} source */
  #choose(source) {
    this.lane = source;
    this.lanes.choose(source);
  }

  /** @param {{start: number, end: number}|null} loop */
  #setLoop(loop) {
    this.player.setLoop(loop);
    this.lanes.showLoop(loop);
    this.transport.render();
  }

  // What keys do; see keys.js

  togglePlay() {
    if (this.player.isPlaying) this.player.pause();
    else if (!this.player.takes.length) say("there is nothing to hear yet: drop the file again, or separate the song");
    else attempt(() => this.player.play());
  }

  seekStart() {
    this.player.seek(0);
  }

  /** @param {string} key */
  hearTake(key) {
    const take = this.takes["abc".indexOf(key)];
    if (take) this.selectTake(take.key);
  }

  /** @param {string} key */
  chooseLane(key) {
    const source = this.model.sources[Number(key) - 1];
    if (source) this.#choose(source);
  }

  soloLane() {
    if (this.takes.length) this.#toggle(this.solos, this.lane);
  }

  muteLane() {
    if (this.takes.length) this.#toggle(this.mutes, this.lane);
  }

  markIn() {
    this.inFrame = this.player.position;
    say(`the mark begins at ${clock(this.inFrame / this.rate)}; O ends it`);
  }

  /**
   * @param {string} key
   * @param {KeyboardEvent} event
   */
  markOut(key, event) {
    const end = this.player.position;
    if (this.inFrame === null || end <= this.inFrame) {
      say("press I where the mark begins, and O where it ends", true);
      return;
    }
    this.draw(this.lane, event.altKey ? "only" : event.shiftKey ? "active" : this.lanes.intent, this.inFrame, end);
    this.inFrame = null;
  }

  /** @param {string} key */
  nextMark(key) {
    const marks = [...this.marks.all, ...this.suggestions].filter((mark) => mark.source === this.lane);
    marks.sort((a, b) => a.start_frame - b.start_frame);
    if (!marks.length) return;
    const at = marks.findIndex((mark) => isSame(mark, this.selected));
    const step = key === "]" ? 1 : -1;
    const next = marks[at < 0 ? (step > 0 ? 0 : marks.length - 1) : (at + step + marks.length) % marks.length];
    this.select(next);
    this.player.seek(next.start_frame);
    this.lanes.showPosition(next.start_frame, true);
  }

  /**
   * @param {string} key
   * @param {KeyboardEvent} event
   */
  nudge(key, event) {
    const sign = key === "ArrowRight" ? 1 : -1;
    const mark = this.selectedMark;
    if (!mark) {
      this.player.seek(this.player.position + sign * STEP_S * this.rate);
      return;
    }
    const wanted = sign * Math.round((event.shiftKey ? NUDGE_FAR_S : NUDGE_S) * this.rate);
    const by = Math.min(Math.max(wanted, -mark.start_frame), this.frames - mark.end_frame);
    this.#move(mark, mark.start_frame + by, mark.end_frame + by);
  }

  toggleState() {
    const mark = this.selectedMark;
    if (!mark) return;
    this.select(this.marks.replace(mark, { ...mark, state: mark.state === "silent" ? "active" : "silent" }));
    this.#renderMarks();
  }

  removeMark() {
    const { selected } = this;
    if (!selected) return;
    this.selected = null;
    if ("confidence" in selected) {
      this.suggestions = this.suggestions.filter((mark) => mark !== selected);
      this.#renderMarks();
    } else {
      this.marks.remove(selected);
    }
  }

  /**
   * @param {string} key
   * @param {KeyboardEvent|null} event
   * @param {Suggestion} [suggestion]
   */
  accept(key, event, suggestion) {
    const chosen = suggestion ?? (this.selected && "confidence" in this.selected ? this.selected : null);
    if (!chosen) return;
    const { confidence, ...mark } = /** @type {Suggestion} */ (chosen);
    this.suggestions = this.suggestions.filter((other) => !isSame(other, mark));
    this.selected = mark;
    this.marks.add([mark]);
    this.#renderMarks();
  }

  toggleLoop() {
    const { selected } = this;
    if (this.player.loop) this.#setLoop(null);
    else if (selected) this.#setLoop({ start: selected.start_frame, end: selected.end_frame });
    else say("click the mark that is to be looped, then press L");
  }

  toggleZoom() {
    if (this.lanes.isZoomed || !this.selected) this.lanes.zoom(0);
    else this.lanes.zoomTo(this.selected.start_frame, this.selected.end_frame);
  }

  /** @param {string} key */
  zoomStep(key) {
    const factor = key === "-" ? 1 / ZOOM_STEP : ZOOM_STEP;
    this.lanes.zoom(this.lanes.pxPerS * factor, this.selected?.start_frame ?? this.player.position);
  }

  undo() {
    this.marks.undo();
  }

  redo() {
    this.marks.redo();
  }

  deselect() {
    this.select(null);
  }

  help() {
    /** @type {HTMLDialogElement} */ (document.getElementById("help")).showModal();
  }
}

/** @param {Job} job */
const isOver = (job) => ["succeeded", "failed", "cancelled"].includes(job.state);
