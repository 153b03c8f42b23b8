// @ts-check
/** Editing of a song's marks: what pointer and keys do to them, suggestions, findings, and the selected mark. */

import { api } from "./api.js";
import { attempt, clock, say } from "./dom.js";
import { MarkList, isSame } from "./marks.js";

/** @typedef {import("./api.js").Finding} Finding */
/** @typedef {import("./api.js").Mark} Mark */
/** @typedef {import("./api.js").Suggestion} Suggestion */
/** @typedef {import("./lanes.js").Intent} Intent */
/** @typedef {import("./song_screen.js").SongScreen} SongScreen */

const LINT_DELAY_MS = 250;
const NUDGE_S = 0.01;
const NUDGE_FAR_S = 0.1;

export class MarkEditor {
  /** @type {Suggestion[]} */ suggestions = [];
  /** @type {Finding[]} */ findings = [];
  /** @type {Mark|Suggestion|null} */ selected = null;
  /** @type {Intent} what a drag without a key marks */ intent = "silent";
  /** @type {number|null} where the mark begins that keys draw */ #inFrame = null;
  /** @type {number|undefined} */ #lintTimer;
  /** @type {Promise<any>} */ #saving = Promise.resolve();
  /** @type {import("./api.js").Tag} of the notes as this page knows them */ #tag;

