// @ts-check
/** What is heard of a song: its versions and their takes, solo, mute and loop. */

import { api } from "./api.js";
import { attempt, say } from "./dom.js";
import { Player } from "./player.js";
import { previewTake } from "./preview.js";
import { takesOf } from "./versions.js";

/** @typedef {import("./song_screen.js").SongScreen} SongScreen */
/** @typedef {import("./api.js").Mark} Mark */
/** @typedef {import("./api.js").Version} Version */
/** @typedef {import("./versions.js").NamedTake} NamedTake */

export class Playback {
  /** @type {Version[]} newest first */ versions = [];
  /** @type {Version|null} the one that is heard */ version = null;
  /** @type {Version|null} the one that it is compared with */ other = null;
  /** @type {NamedTake[]} those that can be chosen */ takes = [];
  /** @type {Set<string>} */ solos = new Set();
  /** @type {Set<string>} */ mutes = new Set();
  #hearsNewest = true; // until another version is chosen
  /** @type {{start: number, end: number}|null} the loop that came with a preview, and goes with it */ #loopOfPreview = null;
  #loopsMark = false; // whether the loop goes along with the selected mark

  /** @param {SongScreen} page */
  constructor(page) {
    this.page = page;
    this.player = new Player(
      () => new AudioContext({ sampleRate: page.rate, latencyHint: "interactive" }),
      page.rate,
      page.frames,
      (error) => {
        if (error) say(error.message, true);
        page.transport.render();
      },
    );
  }

  close() {
    this.player.close();
  }

  /** Takes of the whole song. */
  get wholeTakes() {
    return this.takes.filter(({ span }) => !span);
  }

  /** Hear the newest version from now on. */
  followNewest() {
    this.#hearsNewest = true;
    this.other = null;
  }