  /**
   * @param {SongScreen} page
   * @param {Mark[]} marks
   * @param {import("./api.js").Tag} tag of the notes that they are from
   */
  constructor(page, marks, tag) {
    this.page = page;
    this.#tag = tag;
    this.marks = new MarkList(marks, page.frames, () => this.#changed());
    /** The lane that keys are about. */
    this.source = page.model.sources[0];
  }

  close() {
    clearTimeout(this.#lintTimer);
  }

  /** Once all marks so far are kept. */
  get saved() {
    return this.#saving;
  }

  /** The selected mark, if it is no suggestion. */
  get selectedMark() {
    return this.selected && !("confidence" in this.selected) ? this.selected : null;
  }

  /** The selected suggestion. */
  get selectedSuggestion() {
    return this.selected && "confidence" in this.selected ? this.selected : null;
  }

  /** Whether a job with these marks would be refused. */
  get hasErrors() {
    return this.findings.some((finding) => finding.severity === "error");
  }

  #changed() {
    const { selectedMark } = this;
    if (selectedMark && !this.marks.all.some((mark) => isSame(mark, selectedMark))) this.selected = null;
    this.findings = [];
    this.page.renderMarks();
    void this.save();
    clearTimeout(this.#lintTimer);
    this.#lintTimer = window.setTimeout(() => this.lint(), LINT_DELAY_MS);
  }

  /** Ask the server what is wrong or doubtful with the marks. */
  async lint() {
    const marks = [...this.marks.all];
    const lint = await attempt(() => api.lint(this.page.song.upload_id, marks, this.page.model.name));
    if (!lint || marks.length !== this.marks.all.length || !marks.every((mark, n) => isSame(mark, this.marks.all[n]))) return;
    this.findings = lint.findings;
    this.page.renderMarks();
  }

  /** Keep the marks for the next time that the song is opened. */
  save() {
    const notes = { marks: [...this.marks.all] };
    this.#saving = this.#saving.then(() =>
      attempt(async () => {
        this.#tag = await api.writeNotes(this.page.song.upload_id, notes, this.#tag);
      }),
    );
    return this.#saving;
  }

  /**
   * Let keys be about a lane from now on, and about no mark of another one.
   * @param {string} source
   */
  choose(source) {
    this.source = source;
    this.page.lanes.choose(source);
    if (this.selected && this.selected.source !== source) this.select(null);
  }

  /** @param {Mark|Suggestion|null} mark */
  select(mark) {
    if (mark) this.choose(mark.source);
    if (this.selected === mark) return;
    this.selected = mark;
    if (mark) this.page.playback.moveLoop(mark);
    this.page.renderMarks();
  }

  /**
   * Add the marks of a span.
   * @param {string} source
   * @param {Intent} intent "only" = the source plays, and all others are silent
   * @param {number} start
   * @param {number} end
   */
  draw(source, intent, start, end) {
    const span = { start_frame: start, end_frame: end };
    /** @type {Mark} */
    const mark = { source, state: intent === "silent" ? "silent" : "active", ...span };
    const others = intent === "only" ? this.page.model.sources.filter((other) => other !== source) : [];
    /** @type {Mark[]} */
    const silences = others.map((other) => ({ source: other, state: "silent", ...span }));
    this.marks.add([mark, ...silences]);
    const joined = this.marks.all.find((made) => made.source === source && made.start_frame <= start && made.end_frame >= end);
    this.select(joined ?? null);
  }

  /**
   * @param {Mark} mark
   * @param {number} start
   * @param {number} end
   */
  move(mark, start, end) {
    this.select(this.marks.replace(mark, { ...mark, start_frame: start, end_frame: end }));
    this.page.renderMarks();
  }

  markIn() {
    this.#inFrame = this.page.player.position;
    say(`the mark begins at ${clock(this.#inFrame / this.page.rate)}; O ends it`);
  }

  /** @param {KeyboardEvent} event */
  markOut(event) {
    const end = this.page.player.position;
    if (this.#inFrame === null || end <= this.#inFrame) {
      say("press I where the mark begins, and O where it ends", true);
      return;
    }
    this.draw(this.source, event.altKey ? "only" : event.shiftKey ? "active" : this.intent, this.#inFrame, end);
    this.#inFrame = null;
  }

  /** @param {1|-1} step to the mark after or before, in the chosen lane */
  selectNext(step) {
    const marks = [...this.marks.all, ...this.suggestions].filter((mark) => mark.source === this.source);
    marks.sort((a, b) => a.start_frame - b.start_frame);
    if (!marks.length) return;
    const at = marks.findIndex((mark) => isSame(mark, this.selected));
    const next = marks[at < 0 ? (step > 0 ? 0 : marks.length - 1) : (at + step + marks.length) % marks.length];
    this.select(next);
    this.page.player.seek(next.start_frame);
    this.page.lanes.showPosition(next.start_frame, true);
  }

  /**
   * Move the selected mark a little, with Shift further, with Alt its end alone; without one, go a second.
   * @param {1|-1} sign
   * @param {KeyboardEvent} event
   */
  nudge(sign, { shiftKey, altKey }) {
    const { selectedMark: mark } = this;
    const { rate, frames, player } = this.page;
    if (!mark) {
      player.seek(player.position + sign * rate);
      return;
    }
    const step = Math.round((shiftKey ? NUDGE_FAR_S : NUDGE_S) * rate);
    const least = altKey ? mark.start_frame + step - mark.end_frame : -mark.start_frame;
    const by = Math.min(Math.max(sign * step, least), frames - mark.end_frame);
    this.move(mark, mark.start_frame + (altKey ? 0 : by), mark.end_frame + by);
  }

  /** Make a silent mark active, or an active one silent. */
  toggleState() {
    const { selectedMark: mark } = this;
    if (!mark) return;
    this.select(this.marks.replace(mark, { ...mark, state: mark.state === "silent" ? "active" : "silent" }));
    this.page.renderMarks();
  }

  /** Remove the selected mark or suggestion. */
  remove() {
    const { selectedMark, selectedSuggestion } = this;
    this.selected = null;
    if (selectedMark) this.marks.remove(selectedMark);
    if (!selectedSuggestion) return;
    this.suggestions = this.suggestions.filter((mark) => mark !== selectedSuggestion);
    this.page.renderMarks();
  }

  /** @param {Suggestion[]} all that the model makes */
  suggest(all) {
    this.suggestions = all.filter((mark) => mark.state === "silent" && !this.#isSaid(mark)); // what a model learns from
    this.page.renderMarks();
    const count = this.suggestions.length;
    say(count ? `Silences suggested: ${count}; listen, and press Enter to accept one` : "the model suggests no further silences");
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

  /** @param {Suggestion|null} suggestion */
  accept(suggestion = this.selectedSuggestion) {
    if (!suggestion) return;
    const { confidence, ...mark } = suggestion;
    this.suggestions = this.suggestions.filter((other) => !isSame(other, mark));
    this.selected = mark;
    this.marks.add([mark]);
    this.page.renderMarks();
  }

  /** @param {number} least confidence */
  acceptAll(least) {
    this.marks.add(this.suggestions.filter((mark) => mark.confidence >= least).map(({ confidence, ...mark }) => mark));
    this.dismissSuggestions();
  }

  dismissSuggestions() {
    this.suggestions = [];
    if (this.selectedSuggestion) this.selected = null;
    this.page.renderMarks();
  }
}