  /** @param {Version[]} versions of the song, newest first */
  setVersions(versions) {
    this.versions = versions;
    const again = (/** @type {Version|null} */ version) =>
      version && (versions.find(({ job }) => job.job_id === version.job.job_id) ?? null);
    const newest = versions.find(({ takes }) => takes.length) ?? null;
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
    const { song } = this.page;
    this.takes = this.#takes();
    const whole = this.wholeTakes;
    const best = whole[this.other ? 0 : whole.length - 1];
    if (!best && song.can_be_heard) {
      const mix = { key: "mix", stems: [{ source: "mix", address: api.mixAddress(song.upload_id) }] };
      this.player.setTakes([mix], "mix");
    } else {
      const kept = this.takes.find((take) => take.key === this.player.take && (this.player.isPlaying || !this.#isNews(best)));
      if (kept && this.#isNews(best)) say(`“${best.name}” is ready: press ${"ABC"[this.takes.indexOf(best)]}`);
      this.player.setTakes(this.takes, (kept ?? best)?.key ?? "");
    }
    if (this.#loopOfPreview && whole.length === this.takes.length) this.#endLoopOfPreview();
    this.#takeChanged();
    this.page.renderVersions();
  }

  /** @returns {NamedTake[]} */
  #takes() {
    if (!this.version) return [];
    if (!this.other) {
      const takes = takesOf(this.version);
      const preview = this.page.runs.previewOf(this.version.job.job_id);
      const under = takes.at(-1);
      return preview && under ? [...takes, previewTake(under, preview)] : takes;
    }
    return [this.version, this.other].flatMap((version) => {
      const best = takesOf(version).at(-1);
      return best ? [{ ...best, name: `Version ${version.number}` }] : [];
    });
  }

  /** Let the newest preview be heard, if another one is at this time. */
  renewPreview() {
    const takes = this.#takes();
    if (takes.length !== this.takes.length) this.#setTakes();
    this.takes = takes;
    this.player.setTakes(takes, this.player.take);
  }

  /**
   * Hear what a job has learned so far, from the start of its stretch.
   * @param {{job_id: string}} preview
   */
  hearPreview({ job_id }) {
    const version = this.versions.find(({ job }) => job.job_id === job_id);
    if (version && (this.version?.job.job_id !== job_id || this.other)) this.hear(version);
    const take = this.takes.find(({ span }) => span);
    if (!take) {
      say("it was begun without stems under your marks, around which this is heard");
      return;
    }
    this.selectTake(take.key);
    if (!this.player.isPlaying) this.togglePlay();
  }

  /**
   * Whether a take was not there to be heard before.
   * @param {{key: string}|undefined} take
   */
  #isNews(take) {
    return Boolean(take) && !this.player.takes.some(({ key }) => key === take?.key);
  }

  #takeChanged() {
    const { lanes, model, song } = this.page;
    lanes.showPreview(this.takes.find(({ span }) => span)?.span ?? null);
    const take = this.takes.find(({ key }) => key === this.player.take);
    const mix = song.can_be_heard ? api.mixAddress(song.upload_id) : "";
    for (const source of model.sources) {
      const stem = take?.stems.find((stem) => stem.source === source);
      void attempt(() => lanes.drawWave(source, stem?.address ?? mix, api.peaks));
    }
    void attempt(() => lanes.drawWave("mix", mix, api.peaks));
    this.#audibleChanged();
    this.page.renderMarks();
  }

  /** @param {string} key */
  selectTake(key) {
    this.player.selectTake(key);
    const span = this.takes.find((take) => take.key === key)?.span;
    if (span && !this.player.loop) {
      this.#loopOfPreview = span;
      this.loop(span);
    }
    this.#takeChanged();
  }

  /** @param {string} letter A, B or C */
  hearTake(letter) {
    const take = this.takes["abc".indexOf(letter)];
    if (take) this.selectTake(take.key);
  }

  /** Let all lanes sound. */
  clearSoloAndMute() {
    this.solos.clear();
    this.mutes.clear();
  }

  /** @param {string} source */
  solo(source) {
    this.#toggle(this.solos, source);
  }

  /** @param {string} source */
  mute(source) {
    this.#toggle(this.mutes, source);
  }

  /**
   * @param {Set<string>} set
   * @param {string} source
   */
  #toggle(set, source) {
    if (!this.takes.length) return; // a mix has no lanes to be heard apart
    if (!set.delete(source)) set.add(source);
    this.#audibleChanged();
  }

  #audibleChanged() {
    const { solos, mutes } = this;
    const canPlay = this.takes.length > 0;
    const sources = this.page.model.sources.filter((source) => (solos.size ? solos.has(source) : !mutes.has(source)));
    this.player.setAudible(canPlay && (solos.size || mutes.size) ? new Set(sources) : null);
    this.page.lanes.showAudible(solos, mutes, canPlay);
  }

  togglePlay() {
    if (this.player.isPlaying) this.player.pause();
    else if (!this.player.takes.length) say("there is nothing to hear yet: drop the file again, or separate the song");
    else void attempt(() => this.player.play());
  }

  toggleLoop() {
    const { selected } = this.page.editor;
    const span = this.takes.find(({ key }) => key === this.player.take)?.span;
    if (this.player.loop) this.loop(null);
    else if (selected) this.#loopMark(selected);
    else if (span) this.loop(span);
    else say("drag over the times above the lanes, or click a mark and press L");
  }

  /** @param {Mark} mark that is looped from now on, if one is */
  moveLoop(mark) {
    if (this.player.loop && this.#loopsMark) this.#loopMark(mark);
  }

  /** @param {Mark} mark */
  #loopMark({ start_frame: start, end_frame: end }) {
    this.loop({ start, end });
    this.#loopsMark = true;
  }

  #endLoopOfPreview() {
    if (this.player.loop === this.#loopOfPreview) this.loop(null);
    this.#loopOfPreview = null;
  }

  /** @param {{start: number, end: number}|null} loop */
  loop(loop) {
    this.#loopsMark = false;
    this.player.setLoop(loop);
    this.page.lanes.showLoop(loop);
    this.page.transport.render();
  }
}
